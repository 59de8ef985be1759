/* life.c: the life word of a process: locked for life, marked by the kernel at its death.
 *
 * The kernel wakes one sleeper, and only if the waiters bit is set: so whoever goes to sleep sets the bit, and whoever notices wakes
 * the others. Where the word cannot be found within the mutex, pthread_mutex_trylock tells alive from dead, and sleeps are cut
 * into slices.
 * Not here: slots (process.c), what becomes of a dead process's things (sweep.c).  */
#include "fault.h"
#include "platform.h"
#include "table.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>

#define HELPER_STACK (256ul << 10) /* address space; sanitizers and large TLS need most of it */
#define GONE_PATIENCE 1000000      /* ns: a killed thread runs on for an inter-processor interrupt at most */

static ptrdiff_t word_offset = -1; /* within pthread_mutex_t */
static pthread_once_t word_sought = PTHREAD_ONCE_INIT;

static void init_mutex(pthread_mutex_t *mutex) {
    pthread_mutexattr_t attributes;
    (void)pthread_mutexattr_init(&attributes);
    (void)pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    (void)pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    (void)pthread_mutex_init(mutex, &attributes);
    (void)pthread_mutexattr_destroy(&attributes);
}

static void seek_word(void) {
    pthread_mutex_t probe;
    const char *no = getenv("PROCESSION_NO_LIFE_WORD"); /* tests: force the fallback */
    if (no == NULL || no[0] == '\0' || no[0] == '0') {
        init_mutex(&probe);
        (void)pthread_mutex_lock(&probe);
        word_offset = pn_robust_word_offset(&probe, sizeof probe);
        (void)pthread_mutex_unlock(&probe);
        (void)pthread_mutex_destroy(&probe);
    }
    if (word_offset < 0) pn_forbid_wait_any(true);
}

void pn_life_prepare(void) { (void)pthread_once(&word_sought, seek_word); }

_Atomic uint32_t *pn_life_at(pn_process_slot *slot) {
    if (PN_UNLIKELY(word_offset < 0)) return NULL;
    return (_Atomic uint32_t *)(void *)((char *)&slot->life + word_offset);
}

/* A mutex that can be had has no living owner. Who looks at the same instant sees EBUSY, "alive", and looks again. */
static uint32_t read_by_trying(pn_process_slot *slot) {
    int result = pthread_mutex_trylock(&slot->life);
    if (result == EBUSY) return slot->life_tid;
    if (result == EOWNERDEAD) (void)pthread_mutex_consistent(&slot->life);
    if (result == 0 || result == EOWNERDEAD) (void)pthread_mutex_unlock(&slot->life);
    return PN_LIFE_DIED;
}

uint32_t pn_life_read(pn_process_slot *slot) {
    _Atomic uint32_t *word = pn_life_at(slot);
    return PN_LIKELY(word != NULL) ? atomic_load_explicit(word, memory_order_acquire) : read_by_trying(slot);
}

/* A process that has a slot since a thread other than its main one came first. */
typedef struct life_helper { pthread_mutex_t *life; _Atomic uint32_t tid; } life_helper;

static void *hold_for_ever(void *argument) {
    static _Atomic uint32_t never;
    life_helper *helper = argument;
    (void)pthread_mutex_lock(helper->life);
    atomic_store(&helper->tid, pn_thread_id());
    pn_futex_wake(&helper->tid, 1); /* only the address is used: the waker may be late */
    for (;;) (void)pn_futex_wait(&never, 0, PN_FOREVER);
    return NULL;
}

static pn_code hold_by_helper(pn_process_slot *slot) {
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, before;
    life_helper helper = {&slot->life, 0};
    (void)pthread_attr_init(&attributes);
    (void)pthread_attr_setstacksize(&attributes, HELPER_STACK);
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the program's own threads */
    int result = pthread_create(&thread, &attributes, hold_for_ever, &helper);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    if (result != 0) return errno = result, PN_SYSTEM;
    while (atomic_load(&helper.tid) == 0) (void)pn_futex_wait(&helper.tid, 0, PN_FOREVER);
    slot->life_tid = atomic_load(&helper.tid);
    return PN_OK;
}

