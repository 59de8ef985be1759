/* lock_type.c: Lock and RLock.  */
#include "lock_face.h"

#define WORD(self) SHARED(pn_lock, self)

/* ── taking: also Condition's, for its lock ── */
/* Who gets an exception holds nothing. */
static PyObject *drop_again(PyObject *self, pn_lock *lock, pn_code code) {
    if (code != PN_OK) return NULL;
    if (PyObject_TypeCheck(self, STATE(self)->rlock_type))
        pn_rlock_release(lock, pn_self());
    else
        pn_lock_release(lock);
    return NULL;
}

PyObject *lock_take(PyObject *self, pn_lock *lock, wait_args wait) {
    pn_owner me = pn_self();
    if (PN_UNLIKELY(me == 0)) return raise_no_self();
    if (PN_LIKELY(pn_lock_try(lock, me) == PN_OK)) return lock_taken(self, lock, PN_OK);
    int64_t timeout = timeout_of(wait);
    pn_deadline deadline = deadline_after(timeout);
    pn_code code;
    if (timeout == 0)
        code = pn_lock_acquire_slow(lock, me, PN_NOW);
    else
        WITHOUT_GIL(code, pn_lock_acquire_slow(lock, pn_self(), deadline));
    return lock_taken(self, lock, code);
}

PyObject *lock_taken(PyObject *self, pn_lock *lock, pn_code code) {
    if (PN_UNLIKELY(fault_raised())) return drop_again(self, lock, code);
    switch (code) {
    case PN_OK: Py_RETURN_TRUE;
    case PN_TIMEOUT: Py_RETURN_FALSE;
    case PN_OWNER_DIED: return raise_owner_died(self, pn_lock_owner(lock));
    default: return raise_code(code);
    }
}

PyObject *rlock_take(PyObject *self, pn_lock *lock, wait_args wait) {
    pn_owner me = pn_self();
    if (PN_UNLIKELY(me == 0)) return raise_no_self();
    pn_code code = pn_rlock_try(lock, me);
    if (PN_LIKELY(code == PN_OK)) return lock_taken(self, lock, PN_OK);
    code = pn_rlock_acquire(lock, me, PN_NOW);
    int64_t timeout = timeout_of(wait);
    if (code == PN_TIMEOUT && timeout != 0) {
        pn_deadline deadline = deadline_after(timeout);
        WITHOUT_GIL(code, pn_rlock_acquire(lock, pn_self(), deadline));
    }
    return lock_taken(self, lock, code);
}

PyObject *lock_give(pn_lock *lock) {
    if (PN_UNLIKELY(pn_lock_release(lock) != PN_OK)) {
        PyErr_SetString(PyExc_ValueError, "semaphore or lock released too many times");
        return NULL;
    }
    return PN_UNLIKELY(fault_raised()) ? NULL : Py_NewRef(Py_None);
}

PyObject *rlock_give(pn_lock *lock) {
    if (PN_UNLIKELY(pn_rlock_release(lock, pn_self()) != PN_OK)) {
        PyErr_SetString(PyExc_AssertionError, "attempt to release recursive lock not owned by thread");
        return NULL;
    }
    return PN_UNLIKELY(fault_raised()) ? NULL : Py_NewRef(Py_None);
}

/* ── methods ── */
static PyObject *lock_acquire(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    wait_args wait = WAIT_FOREVER;
    if ((n != 0 || names != NULL) && !parse_wait(STATE(self), "acquire", args, n, names, 0, &wait)) return NULL;
    return lock_take(self, WORD(self), wait);
}

static PyObject *rlock_acquire(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    wait_args wait = WAIT_FOREVER;
    if ((n != 0 || names != NULL) && !parse_wait(STATE(self), "acquire", args, n, names, 0, &wait)) return NULL;
    return rlock_take(self, WORD(self), wait);
}

static PyObject *lock_enter(PyObject *self, PyObject *unused) { return (void)unused, lock_take(self, WORD(self), WAIT_FOREVER); }
static PyObject *rlock_enter(PyObject *self, PyObject *unused) { return (void)unused, rlock_take(self, WORD(self), WAIT_FOREVER); }
static PyObject *lock_release(PyObject *self, PyObject *unused) { return (void)unused, lock_give(WORD(self)); }
static PyObject *rlock_release(PyObject *self, PyObject *unused) { return (void)unused, rlock_give(WORD(self)); }

static PyObject *lock_exit(PyObject *self, PyObject *const *args, Py_ssize_t n) { return (void)args, (void)n, lock_give(WORD(self)); }
static PyObject *rlock_exit(PyObject *self, PyObject *const *args, Py_ssize_t n) { return (void)args, (void)n, rlock_give(WORD(self)); }

static PyObject *lock_locked(PyObject *self, PyObject *unused) { return (void)unused, PyBool_FromLong(pn_lock_owner(WORD(self)) != 0); }

static PyObject *lock_recover(PyObject *self, PyObject *unused) { return (void)unused, PyBool_FromLong(pn_lock_recover(WORD(self))); }

static PyObject *lock_owner(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromUnsignedLongLong(pn_lock_owner(WORD(self)));
}

