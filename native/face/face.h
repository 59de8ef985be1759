/* face.h: what the files of the face share: wrappers, waits, errors.
 *
 * A wrapper holds one counted reference of its process to an object of the arena, and a pointer to it: the arena never moves.
 * Every call tries first, then drops the GIL round the core's sleep alone; at a signal it runs the handlers and goes on to the same deadline.
 * `pn_self()` is asked anew after every sleep: a signal handler may have forked.  */
#ifndef FACE_H
#define FACE_H
#include "../fault.h"
#include "../heap.h"
#include "../platform.h"
#include "state.h"

#include <structmember.h>

/* ── wrappers (objects.c) ── */
typedef struct face_object {
    PyObject_HEAD
    core_state *state;    /* lives as long as our types, which every wrapper's type derives from */
    pn_off offset;        /* 0: not made yet */
    uint32_t generation;
    uint32_t cookie;      /* whose reference it is: a forked child inherits the wrapper, not the reference */
    PyObject *weakrefs;
} face_object;

/* All types but Object itself. Larger than Object, so that it is their layout which Python's subclasses take over. */
typedef struct shared_object {
    face_object base;
    void *shared;         /* SAFETY: pn_at(offset) of a live object of this type's kind; the counted reference keeps it */
} shared_object;

/* Those that people get as they are (attributes.c). */
typedef struct plain_object {
    shared_object base;
    PyObject *attributes; /* its __dict__; NULL: none yet */
} plain_object;

#define SHARED(type, self) ((type *)((shared_object *)(void *)(self))->shared)
#define STATE(self) (((face_object *)(void *)(self))->state)

/* The state of the module whose type `type` derives from. NULL: an exception is set. */
core_state *state_of_type(PyTypeObject *type);
/* A wrapper of `type` that takes over the caller's reference to `offset` (on failure too). */
PyObject *wrap(core_state *state, PyTypeObject *type, pn_off offset);
/* After a pn_*_create: wraps, or raises what the code says. */
PyObject *wrap_created(core_state *state, PyTypeObject *type, pn_code code, pn_off offset);
/* (offset, generation) -> a counted reference. False: an exception is set. */
bool attach_handle(core_state *state, PyObject *handle, pn_kind kind, const char *name, pn_off *offset);
/* For a type without arguments: refuses them, unless a subclass has an __init__ of its own that may want them. */
bool no_arguments(PyTypeObject *type, PyObject *args, PyObject *kwargs);
void object_dealloc(PyObject *self);
void condition_dealloc(PyObject *self);
void watcher_dealloc(PyObject *self);
void synchronized_dealloc(PyObject *self);
void stream_dealloc(PyObject *self);
PyTypeObject *add_type(PyObject *module, PyType_Spec *spec, PyTypeObject *base);

