/* queue_hands.c: who has taken messages out of a joinable queue and not yet reported them done.
 *
 *   hand (64 bytes, in a chain): | claim 0 | claim 1 | owner | done | left: its owner has ended by itself | … |
 *
 * A claim's count is how many this process has taken altogether. It is written before the messages are taken, into the claim with the
 * lesser count; repair sets it to 0 if they were not taken. So the greater one is the truth, whatever the instruction at which a process
 * is killed. The low half of `done` counts what it has reported; it may report what others took: that is set off against what the dead
 * have in hand. The high half counts what was taken in this hand and will never be reported: recovering is one CAS that adds to both.
 * Rule: a hand is written in the consumers' section; but `done`, by its owner's threads, at any time, after the queue's own count.
 * Promises: whoever joins is told of a process that was killed with messages in its hand. One that exits by itself is taken to have
 * passed them on. Not here: what is put and got (queue.c).  */
#include "queue_inside.h"

#include "chain.h"
#include "process.h"

typedef struct pn_hand { pn_claim claims[2]; _Atomic uint64_t owner; _Atomic uint64_t done; _Atomic uint64_t left; uint64_t unused; } pn_hand;
_Static_assert(sizeof(pn_hand) == 64, "a hand is one cache line");

static pn_walk walk_hands(const pn_queue *q) { return pn_walk_from(NULL, 0, sizeof(pn_hand), &q->hands); }
static pn_owner owner_of(const pn_hand *hand) { return pn_load(&hand->owner); }
static uint32_t count_of(const pn_claim *claim) { return atomic_load_explicit(&claim->count, memory_order_acquire); }
/* Counts wrap: what is ahead by less than half of them is greater. */
static int lesser(const pn_hand *hand) { return (int32_t)(count_of(&hand->claims[0]) - count_of(&hand->claims[1])) > 0; }
static uint32_t taken_by(const pn_hand *hand) { return count_of(&hand->claims[!lesser(hand)]); }
static int64_t in_hand(const pn_hand *hand) { return (int32_t)(taken_by(hand) - (uint32_t)pn_load(&hand->done)); }
#define FORGIVEN (1ull << 32)

/* Dead, and not known to have ended by itself: its slot says so until it is used again. */
static bool was_killed(pn_hand *hand) {
    pn_owner owner = owner_of(hand);
    if (pn_load(&hand->left) || pn_owner_is_alive(owner)) return false;
    const pn_process_slot *slot = pn_slot(pn_owner_slot(owner)); /* SAFETY: 12 bits cannot leave the table */
    int32_t status = atomic_load_explicit(&slot->exit_status, memory_order_acquire);
    bool has_left = status >= 0 && atomic_load_explicit(&slot->generation, memory_order_relaxed) == pn_owner_gen(owner);
    if (has_left) pn_store(&hand->left, 1);
    return !has_left;
}

static pn_hand *seek(const pn_queue *q, pn_owner me) {
    pn_walk walk = walk_hands(q);
    pn_hand *hand;
    while ((hand = pn_walk_next(&walk)) != NULL)
        if (owner_of(hand) >> 32 == me >> 32) break;
    return hand;
}

/* A hand of nobody, or of one who has nothing in it and is dead. */
static pn_hand *seek_spare(const pn_queue *q) {
    pn_walk walk = walk_hands(q);
    pn_hand *hand;
    while ((hand = pn_walk_next(&walk)) != NULL) {
        pn_owner owner = owner_of(hand);
        if (owner == 0) break;
        if (!pn_owner_is_alive(owner) && (in_hand(hand) == 0 || !was_killed(hand))) break;
    }
    return hand;
}

/* In the consumers' section: the claim to write, and *base, what this process has taken before. NULL: no memory; then it goes unseen. */
pn_claim *pn_queue_my_hand(pn_queue *q, pn_owner me, uint32_t *base) {
    pn_hand *hand = seek(q, me);
    if (hand == NULL) {
        hand = seek_spare(q);
        if (hand == NULL) hand = pn_chain_grow(&q->hands, sizeof *hand);
        if (hand == NULL) return NULL;
        pn_store(&hand->owner, 0);
        PN_FAULT("queue.hands.before_owner");
        for (int i = 0; i < 2; i++) atomic_store_explicit(&hand->claims[i].count, 0, memory_order_release);
        pn_store(&hand->done, pn_load(&hand->done) / FORGIVEN * FORGIVEN);
        pn_store(&hand->left, 0);
        pn_store(&hand->owner, me >> 32 << 32);
    }
    *base = taken_by(hand);
    return &hand->claims[lesser(hand)];
}

