/* wait.c: one sleep, the rows that say who sleeps on what, and the spinning before it.
 *
 * A sleep takes the life words of the holders along, so that a death ends it; the first one told wakes the others (the kernel wakes
 * only one). Rows are in the slot of the process, so that they are found and swept with it.  */
#include "wait.h"
#include "fault.h"
#include "platform.h"

#define MAX_HOLDERS 126          /* futex_waitv takes 128 words */
#define ROW_FILLING 0x80000000u  /* taken, not to be read yet */

/* The spinning's numbers, in ns; from measured ping-pongs over 2 pinned cores, one core, and 8 busy loops on 4 cores. */
#define SPIN_FLOOR 2000          /* always: otherwise both sides learn to sleep for ever */
#define SPIN_CAP 20000           /* about what a sleep and a wake cost */
#define SPIN_PROBE 60000         /* longer than the wake latency: finds out that spinning has become worth it */
#define PROBE_EVERY 16
#define PROBE_RARELY 128         /* once it has failed LOSING times in a row */
#define LOSING 64
#define PAUSES_A_LOOK 8          /* between two looks at the clock */

int pn_wait_begin(pn_reason reason, pn_off object, pn_deadline deadline, pn_owner held_by) {
    pn_owner me = pn_self();
    if (me == 0) return -1;
    uint32_t tid = pn_owner_tid(me);
    pn_wait_row *rows = pn_slot(pn_owner_slot(me))->waits;
    for (uint32_t i = 0; i < PN_WAIT_ROWS; i++) {
        uint32_t index = (tid + i) % PN_WAIT_ROWS, is_free = 0;
        pn_wait_row *row = &rows[index];
        if (atomic_load_explicit(&row->tid, memory_order_relaxed) != 0) continue;
        if (!atomic_compare_exchange_strong(&row->tid, &is_free, tid | ROW_FILLING)) continue;
        row->reason = (uint32_t)reason;
        row->object = object;
        row->since = pn_clock();
        row->deadline = deadline;
        row->held_by = held_by;
        atomic_store_explicit(&row->tid, tid, memory_order_release);
        return (int)index;
    }
    return -1; /* more sleeping threads than rows: they sleep all the same, unseen */
}

void pn_wait_end(int row) {
    pn_owner me = pn_self_cache;
    if (row < 0 || me == 0) return;
    uint32_t mine = pn_owner_tid(me); /* another one's, if this process has left and come again meanwhile */
    (void)atomic_compare_exchange_strong(&pn_slot(pn_owner_slot(me))->waits[row].tid, &mine, 0);
}

static int holders_watched(const pn_wait_target *target) {
    if (target->holders == NULL) return 0;
    return target->holder_count < MAX_HOLDERS ? target->holder_count : MAX_HOLDERS;
}

/* Appends the life words to `words`; PN_OWNER_DIED: one is dead already. Nobody's, and those of our own process, wake nobody. */
static pn_code add_life_words(const pn_wait_target *target, pn_futex_word *words, int *n) {
    uint32_t my_slot = pn_owner_slot(pn_self_cache);
    for (int i = 0; i < holders_watched(target); i++) {
        pn_owner holder = target->holders[i];
        if (holder == 0) continue;
        if (pn_owner_slot(holder) == my_slot && pn_owner_is_alive(holder)) continue;
        if (!pn_life_word(holder, &words[*n].word, &words[*n].expected)) return PN_OWNER_DIED;
        ++*n;
    }
    return PN_OK;
}

static bool has_dead_holder(const pn_wait_target *target) {
    bool dead = false;
    for (int i = 0; i < target->holder_count && target->holders != NULL; i++) {
        if (target->holders[i] == 0 || pn_owner_is_alive(target->holders[i])) continue;
        pn_life_cascade(target->holders[i]);
        dead = true;
    }
    return dead;
}

static pn_code sleep_in_slices(const pn_wait_target *target, pn_deadline limit) {
    for (;;) {
        pn_deadline slice = pn_clock() + PN_SLICE;
        pn_code code = pn_futex_wait(target->word, target->expected, slice < limit ? slice : limit);
        if (code != PN_TIMEOUT || slice >= limit || has_dead_holder(target)) return code;
    }
}

static pn_code sleep_on(const pn_wait_target *target, const pn_futex_word *words, int n, pn_deadline limit) {
    if (n == 1) return pn_futex_wait(target->word, target->expected, limit);
    if (!pn_has_wait_any()) return sleep_in_slices(target, limit);
    pn_code code = pn_futex_wait_any(words, n, limit);
    return code == PN_SYSTEM ? sleep_in_slices(target, limit) : code; /* e.g. a sandbox was put on since we probed */
}

