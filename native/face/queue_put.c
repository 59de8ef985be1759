/* queue_put.c: putting: everything is encoded first, so that what is wrong with an object is raised before anything has changed.  */
#include "block.h"
#include "queue_face.h"

#include <stdlib.h>

static PyObject *raise_put(PyObject *self, pn_code code) {
    configured *with = &STATE(self)->with;
    if (code == PN_FULL) return raise_configured(with->full, PyExc_RuntimeError, NULL);
    if (code == PN_SHUT_DOWN) return raise_configured(with->shut_down, PyExc_RuntimeError, "the queue was shut down: nothing more can be put");
    return raise_code(code);
}

/* One look and, unless everything went in, what to do next: FULL again means wait. */
static pn_code try_rest(pn_queue *q, const pn_message *messages, uint32_t count, uint32_t *done) {
    uint32_t more = 0;
    pn_owner me = pn_self();
    pn_code code = me == 0 ? PN_NO_SLOT : pn_queue_try_put(q, me, messages + *done, count - *done, &more);
    *done += more;
    return code;
}

static pn_code put_waiting(pn_queue *q, const pn_message *messages, uint32_t count, pn_deadline deadline, uint32_t *done) {
    pn_code waited, code;
    do {
        Py_BEGIN_ALLOW_THREADS
        waited = pn_queue_wait_not_full(q, deadline);
        code = waited == PN_INTERRUPTED ? PN_FULL : try_rest(q, messages, count, done);
        Py_END_ALLOW_THREADS
        if (code == PN_FULL && PyErr_CheckSignals() < 0) return PN_INTERRUPTED;
    } while (code == PN_FULL && waited != PN_TIMEOUT);
    return code;
}

/* Puts all, waiting as long as it may; *done: how many went in. PN_INTERRUPTED: an exception is set. */
static pn_code put_messages(pn_queue *q, const pn_message *messages, uint32_t count, uint64_t bytes, int64_t timeout, uint32_t *done) {
    *done = 0;
    pn_code code;
    if (PN_LIKELY(bytes < GIL_BYTES)) {
        code = try_rest(q, messages, count, done);
    } else {
        Py_BEGIN_ALLOW_THREADS
        code = try_rest(q, messages, count, done);
        Py_END_ALLOW_THREADS
    }
    if (PN_LIKELY(code != PN_FULL) || timeout == 0) return code;
    return put_waiting(q, messages, count, deadline_after(timeout), done);
}

static PyObject *put_one(PyObject *self, const pn_message *message, int64_t timeout) {
    uint32_t done;
    pn_code code = put_messages(QUEUE(self), message, 1, message->size, timeout, &done);
    if (PN_UNLIKELY(code != PN_OK)) return raise_put(self, code);
    return PN_UNLIKELY(fault_raised()) ? NULL : Py_NewRef(Py_None);
}

static bool parse_named_wait(const char *function, PyObject *block, PyObject *timeout, wait_args *wait) {
    (void)function;
    *wait = WAIT_FOREVER;
    int truth = block == NULL ? 1 : PyObject_IsTrue(block);
    if (truth < 0) return false;
    wait->block = truth;
    return timeout == NULL || parse_timeout(timeout, &wait->timeout);
}

/* (what, block=True, timeout=None), `what` mostly by position. */
static bool parse_put(PyObject *self, const char *function, const char *what, PyObject *const *args, Py_ssize_t n, PyObject *names, PyObject **obj,
                      wait_args *wait) {
    if (PN_LIKELY(n >= 1)) {
        *obj = args[0];
        if (PN_LIKELY(n == 1 && names == NULL)) return *wait = WAIT_FOREVER, true;
        return parse_wait(STATE(self), function, args, n, names, 1, wait);
    }
    const char *const known[] = {what, "block", "timeout"};
    PyObject *given[3];
    if (!parse_named(function, known, 3, 1, args, n, names, given)) return false;
    *obj = given[0];
    return parse_named_wait(function, given[1], given[2], wait);
}

/* Large bytes need no pickle: they are copied once, into the arena. */
static PyObject *put_large_bytes(PyObject *self, PyObject *bytes, wait_args wait) {
    pn_message message = {.bytes = PyBytes_AsString(bytes), .size = (uint64_t)PyBytes_Size(bytes), .tag = PN_TAG_BYTES};
    return put_one(self, &message, timeout_of(wait));
}