/* ── attributes, repr, pickling of plain objects (attributes.c) ── */
/* For a type that takes `ctx` and nothing else. False: an exception is set. */
bool only_context(PyTypeObject *type, PyObject *args, PyObject *kwargs);
void plain_dealloc(PyObject *self);
int plain_traverse(PyObject *self, visitproc visit, void *arg);
int plain_clear(PyObject *self);
int plain_set_attribute(PyObject *self, PyObject *name, PyObject *value);
int plain_init(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *plain_repr(PyObject *self);
PyObject *plain_reduce(PyObject *self, PyObject *unused);
extern PyMemberDef plain_members[];
extern PyGetSetDef plain_getset[];
#define PLAIN_FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC)
#define PLAIN_SLOTS                                                                                                        \
    {Py_tp_dealloc, (void *)plain_dealloc}, {Py_tp_traverse, (void *)plain_traverse}, {Py_tp_clear, (void *)plain_clear},   \
    {Py_tp_setattro, (void *)plain_set_attribute}, {Py_tp_init, (void *)plain_init}, {Py_tp_repr, (void *)plain_repr},     \
    {Py_tp_members, plain_members}
#define PLAIN_METHODS {"__reduce__", plain_reduce, METH_NOARGS, NULL}

/* ── waits (waits.c) ── */
typedef struct wait_args {
    bool block;
    int64_t timeout;      /* ns; PN_FOREVER; 0: do not wait */
} wait_args;
#define WAIT_FOREVER ((wait_args){.block = true, .timeout = PN_FOREVER})
/* None or seconds. ValueError for NaN; negative is 0. */
bool parse_timeout(PyObject *timeout, int64_t *ns);
/* Arguments (block=True, timeout=None) after `skip` others. */
bool parse_wait(core_state *state, const char *name, PyObject *const *args, Py_ssize_t n, PyObject *names, Py_ssize_t skip, wait_args *wait);
/* Arguments (timeout=None). */
bool parse_timeout_only(core_state *state, const char *name, PyObject *const *args, Py_ssize_t n, PyObject *names, int64_t *ns);
/* Arguments by name for functions that are not hot: values[i] is borrowed, NULL where absent. The first `required` must be there. */
bool parse_named(const char *function, const char *const *names, int count, int required, PyObject *const *args, Py_ssize_t n,
                 PyObject *keywords, PyObject **values);
static inline pn_deadline deadline_after(int64_t timeout) {
    if (timeout == 0) return PN_NOW;
    if (timeout == PN_FOREVER) return PN_FOREVER;
    int64_t now = pn_clock();
    return timeout > PN_FOREVER - 1 - now ? PN_FOREVER - 1 : now + timeout;
}
static inline int64_t timeout_of(wait_args wait) { return wait.block ? wait.timeout : 0; }

/* `call` without the GIL, again after every signal whose handlers raise nothing. code == PN_INTERRUPTED afterwards: an exception is set. */
#define WITHOUT_GIL(code, call)                                               \
    do {                                                                      \
        Py_BEGIN_ALLOW_THREADS                                                \
        (code) = (call);                                                      \
        Py_END_ALLOW_THREADS                                                  \
    } while ((code) == PN_INTERRUPTED && PyErr_CheckSignals() == 0)

/* ── errors (errors.c): all return NULL with an exception set ── */
/* The exception for a code that has no meaning of its own for the caller. */
PyObject *raise_code(pn_code code);
PyObject *raise_owner_died(PyObject *self, pn_owner owner);
PyObject *raise_stale(core_state *state, const char *kind, pn_off offset);
PyObject *raise_configured(PyObject *configured, PyObject *instead, const char *message); /* message NULL: without */
PyObject *raise_no_self(void);   /* pn_self() was 0 */
PyObject *raise_fault(void);
extern _Atomic bool raising_faults; /* a fault point was armed with 'raise' in this process, and not disarmed: it may have gone off */
static inline bool fault_raised(void) {
    if (PN_LIKELY(!atomic_load_explicit(&raising_faults, memory_order_relaxed)) || !pn_fault_take_raise()) return false;
    raise_fault();
    return true;
}

/* Integers of a range, with a sentence that names them. */
bool parse_uint(PyObject *obj, const char *what, uint64_t max, uint64_t *value);

/* ── one by file: adds its types or functions to the module; false: an exception is set ── */
bool add_object_type(PyObject *module, core_state *state);
bool add_lock_types(PyObject *module, core_state *state);
bool add_semaphore_type(PyObject *module, core_state *state);
bool add_event_type(PyObject *module, core_state *state);
bool add_condition_type(PyObject *module, core_state *state);
bool add_barrier_type(PyObject *module, core_state *state);
bool add_queue_types(PyObject *module, core_state *state);
bool add_table_type(PyObject *module, core_state *state);
bool add_memory_type(PyObject *module, core_state *state);
bool add_block_type(PyObject *module, core_state *state);
bool add_watcher_type(PyObject *module, core_state *state);
bool add_stream_type(PyObject *module, core_state *state);
bool add_synchronized_types(PyObject *module, core_state *state);
bool add_array_types(PyObject *module, core_state *state);
bool add_with_methods(PyObject *module, core_state *state);
extern PyMethodDef arena_functions[], process_functions[], fault_functions[], codec_functions[], frame_functions[], part_functions[];

/* Casts of methods to the one type that a table holds. */
#define FAST(function) ((PyCFunction)(void (*)(void))(function))
#define FAST_FLAGS (METH_FASTCALL | METH_KEYWORDS)
#endif
