/* waiters.c: see waiters.h. */
#include "waiters.h"
#include "chain.h"
#include "platform.h"

static pn_walk walk_nodes(pn_waiters *list) {
    return pn_walk_from(list->nodes, sizeof list->nodes / sizeof *list->nodes, sizeof(pn_node), &list->more);
}

static pn_owner owner_of(const pn_node *node) { return atomic_load_explicit(&node->owner, memory_order_relaxed); }
static uint64_t ticket_of(const pn_node *node) { return atomic_load_explicit(&node->ticket, memory_order_relaxed); }

void pn_wakes_add(pn_wakes *wakes, _Atomic uint32_t *word) {
    if (wakes->count < sizeof wakes->words / sizeof *wakes->words)
        wakes->words[wakes->count++] = word;
    else
        pn_futex_wake(word, 1);
}

void pn_wakes_send(pn_wakes *wakes) {
    for (uint32_t i = 0; i < wakes->count; i++) {
        PN_FAULT("waiters.wake.before_one");
        pn_futex_wake(wakes->words[i], 1);
    }
    wakes->count = 0;
}

/* next_ticket is derived from the nodes; whoever was told by the dead one may not have been woken. */
static void repair(pn_waiters *list) {
    uint64_t next = atomic_load_explicit(&list->next_ticket, memory_order_relaxed);
    pn_walk walk = walk_nodes(list);
    for (pn_node *node; (node = pn_walk_next(&walk)) != NULL;)
        if (pn_node_state(node) == PN_NODE_WAITING && ticket_of(node) >= next) next = ticket_of(node) + 1;
    atomic_store_explicit(&list->next_ticket, next, memory_order_relaxed);
    pn_waiters_wake_told(list);
}

bool pn_waiters_enter(pn_waiters *list, pn_owner me) {
    if (PN_LIKELY(pn_section_enter(&list->section, me) == PN_OK)) return false;
    PN_FAULT("waiters.repair.before");
    repair(list);
    PN_FAULT("waiters.repair.after");
    return true;
}

void pn_waiters_leave(pn_waiters *list) { pn_section_leave(&list->section); }

uint32_t pn_waiters_free(pn_node *node) { return atomic_exchange_explicit(&node->state, PN_NODE_FREE, memory_order_acq_rel) & 0xffu; }

static pn_node *find_free(pn_waiters *list) {
    pn_walk walk = walk_nodes(list);
    pn_node *node;
    while ((node = pn_walk_next(&walk)) != NULL)
        if (pn_node_state(node) == PN_NODE_FREE) break;
    return node;
}

static void free_the_dead(pn_waiters *list) {
    pn_walk walk = walk_nodes(list);
    for (pn_node *node; (node = pn_walk_next(&walk)) != NULL;) {
        if (pn_node_state(node) == PN_NODE_FREE || pn_owner_is_alive(owner_of(node))) continue;
        PN_FAULT("waiters.free_the_dead.before_free");
        if (pn_wait_thread_gone(owner_of(node))) pn_waiters_free(node);
    }
}

pn_code pn_waiters_add(pn_waiters *list, pn_owner me, uint32_t round, pn_off *offset) {
    pn_node *node = find_free(list);
    if (PN_UNLIKELY(node == NULL)) {
        pn_wakes wakes = {0};
        pn_waiters_pass_on(list, &wakes);
        pn_wakes_send(&wakes);
        free_the_dead(list);
        node = find_free(list);
        if (node == NULL) node = pn_chain_grow(&list->more, sizeof *node);
        if (node == NULL) return PN_NOMEM;
    }
    uint64_t ticket = atomic_load_explicit(&list->next_ticket, memory_order_relaxed);
    PN_FAULT("waiters.add.before_ticket");
    atomic_store_explicit(&list->next_ticket, ticket + 1, memory_order_relaxed);
    atomic_store_explicit(&node->owner, me, memory_order_relaxed);
    atomic_store_explicit(&node->round, round, memory_order_relaxed);
    atomic_store_explicit(&node->ticket, ticket, memory_order_relaxed);
    PN_FAULT("waiters.add.before_state");
    atomic_store_explicit(&node->state, PN_NODE_WAITING, memory_order_release);
    PN_FAULT("waiters.add.after_state");
    *offset = pn_offset_of(node);
    return PN_OK;
}

/* False: its owner has just left. */
static bool change(pn_node *node, uint32_t from, uint32_t to) {
    uint32_t old = atomic_load_explicit(&node->state, memory_order_relaxed);
    do {
        if ((old & 0xffu) != from) return false;
    } while (!atomic_compare_exchange_weak_explicit(&node->state, &old, to, memory_order_acq_rel, memory_order_relaxed));
    return true;
}

/* WAITING -> state; true if a living waiter was told. */
static bool tell_one(pn_waiters *list, pn_node *node, uint32_t state, pn_wakes *wakes) {
    bool alive = pn_owner_is_alive(owner_of(node));
    PN_FAULT("waiters.tell.before_state");
    if (!change(node, PN_NODE_WAITING, alive ? state : PN_NODE_REFUSED) || !alive) return false;
    PN_FAULT("waiters.tell.after_state");
    /* After the state: in a node that its owner has freed meanwhile this is harmless, for only the section gives it out again. */
    atomic_store_explicit(&node->ticket, atomic_load_explicit(&list->next_ticket, memory_order_relaxed), memory_order_relaxed);
    pn_wakes_add(wakes, &node->state);
    return true;
}