bool lock_is_mine(const pn_lock *lock) {
    pn_owner me = pn_self();
    return me != 0 && pn_lock_is_mine(lock, me);
}

static PyObject *lock_mine(PyObject *self, PyObject *unused) { return (void)unused, PyBool_FromLong(lock_is_mine(WORD(self))); }

static PyObject *lock_count(PyObject *self, PyObject *unused) { return (void)unused, PyLong_FromLong(lock_is_mine(WORD(self))); }

static PyObject *rlock_count(PyObject *self, PyObject *unused) {
    (void)unused;
    pn_owner me = pn_self();
    return me == 0 ? raise_no_self() : PyLong_FromUnsignedLong(pn_rlock_levels(WORD(self), me));
}

#define ACQUIRE_DOC "acquire(block=True, timeout=None)\n--\n\nTake the lock; whether it was taken in time. Raises OwnerDied if its holder is dead."
#define COMMON_METHODS                                                                                                       \
    {"locked", lock_locked, METH_NOARGS, "locked()\n--\n\nIs it held (or was, by a process that is dead)?"},                   \
    {"recover", lock_recover, METH_NOARGS, "recover()\n--\n\nFree the lock of a dead holder; whether there was one."},         \
    {"owner", lock_owner, METH_NOARGS, "owner()\n--\n\nThe owner id of its holder; 0: free."},                                \
    {"is_mine", lock_mine, METH_NOARGS, "is_mine()\n--\n\nDoes this thread hold it?"}

static PyMethodDef lock_methods[] = {
    {"acquire", FAST(lock_acquire), FAST_FLAGS, ACQUIRE_DOC},
    {"release", lock_release, METH_NOARGS, "release()\n--\n\nFree the lock, whoever took it; ValueError if it is free."},
    {"__enter__", lock_enter, METH_NOARGS, NULL},
    {"__exit__", FAST(lock_exit), METH_FASTCALL, NULL},
    {"count", lock_count, METH_NOARGS, "count()\n--\n\n1 if this thread holds it, else 0."},
    COMMON_METHODS,
    PLAIN_METHODS,
    {NULL, NULL, 0, NULL},
};

static PyMethodDef rlock_methods[] = {
    {"acquire", FAST(rlock_acquire), FAST_FLAGS, ACQUIRE_DOC},
    {"release", rlock_release, METH_NOARGS, "release()\n--\n\nOne level less; AssertionError unless this thread holds it."},
    {"__enter__", rlock_enter, METH_NOARGS, NULL},
    {"__exit__", FAST(rlock_exit), METH_FASTCALL, NULL},
    {"count", rlock_count, METH_NOARGS, "count()\n--\n\nHow often this thread holds it."},
    COMMON_METHODS,
    PLAIN_METHODS,
    {NULL, NULL, 0, NULL},
};

static PyObject *make(PyTypeObject *type, PyObject *args, PyObject *kwargs, bool recursive) {
    core_state *state = state_of_type(type);
    if (state == NULL || !only_context(type, args, kwargs)) return NULL;
    pn_off offset = 0;
    pn_code code = pn_lock_create(recursive, &offset);
    return wrap_created(state, type, code, offset);
}

static PyObject *lock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) { return make(type, args, kwargs, false); }
static PyObject *rlock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) { return make(type, args, kwargs, true); }

static PyType_Slot lock_slots[] = {
    {Py_tp_doc, (void *)"Lock(*, ctx=None)\n--\n\n"
                         "A lock between processes and threads; anybody may release it, whoever took it.\n\n"
                         "acquire(block=True, timeout=None) returns whether it was taken; a negative timeout is 0, None waits for ever.\n"
                         "A holder that dies is told to whoever waits or comes later as OwnerDied; recover() frees its lock.\n"
                         "`ctx` is accepted for compatibility: a lock fits every start method."},
    {Py_tp_new, (void *)lock_new},
    {Py_tp_methods, lock_methods},
    {Py_tp_getset, plain_getset},
    PLAIN_SLOTS,
    {0, NULL},
};

static PyType_Slot rlock_slots[] = {
    {Py_tp_doc, (void *)"RLock(*, ctx=None)\n--\n\n"
                         "A lock that the thread which holds it may take again; it is free after as many releases.\n\n"
                         "release() by anybody else raises AssertionError. As Lock otherwise."},
    {Py_tp_new, (void *)rlock_new},
    {Py_tp_methods, rlock_methods},
    {Py_tp_getset, plain_getset},
    PLAIN_SLOTS,
    {0, NULL},
};

static PyType_Spec lock_spec = {"procession._primitives.lock.Lock", sizeof(plain_object), 0, PLAIN_FLAGS, lock_slots};
static PyType_Spec rlock_spec = {"procession._primitives.lock.RLock", sizeof(plain_object), 0, PLAIN_FLAGS, rlock_slots};

bool add_lock_types(PyObject *module, core_state *state) {
    return (state->lock_type = add_type(module, &lock_spec, state->object_type)) != NULL &&
           (state->rlock_type = add_type(module, &rlock_spec, state->object_type)) != NULL;
}
