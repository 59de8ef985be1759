/* queue_wait.c: sleeping until a queue can be read or written or is done, and how much is in it.
 *
 * Whoever wants to sleep: spin (adaptively) on the word that the other side will change anyway, then register in the eventcount, look
 * once more, sleep. Whoever changes the queue looks at the eventcount afterwards: so one of the two sees the other.
 * A sleeper that was woken and killed before it acted is made up for by the backstop (wait.h). Not here: the queue itself (queue.c).  */
#include "queue_inside.h"

/* ── eventcounts ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

#define PN_ONE_WAITER (1ull << 32)

static uint32_t enlist(pn_eventcount *count) {
    uint32_t key = (uint32_t)atomic_fetch_add(&count->word, PN_ONE_WAITER);
    atomic_thread_fence(memory_order_seq_cst);
    return key;
}

/* Only if nobody was woken since: then our registration is certainly still counted. */
static void delist(pn_eventcount *count, uint32_t key) {
    uint64_t word = atomic_load(&count->word);
    while ((uint32_t)word == key && word >= PN_ONE_WAITER)
        if (atomic_compare_exchange_weak(&count->word, &word, word - PN_ONE_WAITER)) return;
}

void pn_event_wake(pn_eventcount *count, uint32_t n) {
    uint64_t word = atomic_load(&count->word), next;
    uint32_t woken;
    do {
        uint32_t waiters = (uint32_t)(word >> 32);
        if (waiters == 0) return;
        woken = n < waiters ? n : waiters;
        next = (uint64_t)(waiters - woken) << 32 | (uint32_t)((uint32_t)word + 1);
    } while (!atomic_compare_exchange_weak(&count->word, &word, next));
    PN_FAULT("queue.wake.before_futex");
    pn_futex_wake(pn_low_half(&count->word), woken > INT32_MAX ? INT32_MAX : (int)woken);
}

#define MAX_HOLDERS 64 /* whose life a joiner watches; those beyond are noticed at the next look */

static pn_code sleep_registered(pn_eventcount *count, uint32_t key, pn_reason reason, const pn_queue *q, pn_deadline deadline) {
    pn_owner holders[MAX_HOLDERS];
    int n = reason == PN_WAIT_QUEUE_JOIN ? pn_queue_holders(q, holders, MAX_HOLDERS) : 0;
    pn_wait_target target = {pn_low_half(&count->word), key, reason, pn_offset_of(q), holders, n};
    PN_FAULT("queue.wait.registered");
    pn_code code = pn_sleep(&target, deadline);
    delist(count, key);
    return code;
}

/* ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* The length word of the next message, outside of the section. What it says holds if head is still what it was: see pn_record_at(). The
 * thread sanitizer would call that look into what may be freed a race, and cannot know that it is looked at twice. */
__attribute__((no_sanitize_thread)) bool pn_queue_is_readable(const pn_queue *q) {
    for (;;) {
        uint64_t head = pn_load(&q->head);
        uint32_t length = atomic_load_explicit(&pn_record_at(head)->length, memory_order_acquire);
        if (length == PN_JUMP) { /* the next segment's first: it may be the empty end */
            pn_off next = pn_load(&pn_segment_at(pn_segment_of(head))->next);
            if (pn_load(&q->head) != head) continue;
            length = atomic_load_explicit(&pn_record_at(pn_start_of(next))->length, memory_order_acquire);
        }
        atomic_thread_fence(memory_order_acquire);
        if (PN_LIKELY(pn_load(&q->head) == head)) return length != 0;
    }
}

bool pn_queue_is_empty(const pn_queue *q) { return atomic_load(&q->shut) == 2 || !pn_queue_is_readable(q); }

static pn_code wait_not_empty(pn_queue *q, pn_deadline deadline, int64_t patience) {
    const _Atomic uint32_t *word = pn_low_half(&q->nput); /* not the length word: that may be freed, and written over, while we spin */
    uint32_t nput = atomic_load(word);
    if (pn_queue_is_readable(q) || atomic_load(&q->shut) != 0) return PN_OK;
    if (deadline <= PN_NOW) return PN_TIMEOUT;
    if (pn_spin_while(&q->not_empty.spin, word, nput)) return PN_OK;
    uint32_t key = enlist(&q->not_empty);
    if (pn_queue_is_readable(q) || atomic_load(&q->shut) != 0) {
        delist(&q->not_empty, key);
        return PN_OK;
    }
    pn_wait_target target = {pn_low_half(&q->not_empty.word), key, PN_WAIT_QUEUE_GET, pn_offset_of(q), NULL, 0};
    PN_FAULT("queue.wait.registered");
    pn_code code = pn_sleep_patiently(&target, deadline, patience);
    delist(&q->not_empty, key);
    return code;
}

pn_code pn_queue_wait_not_empty(pn_queue *q, pn_deadline deadline) { return wait_not_empty(q, deadline, PN_BACKSTOP); }

pn_code pn_queue_wait_claimable(pn_queue *q, pn_deadline deadline) { return wait_not_empty(q, deadline, PN_LONG_PATIENCE); }

void pn_queue_nudge(pn_queue *q) {
    if (pn_queue_is_empty(q)) return;
    pn_event_wake(&q->not_empty, UINT32_MAX);
    pn_futex_wake(pn_low_half(&q->not_empty.word), INT32_MAX); /* also whom somebody counted as woken, and was killed before it woke */
}

