/* section.h: the internal lock: short critical sections over shared state that survive the death of whoever is inside.
 *
 * Every compound object here has one (a queue has two). Inside a section: no allocation from malloc, no Python, no wait for anything
 * but memory. What a section guards changes its *truth* by one aligned store, and all else is derived from the truth, so that
 * a function `repair(object)` can put it right whatever the instruction at which the holder was killed.
 *
 *   word (64 bits; the futex is its low half)
 *   low: W | tid   high: slot, generation     meaning
 *        0     0                   0          free
 *        0   tid               owner          held, nobody asks
 *        1   tid               owner          held, someone sleeps: the holder wakes one when it lets go
 *        any dead                             held by nobody alive: the next to come adopts it (CAS dead -> me | W), and is told
 *
 * pn_section_enter is uninterruptible by signals (sections are microseconds long; a holder that was stopped within goes on when somebody
 * has waited for 20 ms) but not by death: it returns PN_OK or PN_RECOVERED (the caller must repair, then is inside all the same).  */
#ifndef PN_SECTION_H
#define PN_SECTION_H
#include "wait.h"

typedef struct pn_section { _Atomic uint64_t word; } pn_section;
static inline _Atomic uint32_t *pn_low_half(_Atomic uint64_t *word) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (_Atomic uint32_t *)(void *)word;
#else
    return (_Atomic uint32_t *)(void *)word + 1;
#endif
}
pn_code pn_section_enter_slow(pn_section *section, pn_owner me);
void pn_section_wake(pn_section *section);
/* Never waits for a living holder: PN_OK, PN_RECOVERED, or PN_TIMEOUT. */
pn_code pn_section_try(pn_section *section, pn_owner me);

static inline pn_code pn_section_enter(pn_section *section, pn_owner me) {
    uint64_t expected = 0;
    if (PN_LIKELY(atomic_compare_exchange_strong_explicit(&section->word, &expected, me, memory_order_acquire, memory_order_relaxed)))
        return PN_OK;
    return pn_section_enter_slow(section, me);
}
static inline void pn_section_leave(pn_section *section) {
    uint64_t old = atomic_exchange_explicit(&section->word, 0, memory_order_release);
    if (PN_UNLIKELY((uint32_t)old & PN_WAITERS)) pn_section_wake(section);
}
#endif
