/* objects.c: Object, the base of all wrappers: handles, references, pins.  */
#include "face.h"

/* ── making ── */
/* A class written in Python has another tp_dealloc: asking it for its module would raise, which costs more than all the rest. */
static bool is_ours(PyTypeObject *type) {
    if (!(PyType_GetFlags(type) & Py_TPFLAGS_HEAPTYPE)) return false;
    void *dealloc = PyType_GetSlot(type, Py_tp_dealloc);
    return dealloc == (void *)object_dealloc || dealloc == (void *)plain_dealloc || dealloc == (void *)condition_dealloc ||
           dealloc == (void *)watcher_dealloc || dealloc == (void *)synchronized_dealloc || dealloc == (void *)stream_dealloc;
}

core_state *state_of_type(PyTypeObject *type) {
    for (PyTypeObject *t = type; t != NULL; t = (PyTypeObject *)PyType_GetSlot(t, Py_tp_base))
        if (is_ours(t)) return (core_state *)PyType_GetModuleState(t);
    PyErr_SetString(PyExc_TypeError, "not a class of procession's native core");
    return NULL;
}

PyObject *wrap(core_state *state, PyTypeObject *type, pn_off offset) {
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    shared_object *self = (shared_object *)(void *)alloc(type, 0);
    if (self == NULL) {
        pn_object_detach_cookie(offset, pn_object_cookie());
        return NULL;
    }
    self->base.state = state;
    self->base.offset = offset;
    self->base.cookie = pn_object_cookie();
    self->base.generation = atomic_load_explicit(&((pn_block *)pn_at(offset))->generation, memory_order_relaxed);
    self->shared = pn_at(offset);
    if (PyType_GetSlot(type, Py_tp_dealloc) == (void *)plain_dealloc) PyObject_GC_UnTrack((PyObject *)self); /* attributes.c */
    return (PyObject *)self;
}

PyObject *wrap_created(core_state *state, PyTypeObject *type, pn_code code, pn_off offset) {
    return code == PN_OK ? wrap(state, type, offset) : raise_code(code);
}

static bool has_own_init(PyTypeObject *type) {
    return PyType_GetSlot(type, Py_tp_init) != PyType_GetSlot(&PyBaseObject_Type, Py_tp_init);
}

bool no_arguments(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    bool none = PyTuple_Size(args) == 0 && (kwargs == NULL || PyDict_Size(kwargs) == 0);
    if (none || has_own_init(type)) return true;
    PyErr_Format(PyExc_TypeError, "%R takes no arguments", type);
    return false;
}

