/* lock.c: the slow ways of Lock and RLock. The words are drawn in lock.h.
 *
 * A dead holder's lock is orphaned by whoever notices first, once, by one CAS; the word keeps naming the dead one until somebody who
 * has repaired what the lock guards calls pn_lock_recover. A release wakes two: the heir, and a witness that goes back to sleep on the
 * heir's life word; else those who sleep on watch one who let go long ago (tests/model/owner_lock.py, rule 3). A thread that waits for a Lock that it holds itself waits: its row says so.  */
#include "lock.h"
#include "fault.h"
#include "platform.h"

#include <limits.h>

#define ROUNDS 8 /* of spinning, before a sleep: under contention each round may see the lock change hands without getting it */

static bool cas(_Atomic uint64_t *word, uint64_t *seen, uint64_t wanted) {
    return atomic_compare_exchange_strong_explicit(word, seen, wanted, memory_order_acquire, memory_order_relaxed);
}

pn_code pn_lock_create(bool recursive, pn_off *lock) {
    return pn_object_create(sizeof(pn_lock), recursive ? PN_KIND_RLOCK : PN_KIND_LOCK, lock);
}

/* Nobody sleeps on an orphaned lock, so the waiters bit goes. Returns whether the word is (still) what `seen` became. */
static bool orphan(pn_lock *lock, uint64_t seen) {
    uint64_t word = seen;
    if (!cas(&lock->word, &word, (seen & PN_OWNER_MASK) | PN_ORPHANED)) return false;
    PN_FAULT("lock.orphan.after_cas");
    lock->since = pn_clock();
    pn_futex_wake(pn_low_half(&lock->word), INT_MAX);
    pn_life_cascade(seen & PN_OWNER_MASK);
    return true;
}

/* Sets the waiters bit and sleeps until something changed. */
static pn_code wait_for(pn_lock *lock, uint64_t seen, pn_deadline deadline) {
    pn_owner holder = seen & PN_OWNER_MASK;
    if ((seen & PN_WAITERS) == 0) {
        if (!cas(&lock->word, &seen, seen | PN_WAITERS)) return PN_OK;
        seen |= PN_WAITERS;
    }
    PN_FAULT("lock.acquire.before_sleep");
    pn_wait_target target = {pn_low_half(&lock->word), (uint32_t)seen, PN_WAIT_LOCK, pn_offset_of(lock), &holder, 1};
    return pn_sleep(&target, deadline);
}

/* The quick way notes nothing: a holder that came by it may run anywhere. */
static bool spin(pn_lock *lock, uint64_t seen) {
    if (atomic_load_explicit(&lock->noted_by, memory_order_relaxed) != ((uint32_t)seen & PN_TID_MASK))
        pn_spin_note_cpu(&lock->spin, -1);
    return pn_spin_while(&lock->spin, pn_low_half(&lock->word), (uint32_t)seen);
}

static pn_code take(pn_lock *lock, pn_owner me) {
    PN_FAULT("lock.acquire.after_cas");
    pn_lock_note(lock, me);
    return PN_OK;
}

/* `mine` gets the waiters bit after a sleep: others may still sleep. The backstop brings us up as INTERRUPTED, so that the caller can
 * look for a signal that came between its last look and our sleep. */
static pn_code acquire(pn_lock *lock, pn_owner me, pn_deadline deadline, bool *slept) {
    uint64_t mine = me;
    int64_t up_at = 0;
    for (int round = 0;;) {
        uint64_t seen = atomic_load_explicit(&lock->word, memory_order_relaxed);
        if (seen == 0) {
            if (cas(&lock->word, &seen, mine)) return take(lock, me);
            continue;
        }
        if (seen & PN_ORPHANED) return PN_OWNER_DIED;
        if (!pn_owner_is_alive(seen & PN_OWNER_MASK)) {
            if (orphan(lock, seen)) return PN_OWNER_DIED;
            continue;
        }
        if (deadline == PN_NOW) return PN_TIMEOUT;
        if (round++ < ROUNDS && spin(lock, seen)) continue;
        round = 0;
        if (up_at == 0) up_at = pn_clock() + PN_BACKSTOP;
        else if (pn_clock() >= up_at) return PN_INTERRUPTED;
        pn_code code = wait_for(lock, seen, deadline);
        *slept = true;
        if (code == PN_TIMEOUT || code == PN_INTERRUPTED) return code;
        mine = me | PN_WAITERS;
    }
}