static PyObject *put_block(PyObject *self, PyObject *block, wait_args wait) {
    pn_message message = block_message(block);
    uint32_t done;
    pn_code code = put_messages(QUEUE(self), &message, 1, message.size, timeout_of(wait), &done);
    if (done == 1) block_given(block);
    if (code != PN_OK) return raise_put(self, code);
    return fault_raised() ? NULL : Py_NewRef(Py_None);
}

PyObject *queue_put(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    PyObject *obj;
    wait_args wait;
    codec_message encoded;
    if (!parse_put(self, "put", "obj", args, n, names, &obj, &wait)) return NULL;
    if (PN_UNLIKELY(PyBytes_CheckExact(obj) && PyBytes_Size(obj) > PN_INLINE)) return put_large_bytes(self, obj, wait);
    if (!codec_encode_shared(STATE(self), obj, &encoded)) return NULL;
    pn_message message = {.bytes = encoded.bytes, .size = encoded.size, .tag = PN_TAG_PICKLE};
    PyObject *result = PN_LIKELY(encoded.block == NULL) ? put_one(self, &message, timeout_of(wait)) : put_block(self, encoded.block, wait);
    codec_done(&encoded);
    return result;
}

PyObject *queue_put_plain(PyObject *self, PyObject *obj) {
    uint64_t used = 0;
    pn_scratch scratch = scratch_take();
    codec_result encoded = codec_write(obj, &scratch, &used);
    PyObject *result = NULL;
    if (PN_LIKELY(encoded == CODEC_OK)) {
        pn_message message = {.bytes = scratch.bytes, .size = used, .tag = PN_TAG_PICKLE};
        result = put_one(self, &message, PN_FOREVER);
    }
    scratch_give(&scratch);
    if (encoded == CODEC_CANNOT) Py_RETURN_FALSE;
    if (result == NULL) return NULL;
    Py_DECREF(result);
    Py_RETURN_TRUE;
}

PyObject *queue_put_bytes(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    static const char *const known[] = {"data", "tag", "block", "timeout"};
    PyObject *given[4];
    wait_args wait;
    uint64_t tag = PN_TAG_BYTES;
    Py_buffer data;
    if (!parse_named("put_bytes", known, 4, 1, args, n, names, given) || !parse_named_wait("put_bytes", given[2], given[3], &wait)) return NULL;
    if (given[1] != NULL && !parse_uint(given[1], "tag", PN_TAG_OUTSIDE - 1, &tag)) return NULL;
    if (PyObject_GetBuffer(given[0], &data, PyBUF_SIMPLE) < 0) return NULL;
    pn_message message = {.bytes = data.buf, .size = (uint64_t)data.len, .tag = (uint32_t)tag};
    PyObject *result = put_one(self, &message, timeout_of(wait));
    PyBuffer_Release(&data);
    return result;
}

/* ── many ── */
typedef struct batch {
    pn_scratch scratch;
    uint64_t used;
    pn_message *messages;  /* until settled: bytes NULL, and sequence the place in scratch */
    uint32_t count;
    Py_buffer *buffers;    /* bytes that the fallback made */
    uint32_t buffer_count;
    PyObject *blocks;      /* a list with None or the Block of each message up to the last that has one; NULL: none has */
} batch;

static void drop_batch(batch *b) {
    for (uint32_t i = 0; i < b->buffer_count; i++) PyBuffer_Release(&b->buffers[i]);
    free(b->buffers);
    Py_XDECREF(b->blocks);
    free(b->messages);
    scratch_give(&b->scratch);
}

static bool add_block(batch *b, PyObject *block) {
    if (b->blocks == NULL && (b->blocks = PyList_New(0)) == NULL) return false;
    while (PyList_Size(b->blocks) < (Py_ssize_t)b->count)
        if (PyList_Append(b->blocks, Py_None) < 0) return false;
    if (PyList_Append(b->blocks, block) < 0) return false;
    b->messages[b->count++] = block_message(block);
    return true;
}

static void give_blocks(const batch *b, uint32_t done) {
    Py_ssize_t n = b->blocks == NULL ? 0 : PyList_Size(b->blocks);
    for (Py_ssize_t i = 0; i < n && i < (Py_ssize_t)done; i++)
        if (PyList_GetItem(b->blocks, i) != Py_None) block_given(PyList_GetItem(b->blocks, i));
}

