/* arena_functions.c: the arena and the fault points, as functions of the module.  */
#include "../arena.h"
#include "../process.h"
#include "face.h"

#include <string.h>
#include <unistd.h>

static PyObject *need_arena(void) {
    if (pn_base != NULL) return Py_None;
    PyErr_SetString(PyExc_RuntimeError, "this process has no arena yet: call arena_open() or arena_attach(fd) first");
    return NULL;
}

static PyObject *arena_open(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    pn_code code = pn_arena_open();
    return code == PN_OK ? PyLong_FromLong(pn_arena_fd) : raise_code(code);
}

static PyObject *arena_fd(PyObject *module, PyObject *unused) { return (void)module, (void)unused, PyLong_FromLong(pn_arena_fd); }

static PyObject *arena_attach(PyObject *module, PyObject *fd) {
    long number = PyLong_AsLong(fd);
    if (number == -1 && PyErr_Occurred()) return NULL;
    pn_code code = pn_arena_attach((int)number);
    if (code == PN_OK) Py_RETURN_NONE;
    return code == PN_STALE ? raise_stale(state_of(module), "arena", 0) : raise_code(code);
}

static PyObject *arena_uuid(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    return need_arena() == NULL ? NULL : PyBytes_FromStringAndSize((const char *)pn_header()->uuid, sizeof pn_header()->uuid);
}

static PyObject *arena_in_use(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    return PyLong_FromUnsignedLongLong(pn_base == NULL ? 0 : pn_heap_in_use());
}

static PyObject *arena_pages(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    return PyLong_FromUnsignedLongLong(pn_base == NULL ? 0 : pn_memory_used(pn_arena_fd));
}

static PyObject *arena_cap(PyObject *module, PyObject *const *args, Py_ssize_t n) {
    (void)module;
    uint64_t cap;
    if (n > 1) return PyErr_Format(PyExc_TypeError, "arena_cap() takes at most 1 argument, not %zd", n);
    if (need_arena() == NULL) return NULL;
    if (n == 1 && args[0] != Py_None) {
        if (!parse_uint(args[0], "the arena's cap", UINT64_MAX, &cap)) return NULL;
        atomic_store_explicit(&pn_header()->cap, cap, memory_order_release);
    }
    return PyLong_FromUnsignedLongLong(atomic_load_explicit(&pn_header()->cap, memory_order_acquire));
}

static PyObject *arena_spare_warm(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    pn_heap_spare_warm();
    Py_RETURN_NONE;
}

static PyObject *arena_trim(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    Py_BEGIN_ALLOW_THREADS
    if (pn_base != NULL) {
        pn_sweep_dead();
        pn_heap_trim();
    }
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

PyMethodDef arena_functions[] = {
    {"arena_open", arena_open, METH_NOARGS, "arena_open()\n--\n\nThe arena's descriptor; makes the arena if there is none."},
    {"arena_fd", arena_fd, METH_NOARGS, "arena_fd()\n--\n\nThe arena's descriptor; -1: none."},
    {"arena_attach", arena_attach, METH_O, "arena_attach(fd, /)\n--\n\nTake over the arena behind an inherited descriptor."},
    {"arena_uuid", arena_uuid, METH_NOARGS, "arena_uuid()\n--\n\nWhat names the program's arena: 16 bytes."},
    {"arena_in_use", arena_in_use, METH_NOARGS, "arena_in_use()\n--\n\nBytes handed out."},
    {"arena_pages", arena_pages, METH_NOARGS, "arena_pages()\n--\n\nBytes of pages that exist."},
    {"arena_cap", FAST(arena_cap), METH_FASTCALL, "arena_cap(cap=None, /)\n--\n\nThe soft limit on bytes handed out; set to cap if given."},
    {"arena_spare_warm", arena_spare_warm, METH_NOARGS,
     "arena_spare_warm()\n--\n\nLeave free large blocks to other processes, while there are few, and take fresh ones."},
    {"arena_trim", arena_trim, METH_NOARGS, "arena_trim()\n--\n\nClear up after the dead, and give the pages of free large blocks back."},
    {NULL, NULL, 0, NULL},
};

/* ── fault points ── */
_Atomic bool raising_faults;

static PyObject *fault_arm(PyObject *module, PyObject *args, PyObject *kwargs) {
    (void)module;
    static char *names[] = {"name", "action", "skip", NULL};
    static const struct { const char *name; pn_fault_action action; } actions[] = {
        {"exit", PN_FAULT_EXIT}, {"kill", PN_FAULT_KILL}, {"stop", PN_FAULT_STOP}, {"raise", PN_FAULT_RAISE}};
    const char *name, *action;
    unsigned int skip = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "ss|I:fault_arm", names, &name, &action, &skip)) return NULL;
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        if (strcmp(action, actions[i].name) != 0) continue;
        if (actions[i].action == PN_FAULT_RAISE) atomic_store(&raising_faults, true);
        pn_code code = pn_fault_arm(name, actions[i].action, skip);
        if (code == PN_OK) Py_RETURN_NONE;
        return PyErr_Format(PyExc_ValueError, "fault point %s cannot be armed: its name is too long, or too many points are armed", name);
    }
    return PyErr_Format(PyExc_ValueError, "action must be 'exit', 'kill', 'stop' or 'raise', not '%s'", action);
}

