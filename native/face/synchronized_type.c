/* synchronized_type.c: SynchronizedBase, the wrapper of a ctypes object with its lock, and Synchronized, that of a simple value.
 *
 * What may be wrapped, which lock it gets and how it travels is decided in Python: `configure(synchronize=..., reduce_synchronized=...)`.
 * An access with a known code and one of our locks is one call: take, load or store, give. All else is done by ctypes under the lock.  */
#include "value_face.h"

#include <structmember.h>

/* ── the lock ── */
bool synchronized_is_ready(synchronized_object *self) {
    if (PN_LIKELY(self->obj != NULL)) return true;
    PyErr_Format(PyExc_ValueError, "this %R has no object: its __init__ did not call super().__init__(obj, lock)", Py_TYPE((PyObject *)self));
    return false;
}

static bool drop_result(PyObject *result) {
    Py_XDECREF(result);
    return result != NULL;
}

bool synchronized_take(synchronized_object *self) {
    if (!synchronized_is_ready(self)) return false;
    if (self->word == NULL) return drop_result(PyObject_CallMethod(self->lock, "acquire", NULL));
    return drop_result((self->recursive ? rlock_take : lock_take)(self->lock, self->word, WAIT_FOREVER));
}

static PyObject *give(synchronized_object *self) {
    if (self->word == NULL) return PyObject_CallMethod(self->lock, "release", NULL);
    return self->recursive ? rlock_give(self->word) : lock_give(self->word);
}

bool synchronized_give(synchronized_object *self) { return drop_result(give(self)); }

PyObject *synchronized_done(synchronized_object *self, PyObject *result) {
    PyObject *type = NULL, *error = NULL, *traceback = NULL;
    if (result == NULL) PyErr_Fetch(&type, &error, &traceback);
    bool given = synchronized_give(self);
    if (result != NULL && !given) Py_CLEAR(result);
    if (type == NULL) return result;
    if (!given) PyErr_Clear(); /* the access failed first, and the caller is told of that */
    PyErr_Restore(type, error, traceback);
    return NULL;
}

PyObject *read_item(synchronized_object *self, char *item) {
    item_bits bits;
    if (!PN_LIKELY(access_at_once(self, item, &bits, false))) {
        if (!synchronized_take(self)) return NULL;
        bits = load_bits(self->code, item);
        if (!synchronized_give(self)) return NULL;
    }
    return PN_UNLIKELY(fault_raised()) ? NULL : object_of_bits(self->code, bits);
}

int write_item(synchronized_object *self, char *item, item_bits bits) {
    if (PN_LIKELY(access_at_once(self, item, &bits, true))) return PN_UNLIKELY(fault_raised()) ? -1 : 0;
    if (!synchronized_take(self)) return -1;
    store_bits(self->code, item, bits);
    return synchronized_give(self) ? 0 : -1;
}

/* ── making ── */
static bool has_method_of(PyObject *lock, PyTypeObject *type, const char *name) {
    PyObject *its = PyObject_GetAttrString((PyObject *)Py_TYPE(lock), name), *ours = PyObject_GetAttrString((PyObject *)type, name);
    bool same = its != NULL && its == ours;
    if (its == NULL || ours == NULL) PyErr_Clear();
    Py_XDECREF(its);
    Py_XDECREF(ours);
    return same;
}

/* One of our locks, unless a subclass has methods of its own: those are called then. */
static void find_word(synchronized_object *self) {
    core_state *state = self->state;
    self->recursive = PyObject_TypeCheck(self->lock, state->rlock_type);
    if (!self->recursive && !PyObject_TypeCheck(self->lock, state->lock_type)) return;
    PyTypeObject *type = self->recursive ? state->rlock_type : state->lock_type;
    static const char *const names[] = {"acquire", "release", "__enter__", "__exit__"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!has_method_of(self->lock, type, names[i])) return;
    self->word = SHARED(pn_lock, self->lock);
}

static bool find_items(synchronized_object *self, const char *code) {
    Py_buffer view;
    self->size = code_size(code[0]);
    if (self->size == 0) return true;
    if (PyObject_GetBuffer(self->obj, &view, PyBUF_WRITABLE) < 0) return false;
    self->code = code[0];
    self->items = view.buf;
    self->length = view.len / self->size;
    PyBuffer_Release(&view);
    return true;
}

static PyObject *give_lock(PyObject *lock, PyObject *const *args, Py_ssize_t n) {
    (void)args;
    return n == 0 ? Py_NewRef(lock) : PyErr_Format(PyExc_TypeError, "get_lock() takes no arguments (%zd given)", n);
}
static PyMethodDef give_lock_method = {"get_lock", FAST(give_lock), METH_FASTCALL, "get_lock()\n--\n\nThe lock."};

