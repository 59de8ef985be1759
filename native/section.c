/* section.c: the slow ways into and out of an internal section: spin, sleep, adopt. The words are drawn in section.h.
 *
 * Who has slept takes the word with the waiters bit: it cannot know whether others still sleep. Costs one useless wake at most.
 * A release wakes two: the heir, and a witness that goes back to sleep on the heir's life word (tests/model/owner_lock.py, rule 3).
 * Who has slept for LONG looks whether the holder is stopped (SIGSTOP, Ctrl-Z), and lets it go on: it would hold up all others, with all
 * their timeouts, for the sake of a microsecond. That the stop is lost is the lesser evil: a stop that is put back could follow the
 * SIGCONT that ends it.
 * A holder that was killed between letting go and waking is no loss: it took our sleep's life word along.  */
#include "section.h"
#include "fault.h"
#include "platform.h"

#define LONG 20000000 /* ns */
#define FIRST_LOOK 4  /* pauses before the first look at a section that was taken; each time twice as many … */
#define LAST_LOOK 64  /* … up to so many: about as long as the longest common section (a queue's copy of 1 KiB) */

static bool cas(pn_section *section, uint64_t *seen, uint64_t wanted) {
    return atomic_compare_exchange_strong_explicit(&section->word, seen, wanted, memory_order_acquire, memory_order_relaxed);
}

/* `seen` (held by a dead one) -> me. False: somebody was quicker, or the dead one's thread still runs. */
static bool adopt(pn_section *section, uint64_t seen, pn_owner me) {
    if (!pn_wait_thread_gone(seen & PN_OWNER_MASK)) return false;
    PN_FAULT("section.adopt.before_cas");
    if (!cas(section, &seen, me | PN_WAITERS)) return false;
    PN_FAULT("section.adopt.after_cas");
    return true;
}

/* Ever longer away from the word: where many want in, it stays with the CPU of one of them for a while, who so gets more done. */
static bool spin(const pn_section *section, int *pauses) {
    if (pn_cpus_allowed() < 2) return false;
    for (; *pauses <= LAST_LOOK; *pauses *= 2) {
        for (int i = 0; i < *pauses; i++) pn_pause();
        if (atomic_load_explicit(&section->word, memory_order_relaxed) == 0) return true;
    }
    return false;
}

static void sleep_on(pn_section *section, uint64_t seen) {
    pn_owner holder = seen & PN_OWNER_MASK;
    pn_wait_target target = {pn_low_half(&section->word), (uint32_t)seen, PN_WAIT_SECTION, pn_offset_of(section), &holder, 1};
    if (pn_sleep(&target, pn_clock() + LONG) == PN_TIMEOUT) pn_owner_resume(holder); /* whatever ended it: look at the word */
}

pn_code pn_section_enter_slow(pn_section *section, pn_owner me) {
    uint64_t mine = me;
    int pauses = FIRST_LOOK;
    for (;;) {
        uint64_t seen = atomic_load_explicit(&section->word, memory_order_relaxed);
        if (seen == 0) {
            if (!cas(section, &seen, mine)) continue;
            PN_FAULT("section.enter.after_cas");
            return PN_OK;
        }
        if (!pn_owner_is_alive(seen & PN_OWNER_MASK)) {
            if (!adopt(section, seen, me)) continue;
            pn_life_cascade(seen & PN_OWNER_MASK);
            return PN_RECOVERED;
        }
        if (mine == me && spin(section, &pauses)) continue;
        if ((seen & PN_WAITERS) == 0) {
            if (!cas(section, &seen, seen | PN_WAITERS)) continue;
            seen |= PN_WAITERS;
        }
        PN_FAULT("section.enter.before_sleep");
        sleep_on(section, seen);
        mine = me | PN_WAITERS;
    }
}

pn_code pn_section_try(pn_section *section, pn_owner me) {
    uint64_t seen = 0;
    if (cas(section, &seen, me)) return PN_OK;
    if (pn_owner_is_alive(seen & PN_OWNER_MASK)) return PN_TIMEOUT;
    return adopt(section, seen, me) ? PN_RECOVERED : PN_TIMEOUT;
}

void pn_section_wake(pn_section *section) {
    PN_FAULT("section.leave.before_wake");
    pn_futex_wake(pn_low_half(&section->word), 2);
}
