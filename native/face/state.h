/* state.h: what one interpreter's copy of the module holds. Nothing about Python is static anywhere in the face. */
#ifndef FACE_STATE_H
#define FACE_STATE_H
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "../codes.h"

/* From 3.12's headers on these forget the reference that 3.11 still counts, also under the Limited API of 3.11. */
#undef Py_RETURN_NONE
#undef Py_RETURN_TRUE
#undef Py_RETURN_FALSE
#define Py_RETURN_NONE return Py_NewRef(Py_None)
#define Py_RETURN_TRUE return Py_NewRef(Py_True)
#define Py_RETURN_FALSE return Py_NewRef(Py_False)

#ifdef Py_GIL_DISABLED
#define FACE_FREE_THREADED 1
#else
#define FACE_FREE_THREADED 0
#endif

/* Short texts that were dictionary keys lately: saves making and hashing them anew. Guarded by the interpreter's GIL; unused where there is none. */
#define KEY_BYTES 24
#define KEY_ENTRIES 512
typedef struct known_key {
    uint64_t words[KEY_BYTES / 8]; /* UTF-8, padded with zeros */
    PyObject *text;                /* NULL: empty */
    size_t length;
} known_key;

#define SMALL_INTS 256 /* from 0 on: what one byte says; Python has each of them once */

/* What `configure` sets, by the names of its arguments. */
typedef struct configured {
    PyObject *owner_died, *stale, *broken_barrier, *shut_down, *empty, *full, *fallback_dumps, *fallback_loads, *fallback_pack, *fallback_unpack,
        *represent, *reduce,
        *synchronize, *reduce_synchronized;
} configured;

typedef struct core_state {
    PyTypeObject *object_type, *lock_type, *rlock_type, *semaphore_type, *bounded_semaphore_type, *condition_type, *event_type, *barrier_type,
        *queue_type, *table_type, *memory_type, *undecodable_type, *watcher_type, *block_type, *stream_type,
        *synchronized_type, *value_type, *array_type, *string_type,
        *bound_method_type, *with_method_type;
    configured with;
    PyObject *name_block, *name_timeout, *name_release, *name_value, *name_get_lock; /* interned */
    known_key keys[KEY_ENTRIES];
    PyObject *small_ints[SMALL_INTS];
} core_state;

static inline core_state *state_of(PyObject *module) { return (core_state *)PyModule_GetState(module); }
#endif
