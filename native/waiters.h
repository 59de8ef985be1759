/* waiters.h: an ordered list of waiters, each with a word of its own: what Condition and Barrier are made of.
 *
 * A node: WAITING -> TOLD (notified, released) or WAITING -> REFUSED (broken, reset). The one who tells stores the state and wakes
 * that waiter alone. Nodes live in the object (6) and, beyond, in chained blocks of PN_KIND_NODES. All changes of the list happen
 * in the object's section; the state store is the truth, so a node of a dead waiter is simply free again.  */
#ifndef PN_WAITERS_H
#define PN_WAITERS_H
#include "heap.h"

enum { PN_NODE_FREE = 0, PN_NODE_WAITING = 1, PN_NODE_TOLD = 2, PN_NODE_REFUSED = 3 };

typedef struct pn_node {
    _Atomic uint32_t state;    /* the futex word of this waiter */
    uint32_t index;            /* Barrier: the arrival index */
    _Atomic uint64_t ticket;   /* order; 0 while free */
    _Atomic pn_owner owner;
} pn_node;
_Static_assert(sizeof(pn_node) == 24, "a node is 24 bytes");

typedef struct pn_waiters {
    pn_section section;
    _Atomic uint64_t next_ticket;
    _Atomic pn_off more;        /* first chained block */
    pn_node nodes[6];
} pn_waiters;

/* All but pn_waiters_enter/leave: inside the section. Node references are offsets. */
void pn_waiters_enter(pn_waiters *list, pn_owner me);    /* repairs by itself after a death */
void pn_waiters_leave(pn_waiters *list);
pn_code pn_waiters_add(pn_waiters *list, pn_owner me, uint32_t index, pn_off *node);
void pn_waiters_remove(pn_waiters *list, pn_off node);
/* Tells up to n living WAITING waiters, oldest first (state TOLD or REFUSED); nodes of the dead are freed. Returns how many. */
uint32_t pn_waiters_tell(pn_waiters *list, uint32_t n, uint32_t state);
uint32_t pn_waiters_count(pn_waiters *list);             /* living and WAITING */
/* Owners of the WAITING nodes, at most max. */
int pn_waiters_owners(pn_waiters *list, pn_owner *owners, int max);
void pn_waiters_destroy(pn_waiters *list);
#endif