static bool has_changed(const pn_wait_target *target) {
    return atomic_load_explicit(target->word, memory_order_acquire) != target->expected;
}

pn_code pn_sleep(const pn_wait_target *target, pn_deadline deadline) { return pn_sleep_patiently(target, deadline, PN_BACKSTOP); }

pn_code pn_sleep_patiently(const pn_wait_target *target, pn_deadline deadline, int64_t patience) {
    pn_futex_word words[1 + MAX_HOLDERS];
    int n = 1;
    int64_t now = pn_clock();
    if (has_changed(target)) return PN_OK;
    if (deadline <= now) return PN_TIMEOUT;
    pn_owner held_by = target->holder_count > 0 && target->holders != NULL ? target->holders[0] : 0;
    int row = pn_wait_begin(target->reason, target->object, deadline, held_by);
    words[0] = (pn_futex_word){target->word, target->expected};
    pn_code code = add_life_words(target, words, &n);
    pn_deadline limit = deadline - now < patience ? deadline : now + patience;
    PN_FAULT("wait.sleep.before");
    if (code == PN_OK) code = sleep_on(target, words, n, limit);
    PN_FAULT("wait.sleep.after");
    pn_wait_end(row);
    /* First of all: the kernel wakes one sleeper on a dead one's life word; it may be us, whose own word has changed meanwhile,
     * and the others are told by us alone (tests/model, owner lock: killed before section.leave.wake while holding two). */
    bool orphaned = has_dead_holder(target);
    if (code == PN_INTERRUPTED) return code;
    if (has_changed(target)) return PN_OK;
    if (orphaned) return PN_OWNER_DIED;
    return code == PN_TIMEOUT && limit == deadline ? PN_TIMEOUT : PN_OK;
}

static bool spin_until(const _Atomic uint32_t *word, uint32_t expected, int64_t since, int64_t span) {
    do {
        for (int i = 0; i < PAUSES_A_LOOK; i++) {
            if (atomic_load_explicit(word, memory_order_acquire) != expected) return true;
            pn_pause();
        }
    } while (pn_clock() - since < span);
    return false;
}

/* How long to spin this time: what it has been worth, and now and then a longer try. */
static int64_t spin_span(const pn_spin *spin) {
    int64_t budget = (int64_t)atomic_load_explicit(&spin->budget, memory_order_relaxed) * 4;
    uint32_t failures = atomic_load_explicit(&spin->failures, memory_order_relaxed);
    uint32_t every = failures < LOSING ? PROBE_EVERY : PROBE_RARELY;
    if (failures % every == every - 1) return SPIN_PROBE;
    return budget < SPIN_FLOOR ? SPIN_FLOOR : budget > SPIN_CAP ? SPIN_CAP : budget;
}

static _Atomic bool spinning_forbidden;

void pn_forbid_spinning(bool forbidden) { atomic_store(&spinning_forbidden, forbidden); }

bool pn_spin_while(pn_spin *spin, const _Atomic uint32_t *word, uint32_t expected) {
    if (atomic_load_explicit(word, memory_order_acquire) != expected) return true;
    if (PN_UNLIKELY(atomic_load_explicit(&spinning_forbidden, memory_order_relaxed))) return false;
    int theirs = atomic_load_explicit(&spin->last_cpu, memory_order_relaxed);
    if (theirs == pn_cpu() || (theirs < 0 && pn_cpus_allowed() < 2)) return false; /* bound to one CPU, the other side may be elsewhere */
    int64_t since = pn_clock(), budget = (int64_t)atomic_load_explicit(&spin->budget, memory_order_relaxed) * 4;
    bool changed = spin_until(word, expected, since, spin_span(spin));
    if (changed) {
        budget = (3 * budget + 4 * (pn_clock() - since) + 1000) / 4;
        if (budget > SPIN_CAP) budget = SPIN_CAP;
        atomic_store_explicit(&spin->failures, 0, memory_order_relaxed);
    } else {
        budget /= 2;
        atomic_fetch_add_explicit(&spin->failures, 1, memory_order_relaxed); /* wraps: harmless */
    }
    atomic_store_explicit(&spin->budget, (uint16_t)(budget / 4), memory_order_relaxed);
    return changed;
}
