/* errors.c: codes of the core as exceptions. Policy, and who is told what in which words, is configured from Python.  */
#include "face.h"

#include <errno.h>

PyObject *raise_no_self(void) {
    PyErr_SetString(PyExc_OSError, "this process cannot join its program's process table: 4095 processes are alive, or the arena "
                                   "could not be opened; end some of them, or raise the memory limit (RLIMIT_AS, cgroup)");
    return NULL;
}

PyObject *raise_fault(void) {
    PyErr_SetString(PyExc_RuntimeError, "a fault point that a test armed with 'raise' was reached");
    return NULL;
}

PyObject *raise_code(pn_code code) {
    switch (code) {
    case PN_NOMEM:
        PyErr_SetString(PyExc_MemoryError, "no shared memory left: the arena is at its cap (procession.set_memory_limit), or the kernel refuses more pages "
                                           "(cgroup limit); consume messages, or drop shared objects");
        break;
    case PN_TOO_BIG: PyErr_SetString(PyExc_OverflowError, "larger than a block of the arena can be (64 GiB)"); break;
    case PN_NO_SLOT: return raise_no_self();
    case PN_OVERFLOW: PyErr_SetString(PyExc_OverflowError, "more pins of one object than can be counted: messages that hold it are never received"); break;
    case PN_SYSTEM: return PyErr_SetFromErrno(PyExc_OSError);
    case PN_INTERRUPTED: /* its exception is set */
        if (PyErr_Occurred()) return NULL; /* fall through */
    default: PyErr_Format(PyExc_SystemError, "the native core returned code %d here: our bug, please report it", (int)code);
    }
    return NULL;
}

/* `configured` is an exception, or a callable that gives one: a module need not be imported for what may never be raised. */
PyObject *raise_configured(PyObject *configured, PyObject *instead, const char *message) {
    PyObject *exception = configured == NULL || PyExceptionClass_Check(configured) ? Py_XNewRef(configured) : PyObject_CallNoArgs(configured);
    if (exception == NULL && PyErr_Occurred()) return NULL;
    if (message == NULL)
        PyErr_SetNone(exception == NULL ? instead : exception);
    else
        PyErr_SetString(exception == NULL ? instead : exception, message);
    Py_XDECREF(exception);
    return NULL;
}

static PyObject *raise_made(PyObject *made) {
    if (made == NULL) return NULL;
    if (PyExceptionInstance_Check(made))
        PyErr_SetObject((PyObject *)Py_TYPE(made), made);
    else
        PyErr_Format(PyExc_TypeError, "a callable given to configure() must return an exception, not %R", made);
    Py_DECREF(made);
    return NULL;
}

PyObject *raise_owner_died(PyObject *self, pn_owner owner) {
    PyObject *build = STATE(self)->with.owner_died;
    if (build == NULL)
        return PyErr_Format(PyExc_RuntimeError, "the process that held this object died without releasing it (owner %llx); repair what it "
                                                "guards, then call recover()", (unsigned long long)owner);
    PyObject *number = PyLong_FromUnsignedLongLong(owner);
    if (number == NULL) return NULL;
    PyObject *made = PyObject_CallFunctionObjArgs(build, self, number, NULL);
    Py_DECREF(number);
    return raise_made(made);
}

PyObject *raise_stale(core_state *state, const char *kind, pn_off offset) {
    if (state->with.stale == NULL)
        return PyErr_Format(PyExc_RuntimeError, "the %s at offset %llu no longer exists, or belongs to another program", kind,
                            (unsigned long long)offset);
    return raise_made(PyObject_CallFunction(state->with.stale, "sK", kind, (unsigned long long)offset));
}

bool parse_uint(PyObject *obj, const char *what, uint64_t max, uint64_t *value) {
    PyObject *number = PyNumber_Index(obj);
    if (number == NULL) return false;
    uint64_t parsed = PyLong_AsUnsignedLongLong(number);
    Py_DECREF(number);
    bool outside = parsed == UINT64_MAX && PyErr_Occurred();
    if (outside && !PyErr_ExceptionMatches(PyExc_OverflowError)) return false;
    if (outside || parsed > max) {
        PyErr_Clear();
        PyErr_Format(PyExc_ValueError, "%s must be an integer from 0 to %llu, not %R", what, (unsigned long long)max, obj);
        return false;
    }
    *value = parsed;
    return true;
}