void object_dealloc(PyObject *self) {
    face_object *object = (face_object *)(void *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (object->weakrefs != NULL) PyObject_ClearWeakRefs(self);
    if (object->offset != 0) pn_object_detach_cookie(object->offset, object->cookie);
    freefunc free_object = (freefunc)PyType_GetSlot(type, Py_tp_free);
    free_object(self);
    Py_DECREF(type);
}

PyTypeObject *add_type(PyObject *module, PyType_Spec *spec, PyTypeObject *base) {
    PyObject *type = PyType_FromModuleAndSpec(module, spec, (PyObject *)base);
    if (type == NULL) return NULL;
    if (PyModule_AddType(module, (PyTypeObject *)type) == 0) return (PyTypeObject *)type; /* the state holds this reference */
    Py_DECREF(type);
    return NULL;
}

/* ── handles ── */
static bool parse_handle(PyObject *handle, pn_off *offset, uint32_t *generation) {
    if (PyTuple_Check(handle) && PyTuple_Size(handle) == 2) {
        *offset = PyLong_AsUnsignedLongLong(PyTuple_GetItem(handle, 0));
        unsigned long parsed = PyErr_Occurred() ? 0 : PyLong_AsUnsignedLong(PyTuple_GetItem(handle, 1));
        *generation = (uint32_t)parsed;
        if (!PyErr_Occurred() && parsed <= UINT32_MAX) return true;
        PyErr_Clear();
    }
    PyErr_Format(PyExc_TypeError, "a handle is a pair of integers (offset, generation), not %R", handle);
    return false;
}

bool attach_handle(core_state *state, PyObject *handle, pn_kind kind, const char *name, pn_off *offset) {
    uint32_t generation;
    if (!parse_handle(handle, offset, &generation)) return false;
    pn_code code = pn_base == NULL ? PN_STALE : pn_object_attach(*offset, generation, kind);
    if (code == PN_STALE)
        raise_stale(state, name, *offset);
    else if (code != PN_OK)
        raise_code(code);
    return code == PN_OK;
}

static const char *kind_of(core_state *state, PyTypeObject *type, pn_kind *kind) {
    const struct { PyTypeObject *type; pn_kind kind; const char *name; } kinds[] = {
        {state->lock_type, PN_KIND_LOCK, "Lock"},          {state->rlock_type, PN_KIND_RLOCK, "RLock"},
        {state->semaphore_type, PN_KIND_SEMAPHORE, "Semaphore"}, {state->event_type, PN_KIND_EVENT, "Event"},
        {state->barrier_type, PN_KIND_BARRIER, "Barrier"}, {state->queue_type, PN_KIND_QUEUE, "Queue"},
        {state->table_type, PN_KIND_TABLE, "Table"},       {state->memory_type, PN_KIND_VALUES, "Memory"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (PyType_IsSubtype(type, kinds[i].type)) return *kind = kinds[i].kind, kinds[i].name;
    if (PyType_IsSubtype(type, state->condition_type))
        PyErr_SetString(PyExc_TypeError, "a Condition needs its lock: Condition.attach_with(handle, lock)");
    else
        PyErr_Format(PyExc_TypeError, "%R is not a class of shared objects: attach() is for Lock, Queue and the like", type);
    return NULL;
}

static PyObject *object_attach(PyObject *type, PyTypeObject *defining, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    core_state *state = (core_state *)PyType_GetModuleState(defining);
    if (n != 1 || names != NULL) return PyErr_Format(PyExc_TypeError, "attach() takes one handle, (offset, generation)");
    pn_kind kind;
    const char *name = kind_of(state, (PyTypeObject *)type, &kind);
    pn_off offset;
    if (name == NULL || !attach_handle(state, args[0], kind, name, &offset)) return NULL;
    return wrap(state, (PyTypeObject *)type, offset);
}

static PyObject *object_handle(PyObject *self, void *unused) {
    (void)unused;
    face_object *object = (face_object *)(void *)self;
    return Py_BuildValue("(KI)", (unsigned long long)object->offset, (unsigned int)object->generation);
}

static PyObject *object_pin(PyObject *self, PyObject *unused) {
    (void)unused;
    pn_off offset = ((face_object *)(void *)self)->offset;
    pn_code code = pn_object_pin(offset);
    if (code == PN_OK) Py_RETURN_NONE;
    return code == PN_STALE ? raise_stale(STATE(self), "object", offset) : raise_code(code);
}

static PyObject *object_unpin(PyObject *self, PyObject *unused) {
    (void)unused;
    pn_object_unpin(((face_object *)(void *)self)->offset);
    Py_RETURN_NONE;
}

static PyMethodDef object_methods[] = {
    {"attach", FAST(object_attach), METH_CLASS | METH_METHOD | FAST_FLAGS,
     "attach(handle, /)\n--\n\nAnother wrapper of the object behind handle; raises StaleHandle if it is gone."},
    {"pin", object_pin, METH_NOARGS, "pin()\n--\n\nKeep the object: a handle of it is on its way in a message."},
    {"unpin", object_unpin, METH_NOARGS, "unpin()\n--\n\nThe message has arrived."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef object_getset[] = {
    {"handle", object_handle, NULL, "(offset, generation): what names the object in every process of the program.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef object_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(face_object, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot object_slots[] = {
    {Py_tp_doc, (void *)"The base of every shared object: made by its subclasses, or by attach(handle)."},
    {Py_tp_dealloc, (void *)object_dealloc},
    {Py_tp_methods, object_methods},
    {Py_tp_getset, object_getset},
    {Py_tp_members, object_members},
    {0, NULL},
};

static PyType_Spec object_spec = {
    .name = "procession._native._core.Object",
    .basicsize = sizeof(face_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = object_slots,
};

bool add_object_type(PyObject *module, core_state *state) {
    return (state->object_type = add_type(module, &object_spec, NULL)) != NULL;
}
