/* codec_read.c: bytes to objects. See codec.h.
 *
 * A stack machine, as pickle is one, for the opcodes that codec_write.c writes, the short forms that pickle chooses where we do not,
 * and those that change nothing here: FRAME, MEMOIZE, PUT. Only exact builtin types are made, so nothing has happened yet when an
 * unknown opcode hands the message to the fallback.
 *
 * Containers come as `]` `(` items `e`: the list is made at `e`, in its right size. Until then a PENDING mark holds its place on the stack; it is always
 * right below a mark `(`, and whoever takes that mark away looks at it.  */
#include "codec.h"

#include <stdlib.h>
#include <string.h>

#define STACK_INLINE 256
#define MARKS 128  /* nested containers; pickles that go deeper go to the fallback */
#define AT_ONCE 8  /* stack places that one opcode may need */

static char pending_list, pending_dict; /* only their addresses count */
#define PENDING_LIST ((PyObject *)(void *)&pending_list)
#define PENDING_DICT ((PyObject *)(void *)&pending_dict)

typedef struct mark { uint32_t base; bool dict; } mark;

typedef struct reader {
    const uint8_t *at, *end;
    PyObject **top, **limit, **stack;
    PyObject **base;    /* the first item above the current mark */
    bool dict;          /* the current mark collects keys and values */
    uint32_t mark_count;
    core_state *state;
    mark marks[MARKS];  /* the outer ones */
    PyObject *inline_stack[STACK_INLINE];
} reader;

static inline bool is_pending(const PyObject *obj) { return obj == PENDING_LIST || obj == PENDING_DICT; }

/* An exception came up while making an object: garbage is the fallback's to complain of. */
static codec_result failed(void) {
    if (PyErr_ExceptionMatches(PyExc_MemoryError)) return CODEC_ERROR;
    PyErr_Clear();
    return CODEC_CANNOT;
}

static codec_result grow_stack(reader *r) {
    size_t used = (size_t)(r->top - r->stack), base = (size_t)(r->base - r->stack), cap = (size_t)(r->limit - r->stack) * 4;
    PyObject **bigger = realloc(r->stack == r->inline_stack ? NULL : r->stack, cap * sizeof *bigger);
    if (bigger == NULL) return PyErr_NoMemory(), CODEC_ERROR;
    if (r->stack == r->inline_stack) memcpy(bigger, r->inline_stack, used * sizeof *bigger);
    r->stack = bigger, r->top = bigger + used, r->base = bigger + base, r->limit = bigger + cap;
    return CODEC_OK;
}

static inline uint64_t left(const reader *r) { return (uint64_t)(r->end - r->at); }

static inline codec_result push(reader *r, PyObject *obj) {
    if (PN_UNLIKELY(obj == NULL)) return failed();
    *r->top++ = obj;
    return CODEC_OK;
}

static inline uint64_t load_le(const uint8_t *from, unsigned bytes) {
    uint64_t value = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    memcpy(&value, from, bytes); /* one move: `bytes` is a constant, but for the rare LONG1 */
#else
    for (unsigned i = 0; i < bytes; i++) value |= (uint64_t)from[i] << (8 * i);
#endif
    return value;
}

/* A little-endian number of `bytes` bytes, taken from the message. */
static inline bool take_number(reader *r, unsigned bytes, uint64_t *value) {
    if (PN_UNLIKELY(left(r) < bytes)) return false;
    *value = load_le(r->at, bytes);
    r->at += bytes;
    return true;
}

static inline codec_result read_int(reader *r, unsigned bytes) {
    uint64_t value;
    if (!take_number(r, bytes, &value)) return CODEC_CANNOT;
    return push(r, PyLong_FromLongLong(bytes == 4 ? (int32_t)value : (int64_t)value));
}

/* One, and those that follow it, while the stack has room: lists are full of them. */
static inline codec_result read_small_ints(reader *r) {
    PyObject *const *known = r->state->small_ints, **top = r->top, **most = r->limit - AT_ONCE;
    const uint8_t *at = r->at, *end = r->end;
    if (PN_UNLIKELY(at == end)) return CODEC_CANNOT;
    *top++ = Py_NewRef(known[*at++]);
    for (; end - at >= 2 && *at == 'K' && top < most; at += 2) *top++ = Py_NewRef(known[at[1]]);
    r->at = at, r->top = top;
    return CODEC_OK;
}

