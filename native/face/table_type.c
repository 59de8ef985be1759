/* table_type.c: Table: rows of eight 64-bit words, for claims and counters.
 *
 *   | pn_block | rows | unused, to 64 bytes | row 0: words 0 to 7 | row 1 | …
 * Words 0 and 1 of a row may be a pn_claim: sequence; count:32, finished:32.  */
#include <stddef.h>

#include "../wait.h"
#include "queue_face.h"

#include <limits.h>
#include <string.h>

#define ROW_WORDS 8
#define ROW_BYTES 64

typedef struct row_table {
    pn_block block;
    uint64_t rows;
    uint64_t unused[5];
    _Atomic uint64_t words[];
} row_table;
_Static_assert(offsetof(row_table, words) == 64, "rows begin on a cache line");
_Static_assert(sizeof(pn_claim) == 16, "a claim fills words 0 and 1");

#define TABLE(self) SHARED(row_table, self)

static _Atomic uint64_t *word_at(PyObject *self, PyObject *row, PyObject *word) {
    row_table *table = TABLE(self);
    uint64_t r, w;
    if (!parse_uint(row, "row", table->rows - 1, &r) || !parse_uint(word, "word", ROW_WORDS - 1, &w)) return NULL;
    return &table->words[r * ROW_WORDS + w];
}

/* A 64-bit number; negative ones wrap round, which is what add() wants. */
static bool parse_word(PyObject *value, uint64_t *parsed) {
    *parsed = PyLong_AsUnsignedLongLongMask(value);
    return *parsed != UINT64_MAX || !PyErr_Occurred();
}

static bool check_count(const char *name, Py_ssize_t n, Py_ssize_t wanted) {
    if (PN_LIKELY(n == wanted)) return true;
    PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments, not %zd", name, wanted, n);
    return false;
}

static PyObject *table_load(PyObject *self, PyObject *const *args, Py_ssize_t n) {
    _Atomic uint64_t *word = check_count("load", n, 2) ? word_at(self, args[0], args[1]) : NULL;
    return word == NULL ? NULL : PyLong_FromUnsignedLongLong(atomic_load_explicit(word, memory_order_acquire));
}

static PyObject *table_store(PyObject *self, PyObject *const *args, Py_ssize_t n) {
    uint64_t value;
    _Atomic uint64_t *word = check_count("store", n, 3) ? word_at(self, args[0], args[1]) : NULL;
    if (word == NULL || !parse_word(args[2], &value)) return NULL;
    atomic_store_explicit(word, value, memory_order_release);
    Py_RETURN_NONE;
}

static PyObject *table_add(PyObject *self, PyObject *const *args, Py_ssize_t n) {
    uint64_t value;
    _Atomic uint64_t *word = check_count("add", n, 3) ? word_at(self, args[0], args[1]) : NULL;
    if (word == NULL || !parse_word(args[2], &value)) return NULL;
    return PyLong_FromUnsignedLongLong(atomic_fetch_add_explicit(word, value, memory_order_acq_rel) + value);
}

static pn_claim *claim_at(PyObject *self, PyObject *row) {
    row_table *table = TABLE(self);
    uint64_t r;
    if (!parse_uint(row, "row", table->rows - 1, &r)) return NULL;
    return (pn_claim *)(void *)&table->words[r * ROW_WORDS];
}

pn_claim *table_claim(core_state *state, PyObject *table, PyObject *row) {
    if (PyObject_TypeCheck(table, state->table_type)) return claim_at(table, row);
    PyErr_Format(PyExc_TypeError, "claim must be a Table, not %R", Py_TYPE(table));
    return NULL;
}

static PyObject *table_claim_method(PyObject *self, PyObject *row) {
    pn_claim *claim = claim_at(self, row);
    if (claim == NULL) return NULL;
    uint64_t sequence = atomic_load_explicit(&claim->sequence, memory_order_acquire);
    return Py_BuildValue("(KII)", (unsigned long long)sequence, (unsigned int)atomic_load_explicit(&claim->count, memory_order_acquire),
                         (unsigned int)atomic_load_explicit(&claim->finished, memory_order_acquire));
}

static PyObject *table_finish(PyObject *self, PyObject *const *args, Py_ssize_t n) {
    uint64_t more;
    pn_claim *claim = check_count("finish", n, 2) ? claim_at(self, args[0]) : NULL;
    if (claim == NULL || !parse_uint(args[1], "n", UINT32_MAX, &more)) return NULL;
    atomic_fetch_add_explicit(&claim->finished, (uint32_t)more, memory_order_release);
    Py_RETURN_NONE;
}