static int synchronized_init(PyObject *object, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"obj", "lock", "ctx", NULL};
    synchronized_object *self = SYNCHRONIZED(object);
    PyObject *obj, *lock = Py_None, *ctx = Py_None, *decide = self->state->with.synchronize;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OO:SynchronizedBase", names, &obj, &lock, &ctx)) return -1;
    if (self->obj != NULL || decide == NULL) {
        PyErr_SetString(PyExc_TypeError, self->obj != NULL ? "a wrapper cannot be initialised again" : "import procession.sharedctypes first");
        return -1;
    }
    PyObject *decided = PyObject_CallFunctionObjArgs(decide, obj, lock, ctx, NULL);
    const char *code;
    if (decided == NULL) return -1;
    if (!PyArg_ParseTuple(decided, "Os:synchronize", &lock, &code)) return Py_DECREF(decided), -1;
    self->obj = Py_NewRef(obj);
    self->lock = Py_NewRef(lock);
    find_word(self);
    self->give_lock = PyCFunction_New(&give_lock_method, lock);
    bool found = self->give_lock != NULL && find_items(self, code);
    Py_DECREF(decided);
    return found ? 0 : -1;
}

static PyObject *synchronized_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)args, (void)kwargs;
    core_state *state = state_of_type(type);
    if (state == NULL) return NULL;
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    PyObject *self = alloc(type, 0);
    if (self != NULL) SYNCHRONIZED(self)->state = state;
    return self;
}

static int synchronized_traverse(PyObject *object, visitproc visit, void *arg) {
    synchronized_object *self = SYNCHRONIZED(object);
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->obj);
    Py_VISIT(self->lock);
    Py_VISIT(self->give_lock);
    Py_VISIT(self->attributes);
    return 0;
}

/* Only the attributes can close a cycle that matters; without obj and lock a wrapper would point to memory that is gone. */
static int synchronized_clear(PyObject *object) {
    Py_CLEAR(SYNCHRONIZED(object)->attributes);
    return 0;
}

void synchronized_dealloc(PyObject *object) {
    synchronized_object *self = SYNCHRONIZED(object);
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (self->weakrefs != NULL) PyObject_ClearWeakRefs(object);
    Py_XDECREF(self->attributes);
    Py_XDECREF(self->obj);
    Py_XDECREF(self->lock);
    Py_XDECREF(self->give_lock);
    freefunc free_object = (freefunc)PyType_GetSlot(type, Py_tp_free);
    free_object(object);
    Py_DECREF(type);
}

/* ── methods ── */
static PyObject *synchronized_get_obj(PyObject *self, PyObject *unused) {
    (void)unused;
    return synchronized_is_ready(SYNCHRONIZED(self)) ? Py_NewRef(SYNCHRONIZED(self)->obj) : NULL;
}

static PyObject *synchronized_get_lock(PyObject *self, PyObject *unused) {
    (void)unused;
    return synchronized_is_ready(SYNCHRONIZED(self)) ? Py_NewRef(SYNCHRONIZED(self)->lock) : NULL;
}

static PyObject *synchronized_enter(PyObject *object, PyObject *unused) {
    (void)unused;
    synchronized_object *self = SYNCHRONIZED(object);
    if (!synchronized_is_ready(self)) return NULL;
    if (self->word == NULL) return PyObject_CallMethod(self->lock, "__enter__", NULL);
    return (self->recursive ? rlock_take : lock_take)(self->lock, self->word, WAIT_FOREVER);
}

static PyObject *synchronized_exit(PyObject *object, PyObject *args) {
    synchronized_object *self = SYNCHRONIZED(object);
    if (!synchronized_is_ready(self)) return NULL;
    if (self->word != NULL) return give(self);
    PyObject *leave = PyObject_GetAttrString(self->lock, "__exit__");
    PyObject *result = leave == NULL ? NULL : PyObject_CallObject(leave, args);
    Py_XDECREF(leave);
    return result;
}

static PyObject *synchronized_reduce(PyObject *self, PyObject *unused) {
    (void)unused;
    PyObject *reduce = SYNCHRONIZED(self)->state->with.reduce_synchronized;
    return synchronized_is_ready(SYNCHRONIZED(self)) ? PyObject_CallFunctionObjArgs(reduce, self, NULL) : NULL;
}

static PyObject *synchronized_repr(PyObject *self) {
    PyObject *name = PyType_GetName(Py_TYPE(self)), *obj = SYNCHRONIZED(self)->obj;
    PyObject *text = name == NULL ? NULL : PyUnicode_FromFormat("<%U wrapper for %S>", name, obj == NULL ? Py_None : obj);
    Py_XDECREF(name);
    return text;
}

static PyObject *synchronized_method(PyObject *self, void *name) {
    return synchronized_is_ready(SYNCHRONIZED(self)) ? PyObject_GetAttrString(SYNCHRONIZED(self)->lock, name) : NULL;
}

