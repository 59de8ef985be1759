/* semaphore.c: see semaphore.h, which also says what the truth is. */
#include "semaphore.h"
#include <limits.h>
#include "chain.h"
#include "fault.h"
#include "platform.h"
#include "waiters.h"

#define HINTS 4
#define COLD __attribute__((noinline)) /* off the fast path, whose two locked instructions are most of its time */

_Static_assert(sizeof(((pn_semaphore_sleep *)0)->holders) == PN_WATCHED_MAX * sizeof(pn_owner), "as many as can be watched");

/* Where this thread last found its process's row: rows beyond the first four would have to be sought every time. Believed only
 * if the row still names this process (it may be another one since, after fork) and the semaphore is still the same object. */
typedef struct row_hint { const pn_semaphore *semaphore; uint32_t generation; pn_permit *row; } row_hint;
static __thread row_hint hints[HINTS];

static void destroy(pn_off object) {
    pn_semaphore *s = pn_at(object); /* SAFETY: the heap destroys a live object of this kind */
    pn_chain_destroy(&s->more);
}

__attribute__((constructor)) static void register_kind(void) { pn_kind_on_destroy(PN_KIND_SEMAPHORE, destroy); }

pn_code pn_semaphore_create(uint32_t initial, bool bounded, pn_off *semaphore) {
    pn_off object = 0;
    if (initial > PN_SEMAPHORE_MAX) return PN_OVERFLOW;
    pn_code code = pn_object_create(sizeof(pn_semaphore), PN_KIND_SEMAPHORE, &object);
    if (code != PN_OK) return code;
    pn_semaphore *s = pn_at(object); /* SAFETY: just created */
    s->initial = initial;
    s->flags = (bounded ? PN_SEMAPHORE_BOUNDED : 0) | (initial == 0 ? PN_SEMAPHORE_SIGNAL : 0);
    pn_spin_note_cpu(&s->spin, -1); /* which of the holders gives back first, and where it runs, nobody knows */
    atomic_store_explicit(&s->total, initial, memory_order_relaxed);
    atomic_store_explicit(&s->value, initial, memory_order_release);
    *semaphore = object;
    return PN_OK;
}

/* All words but `event` change in the section alone: plain loads and stores there. */
static uint32_t get(const _Atomic uint32_t *word) { return atomic_load_explicit(word, memory_order_relaxed); }
static void put(_Atomic uint32_t *word, uint32_t value) { atomic_store_explicit(word, value, memory_order_relaxed); }
static pn_owner process_of(pn_owner owner) { return owner >> 32 << 32; }
static pn_owner holder_of(const pn_permit *row) { return atomic_load_explicit(&row->owner, memory_order_relaxed); }

static pn_walk walk_rows(pn_semaphore *s) {
    return pn_walk_from(s->permits, sizeof s->permits / sizeof *s->permits, sizeof(pn_permit), &s->more);
}

/* Everybody who sleeps looks again. */
static void tell_all(pn_semaphore *s) {
    put(&s->sleepers, 0);
    PN_FAULT("semaphore.tell_all.before_event");
    atomic_fetch_add_explicit(&s->event, 1, memory_order_release);
    PN_FAULT("semaphore.tell_all.before_wake");
    pn_futex_wake(&s->event, INT_MAX);
}

static COLD void repair(pn_semaphore *s) {
    uint32_t held = 0;
    pn_walk walk = walk_rows(s);
    PN_FAULT("semaphore.repair.before_value");
    for (pn_permit *row; (row = pn_walk_next(&walk)) != NULL;) held += get(&row->count);
    put(&s->value, get(&s->total) - held);
    PN_FAULT("semaphore.repair.after_value");
    tell_all(s); /* the dead one may have taken a sleeper off and woken nobody */
}

static inline __attribute__((always_inline)) void enter(pn_semaphore *s, pn_owner me) {
    if (PN_UNLIKELY(pn_section_enter(&s->section, me) != PN_OK)) repair(s);
}

/* Dead, and not known to have been killed. (The generation is read last: then the status is of this process.) */
static bool has_exited(pn_owner owner) {
    pn_process_slot *slot = pn_slot(pn_owner_slot(owner)); /* SAFETY: 12 bits cannot leave the table */
    int32_t status = atomic_load_explicit(&slot->exit_status, memory_order_acquire);
    return status >= 0 && atomic_load_explicit(&slot->generation, memory_order_relaxed) == pn_owner_gen(owner);
}

