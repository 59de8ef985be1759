/* value_face.h: what the wrappers of values and arrays share: the ctypes object, its lock, and the memory behind it.
 *
 * `code` says how an item's bytes become a Python object without asking ctypes:
 *   b B h H i I q Q   integers of 1, 2, 4, 8 bytes, signed and not     f d   floats     ?  bool     c  one byte as bytes
 *   0                 everything else: ctypes reads and writes it
 * It is given only for an object that lies in the arena: its memory stays where it is for as long as `obj` lives.  */
#ifndef FACE_VALUE_FACE_H
#define FACE_VALUE_FACE_H
#include "lock_face.h"

typedef struct synchronized_object {
    PyObject_HEAD
    core_state *state;
    PyObject *obj;        /* the ctypes object; NULL: __init__ has not run */
    PyObject *lock;
    PyObject *give_lock;  /* get_lock, bound to the lock rather than to the wrapper: no cycle */
    PyObject *attributes; /* __dict__ */
    PyObject *weakrefs;
    pn_lock *word;        /* SAFETY: of `lock`, which we hold; NULL: a lock of another kind, used through its methods */
    bool recursive;
    char code;
    Py_ssize_t size;      /* bytes of an item */
    Py_ssize_t length;    /* items */
    char *items;          /* SAFETY: in the arena, kept by `obj`; valid if code != 0 */
} synchronized_object;

#define SYNCHRONIZED(self) ((synchronized_object *)(void *)(self))

/* ── codes (value_codes.c) ── */
typedef union item_bits { /* one item, between the memory and Python */
    int8_t b; uint8_t B; int16_t h; uint16_t H; int32_t i; uint32_t I; int64_t q; uint64_t Q; float f; double d;
} item_bits;
Py_ssize_t code_size(char code);                             /* 0: no such code */
item_bits load_bits(char code, const char *item);
void store_bits(char code, char *item, item_bits bits);
PyObject *object_of_bits(char code, item_bits bits);
/* False, without an exception: not of the plain type for this code; ctypes has to say what it means, or what is wrong. */
bool bits_of_object(char code, PyObject *obj, item_bits *bits);

/* ── the lock round an access (synchronized_type.c) ── */
bool synchronized_take(synchronized_object *self);           /* false: an exception is set, and the lock is not held */
bool synchronized_give(synchronized_object *self);           /* false: an exception is set */
/* Gives the lock back after an access. `result` NULL: the access raised, and that is what the caller hears of. */
PyObject *synchronized_done(synchronized_object *self, PyObject *result);
bool synchronized_is_ready(synchronized_object *self);       /* false: an exception is set */

/* One item under the lock, when the code is known and the lock is free or ours: without a Python call in between. */
static inline bool lock_is_held_by(const pn_lock *lock, pn_owner me) {
    return (atomic_load_explicit(&lock->word, memory_order_relaxed) & PN_OWNER_MASK) == me;
}

static inline bool access_at_once(synchronized_object *self, char *item, item_bits *bits, bool store) {
    pn_lock *lock = self->word;
    pn_owner me = lock == NULL ? 0 : pn_self();
    if (PN_UNLIKELY(me == 0)) return false;
    bool held = self->recursive && lock_is_held_by(lock, me);
    if (!held && PN_UNLIKELY(pn_lock_try(lock, me) != PN_OK)) return false;
    PN_FAULT("value.access.taken");
    if (store)
        store_bits(self->code, item, *bits);
    else
        *bits = load_bits(self->code, item);
    PN_FAULT("value.access.before_give");
    if (!held) (void)pn_lock_release(lock);
    return true;
}
PyObject *read_item(synchronized_object *self, char *item);              /* code != 0 */
int write_item(synchronized_object *self, char *item, item_bits bits);   /* code != 0 */
#endif
