/* queue_tasks.c: what pools put: tasks, and the answers to them, with which the books of the claim are brought up to date in one call.
 *
 * Promises: the answer is committed before the claim says that it is done, and that before the next task is said to run; so whoever reads
 * them after a death knows too much running, never too little done. What the codec cannot write is not put: the caller decides.  */
#include "queue_face.h"

#include <stdlib.h>

#define RUNNING 2 /* the word of a row that holds 1 + the sequence of the task that runs, 0: none (src/procession/_pools/worker.py) */

/* One more task of the claim is done: the next one runs now, if there is one. */
static void step(pn_claim *claim, uint64_t sequence) {
    _Atomic uint64_t *running = (_Atomic uint64_t *)(void *)claim + RUNNING;
    uint32_t finished = atomic_fetch_add_explicit(&claim->finished, 1, memory_order_release) + 1;
    uint32_t count = atomic_load_explicit(&claim->count, memory_order_relaxed);
    atomic_store_explicit(running, finished < count ? sequence + 2 : 0, memory_order_release);
}

/* Of `bytes` together. */
static pn_code put_now(PyObject *self, const pn_message *messages, uint32_t count, uint64_t bytes) {
    uint32_t done = 0;
    pn_code code;
    pn_owner me = pn_self();
    if (me == 0) return PN_NO_SLOT;
    if (PN_LIKELY(bytes < GIL_BYTES)) return pn_queue_try_put(QUEUE(self), me, messages, count, &done);
    Py_BEGIN_ALLOW_THREADS
    code = pn_queue_try_put(QUEUE(self), me, messages, count, &done);
    Py_END_ALLOW_THREADS
    return code;
}

/* True, False: nothing was put, or NULL. */
static PyObject *say_put(PyObject *self, codec_result encoded, pn_code code) {
    if (encoded == CODEC_ERROR || fault_raised()) return NULL;
    if (code == PN_SHUT_DOWN) return raise_configured(STATE(self)->with.shut_down, PyExc_RuntimeError, "the queue was shut down: nothing more can be put");
    return code == PN_OK ? PyBool_FromLong(encoded == CODEC_OK) : raise_code(code);
}

/* Puts (numbers…, obj), and, if there is a claim, notes there what follows. */
static PyObject *put_numbered(PyObject *self, const uint64_t *numbers, unsigned count, PyObject *obj, pn_claim *claim) {
    uint64_t used = 0;
    pn_scratch scratch = scratch_take();
    codec_result encoded = codec_write_numbered(numbers, count, obj, &scratch, &used);
    pn_code code = PN_OK;
    if (PN_LIKELY(encoded == CODEC_OK)) {
        code = put_now(self, &(pn_message){.bytes = scratch.bytes, .size = used, .tag = PN_TAG_PICKLE}, 1, used);
        if (PN_LIKELY(code == PN_OK) && claim != NULL) step(claim, numbers[0]);
    }
    scratch_give(&scratch);
    return say_put(self, encoded, code);
}

/* answer(claims, row, sequence, answer, value) */
PyObject *queue_answer(PyObject *self, PyObject *const *args, Py_ssize_t n) {
    uint64_t numbers[2];
    if (n != 5) return PyErr_Format(PyExc_TypeError, "answer() takes 5 arguments, not %zd", n);
    pn_claim *claim = table_claim(STATE(self), args[0], args[1]);
    if (claim == NULL || !parse_uint(args[2], "sequence", INT64_MAX, &numbers[0]) || !parse_uint(args[3], "answer", INT64_MAX, &numbers[1])) return NULL;
    return put_numbered(self, numbers, 2, args[4], claim);
}

#define CALL_NUMBERS 3 /* call, offset, generation */

static bool parse_call(PyObject *const *args, Py_ssize_t n, const char *function, uint64_t *numbers) {
    if (n != CALL_NUMBERS + 1) return PyErr_Format(PyExc_TypeError, "%s() takes 4 arguments, not %zd", function, n), false;
    for (int i = 0; i < CALL_NUMBERS; i++)
        if (!parse_uint(args[i], "a number of a call", INT64_MAX, &numbers[i])) return false;
    return true;
}

/* put_call(call, offset, generation, payload) */
PyObject *queue_put_call(PyObject *self, PyObject *const *args, Py_ssize_t n) {
    uint64_t numbers[CALL_NUMBERS];
    return parse_call(args, n, "put_call", numbers) ? put_numbered(self, numbers, CALL_NUMBERS, args[CALL_NUMBERS], NULL) : NULL;
}

/* One after another into scratch; only then, when it does not move any more, is it known where each is. */
static codec_result write_calls(const uint64_t *numbers, PyObject *payloads, pn_scratch *scratch, uint64_t *used, pn_message *messages) {
    Py_ssize_t count = PyList_Size(payloads);
    for (Py_ssize_t i = 0; i < count; i++) {
        uint64_t start = *used;
        codec_result encoded = codec_write_numbered(numbers, CALL_NUMBERS, PyList_GetItem(payloads, i), scratch, used);
        if (PN_UNLIKELY(encoded != CODEC_OK)) return encoded;
        messages[i] = (pn_message){.size = *used - start, .tag = PN_TAG_PICKLE};
    }
    const char *at = scratch->bytes;
    for (Py_ssize_t i = 0; i < count; at += messages[i++].size) messages[i].bytes = at;
    return CODEC_OK;
}

static PyObject *put_calls(PyObject *self, const uint64_t *numbers, PyObject *payloads) {
    uint64_t count = (uint64_t)PyList_Size(payloads), used = 0;
    pn_message *messages = count > UINT32_MAX / 2 ? NULL : malloc((count + 1) * sizeof *messages);
    if (messages == NULL) return PyErr_NoMemory();
    pn_scratch scratch = scratch_take();
    codec_result encoded = write_calls(numbers, payloads, &scratch, &used, messages);
    pn_code code = encoded == CODEC_OK && count != 0 ? put_now(self, messages, (uint32_t)count, used) : PN_OK;
    scratch_give(&scratch);
    free(messages);
    return say_put(self, encoded, code);
}

/* put_calls(call, offset, generation, payloads) */
PyObject *queue_put_calls(PyObject *self, PyObject *const *args, Py_ssize_t n) {
    uint64_t numbers[CALL_NUMBERS];
    if (!parse_call(args, n, "put_calls", numbers)) return NULL;
    PyObject *payloads = PySequence_List(args[CALL_NUMBERS]);
    if (payloads == NULL) return NULL;
    PyObject *result = put_calls(self, numbers, payloads);
    Py_DECREF(payloads);
    return result;
}
