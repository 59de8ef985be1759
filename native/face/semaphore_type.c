/* semaphore_type.c: Semaphore, bounded or not.  */
#include "../semaphore.h"
#include "face.h"

#define SEMAPHORE(self) SHARED(pn_semaphore, self)

static PyObject *taken(PyObject *self, pn_semaphore *semaphore, pn_code code) {
    if (PN_UNLIKELY(fault_raised())) { /* who gets an exception holds nothing */
        if (code == PN_OK) pn_semaphore_release(semaphore, pn_self());
        return NULL;
    }
    switch (code) {
    case PN_OK: Py_RETURN_TRUE;
    case PN_TIMEOUT: Py_RETURN_FALSE;
    case PN_OWNER_DIED: return raise_owner_died(self, pn_semaphore_dead_holder(semaphore));
    default: return raise_code(code);
    }
}

static PyObject *take(PyObject *self, wait_args wait) {
    pn_semaphore *semaphore = SEMAPHORE(self);
    pn_owner me = pn_self();
    if (PN_UNLIKELY(me == 0)) return raise_no_self();
    pn_code code = pn_semaphore_acquire(semaphore, me, PN_NOW);
    int64_t timeout = timeout_of(wait);
    if (code == PN_TIMEOUT && timeout != 0) {
        pn_deadline deadline = deadline_after(timeout);
        WITHOUT_GIL(code, pn_semaphore_acquire(semaphore, pn_self(), deadline));
    }
    return taken(self, semaphore, code);
}

static PyObject *semaphore_acquire(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    wait_args wait = WAIT_FOREVER;
    if ((n != 0 || names != NULL) && !parse_wait(STATE(self), "acquire", args, n, names, 0, &wait)) return NULL;
    return take(self, wait);
}

static PyObject *semaphore_enter(PyObject *self, PyObject *unused) { return (void)unused, take(self, WAIT_FOREVER); }

static PyObject *semaphore_release(PyObject *self, PyObject *unused) {
    (void)unused;
    pn_owner me = pn_self();
    if (PN_UNLIKELY(me == 0)) return raise_no_self();
    pn_code code = pn_semaphore_release(SEMAPHORE(self), me);
    if (PN_UNLIKELY(fault_raised())) return NULL;
    if (PN_LIKELY(code == PN_OK)) Py_RETURN_NONE;
    if (code != PN_OVERFLOW) return raise_code(code);
    PyErr_SetString(PyExc_ValueError, "semaphore or lock released too many times");
    return NULL;
}

static PyObject *semaphore_exit(PyObject *self, PyObject *const *args, Py_ssize_t n) { return (void)args, (void)n, semaphore_release(self, NULL); }

static PyObject *semaphore_locked(PyObject *self, PyObject *unused) { return (void)unused, PyBool_FromLong(pn_semaphore_value(SEMAPHORE(self)) == 0); }

static PyObject *semaphore_value(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromUnsignedLong(pn_semaphore_value(SEMAPHORE(self)));
}

static PyObject *semaphore_recover(PyObject *self, PyObject *unused) {
    (void)unused;
    pn_owner me = pn_self();
    if (PN_UNLIKELY(me == 0)) return raise_no_self();
    return PyLong_FromUnsignedLong(pn_semaphore_recover(SEMAPHORE(self), me));
}

static PyMethodDef semaphore_methods[] = {
    {"acquire", FAST(semaphore_acquire), FAST_FLAGS,
     "acquire(block=True, timeout=None)\n--\n\nTake a permit; whether there was one in time. Raises OwnerDied if a process died holding one."},
    {"release", semaphore_release, METH_NOARGS, "release()\n--\n\nOne permit more; ValueError if that is more than a bounded one began with."},
    {"__enter__", semaphore_enter, METH_NOARGS, NULL},
    {"__exit__", FAST(semaphore_exit), METH_FASTCALL, NULL},
    {"locked", semaphore_locked, METH_NOARGS, "locked()\n--\n\nIs there no permit?"},
    {"get_value", semaphore_value, METH_NOARGS, "get_value()\n--\n\nHow many permits are free."},
    {"recover", semaphore_recover, METH_NOARGS, "recover()\n--\n\nTake back the permits of dead processes; how many."},
    PLAIN_METHODS,
    {NULL, NULL, 0, NULL},
};

static PyObject *make(PyTypeObject *type, PyObject *args, PyObject *kwargs, bool bounded) {
    static char *names[] = {"value", "ctx", NULL};
    core_state *state = state_of_type(type);
    PyObject *given = NULL, *context;
    if (state == NULL || !PyArg_ParseTupleAndKeywords(args, kwargs, "|O$O:Semaphore", names, &given, &context)) return NULL;
    uint64_t value = 1;
    if (given != NULL && !parse_uint(given, "a semaphore's value", PN_SEMAPHORE_MAX, &value)) return NULL;
    pn_off offset = 0;
    pn_code code = pn_semaphore_create((uint32_t)value, bounded, &offset);
    return wrap_created(state, type, code, offset);
}

static PyObject *semaphore_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) { return make(type, args, kwargs, false); }
static PyObject *bounded_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) { return make(type, args, kwargs, true); }

static PyObject *semaphore_initial(PyObject *self, void *unused) { return (void)unused, PyLong_FromUnsignedLong(SEMAPHORE(self)->initial); }

static PyGetSetDef bounded_getset[] = {
    {"_maxvalue", semaphore_initial, NULL, "What it began with.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot semaphore_slots[] = {
    {Py_tp_doc, (void *)"Semaphore(value=1, *, ctx=None)\n--\n\n"
                         "Permits that processes and threads take and give: acquire waits while there is none.\n\n"
                         "ValueError for a value below 0 or above SEM_VALUE_MAX. `ctx` is accepted for compatibility."},
    {Py_tp_new, (void *)semaphore_new},
    {Py_tp_methods, semaphore_methods},
    {Py_tp_getset, plain_getset},
    PLAIN_SLOTS,
    {0, NULL},
};

/* With methods of its own, though they are the same: the interpreter's quick calls are for methods of the exact type. */
static PyType_Slot bounded_slots[] = {
    {Py_tp_doc, (void *)"BoundedSemaphore(value=1, *, ctx=None)\n--\n\n"
                         "A semaphore that may not be released more often than it was acquired: ValueError."},
    {Py_tp_new, (void *)bounded_new},
    {Py_tp_dealloc, (void *)plain_dealloc},
    {Py_tp_methods, semaphore_methods},
    {Py_tp_getset, bounded_getset},
    {0, NULL},
};

static PyType_Spec semaphore_spec = {"procession._primitives.semaphore.Semaphore", sizeof(plain_object), 0, PLAIN_FLAGS, semaphore_slots};
static PyType_Spec bounded_spec = {"procession._primitives.semaphore.BoundedSemaphore", sizeof(plain_object), 0,
                                   Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, bounded_slots};

bool add_semaphore_type(PyObject *module, core_state *state) {
    return (state->semaphore_type = add_type(module, &semaphore_spec, state->object_type)) != NULL &&
           (state->bounded_semaphore_type = add_type(module, &bounded_spec, state->semaphore_type)) != NULL;
}