typedef enum fate { LIVES, EXITED, KILLED } fate;

static fate fate_of(pn_permit *row) {
    if (get(&row->left)) return EXITED;
    if (PN_LIKELY(pn_owner_is_alive(holder_of(row)))) return LIVES;
    if (!has_exited(holder_of(row))) return KILLED;
    put(&row->left, 1); /* its slot will be used again */
    return EXITED;
}

/* The row of `mine`; else one to be had: of nobody yet, or of a dead process that holds nothing. */
static pn_permit *seek_row(pn_semaphore *s, pn_owner mine, bool *found) {
    pn_permit *spare = NULL;
    pn_walk walk = walk_rows(s);
    for (pn_permit *row; (row = pn_walk_next(&walk)) != NULL;) {
        if ((*found = holder_of(row) == mine)) return row;
        if (spare == NULL && get(&row->count) == 0 && (holder_of(row) == 0 || fate_of(row) != LIVES)) spare = row;
        if (get(&row->count) != 0) (void)fate_of(row); /* notes an exit while the slot still tells */
    }
    return spare;
}

static pn_permit *remember(pn_semaphore *s, pn_permit *row) {
    hints[pn_offset_of(s) / 64 % HINTS] = (row_hint){s, get(&s->block.generation), row};
    return row;
}

static COLD pn_permit *find_row_slow(pn_semaphore *s, pn_owner mine, bool claim) {
    bool found = false;
    pn_permit *row = seek_row(s, mine, &found);
    if (found) return remember(s, row);
    if (!claim) return NULL;
    if (row == NULL) row = pn_chain_grow(&s->more, sizeof *row);
    if (row == NULL) return NULL;
    put(&row->left, 0);
    PN_FAULT("semaphore.claim.before_owner");
    atomic_store_explicit(&row->owner, mine, memory_order_relaxed);
    PN_FAULT("semaphore.claim.after_owner");
    return remember(s, row);
}

static inline pn_permit *find_row(pn_semaphore *s, pn_owner me, bool claim) {
    const row_hint *hint = &hints[pn_offset_of(s) / 64 % HINTS];
    if (PN_LIKELY(hint->semaphore == s && hint->generation == get(&s->block.generation) && holder_of(hint->row) == process_of(me)))
        return hint->row;
    return find_row_slow(s, process_of(me), claim);
}

/* I become a holder, and somebody sleeps who believes that he knows all: he shall look again. Before I hold: if I am killed right
 * after it, he finds my section, and me in it or gone. */
static COLD void poke(pn_semaphore *s) {
    uint32_t sleepers = get(&s->sleepers) & ~PN_SEMAPHORE_WATCHED;
    PN_FAULT("semaphore.poke.before_event");
    put(&s->sleepers, sleepers > 0 ? sleepers - 1 : 0);
    atomic_fetch_add_explicit(&s->event, 1, memory_order_release);
    pn_futex_wake(&s->event, 1);
}

/* In the section, value > 0. */
static inline void take(pn_semaphore *s, pn_owner me, uint32_t value) {
    pn_permit *row = s->flags & PN_SEMAPHORE_SIGNAL ? NULL : find_row(s, me, true);
    PN_FAULT("semaphore.acquire.before_count");
    if (PN_LIKELY(row != NULL)) {
        uint32_t count = get(&row->count);
        if (count == 0 && PN_UNLIKELY(get(&s->sleepers) & PN_SEMAPHORE_WATCHED)) poke(s);
        put(&row->count, count + 1);
    } else {
        put(&s->total, get(&s->total) - 1);
    }
    PN_FAULT("semaphore.acquire.after_count");
    put(&s->value, value - 1);
    PN_FAULT("semaphore.acquire.after_value");
}

/* The living holders outside my process, to be watched; true: one was killed. */
static bool look_at_holders(pn_semaphore *s, pn_owner me, pn_owner *holders, int *count) {
    pn_walk walk = walk_rows(s);
    *count = 0;
    for (pn_permit *row; (row = pn_walk_next(&walk)) != NULL;) {
        if (get(&row->count) == 0) continue;
        fate fate = fate_of(row);
        if (fate == KILLED) return true;
        if (fate == LIVES && holder_of(row) != process_of(me) && *count < PN_WATCHED_MAX) holders[(*count)++] = holder_of(row);
    }
    return false;
}

