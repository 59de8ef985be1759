/* queue_get.c: getting: a message is copied out of the queue (without the GIL, if it had to wait), then decoded.  */
#include "block.h"
#include "queue_face.h"

#include <stdlib.h>

#define AT_ONCE 256u /* messages taken by one visit to the queue */

static PyObject *raise_get(PyObject *self, pn_code code) {
    configured *with = &STATE(self)->with;
    if (code == PN_EMPTY) return raise_configured(with->empty, PyExc_RuntimeError, NULL);
    if (code == PN_SHUT_DOWN) return raise_configured(with->shut_down, PyExc_RuntimeError, "the queue was shut down, and nothing is left in it");
    return raise_code(code);
}

/* What is being taken, and into what. */
typedef struct taking {
    pn_queue *q;
    pn_scratch scratch;
    pn_message *messages;
    uint32_t room, count;
    pn_claim *claim;
} taking;

static pn_code try_take(taking *t) {
    pn_owner me = pn_self();
    t->count = 0;
    return me == 0 ? PN_NO_SLOT : pn_queue_try_get(t->q, me, &t->scratch, t->messages, t->room, &t->count, t->claim);
}

static pn_code take_waiting(taking *t, pn_deadline deadline) {
    pn_code waited, code;
    do {
        Py_BEGIN_ALLOW_THREADS
        waited = t->claim != NULL ? pn_queue_wait_claimable(t->q, deadline) : pn_queue_wait_not_empty(t->q, deadline);
        code = waited == PN_INTERRUPTED ? PN_EMPTY : try_take(t);
        Py_END_ALLOW_THREADS
        if (code == PN_EMPTY && PyErr_CheckSignals() < 0) return PN_INTERRUPTED;
    } while (code == PN_EMPTY && waited != PN_TIMEOUT);
    return code;
}

static pn_code take(taking *t, int64_t timeout) {
    pn_code code = try_take(t);
    if (PN_LIKELY(code != PN_EMPTY) || timeout == 0) return code;
    return take_waiting(t, deadline_after(timeout));
}

PyObject *queue_unpack(core_state *state, pn_message *message) {
    PyObject *unpacks = state->with.fallback_unpack, *block = block_from_message(state, message);
    if (block == NULL) return NULL;
    PyObject *obj = unpacks != NULL ? PyObject_CallFunctionObjArgs(unpacks, block, NULL)
                                    : PyErr_Format(PyExc_RuntimeError, "the native core has no fallback_unpack: configure() sets it");
    Py_DECREF(block);
    return obj;
}

/* The object, and the message's buffer given back. *escaped |= somebody still looks at the bytes. */
static PyObject *decode(core_state *state, pn_message *message, bool *escaped) {
    if (PN_UNLIKELY(message->tag == PN_TAG_PARTS)) return queue_unpack(state, message);
    if (message->tag == PN_TAG_BYTES) {
        PyObject *bytes = PyBytes_FromStringAndSize(message->bytes, (Py_ssize_t)message->size);
        pn_queue_release_message(message);
        return bytes;
    }
    bool kept;
    PyObject *obj = codec_decode(state, message->bytes, message->size, &kept);
    if (PN_UNLIKELY(kept))
        *escaped = true; /* leaked rather than overwritten under somebody's eyes; the error says so */
    else
        pn_queue_release_message(message);
    return obj;
}

PyObject *queue_get(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    wait_args wait = WAIT_FOREVER;
    if ((n != 0 || names != NULL) && !parse_wait(STATE(self), "get", args, n, names, 0, &wait)) return NULL;
    pn_message message;
    taking t = {.q = QUEUE(self), .scratch = scratch_take(), .messages = &message, .room = 1};
    pn_code code = take(&t, timeout_of(wait));
    bool escaped = false;
    PyObject *obj = PN_LIKELY(code == PN_OK) ? decode(STATE(self), &message, &escaped) : raise_get(self, code);
    if (PN_LIKELY(!escaped)) scratch_give(&t.scratch);
    if (PN_UNLIKELY(obj != NULL && fault_raised())) Py_CLEAR(obj);
    return obj;
}

PyObject *queue_get_bytes(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    wait_args wait = WAIT_FOREVER;
    if ((n != 0 || names != NULL) && !parse_wait(STATE(self), "get_bytes", args, n, names, 0, &wait)) return NULL;
    pn_message message;
    taking t = {.q = QUEUE(self), .scratch = scratch_take(), .messages = &message, .room = 1};
    pn_code code = take(&t, timeout_of(wait));
    PyObject *result = NULL;
    if (code == PN_OK) {
        PyObject *payload = PyBytes_FromStringAndSize(message.bytes, (Py_ssize_t)message.size);
        result = payload == NULL ? NULL : Py_BuildValue("(NI)", payload, (unsigned int)message.tag);
        pn_queue_release_message(&message);
    } else {
        raise_get(self, code);
    }
    scratch_give(&t.scratch);
    if (result != NULL && fault_raised()) Py_CLEAR(result);
    return result;
}