/* Who gives up may have been the witness: another one shall look. */
pn_code pn_lock_acquire_slow(pn_lock *lock, pn_owner me, pn_deadline deadline) {
    bool slept = false;
    pn_code code = acquire(lock, me, deadline, &slept);
    if (!slept || (code != PN_TIMEOUT && code != PN_INTERRUPTED)) return code;
    PN_FAULT("lock.acquire.give_up");
    if (atomic_load_explicit(&lock->word, memory_order_relaxed) & PN_WAITERS) pn_futex_wake(pn_low_half(&lock->word), 1);
    return code;
}

void pn_lock_wake(pn_lock *lock) {
    PN_FAULT("lock.release.before_wake");
    pn_futex_wake(pn_low_half(&lock->word), 2);
}

/* The word is not read: whatever has become of the condition, one wake-up too many is the worst. */
static void wake_deferred(pn_off word) {
    PN_FAULT("lock.release.before_deferred");
    pn_futex_wake(pn_at(word), 1);
}

static uint64_t free_word(pn_lock *lock) {
    pn_off deferred = atomic_load_explicit(&lock->deferred, memory_order_relaxed);
    if (PN_UNLIKELY(deferred != 0)) atomic_store_explicit(&lock->deferred, 0, memory_order_relaxed);
    uint64_t old = atomic_exchange_explicit(&lock->word, 0, memory_order_release);
    if (PN_UNLIKELY(deferred != 0)) wake_deferred(deferred);
    if (PN_UNLIKELY((uint32_t)old & PN_WAITERS)) pn_lock_wake(lock);
    return old;
}

pn_code pn_lock_release(pn_lock *lock) { return PN_LIKELY(free_word(lock) != 0) ? PN_OK : PN_NOT_HELD; }

static uint32_t recursion_of(const pn_lock *lock) { return atomic_load_explicit(&lock->recursion, memory_order_relaxed); }
static void set_recursion(pn_lock *lock, uint32_t levels) { atomic_store_explicit(&lock->recursion, levels, memory_order_relaxed); }

pn_code pn_rlock_acquire(pn_lock *lock, pn_owner me, pn_deadline deadline) {
    if (pn_lock_is_mine(lock, me)) {
        uint32_t levels = recursion_of(lock);
        if (levels == UINT32_MAX - 1) return PN_OVERFLOW;
        set_recursion(lock, levels + 1);
        return PN_OK;
    }
    pn_code code = pn_lock_try(lock, me);
    if (code != PN_OK) code = pn_lock_acquire_slow(lock, me, deadline);
    if (code == PN_OK && recursion_of(lock) != 0) set_recursion(lock, 0);
    return code;
}

pn_code pn_rlock_release_slow(pn_lock *lock, pn_owner me) {
    if (!pn_lock_is_mine(lock, me)) return PN_NOT_OWNER;
    uint32_t levels = recursion_of(lock);
    if (levels != 0)
        set_recursion(lock, levels - 1);
    else
        (void)free_word(lock);
    return PN_OK;
}

uint32_t pn_rlock_levels(const pn_lock *lock, pn_owner me) { return pn_lock_is_mine(lock, me) ? recursion_of(lock) + 1 : 0; }

pn_code pn_rlock_release_all(pn_lock *lock, pn_owner me, uint32_t *levels) {
    uint32_t held = pn_rlock_levels(lock, me);
    if (held == 0) return PN_NOT_OWNER;
    *levels = held;
    if (held != 1) set_recursion(lock, 0);
    (void)free_word(lock);
    return PN_OK;
}

void pn_rlock_restore(pn_lock *lock, uint32_t levels) { set_recursion(lock, levels - 1); }

pn_owner pn_lock_owner(const pn_lock *lock) { return atomic_load_explicit(&lock->word, memory_order_relaxed) & PN_OWNER_MASK; }

bool pn_lock_is_orphaned(pn_lock *lock) {
    uint64_t seen = atomic_load_explicit(&lock->word, memory_order_relaxed);
    while (seen != 0 && (seen & PN_ORPHANED) == 0) {
        if (pn_owner_is_alive(seen & PN_OWNER_MASK)) return false;
        if (orphan(lock, seen)) return true;
        seen = atomic_load_explicit(&lock->word, memory_order_relaxed);
    }
    return seen != 0;
}

bool pn_lock_recover(pn_lock *lock) {
    if (!pn_lock_is_orphaned(lock)) return false;
    uint64_t seen = atomic_load_explicit(&lock->word, memory_order_relaxed);
    while (seen & PN_ORPHANED)
        if (cas(&lock->word, &seen, 0)) return true;
    return false; /* somebody else has recovered or released it */
}