typedef enum stay { SLEEP, RETURN, GIVE_UP } stay; /* if there is no permit; RETURN: to be called again */

typedef struct sleep_plan {
    bool asleep;            /* counted among the sleepers at `event` */
    bool settled;           /* nothing has happened for PN_SETTLE */
    uint32_t event;
    int count;
    pn_owner holders[PN_WATCHED_MAX];
} sleep_plan;

/* If nobody has been taken off since I was put on, I am still on. */
static void get_up(pn_semaphore *s, sleep_plan *plan) {
    if (plan->asleep && plan->event == atomic_load_explicit(&s->event, memory_order_relaxed)) {
        uint32_t sleepers = get(&s->sleepers);
        put(&s->sleepers, (sleepers & ~PN_SEMAPHORE_WATCHED) <= 1 ? 0 : sleepers - 1);
    }
    plan->asleep = false;
}

static void lie_down(pn_semaphore *s, sleep_plan *plan) {
    put(&s->sleepers, (get(&s->sleepers) + 1) | (plan->settled ? PN_SEMAPHORE_WATCHED : 0));
    plan->event = atomic_load_explicit(&s->event, memory_order_relaxed);
    plan->asleep = true;
}

/* One try. TIMEOUT: none is free. */
static pn_code look(pn_semaphore *s, pn_owner me, stay stay, sleep_plan *plan) {
    pn_code code = PN_TIMEOUT;
    enter(s, me);
    get_up(s, plan);
    uint32_t value = get(&s->value);
    if (value > 0) {
        take(s, me, value);
        code = PN_OK;
    } else if (look_at_holders(s, me, plan->holders, &plan->count)) {
        tell_all(s); /* the kernel woke one, I wake the others */
        code = PN_OWNER_DIED;
    } else if (stay == SLEEP) {
        lie_down(s, plan);
    } else if (stay == GIVE_UP && get(&s->sleepers) & PN_SEMAPHORE_WATCHED) {
        poke(s); /* perhaps it was I who watched */
    }
    pn_section_leave(&s->section);
    return code;
}

static COLD pn_code acquire_slow(pn_semaphore *s, pn_owner me, pn_deadline deadline) {
    sleep_plan plan = {.settled = false};
    if (deadline > PN_NOW) pn_spin_while(&s->spin, &s->value, 0);
    int64_t now = pn_clock(), up_at = now + PN_BACKSTOP;
    for (pn_code slept = PN_OK;; now = pn_clock()) {
        stay stay = deadline <= now ? GIVE_UP : slept == PN_INTERRUPTED || up_at <= now ? RETURN : SLEEP;
        pn_code code = look(s, me, stay, &plan);
        if (code != PN_TIMEOUT || stay == GIVE_UP) return code;
        if (stay == RETURN) return PN_INTERRUPTED;
        pn_deadline until = deadline < up_at ? deadline : up_at;
        if (!plan.settled && until > now + PN_SETTLE) until = now + PN_SETTLE;
        const pn_wait_target target = {
            &s->event, plan.event, PN_WAIT_SEMAPHORE, pn_offset_of(s), plan.holders, plan.count};
        PN_FAULT("semaphore.acquire.before_sleep");
        slept = pn_sleep(&target, until);
        plan.settled = slept == PN_TIMEOUT;
    }
}

pn_code pn_semaphore_acquire(pn_semaphore *s, pn_owner me, pn_deadline deadline) {
    enter(s, me);
    uint32_t value = get(&s->value);
    if (PN_LIKELY(value > 0)) take(s, me, value);
    pn_section_leave(&s->section);
    return PN_LIKELY(value > 0) ? PN_OK : acquire_slow(s, me, deadline);
}

/* Whose permit is it that I give back without having one? */
static COLD pn_permit *choose_holder(pn_semaphore *s) {
    pn_permit *most = NULL;
    pn_walk walk = walk_rows(s);
    for (pn_permit *row; (row = pn_walk_next(&walk)) != NULL;) {
        if (get(&row->count) == 0) continue;
        if (fate_of(row) != LIVES) return row;
        if (most == NULL || get(&row->count) > get(&most->count)) most = row;
    }
    return most;
}

