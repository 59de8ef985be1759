/* carriage.c: see carriage.h.  */
#include "carriage.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../filling.h"
#include "face.h"
#include "platform.h"
#include "queue_face.h"

#define AHEAD_BYTES CARRIED_AHEAD  /* of messages up to this length, AHEAD more may be on their way beside the stream; of longer ones none */
#define AHEAD 3
#define WAITED_FROM (1u << 20)  /* bytes: shorter ones take less time through the stream than a reader to begin */
#define PATIENCE 100000000      /* ns: in which a process starts */
#define WARM_FROM (16ull << 20)
#define PATIENCE_WARM 1000000   /* ns */
#define SLICE 100000000 /* ns between two looks at the stream while waiting for the other end */

bool carriage_parse(core_state *state, PyObject *obj, pn_queue **queue) {
    *queue = NULL;
    if (obj == Py_None) return true;
    if (!PyObject_TypeCheck(obj, state->queue_type)) return PyErr_Format(PyExc_TypeError, "large messages go through a Queue or not at all, not %R", obj), false;
    *queue = QUEUE(obj);
    return true;
}

/* A reader who has not begun yet is waited for, once: a large message would block in the stream anyway. */
bool carriage_is_attended(pn_queue *queue, uint64_t size, bool *is_attended) {
    pn_code code = PN_OK;
    uint32_t seen = PN_SOON;
    if (PN_UNLIKELY(atomic_load_explicit(&queue->attended, memory_order_acquire) == PN_SOON && size >= WAITED_FROM)) {
        pn_deadline deadline = deadline_after(PATIENCE);
        do WITHOUT_GIL(code, pn_queue_wait_attended(queue, deadline));
        while (code == PN_OK && atomic_load(&queue->attended) == PN_SOON);
        if (code == PN_TIMEOUT) atomic_compare_exchange_strong(&queue->attended, &seen, PN_LATE);
    }
    *is_attended = atomic_load(&queue->attended) == PN_ATTENDED;
    return code != PN_INTERRUPTED;
}

PyObject *carriage_unattended(PyObject *module, PyObject *obj) {
    pn_queue *queue;
    if (!carriage_parse(state_of(module), obj, &queue)) return NULL;
    if (queue != NULL) atomic_store(&queue->attended, PN_NEVER);
    Py_RETURN_NONE;
}

/* ── sending ── */
/* A reader gives its last array back a moment after it has taken the next one. Fresh pages for 100 MB cost 60 ms, warm ones nothing, this at
 * most 1 ms. */
static void wait_warm(uint64_t size) {
    const struct timespec moment = {.tv_nsec = 20000};
    int64_t end = pn_clock() + PATIENCE_WARM;
    while (pn_heap_idle() < size && pn_clock() < end) nanosleep(&moment, NULL);
}

static bool wait_taken(int fd, pn_queue *queue, uint64_t most, bool *has_room) {
    int drained = 0;
    *has_room = true;
    while (PN_UNLIKELY(pn_queue_size(queue) > most)) {
        pn_code code;
        WITHOUT_GIL(code, pn_queue_wait_taken(queue, most, deadline_after(SLICE)));
        if (code == PN_INTERRUPTED) return false;
        if (code != PN_TIMEOUT) continue;
        if (PyErr_CheckSignals() < 0) return false; /* one that came between two slices */
        if (stream_is_broken(fd)) return *has_room = false, true;
        if (stream_unread(fd) != 0) drained = 0;
        else if (++drained == 2) return true; /* all notices were read: what is left belongs to readers that were killed */
    }
    return true;
}

bool carriage_wait_taken(int fd, pn_queue *queue, bool *was_taken) { return wait_taken(fd, queue, 0, was_taken); }

bool carriage_wait_room(int fd, pn_queue *queue, uint64_t size, bool *has_room) {
    if (!wait_taken(fd, queue, 0 < size && size <= AHEAD_BYTES ? AHEAD : 0, has_room)) return false;
    if (PN_LIKELY(size < WARM_FROM)) return true;
    Py_BEGIN_ALLOW_THREADS
    wait_warm(size);
    Py_END_ALLOW_THREADS
    return true;
}

