/* queue_type.c: Queue: its type, its counters, its end. Putting and getting: queue_put.c, queue_get.c.  */
#include "queue_face.h"

static pn_owner self_or_raise(void) {
    pn_owner me = pn_self();
    if (PN_UNLIKELY(me == 0)) raise_no_self();
    return me;
}

static PyObject *queue_qsize(PyObject *self, PyObject *unused) { return (void)unused, PyLong_FromUnsignedLongLong(pn_queue_size(QUEUE(self))); }
static PyObject *queue_empty(PyObject *self, PyObject *unused) { return (void)unused, PyBool_FromLong(pn_queue_is_empty(QUEUE(self))); }

static PyObject *queue_full(PyObject *self, PyObject *unused) {
    (void)unused;
    pn_queue *q = QUEUE(self);
    return PyBool_FromLong(q->maxsize != 0 && pn_queue_size(q) >= q->maxsize);
}

static PyObject *queue_counts(PyObject *self, PyObject *unused) {
    (void)unused;
    pn_queue *q = QUEUE(self);
    pn_owner me = self_or_raise();
    if (me == 0) return NULL;
    pn_queue_settle(q, me);
    uint64_t got = atomic_load_explicit(&q->ngot, memory_order_acquire); /* first: never more got than put */
    uint64_t put = atomic_load_explicit(&q->nput, memory_order_acquire);
    return Py_BuildValue("(KK)", (unsigned long long)put, (unsigned long long)got);
}

static PyObject *queue_task_done(PyObject *self, PyObject *unused) {
    (void)unused;
    pn_owner me = self_or_raise();
    if (me == 0) return NULL;
    pn_code code = pn_queue_task_done(QUEUE(self), 1);
    if (code == PN_OK) return fault_raised() ? NULL : Py_NewRef(Py_None);
    if (code != PN_OVERFLOW) return raise_code(code);
    PyErr_SetString(PyExc_ValueError, "task_done() called too many times");
    return NULL;
}

static PyObject *queue_join(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    int64_t timeout;
    if (!parse_timeout_only(STATE(self), "join", args, n, names, &timeout) || self_or_raise() == 0) return NULL;
    pn_queue *q = QUEUE(self);
    pn_deadline deadline = deadline_after(timeout);
    pn_code code;
    WITHOUT_GIL(code, pn_queue_wait_all_done(q, deadline));
    if (fault_raised()) return NULL;
    if (code == PN_OWNER_DIED) {
        pn_owner culprit;
        (void)pn_queue_lost(q, pn_self(), &culprit);
        return raise_owner_died(self, culprit);
    }
    return code == PN_OK || code == PN_TIMEOUT ? PyBool_FromLong(code == PN_OK) : raise_code(code);
}

static PyObject *queue_lost(PyObject *self, PyObject *unused) {
    (void)unused;
    pn_owner culprit, me = self_or_raise();
    return me == 0 ? NULL : PyLong_FromUnsignedLongLong(pn_queue_lost(QUEUE(self), me, &culprit));
}

static PyObject *queue_recover(PyObject *self, PyObject *unused) {
    (void)unused;
    pn_owner me = self_or_raise();
    return me == 0 ? NULL : PyLong_FromUnsignedLongLong(pn_queue_recover(QUEUE(self), me));
}

static PyObject *queue_unfinished(PyObject *self, PyObject *unused) {
    (void)unused;
    pn_owner me = self_or_raise();
    return me == 0 ? NULL : PyLong_FromUnsignedLongLong(pn_queue_unfinished(QUEUE(self)));
}

static PyObject *queue_shut_down(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    static const char *const known[] = {"immediate"};
    PyObject *given;
    pn_owner me = self_or_raise();
    if (me == 0 || !parse_named("shut_down", known, 1, 0, args, n, names, &given)) return NULL;
    int immediate = given == NULL ? 0 : PyObject_IsTrue(given);
    if (immediate < 0) return NULL;
    pn_queue_shut_down(QUEUE(self), me, immediate);
    return fault_raised() ? NULL : Py_NewRef(Py_None);
}

static PyObject *queue_nudge(PyObject *self, PyObject *unused) {
    (void)unused;
    pn_queue_nudge(QUEUE(self));
    Py_RETURN_NONE;
}

static PyObject *queue_is_shut_down(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyBool_FromLong(atomic_load_explicit(&QUEUE(self)->shut, memory_order_acquire) != 0);
}

static PyObject *queue_maxsize(PyObject *self, void *unused) { return (void)unused, PyLong_FromUnsignedLong(QUEUE(self)->maxsize); }

