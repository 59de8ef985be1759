/* block_type.c: see block.h.  */
#include "block.h"

#include <stdlib.h>

#include "../filling.h"
#include "../holding.h"
#include "face.h"

#define PAGE 4096ull
#define COPY_WITHOUT_GIL (64u << 10)
#define MOST_PARTS (1u << 20)

typedef struct part { uint64_t start, size; } part;
typedef struct parts { uint64_t count; part part[]; } parts;

typedef struct block {
    PyObject_HEAD
    pn_off buffer;       /* 0: it was given away */
    pn_holding holding;  /* of a block that was received */
    bool is_held;
} block;

static block *cast(PyObject *self) { return (block *)(void *)self; }
static parts *parts_of(const block *b) { return pn_buffer_bytes(b->buffer); } /* SAFETY: ours since it was made or got */
static uint64_t size_of(const block *b) { return ((const pn_buffer *)pn_at(b->buffer))->size; }
static uint64_t align(uint64_t value, uint64_t to) { return (value + to - 1) / to * to; }

bool block_is(core_state *state, PyObject *obj) { return Py_TYPE(obj) == state->block_type; }

static block *make(core_state *state) {
    allocfunc alloc = (allocfunc)PyType_GetSlot(state->block_type, Py_tp_alloc);
    return (block *)(void *)alloc(state->block_type, 0);
}

/* ── packing ── */
typedef struct packing {
    Py_buffer *from;
    uint32_t count;
    uint64_t size;       /* of the payload */
} packing;

/* Where each part will start: in `at`, if it is not NULL. Returns the end of the last. */
static uint64_t place_parts(const packing *p, bool is_large, part *at) {
    uint64_t end = sizeof(parts) + p->count * sizeof(part);
    for (uint32_t i = 0; i < p->count; i++) {
        uint64_t start = i == 1 && is_large ? align(sizeof(pn_buffer) + end, PAGE) - sizeof(pn_buffer) : align(end, 64);
        if (at != NULL) at[i] = (part){start, (uint64_t)p->from[i].len};
        end = start + (uint64_t)p->from[i].len;
    }
    return end;
}

/* The table of the parts, and they. */
static pn_code fill_with(const packing *p, uint64_t size, const parts *table, pn_piece *pieces, pn_off *buffer) {
    pieces[0] = (pn_piece){.from = table, .size = sizeof *table + p->count * sizeof(part)};
    for (uint32_t i = 0; i < p->count; i++) pieces[i + 1] = (pn_piece){table->part[i].start, p->from[i].buf, table->part[i].size};
    return pn_buffer_create_filled(size, pieces, p->count + 1, buffer);
}

static pn_code fill(const packing *p, pn_off *buffer) {
    uint64_t size = place_parts(p, false, NULL);
    bool is_large = size >= BLOCK_LARGE;
    parts *table = malloc(sizeof *table + p->count * sizeof(part));
    pn_piece *pieces = malloc((p->count + 1ull) * sizeof *pieces);
    pn_code code = PN_NOMEM;
    if (table != NULL && pieces != NULL) {
        table->count = p->count;
        size = place_parts(p, is_large, table->part);
        code = fill_with(p, is_large && size < BLOCK_ALIGNED ? BLOCK_ALIGNED : size, table, pieces, buffer);
    }
    free(table);
    free(pieces);
    return code;
}

static PyObject *pack(core_state *state, const packing *p) {
    block *b = make(state);
    if (b == NULL) return NULL;
    pn_code code;
    if (p->size < COPY_WITHOUT_GIL) {
        code = fill(p, &b->buffer);
    } else {
        Py_BEGIN_ALLOW_THREADS
        code = fill(p, &b->buffer);
        Py_END_ALLOW_THREADS
    }
    if (code == PN_OK) return (PyObject *)b;
    Py_DECREF(b);
    return raise_code(code);
}

/* pack(pickle, buffers): a class method, so that it finds the module's state. */
static PyObject *block_pack(PyObject *type, PyTypeObject *defining, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    (void)type;
    if (n != 2 || names != NULL) return PyErr_Format(PyExc_TypeError, "pack() takes a pickle and a list of buffers");
    Py_ssize_t count = PySequence_Size(args[1]);
    if (count < 0 || count >= MOST_PARTS) return count < 0 ? NULL : PyErr_Format(PyExc_ValueError, "%zd buffers are too many", count);
    packing p = {.from = PyMem_Calloc((size_t)count + 1, sizeof(Py_buffer))};
    PyObject *packed = NULL;
    if (p.from == NULL) return PyErr_NoMemory();
    for (bool ok = true; ok && p.count <= (uint32_t)count; p.count += ok) {
        PyObject *one = p.count == 0 ? Py_NewRef(args[0]) : PySequence_GetItem(args[1], (Py_ssize_t)p.count - 1);
        ok = one != NULL && PyObject_GetBuffer(one, &p.from[p.count], PyBUF_SIMPLE) == 0;
        Py_XDECREF(one); /* the buffer holds it */
        if (ok) p.size += (uint64_t)p.from[p.count].len;
    }
    if (p.count == (uint32_t)count + 1) packed = pack((core_state *)PyType_GetModuleState(defining), &p);
    for (uint32_t i = 0; i < p.count; i++) PyBuffer_Release(&p.from[i]);
    PyMem_Free(p.from);
    return packed;
}

