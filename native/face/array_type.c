/* array_type.c: SynchronizedArray and SynchronizedString: arrays whose items and slices are read and written under the lock.
 *
 * The buffer is that of the ctypes object: without a copy, and without the lock, which a view could not hold.  */
#include "value_face.h"

/* ── items ── */
/* The place of an item; NULL: an exception is set. */
static char *item_at(synchronized_object *self, PyObject *index) {
    Py_ssize_t at = PyNumber_AsSsize_t(index, PyExc_IndexError);
    if (at == -1 && PyErr_Occurred()) return NULL;
    Py_ssize_t place = at < 0 ? at + self->length : at;
    if (PN_LIKELY(place >= 0 && place < self->length)) return self->items + place * self->size;
    PyErr_Format(PyExc_IndexError, "invalid index: %zd, of an array of %zd items", at, self->length);
    return NULL;
}

static PyObject *read_slice(synchronized_object *self, PyObject *slice) {
    Py_ssize_t start, stop, step;
    if (PySlice_Unpack(slice, &start, &stop, &step) < 0) return NULL;
    Py_ssize_t count = PySlice_AdjustIndices(self->length, &start, &stop, step);
    PyObject *list = PyList_New(count);
    for (Py_ssize_t i = 0; list != NULL && i < count; i++) {
        PyObject *item = object_of_bits(self->code, load_bits(self->code, self->items + (start + i * step) * self->size));
        if (item == NULL)
            Py_CLEAR(list);
        else
            (void)PyList_SetItem(list, i, item); /* cannot fail: the list is ours, and as long */
    }
    return list;
}

static PyObject *array_read(synchronized_object *self, PyObject *index) {
    bool is_list = self->code != 0 && self->code != 'c' && PySlice_Check(index); /* of characters it is bytes */
    return is_list ? read_slice(self, index) : PyObject_GetItem(self->obj, index);
}

static PyObject *array_subscript(PyObject *object, PyObject *index) {
    synchronized_object *self = SYNCHRONIZED(object);
    if (PN_LIKELY(self->code != 0 && PyIndex_Check(index))) {
        char *item = item_at(self, index);
        return item == NULL ? NULL : read_item(self, item);
    }
    return synchronized_take(self) ? synchronized_done(self, array_read(self, index)) : NULL;
}

static int array_store(PyObject *object, PyObject *index, PyObject *value) {
    synchronized_object *self = SYNCHRONIZED(object);
    item_bits bits;
    if (value == NULL) return PyErr_SetString(PyExc_TypeError, "items of a shared array cannot be deleted: its length is fixed"), -1;
    if (PN_LIKELY(self->code != 0 && PyIndex_Check(index) && bits_of_object(self->code, value, &bits))) {
        char *item = item_at(self, index);
        return item == NULL ? -1 : write_item(self, item, bits);
    }
    if (!synchronized_take(self)) return -1;
    PyObject *done = synchronized_done(self, PyObject_SetItem(self->obj, index, value) < 0 ? NULL : Py_NewRef(Py_None));
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* What iterating asks for. */
static PyObject *array_item(PyObject *self, Py_ssize_t at) {
    PyObject *index = PyLong_FromSsize_t(at);
    PyObject *item = index == NULL ? NULL : array_subscript(self, index);
    Py_XDECREF(index);
    return item;
}

static Py_ssize_t array_length(PyObject *self) {
    return synchronized_is_ready(SYNCHRONIZED(self)) ? PyObject_Size(SYNCHRONIZED(self)->obj) : -1;
}

static int array_get_buffer(PyObject *self, Py_buffer *view, int flags) {
    view->obj = NULL;
    return synchronized_is_ready(SYNCHRONIZED(self)) ? PyObject_GetBuffer(SYNCHRONIZED(self)->obj, view, flags) : -1;
}

static PyType_Slot array_slots[] = {
    {Py_tp_doc, (void *)"SynchronizedArray(obj, lock=None, ctx=None)\n--\n\nAn array with its lock: items and slices under the lock; also a buffer."},
    {Py_tp_dealloc, (void *)synchronized_dealloc},
    {Py_mp_subscript, (void *)array_subscript},
    {Py_mp_ass_subscript, (void *)array_store},
    {Py_mp_length, (void *)array_length},
    {Py_sq_item, (void *)array_item},
    {Py_sq_length, (void *)array_length},
    {Py_bf_getbuffer, (void *)array_get_buffer},
    {0, NULL},
};

/* ── strings ── */
static PyObject *string_get(PyObject *object, void *name) {
    synchronized_object *self = SYNCHRONIZED(object);
    return synchronized_take(self) ? synchronized_done(self, PyObject_GetAttrString(self->obj, name)) : NULL;
}

static int string_set(PyObject *object, PyObject *value, void *name) {
    synchronized_object *self = SYNCHRONIZED(object);
    if (value == NULL) return PyErr_Format(PyExc_AttributeError, "'%s' of a shared string cannot be deleted", (const char *)name), -1;
    if (!synchronized_take(self)) return -1;
    PyObject *done = synchronized_done(self, PyObject_SetAttrString(self->obj, name, value) < 0 ? NULL : Py_NewRef(Py_None));
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static PyGetSetDef string_getset[] = {
    {"value", string_get, string_set, "The bytes up to the first NUL, under the lock.", (void *)"value"},
    {"raw", string_get, string_set, "All bytes, under the lock.", (void *)"raw"},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot string_slots[] = {
    {Py_tp_doc, (void *)"SynchronizedString(obj, lock=None, ctx=None)\n--\n\nAn array of characters: `value` up to the first NUL, `raw` all of it."},
    {Py_tp_dealloc, (void *)synchronized_dealloc},
    {Py_tp_getset, string_getset},
    {0, NULL},
};

#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE) /* and garbage collection, as the base */
static PyType_Spec array_spec = {"procession._primitives.values.SynchronizedArray", sizeof(synchronized_object), 0, FLAGS, array_slots};
static PyType_Spec string_spec = {"procession._primitives.values.SynchronizedString", sizeof(synchronized_object), 0, FLAGS, string_slots};

bool add_array_types(PyObject *module, core_state *state) {
    return (state->array_type = add_type(module, &array_spec, state->synchronized_type)) != NULL &&
           (state->string_type = add_type(module, &string_spec, state->array_type)) != NULL;
}