static codec_result read_long(reader *r) {
    uint64_t bytes, value;
    if (!take_number(r, 1, &bytes) || bytes > 8) return CODEC_CANNOT;
    if (!take_number(r, (unsigned)bytes, &value)) return CODEC_CANNOT;
    if (bytes != 0 && bytes < 8 && value >> (8 * bytes - 1)) value |= ~0ull << (8 * bytes);
    return push(r, PyLong_FromLongLong((int64_t)value));
}

static inline codec_result read_float(reader *r) {
    if (PN_UNLIKELY(left(r) < 8)) return CODEC_CANNOT;
    uint64_t bits;
    memcpy(&bits, r->at, 8);
    r->at += 8;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    bits = __builtin_bswap64(bits);
#endif
    double value;
    memcpy(&value, &bits, 8);
    return push(r, PyFloat_FromDouble(value));
}

static inline PyObject *new_text(const uint8_t *bytes, uint64_t size) {
    return PyUnicode_DecodeUTF8((const char *)bytes, (Py_ssize_t)size, "surrogatepass");
}

#if !FACE_FREE_THREADED
/* A dictionary's key, from the table of those seen lately. Reads KEY_BYTES bytes at `bytes`. */
static PyObject *known_text(core_state *state, const uint8_t *bytes, size_t size) {
    uint64_t words[KEY_BYTES / 8];
    memcpy(words, bytes, KEY_BYTES);
    for (size_t i = 0; i < KEY_BYTES / 8; i++) {
        size_t rest = size > 8 * i ? size - 8 * i : 0;
        if (rest < 8) words[i] &= (1ull << (8 * rest)) - 1; /* little-endian or not: only ever compared with itself */
    }
    uint64_t hash = (words[0] ^ words[1] * 0x9e3779b97f4a7c15ull ^ words[2] * 0xc2b2ae3d27d4eb4full ^ size) * 0xff51afd7ed558ccdull;
    known_key *key = &state->keys[hash >> 55];
    if (key->text != NULL && key->length == size && memcmp(key->words, words, KEY_BYTES) == 0) return Py_NewRef(key->text);
    PyObject *text = new_text(bytes, size);
    if (text == NULL) return NULL;
    Py_XDECREF(key->text); /* an exact str: runs nobody's code */
    memcpy(key->words, words, KEY_BYTES);
    key->length = size;
    key->text = Py_NewRef(text);
    return text;
}
_Static_assert(KEY_ENTRIES == 1 << (64 - 55), "the hash's upper bits choose the entry");
#endif

static inline codec_result read_text(reader *r, unsigned width) {
    uint64_t size;
    if (!take_number(r, width, &size) || size > left(r)) return CODEC_CANNOT;
    const uint8_t *bytes = r->at;
    r->at += size;
#if !FACE_FREE_THREADED && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (r->dict && ((r->top - r->base) & 1) == 0 && size <= KEY_BYTES && r->end - bytes >= KEY_BYTES)
        return push(r, known_text(r->state, bytes, size));
#endif
    return push(r, new_text(bytes, size));
}

static inline codec_result read_bytes(reader *r, unsigned width) {
    uint64_t size;
    if (!take_number(r, width, &size) || size > left(r)) return CODEC_CANNOT;
    const uint8_t *bytes = r->at;
    r->at += size;
    return push(r, PyBytes_FromStringAndSize((const char *)bytes, (Py_ssize_t)size));
}

/* `]` or `}`: made at once if no `(` follows. */
static inline codec_result open_container(reader *r, PyObject *pending) {
    if (r->at < r->end && *r->at == 0x94) r->at++;
    if (r->at < r->end && *r->at == '(') return *r->top++ = pending, CODEC_OK;
    return push(r, pending == PENDING_LIST ? PyList_New(0) : PyDict_New());
}

static inline codec_result open_mark(reader *r) {
    if (PN_UNLIKELY(r->mark_count == MARKS)) return CODEC_CANNOT;
    r->marks[r->mark_count++] = (mark){.base = (uint32_t)(r->base - r->stack), .dict = r->dict};
    r->dict = r->top > r->base && r->top[-1] == PENDING_DICT;
    r->base = r->top;
    return CODEC_OK;
}

/* Back to the outer mark. The items stay on the stack. */
static inline void close_mark(reader *r) {
    mark outer = r->marks[--r->mark_count];
    r->base = r->stack + outer.base;
    r->dict = outer.dict;
}

static PyObject *tuple_of(PyObject **items, Py_ssize_t n) {
    PyObject *tuple = PyTuple_New(n);
    for (Py_ssize_t i = 0; tuple != NULL && i < n; i++) PyTuple_SetItem(tuple, i, items[i]); /* cannot fail: it is new and long enough */
    return tuple;
}

