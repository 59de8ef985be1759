/* module.c: procession._native._core: its state, its parts, configure().
 *
 * Multi-phase initialisation; all state is in core_state. Slots that an older Python does not know are not shown to it: one binary,
 * built against 3.11's headers, serves them all.  */
#include "../wait.h"
#include "face.h"

#include <string.h>

/* ── configure ── */
static PyObject **place_of(configured *with, const char *name) {
    const struct { const char *name; PyObject **place; } places[] = {
        {"owner_died", &with->owner_died}, {"stale", &with->stale}, {"broken_barrier", &with->broken_barrier},
        {"shut_down", &with->shut_down},   {"empty", &with->empty}, {"full", &with->full},
        {"fallback_dumps", &with->fallback_dumps}, {"fallback_loads", &with->fallback_loads},
        {"fallback_pack", &with->fallback_pack},   {"fallback_unpack", &with->fallback_unpack},
        {"represent", &with->represent},           {"reduce", &with->reduce},
        {"synchronize", &with->synchronize}, {"reduce_synchronized", &with->reduce_synchronized}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (strcmp(places[i].name, name) == 0) return places[i].place;
    return NULL;
}

static PyObject *configure(PyObject *module, PyObject *args, PyObject *kwargs) {
    configured *with = &state_of(module)->with;
    if (PyTuple_Size(args) != 0) return PyErr_Format(PyExc_TypeError, "configure() takes keyword arguments only");
    Py_ssize_t at = 0;
    PyObject *key, *value;
    while (kwargs != NULL && PyDict_Next(kwargs, &at, &key, &value)) {
        const char *name = PyUnicode_AsUTF8AndSize(key, NULL);
        PyObject **place = name == NULL ? NULL : place_of(with, name);
        if (place == NULL) return PyErr_Format(PyExc_TypeError, "configure() got an unexpected keyword argument '%U'", key);
        if (!PyCallable_Check(value)) return PyErr_Format(PyExc_TypeError, "%U must be callable, not %R", key, value);
        PyObject *old = *place;
        *place = Py_NewRef(value);
        Py_XDECREF(old);
    }
    Py_RETURN_NONE;
}

static PyMethodDef module_functions[] = {
    {"configure", FAST(configure), METH_VARARGS | METH_KEYWORDS,
     "configure(*, owner_died, stale, broken_barrier, shut_down, empty, full, fallback_dumps, fallback_loads, fallback_pack, fallback_unpack, "
     "represent, reduce, synchronize, reduce_synchronized)\n--\n\n"
     "What the core raises and falls back on; what is not given stays as it is."},
    {NULL, NULL, 0, NULL},
};

/* ── the parts ── */
static bool add_reasons(PyObject *module) {
    static const struct { pn_reason reason; const char *name; } reasons[] = {
        {PN_WAIT_LOCK, "lock"},           {PN_WAIT_SEMAPHORE, "semaphore"}, {PN_WAIT_CONDITION, "condition"}, {PN_WAIT_EVENT, "event"},
        {PN_WAIT_BARRIER, "barrier"},     {PN_WAIT_SECTION, "section"},     {PN_WAIT_QUEUE_GET, "queue.get"}, {PN_WAIT_QUEUE_PUT, "queue.put"},
        {PN_WAIT_QUEUE_JOIN, "queue.join"}, {PN_WAIT_SELECT, "select"},     {PN_WAIT_PROCESS, "process"},     {PN_WAIT_RESULT, "result"}};
    PyObject *names = PyDict_New();
    if (names == NULL) return false;
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        PyObject *key = PyLong_FromLong(reasons[i].reason), *name = PyUnicode_FromString(reasons[i].name);
        int failed = key == NULL || name == NULL || PyDict_SetItem(names, key, name) < 0;
        Py_XDECREF(key);
        Py_XDECREF(name);
        if (failed) return Py_DECREF(names), false;
    }
    int failed = PyModule_AddObjectRef(module, "WAIT_REASONS", names);
    Py_DECREF(names);
    return failed == 0;
}

static bool add_functions(PyObject *module) {
    PyMethodDef *tables[] = {module_functions, arena_functions, fault_functions, process_functions, codec_functions, frame_functions, part_functions};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (PyModule_AddFunctions(module, tables[i]) < 0) return false;
    return true;
}

