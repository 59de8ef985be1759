/* codec_write.c: objects to bytes. See codec.h.
 *
 * What a reader could notice decides what may be written here. A list or dict inside another object is written only if that
 * object holds its one reference: then it can be neither shared nor part of a cycle. Equal strings, bytes and tuples may lose their identity, as
 * nothing about them can change. A tuple or frozenset that is referred to more than once may hold neither lists nor dicts (they would be
 * doubled) nor another such tuple (the bytes could grow without bound), and a large thing met twice goes to the fallback, which writes it once.  */
#include "codec.h"

#include <string.h>

#define ROOT CODEC_DEPTH
#define LARGE 1024       /* bytes: from here on, writing something twice is dearer than asking the fallback */
#define LARGE_REMEMBERED 8
#define FIXED 16         /* the longest opcode with its fixed argument, rounded up */

typedef struct writer {
    uint8_t *at, *end;
    pn_scratch *buffer;
    unsigned large_count;
    const PyObject *large[LARGE_REMEMBERED]; /* the last ones, round and round */
} writer;

static bool make_room(writer *w, uint64_t bytes) {
    uint64_t used = (uint64_t)(w->at - (uint8_t *)w->buffer->bytes);
    if (!scratch_grow(w->buffer, used + bytes)) {
        PyErr_NoMemory();
        return false;
    }
    w->at = (uint8_t *)w->buffer->bytes + used;
    w->end = (uint8_t *)w->buffer->bytes + w->buffer->size;
    return true;
}

static inline bool room(writer *w, uint64_t bytes) {
    return PN_LIKELY((uint64_t)(w->end - w->at) >= bytes) || make_room(w, bytes);
}

/* Items are held by one more reference where another thread could take them out of their container meanwhile. */
#if FACE_FREE_THREADED
#define HELD 1
#define HOLD(obj) Py_INCREF(obj)
#define LET_GO(obj) Py_DECREF(obj)
#define DICT_LOCK(obj) Py_BEGIN_CRITICAL_SECTION(obj)
#define DICT_UNLOCK Py_END_CRITICAL_SECTION()
#else
#define HELD 0
#define HOLD(obj) ((void)0)
#define LET_GO(obj) ((void)0)
#define DICT_LOCK(obj) {
#define DICT_UNLOCK }
#endif

static inline bool is_shared(PyObject *obj) {
    return (uint32_t)Py_REFCNT(obj) != 1 + HELD; /* 32 bits: later Pythons keep flags above them */
}

static bool met_before(const writer *w, const PyObject *obj) {
    unsigned n = w->large_count < LARGE_REMEMBERED ? w->large_count : LARGE_REMEMBERED;
    for (unsigned i = 0; i < n; i++)
        if (w->large[i] == obj) return true;
    return false;
}

static void remember_large(writer *w, const PyObject *obj) {
    w->large[w->large_count++ % LARGE_REMEMBERED] = obj;
}

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LITTLE64(value) (value)
#define BIG64(value) __builtin_bswap64(value)
#else
#define LITTLE64(value) __builtin_bswap64(value)
#define BIG64(value) (value)
#endif

/* The lower `bytes` of the value, little-endian; writes 8 bytes whatever is asked for: there is room. */
static inline void store_le(uint8_t *to, uint64_t value) {
    value = LITTLE64(value);
    memcpy(to, &value, 8);
}

static inline codec_result write_int(writer *w, PyObject *obj) {
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(obj, &overflow);
    if (PN_UNLIKELY(overflow)) return CODEC_CANNOT;
    uint8_t *at = w->at;
    if ((unsigned long long)value < 256) {
        at[0] = 'K', at[1] = (uint8_t)value, w->at += 2;
    } else if (value == (int32_t)value) {
        at[0] = 'J', store_le(at + 1, (uint64_t)value), w->at += 5;
    } else {
        at[0] = 0x8a, at[1] = 8, store_le(at + 2, (uint64_t)value), w->at += 10;
    }
    return CODEC_OK;
}

static inline codec_result write_float(writer *w, PyObject *obj) {
    double value = PyFloat_AsDouble(obj);
    uint64_t bits;
    memcpy(&bits, &value, 8);
    bits = BIG64(bits);
    w->at[0] = 'G';
    memcpy(w->at + 1, &bits, 8);
    w->at += 9;
    return CODEC_OK;
}