/* ── many ── */
/* Appends what was taken. Each message is decoded, come what may: the first error is put aside, and set again in the end. */
static bool append_decoded(core_state *state, taking *t, PyObject *list, bool *escaped) {
    PyObject *type = NULL, *error = NULL, *traceback = NULL;
    for (uint32_t i = 0; i < t->count; i++) {
        PyObject *obj = decode(state, &t->messages[i], escaped);
        if (PN_LIKELY(obj != NULL && PyList_Append(list, obj) == 0)) {
            Py_DECREF(obj);
            continue;
        }
        Py_XDECREF(obj);
        if (type == NULL)
            PyErr_Fetch(&type, &error, &traceback);
        else
            PyErr_Clear(); /* the first one is told, with what was received */
    }
    if (type == NULL) return true;
    PyErr_Restore(type, error, traceback);
    attach_to_error("received", list);
    return false;
}

/* Waits for the first, then takes what is there. */
static pn_code take_all(core_state *state, taking *t, uint64_t most, int64_t timeout, PyObject *list, bool *failed) {
    pn_code code;
    bool escaped = false;
    do {
        uint64_t left = most - (uint64_t)PyList_Size(list);
        t->room = left < AT_ONCE ? (uint32_t)left : AT_ONCE;
        code = take(t, PyList_Size(list) == 0 ? timeout : 0);
        if (code == PN_OK && !append_decoded(state, t, list, &escaped)) *failed = true;
        if (PN_UNLIKELY(escaped)) t->scratch = (pn_scratch){0}, escaped = false;
    } while (code == PN_OK && !*failed && (uint64_t)PyList_Size(list) < most);
    return code;
}

static PyObject *get_list(PyObject *self, uint64_t most, int64_t timeout) {
    PyObject *list = PyList_New(0);
    if (list == NULL) return NULL;
    pn_message messages[AT_ONCE];
    taking t = {.q = QUEUE(self), .scratch = scratch_take(), .messages = messages};
    bool failed = false;
    pn_code code = take_all(STATE(self), &t, most, timeout, list, &failed);
    scratch_give(&t.scratch);
    if (!failed && PyList_Size(list) == 0) failed = true, raise_get(self, code);
    if (!failed && fault_raised()) failed = true;
    if (failed) Py_CLEAR(list);
    return list;
}

PyObject *queue_get_many(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    static const char *const known[] = {"max_items", "block", "timeout"};
    PyObject *given[3];
    uint64_t most;
    wait_args wait = WAIT_FOREVER;
    if (!parse_named("get_many", known, 3, 1, args, n, names, given) || !parse_uint(given[0], "max_items", INT64_MAX, &most)) return NULL;
    if (most == 0) return PyErr_Format(PyExc_ValueError, "max_items must be at least 1");
    int truth = given[1] == NULL ? 1 : PyObject_IsTrue(given[1]);
    if (truth < 0 || (given[2] != NULL && !parse_timeout(given[2], &wait.timeout))) return NULL;
    wait.block = truth;
    return get_list(self, most, timeout_of(wait));
}

/* ── claimed ── */
static PyObject *numbered(core_state *state, pn_message *message, bool *escaped) {
    uint64_t sequence = message->sequence;
    PyObject *obj = decode(state, message, escaped);
    if (obj == NULL && (obj = undecodable_from_error(state)) == NULL) return NULL;
    return Py_BuildValue("(KN)", (unsigned long long)sequence, obj);
}

static PyObject *claimed_list(core_state *state, taking *t, bool *escaped) {
    PyObject *list = PyList_New(t->count);
    for (uint32_t i = 0; i < t->count; i++) {
        PyObject *pair = list == NULL ? NULL : numbered(state, &t->messages[i], escaped);
        if (pair != NULL) {
            PyList_SetItem(list, i, pair);
            continue;
        }
        Py_CLEAR(list);
        pn_queue_release_message(&t->messages[i]);
    }
    return list;
}

PyObject *queue_get_claimed(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    static const char *const known[] = {"claim", "row", "max_items", "block", "timeout"};
    PyObject *given[5];
    uint64_t most;
    wait_args wait = WAIT_FOREVER;
    core_state *state = STATE(self);
    if (!parse_named("get_claimed", known, 5, 3, args, n, names, given) || !parse_uint(given[2], "max_items", INT64_MAX, &most)) return NULL;
    int truth = given[3] == NULL ? 1 : PyObject_IsTrue(given[3]);
    if (truth < 0 || (given[4] != NULL && !parse_timeout(given[4], &wait.timeout))) return NULL;
    wait.block = truth;
    pn_message messages[AT_ONCE];
    taking t = {.q = QUEUE(self), .messages = messages, .room = most < AT_ONCE ? (uint32_t)most : AT_ONCE, .claim = table_claim(state, given[0], given[1])};
    if (t.claim == NULL) return NULL;
    if (most == 0) return PyErr_Format(PyExc_ValueError, "max_items must be at least 1");
    t.scratch = scratch_take();
    pn_code code = take(&t, timeout_of(wait));
    bool escaped = false;
    PyObject *list = code == PN_OK ? claimed_list(state, &t, &escaped) : raise_get(self, code);
    if (!escaped) scratch_give(&t.scratch);
    if (list != NULL && fault_raised()) Py_CLEAR(list);
    return list;
}