void pn_queue_hand_done(pn_queue *q, pn_owner me, uint32_t n) {
    pn_hand *hand = seek(q, me);
    PN_FAULT("queue.hands.before_done");
    uint64_t seen = hand == NULL ? 0 : pn_load(&hand->done), next;
    if (hand != NULL) {
        do next = seen / FORGIVEN * FORGIVEN + (uint32_t)(seen + n);
        while (!atomic_compare_exchange_weak(&hand->done, &seen, next));
    } else atomic_fetch_add(&q->done_by_others, n); /* it has never got anything itself */
}

/* What killed processes had in their hands and nobody else has reported; *culprit: one of them. */
static uint64_t lost(pn_queue *q, pn_owner *culprit) {
    int64_t in_dead_hands = 0, reported = (int64_t)pn_load(&q->done_by_others);
    pn_walk walk = walk_hands(q);
    for (pn_hand *hand; (hand = pn_walk_next(&walk)) != NULL;) {
        pn_owner owner = owner_of(hand);
        int64_t n = owner == 0 ? 0 : in_hand(hand);
        if (n < 0) reported -= n;
        if (n <= 0 || !was_killed(hand)) continue;
        in_dead_hands += n;
        *culprit = owner;
    }
    return in_dead_hands > reported ? (uint64_t)(in_dead_hands - reported) : 0;
}

uint64_t pn_queue_lost(pn_queue *q, pn_owner me, pn_owner *culprit) {
    *culprit = 0;
    if (lost(q, culprit) == 0) return 0;
    pn_queue_settle(q, me); /* it may have died in the section: its claim says then what it took */
    uint64_t n = lost(q, culprit), unfinished = pn_queue_unfinished(q);
    return n < unfinished ? n : unfinished;
}

uint64_t pn_queue_sum_forgiven(const pn_queue *q) {
    uint64_t sum = 0;
    pn_walk walk = walk_hands(q);
    for (const pn_hand *hand; (hand = pn_walk_next(&walk)) != NULL;) sum += pn_load(&hand->done) / FORGIVEN;
    return sum;
}

/* In the consumers' section. */
static void forgive(pn_hand *hand, uint64_t n) {
    uint64_t seen = pn_load(&hand->done), next;
    do next = (seen / FORGIVEN + n) * FORGIVEN + (uint32_t)(seen + n);
    while (!atomic_compare_exchange_weak(&hand->done, &seen, next));
    PN_FAULT("queue.hands.forgiven");
}

/* What is lost counts as done; how much that was. */
uint64_t pn_queue_recover(pn_queue *q, pn_owner me) {
    pn_owner culprit;
    uint64_t n = pn_queue_lost(q, me, &culprit), left = n;
    pn_queue_enter_get(q, me);
    pn_walk walk = walk_hands(q);
    for (pn_hand *hand; left > 0 && (hand = pn_walk_next(&walk)) != NULL;) {
        int64_t held = in_hand(hand);
        if (owner_of(hand) == 0 || held <= 0 || !was_killed(hand)) continue;
        uint64_t forgiven = (uint64_t)held < left ? (uint64_t)held : left;
        forgive(hand, forgiven);
        left -= forgiven;
    }
    pn_store(&q->forgiven, pn_queue_sum_forgiven(q));
    pn_section_leave(&q->get_section);
    PN_FAULT("queue.hands.before_wake");
    pn_event_wake(&q->all_done, UINT32_MAX);
    return n - left; /* another one may have been quicker */
}

/* The owners whom a joiner watches; how many. */
int pn_queue_holders(const pn_queue *q, pn_owner *owners, int room) {
    int count = 0;
    pn_walk walk = walk_hands(q);
    for (const pn_hand *hand; count < room && (hand = pn_walk_next(&walk)) != NULL;)
        if (owner_of(hand) != 0 && in_hand(hand) > 0 && pn_owner_is_alive(owner_of(hand))) owners[count++] = owner_of(hand);
    return count;
}