/* `codes`: the opcodes for a length in one byte, in four, in eight. */
static inline codec_result write_run(writer *w, const char *bytes, uint64_t size, const char codes[3]) {
    if (!room(w, size + FIXED)) return CODEC_ERROR;
    uint8_t *at = w->at;
    if (PN_LIKELY(size < 256)) {
        at[0] = (uint8_t)codes[0], at[1] = (uint8_t)size, at += 2;
    } else if (size <= UINT32_MAX) {
        at[0] = (uint8_t)codes[1], store_le(at + 1, size), at += 5;
    } else {
        at[0] = (uint8_t)codes[2], store_le(at + 1, size), at += 9;
    }
    memcpy(at, bytes, size);
    w->at = at + size;
    return CODEC_OK;
}

static const char TEXT_CODES[3] = {'\x8c', 'X', '\x8d'};
static const char BYTES_CODES[3] = {'C', 'B', '\x8e'};

static inline bool large_again(writer *w, const PyObject *obj, uint64_t size) {
    if (PN_LIKELY(size < LARGE)) return false;
    if (met_before(w, obj)) return true;
    remember_large(w, obj);
    return false;
}

static codec_result write_surrogates(writer *w, PyObject *obj) {
    PyErr_Clear(); /* of the refusal to say surrogates in plain UTF-8 */
    PyObject *bytes = PyUnicode_AsEncodedString(obj, "utf-8", "surrogatepass");
    if (bytes == NULL) return CODEC_ERROR;
    char *data;
    Py_ssize_t size;
    codec_result result = CODEC_ERROR;
    if (PyBytes_AsStringAndSize(bytes, &data, &size) == 0) result = write_run(w, data, (uint64_t)size, TEXT_CODES);
    Py_DECREF(bytes);
    return result;
}

static codec_result write_text(writer *w, PyObject *obj) {
    Py_ssize_t size;
    const char *text = PyUnicode_AsUTF8AndSize(obj, &size);
    if (PN_UNLIKELY(text == NULL)) return PyErr_ExceptionMatches(PyExc_UnicodeEncodeError) ? write_surrogates(w, obj) : CODEC_ERROR;
    if (large_again(w, obj, (uint64_t)size)) return CODEC_CANNOT;
    return write_run(w, text, (uint64_t)size, TEXT_CODES);
}

static codec_result write_bytes(writer *w, PyObject *obj) {
    char *data;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(obj, &data, &size) < 0) return CODEC_ERROR;
    if (large_again(w, obj, (uint64_t)size)) return CODEC_CANNOT;
    return write_run(w, data, (uint64_t)size, BYTES_CODES);
}

static codec_result write_other(writer *w, PyObject *obj, int depth, bool frozen);

/* Inlined where items are met: most are numbers. */
static inline __attribute__((always_inline)) codec_result write_value(writer *w, PyObject *obj, int depth, bool frozen) {
    if (!room(w, FIXED)) return CODEC_ERROR;
    const PyTypeObject *type = Py_TYPE(obj);
    if (type == &PyLong_Type) return write_int(w, obj);
    if (type == &PyUnicode_Type) return write_text(w, obj);
    if (type == &PyFloat_Type) return write_float(w, obj);
    if (obj == Py_None) return *w->at++ = 'N', CODEC_OK;
    if (type == &PyBool_Type) return *w->at++ = obj == Py_True ? 0x88 : 0x89, CODEC_OK;
    return write_other(w, obj, depth, frozen);
}

static inline codec_result put_code(writer *w, uint8_t code) {
    if (!room(w, FIXED)) return CODEC_ERROR;
    *w->at++ = code;
    return CODEC_OK;
}

static codec_result write_tuple_items(writer *w, PyObject *obj, Py_ssize_t n, int depth, bool frozen) {
    if (n > 3) *w->at++ = '(';
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *item = PyTuple_GetItem(obj, i);
        HOLD(item);
        codec_result result = write_value(w, item, depth, frozen);
        LET_GO(item);
        if (PN_UNLIKELY(result != CODEC_OK)) return result;
    }
    static const uint8_t ends[4] = {')', 0x85, 0x86, 0x87};
    return put_code(w, n > 3 ? 't' : ends[n]);
}

