/* queue_repair.c: putting right what a dead process left in a section, shutting down, and the end of a queue.
 *
 * Repair reads only truths: lengths, head, `from` and `entered`, owners of buffers. Each step may be repeated: the one who repairs
 * may be killed too. The orders of stores that it relies on stand in queue.c.  */
#include "queue_inside.h"

#include "chain.h"

#include <string.h>

bool pn_queue_owns(const pn_queue *q, pn_off buffer, uint32_t generation) {
    const pn_block *block = pn_at(buffer); /* SAFETY: it was a buffer once, and blocks stay blocks */
    if (atomic_load(&block->generation) != generation || atomic_load(&block->kind) != PN_KIND_BUFFER) return false;
    return pn_load(&((const pn_buffer *)block)->owner) == pn_offset_of(q);
}

/* What still or again belongs to a process is swept with it. */
static void free_if_mine(const pn_queue *q, _Atomic pn_off *word, uint32_t generation) {
    if (pn_queue_owns(q, pn_load(word), generation)) pn_heap_free(word);
    else pn_store(word, 0);
}

static bool names_buffer(const pn_record *record, pn_off buffer, uint32_t generation) {
    pn_outside reference;
    if ((record->tag & PN_TAG_OUTSIDE) == 0) return false;
    memcpy(&reference, record + 1, sizeof reference);
    return reference.buffer == buffer && reference.generation == generation;
}

/* ── the producers' side ─────────────────────────────────────────────────────────────────────────────────────────────── */

/* tail is in the new segment already: then it is linked, but for the JUMP perhaps. Else it was never linked (head = 0: in a queue never made). */
static void finish_growing(pn_queue *q) {
    pn_off growing = pn_load(&q->growing), linked = pn_segment_of(pn_load(&q->tail));
    if (growing == 0) return;
    if (growing != linked || pn_load(&q->head) == 0) {
        pn_heap_free(&q->growing);
        return;
    }
    pn_segment *segment = pn_segment_at(growing);
    uint64_t from = pn_load(&segment->from);
    /* The segment before may be gone if consumers entered this one: so `entered` is read after `length`, and decides. */
    uint32_t length = from != 0 ? pn_length_of(pn_record_at(from)) : PN_JUMP;
    if (atomic_load_explicit(&segment->entered, memory_order_acquire) == 0 && length != PN_JUMP)
        atomic_store_explicit(&pn_record_at(from)->length, PN_JUMP, memory_order_release);
    pn_store(&q->growing, 0);
}

void pn_queue_repair_put(pn_queue *q) {
    finish_growing(q);
    PN_FAULT("queue.repair_put.grown");
    if (pn_load(&q->tail) == 0 || pn_load(&q->head) == 0) return; /* not yet made, or half destroyed */
    uint64_t tail = pn_load(&q->tail);
    pn_off handing = pn_load(&q->handing);
    bool handed = false;
    for (uint32_t length; (length = pn_length_of(pn_record_at(tail))) != 0 && length != PN_JUMP; tail += pn_record_bytes(length - 1))
        handed |= handing != 0 && names_buffer(pn_record_at(tail), handing, q->handing_generation);
    if (handing != 0 && handed) pn_store(&q->handing, 0);
    if (handing != 0 && !handed) free_if_mine(q, &q->handing, q->handing_generation);
    PN_FAULT("queue.repair_put.handed");
    pn_store(&q->nput, pn_record_at(tail)->sequence);
    pn_store(&q->tail, tail);
}

/* ── the consumers' side ─────────────────────────────────────────────────────────────────────────────────────────────── */

/* Claimed, and not taken out: the claim says nothing. */
static void settle_claim(pn_queue *q, uint64_t next) {
    pn_off at = pn_load(&q->claiming);
    if (at == 0) return;
    pn_claim *claim = pn_at(at); /* SAFETY: write_claim() made it from a claim in the arena */
    if (pn_load(&claim->sequence) >= next) atomic_store(&claim->count, 0);
    pn_store(&q->claiming, 0);
}

