/* process.h: the process table: who is alive, who is dead, and who waits for what.
 *
 * A process takes a slot when it first touches a shared object, and locks the slot's *life word* (a robust mutex, held by its
 * main thread, or by a tiny native thread if another thread came first). The kernel marks the word when the process dies, however
 * it dies, and even while it is an unreaped zombie: so the word is the truth about life, and futex_wait_any can sleep on it.
 * Slots of the dead are reused oldest first, under a new generation, so that an old owner id never means a new process.
 *
 * An owner id is 64 bits:  tid:22 (low word, with the flags of the lock that carries it) | slot:12 | generation:20 (high word)  */
#ifndef PN_PROCESS_H
#define PN_PROCESS_H
#include <pthread.h>
#include "arena.h"

#define PN_MAX_PROCESSES 4096u
#define PN_NAME_BYTES 48
#define PN_WAIT_ROWS 12

typedef uint64_t pn_owner;                       /* 0 = nobody */
#define PN_WAITERS 0x80000000u                   /* bit 31 of the low word: someone sleeps on this word */
#define PN_ORPHANED 0x40000000u                  /* bit 30: its owner is dead and the waiters have been told */
#define PN_TID_MASK 0x003fffffu
#define PN_OWNER_MASK (0xffffffff00000000ull | PN_TID_MASK)
static inline pn_owner pn_owner_make(uint32_t slot, uint32_t gen, uint32_t tid) {
    return ((uint64_t)((gen << 12) | slot) << 32) | tid;
}
static inline uint32_t pn_owner_tid(pn_owner o) { return (uint32_t)o & PN_TID_MASK; }
static inline uint32_t pn_owner_slot(pn_owner o) { return (uint32_t)(o >> 32) & 0xfff; }
static inline uint32_t pn_owner_gen(pn_owner o) { return (uint32_t)(o >> 44); }

/* What a thread sleeps on; read by `procession top` and by the deadlock report. Two stores begin it, one ends it. */
typedef struct pn_wait_row {
    _Atomic uint32_t tid;     /* 0 = free */
    uint32_t reason;          /* enum pn_reason */
    pn_off object;
    int64_t since;
    pn_deadline deadline;
    pn_owner held_by;         /* 0 where nobody holds it */
} pn_wait_row;

/* state     who writes it                                     a kill leaves
 * FREE      nobody                                            -
 * STARTING  its process; pid << 8 is in the same word         a slot that the next claim takes over: that pid is gone
 * ALIVE     its process, after it holds `life`                a marked life word; whoever sweeps makes it DEAD
 * DEAD      a sweeper (sect. `sweeping`), or its process when it leaves; reused once swept == generation  */
typedef enum pn_slot_state { PN_SLOT_FREE = 0, PN_SLOT_STARTING, PN_SLOT_ALIVE, PN_SLOT_DEAD } pn_slot_state;
#define PN_SLOT_STATE(word) ((pn_slot_state)((word) & 0xff))

typedef struct pn_process_slot {
    _Atomic uint32_t state;        /* pn_slot_state */
    _Atomic uint32_t generation;   /* 20 bits used */
    uint32_t pid;
    uint32_t parent_slot;          /* 0 = none; slot 0 is never given out */
    pthread_mutex_t life;          /* robust, process-shared: locked for life */
    int64_t started_at;            /* pn_clock() */
    _Atomic int64_t died_at;       /* 0 = alive, or not noticed yet */
    _Atomic int32_t exit_status;   /* as Process.exitcode (negative: signal); INT32_MIN = not known */
    uint32_t life_tid;             /* the thread that holds `life` */
    uint64_t fork_epoch;           /* header->fork_epoch when it was forked; 0 = not forked from a process of ours */
    _Atomic pn_off ledger;         /* what this process refers to: ledger.h */
    _Atomic pn_off claim;          /* free for the floors above */
    char name[PN_NAME_BYTES];      /* UTF-8, NUL-terminated: Process.name */
    pn_wait_row waits[PN_WAIT_ROWS];
    _Atomic uint32_t swept;        /* the generation whose leftovers have been swept: the slot may be used again */
    uint32_t unused;
} pn_process_slot;
_Static_assert(sizeof(pn_process_slot) <= 1024, "a slot is 1 KiB");

static inline pn_process_slot *pn_slot(uint32_t slot) {
    return (pn_process_slot *)(void *)(pn_base + PN_TABLE_OFFSET + (uint64_t)slot * 1024);
}

/* This thread's owner id; registers the process (and opens the arena) on first use. 0 on failure (table full, no memory). */
extern __thread pn_owner pn_self_cache; /* 0 after fork */
pn_owner pn_self_slow(void);
static inline pn_owner pn_self(void) {
    pn_owner me = pn_self_cache;
    return PN_LIKELY(me != 0) ? me : pn_self_slow();
}
pn_code pn_process_register(void);
/* How many slots were ever used: 1 … pn_slots_in_use() - 1 are worth looking at (a look at others would make their pages). */
uint32_t pn_slots_in_use(void);
void pn_process_set_name(const char *name);
/* A normal exit: gives up the ledger and marks the slot DEAD with `status`. What it still holds becomes orphaned. */
void pn_process_leave(int32_t status);
/* The parent reaped `pid`: note its exit status in its slot, sweep what it left (ledger, blocks, wait rows). */
void pn_process_reaped(uint32_t pid, int32_t status);

/* Is the process of this owner id alive? A load or two; no system call. */
bool pn_owner_is_alive(pn_owner owner);
/* The word that the kernel marks when this process dies, and the value to sleep on (it has the waiters bit set). False: dead already. */
bool pn_life_word(pn_owner owner, _Atomic uint32_t **word, uint32_t *expected);
/* After a death was noticed: wake everybody else who sleeps on the life word (the kernel woke only one). */
void pn_life_cascade(pn_owner owner);
/* Before adopting what a dead process held: wait (at most ~1 ms) until the thread that held it is really gone. False: it still runs
 * (its process has left and goes on): it will let go by itself or be gone later; look again. */
bool pn_wait_thread_gone(pn_owner owner);
/* If the process of this owner id is stopped, it goes on. */
void pn_owner_resume(pn_owner owner);
/* Sweep the slots of the dead that nobody has swept (any process may call it; at most one does the work). */
void pn_sweep_dead(void);
#endif
