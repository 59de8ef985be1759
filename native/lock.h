/* lock.h: Lock and RLock as users have them: one word that names its holder; free to be released by others (Lock).
 *
 *   low half:  O | W | tid     meaning
 *              0   0    0      free
 *              0   0  tid      held
 *              0   1  tid      held, someone sleeps
 *              1   x  tid      orphaned: its holder died; everybody who asks is told PN_OWNER_DIED until pn_lock_recover()
 * A holder that exits without releasing counts as dead. Releasing an orphaned Lock (documented: any process may release) frees it. */
#ifndef PN_LOCK_H
#define PN_LOCK_H
#include "heap.h"
#include "platform.h"

typedef struct pn_lock {
    pn_block block;
    _Atomic uint64_t word;
    _Atomic uint32_t recursion;   /* RLock: levels beyond the first; written by the holder only, who finds a dead one's there */
    pn_spin spin;
    _Atomic uint32_t noted_by;    /* the thread whose CPU `spin` names; if it is not the holder, that CPU says nothing */
    int64_t since;                /* when it was orphaned or last contended; informative */
    _Atomic pn_off deferred;      /* the word of one who was notified while the holder holds (condition.h): its release wakes it; 0: none */
    uint64_t reserved;
} pn_lock;
_Static_assert(sizeof(pn_lock) == 64, "a lock is one cache line");

pn_code pn_lock_create(bool recursive, pn_off *lock);
/* The holder says where it runs, so that others know whether to spin. */
static inline void pn_lock_note(pn_lock *lock, pn_owner me) {
    pn_spin_note_cpu(&lock->spin, pn_cpu());
    atomic_store_explicit(&lock->noted_by, pn_owner_tid(me), memory_order_relaxed);
}
pn_code pn_lock_acquire_slow(pn_lock *lock, pn_owner me, pn_deadline deadline); /* OK, TIMEOUT, INTERRUPTED, OWNER_DIED */
void pn_lock_wake(pn_lock *lock);
static inline pn_code pn_lock_try(pn_lock *lock, pn_owner me) {
    uint64_t expected = 0;
    return PN_LIKELY(atomic_compare_exchange_strong_explicit(&lock->word, &expected, me, memory_order_acquire, memory_order_relaxed)) ? PN_OK : PN_TIMEOUT;
}
pn_code pn_lock_release(pn_lock *lock);                                      /* OK, NOT_HELD */
/* RLock. Taken once it is like a Lock: its count is read, and written only if it has to change. */
pn_code pn_rlock_acquire(pn_lock *lock, pn_owner me, pn_deadline deadline);  /* as acquire; recursion */
pn_code pn_rlock_release_slow(pn_lock *lock, pn_owner me);
static inline bool pn_lock_is_mine(const pn_lock *lock, pn_owner me) {
    return (atomic_load_explicit(&lock->word, memory_order_relaxed) & PN_OWNER_MASK) == me;
}
static inline pn_code pn_rlock_try(pn_lock *lock, pn_owner me) {             /* OK; TIMEOUT: perhaps it is mine already */
    if (PN_UNLIKELY(pn_lock_try(lock, me) != PN_OK)) return PN_TIMEOUT;
    if (PN_UNLIKELY(atomic_load_explicit(&lock->recursion, memory_order_relaxed) != 0)) atomic_store_explicit(&lock->recursion, 0, memory_order_relaxed);
    return PN_OK;
}
static inline pn_code pn_rlock_release(pn_lock *lock, pn_owner me) {         /* OK, NOT_OWNER */
    uint64_t mine = me;
    if (PN_LIKELY(atomic_load_explicit(&lock->recursion, memory_order_relaxed) == 0) &&
        PN_LIKELY(atomic_load_explicit(&lock->deferred, memory_order_relaxed) == 0) &&
        PN_LIKELY(atomic_compare_exchange_strong_explicit(&lock->word, &mine, 0, memory_order_release, memory_order_relaxed))) return PN_OK;
    return pn_rlock_release_slow(lock, me);
}
uint32_t pn_rlock_levels(const pn_lock *lock, pn_owner me);                  /* how often I hold it */
/* Condition's help: let go of all levels at once, and take as many again. */
pn_code pn_rlock_release_all(pn_lock *lock, pn_owner me, uint32_t *levels);
void pn_rlock_restore(pn_lock *lock, uint32_t levels);
pn_owner pn_lock_owner(const pn_lock *lock);   /* 0 = free */
bool pn_lock_is_orphaned(pn_lock *lock);       /* looks at the holder's life */
bool pn_lock_recover(pn_lock *lock);           /* true: it was orphaned, and is free now */
#endif
