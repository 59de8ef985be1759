/* barrier_type.c: Barrier, in the steps that its action needs: arrive, wait; the last one releases or aborts.  */
#include "../barrier.h"
#include "face.h"

#define BARRIER(self) SHARED(pn_barrier, self)

static PyObject *raise_broken(PyObject *self) {
    return raise_configured(STATE(self)->with.broken_barrier, PyExc_RuntimeError,
                            "the barrier is broken: a party aborted it, timed out or died; call reset() to use it again");
}

static PyObject *arrived(PyObject *self, pn_code code, uint32_t index, pn_off node) {
    pn_barrier *barrier = BARRIER(self);
    switch (code) {
    case PN_OK: return Py_BuildValue("(IK)", (unsigned int)index, (unsigned long long)node);
    case PN_EMPTY: return Py_BuildValue("(II)", (unsigned int)index, 0u);
    case PN_TIMEOUT: pn_barrier_abort(barrier, pn_self()); return raise_broken(self); /* a timeout breaks it, whatever was waited for */
    case PN_BROKEN: return raise_broken(self);
    default: return raise_code(code);
    }
}

static PyObject *barrier_arrive(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    int64_t timeout = PN_FOREVER;
    if ((n != 0 || names != NULL) && !parse_timeout_only(STATE(self), "arrive", args, n, names, &timeout)) return NULL;
    pn_owner me = pn_self();
    if (me == 0) return raise_no_self();
    pn_barrier *barrier = BARRIER(self);
    pn_off node = 0;
    uint32_t index = 0;
    pn_code code = pn_barrier_arrive(barrier, me, PN_NOW, &node, &index);
    if (code == PN_TIMEOUT && timeout != 0) {
        pn_deadline deadline = deadline_after(timeout);
        WITHOUT_GIL(code, pn_barrier_arrive(barrier, pn_self(), deadline, &node, &index));
    }
    if (fault_raised()) {
        if (code == PN_OK) pn_barrier_withdraw(barrier, pn_self(), node);
        return NULL;
    }
    return arrived(self, code, index, node);
}

static PyObject *barrier_wait(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    static const char *const known[] = {"node", "timeout"};
    PyObject *given[2];
    uint64_t node;
    int64_t timeout = PN_FOREVER;
    if (!parse_named("wait", known, 2, 1, args, n, names, given) || !parse_uint(given[0], "node", pn_header()->size - sizeof(pn_node), &node)) return NULL;
    if (node < PN_HEAP_OFFSET || node % _Alignof(pn_node)) return PyErr_Format(PyExc_ValueError, "%R is not a node that arrive() gave", given[0]);
    if (given[1] != NULL && !parse_timeout(given[1], &timeout)) return NULL;
    pn_deadline deadline = deadline_after(timeout);
    pn_barrier *barrier = BARRIER(self);
    pn_code code;
    WITHOUT_GIL(code, pn_barrier_wait(barrier, pn_self(), node, deadline));
    if (code == PN_INTERRUPTED) return pn_barrier_withdraw(barrier, pn_self(), node), NULL;
    if (fault_raised()) return NULL;
    if (code == PN_OK) Py_RETURN_NONE;
    return code == PN_BROKEN || code == PN_TIMEOUT ? raise_broken(self) : raise_code(code);
}

#define CHANGE(name)                                                            \
    static PyObject *barrier_##name(PyObject *self, PyObject *unused) {         \
        (void)unused;                                                           \
        pn_owner me = pn_self();                                                \
        if (me == 0) return raise_no_self();                                    \
        pn_barrier_##name(BARRIER(self), me);                                   \
        return fault_raised() ? NULL : Py_NewRef(Py_None);                      \
    }
CHANGE(abort)
CHANGE(reset)

static PyObject *barrier_release(PyObject *self, PyObject *unused) {
    (void)unused;
    pn_owner me = pn_self();
    if (me == 0) return raise_no_self();
    pn_code code = pn_barrier_release(BARRIER(self), me);
    if (fault_raised()) return NULL;
    return code == PN_OK ? Py_NewRef(Py_None) : raise_broken(self); /* aborted during the action: nobody was released */
}

static PyObject *barrier_waiting(PyObject *self, PyObject *unused) {
    (void)unused;
    pn_owner me = pn_self();
    return me == 0 ? raise_no_self() : PyLong_FromUnsignedLong(pn_barrier_waiting(BARRIER(self), me));
}

static PyObject *barrier_broken(PyObject *self, PyObject *unused) { return (void)unused, PyBool_FromLong(pn_barrier_is_broken(BARRIER(self))); }

static PyObject *barrier_culprit(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromUnsignedLongLong(atomic_load_explicit(&BARRIER(self)->culprit, memory_order_acquire));
}

static PyMethodDef barrier_methods[] = {
    {"arrive", FAST(barrier_arrive), FAST_FLAGS,
     "arrive(timeout=None)\n--\n\n(index, node). Node 0: all have arrived: run the action, then release() or abort(). Else wait(node)."},
    {"wait", FAST(barrier_wait), FAST_FLAGS, "wait(node, timeout=None)\n--\n\nUntil the round is released; raises BrokenBarrierError if it breaks."},
    {"release", barrier_release, METH_NOARGS, "release()\n--\n\nLet the round go: the last one's call. BrokenBarrierError if it was aborted meanwhile."},
    {"abort", barrier_abort, METH_NOARGS, "abort()\n--\n\nBreak the barrier until reset()."},
    {"reset", barrier_reset, METH_NOARGS, "reset()\n--\n\nWhole and empty again; those who wait get BrokenBarrierError."},
    {"waiting", barrier_waiting, METH_NOARGS, "waiting()\n--\n\nHow many have arrived and wait."},
    {"is_broken", barrier_broken, METH_NOARGS, "is_broken()\n--\n\nIs it broken?"},
    {"culprit", barrier_culprit, METH_NOARGS, "culprit()\n--\n\nThe owner id of the party whose death broke it; 0: none."},
    {NULL, NULL, 0, NULL},
};

static PyObject *barrier_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"parties", NULL};
    core_state *state = state_of_type(type);
    PyObject *given;
    uint64_t parties;
    if (state == NULL || !PyArg_ParseTupleAndKeywords(args, kwargs, "O:Barrier", names, &given)) return NULL;
    if (!parse_uint(given, "a barrier's parties", INT32_MAX, &parties)) return NULL;
    if (parties == 0) return PyErr_Format(PyExc_ValueError, "a barrier needs at least 1 party");
    pn_off offset = 0;
    pn_code code = pn_barrier_create((uint32_t)parties, &offset);
    return wrap_created(state, type, code, offset);
}

static PyType_Slot barrier_slots[] = {
    {Py_tp_doc, (void *)"Barrier(parties)\n--\n\nA fixed number of parties wait for each other."},
    {Py_tp_new, (void *)barrier_new},
    {Py_tp_dealloc, (void *)object_dealloc},
    {Py_tp_methods, barrier_methods},
    {0, NULL},
};

static PyType_Spec barrier_spec = {"procession._native._core.Barrier", sizeof(shared_object), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, barrier_slots};

bool add_barrier_type(PyObject *module, core_state *state) {
    return (state->barrier_type = add_type(module, &barrier_spec, state->object_type)) != NULL;
}
