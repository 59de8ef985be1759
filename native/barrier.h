/* barrier.h: Barrier: parties arrive; the last one runs the action and releases the others; a party that dies breaks it.
 *
 *   state   round:29 | asked:1 | one of
 *   FILLING   parties arrive              -> ACTING: the last one came; BROKEN: abort, a timeout, a death, an exception in a wait
 *   ACTING    one of them runs the action -> FILLING of the next round: all are released; BROKEN: abort, a death, the action raised
 *   BROKEN    until reset                 -> FILLING of the next round
 *
 * Truth: `state`, and the nodes that WAIT for a round. One store of `state` releases or breaks; telling the nodes follows from it, and
 * is finished by whoever repairs: a node that waits for an old round has been released, one that waits in a broken round is refused.
 * So the next round fills while slow wakers of the last one have not left yet. `asked`: someone who came during the action
 * sleeps on `state`.
 * Promises: every party of a round is released or none; each gets an index of its own from 0 to parties - 1; when a party that waits,
 * or the one that acts, is killed, the others learn it within some 2 ms (a sleeper watches all that arrived before it; the first to
 * arrive watches all, looks again after PN_SETTLE, and is poked by everyone who comes later than that).
 * Not here: calling the action.  */
#ifndef PN_BARRIER_H
#define PN_BARRIER_H
#include "waiters.h"
typedef enum pn_barrier_state { PN_BARRIER_FILLING = 0, PN_BARRIER_ACTING, PN_BARRIER_BROKEN } pn_barrier_state;
#define PN_BARRIER_STATE 3u
#define PN_BARRIER_ASKED 4u
#define PN_BARRIER_ROUND 8u
typedef struct pn_barrier {
    pn_block block;
    pn_spin spin;
    uint32_t parties;
    _Atomic uint32_t state;      /* the truth, with the nodes */
    _Atomic pn_owner actor;      /* who runs the action: its death breaks the barrier; counts while ACTING */
    _Atomic pn_owner culprit;    /* whose death broke it; 0 = abort(), timeout, exception; counts while BROKEN */
    pn_waiters waiters;
} pn_barrier;
pn_code pn_barrier_create(uint32_t parties, pn_off *barrier);
/* OK: wait (with *node, *index). PN_EMPTY: you are the last (index is parties - 1): run the action, then pn_barrier_release or _abort.
 * BROKEN. NOMEM. While another party runs the action of the full round, arrival waits until that is over (INTERRUPTED, TIMEOUT: not
 * arrived, nothing changed). */
pn_code pn_barrier_arrive(pn_barrier *b, pn_owner me, pn_deadline deadline, pn_off *node, uint32_t *index);
/* OK, BROKEN (both have removed the node), INTERRUPTED (a signal, or PN_BACKSTOP is over: call again with the same node). A timeout or
 * a death breaks the barrier; once the last one has come a timeout no longer counts, as the round is full. */
pn_code pn_barrier_wait(pn_barrier *b, pn_owner me, pn_off node, pn_deadline deadline);
pn_code pn_barrier_release(pn_barrier *b, pn_owner me); /* OK; BROKEN: aborted or reset during the action, nobody was released */
void pn_barrier_abort(pn_barrier *b, pn_owner me);      /* broken until reset */
void pn_barrier_reset(pn_barrier *b, pn_owner me);      /* those who wait get BROKEN, the barrier is empty and whole */
/* An exception ends the wait: breaks the barrier, unless I have been released already. */
void pn_barrier_withdraw(pn_barrier *b, pn_owner me, pn_off node);
uint32_t pn_barrier_waiting(pn_barrier *b, pn_owner me);
bool pn_barrier_is_broken(pn_barrier *b);
#endif