_Atomic uint32_t *pn_queue_readable_word(pn_queue *q, uint32_t *key) {
    *key = enlist(&q->not_empty);
    return pn_low_half(&q->not_empty.word);
}

void pn_queue_leave_readable(pn_queue *q, uint32_t key) { delist(&q->not_empty, key); }

/* ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────── */

uint64_t pn_queue_size(const pn_queue *q) {
    if (atomic_load_explicit(&q->shut, memory_order_acquire) == 2) return 0;
    uint64_t ngot = pn_load(&q->ngot), nput = pn_load(&q->nput);
    return nput > ngot ? nput - ngot : 0;
}

static bool has_at_most(const pn_queue *q, uint64_t most) { return pn_queue_size(q) <= most || atomic_load(&q->shut) != 0; }

pn_code pn_queue_wait_taken(pn_queue *q, uint64_t most, pn_deadline deadline) {
    const _Atomic uint32_t *word = pn_low_half(&q->ngot);
    uint32_t ngot = atomic_load(word);
    if (has_at_most(q, most)) return PN_OK;
    if (deadline <= PN_NOW) return PN_TIMEOUT;
    if (pn_spin_while(&q->not_full.spin, word, ngot)) return PN_OK;
    uint32_t key = enlist(&q->not_full);
    if (has_at_most(q, most)) {
        delist(&q->not_full, key);
        return PN_OK;
    }
    return sleep_registered(&q->not_full, key, PN_WAIT_QUEUE_PUT, q, deadline);
}

pn_code pn_queue_wait_not_full(pn_queue *q, pn_deadline deadline) {
    return q->maxsize == 0 ? PN_OK : pn_queue_wait_taken(q, q->maxsize - 1, deadline);
}

void pn_queue_attend(pn_queue *q) {
    uint32_t seen = atomic_load_explicit(&q->attended, memory_order_relaxed);
    while (PN_UNLIKELY(seen == PN_SOON || seen == PN_LATE)) {
        if (!atomic_compare_exchange_weak(&q->attended, &seen, PN_ATTENDED)) continue;
        pn_futex_wake(&q->attended, INT32_MAX);
        return;
    }
}

pn_code pn_queue_wait_attended(pn_queue *q, pn_deadline deadline) {
    if (atomic_load(&q->attended) != PN_SOON) return PN_OK;
    pn_wait_target target = {&q->attended, PN_SOON, PN_WAIT_QUEUE_PUT, pn_offset_of(q), NULL, 0};
    return pn_sleep(&target, deadline);
}

/* ── being done ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static uint64_t total(const pn_queue *q) { return atomic_load(&q->shut) == 2 ? pn_load(&q->shut_at) : pn_load(&q->nput); }

/* nput may lag behind the messages that are there while somebody is in the section, or died there. */
static uint64_t exact_total(pn_queue *q) {
    pn_owner me = pn_self();
    if (me == 0) return total(q);
    pn_queue_enter_put(q, me);
    uint64_t n = total(q);
    pn_section_leave(&q->put_section);
    return n;
}

pn_code pn_queue_task_done(pn_queue *q, uint32_t n) {
    uint64_t done = pn_load(&q->ndone), all = total(q), forgiven = pn_load(&q->forgiven);
    do {
        if (PN_UNLIKELY(done + n + forgiven > all) && done + n + (forgiven = pn_queue_sum_forgiven(q)) > (all = exact_total(q))) return PN_OVERFLOW;
    } while (!atomic_compare_exchange_weak(&q->ndone, &done, done + n));
    PN_FAULT("queue.task_done.counted");
    if (q->flags & PN_QUEUE_JOINABLE) pn_queue_hand_done(q, pn_self(), n);
    if (done + n + forgiven == all) {
        atomic_thread_fence(memory_order_seq_cst);
        pn_event_notify(&q->all_done, UINT32_MAX);
    }
    return PN_OK;
}

uint64_t pn_queue_unfinished(pn_queue *q) {
    uint64_t all = exact_total(q), done = pn_load(&q->ndone) + pn_queue_sum_forgiven(q);
    return all > done ? all - done : 0;
}

pn_code pn_queue_wait_all_done(pn_queue *q, pn_deadline deadline) {
    pn_deadline up_at = pn_clock() + PN_BACKSTOP, until = deadline < up_at ? deadline : up_at;
    while (pn_queue_unfinished(q) != 0) {
        pn_owner culprit, me = pn_self();
        if (me != 0 && pn_queue_lost(q, me, &culprit) != 0) return PN_OWNER_DIED;
        if (deadline <= PN_NOW) return PN_TIMEOUT;
        uint32_t key = enlist(&q->all_done);
        if (pn_queue_unfinished(q) == 0) {
            delist(&q->all_done, key);
            break;
        }
        pn_code code = sleep_registered(&q->all_done, key, PN_WAIT_QUEUE_JOIN, q, until);
        if (code == PN_TIMEOUT && until != deadline) code = PN_INTERRUPTED;
        if (code == PN_TIMEOUT || code == PN_INTERRUPTED) return pn_queue_unfinished(q) == 0 ? PN_OK : code;
    }
    return PN_OK;
}
