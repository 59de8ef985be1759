/* barrier.c: see barrier.h, which also says what the truth is. */
#include "barrier.h"
#include <limits.h>
#include "fault.h"
#include "platform.h"

static void destroy(pn_off object) {
    pn_barrier *b = pn_at(object); /* SAFETY: the heap destroys a live object of this kind */
    pn_waiters_destroy(&b->waiters);
}

__attribute__((constructor)) static void register_kind(void) { pn_kind_on_destroy(PN_KIND_BARRIER, destroy); }

pn_code pn_barrier_create(uint32_t parties, pn_off *barrier) {
    pn_off object = 0;
    pn_code code = pn_object_create(sizeof(pn_barrier), PN_KIND_BARRIER, &object);
    if (code != PN_OK) return code;
    pn_barrier *b = pn_at(object); /* SAFETY: just created */
    b->parties = parties;
    pn_spin_note_cpu(&b->spin, -1); /* which of the parties comes last, and where it runs, nobody knows */
    atomic_store_explicit(&b->waiters.next_ticket, 1, memory_order_relaxed);
    *barrier = object;
    return PN_OK;
}

static uint32_t state_of(const pn_barrier *b) { return atomic_load_explicit(&b->state, memory_order_relaxed); }
static uint32_t round_of(uint32_t state) { return state & ~(PN_BARRIER_STATE | PN_BARRIER_ASKED); }
static bool is(uint32_t state, pn_barrier_state what) { return (state & PN_BARRIER_STATE) == what; }

/* The store that decides; whoever came during the action looks again. */
static void decide(pn_barrier *b, uint32_t new) {
    uint32_t old = state_of(b);
    PN_FAULT("barrier.decide.before_state");
    atomic_store_explicit(&b->state, new, memory_order_release);
    PN_FAULT("barrier.decide.after_state");
    if (old & PN_BARRIER_ASKED) pn_futex_wake(&b->state, INT_MAX);
}

static void refuse_all(pn_barrier *b, pn_wakes *wakes) { pn_waiters_tell(&b->waiters, UINT32_MAX, PN_NODE_REFUSED, wakes); }

static void break_up(pn_barrier *b, pn_owner culprit, pn_wakes *wakes) {
    uint32_t state = state_of(b);
    if (is(state, PN_BARRIER_BROKEN)) return;
    atomic_store_explicit(&b->culprit, culprit, memory_order_relaxed);
    decide(b, round_of(state) | PN_BARRIER_BROKEN);
    refuse_all(b, wakes);
}

/* Finishes the telling that the last store of `state` began. */
static void repair(pn_barrier *b) {
    uint32_t state = state_of(b);
    pn_wakes wakes = {0};
    PN_FAULT("barrier.repair.before_nodes");
    if (is(state, PN_BARRIER_BROKEN))
        refuse_all(b, &wakes);
    else
        pn_waiters_tell_others(&b->waiters, round_of(state), PN_NODE_TOLD, &wakes);
    PN_FAULT("barrier.repair.after_nodes");
    pn_wakes_send(&wakes);
    /* The dead one may have taken ASKED away and woken nobody. */
    pn_futex_wake(&b->state, INT_MAX);
}

static void enter(pn_barrier *b, pn_owner me) {
    if (PN_UNLIKELY(pn_waiters_enter(&b->waiters, me))) repair(b);
}

static void leave(pn_barrier *b, pn_wakes *wakes) {
    PN_FAULT("barrier.leave.before_section");
    pn_waiters_leave(&b->waiters);
    PN_FAULT("barrier.leave.before_wake");
    pn_wakes_send(wakes);
}

/* The barrier is FILLING. */
static pn_code join(pn_barrier *b, pn_owner me, pn_off *node, uint32_t *index, pn_wakes *wakes) {
    pn_owner dead = 0;
    *index = pn_waiters_count(&b->waiters, &dead);
    if (PN_UNLIKELY(dead != 0)) {
        break_up(b, dead, wakes);
        return PN_BROKEN;
    }
    /* Before joining: if I am killed right after it, the one who was poked finds my section, and me in it or gone. */
    pn_waiters_poke(&b->waiters);
    if (*index + 1 < b->parties) return pn_waiters_add(&b->waiters, me, round_of(state_of(b)), node);
    PN_FAULT("barrier.arrive.before_actor");
    atomic_store_explicit(&b->actor, me, memory_order_relaxed);
    decide(b, round_of(state_of(b)) | PN_BARRIER_ACTING);
    return PN_EMPTY;
}

