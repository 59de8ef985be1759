/* queue_tasks.c: what pools put: tasks, and the answers to them, with which the books of the claim are brought up to date in one call.
 *
 * Promises: the answer is committed before the claim says that it is done, and that before the next task is said to run; so whoever reads
 * them after a death knows too much running, never too little done. What the codec cannot write is not put: the caller decides.  */
#include "queue_face.h"

#define RUNNING 2 /* the word of a row that holds 1 + the sequence of the task that runs, 0: none (src/procession/_pools/worker.py) */

/* One more task of the claim is done: the next one runs now, if there is one. */
static void step(pn_claim *claim, uint64_t sequence) {
    _Atomic uint64_t *running = (_Atomic uint64_t *)(void *)claim + RUNNING;
    uint32_t finished = atomic_fetch_add_explicit(&claim->finished, 1, memory_order_release) + 1;
    uint32_t count = atomic_load_explicit(&claim->count, memory_order_relaxed);
    atomic_store_explicit(running, finished < count ? sequence + 2 : 0, memory_order_release);
}

static pn_code put_now(PyObject *self, const pn_message *message) {
    uint32_t done = 0;
    pn_code code;
    pn_owner me = pn_self();
    if (me == 0) return PN_NO_SLOT;
    if (PN_LIKELY(message->size < GIL_BYTES)) return pn_queue_try_put(QUEUE(self), me, message, 1, &done);
    Py_BEGIN_ALLOW_THREADS
    code = pn_queue_try_put(QUEUE(self), me, message, 1, &done);
    Py_END_ALLOW_THREADS
    return code;
}

/* Puts (numbers…, obj), and, if there is a claim, notes there what follows. True, False: nothing was put, or NULL. */
static PyObject *put_numbered(PyObject *self, const uint64_t *numbers, unsigned count, PyObject *obj, pn_claim *claim) {
    uint64_t used = 0;
    pn_scratch scratch = scratch_take();
    codec_result encoded = codec_write_numbered(numbers, count, obj, &scratch, &used);
    pn_code code = PN_OK;
    if (PN_LIKELY(encoded == CODEC_OK)) {
        code = put_now(self, &(pn_message){.bytes = scratch.bytes, .size = used, .tag = PN_TAG_PICKLE});
        if (PN_LIKELY(code == PN_OK) && claim != NULL) step(claim, numbers[0]);
    }
    scratch_give(&scratch);
    if (encoded == CODEC_ERROR || fault_raised()) return NULL;
    if (code == PN_SHUT_DOWN) return raise_configured(STATE(self)->with.shut_down, PyExc_RuntimeError, "the queue was shut down: nothing more can be put");
    return code == PN_OK ? PyBool_FromLong(encoded == CODEC_OK) : raise_code(code);
}

/* answer(claims, row, sequence, answer, value) */
PyObject *queue_answer(PyObject *self, PyObject *const *args, Py_ssize_t n) {
    uint64_t numbers[2];
    if (n != 5) return PyErr_Format(PyExc_TypeError, "answer() takes 5 arguments, not %zd", n);
    pn_claim *claim = table_claim(STATE(self), args[0], args[1]);
    if (claim == NULL || !parse_uint(args[2], "sequence", INT64_MAX, &numbers[0]) || !parse_uint(args[3], "answer", INT64_MAX, &numbers[1])) return NULL;
    return put_numbered(self, numbers, 2, args[4], claim);
}

/* put_call(call, offset, generation, payload) */
PyObject *queue_put_call(PyObject *self, PyObject *const *args, Py_ssize_t n) {
    uint64_t numbers[3];
    if (n != 4) return PyErr_Format(PyExc_TypeError, "put_call() takes 4 arguments, not %zd", n);
    for (int i = 0; i < 3; i++)
        if (!parse_uint(args[i], "a number of a call", INT64_MAX, &numbers[i])) return NULL;
    return put_numbered(self, numbers, 3, args[3], NULL);
}