static PyMethodDef base_methods[] = {
    {"get_obj", synchronized_get_obj, METH_NOARGS, "get_obj()\n--\n\nThe ctypes object itself."},
    {"get_lock", synchronized_get_lock, METH_NOARGS, "get_lock()\n--\n\nThe lock."},
    {"__enter__", synchronized_enter, METH_NOARGS, NULL},
    {"__exit__", synchronized_exit, METH_VARARGS, NULL},
    {"__reduce__", synchronized_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef base_getset[] = {
    {"acquire", synchronized_method, NULL, "The lock's own method.", (void *)"acquire"},
    {"release", synchronized_method, NULL, "The lock's own method.", (void *)"release"},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef base_members[] = {
    {"_obj", T_OBJECT_EX, offsetof(synchronized_object, obj), READONLY, NULL},
    {"_lock", T_OBJECT_EX, offsetof(synchronized_object, lock), READONLY, NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(synchronized_object, attributes), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(synchronized_object, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot base_slots[] = {
    {Py_tp_doc, (void *)"SynchronizedBase(obj, lock=None, ctx=None)\n--\n\nA ctypes object with its lock; a with statement holds the lock."},
    {Py_tp_new, (void *)synchronized_new},
    {Py_tp_init, (void *)synchronized_init},
    {Py_tp_dealloc, (void *)synchronized_dealloc},
    {Py_tp_traverse, (void *)synchronized_traverse},
    {Py_tp_clear, (void *)synchronized_clear},
    {Py_tp_repr, (void *)synchronized_repr},
    {Py_tp_methods, base_methods},
    {Py_tp_getset, base_getset},
    {Py_tp_members, base_members},
    {0, NULL},
};

/* ── a simple value ── */
static PyObject *value_get(PyObject *object, void *unused) {
    (void)unused;
    synchronized_object *self = SYNCHRONIZED(object);
    if (PN_LIKELY(self->code != 0)) return read_item(self, self->items);
    return synchronized_take(self) ? synchronized_done(self, PyObject_GetAttrString(self->obj, "value")) : NULL;
}

static int value_set(PyObject *object, PyObject *value, void *unused) {
    (void)unused;
    synchronized_object *self = SYNCHRONIZED(object);
    item_bits bits;
    if (PN_LIKELY(self->code != 0 && value != NULL && bits_of_object(self->code, value, &bits))) return write_item(self, self->items, bits);
    if (value == NULL) return PyErr_SetString(PyExc_AttributeError, "the value of a shared object cannot be deleted"), -1;
    if (!synchronized_take(self)) return -1;
    PyObject *done = PyObject_SetAttrString(self->obj, "value", value) < 0 ? NULL : Py_NewRef(Py_None);
    return drop_result(synchronized_done(self, done)) ? 0 : -1;
}

/* The two names that a loop asks for, without a look-up. Names in code are interned; whatever else comes here goes the general way, and so
 * do subclasses, which may have their own. */
static PyObject *value_get_attribute(PyObject *object, PyObject *name) {
    core_state *state = SYNCHRONIZED(object)->state;
    if (PN_LIKELY(Py_TYPE(object) == state->value_type)) {
        if (name == state->name_value) return value_get(object, NULL);
        if (name == state->name_get_lock && SYNCHRONIZED(object)->give_lock != NULL) return Py_NewRef(SYNCHRONIZED(object)->give_lock);
    }
    return PyObject_GenericGetAttr(object, name);
}

static int value_set_attribute(PyObject *object, PyObject *name, PyObject *value) {
    core_state *state = SYNCHRONIZED(object)->state;
    if (PN_LIKELY(name == state->name_value && Py_TYPE(object) == state->value_type)) return value_set(object, value, NULL);
    return PyObject_GenericSetAttr(object, name, value);
}

static PyGetSetDef value_getset[] = {
    {"value", value_get, value_set, "The value, read and written under the lock.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot value_slots[] = {
    {Py_tp_doc, (void *)"Synchronized(obj, lock=None, ctx=None)\n--\n\nA simple value with its lock: `value` reads and writes it under the lock."},
    {Py_tp_dealloc, (void *)synchronized_dealloc},
    {Py_tp_getattro, (void *)value_get_attribute},
    {Py_tp_setattro, (void *)value_set_attribute},
    {Py_tp_getset, value_getset},
    {0, NULL},
};

#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE)
static PyType_Spec base_spec = {"procession._primitives.values.SynchronizedBase", sizeof(synchronized_object), 0, FLAGS | Py_TPFLAGS_HAVE_GC, base_slots};
static PyType_Spec value_spec = {"procession._primitives.values.Synchronized", sizeof(synchronized_object), 0, FLAGS, value_slots};

bool add_synchronized_types(PyObject *module, core_state *state) {
    return (state->synchronized_type = add_type(module, &base_spec, NULL)) != NULL &&
           (state->value_type = add_type(module, &value_spec, state->synchronized_type)) != NULL;
}
