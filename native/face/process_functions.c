/* process_functions.c: the process table and the wait table, as functions of the module.  */
#include "../wait.h"
#include "face.h"
#include "platform.h"

#include <stdlib.h>
#include <string.h>

static PyObject *process_register(PyObject *module, PyObject *name) {
    (void)module;
    const char *text = PyUnicode_AsUTF8AndSize(name, NULL);
    if (text == NULL) return NULL;
    pn_code code = pn_process_register();
    if (code != PN_OK) return raise_code(code);
    pn_process_set_name(text);
    return PyLong_FromUnsignedLongLong(pn_self() >> 32);
}

static PyObject *process_leave(PyObject *module, PyObject *status) {
    (void)module;
    long number = PyLong_AsLong(status);
    if (number == -1 && PyErr_Occurred()) return NULL;
    pn_process_leave((int32_t)number);
    Py_RETURN_NONE;
}

/* The GIL stays held: threads that still run wait for it until the process is gone, as at the interpreter's own end. */
static PyObject *process_exit(PyObject *module, PyObject *status) {
    (void)module;
    int number = (int)PyLong_AsLong(status);
    if (number == -1 && PyErr_Occurred()) return NULL;
    exit(number);
}

static PyObject *tie_to(PyObject *module, PyObject *args) {
    (void)module;
    int reader, grace;
    if (!PyArg_ParseTuple(args, "ii:tie_to", &reader, &grace)) return NULL;
    pn_code code = tie_to_pipe(reader, grace);
    return code == PN_OK || code == PN_STALE ? PyBool_FromLong(code == PN_OK) : raise_code(code);
}

static PyObject *hold_interrupts(PyObject *module, PyObject *unused) { return (void)module, (void)unused, PyBool_FromLong(interrupts_hold()); }

static PyObject *allow_interrupts(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    interrupts_allow();
    if (PyErr_CheckSignals() < 0) return NULL; /* one that waited */
    Py_RETURN_NONE;
}