static pn_code put(pn_queue *queue, pn_message *message, pn_notice *notice) {
    pn_owner me = pn_self();
    bool is_copied = message->outside == 0;
    pn_piece all = {.from = message->bytes, .size = message->size};
    pn_code code = me == 0 ? PN_NO_SLOT : is_copied ? pn_buffer_create_filled(message->size, &all, 1, &message->outside) : PN_OK;
    if (code != PN_OK) return code;
    message->bytes = pn_buffer_bytes(message->outside);
    const pn_block *block = pn_at(message->outside); /* SAFETY: our own buffer until it is put */
    *notice = (pn_notice){message->size, message->outside, atomic_load(&block->generation)};
    uint32_t done;
    code = pn_queue_try_put(queue, me, message, 1, &done);
    if (done == 0 && is_copied) pn_buffer_free(message->outside);
    return code;
}

pn_code carriage_put(pn_queue *queue, const pn_message *message, pn_notice *notice) {
    pn_message own = *message;
    pn_code code;
    Py_BEGIN_ALLOW_THREADS
    code = put(queue, &own, notice);
    Py_END_ALLOW_THREADS
    return code;
}

/* ── receiving ── */
static bool is_announced(const pn_notice *notice, const pn_message *message) {
    if (message->outside != notice->offset) return false;
    const pn_block *block = pn_at(message->outside); /* SAFETY: ours since it was got */
    return atomic_load(&block->generation) == notice->generation;
}

/* The message of a notice, which is this process's then. False: an exception is set. */
static bool take(pn_queue *queue, const pn_notice *notice, pn_message *message) {
    pn_scratch scratch = {0};
    pn_code code;
    bool found = false;
    do {
        uint32_t done;
        pn_owner me = pn_self();
        code = me == 0 ? PN_NO_SLOT : pn_queue_try_get(queue, me, &scratch, message, 1, &done, NULL);
        found = code == PN_OK && is_announced(notice, message);
        if (code == PN_OK && !found) pn_queue_release_message(message); /* its notice was never written, or read by one who was killed */
    } while (code == PN_OK && !found);
    free(scratch.bytes);
    if (found) return true;
    if (code == PN_EMPTY || code == PN_SHUT_DOWN)
        PyErr_SetString(PyExc_OSError, "a large message was announced and is not there: two processes read from this connection at once");
    else
        raise_code(code);
    return false;
}

PyObject *carriage_object(core_state *state, pn_queue *queue, pn_notice notice) {
    pn_message message;
    bool escaped;
    if (!take(queue, &notice, &message)) return NULL;
    if (message.tag == PN_TAG_PARTS) return queue_unpack(state, &message);
    PyObject *obj = codec_decode(state, message.bytes, message.size, &escaped);
    if (!escaped) pn_queue_release_message(&message);
    return obj;
}

static PyObject *bytes_of(const pn_message *message) {
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)message->size);
    if (bytes == NULL) return NULL;
    char *to = PyBytes_AsString(bytes);
    Py_BEGIN_ALLOW_THREADS
    memcpy(to, message->bytes, message->size);
    Py_END_ALLOW_THREADS
    return bytes;
}

/* An object that was not pickled in one piece. */
static PyObject *pickle_of(core_state *state, pn_message *message) {
    PyObject *obj = queue_unpack(state, message), *bytes = NULL;
    codec_message encoded;
    if (obj != NULL && codec_encode(state, obj, &encoded)) {
        bytes = PyBytes_FromStringAndSize(encoded.bytes, (Py_ssize_t)encoded.size);
        codec_done(&encoded);
    }
    Py_XDECREF(obj);
    return bytes;
}

PyObject *carriage_bytes(core_state *state, pn_queue *queue, pn_notice notice) {
    pn_message message;
    if (!take(queue, &notice, &message)) return NULL;
    if (message.tag == PN_TAG_PARTS) return pickle_of(state, &message);
    PyObject *bytes = bytes_of(&message);
    pn_queue_release_message(&message);
    return bytes;
}
