/* condition.h: Condition: waiters in order, each on a word of its own; notify(n) tells n living ones.
 *
 * Promises: a notification has no memory (nobody waits: nobody is told); it reaches a living waiter that waited when it was given, the
 * oldest first. One that a killed waiter took along unread is passed on to the next of those, at the latest after PN_BACKSTOP. Timing
 * out and being told exclude each other: notify's count is the number of waits that end with PN_OK.
 * Not here: the lock (the face releases and takes it again round pn_condition_wait). */
#ifndef PN_CONDITION_H
#define PN_CONDITION_H
#include "lock.h"
#include "waiters.h"

/* A waiter watches the life of whoever notified last (in its node's `round`: the high half of an owner id, 0: nobody): it will perhaps do
 * so again. One whom its own watched process notifies is woken when that lets go of the lock, and not into the held lock: if it
 * is killed before, the waiter learns of that by the life word. */
typedef struct pn_notifier { _Atomic uint32_t process; _Atomic uint32_t tid; _Atomic int32_t cpu; uint32_t unused; } pn_notifier;
typedef struct pn_condition {
    pn_block block;
    pn_spin spin;
    pn_notifier notifiers[2];    /* the last two threads that notified, the last one first; informative, racy */
    pn_waiters waiters;
} pn_condition;

pn_code pn_condition_create(pn_off *condition);
pn_code pn_condition_enlist(pn_condition *c, pn_owner me, pn_off *node);     /* before the lock is released; OK, NOMEM */
/* Sleeps until told or the deadline. INTERRUPTED (a signal, or PN_BACKSTOP is over): call again with the same node. OK and TIMEOUT have
 * removed the node. */
pn_code pn_condition_wait(pn_condition *c, pn_owner me, pn_off node, pn_deadline deadline);
/* An exception (KeyboardInterrupt) ends the wait: removes the node; true if it had been told (the caller passes the notification on). */
bool pn_condition_withdraw(pn_condition *c, pn_owner me, pn_off node);
/* UINT32_MAX: all; returns how many were told. `lock`, if not NULL, is held by me: its release wakes one of them. */
uint32_t pn_condition_notify(pn_condition *c, pn_owner me, uint32_t n, pn_lock *lock);
uint32_t pn_condition_waiting(pn_condition *c, pn_owner me);                 /* living waiters not told yet */
#endif