static inline codec_result close_short_tuple(reader *r, Py_ssize_t n) {
    if (PN_UNLIKELY(r->top - r->base < n)) return CODEC_CANNOT;
    PyObject *tuple = tuple_of(r->top - n, n);
    if (PN_UNLIKELY(tuple == NULL)) return failed();
    r->top -= n;
    *r->top++ = tuple;
    return CODEC_OK;
}

/* The container that a mark's items are for, or NULL: right below the mark, and inside the outer one. */
static inline PyObject **target_of_mark(reader *r) {
    if (PN_UNLIKELY(r->mark_count == 0 || r->base <= r->stack + r->marks[r->mark_count - 1].base)) return NULL;
    return r->base - 1;
}

/* Does the mark belong to a container that is not made yet? Of the marks in `]((`, only the first does. */
static inline bool is_of_container(reader *r) {
    return target_of_mark(r) != NULL && is_pending(r->base[-1]);
}

static codec_result close_tuple(reader *r) {
    if (PN_UNLIKELY(r->mark_count == 0 || is_of_container(r))) return CODEC_CANNOT;
    PyObject **items = r->base, *tuple = tuple_of(items, r->top - items);
    if (tuple == NULL) return failed();
    close_mark(r);
    r->top = items;
    *r->top++ = tuple;
    return CODEC_OK;
}

static PyObject *list_of(PyObject **items, Py_ssize_t n) {
    PyObject *list = PyList_New(n);
    for (Py_ssize_t i = 0; list != NULL && i < n; i++) PyList_SetItem(list, i, items[i]); /* cannot fail, as above */
    return list;
}

static codec_result extend_list(PyObject *list, PyObject **items, Py_ssize_t n) {
    if (is_pending(list) || Py_TYPE(list) != &PyList_Type) return CODEC_CANNOT;
    for (Py_ssize_t i = 0; i < n; i++)
        if (PyList_Append(list, items[i]) < 0) return failed();
    return CODEC_OK;
}

static void drop(PyObject **from, PyObject **to) {
    for (; from < to; from++)
        if (!is_pending(*from)) Py_DECREF(*from);
}

static codec_result close_list(reader *r) {
    PyObject **target = target_of_mark(r), **items = r->base;
    if (target == NULL) return CODEC_CANNOT;
    if (*target == PENDING_LIST) {
        PyObject *list = list_of(items, r->top - items);
        if (list == NULL) return failed();
        *target = list;
    } else {
        codec_result result = extend_list(*target, items, r->top - items);
        if (result != CODEC_OK) return result;
        drop(items, r->top);
    }
    close_mark(r);
    r->top = items;
    return CODEC_OK;
}

static codec_result fill_dict(PyObject *dict, PyObject **items, PyObject **end) {
    if (is_pending(dict) || Py_TYPE(dict) != &PyDict_Type || ((end - items) & 1)) return CODEC_CANNOT;
    for (; items < end; items += 2)
        if (PyDict_SetItem(dict, items[0], items[1]) < 0) return failed(); /* a list as key, say */
    return CODEC_OK;
}

static codec_result close_dict(reader *r) {
    PyObject **target = target_of_mark(r), **items = r->base;
    if (target == NULL) return CODEC_CANNOT;
    if (*target == PENDING_DICT) {
        PyObject *dict = PyDict_New();
        if (dict == NULL) return failed();
        *target = dict;
    }
    codec_result result = fill_dict(*target, items, r->top);
    if (PN_UNLIKELY(result != CODEC_OK)) return result;
    drop(items, r->top);
    close_mark(r);
    r->top = items;
    return CODEC_OK;
}

static codec_result fill_set(PyObject *set, PyObject **items, PyObject **end) {
    for (; items < end; items++)
        if (PySet_Add(set, *items) < 0) return failed();
    return CODEC_OK;
}

static codec_result close_set(reader *r) {
    PyObject **target = target_of_mark(r), **items = r->base;
    if (target == NULL || is_pending(*target) || Py_TYPE(*target) != &PySet_Type) return CODEC_CANNOT;
    codec_result result = fill_set(*target, items, r->top);
    if (result != CODEC_OK) return result;
    drop(items, r->top);
    close_mark(r);
    r->top = items;
    return CODEC_OK;
}