static PyObject *process_reaped(PyObject *module, PyObject *args) {
    (void)module;
    unsigned int pid;
    int status;
    if (!PyArg_ParseTuple(args, "Ii:process_reaped", &pid, &status)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    pn_process_reaped(pid, status);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *before_fork(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    pn_before_fork();
    Py_RETURN_NONE;
}

static PyObject *after_fork(PyObject *module, PyObject *pid) {
    (void)module;
    unsigned long child = PyLong_AsUnsignedLong(pid);
    if (child == (unsigned long)-1 && PyErr_Occurred()) return NULL;
    pn_after_fork((uint32_t)child);
    Py_RETURN_NONE;
}

static PyObject *thread_owner(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    pn_owner me = pn_self();
    return me == 0 ? raise_no_self() : PyLong_FromUnsignedLongLong(me);
}

/* ── who is who ── */
/* An owner id from Python; false: an exception is set. */
static bool parse_owner(PyObject *obj, pn_owner *owner) {
    *owner = PyLong_AsUnsignedLongLong(obj);
    return *owner != UINT64_MAX || !PyErr_Occurred();
}

static PyObject *owner_is_alive(PyObject *module, PyObject *obj) {
    (void)module;
    pn_owner owner;
    if (!parse_owner(obj, &owner)) return NULL;
    return PyBool_FromLong(pn_base != NULL && owner != 0 && pn_owner_is_alive(owner));
}

/* A copy: the slot may be used anew while it is read. */
static PyObject *name_of(const pn_process_slot *slot) {
    char name[PN_NAME_BYTES + 1] = {0};
    memcpy(name, slot->name, PN_NAME_BYTES);
    return PyUnicode_DecodeUTF8(name, (Py_ssize_t)strlen(name), "replace");
}

static PyObject *number_or_none(bool known, long number) { return known ? PyLong_FromLong(number) : Py_NewRef(Py_None); }

static PyObject *seconds_or_none(bool known, int64_t ns) { return known ? PyFloat_FromDouble((double)ns / 1e9) : Py_NewRef(Py_None); }

static PyObject *owner_record(PyObject *module, PyObject *obj) {
    (void)module;
    pn_owner owner;
    if (!parse_owner(obj, &owner)) return NULL;
    uint32_t index = pn_owner_slot(owner);
    if (pn_base == NULL || index == 0 || index >= pn_slots_in_use()) Py_RETURN_NONE;
    pn_process_slot *slot = pn_slot(index);
    uint32_t pid = slot->pid;
    int32_t status = atomic_load_explicit(&slot->exit_status, memory_order_acquire);
    int64_t died_at = atomic_load_explicit(&slot->died_at, memory_order_acquire);
    PyObject *name = name_of(slot);
    if ((atomic_load_explicit(&slot->generation, memory_order_acquire) & 0xfffff) != pn_owner_gen(owner)) {
        Py_XDECREF(name);
        Py_RETURN_NONE;
    }
    bool dead = died_at != 0;
    return Py_BuildValue("(INNN)", (unsigned int)pid, name, number_or_none(status != INT32_MIN && dead, status),
                         seconds_or_none(dead, pn_clock() - died_at));
}

static bool append_new(PyObject *list, PyObject *item) {
    if (item == NULL) return false;
    int failed = PyList_Append(list, item);
    Py_DECREF(item);
    return failed == 0;
}

static PyObject *process_row(uint32_t index, pn_process_slot *slot) {
    uint32_t generation = atomic_load_explicit(&slot->generation, memory_order_acquire);
    bool alive = pn_owner_is_alive(pn_owner_make(index, generation, 0));
    return Py_BuildValue("(IINN)", (unsigned int)index, (unsigned int)slot->pid, name_of(slot), PyBool_FromLong(alive));
}

static PyObject *processes(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    PyObject *list = PyList_New(0);
    uint32_t end = pn_base == NULL ? 0 : pn_slots_in_use();
    for (uint32_t i = 1; list != NULL && i < end; i++) {
        pn_slot_state state = PN_SLOT_STATE(atomic_load_explicit(&pn_slot(i)->state, memory_order_acquire));
        if (state != PN_SLOT_ALIVE && state != PN_SLOT_DEAD) continue;
        if (!append_new(list, process_row(i, pn_slot(i)))) Py_CLEAR(list);
    }
    return list;
}

/* ── who waits for what ── */
static PyObject *wait_tuple(const pn_process_slot *slot, const pn_wait_row *row, uint32_t tid, int64_t now) {
    int64_t deadline = row->deadline;
    return Py_BuildValue("(IIIKdNK)", (unsigned int)slot->pid, (unsigned int)tid, (unsigned int)row->reason, (unsigned long long)row->object,
                         (double)(now - row->since) / 1e9, seconds_or_none(deadline != PN_FOREVER, deadline - now),
                         (unsigned long long)row->held_by);
}

/* Rows that are just being filled have a bit above the thread id. */
static bool append_waits(PyObject *list, pn_process_slot *slot, int64_t now) {
    for (int i = 0; i < PN_WAIT_ROWS; i++) {
        uint32_t tid = atomic_load_explicit(&slot->waits[i].tid, memory_order_acquire);
        if (tid != 0 && tid <= PN_TID_MASK && !append_new(list, wait_tuple(slot, &slot->waits[i], tid, now))) return false;
    }
    return true;
}

static PyObject *waits(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    PyObject *list = PyList_New(0);
    uint32_t end = pn_base == NULL ? 0 : pn_slots_in_use();
    int64_t now = pn_clock();
    for (uint32_t i = 1; list != NULL && i < end; i++) {
        pn_process_slot *slot = pn_slot(i);
        if (PN_SLOT_STATE(atomic_load_explicit(&slot->state, memory_order_acquire)) != PN_SLOT_ALIVE) continue;
        if (pn_owner_is_alive(pn_owner_make(i, slot->generation, 0)) && !append_waits(list, slot, now)) Py_CLEAR(list);
    }
    return list;
}

static PyObject *wait_begin(PyObject *module, PyObject *args) {
    (void)module;
    int reason;
    unsigned long long offset, held_by;
    PyObject *given;
    int64_t timeout;
    if (!PyArg_ParseTuple(args, "iKOK:wait_begin", &reason, &offset, &given, &held_by) || !parse_timeout(given, &timeout)) return NULL;
    if (pn_self() == 0) return raise_no_self();
    return PyLong_FromLong(pn_wait_begin((pn_reason)reason, offset, deadline_after(timeout), held_by));
}

static PyObject *wait_end(PyObject *module, PyObject *row) {
    (void)module;
    long number = PyLong_AsLong(row);
    if (number == -1 && PyErr_Occurred()) return NULL;
    if (number >= PN_WAIT_ROWS) return PyErr_Format(PyExc_ValueError, "%ld is not a row that wait_begin() gave", number);
    if (number >= 0) pn_wait_end((int)number);
    Py_RETURN_NONE;
}

static PyObject *forbid_wait_any(PyObject *module, PyObject *forbidden) {
    (void)module;
    int truth = PyObject_IsTrue(forbidden);
    if (truth < 0) return NULL;
    pn_forbid_wait_any(truth);
    Py_RETURN_NONE;
}

static PyObject *forbid_spinning(PyObject *module, PyObject *forbidden) {
    (void)module;
    int truth = PyObject_IsTrue(forbidden);
    if (truth < 0) return NULL;
    pn_forbid_spinning(truth);
    Py_RETURN_NONE;
}

static PyObject *has_wait_any(PyObject *module, PyObject *unused) { return (void)module, (void)unused, PyBool_FromLong(pn_has_wait_any()); }

PyMethodDef process_functions[] = {
    {"process_register", process_register, METH_O, "process_register(name, /)\n--\n\nJoin the process table under this name; slot and generation as one number."},
    {"process_leave", process_leave, METH_O, "process_leave(status, /)\n--\n\nA normal exit: what is still held becomes orphaned."},
    {"process_exit", process_exit, METH_O, "process_exit(status, /)\n--\n\nEnd the process as C programs end: the interpreter is not taken apart."},
    {"process_reaped", process_reaped, METH_VARARGS, "process_reaped(pid, status, /)\n--\n\nBy the parent: how a child ended; sweeps what it left."},
    {"before_fork", before_fork, METH_NOARGS, "before_fork()\n--\n\nRight before a fork of ours, in the thread that forks."},
    {"after_fork", after_fork, METH_O, "after_fork(pid, /)\n--\n\nRight after it, in the parent: the child's pid, or 0 if the fork failed."},
    {"tie_to", tie_to, METH_VARARGS, "tie_to(reader, grace, /)\n--\n\nEnd this process when a pipe's last writing end is closed; False: it is closed."},
    {"hold_interrupts", hold_interrupts, METH_NOARGS, "hold_interrupts()\n--\n\nLet SIGINT wait; False: it waits already."},
    {"allow_interrupts", allow_interrupts, METH_NOARGS, "allow_interrupts()\n--\n\nLet SIGINT in again; raises what one that waited raises."},
    {"thread_owner", thread_owner, METH_NOARGS, "thread_owner()\n--\n\nThis thread's owner id."},
    {"owner_is_alive", owner_is_alive, METH_O, "owner_is_alive(owner, /)\n--\n\nIs the process of this owner id alive?"},
    {"owner_record", owner_record, METH_O, "owner_record(owner, /)\n--\n\n(pid, name, exit code or None, seconds since its death or None); None: no longer known."},
    {"processes", processes, METH_NOARGS, "processes()\n--\n\n[(slot, pid, name, alive)]."},
    {"waits", waits, METH_NOARGS, "waits()\n--\n\n[(pid, thread id, reason, object's offset, seconds waited, seconds left or None, holder's owner id)]."},
    {"wait_begin", wait_begin, METH_VARARGS, "wait_begin(reason, offset, timeout, held_by, /)\n--\n\nA row of the wait table for a wait in Python; -1: none is free."},
    {"wait_end", wait_end, METH_O, "wait_end(row, /)\n--\n\nThe wait is over."},
    {"forbid_wait_any", forbid_wait_any, METH_O, "forbid_wait_any(forbidden, /)\n--\n\nTests: do without futex_waitv."},
    {"forbid_spinning", forbid_spinning, METH_O, "forbid_spinning(forbidden, /)\n--\n\nBenchmarks: this process and its forks sleep at once."},
    {"has_wait_any", has_wait_any, METH_NOARGS, "has_wait_any()\n--\n\nCan this kernel sleep on several words?"},
    {NULL, NULL, 0, NULL},
};