/* Somebody acts: notes that I ask. True: sleep on *state while *actor lives. */
static bool must_ask(pn_barrier *b, uint32_t *state, pn_owner *actor, pn_wakes *wakes) {
    *state = state_of(b);
    *actor = atomic_load_explicit(&b->actor, memory_order_relaxed);
    if (PN_LIKELY(!is(*state, PN_BARRIER_ACTING))) return false;
    if (!pn_owner_is_alive(*actor)) {
        break_up(b, *actor, wakes);
        *state = state_of(b);
        return false;
    }
    *state |= PN_BARRIER_ASKED;
    atomic_store_explicit(&b->state, *state, memory_order_relaxed);
    return true;
}

pn_code pn_barrier_arrive(pn_barrier *b, pn_owner me, pn_deadline deadline, pn_off *node, uint32_t *index) {
    *node = 0;
    for (;;) {
        pn_wakes wakes = {0};
        uint32_t state;
        pn_owner actor;
        pn_code code = PN_BROKEN;
        enter(b, me);
        bool full = must_ask(b, &state, &actor, &wakes);
        if (is(state, PN_BARRIER_FILLING)) code = join(b, me, node, index, &wakes);
        leave(b, &wakes);
        if (!full) return code;
        const pn_wait_target target = {&b->state, state, PN_WAIT_BARRIER, pn_offset_of(b), &actor, 1};
        PN_FAULT("barrier.arrive.before_sleep");
        pn_deadline up_at = pn_clock() + PN_BACKSTOP;
        code = pn_sleep(&target, deadline < up_at ? deadline : up_at);
        if (code == PN_TIMEOUT && deadline > up_at) return PN_INTERRUPTED;
        if (code == PN_TIMEOUT || code == PN_INTERRUPTED) return code;
    }
}

/* What a sleeper knows of the others. */
typedef struct view {
    bool settled;      /* nothing has happened for PN_SETTLE: from now on others tell me when they come */
    int64_t up_at;     /* when to return at the latest, so that the caller can look for signals */
    bool full;         /* the last one has come, so no timeout any more */
    uint32_t expected; /* of my node's word */
    int count;
    pn_owner holders[PN_WATCHED_MAX];
} view;

static pn_owner find_dead(pn_barrier *b) {
    pn_owner dead = 0, actor = atomic_load_explicit(&b->actor, memory_order_relaxed);
    if (is(state_of(b), PN_BARRIER_ACTING) && !pn_owner_is_alive(actor)) return actor;
    pn_waiters_count(&b->waiters, &dead);
    return dead;
}

/* In the section, my node WAITING. */
static void collect(pn_barrier *b, pn_owner me, pn_node *node, view *v) {
    pn_node *oldest;
    v->count = pn_waiters_owners(&b->waiters, me, v->holders, &oldest);
    v->full = is(state_of(b), PN_BARRIER_ACTING);
    pn_owner actor = atomic_load_explicit(&b->actor, memory_order_relaxed);
    if (v->full) {
        if (v->count == PN_WATCHED_MAX) v->count--;
        v->holders[v->count++] = actor;
    }
    v->expected = PN_NODE_WAITING | (v->settled && oldest == node ? PN_NODE_WATCHING : 0u);
    atomic_store_explicit(&node->state, v->expected, memory_order_relaxed);
}

/* Before each sleep. `late`: my deadline has passed. False: the wait is over. */
static bool look(pn_barrier *b, pn_owner me, pn_node *node, bool late, view *v) {
    pn_wakes wakes = {0};
    enter(b, me);
    if (pn_node_state(node) == PN_NODE_WAITING) {
        pn_owner dead = find_dead(b);
        if (dead != 0 || (late && !is(state_of(b), PN_BARRIER_ACTING))) break_up(b, dead, &wakes);
    }
    bool waiting = pn_node_state(node) == PN_NODE_WAITING;
    if (waiting) collect(b, me, node, v);
    leave(b, &wakes);
    return waiting;
}

