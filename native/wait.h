/* wait.h: how anybody here sleeps: with a reason, a deadline, and the life words of those who are waited for.
 *
 * Promises: a sleep ends when the word changes, when one of `holders` dies, at the deadline, at a signal (PN_INTERRUPTED), and
 * at the latest after PN_BACKSTOP, so that a waiter who was woken and killed before it acted holds nobody up.
 * Fallback: without futex_waitv the sleep is cut into PN_SLICE pieces and the life words are looked at between them.  */
#ifndef PN_WAIT_H
#define PN_WAIT_H
#include "process.h"

#define PN_BACKSTOP 500000000 /* ns: the longest sleep between two looks; 2 wake-ups a second cost about 10 us of CPU */
#define PN_LONG_PATIENCE 5000000000 /* ns: the same where somebody else makes up for a sleeper that was woken and killed */
#define PN_SLICE 50000000     /* ns: the same where the kernel cannot sleep on two words */

typedef enum pn_reason {
    PN_WAIT_LOCK = 1, PN_WAIT_SEMAPHORE, PN_WAIT_CONDITION, PN_WAIT_EVENT, PN_WAIT_BARRIER, PN_WAIT_SECTION,
    PN_WAIT_QUEUE_GET, PN_WAIT_QUEUE_PUT, PN_WAIT_QUEUE_JOIN, PN_WAIT_SELECT, PN_WAIT_PROCESS, PN_WAIT_RESULT,
} pn_reason;

typedef struct pn_wait_target {
    _Atomic uint32_t *word;
    uint32_t expected;
    pn_reason reason;
    pn_off object;                /* what the row in the wait table names */
    const pn_owner *holders;      /* whose death ends the sleep; may be NULL */
    int holder_count;             /* more than 126: only the first 126 wake at once, the others by the backstop */
} pn_wait_target;

/* One sleep. PN_OK: look again (woken, changed, spurious, backstop: the caller loops). PN_OWNER_DIED: one of the holders is dead.
 * PN_TIMEOUT: the deadline passed. PN_INTERRUPTED: a signal.  */
pn_code pn_sleep(const pn_wait_target *target, pn_deadline deadline);
pn_code pn_sleep_patiently(const pn_wait_target *target, pn_deadline deadline, int64_t patience); /* ns, in place of PN_BACKSTOP */

/* Rows of the wait table by hand, for waits that the floors above do with poll(): returns a row number or -1. */
int pn_wait_begin(pn_reason reason, pn_off object, pn_deadline deadline, pn_owner held_by);
void pn_wait_end(int row);

/* Adaptive spinning before a sleep (core.md 2.4). The state lives beside the object: shared, racy, harmless. */
typedef struct pn_spin {
    _Atomic uint16_t budget;   /* ns / 4 */
    _Atomic uint16_t failures;
    _Atomic int32_t last_cpu;  /* where the last one who made the wait end ran */
} pn_spin;
/* Spin until *word != expected; true if it changed in time. Never spins where the one who is waited for last ran on this CPU, or,
 * if that is not known, where only one CPU is allowed. */
bool pn_spin_while(pn_spin *spin, const _Atomic uint32_t *word, uint32_t expected);
void pn_forbid_spinning(bool forbidden); /* in this process and its forks, to measure what it is worth: benchmarks/crowded.py */
static inline void pn_spin_note_cpu(pn_spin *spin, int cpu) { atomic_store_explicit(&spin->last_cpu, cpu, memory_order_relaxed); }
#endif
