/* barrier.h: Barrier: parties arrive; the last one runs the action and releases the others; a party that dies breaks it. */
#ifndef PN_BARRIER_H
#define PN_BARRIER_H
#include "waiters.h"
typedef enum pn_barrier_state { PN_BARRIER_FILLING = 0, PN_BARRIER_ACTING, PN_BARRIER_BROKEN } pn_barrier_state;
typedef struct pn_barrier {
    pn_block block;
    pn_spin spin;
    uint32_t parties;
    _Atomic uint32_t state;      /* the truth, with the nodes */
    _Atomic pn_owner actor;      /* who runs the action: its death breaks the barrier */
    _Atomic pn_owner culprit;    /* whose death broke it; 0 = abort() or timeout */
    pn_waiters waiters;
} pn_barrier;
pn_code pn_barrier_create(uint32_t parties, pn_off *barrier);
/* OK: wait (with *node, *index). RECOVERED never. PN_EMPTY: you are the last: run the action, then pn_barrier_release or _abort (index is parties-1). BROKEN.
 * While another party runs the action of the full round, arrival waits until that is over (INTERRUPTED, TIMEOUT possible). */
pn_code pn_barrier_arrive(pn_barrier *b, pn_owner me, pn_deadline deadline, pn_off *node, uint32_t *index);
pn_code pn_barrier_wait(pn_barrier *b, pn_owner me, pn_off node, pn_deadline deadline); /* OK, BROKEN, INTERRUPTED; a timeout or a death breaks the barrier */
void pn_barrier_release(pn_barrier *b, pn_owner me);
void pn_barrier_abort(pn_barrier *b, pn_owner me);      /* broken until reset */
void pn_barrier_reset(pn_barrier *b, pn_owner me);      /* those who wait get BROKEN, the barrier is empty and whole */
void pn_barrier_withdraw(pn_barrier *b, pn_owner me, pn_off node); /* an exception ends the wait: breaks the barrier */
uint32_t pn_barrier_waiting(pn_barrier *b, pn_owner me);
bool pn_barrier_is_broken(pn_barrier *b);
#endif