static PyMethodDef queue_methods[] = {
    {"put", FAST(queue_put), FAST_FLAGS, "put(obj, block=True, timeout=None)\n--\n\nPut an object; raises Full, ShutDown, MemoryError, and what pickling raises."},
    {"put_plain", queue_put_plain, METH_O, "put_plain(obj, /)\n--\n\nput(obj), or False, and nothing put, if it needs the fallback."},
    {"put_many", FAST(queue_put_many), FAST_FLAGS,
     "put_many(objs, block=True, timeout=None)\n--\n\nPut all, in order; an exception carries those it did not as `unsent`."},
    {"put_call", FAST(queue_put_call), METH_FASTCALL,
     "put_call(call, offset, generation, payload)\n--\n\nPut the tuple of these; False, and nothing put, if the payload needs the fallback."},
    {"put_calls", FAST(queue_put_calls), METH_FASTCALL,
     "put_calls(call, offset, generation, payloads)\n--\n\nput_call for each, in order; False, and nothing put, if one of them needs the fallback."},
    {"answer", FAST(queue_answer), METH_FASTCALL,
     "answer(claims, row, sequence, answer, value)\n--\n\nPut (sequence, answer, value), note in the row that the task is done and that the next one of the claim "
     "runs; False, and nothing done, if the value needs the fallback."},
    {"put_bytes", FAST(queue_put_bytes), FAST_FLAGS, "put_bytes(data, tag=1, block=True, timeout=None)\n--\n\nPut a message as it is."},
    {"get", FAST(queue_get), FAST_FLAGS, "get(block=True, timeout=None)\n--\n\nThe next object; raises Empty, ShutDown, and what unpickling raises."},
    {"get_many", FAST(queue_get_many), FAST_FLAGS,
     "get_many(max_items, block=True, timeout=None)\n--\n\nWaits for one, then takes what is there. What cannot be decoded is raised, with the others as `received`."},
    {"get_bytes", FAST(queue_get_bytes), FAST_FLAGS, "get_bytes(block=True, timeout=None)\n--\n\n(payload, tag) of the next message."},
    {"get_claimed", FAST(queue_get_claimed), FAST_FLAGS,
     "get_claimed(claim, row, max_items, block=True, timeout=None)\n--\n\n[(sequence, object or Undecodable)], noted in the row of the table before they are taken."},
    {"nudge", queue_nudge, METH_NOARGS, "nudge()\n--\n\nWake all who sleep though a message is there."},
    {"qsize", queue_qsize, METH_NOARGS, "qsize()\n--\n\nHow many messages wait."},
    {"empty", queue_empty, METH_NOARGS, "empty()\n--\n\nIs nothing there?"},
    {"full", queue_full, METH_NOARGS, "full()\n--\n\nIs there no room?"},
    {"counts", queue_counts, METH_NOARGS, "counts()\n--\n\n(messages ever put, messages ever got)."},
    {"task_done", queue_task_done, METH_NOARGS, "task_done()\n--\n\nOne message less is unfinished; ValueError if none was."},
    {"join", FAST(queue_join), FAST_FLAGS, "join(timeout=None)\n--\n\nUntil nothing is unfinished; whether that was in time."},
    {"lost", queue_lost, METH_NOARGS, "lost()\n--\n\nHow many of the unfinished were in the hands of processes that were killed."},
    {"recover", queue_recover, METH_NOARGS, "recover()\n--\n\nCount these as done; how many they were."},
    {"unfinished", queue_unfinished, METH_NOARGS, "unfinished()\n--\n\nMessages put and not yet done."},
    {"shut_down", FAST(queue_shut_down), FAST_FLAGS, "shut_down(immediate=False)\n--\n\nNothing more can be put; immediate: nor got."},
    {"is_shut_down", queue_is_shut_down, METH_NOARGS, "is_shut_down()\n--\n\nWas it shut down?"},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef queue_getset[] = {
    {"maxsize", queue_maxsize, NULL, "How many messages fit; 0: any number.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

/* Any int, as queue.Queue takes: 0 and less mean without bound. */
static bool parse_maxsize(PyObject *given, uint32_t *maxsize) {
    PyObject *number = PyNumber_Index(given);
    if (number == NULL) return false;
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
    Py_DECREF(number);
    if (overflow < 0 || value < 0) value = 0;
    if (overflow > 0 || value > UINT32_MAX) value = UINT32_MAX; /* more messages than would fit the arena */
    *maxsize = (uint32_t)value;
    return true;
}

static PyObject *queue_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"maxsize", "joinable", NULL};
    core_state *state = state_of_type(type);
    PyObject *given = NULL;
    int joinable = 0;
    uint32_t maxsize = 0;
    if (state == NULL || !PyArg_ParseTupleAndKeywords(args, kwargs, "|O$p:Queue", names, &given, &joinable)) return NULL;
    if (given != NULL && !parse_maxsize(given, &maxsize)) return NULL;
    pn_off offset = 0;
    pn_code code = pn_queue_create(maxsize, joinable ? PN_QUEUE_JOINABLE : 0, &offset);
    return wrap_created(state, type, code, offset);
}

static PyType_Slot queue_slots[] = {
    {Py_tp_doc, (void *)"Queue(maxsize=0, *, joinable=False)\n--\n\nA log of messages: many senders, many receivers."},
    {Py_tp_new, (void *)queue_new},
    {Py_tp_dealloc, (void *)object_dealloc},
    {Py_tp_methods, queue_methods},
    {Py_tp_getset, queue_getset},
    {0, NULL},
};

static PyType_Spec queue_spec = {"procession._native._core.Queue", sizeof(shared_object), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, queue_slots};

bool add_queue_types(PyObject *module, core_state *state) {
    return (state->queue_type = add_type(module, &queue_spec, state->object_type)) != NULL && add_undecodable_type(module, state);
}