static PyObject *fault_disarm_all(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    pn_fault_disarm_all();
    (void)pn_fault_take_raise();
    atomic_store(&raising_faults, false);
    Py_RETURN_NONE;
}

static PyObject *fault_point(PyObject *module, PyObject *name) {
    (void)module;
    if (PN_LIKELY(atomic_load_explicit(&pn_faults_armed, memory_order_relaxed) == 0)) Py_RETURN_NONE;
    const char *text = PyUnicode_AsUTF8AndSize(name, NULL);
    if (text == NULL) return NULL;
    pn_fault_hit(text);
    return fault_raised() ? NULL : Py_NewRef(Py_None);
}

static PyObject *fault_points(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    PyObject *names = PyList_New(0);
    for (const char *name = pn_fault_next(NULL); names != NULL && name != NULL; name = pn_fault_next(name)) {
        PyObject *text = PyUnicode_FromString(name);
        if (text == NULL || PyList_Append(names, text) < 0) Py_CLEAR(names);
        Py_XDECREF(text);
    }
    return names;
}

/* ── traces: every point that is passed, as a line in a file ── */
#define TRACED_NAME 120
static _Atomic int trace_fd = -1;

static void trace(const char *name) {
    char line[TRACED_NAME + 1];
    size_t n = strnlen(name, TRACED_NAME);
    int fd = atomic_load(&trace_fd);
    memcpy(line, name, n);
    line[n] = '\n';
    if (fd >= 0 && write(fd, line, n + 1) < 0) atomic_store(&trace_fd, -1); /* nobody reads it any more */
}

static PyObject *fault_trace(PyObject *module, PyObject *fd) {
    (void)module;
    long number = PyLong_AsLong(fd);
    if (number == -1 && PyErr_Occurred()) return NULL;
    atomic_store(&trace_fd, (int)number);
    pn_fault_set_hook(trace);
    if (number >= 0 && pn_fault_arm("*", PN_FAULT_HOOK, 0) != PN_OK) return PyErr_Format(PyExc_ValueError, "too many points are armed");
    Py_RETURN_NONE;
}

PyMethodDef fault_functions[] = {
    {"fault_arm", FAST(fault_arm), METH_VARARGS | METH_KEYWORDS,
     "fault_arm(name, action, skip=0)\n--\n\nLet this process 'exit', be 'kill'ed, 'stop' or 'raise' at a named point, after `skip` passes."},
    {"fault_disarm_all", fault_disarm_all, METH_NOARGS, "fault_disarm_all()\n--\n\nNo fault point does anything any more."},
    {"fault_points", fault_points, METH_NOARGS, "fault_points()\n--\n\nThe names of all points of the core."},
    {"fault_trace", fault_trace, METH_O, "fault_trace(fd, /)\n--\n\nWrite the name of each point that this process passes to fd, until fault_disarm_all()."},
    {"fault_point", fault_point, METH_O, "fault_point(name, /)\n--\n\nA named point in Python code."},
    {NULL, NULL, 0, NULL},
};
