/* condition.c: see condition.h. The truth is in the nodes' state words (waiters.h); a Condition has no other. */
#include "condition.h"
#include "fault.h"
#include "platform.h"

static void destroy(pn_off object) {
    pn_condition *c = pn_at(object); /* SAFETY: the heap destroys a live object of this kind */
    pn_waiters_destroy(&c->waiters);
}

__attribute__((constructor)) static void register_kind(void) { pn_kind_on_destroy(PN_KIND_CONDITION, destroy); }

static uint32_t get(const _Atomic uint32_t *word) { return atomic_load_explicit(word, memory_order_relaxed); }
static void put(_Atomic uint32_t *word, uint32_t value) { atomic_store_explicit(word, value, memory_order_relaxed); }

pn_code pn_condition_create(pn_off *condition) {
    pn_off object = 0;
    pn_code code = pn_object_create(sizeof(pn_condition), PN_KIND_CONDITION, &object);
    if (code != PN_OK) return code;
    pn_condition *c = pn_at(object); /* SAFETY: just created */
    atomic_store_explicit(&c->waiters.next_ticket, 1, memory_order_relaxed);
    for (int i = 0; i < 2; i++) atomic_store_explicit(&c->notifiers[i].cpu, -1, memory_order_relaxed);
    *condition = object;
    return PN_OK;
}

/* Who notified last will perhaps do so again; I shall not. */
static void note_notifier(pn_condition *c, pn_owner me) {
    pn_notifier *last = &c->notifiers[0], *other = &c->notifiers[1];
    if (get(&last->tid) != pn_owner_tid(me)) {
        atomic_store_explicit(&other->cpu, atomic_load_explicit(&last->cpu, memory_order_relaxed), memory_order_relaxed);
        put(&other->process, get(&last->process));
        put(&other->tid, get(&last->tid));
        put(&last->process, (uint32_t)(me >> 32));
        put(&last->tid, pn_owner_tid(me));
    }
    atomic_store_explicit(&last->cpu, pn_cpu(), memory_order_relaxed);
}

static const pn_notifier *next_notifier(const pn_condition *c, pn_owner me) {
    return &c->notifiers[get(&c->notifiers[0].tid) == pn_owner_tid(me)];
}

/* Sleeping on two words has to be possible; my own process needs no watching. */
static uint32_t choose_watched(const pn_condition *c, pn_owner me) {
    uint32_t process = get(&next_notifier(c, me)->process);
    return process == (uint32_t)(me >> 32) || pn_has_wait_any() ? process : 0;
}

pn_code pn_condition_enlist(pn_condition *c, pn_owner me, pn_off *node) {
    pn_waiters_enter(&c->waiters, me);
    pn_code code = pn_waiters_add(&c->waiters, me, choose_watched(c, me), node);
    pn_waiters_leave(&c->waiters);
    PN_FAULT("condition.enlist.after_section");
    return code;
}

static void pass_on(pn_condition *c, pn_owner me) {
    pn_wakes wakes = {0};
    pn_waiters_enter(&c->waiters, me);
    pn_waiters_pass_on(&c->waiters, &wakes);
    pn_waiters_leave(&c->waiters);
    pn_wakes_send(&wakes);
}

pn_code pn_condition_wait(pn_condition *c, pn_owner me, pn_off offset, pn_deadline deadline) {
    pn_node *node = pn_at(offset); /* SAFETY: from pn_condition_enlist */
    pn_owner watched = (pn_owner)get(&node->round) << 32;
    pn_wait_target target = {&node->state, PN_NODE_WAITING, PN_WAIT_CONDITION, pn_offset_of(c), &watched, watched != 0 && watched >> 32 != me >> 32};
    if (deadline > PN_NOW) {
        pn_spin_note_cpu(&c->spin, atomic_load_explicit(&next_notifier(c, me)->cpu, memory_order_relaxed));
        pn_spin_while(&c->spin, &node->state, PN_NODE_WAITING);
    }
    pn_deadline up_at = pn_clock() + PN_BACKSTOP, until = deadline < up_at ? deadline : up_at;
    while (pn_node_state(node) == PN_NODE_WAITING) {
        PN_FAULT("condition.wait.before_sleep");
        pn_code code = pn_sleep(&target, until);
        if (code == PN_OK || pn_node_state(node) != PN_NODE_WAITING) continue;
        if (code == PN_TIMEOUT && until == deadline) return pn_condition_withdraw(c, me, offset) ? PN_OK : PN_TIMEOUT;
        if (code == PN_OWNER_DIED) {
            put(&node->round, 0);
            target.holder_count = 0;
        }
        pass_on(c, me); /* has somebody died with a notification that this or another waiter could use? */
        if (code != PN_OWNER_DIED && pn_node_state(node) == PN_NODE_WAITING) return PN_INTERRUPTED;
    }
    PN_FAULT("condition.wait.before_free");
    return pn_waiters_free(node) == PN_NODE_TOLD ? PN_OK : PN_TIMEOUT; /* REFUSED: this process counts as dead */
}

bool pn_condition_withdraw(pn_condition *c, pn_owner me, pn_off offset) {
    (void)c, (void)me;
    PN_FAULT("condition.withdraw.before_free");
    pn_node *node = pn_at(offset); /* SAFETY: from pn_condition_enlist */
    return pn_waiters_free(node) == PN_NODE_TOLD;
}

/* Of those to be woken one that watches me stays asleep until I let go of the lock. */
static void defer_one(pn_wakes *wakes, pn_owner me, pn_lock *lock) {
    if (atomic_load_explicit(&lock->deferred, memory_order_relaxed) != 0) return;
    for (uint32_t i = 0; i < wakes->count; i++) {
        /* SAFETY: every word in the list is that of a node of this condition */
        pn_node *node = (pn_node *)(void *)((char *)wakes->words[i] - offsetof(pn_node, state));
        if (get(&node->round) != (uint32_t)(me >> 32)) continue;
        atomic_store_explicit(&lock->deferred, pn_offset_of(wakes->words[i]), memory_order_relaxed);
        PN_FAULT("condition.notify.after_deferred");
        wakes->words[i] = wakes->words[--wakes->count];
        return;
    }
}

uint32_t pn_condition_notify(pn_condition *c, pn_owner me, uint32_t n, pn_lock *lock) {
    pn_wakes wakes = {0};
    pn_waiters_enter(&c->waiters, me);
    note_notifier(c, me);
    uint32_t told = pn_waiters_tell(&c->waiters, n, PN_NODE_TOLD, &wakes);
    if (lock != NULL) defer_one(&wakes, me, lock);
    pn_waiters_leave(&c->waiters);
    PN_FAULT("condition.notify.before_wake");
    pn_wakes_send(&wakes);
    return told;
}

uint32_t pn_condition_waiting(pn_condition *c, pn_owner me) {
    pn_waiters_enter(&c->waiters, me);
    uint32_t count = pn_waiters_count(&c->waiters, NULL);
    pn_waiters_leave(&c->waiters);
    return count;
}
