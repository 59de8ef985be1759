/* condition_type.c: Condition: lets go of its lock, sleeps, and takes the lock again.
 *
 * Promise: wait() comes back with the lock held, also when a signal's handler raised meanwhile; only the death of the lock's holder,
 * or a second such exception while the lock is not to be had, ends it without. A notification is never lost with an exception.  */
#include "../condition.h"

#include "lock_face.h"

typedef struct condition_object {
    shared_object base;
    PyObject *lock;
    pn_lock *word;        /* of lock */
    bool recursive;
} condition_object;

#define SELF(self) ((condition_object *)(void *)(self))
#define CONDITION(self) SHARED(pn_condition, self)

/* An exception put aside. */
typedef struct aside { PyObject *type, *value, *traceback; } aside;

static pn_code take_word(condition_object *self, pn_deadline deadline) {
    pn_owner me = pn_self();
    if (me == 0) return PN_NO_SLOT;
    if (self->recursive) return pn_rlock_acquire(self->word, me, deadline);
    return pn_lock_try(self->word, me) == PN_OK ? PN_OK : pn_lock_acquire_slow(self->word, me, deadline);
}

/* Waits for the lock, for ever. What handlers raise is put aside; the second time: PN_INTERRUPTED. */
static pn_code take_back(condition_object *self, aside *raised) {
    pn_code code = take_word(self, PN_NOW);
    while (code == PN_TIMEOUT || code == PN_INTERRUPTED) {
        if (code == PN_INTERRUPTED && PyErr_CheckSignals() < 0) {
            if (raised->type != NULL) return PN_INTERRUPTED;
            PyErr_Fetch(&raised->type, &raised->value, &raised->traceback);
        }
        Py_BEGIN_ALLOW_THREADS
        code = take_word(self, PN_FOREVER);
        Py_END_ALLOW_THREADS
    }
    return code;
}

static void let_go(condition_object *self, uint32_t *levels) {
    if (self->recursive)
        pn_rlock_release_all(self->word, pn_self(), levels);
    else
        pn_lock_release(self->word);
}

/* Sleeps until told. What handlers raise ends the sleep and is put aside. */
static pn_code sleep_until_told(condition_object *self, pn_off node, int64_t timeout, aside *raised) {
    pn_condition *condition = CONDITION(self);
    pn_deadline deadline = deadline_after(timeout);
    pn_code code;
    WITHOUT_GIL(code, pn_condition_wait(condition, pn_self(), node, deadline));
    if (code != PN_INTERRUPTED) return code;
    PyErr_Fetch(&raised->type, &raised->value, &raised->traceback);
    if (pn_condition_withdraw(condition, pn_self(), node)) pn_condition_notify(condition, pn_self(), 1, NULL); /* it goes to somebody else */
    return code;
}

static PyObject *waited(condition_object *self, pn_code slept, pn_code taken, aside *raised) {
    if (raised->type != NULL) {
        if (taken == PN_INTERRUPTED) /* the second exception is set: the first goes */
            Py_XDECREF(raised->type), Py_XDECREF(raised->value), Py_XDECREF(raised->traceback);
        else
            PyErr_Restore(raised->type, raised->value, raised->traceback);
        return NULL;
    }
    if (taken == PN_OWNER_DIED) return raise_owner_died(self->lock, pn_lock_owner(self->word));
    if (taken != PN_OK) return raise_code(taken);
    if (fault_raised()) return NULL;
    return slept == PN_OK || slept == PN_TIMEOUT ? PyBool_FromLong(slept == PN_OK) : raise_code(slept);
}

static bool held(condition_object *self, const char *what) {
    if (PN_LIKELY(lock_is_mine(self->word))) return true;
    PyErr_Format(PyExc_AssertionError, "%s needs the condition's lock: call it inside 'with condition:'", what);
    return false;
}

static PyObject *condition_wait(PyObject *op, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    condition_object *self = SELF(op);
    int64_t timeout;
    if (!parse_timeout_only(STATE(op), "wait", args, n, names, &timeout) || !held(self, "wait()")) return NULL;
    pn_off node = 0;
    pn_code code = pn_condition_enlist(CONDITION(op), pn_self(), &node);
    if (code != PN_OK) return raise_code(code);
    uint32_t levels = 1;
    let_go(self, &levels);
    aside raised = {NULL, NULL, NULL};
    pn_code slept = sleep_until_told(self, node, timeout, &raised);
    pn_code taken = take_back(self, &raised);
    if (taken == PN_OK && self->recursive) pn_rlock_restore(self->word, levels);
    return waited(self, slept, taken, &raised);
}

static PyObject *notify(PyObject *op, uint32_t n) {
    if (!held(SELF(op), "notify()")) return NULL;
    pn_lock_note(SELF(op)->word, pn_self()); /* whoever is told comes for the lock next */
    uint32_t told = n == 0 ? 0 : pn_condition_notify(CONDITION(op), pn_self(), n, SELF(op)->word);
    return fault_raised() ? NULL : PyLong_FromUnsignedLong(told);
}

static PyObject *condition_notify(PyObject *op, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    static const char *const known[] = {"n"};
    PyObject *given;
    if (!parse_named("notify", known, 1, 0, args, n, names, &given)) return NULL;
    int overflow = 0;
    long long many = given == NULL ? 1 : PyLong_AsLongLongAndOverflow(given, &overflow);
    if (many == -1 && PyErr_Occurred()) return NULL;
    if (overflow > 0 || many > UINT32_MAX) many = UINT32_MAX;
    return notify(op, many < 0 ? 0 : (uint32_t)many);
}

static PyObject *condition_notify_all(PyObject *op, PyObject *unused) { return (void)unused, notify(op, UINT32_MAX); }

