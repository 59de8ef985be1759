/* attributes.c: what Lock, RLock, the semaphores and Event have besides their methods: attributes of their own, a repr, pickling.
 *
 * People get these types as they are: the interpreter's quick calls are for exact types only, so a class of Python's above them would
 * cost each call 10 ns. What repr() and pickle say is configured from Python.
 * Promise: one without attributes costs the collector nothing; it is tracked from the first attribute on.  */
#include "face.h"

#define SELF(self) ((plain_object *)(void *)(self))

static void track(PyObject *self) {
    if (SELF(self)->attributes != NULL && !PyObject_GC_IsTracked(self)) PyObject_GC_Track(self);
}

void plain_dealloc(PyObject *self) {
    PyObject_GC_UnTrack(self);
    Py_CLEAR(SELF(self)->attributes);
    object_dealloc(self);
}

int plain_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(SELF(self)->attributes);
    return 0;
}

int plain_clear(PyObject *self) {
    Py_CLEAR(SELF(self)->attributes);
    return 0;
}

int plain_set_attribute(PyObject *self, PyObject *name, PyObject *value) {
    int result = PyObject_GenericSetAttr(self, name, value);
    track(self);
    return result;
}

static PyObject *get_dict(PyObject *self, void *context) {
    PyObject *attributes = PyObject_GenericGetDict(self, context);
    track(self);
    return attributes;
}

static int set_dict(PyObject *self, PyObject *value, void *context) {
    int result = PyObject_GenericSetDict(self, value, context);
    track(self);
    return result;
}

/* Whatever __new__ has taken: `ctx`, and what a subclass in Python passes on. */
int plain_init(PyObject *self, PyObject *args, PyObject *kwargs) { return (void)self, (void)args, (void)kwargs, 0; }

bool only_context(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    if (PyType_GetSlot(type, Py_tp_init) != (void *)plain_init) return true; /* a subclass's __init__ may want more */
    Py_ssize_t named = kwargs == NULL ? 0 : PyDict_Size(kwargs);
    if (PyTuple_Size(args) == 0 && (named == 0 || (named == 1 && PyDict_GetItemString(kwargs, "ctx") != NULL))) return true;
    PyErr_Format(PyExc_TypeError, "%R takes no arguments but the keyword ctx", type);
    return false;
}

PyObject *plain_repr(PyObject *self) {
    PyObject *represent = STATE(self)->with.represent;
    if (represent != NULL) return PyObject_CallFunctionObjArgs(represent, self, NULL);
    return PyUnicode_FromFormat("<%R at %p>", Py_TYPE(self), (void *)self);
}

PyObject *plain_reduce(PyObject *self, PyObject *unused) {
    (void)unused;
    PyObject *reduce = STATE(self)->with.reduce;
    PyObject *attributes = SELF(self)->attributes;
    if (reduce != NULL) return PyObject_CallFunctionObjArgs(reduce, self, attributes == NULL ? Py_None : attributes, NULL);
    return PyErr_Format(PyExc_TypeError, "%R cannot be pickled: configure() was not given how", Py_TYPE(self));
}

PyMemberDef plain_members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(plain_object, attributes), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyGetSetDef plain_getset[] = {
    {"__dict__", get_dict, set_dict, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