static pn_code sleep_once(pn_barrier *b, pn_node *node, pn_deadline deadline, view *v) {
    int64_t soon = pn_clock() + PN_SETTLE;
    if (v->full || deadline > v->up_at) deadline = v->up_at;
    pn_deadline until = v->settled || deadline < soon ? deadline : soon;
    const pn_wait_target target = {&node->state, v->expected, PN_WAIT_BARRIER, pn_offset_of(b), v->holders, v->count};
    PN_FAULT("barrier.wait.before_sleep");
    pn_code code = pn_sleep(&target, until);
    v->settled = code == PN_TIMEOUT && until < deadline;
    return code == PN_TIMEOUT && until == v->up_at ? PN_INTERRUPTED : code;
}

pn_code pn_barrier_wait(pn_barrier *b, pn_owner me, pn_off offset, pn_deadline deadline) {
    pn_node *node = pn_at(offset); /* SAFETY: from pn_barrier_arrive */
    /* More parties than CPUs: they need mine. */
    if (deadline > PN_NOW && b->parties <= (uint32_t)pn_cpus_allowed()) pn_spin_while(&b->spin, &node->state, PN_NODE_WAITING);
    view v = {.up_at = pn_clock() + PN_BACKSTOP};
    while (pn_node_state(node) == PN_NODE_WAITING && look(b, me, node, deadline <= pn_clock(), &v)) {
        pn_code code = sleep_once(b, node, deadline, &v);
        if (code == PN_INTERRUPTED && pn_node_state(node) == PN_NODE_WAITING) return code;
        if (code == PN_OWNER_DIED) pn_waiters_wake_told(&b->waiters);
    }
    PN_FAULT("barrier.wait.before_free");
    return pn_waiters_free(node) == PN_NODE_TOLD ? PN_OK : PN_BROKEN;
}

pn_code pn_barrier_release(pn_barrier *b, pn_owner me) {
    pn_wakes wakes = {0};
    enter(b, me);
    bool mine = is(state_of(b), PN_BARRIER_ACTING) && atomic_load_explicit(&b->actor, memory_order_relaxed) == me;
    if (mine) {
        decide(b, round_of(state_of(b)) + PN_BARRIER_ROUND + PN_BARRIER_FILLING);
        pn_waiters_tell_others(&b->waiters, round_of(state_of(b)), PN_NODE_TOLD, &wakes);
    }
    leave(b, &wakes);
    return mine ? PN_OK : PN_BROKEN;
}

void pn_barrier_abort(pn_barrier *b, pn_owner me) {
    pn_wakes wakes = {0};
    enter(b, me);
    break_up(b, 0, &wakes);
    leave(b, &wakes);
}

void pn_barrier_reset(pn_barrier *b, pn_owner me) {
    pn_wakes wakes = {0};
    enter(b, me);
    /* Broken first: were I killed between, nobody would take the refused for released. */
    break_up(b, 0, &wakes);
    PN_FAULT("barrier.reset.before_state");
    decide(b, round_of(state_of(b)) + PN_BARRIER_ROUND + PN_BARRIER_FILLING);
    leave(b, &wakes);
}

void pn_barrier_withdraw(pn_barrier *b, pn_owner me, pn_off offset) {
    pn_node *node = pn_at(offset); /* SAFETY: from pn_barrier_arrive */
    pn_wakes wakes = {0};
    enter(b, me);
    if (pn_node_state(node) == PN_NODE_WAITING) break_up(b, 0, &wakes);
    PN_FAULT("barrier.withdraw.before_free");
    pn_waiters_free(node);
    leave(b, &wakes);
}

uint32_t pn_barrier_waiting(pn_barrier *b, pn_owner me) {
    enter(b, me);
    uint32_t count = pn_waiters_count(&b->waiters, NULL);
    pn_waiters_leave(&b->waiters);
    return count;
}

bool pn_barrier_is_broken(pn_barrier *b) { return is(atomic_load_explicit(&b->state, memory_order_acquire), PN_BARRIER_BROKEN); }