pn_code pn_life_begin(pn_process_slot *slot) {
    _Atomic uint32_t *word = pn_life_at(slot);
    init_mutex(&slot->life);
    if (word != NULL) pn_futex_wake(word, INT_MAX); /* who still sleeps on the one who was here before */
    if (pn_thread_id() != pn_process_id()) return hold_by_helper(slot);
    slot->life_tid = pn_thread_id();
    int result = pthread_mutex_lock(&slot->life);
    return result == 0 ? PN_OK : (errno = result, PN_SYSTEM);
}

void pn_life_leave(pn_process_slot *slot) {
    _Atomic uint32_t *word = pn_life_at(slot);
    /* The kernel compares the tid alone, and will still mark it at the real death. */
    if (word != NULL) atomic_fetch_or(word, PN_LIFE_DIED);
    PN_FAULT("life.leave.before_wake");
    if (word != NULL) pn_futex_wake(word, INT_MAX);
}

/* The generation is read last: it changes before the mutex is made anew, so what was read before it belongs to `owner`. */
static bool is_of(pn_process_slot *slot, pn_owner owner) {
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&slot->generation, memory_order_relaxed) == pn_owner_gen(owner);
}

static pn_process_slot *slot_of(pn_owner owner) {
    uint32_t slot = pn_owner_slot(owner);
    return slot == 0 || pn_base == NULL ? NULL : pn_slot(slot); /* SAFETY: 12 bits cannot leave the table */
}

bool pn_owner_is_alive(pn_owner owner) {
    pn_process_slot *slot = slot_of(owner);
    if (slot == NULL) return false;
    uint32_t state = atomic_load_explicit(&slot->state, memory_order_acquire);
    if (state != PN_SLOT_ALIVE) return false;
    return pn_life_is_held(pn_life_read(slot)) && is_of(slot, owner);
}

bool pn_life_word(pn_owner owner, _Atomic uint32_t **word, uint32_t *expected) {
    static _Atomic uint32_t never_changes;
    if (!pn_owner_is_alive(owner)) return false;
    pn_process_slot *slot = slot_of(owner);
    *word = pn_life_at(slot);
    *expected = 0;
    if (PN_UNLIKELY(*word == NULL)) return *word = &never_changes, true;
    uint32_t life = atomic_load_explicit(*word, memory_order_acquire);
    while ((life & PN_WAITERS) == 0) {
        if (!pn_life_is_held(life)) return false;
        if (atomic_compare_exchange_weak(*word, &life, life | PN_WAITERS)) life |= PN_WAITERS;
    }
    *expected = life;
    return pn_life_is_held(life) && is_of(slot, owner);
}

void pn_life_cascade(pn_owner owner) {
    pn_process_slot *slot = slot_of(owner);
    if (slot == NULL || atomic_load(&slot->generation) != pn_owner_gen(owner)) return; /* used again: they were woken then */
    _Atomic uint32_t *word = pn_life_at(slot);
    PN_FAULT("life.cascade.before_wake");
    if (word != NULL) pn_futex_wake(word, INT_MAX);
    pn_owner me = pn_self_cache;
    if (me == 0 || pn_section_try(&pn_table_state()->sweeping, me) == PN_TIMEOUT) return; /* the sweeper will see it */
    pn_note_death(slot);
    pn_section_leave(&pn_table_state()->sweeping);
}

bool pn_wait_thread_gone(pn_owner owner) {
    pn_process_slot *slot = slot_of(owner);
    if (slot == NULL) return true;
    uint32_t pid = slot->pid, tid = pn_owner_tid(owner), holder = slot->life_tid;
    bool marked = pn_life_is_marked(pn_life_read(slot));
    if (!is_of(slot, owner)) return true; /* a slot is used again only after its threads are gone */
    if (marked && tid == holder) return true; /* the dying thread marked it itself */
    int64_t end = pn_clock() + GONE_PATIENCE;
    while (!pn_thread_is_gone(pid, tid)) {
        if (pn_clock() >= end) return pn_life_is_marked(pn_life_read(slot)); /* e.g. exec: the number lives on */
        pn_yield();
    }
    return true;
}

void pn_owner_resume(pn_owner owner) {
    pn_process_slot *slot = slot_of(owner);
    uint32_t pid = slot == NULL ? 0 : slot->pid;
    if (pid != 0 && pn_owner_is_alive(owner)) pn_process_resume(pid);
}