static pn_node *find_oldest(pn_waiters *list, uint64_t below) {
    pn_node *oldest = NULL;
    pn_walk walk = walk_nodes(list);
    for (pn_node *node; (node = pn_walk_next(&walk)) != NULL;)
        if (pn_node_state(node) == PN_NODE_WAITING && ticket_of(node) < below) {
            below = ticket_of(node);
            oldest = node;
        }
    return oldest;
}

uint32_t pn_waiters_tell(pn_waiters *list, uint32_t n, uint32_t state, pn_wakes *wakes) {
    uint32_t told = 0;
    if (n == UINT32_MAX) {
        pn_walk walk = walk_nodes(list);
        for (pn_node *node; (node = pn_walk_next(&walk)) != NULL;)
            if (pn_node_state(node) == PN_NODE_WAITING) told += tell_one(list, node, state, wakes);
        return told;
    }
    /* Every turn takes one node out of WAITING, so this ends. */
    for (pn_node *node; told < n && (node = find_oldest(list, UINT64_MAX)) != NULL;) told += tell_one(list, node, state, wakes);
    return told;
}

void pn_waiters_tell_others(pn_waiters *list, uint32_t round, uint32_t state, pn_wakes *wakes) {
    pn_walk walk = walk_nodes(list);
    for (pn_node *node; (node = pn_walk_next(&walk)) != NULL;)
        if (pn_node_state(node) == PN_NODE_WAITING && atomic_load_explicit(&node->round, memory_order_relaxed) != round)
            tell_one(list, node, state, wakes);
}

void pn_waiters_pass_on(pn_waiters *list, pn_wakes *wakes) {
    pn_walk walk = walk_nodes(list);
    for (pn_node *node; (node = pn_walk_next(&walk)) != NULL;) {
        if (pn_node_state(node) != PN_NODE_TOLD || pn_owner_is_alive(owner_of(node))) continue;
        uint64_t told_at = ticket_of(node);
        for (pn_node *heir; (heir = find_oldest(list, told_at)) != NULL;)
            if (tell_one(list, heir, PN_NODE_TOLD, wakes)) break;
        /* Last: a death before this passes it on twice, which a waiter must bear, rather than never, which it could not. */
        PN_FAULT("waiters.pass_on.before_state");
        change(node, PN_NODE_TOLD, PN_NODE_REFUSED);
    }
}

void pn_waiters_poke(pn_waiters *list) {
    pn_walk walk = walk_nodes(list);
    for (pn_node *node; (node = pn_walk_next(&walk)) != NULL;) {
        uint32_t watching = PN_NODE_WAITING | PN_NODE_WATCHING;
        if (atomic_load_explicit(&node->state, memory_order_relaxed) != watching) continue;
        PN_FAULT("waiters.poke.before_state");
        if (atomic_compare_exchange_strong_explicit(&node->state, &watching, PN_NODE_WAITING, memory_order_acq_rel, memory_order_relaxed))
            pn_futex_wake(&node->state, 1);
        PN_FAULT("waiters.poke.after_wake");
    }
}

uint32_t pn_waiters_count(pn_waiters *list, pn_owner *dead) {
    uint32_t count = 0;
    pn_walk walk = walk_nodes(list);
    for (pn_node *node; (node = pn_walk_next(&walk)) != NULL;) {
        if (pn_node_state(node) != PN_NODE_WAITING) continue;
        if (PN_LIKELY(pn_owner_is_alive(owner_of(node))))
            count++;
        else if (dead != NULL)
            *dead = owner_of(node);
    }
    return count;
}

static bool is_listed(const pn_owner *owners, int count, pn_owner owner) {
    for (int i = 0; i < count; i++)
        if (owners[i] >> 32 == owner >> 32) return true;
    return false;
}

/* Which entry a further owner replaces: the one that came first, for all that came later watch it too. */
static int first_ticket(const uint64_t *tickets, int count) {
    int first = 0;
    for (int i = 1; i < count; i++)
        if (tickets[i] < tickets[first]) first = i;
    return first;
}

int pn_waiters_owners(pn_waiters *list, pn_owner me, pn_owner owners[PN_WATCHED_MAX], pn_node **oldest) {
    uint64_t tickets[PN_WATCHED_MAX];
    int count = 0;
    *oldest = find_oldest(list, UINT64_MAX);
    pn_walk walk = walk_nodes(list);
    for (pn_node *node; (node = pn_walk_next(&walk)) != NULL;) {
        pn_owner owner = owner_of(node);
        if (pn_node_state(node) != PN_NODE_WAITING || owner >> 32 == me >> 32 || is_listed(owners, count, owner)) continue;
        int entry = count < PN_WATCHED_MAX ? count++ : first_ticket(tickets, count);
        if (entry < count - 1 && tickets[entry] > ticket_of(node)) continue;
        owners[entry] = owner;
        tickets[entry] = ticket_of(node);
    }
    return count;
}

void pn_waiters_wake_told(pn_waiters *list) {
    pn_walk walk = walk_nodes(list);
    for (pn_node *node; (node = pn_walk_next(&walk)) != NULL;)
        if (pn_node_state(node) >= PN_NODE_TOLD) pn_futex_wake(&node->state, 1);
}

void pn_waiters_destroy(pn_waiters *list) { pn_chain_destroy(&list->more); }
