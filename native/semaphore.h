/* semaphore.h: Semaphore and BoundedSemaphore with a ledger of who holds how many permits.
 *
 * Truth (each operation changes one word of it): `total`, and one count in the ledger. value = total - sum(ledger).
 *   acquire                     ledger[me] + 1
 *   release by a holder         ledger[me] - 1
 *   release by somebody else    - 1 in the row of a dead holder if there is one, else of the living one that holds most: it is
 *                               his permit that is given back (documented: any process may release); nobody holds one: total + 1
 * Derived: `value`, for the fast look; recomputed after a death in the section. A semaphore created with 0 is a signal, not a
 * resource: it keeps no ledger (acquire: total - 1, release: total + 1), and no death is ever told. An acquire that finds no memory for a
 * further row is kept off the ledger too (total - 1).
 *
 * Who dies while holding permits: a process that exits (its slot has an exit status >= 0) takes its permits with it, as the standard
 * library's does; one that is killed, or of which nothing is known, is told to those who find value = 0: PN_OWNER_DIED, until
 * pn_semaphore_recover() gives its permits back. Sleepers learn of a death at once where they watch the holder, which they do
 * PN_SETTLE (2 ms) after they began or after the last change: whoever becomes a holder from then on wakes one of them (WATCHED).
 *
 * `event` is the futex word: + 1 whenever sleepers are taken off the count to look again. `sleepers` is never too low: who gets up by
 * himself comes off only if `event` shows that nobody was taken off meanwhile; the dead stay on. Each too many costs one wake-up for
 * nothing. */
#ifndef PN_SEMAPHORE_H
#define PN_SEMAPHORE_H
#include "heap.h"
typedef struct pn_permit { /* a row of the ledger; count 0: of nobody */
    _Atomic pn_owner owner;      /* a process: slot and generation, tid 0 */
    _Atomic uint32_t count;
    _Atomic uint32_t left;       /* 1: it is known to have exited, not to have been killed */
} pn_permit;
_Static_assert(sizeof(pn_permit) == 16, "four rows are a cache line");
typedef struct pn_semaphore {
    pn_block block;
    pn_section section;
    _Atomic uint32_t value;      /* derived: free permits */
    _Atomic uint32_t total;      /* truth */
    uint32_t initial;
    uint32_t flags;              /* PN_SEMAPHORE_BOUNDED, PN_SEMAPHORE_SIGNAL */
    _Atomic uint32_t event;
    _Atomic uint32_t sleepers;   /* how many, at most | PN_SEMAPHORE_WATCHED */
    pn_spin spin;
    _Atomic pn_off more;         /* more permits rows: chain.h */
    pn_permit permits[4];
} pn_semaphore;
_Static_assert(sizeof(pn_semaphore) == 128, "a semaphore is two cache lines");
#define PN_SEMAPHORE_BOUNDED 1u
#define PN_SEMAPHORE_SIGNAL 2u
#define PN_SEMAPHORE_WATCHED 0x80000000u /* in `sleepers`: one sleeps long, having seen all holders */
#define PN_SEMAPHORE_MAX 0x7fffffffu     /* SEM_VALUE_MAX */
pn_code pn_semaphore_create(uint32_t initial, bool bounded, pn_off *semaphore);
pn_code pn_semaphore_acquire(pn_semaphore *s, pn_owner me, pn_deadline deadline);  /* OK, TIMEOUT, INTERRUPTED, OWNER_DIED */
/* `total` (free and held permits) may not exceed PN_SEMAPHORE_MAX; the free ones of a bounded semaphore not its initial value. */
pn_code pn_semaphore_release(pn_semaphore *s, pn_owner me);                        /* OK, OVERFLOW */
uint32_t pn_semaphore_value(pn_semaphore *s);
/* For one who sleeps on several things at once (a Watcher). lie_down: false: there is something to be had, or to be told; else it is
 * counted among the sleepers at `event`, until the event word changes or one of `holders` dies, and gets up in any case: a wake-up
 * that it took is handed on. */
typedef struct pn_semaphore_sleep { uint32_t event; int count; pn_owner holders[126]; } pn_semaphore_sleep;
bool pn_semaphore_lie_down(pn_semaphore *s, pn_owner me, pn_semaphore_sleep *sleep);
void pn_semaphore_get_up(pn_semaphore *s, pn_owner me, uint32_t event);
pn_owner pn_semaphore_dead_holder(pn_semaphore *s);     /* killed while holding; 0: none */
uint32_t pn_semaphore_recover(pn_semaphore *s, pn_owner me); /* permits given back */
#endif