static codec_result close_frozenset(reader *r) {
    if (r->mark_count == 0 || is_of_container(r)) return CODEC_CANNOT;
    PyObject **items = r->base, *set = PyFrozenSet_New(NULL); /* may be filled while it is new, as a tuple may */
    codec_result result = set == NULL ? failed() : fill_set(set, items, r->top);
    if (result != CODEC_OK) {
        Py_XDECREF(set);
        return result;
    }
    drop(items, r->top);
    close_mark(r);
    r->top = items;
    return push(r, set);
}

/* `a`, `s`: one item, one pair. */
static codec_result add_one(reader *r, bool dict) {
    Py_ssize_t n = dict ? 2 : 1;
    if (r->top - r->base < n + 1) return CODEC_CANNOT;
    PyObject **items = r->top - n;
    codec_result result = dict ? fill_dict(items[-1], items, r->top) : extend_list(items[-1], items, n);
    if (result != CODEC_OK) return result;
    drop(items, r->top);
    r->top = items;
    return CODEC_OK;
}

/* MEMOIZE, PUT: a name for the topmost item, which nobody will ask for (a GET goes to the fallback). */
static inline codec_result skip_name(reader *r, uint64_t bytes) {
    if (r->top == r->base || left(r) < bytes) return CODEC_CANNOT;
    r->at += bytes;
    return CODEC_OK;
}

static codec_result skip_frame(reader *r) {
    uint64_t size;
    return take_number(r, 8, &size) && size <= left(r) ? CODEC_OK : CODEC_CANNOT;
}

static inline codec_result step(reader *r, uint8_t code) {
    switch (code) {
    case 'K': return read_small_ints(r);
    case 'M': return read_int(r, 2);
    case 'J': return read_int(r, 4);
    case 0x8a: return read_long(r);
    case 'G': return read_float(r);
    case 'N': return push(r, Py_NewRef(Py_None));
    case 0x88: return push(r, Py_NewRef(Py_True));
    case 0x89: return push(r, Py_NewRef(Py_False));
    case 0x8c: return read_text(r, 1);
    case 'X': return read_text(r, 4);
    case 0x8d: return read_text(r, 8);
    case 'C': return read_bytes(r, 1);
    case 'B': return read_bytes(r, 4);
    case 0x8e: return read_bytes(r, 8);
    case ')': return push(r, PyTuple_New(0));
    case 0x85: return close_short_tuple(r, 1);
    case 0x86: return close_short_tuple(r, 2);
    case 0x87: return close_short_tuple(r, 3);
    case ']': return open_container(r, PENDING_LIST);
    case '}': return open_container(r, PENDING_DICT);
    case '(': return open_mark(r);
    case 't': return close_tuple(r);
    case 'e': return close_list(r);
    case 'u': return close_dict(r);
    case 'a': return add_one(r, false);
    case 's': return add_one(r, true);
    case 0x8f: return push(r, PySet_New(NULL));
    case 0x90: return close_set(r);
    case 0x91: return close_frozenset(r);
    case 0x94: return skip_name(r, 0);
    case 'q': return skip_name(r, 1);
    case 'r': return skip_name(r, 4);
    case 0x95: return skip_frame(r);
    default: return CODEC_CANNOT;
    }
}

/* Up to the `.` that ends the message. */
static codec_result run(reader *r) {
    for (;;) {
        if (PN_UNLIKELY(r->at == r->end)) return CODEC_CANNOT;
        uint8_t code = *r->at++;
        if (code == '.') return r->top - r->stack == 1 && r->mark_count == 0 ? CODEC_OK : CODEC_CANNOT;
        codec_result result = step(r, code);
        if (PN_UNLIKELY(result != CODEC_OK)) return result;
        if (PN_UNLIKELY(r->limit - r->top < AT_ONCE) && grow_stack(r) != CODEC_OK) return CODEC_ERROR;
    }
}

PyObject *codec_read(core_state *state, const uint8_t *bytes, uint64_t size, codec_result *result) {
    reader r;
    if (size < 4 || bytes[0] != 0x80 || bytes[1] < 2 || bytes[1] > 5) return *result = CODEC_CANNOT, NULL;
    r.at = bytes + 2, r.end = bytes + size;
    r.stack = r.top = r.base = r.inline_stack, r.limit = r.inline_stack + STACK_INLINE;
    r.dict = false, r.mark_count = 0, r.state = state;
    *result = run(&r);
    PyObject *obj = NULL;
    if (PN_LIKELY(*result == CODEC_OK))
        obj = r.stack[0];
    else
        drop(r.stack, r.top);
    if (r.stack != r.inline_stack) free(r.stack);
    return obj;
}