pn_message block_message(PyObject *self) {
    const block *b = cast(self);
    return (pn_message){.bytes = parts_of(b), .size = size_of(b), .tag = PN_TAG_PARTS, .outside = b->buffer};
}

void block_given(PyObject *self) { cast(self)->buffer = 0; }

/* ── unpacking ── */
static bool is_well_formed(const block *b) {
    const parts *p = parts_of(b);
    uint64_t size = size_of(b);
    if (size < sizeof *p || p->count == 0 || p->count > MOST_PARTS || sizeof *p + p->count * sizeof(part) > size) return false;
    for (uint64_t i = 0; i < p->count; i++)
        if (p->part[i].start > size || p->part[i].size > size - p->part[i].start) return false;
    return true;
}

PyObject *block_from_message(core_state *state, pn_message *message) {
    block *b = message->outside == 0 ? NULL : make(state);
    if (b == NULL) {
        if (message->outside == 0) return raise_code(PN_CORRUPT);
        pn_queue_release_message(message);
        return NULL;
    }
    b->buffer = message->outside;
    message->outside = 0;
    const parts *p = parts_of(b);
    bool is_large = size_of(b) >= BLOCK_LARGE && is_well_formed(b) && p->count > 1;
    pn_off from = is_large ? b->buffer + sizeof(pn_buffer) + p->part[1].start : 0;
    pn_off to = is_large ? align(b->buffer + sizeof(pn_buffer) + size_of(b), PAGE) : 0;
    pn_holding_begin(&b->holding, b->buffer, from, to);
    b->is_held = true;
    if (is_well_formed(b)) return (PyObject *)b;
    Py_DECREF(b);
    return raise_code(PN_CORRUPT);
}

/* A view of one part, which keeps the block; of a small block: the part itself, copied. */
static PyObject *part_of(block *b, PyObject *whole, const part *at, bool is_copied) {
    if (is_copied) return PyByteArray_FromStringAndSize((const char *)parts_of(b) + at->start, (Py_ssize_t)at->size);
    return PySequence_GetSlice(whole, (Py_ssize_t)at->start, (Py_ssize_t)(at->start + at->size));
}

static PyObject *block_parts(PyObject *self, PyObject *unused) {
    (void)unused;
    block *b = cast(self);
    if (b->buffer == 0) return PyErr_Format(PyExc_ValueError, "the block was put into a queue: it is its receiver's");
    const parts *p = parts_of(b);
    bool is_small = size_of(b) < BLOCK_LARGE;
    PyObject *whole = PyMemoryView_FromObject(self), *list = whole == NULL ? NULL : PyList_New(0);
    for (uint64_t i = 0; list != NULL && i < p->count; i++) {
        PyObject *one = part_of(b, whole, &p->part[i], is_small && i != 0);
        if (one == NULL || PyList_Append(list, one) < 0) Py_CLEAR(list);
        Py_XDECREF(one);
    }
    Py_XDECREF(whole);
    return list;
}

static int block_get_buffer(PyObject *self, Py_buffer *view, int flags) {
    block *b = cast(self);
    if (b->buffer == 0) {
        view->obj = NULL;
        PyErr_SetString(PyExc_BufferError, "the block was put into a queue: it is its receiver's");
        return -1;
    }
    return PyBuffer_FillInfo(view, self, parts_of(b), (Py_ssize_t)size_of(b), 0, flags);
}

static void block_dealloc(PyObject *self) {
    block *b = cast(self);
    PyTypeObject *type = Py_TYPE(self);
    if (b->is_held)
        pn_holding_end(&b->holding);
    else if (b->buffer != 0)
        pn_buffer_free(b->buffer);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyMethodDef block_methods[] = {
    {"pack", FAST(block_pack), METH_METHOD | FAST_FLAGS | METH_CLASS,
     "pack(pickle, buffers, /)\n--\n\nA block with copies of all of them. MemoryError if the arena has no room."},
    {"parts", block_parts, METH_NOARGS, "parts()\n--\n\n[pickle, buffer, …]: views that keep the block, or, from a small block, copies."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot block_slots[] = {
    {Py_tp_doc, (void *)"A message of several parts in the arena: a pickle, and the large buffers that it names."},
    {Py_tp_dealloc, (void *)block_dealloc},
    {Py_tp_methods, block_methods},
    {Py_bf_getbuffer, (void *)block_get_buffer},
    {0, NULL},
};

static PyType_Spec block_spec = {"procession._native._core.Block", sizeof(block), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, block_slots};

bool add_block_type(PyObject *module, core_state *state) { return (state->block_type = add_type(module, &block_spec, NULL)) != NULL; }