/* Of a tuple or frozenset, which may be referred to more than once, but then only so that nobody can tell. */
typedef codec_result write_items(writer *w, PyObject *obj, Py_ssize_t n, int depth, bool frozen);

static codec_result write_immutable(writer *w, PyObject *obj, Py_ssize_t n, int depth, bool frozen, write_items *items) {
    bool shared = n != 0 && depth != ROOT && is_shared(obj);
    if (!shared) return items(w, obj, n, depth - 1, frozen);
    if (frozen || met_before(w, obj)) return CODEC_CANNOT;
    uint64_t before = (uint64_t)(w->at - (uint8_t *)w->buffer->bytes);
    codec_result result = items(w, obj, n, depth - 1, true);
    uint64_t after = (uint64_t)(w->at - (uint8_t *)w->buffer->bytes);
    if (result == CODEC_OK && after - before >= LARGE) remember_large(w, obj);
    return result;
}

static codec_result write_members(writer *w, PyObject *obj, int depth, bool frozen) {
    PyObject *iterator = PyObject_GetIter(obj), *item;
    if (iterator == NULL) return CODEC_ERROR;
    codec_result result = CODEC_OK;
    while (result == CODEC_OK && (item = PyIter_Next(iterator)) != NULL) {
        if (!HELD) Py_DECREF(item); /* the set holds it: as elsewhere, one reference means that nobody else does */
        result = write_value(w, item, depth, frozen);
        if (HELD) Py_DECREF(item);
    }
    Py_DECREF(iterator);
    if (PN_UNLIKELY(result == CODEC_OK && PyErr_Occurred())) return PyErr_Clear(), CODEC_CANNOT; /* another thread changed it */
    return result;
}

static codec_result write_set(writer *w, PyObject *obj, int depth, bool frozen) {
    if (depth != ROOT && (frozen || is_shared(obj))) return CODEC_CANNOT;
    *w->at++ = 0x8f;
    if (PySet_Size(obj) == 0) return CODEC_OK;
    *w->at++ = '(';
    codec_result result = write_members(w, obj, depth - 1, frozen);
    return PN_LIKELY(result == CODEC_OK) ? put_code(w, 0x90) : result;
}

static codec_result write_frozen_members(writer *w, PyObject *obj, Py_ssize_t n, int depth, bool frozen) {
    (void)n;
    *w->at++ = '(';
    codec_result result = write_members(w, obj, depth, frozen);
    return PN_LIKELY(result == CODEC_OK) ? put_code(w, 0x91) : result;
}

static codec_result write_list(writer *w, PyObject *obj, int depth, bool frozen) {
    if (depth != ROOT && (frozen || is_shared(obj))) return CODEC_CANNOT;
    *w->at++ = ']';
    Py_ssize_t n = PyList_Size(obj);
    if (n == 0) return CODEC_OK;
    *w->at++ = '(';
    for (Py_ssize_t i = 0; i < n; i++) {
#if FACE_FREE_THREADED
        PyObject *item = PyList_GetItemRef(obj, i);
#else
        PyObject *item = PyList_GetItem(obj, i);
#endif
        if (PN_UNLIKELY(item == NULL)) return PyErr_Clear(), CODEC_CANNOT; /* another thread made it shorter */
        codec_result result = write_value(w, item, depth - 1, frozen);
        LET_GO(item);
        if (PN_UNLIKELY(result != CODEC_OK)) return result;
    }
    return put_code(w, 'e');
}

static codec_result write_dict_items(writer *w, PyObject *obj, int depth, bool frozen) {
    Py_ssize_t at = 0;
    PyObject *key, *value;
    codec_result result = CODEC_OK;
    while (result == CODEC_OK && PyDict_Next(obj, &at, &key, &value)) {
        HOLD(key);
        HOLD(value);
        result = write_value(w, key, depth, frozen);
        if (PN_LIKELY(result == CODEC_OK)) result = write_value(w, value, depth, frozen);
        LET_GO(key);
        LET_GO(value);
    }
    return result;
}