void pn_queue_repair_get(pn_queue *q) {
    uint64_t head = pn_load(&q->head);
    if (pn_load(&q->retiring) != 0 && pn_load(&q->retiring) != pn_segment_of(head)) pn_heap_free(&q->retiring);
    pn_store(&q->retiring, 0);
    PN_FAULT("queue.repair_get.retired");
    if (head == 0) return; /* not yet made, or half destroyed */
    const pn_record *next = pn_record_at(head);
    uint32_t length = pn_length_of(next);
    pn_off taking = pn_load(&q->taking);
    if (taking != 0) {
        bool is_there = length != 0 && length != PN_JUMP && names_buffer(next, taking, q->taking_generation);
        if (is_there) pn_store(&q->taking, 0);
        else free_if_mine(q, &q->taking, q->taking_generation); /* the message that the dead one had in hand */
    }
    settle_claim(q, next->sequence);
    PN_FAULT("queue.repair_get.claims");
    pn_store(&q->ngot, next->sequence);
}

void pn_queue_settle(pn_queue *q, pn_owner me) {
    pn_queue_enter_put(q, me);
    pn_section_leave(&q->put_section);
    pn_queue_enter_get(q, me);
    pn_section_leave(&q->get_section);
}

/* ── the end ─────────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* In the consumers' section: takes out what is there, one by one. */
static void drain(pn_queue *q) {
    for (;;) {
        uint64_t head = pn_load(&q->head);
        const pn_record *record = pn_record_at(head);
        uint32_t length = pn_length_of(record);
        if (length == 0) return;
        if (length == PN_JUMP) {
            pn_queue_cross(q, head);
            continue;
        }
        pn_outside reference = {0, 0, 0, 0};
        if (record->tag & PN_TAG_OUTSIDE) memcpy(&reference, record + 1, sizeof reference);
        q->taking_generation = reference.generation;
        pn_store(&q->taking, reference.buffer);
        pn_store(&q->ngot, record->sequence + 1);
        PN_FAULT("queue.drain.before_head");
        pn_store(&q->head, head + pn_record_bytes(length - 1));
        PN_FAULT("queue.drain.after_head");
        pn_heap_free(&q->taking);
    }
}

void pn_queue_shut_down(pn_queue *q, pn_owner me, bool immediate) {
    pn_queue_enter_put(q, me);
    uint32_t open = 0;
    (void)atomic_compare_exchange_strong(&q->shut, &open, 1);
    PN_FAULT("queue.shut_down.closed");
    pn_section_leave(&q->put_section);
    if (immediate) {
        pn_queue_enter_get(q, me);
        if (atomic_load(&q->shut) != 2) pn_store(&q->shut_at, pn_record_at(pn_load(&q->head))->sequence);
        PN_FAULT("queue.shut_down.before_drop");
        atomic_store(&q->shut, 2);
        drain(q);
        pn_section_leave(&q->get_section);
    }
    PN_FAULT("queue.shut_down.before_wake");
    pn_event_wake(&q->not_empty, UINT32_MAX);
    pn_event_wake(&q->not_full, UINT32_MAX);
    pn_event_wake(&q->all_done, UINT32_MAX);
}

/* Nobody else can reach the queue. If this is cut off by a kill, it is called again: head = 0 says that the last segment is going. */
void pn_queue_destroy(pn_off queue) {
    pn_queue *q = pn_at(queue); /* SAFETY: the caller took its last reference */
    pn_owner me = pn_self();
    (void)pn_section_enter(&q->put_section, me);
    pn_queue_repair_put(q);
    (void)pn_section_enter(&q->get_section, me);
    pn_queue_repair_get(q);
    if (pn_load(&q->head) != 0) {
        drain(q);
        pn_store(&q->retiring, pn_segment_of(pn_load(&q->head)));
        PN_FAULT("queue.destroy.before_head");
        pn_store(&q->head, 0);
        PN_FAULT("queue.destroy.after_head");
        pn_heap_free(&q->retiring);
    }
    pn_chain_destroy(&q->hands);
    pn_section_leave(&q->get_section);
    pn_section_leave(&q->put_section);
}