static PyObject *condition_waiting(PyObject *op, PyObject *unused) {
    (void)unused;
    pn_owner me = pn_self();
    return me == 0 ? raise_no_self() : PyLong_FromUnsignedLong(pn_condition_waiting(CONDITION(op), me));
}

static PyObject *take(condition_object *self, wait_args wait) {
    return self->recursive ? rlock_take(self->lock, self->word, wait) : lock_take(self->lock, self->word, wait);
}

static PyObject *give(condition_object *self) { return self->recursive ? rlock_give(self->word) : lock_give(self->word); }

static PyObject *condition_acquire(PyObject *op, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    wait_args wait = WAIT_FOREVER;
    if ((n != 0 || names != NULL) && !parse_wait(STATE(op), "acquire", args, n, names, 0, &wait)) return NULL;
    return take(SELF(op), wait);
}

static PyObject *condition_enter(PyObject *op, PyObject *unused) { return (void)unused, take(SELF(op), WAIT_FOREVER); }
static PyObject *condition_release(PyObject *op, PyObject *unused) { return (void)unused, give(SELF(op)); }

/* On the way out with an exception, a lock that wait() could not take again is no second one. */
static PyObject *condition_exit(PyObject *op, PyObject *const *args, Py_ssize_t n) {
    if (n > 0 && args[0] != Py_None && !lock_is_mine(SELF(op)->word)) Py_RETURN_NONE;
    return give(SELF(op));
}

static PyObject *condition_lock(PyObject *op, void *unused) { return (void)unused, Py_NewRef(SELF(op)->lock); }

/* ── making ── */
static bool check_lock(core_state *state, PyObject *lock) {
    if (PyObject_TypeCheck(lock, state->lock_type) || PyObject_TypeCheck(lock, state->rlock_type)) return true;
    PyErr_Format(PyExc_TypeError, "Condition needs a Lock or an RLock of procession, not %R", Py_TYPE(lock));
    return false;
}

static PyObject *with_lock(core_state *state, PyObject *made, PyObject *lock) {
    if (made == NULL) return NULL;
    SELF(made)->lock = Py_NewRef(lock);
    SELF(made)->word = SHARED(pn_lock, lock);
    SELF(made)->recursive = PyObject_TypeCheck(lock, state->rlock_type);
    return made;
}

static PyObject *condition_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"lock", NULL};
    core_state *state = state_of_type(type);
    PyObject *lock;
    if (state == NULL || !PyArg_ParseTupleAndKeywords(args, kwargs, "O:Condition", names, &lock) || !check_lock(state, lock)) return NULL;
    pn_off offset = 0;
    pn_code code = pn_condition_create(&offset);
    return with_lock(state, wrap_created(state, type, code, offset), lock);
}

static PyObject *condition_attach_with(PyObject *type, PyTypeObject *defining, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    core_state *state = (core_state *)PyType_GetModuleState(defining);
    if (n != 2 || names != NULL) return PyErr_Format(PyExc_TypeError, "attach_with() takes a handle, (offset, generation), and a lock");
    pn_off offset;
    if (!check_lock(state, args[1]) || !attach_handle(state, args[0], PN_KIND_CONDITION, "Condition", &offset)) return NULL;
    return with_lock(state, wrap(state, (PyTypeObject *)type, offset), args[1]);
}

static int condition_traverse(PyObject *op, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(SELF(op)->lock);
    return 0;
}

void condition_dealloc(PyObject *op) {
    PyObject_GC_UnTrack(op);
    Py_CLEAR(SELF(op)->lock);
    object_dealloc(op);
}

static PyMethodDef condition_methods[] = {
    {"attach_with", FAST(condition_attach_with), METH_CLASS | METH_METHOD | FAST_FLAGS,
     "attach_with(handle, lock, /)\n--\n\nAnother wrapper of the condition behind handle, over its lock; raises StaleHandle if it is gone."},
    {"wait", FAST(condition_wait), FAST_FLAGS, "wait(timeout=None)\n--\n\nLet go of the lock until notified; whether that was in time. The lock is held again."},
    {"notify", FAST(condition_notify), FAST_FLAGS, "notify(n=1)\n--\n\nWake n of those who wait, oldest first; how many."},
    {"notify_all", condition_notify_all, METH_NOARGS, "notify_all()\n--\n\nWake all who wait; how many."},
    {"waiting", condition_waiting, METH_NOARGS, "waiting()\n--\n\nHow many wait."},
    {"acquire", FAST(condition_acquire), FAST_FLAGS, "acquire(block=True, timeout=None)\n--\n\nThe lock's."},
    {"release", condition_release, METH_NOARGS, "release()\n--\n\nThe lock's."},
    {"__enter__", condition_enter, METH_NOARGS, NULL},
    {"__exit__", FAST(condition_exit), METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef condition_getset[] = {
    {"lock", condition_lock, NULL, "The Lock or RLock.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot condition_slots[] = {
    {Py_tp_doc, (void *)"Condition(lock)\n--\n\nThose who wait for news about what a lock guards."},
    {Py_tp_new, (void *)condition_new},
    {Py_tp_dealloc, (void *)condition_dealloc},
    {Py_tp_traverse, (void *)condition_traverse},
    {Py_tp_methods, condition_methods},
    {Py_tp_getset, condition_getset},
    {0, NULL},
};

static PyType_Spec condition_spec = {"procession._native._core.Condition", sizeof(condition_object), 0,
                                     Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, condition_slots};

bool add_condition_type(PyObject *module, core_state *state) {
    return (state->condition_type = add_type(module, &condition_spec, state->object_type)) != NULL;
}