static codec_result write_dict(writer *w, PyObject *obj, int depth, bool frozen) {
    if (depth != ROOT && (frozen || is_shared(obj))) return CODEC_CANNOT;
    *w->at++ = '}';
    if (PyDict_Size(obj) == 0) return CODEC_OK;
    *w->at++ = '(';
    codec_result result;
    DICT_LOCK(obj);
    result = write_dict_items(w, obj, depth - 1, frozen);
    DICT_UNLOCK;
    return PN_LIKELY(result == CODEC_OK) ? put_code(w, 'u') : result;
}

/* What is neither a number nor a text. */
static codec_result write_other(writer *w, PyObject *obj, int depth, bool frozen) {
    const PyTypeObject *type = Py_TYPE(obj);
    if (type == &PyBytes_Type) return write_bytes(w, obj);
    if (PN_UNLIKELY(depth == 0)) return CODEC_CANNOT;
    if (type == &PyTuple_Type) return write_immutable(w, obj, PyTuple_Size(obj), depth, frozen, write_tuple_items);
    if (type == &PyDict_Type) return write_dict(w, obj, depth, frozen);
    if (type == &PyList_Type) return write_list(w, obj, depth, frozen);
    if (type == &PySet_Type) return write_set(w, obj, depth, frozen);
    if (type == &PyFrozenSet_Type) return write_immutable(w, obj, PySet_Size(obj), depth, frozen, write_frozen_members);
    return CODEC_CANNOT;
}

/* Until 3.11, making an object (an iterator, an error) may start a collection, whose finalizers could take apart what is being written. */
static codec_result write_undisturbed(writer *w, PyObject *obj) {
    int enabled = PyGC_Disable();
    codec_result result = write_value(w, obj, ROOT, false);
    if (enabled) PyGC_Enable();
    return result;
}

static inline bool may_be_disturbed(PyObject *obj) {
    const PyTypeObject *type = Py_TYPE(obj);
    return Py_Version < 0x030C0000 && type != &PyLong_Type && type != &PyUnicode_Type && type != &PyFloat_Type && type != &PyBytes_Type;
}

static bool begin(writer *w, pn_scratch *buffer, uint64_t used) {
    w->buffer = buffer;
    w->large_count = 0;
    w->at = (uint8_t *)buffer->bytes + used;
    w->end = (uint8_t *)buffer->bytes + buffer->size;
    if (!room(w, FIXED)) return false;
    w->at[0] = 0x80, w->at[1] = 5, w->at += 2;
    return true;
}

static inline codec_result write_root(writer *w, PyObject *obj) {
    return may_be_disturbed(obj) ? write_undisturbed(w, obj) : write_value(w, obj, ROOT, false);
}

codec_result codec_write(PyObject *obj, pn_scratch *buffer, uint64_t *used) {
    writer w;
    if (!begin(&w, buffer, *used)) return CODEC_ERROR;
    codec_result result = write_root(&w, obj);
    if (PN_LIKELY(result == CODEC_OK)) result = put_code(&w, '.');
    if (PN_LIKELY(result == CODEC_OK)) *used = (uint64_t)(w.at - (uint8_t *)buffer->bytes);
    return result;
}

static void put_number(writer *w, uint64_t number) {
    uint8_t *at = w->at;
    if (number < 256) {
        at[0] = 'K', at[1] = (uint8_t)number, w->at += 2;
    } else if (number <= INT32_MAX) {
        at[0] = 'J', store_le(at + 1, number), w->at += 5;
    } else {
        at[0] = 0x8a, at[1] = 8, store_le(at + 2, number), w->at += 10;
    }
}

codec_result codec_write_numbered(const uint64_t *numbers, unsigned count, PyObject *obj, pn_scratch *buffer, uint64_t *used) {
    writer w;
    if (!begin(&w, buffer, *used)) return CODEC_ERROR;
    *w.at++ = '(';
    for (unsigned i = 0; i < count; i++) {
        if (!room(&w, FIXED)) return CODEC_ERROR;
        put_number(&w, numbers[i]);
    }
    codec_result result = write_root(&w, obj);
    if (PN_LIKELY(result == CODEC_OK)) result = put_code(&w, 't');
    if (PN_LIKELY(result == CODEC_OK)) result = put_code(&w, '.');
    if (PN_LIKELY(result == CODEC_OK)) *used = (uint64_t)(w.at - (uint8_t *)buffer->bytes);
    return result;
}
