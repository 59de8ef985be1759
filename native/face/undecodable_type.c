/* undecodable_type.c: what stands for a message that could not be decoded: its error, in the message's place.  */
#include <stddef.h>

#include "queue_face.h"

#include <structmember.h>

typedef struct undecodable {
    PyObject_HEAD
    PyObject *error;
} undecodable;

PyObject *undecodable_from_error(core_state *state) {
    if (!PyErr_ExceptionMatches(PyExc_Exception)) return NULL; /* KeyboardInterrupt, SystemExit: not the message's doing */
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    if (traceback != NULL) PyException_SetTraceback(error, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    allocfunc alloc = (allocfunc)PyType_GetSlot(state->undecodable_type, Py_tp_alloc);
    undecodable *self = (undecodable *)(void *)alloc(state->undecodable_type, 0);
    if (self == NULL)
        Py_XDECREF(error);
    else
        self->error = error;
    return (PyObject *)self;
}

static int undecodable_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((undecodable *)(void *)self)->error);
    return 0;
}

static int undecodable_clear(PyObject *self) {
    Py_CLEAR(((undecodable *)(void *)self)->error);
    return 0;
}

static void undecodable_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    undecodable_clear(self);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyMemberDef undecodable_members[] = {
    {"error", T_OBJECT, offsetof(undecodable, error), READONLY, "What decoding raised."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot undecodable_slots[] = {
    {Py_tp_doc, (void *)"What stands for a message that could not be decoded."},
    {Py_tp_dealloc, (void *)undecodable_dealloc},
    {Py_tp_traverse, (void *)undecodable_traverse},
    {Py_tp_clear, (void *)undecodable_clear},
    {Py_tp_members, undecodable_members},
    {0, NULL},
};

static PyType_Spec undecodable_spec = {"procession._native._core.Undecodable", sizeof(undecodable), 0,
                                       Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, undecodable_slots};

bool add_undecodable_type(PyObject *module, core_state *state) {
    return (state->undecodable_type = add_type(module, &undecodable_spec, NULL)) != NULL;
}