static bool add_bytes(batch *b, PyObject *bytes) {
    if ((b->buffer_count & (b->buffer_count - 1)) == 0) { /* a power of two: full */
        Py_buffer *more = realloc(b->buffers, (b->buffer_count ? 2 * (size_t)b->buffer_count : 1) * sizeof *more);
        if (more == NULL) return PyErr_NoMemory(), false;
        b->buffers = more;
    }
    Py_buffer made; /* buffers may not move while in use, but this one is only copied after it was made, and looked at as bytes */
    if (PyObject_GetBuffer(bytes, &made, PyBUF_SIMPLE) < 0) return false;
    b->buffers[b->buffer_count++] = made;
    b->messages[b->count++] = (pn_message){.bytes = made.buf, .size = (uint64_t)made.len, .tag = PN_TAG_PICKLE};
    return true;
}

static bool add_fallback(core_state *state, batch *b, PyObject *obj) {
    PyObject *packed = codec_fallback_pack(state, obj);
    if (packed == NULL) return false;
    bool added = block_is(state, packed) ? add_block(b, packed) : add_bytes(b, packed);
    Py_DECREF(packed);
    return added;
}

static bool add_object(core_state *state, batch *b, PyObject *obj) {
    uint64_t start = b->used;
    codec_result result = codec_write(obj, &b->scratch, &b->used);
    if (result == CODEC_CANNOT) return add_fallback(state, b, obj);
    if (result == CODEC_ERROR) return false;
    b->messages[b->count++] = (pn_message){.bytes = NULL, .size = b->used - start, .tag = PN_TAG_PICKLE, .sequence = start};
    return true;
}

static bool encode_all(core_state *state, batch *b, PyObject *objs) {
    Py_ssize_t n = PyList_Size(objs);
    if (n > UINT32_MAX / 2) return PyErr_NoMemory(), false;
    b->messages = malloc(((size_t)n + 1) * sizeof *b->messages);
    if (b->messages == NULL) return PyErr_NoMemory(), false;
    for (Py_ssize_t i = 0; i < n; i++)
        if (!add_object(state, b, PyList_GetItem(objs, i))) return false;
    for (uint32_t i = 0; i < b->count; i++)
        if (b->messages[i].bytes == NULL) b->messages[i].bytes = (const char *)b->scratch.bytes + b->messages[i].sequence;
    return true;
}

static uint64_t bytes_of(const batch *b) {
    uint64_t bytes = b->used;
    for (uint32_t i = 0; i < b->buffer_count; i++) bytes += (uint64_t)b->buffers[i].len;
    return bytes;
}

void attach_to_error(const char *attribute, PyObject *value) {
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    if (value == NULL || PyObject_SetAttrString(error, attribute, value) < 0) PyErr_Clear(); /* the error itself says more */
    PyErr_Restore(type, error, traceback);
}

/* The exception that is set carries what was not put. */
static void attach_rest(PyObject *objs, uint32_t from, uint32_t to) {
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyObject *unsent = PyList_GetSlice(objs, from, to);
    if (unsent == NULL) PyErr_Clear(); /* no memory: the error itself says more */
    PyErr_Restore(type, error, traceback);
    attach_to_error("unsent", unsent);
    Py_XDECREF(unsent);
}

static PyObject *put_batch(PyObject *self, batch *b, PyObject *objs, int64_t timeout) {
    uint32_t done = 0;
    pn_code code = b->count == 0 ? PN_OK : put_messages(QUEUE(self), b->messages, b->count, bytes_of(b), timeout, &done);
    give_blocks(b, done);
    if (code == PN_OK) return fault_raised() ? NULL : Py_NewRef(Py_None);
    raise_put(self, code);
    attach_rest(objs, done, b->count);
    return NULL;
}

PyObject *queue_put_many(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    PyObject *given;
    wait_args wait;
    if (!parse_put(self, "put_many", "objs", args, n, names, &given, &wait)) return NULL;
    PyObject *objs = PySequence_List(given);
    if (objs == NULL) return NULL;
    batch b = {.scratch = scratch_take()};
    PyObject *result = encode_all(STATE(self), &b, objs) ? put_batch(self, &b, objs, timeout_of(wait)) : NULL;
    drop_batch(&b);
    Py_DECREF(objs);
    return result;
}