static inline void give(pn_semaphore *s, pn_owner me, uint32_t value) {
    pn_permit *row = NULL;
    if (!(s->flags & PN_SEMAPHORE_SIGNAL)) {
        row = find_row(s, me, false);
        if (PN_UNLIKELY(row == NULL || get(&row->count) == 0)) row = choose_holder(s);
    }
    PN_FAULT("semaphore.release.before_count");
    if (PN_LIKELY(row != NULL))
        put(&row->count, get(&row->count) - 1);
    else
        put(&s->total, get(&s->total) + 1);
    PN_FAULT("semaphore.release.after_count");
    put(&s->value, value + 1);
    PN_FAULT("semaphore.release.after_value");
}

/* In the section: up to n sleepers shall look again; how many to wake after it. */
static int take_off(pn_semaphore *s, uint32_t n) {
    uint32_t sleepers = get(&s->sleepers), count = sleepers & ~PN_SEMAPHORE_WATCHED;
    if (PN_LIKELY(count == 0)) return 0;
    if (n > count) n = count;
    put(&s->sleepers, n == count ? 0 : sleepers - n);
    PN_FAULT("semaphore.release.before_event");
    atomic_fetch_add_explicit(&s->event, 1, memory_order_release);
    return (int)n;
}

pn_code pn_semaphore_release(pn_semaphore *s, pn_owner me) {
    enter(s, me);
    uint32_t value = get(&s->value);
    bool full = value >= (s->flags & PN_SEMAPHORE_BOUNDED ? s->initial : PN_SEMAPHORE_MAX);
    int woken = 0;
    if (PN_LIKELY(!full)) {
        give(s, me, value);
        woken = take_off(s, 1);
    }
    pn_section_leave(&s->section);
    PN_FAULT("semaphore.release.before_wake");
    if (PN_UNLIKELY(woken > 0)) pn_futex_wake(&s->event, woken);
    return PN_LIKELY(!full) ? PN_OK : PN_OVERFLOW;
}

uint32_t pn_semaphore_value(pn_semaphore *s) { return atomic_load_explicit(&s->value, memory_order_acquire); }

pn_owner pn_semaphore_dead_holder(pn_semaphore *s) {
    pn_walk walk = walk_rows(s);
    for (pn_permit *row; (row = pn_walk_next(&walk)) != NULL;) {
        pn_owner owner = holder_of(row);
        if (get(&row->count) != 0 && !get(&row->left) && !pn_owner_is_alive(owner) && !has_exited(owner)) return owner;
    }
    return 0;
}

uint32_t pn_semaphore_recover(pn_semaphore *s, pn_owner me) {
    uint32_t given = 0;
    enter(s, me);
    pn_walk walk = walk_rows(s);
    for (pn_permit *row; (row = pn_walk_next(&walk)) != NULL;) {
        uint32_t count = get(&row->count);
        if (count == 0 || fate_of(row) != KILLED) continue;
        PN_FAULT("semaphore.recover.before_count");
        put(&row->count, 0);
        PN_FAULT("semaphore.recover.after_count");
        put(&s->value, get(&s->value) + count);
        given += count;
    }
    int woken = take_off(s, given);
    pn_section_leave(&s->section);
    PN_FAULT("semaphore.recover.before_wake");
    if (woken > 0) pn_futex_wake(&s->event, woken);
    return given;
}

bool pn_semaphore_lie_down(pn_semaphore *s, pn_owner me, pn_semaphore_sleep *sleep) {
    sleep_plan plan = {.settled = true}; /* it sleeps long at once: who becomes a holder wakes it */
    enter(s, me);
    bool nothing = get(&s->value) == 0 && !look_at_holders(s, me, sleep->holders, &sleep->count);
    if (nothing) lie_down(s, &plan);
    pn_section_leave(&s->section);
    sleep->event = plan.event;
    return nothing;
}

void pn_semaphore_get_up(pn_semaphore *s, pn_owner me, uint32_t event) {
    sleep_plan plan = {.asleep = true, .event = event};
    int woken = 0;
    enter(s, me);
    PN_FAULT("semaphore.get_up.before_count");
    get_up(s, &plan);
    if (get(&s->value) > 0) woken = take_off(s, 1);
    else if (get(&s->sleepers) & PN_SEMAPHORE_WATCHED) poke(s); /* perhaps it was I who watched */
    pn_section_leave(&s->section);
    PN_FAULT("semaphore.get_up.before_wake");
    if (woken > 0) pn_futex_wake(&s->event, woken);
}
