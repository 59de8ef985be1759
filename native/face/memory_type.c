/* memory_type.c: Memory: plain bytes of the arena as a writable buffer.
 *
 *   | pn_block | size | place of the bytes: 32 (small ones share the header's line) or 64 | bytes  */
#include "face.h"

#include <string.h>

#define SMALL 32
#define ZERO_WITHOUT_GIL (256u << 10)

typedef struct pn_memory {
    pn_block block;
    uint64_t size;
    uint64_t place;
} pn_memory;
_Static_assert(sizeof(pn_memory) == 32, "small memory begins behind the header");

#define MEMORY(self) SHARED(pn_memory, self)

static char *bytes_of(pn_memory *memory) { return (char *)memory + memory->place; }

static int memory_get_buffer(PyObject *self, Py_buffer *view, int flags) {
    pn_memory *memory = MEMORY(self);
    return PyBuffer_FillInfo(view, self, bytes_of(memory), (Py_ssize_t)memory->size, 0, flags);
}

static PyObject *memory_size(PyObject *self, void *unused) { return (void)unused, PyLong_FromUnsignedLongLong(MEMORY(self)->size); }

static PyGetSetDef memory_getset[] = {
    {"size", memory_size, NULL, "How many bytes.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static void zero(pn_memory *memory) {
    if (memory->size < ZERO_WITHOUT_GIL) {
        memset(bytes_of(memory), 0, memory->size);
        return;
    }
    Py_BEGIN_ALLOW_THREADS
    memset(bytes_of(memory), 0, memory->size);
    Py_END_ALLOW_THREADS
}

static PyObject *memory_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"size", NULL};
    core_state *state = state_of_type(type);
    PyObject *given;
    uint64_t size;
    if (state == NULL || !PyArg_ParseTupleAndKeywords(args, kwargs, "O:Memory", names, &given)) return NULL;
    if (!parse_uint(given, "a memory's size", PY_SSIZE_T_MAX / 2, &size)) return NULL;
    uint64_t place = size <= SMALL ? SMALL : 64;
    pn_off offset = 0;
    pn_code code = pn_object_create(place + size, PN_KIND_VALUES, &offset);
    if (code == PN_OK) {
        pn_memory *memory = pn_at(offset);
        memory->size = size;
        memory->place = place;
        zero(memory);
    }
    return wrap_created(state, type, code, offset);
}

static PyType_Slot memory_slots[] = {
    {Py_tp_doc, (void *)"Memory(size)\n--\n\nBytes that all processes see, zero at first; a writable buffer."},
    {Py_tp_new, (void *)memory_new},
    {Py_tp_dealloc, (void *)object_dealloc},
    {Py_tp_getset, memory_getset},
    {Py_bf_getbuffer, (void *)memory_get_buffer},
    {0, NULL},
};

static PyType_Spec memory_spec = {"procession._native._core.Memory", sizeof(shared_object), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, memory_slots};

bool add_memory_type(PyObject *module, core_state *state) {
    return (state->memory_type = add_type(module, &memory_spec, state->object_type)) != NULL;
}
