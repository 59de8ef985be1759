/* waiters.h: an ordered list of waiters, each with a word of its own: what Condition and Barrier are made of.
 *
 *   state      who changes it, to what                                  what a death leaves
 *   FREE       add, in the section: WAITING                             nothing
 *   WAITING    tell, in the section: TOLD | REFUSED; its owner: FREE     a row that tell makes REFUSED
 *   TOLD       its owner: FREE                                          a notification: pn_waiters_pass_on, then REFUSED
 *   REFUSED    its owner: FREE                                          a row for add, once the thread that waited is gone
 *
 * (A process counts as dead from the moment its main thread is; another thread of it may still run for a moment, and free its
 * node. Hence a node of the dead is given out again only after pn_wait_thread_gone.)
 * Truth: the state words, each changed by one store or compare-and-swap; owner, ticket and round count only while the state is not
 * FREE. Derived: next_ticket (above all tickets). A waiter leaves without the section, because only adding chooses among rows; so
 * "told or timed out" is decided by one exchange of its own word, and exactly as many are told as were counted.
 * The bit PN_NODE_WATCHING says: its owner sleeps long and knows all the others; whoever joins clears it first and wakes it
 * (pn_waiters_poke), so that somebody watches the life of the one who joined. Nodes live in the object (6) and, beyond, in a chain
 * (chain.h).  */
#ifndef PN_WAITERS_H
#define PN_WAITERS_H
#include "heap.h"

enum { PN_NODE_FREE = 0, PN_NODE_WAITING = 1, PN_NODE_TOLD = 2, PN_NODE_REFUSED = 3, PN_NODE_WATCHING = 0x100 };

/* A sleep shorter than this needs no watcher: the sleeper looks at all the others again itself, and only then may sleep long. Less
 * would cost wake-ups in ordinary use, more would make a death known later. */
#define PN_SETTLE 2000000 /* ns */
/* futex_waitv takes 128 words: the own word and these (wait.h). */
#define PN_WATCHED_MAX 126

typedef struct pn_node {
    _Atomic uint32_t state;    /* the futex word of this waiter */
    _Atomic uint32_t round;    /* Barrier: the round it arrived in */
    _Atomic uint64_t ticket;   /* order; once TOLD: the first ticket given out after the telling */
    _Atomic pn_owner owner;
} pn_node;
_Static_assert(sizeof(pn_node) == 24, "a node is 24 bytes");

typedef struct pn_waiters {
    pn_section section;
    _Atomic uint64_t next_ticket;
    _Atomic pn_off more;        /* first chained block */
    pn_node nodes[6];
} pn_waiters;

static inline uint32_t pn_node_state(const pn_node *node) { return atomic_load_explicit(&node->state, memory_order_acquire) & 0xffu; }

/* Words to wake once the section is left, so that the woken do not run into it. */
typedef struct pn_wakes {
    uint32_t count;
    _Atomic uint32_t *words[32];
} pn_wakes;
void pn_wakes_add(pn_wakes *wakes, _Atomic uint32_t *word);
void pn_wakes_send(pn_wakes *wakes);

/* Inside the section, but for enter, leave, free and the reading functions. Node references that leave the core are offsets. */
bool pn_waiters_enter(pn_waiters *list, pn_owner me);    /* repairs the list after a death, and then says true */
void pn_waiters_leave(pn_waiters *list);
pn_code pn_waiters_add(pn_waiters *list, pn_owner me, uint32_t round, pn_off *node); /* OK, NOMEM */
/* Its owner goes: the state that the node had. */
uint32_t pn_waiters_free(pn_node *node);
/* Tells up to n living WAITING waiters, oldest first (all, n = UINT32_MAX: in any order). Nodes of the dead become REFUSED. Returns
 * how many were told. */
uint32_t pn_waiters_tell(pn_waiters *list, uint32_t n, uint32_t state, pn_wakes *wakes);
/* Tells all who wait for another round than this. */
void pn_waiters_tell_others(pn_waiters *list, uint32_t round, uint32_t state, pn_wakes *wakes);
/* A notification that a waiter took to its grave goes to the oldest of those who waited when it was given. */
void pn_waiters_pass_on(pn_waiters *list, pn_wakes *wakes);
/* Before somebody joins: wakes whoever sleeps with PN_NODE_WATCHING. */
void pn_waiters_poke(pn_waiters *list);
/* Living and WAITING. *dead, if not NULL: the owner of a WAITING node that is not living; unchanged if there is none. */
uint32_t pn_waiters_count(pn_waiters *list, pn_owner *dead);
/* Owners of the WAITING nodes in other processes than `me`'s, one for each process; of more than fit, the newest: then whoever came
 * later watches each of the others. *oldest: the first of all nodes. */
int pn_waiters_owners(pn_waiters *list, pn_owner me, pn_owner owners[PN_WATCHED_MAX], pn_node **oldest);
/* After a death in the middle of waking: wakes everybody who is TOLD or REFUSED. Needs no section. */
void pn_waiters_wake_told(pn_waiters *list);
void pn_waiters_destroy(pn_waiters *list);
#endif
