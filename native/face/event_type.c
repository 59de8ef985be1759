/* event_type.c: Event.  */
#include "../event.h"
#include "face.h"

#define EVENT(self) SHARED(pn_event, self)

static PyObject *event_is_set(PyObject *self, PyObject *unused) {
    (void)unused;
    return Py_NewRef(pn_event_is_set(EVENT(self)) ? Py_True : Py_False);
}

static PyObject *event_set(PyObject *self, PyObject *unused) {
    (void)unused;
    pn_event_set(EVENT(self));
    return PN_UNLIKELY(fault_raised()) ? NULL : Py_NewRef(Py_None);
}

static PyObject *event_clear(PyObject *self, PyObject *unused) {
    (void)unused;
    pn_event_clear(EVENT(self));
    return PN_UNLIKELY(fault_raised()) ? NULL : Py_NewRef(Py_None);
}

static PyObject *event_wait(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    pn_event *event = EVENT(self);
    int64_t timeout = PN_FOREVER;
    if ((n != 0 || names != NULL) && !parse_timeout_only(STATE(self), "wait", args, n, names, &timeout)) return NULL;
    if (pn_event_is_set(event)) Py_RETURN_TRUE;
    if (timeout == 0) Py_RETURN_FALSE;
    pn_deadline deadline = deadline_after(timeout);
    uint32_t entry_word = 0;
    pn_code code;
    WITHOUT_GIL(code, pn_event_wait(event, deadline, &entry_word));
    if (fault_raised()) return NULL;
    return code == PN_OK || code == PN_TIMEOUT ? PyBool_FromLong(code == PN_OK) : raise_code(code);
}

static PyMethodDef event_methods[] = {
    {"is_set", event_is_set, METH_NOARGS, "is_set()\n--\n\nIs the flag set?"},
    {"set", event_set, METH_NOARGS, "set()\n--\n\nSet the flag and wake all who wait."},
    {"clear", event_clear, METH_NOARGS, "clear()\n--\n\nUnset the flag."},
    {"wait", FAST(event_wait), FAST_FLAGS, "wait(timeout=None)\n--\n\nWait until the flag is set; whether it was, in time."},
    PLAIN_METHODS,
    {NULL, NULL, 0, NULL},
};

static PyObject *event_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    core_state *state = state_of_type(type);
    if (state == NULL || !only_context(type, args, kwargs)) return NULL;
    pn_off offset = 0;
    pn_code code = pn_event_create(&offset);
    return wrap_created(state, type, code, offset);
}

static PyType_Slot event_slots[] = {
    {Py_tp_doc, (void *)"Event(*, ctx=None)\n--\n\n"
                         "A flag between processes and threads, at first not set.\n\n"
                         "wait(timeout=None) returns whether it was set in time; one that began before set() ends with it, even when\n"
                         "clear() follows at once. `ctx` is accepted for compatibility."},
    {Py_tp_new, (void *)event_new},
    {Py_tp_methods, event_methods},
    {Py_tp_getset, plain_getset},
    PLAIN_SLOTS,
    {0, NULL},
};

static PyType_Spec event_spec = {"procession._primitives.event.Event", sizeof(plain_object), 0, PLAIN_FLAGS, event_slots};

bool add_event_type(PyObject *module, core_state *state) {
    return (state->event_type = add_type(module, &event_spec, state->object_type)) != NULL;
}
