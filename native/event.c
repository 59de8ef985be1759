/* event.c: see event.h. */
#include "event.h"
#include <limits.h>
#include "fault.h"
#include "platform.h"

/* A remembered entry word has this bit, so that it is never 0; the word it was taken from had not. */
#define ENTERED PN_EVENT_SET
#define EPOCH_MASK (~(PN_EVENT_SET | PN_EVENT_WAITERS))

pn_code pn_event_create(pn_off *event) { return pn_object_create(sizeof(pn_event), PN_KIND_EVENT, event); }

static bool change(pn_event *e, uint32_t *seen, uint32_t word) {
    return atomic_compare_exchange_weak_explicit(&e->word, seen, word, memory_order_acq_rel, memory_order_acquire);
}

void pn_event_set(pn_event *e) {
    uint32_t old = atomic_load_explicit(&e->word, memory_order_relaxed), new;
    do {
        /* Set already: still a CAS, so that what this process wrote before is seen by whoever sees the event set. */
        new = old & PN_EVENT_SET ? old : ((old & EPOCH_MASK) + PN_EVENT_EPOCH) | PN_EVENT_SET;
        PN_FAULT("event.set.before_word");
    } while (!change(e, &old, new));
    if (new != old) pn_spin_note_cpu(&e->spin, pn_cpu());
    PN_FAULT("event.set.before_wake");
    if (old & PN_EVENT_WAITERS) pn_futex_wake(&e->word, INT_MAX);
}

void pn_event_clear(pn_event *e) {
    PN_FAULT("event.clear.before_word");
    atomic_fetch_and_explicit(&e->word, ~PN_EVENT_SET, memory_order_acq_rel);
}

static bool is_over(uint32_t word, uint32_t entry) { return word & PN_EVENT_SET || (word & EPOCH_MASK) != (entry & EPOCH_MASK); }

pn_code pn_event_wait(pn_event *e, pn_deadline deadline, uint32_t *entry_word) {
    uint32_t word = atomic_load_explicit(&e->word, memory_order_acquire);
    if (*entry_word == 0) *entry_word = (word & EPOCH_MASK) | ENTERED;
    if (!is_over(word, *entry_word) && deadline > PN_NOW && pn_spin_while(&e->spin, &e->word, word))
        word = atomic_load_explicit(&e->word, memory_order_acquire);
    if (deadline <= PN_NOW) return is_over(word, *entry_word) ? PN_OK : PN_TIMEOUT;
    pn_deadline up_at = pn_clock() + PN_BACKSTOP, until = deadline < up_at ? deadline : up_at;
    for (pn_code code = PN_OK; !is_over(word, *entry_word);) {
        if (code != PN_OK) return code == PN_TIMEOUT && until == deadline ? PN_TIMEOUT : PN_INTERRUPTED;
        uint32_t asked = word | PN_EVENT_WAITERS;
        if (word == asked || change(e, &word, asked)) {
            const pn_wait_target target = {&e->word, asked, PN_WAIT_EVENT, pn_offset_of(e), NULL, 0};
            PN_FAULT("event.wait.before_sleep");
            code = pn_sleep(&target, until);
            word = atomic_load_explicit(&e->word, memory_order_acquire);
        }
    }
    return PN_OK;
}
