/* event.h: Event: one word: epoch:30 | waiters | set. A wait that began before a set() ends with it, even if clear() follows at once.
 *
 *   set  waiters   meaning
 *    0      0      clear, nobody asks
 *    0      1      clear, someone sleeps: set() wakes all
 *    1      0      set (set() takes the waiters' bit away with the same store)
 *    1      1      never
 * Each change from clear to set adds 1 to the epoch. Truth: the word; there is nothing to repair. A setter killed between its
 * store and its wake costs the waiters one PN_BACKSTOP.  */
#ifndef PN_EVENT_H
#define PN_EVENT_H
#include "heap.h"
#define PN_EVENT_SET 1u
#define PN_EVENT_WAITERS 2u
#define PN_EVENT_EPOCH 4u
typedef struct pn_event { pn_block block; _Atomic uint32_t word; pn_spin spin; } pn_event;
pn_code pn_event_create(pn_off *event);
static inline bool pn_event_is_set(const pn_event *e) { return atomic_load_explicit(&e->word, memory_order_acquire) & PN_EVENT_SET; }
void pn_event_set(pn_event *e);
void pn_event_clear(pn_event *e);
/* *entry_word = 0 at the first call; kept over INTERRUPTED (a signal, or PN_BACKSTOP is over). OK, TIMEOUT, INTERRUPTED. */
pn_code pn_event_wait(pn_event *e, pn_deadline deadline, uint32_t *entry_word);
#endif