/* Sleeps on the low half; a change of the upper half alone is seen at the backstop. */
static pn_code sleep_while(pn_off object, _Atomic uint64_t *word, uint64_t value, pn_deadline deadline) {
    pn_wait_target target = {.word = pn_low_half(word), .expected = (uint32_t)value, .reason = PN_WAIT_RESULT, .object = object};
    while (atomic_load_explicit(word, memory_order_acquire) == value) {
        pn_code code = pn_sleep(&target, deadline);
        if (code != PN_OK) return code;
    }
    return PN_OK;
}

static PyObject *table_wait(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    static const char *const known[] = {"row", "word", "value", "timeout"};
    PyObject *given[4];
    uint64_t value;
    int64_t timeout = PN_FOREVER;
    if (!parse_named("wait", known, 4, 3, args, n, names, given)) return NULL;
    _Atomic uint64_t *word = word_at(self, given[0], given[1]);
    if (word == NULL || !parse_word(given[2], &value) || (given[3] != NULL && !parse_timeout(given[3], &timeout))) return NULL;
    if (atomic_load_explicit(word, memory_order_acquire) != value) Py_RETURN_TRUE;
    if (timeout == 0) Py_RETURN_FALSE;
    pn_off offset = ((face_object *)(void *)self)->offset;
    pn_deadline deadline = deadline_after(timeout);
    pn_code code;
    WITHOUT_GIL(code, sleep_while(offset, word, value, deadline));
    return code == PN_OK || code == PN_TIMEOUT ? PyBool_FromLong(code == PN_OK) : raise_code(code);
}

static PyObject *table_wake(PyObject *self, PyObject *const *args, Py_ssize_t n) {
    _Atomic uint64_t *word = check_count("wake", n, 2) ? word_at(self, args[0], args[1]) : NULL;
    if (word == NULL) return NULL;
    pn_futex_wake(pn_low_half(word), INT_MAX);
    Py_RETURN_NONE;
}

static PyObject *table_rows(PyObject *self, void *unused) { return (void)unused, PyLong_FromUnsignedLongLong(TABLE(self)->rows); }

static PyMethodDef table_methods[] = {
    {"load", FAST(table_load), METH_FASTCALL, "load(row, word)\n--\n\nThe word's value, 0 to 2**64 - 1."},
    {"store", FAST(table_store), METH_FASTCALL, "store(row, word, value)\n--\n\nWrite the word, at once and whole."},
    {"add", FAST(table_add), METH_FASTCALL, "add(row, word, value)\n--\n\nAdd to the word (a negative value subtracts); the new value."},
    {"claim", table_claim_method, METH_O, "claim(row)\n--\n\n(first sequence, count, finished) of the row's claim."},
    {"finish", FAST(table_finish), METH_FASTCALL, "finish(row, n)\n--\n\nn messages more of the row's claim are done."},
    {"wait", FAST(table_wait), FAST_FLAGS, "wait(row, word, value, timeout=None)\n--\n\nSleep while the word has this value; whether it changed in time."},
    {"wake", FAST(table_wake), METH_FASTCALL, "wake(row, word)\n--\n\nWake all who sleep on the word."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef table_getset[] = {
    {"rows", table_rows, NULL, "How many rows it has.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyObject *table_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"rows", NULL};
    core_state *state = state_of_type(type);
    PyObject *given;
    uint64_t rows;
    if (state == NULL || !PyArg_ParseTupleAndKeywords(args, kwargs, "O:Table", names, &given)) return NULL;
    if (!parse_uint(given, "a table's rows", UINT32_MAX, &rows)) return NULL;
    if (rows == 0) return PyErr_Format(PyExc_ValueError, "a table needs at least 1 row");
    pn_off offset = 0;
    pn_code code = pn_object_create(sizeof(row_table) + rows * ROW_BYTES, PN_KIND_TABLE, &offset);
    if (code == PN_OK) {
        row_table *table = pn_at(offset);
        table->rows = rows;
        memset((void *)table->words, 0, rows * ROW_BYTES);
    }
    return wrap_created(state, type, code, offset);
}

static PyType_Slot table_slots[] = {
    {Py_tp_doc, (void *)"Table(rows)\n--\n\nRows of eight 64-bit words that all processes see."},
    {Py_tp_new, (void *)table_new},
    {Py_tp_dealloc, (void *)object_dealloc},
    {Py_tp_methods, table_methods},
    {Py_tp_getset, table_getset},
    {0, NULL},
};

static PyType_Spec table_spec = {"procession._native._core.Table", sizeof(shared_object), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, table_slots};

bool add_table_type(PyObject *module, core_state *state) {
    return (state->table_type = add_type(module, &table_spec, state->object_type)) != NULL;
}