static bool add_types(PyObject *module, core_state *state) {
    return add_object_type(module, state) && add_lock_types(module, state) && add_semaphore_type(module, state) && add_event_type(module, state) &&
           add_condition_type(module, state) && add_barrier_type(module, state) && add_queue_types(module, state) &&
           add_table_type(module, state) && add_memory_type(module, state) && add_block_type(module, state) && add_watcher_type(module, state) && add_stream_type(module, state) &&
           add_synchronized_types(module, state) && add_array_types(module, state) && add_with_methods(module, state);
}

static int core_exec(PyObject *module) {
    core_state *state = state_of(module);
    state->name_block = PyUnicode_InternFromString("block");
    state->name_timeout = PyUnicode_InternFromString("timeout");
    state->name_release = PyUnicode_InternFromString("release");
    state->name_value = PyUnicode_InternFromString("value");
    state->name_get_lock = PyUnicode_InternFromString("get_lock");
    if (state->name_block == NULL || state->name_timeout == NULL || state->name_release == NULL || state->name_value == NULL ||
        state->name_get_lock == NULL)
        return -1;
    for (long i = 0; i < SMALL_INTS; i++)
        if ((state->small_ints[i] = PyLong_FromLong(i)) == NULL) return -1;
    return add_types(module, state) && add_functions(module) && add_reasons(module) ? 0 : -1;
}

/* ── the state's references ── */
#define EACH_OBJECT(DO)                                                                                                               \
    DO(with.owner_died) DO(with.stale) DO(with.broken_barrier) DO(with.shut_down) DO(with.empty) DO(with.full) DO(with.fallback_dumps) \
    DO(with.fallback_loads) DO(with.fallback_pack) DO(with.fallback_unpack) DO(with.represent) DO(with.reduce) DO(block_type)            \
    DO(bounded_semaphore_type) DO(object_type) DO(lock_type) DO(rlock_type) DO(semaphore_type) DO(condition_type) DO(event_type)          \
    DO(barrier_type) DO(queue_type) DO(undecodable_type) DO(table_type) DO(memory_type) DO(watcher_type) DO(stream_type) DO(name_block) DO(name_timeout) \
    DO(with.synchronize) DO(with.reduce_synchronized) DO(synchronized_type) DO(value_type) DO(array_type) DO(string_type) DO(bound_method_type) DO(with_method_type) \
    DO(name_value) DO(name_get_lock) \
    DO(name_release)

static int core_traverse(PyObject *module, visitproc visit, void *arg) {
    core_state *state = state_of(module);
#define VISIT(member) Py_VISIT(state->member);
    EACH_OBJECT(VISIT)
    return 0;
}

static int core_clear(PyObject *module) {
    core_state *state = state_of(module);
#define CLEAR(member) Py_CLEAR(state->member);
    EACH_OBJECT(CLEAR)
    for (size_t i = 0; i < KEY_ENTRIES; i++) Py_CLEAR(state->keys[i].text);
    for (size_t i = 0; i < SMALL_INTS; i++) Py_CLEAR(state->small_ints[i]);
    return 0;
}

static void core_free(void *module) { core_clear((PyObject *)module); }

/* ── the definition ── */
#define SLOT_INTERPRETERS 3 /* Py_mod_multiple_interpreters, since 3.12; its value 2: one GIL each */
#define SLOT_GIL 4          /* Py_mod_gil, since 3.13; its value 1: not used */

static PyModuleDef_Slot slots_311[] = {{Py_mod_exec, (void *)core_exec}, {0, NULL}};
static PyModuleDef_Slot slots_312[] = {{Py_mod_exec, (void *)core_exec}, {SLOT_INTERPRETERS, (void *)2}, {0, NULL}};
static PyModuleDef_Slot slots_313[] = {{Py_mod_exec, (void *)core_exec}, {SLOT_INTERPRETERS, (void *)2}, {SLOT_GIL, (void *)1}, {0, NULL}};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_core",
    .m_doc = "The native core: shared objects, the process table, the codec, framing. See _core.pyi.",
    .m_size = sizeof(core_state),
    .m_traverse = core_traverse,
    .m_clear = core_clear,
    .m_free = core_free,
};

PyMODINIT_FUNC PyInit__core(void) {
    definition.m_slots = Py_Version >= 0x030D0000 ? slots_313 : Py_Version >= 0x030C0000 ? slots_312 : slots_311;
    return PyModuleDef_Init(&definition);
}
