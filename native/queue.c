/* queue.c: making a queue, putting and getting. The layout is drawn in queue.h, the order of stores that a kill may cut is:
 *
 *   put      header behind the record (length 0, next sequence) · tag, payload · LENGTH · nput · tail
 *   outside  handing · buffer's owner: queue · record as above, LENGTH · handing 0 · nput · tail · ledger
 *   grow     growing (by the heap's commit) · segment's header · next · nput · TAIL · JUMP · growing 0
 *   get      claim · ngot · HEAD                          (after the copy)
 *   outside  ledger · taking · claim · ngot · HEAD · buffer's owner: me · taking 0
 *   cross    entered · retiring · HEAD · free and retiring 0
 *
 * tail moves before the JUMP is there, so it never lies in a segment that consumers may free; `from` and `entered` tell repair what the
 * JUMP came to. Not here: repair, destruction (queue_repair.c), sleeping and counting (queue_wait.c).  */
#include "queue_inside.h"

#include <stdlib.h>
#include <string.h>

#include "filling.h"
#include "ledger.h"

#define PN_SCRATCH_MIN 4096u
#define PN_PREFETCH_FROM 256u  /* bytes: a smaller one comes with the header that is read anyway */
#define PN_PREFETCH_MOST 2048u

/* ── making ──────────────────────────────────────────────────────────────────────────────────────────────────────────── */

__attribute__((constructor)) static void on_load(void) { pn_kind_on_destroy(PN_KIND_QUEUE, pn_queue_destroy); }

static void begin_segment(pn_off at, uint64_t from, uint64_t sequence) {
    pn_segment *segment = pn_segment_at(at);
    segment->size = (uint32_t)pn_block_bytes(&segment->block);
    atomic_store_explicit(&segment->from, from, memory_order_relaxed);
    atomic_store_explicit(&segment->entered, 0, memory_order_relaxed);
    pn_record *first = pn_record_at(pn_start_of(at));
    first->sequence = sequence;
    atomic_store_explicit(&first->length, 0, memory_order_release);
}

pn_code pn_queue_create(uint32_t maxsize, uint32_t flags, pn_off *queue) {
    pn_code code = pn_object_create(sizeof(pn_queue), PN_KIND_QUEUE, queue);
    if (code != PN_OK) return code;
    pn_queue *q = pn_at(*queue); /* SAFETY: just made */
    q->maxsize = maxsize;
    q->flags = flags;
    PN_FAULT("queue.create.before_segment");
    code = pn_heap_alloc(PN_SEGMENT_MIN, PN_KIND_SEGMENT, &q->growing);
    if (code != PN_OK) {
        pn_object_detach(*queue);
        return code;
    }
    pn_off segment = pn_load(&q->growing);
    begin_segment(segment, 0, 0);
    pn_store(&q->tail, pn_start_of(segment));
    PN_FAULT("queue.create.before_head");
    pn_store(&q->head, pn_start_of(segment));
    pn_store(&q->growing, 0);
    return PN_OK;
}

/* ── put ─────────────────────────────────────────────────────────────────────────────────────────────────────────────── */

typedef struct writer { pn_queue *q; uint64_t tail, sequence; } writer;

/* Twice as large while the consumers are behind by half a segment or more, else as before; and never too small for `need`. */
static uint64_t next_segment_bytes(const writer *w, uint64_t need) {
    uint64_t head = pn_load(&w->q->head), size = pn_segment_at(pn_segment_of(w->tail))->size;
    bool has_backlog = pn_segment_of(head) != pn_segment_of(w->tail) || pn_bytes_of(head) < size / 2;
    uint64_t bytes = has_backlog && size < PN_SEGMENT_MAX ? size * 2 : size;
    while (bytes < sizeof(pn_segment) + need) bytes *= 2;
    return bytes;
}

static pn_code grow(writer *w, uint64_t need) {
    pn_queue *q = w->q;
    pn_code code = pn_heap_alloc(next_segment_bytes(w, need), PN_KIND_SEGMENT, &q->growing);
    if (code != PN_OK) return code;
    pn_off next = pn_load(&q->growing);
    uint64_t from = w->tail;
    PN_FAULT("queue.grow.allocated");
    begin_segment(next, from, w->sequence);
    pn_store(&pn_segment_at(pn_segment_of(from))->next, next);
    w->tail = pn_start_of(next);
    pn_store(&q->nput, w->sequence);
    PN_FAULT("queue.grow.before_tail");
    pn_store(&q->tail, w->tail);
    PN_FAULT("queue.grow.before_jump");
    atomic_store_explicit(&pn_record_at(from)->length, PN_JUMP, memory_order_release);
    PN_FAULT("queue.grow.after_jump");
    pn_store(&q->growing, 0);
    return PN_OK;
}

/* Room for a record and the header behind it. */
static pn_code make_room(writer *w, uint64_t payload) {
    uint64_t need = pn_record_bytes(payload) + sizeof(pn_record);
    if (PN_LIKELY(pn_bytes_of(w->tail) + need <= pn_segment_at(pn_segment_of(w->tail))->size)) return PN_OK;
    return grow(w, need);
}

static void write_record(writer *w, uint32_t tag, const void *payload, uint64_t size) {
    pn_record *record = pn_record_at(w->tail);
    uint64_t bytes = pn_record_bytes(size);
    pn_record *behind = (pn_record *)(void *)((char *)record + bytes);
    atomic_store_explicit(&behind->length, 0, memory_order_relaxed);
    behind->sequence = w->sequence + 1;
    record->tag = tag;
    if (size != 0) memcpy(record + 1, payload, size);
    PN_FAULT("queue.put.after_payload");
    atomic_store_explicit(&record->length, (uint32_t)size + 1, memory_order_release);
    PN_FAULT("queue.put.after_commit");
    w->tail += bytes;
    w->sequence++;
}

static pn_code put_inside(writer *w, const pn_message *message) {
    pn_code code = make_room(w, message->size);
    if (PN_LIKELY(code == PN_OK)) write_record(w, message->tag & ~PN_TAG_OUTSIDE, message->bytes, message->size);
    return code;
}

static pn_code put_outside(writer *w, const pn_message *message) {
    pn_queue *q = w->q;
    pn_buffer *buffer = pn_at(message->outside); /* SAFETY: the caller's own buffer */
    uint32_t generation = atomic_load(&buffer->block.generation);
    pn_outside reference = {message->outside, message->size, generation, 0};
    pn_code code = make_room(w, sizeof reference);
    if (code != PN_OK) return code;
    q->handing_generation = generation;
    pn_store(&q->handing, message->outside);
    PN_FAULT("queue.hand.before_owner");
    pn_store(&buffer->owner, pn_offset_of(q));
    PN_FAULT("queue.hand.after_owner");
    write_record(w, message->tag | PN_TAG_OUTSIDE, &reference, sizeof reference);
    pn_store(&q->handing, 0);
    return PN_OK;
}

static bool is_full(const pn_queue *q, uint64_t nput) { return q->maxsize != 0 && nput - pn_load(&q->ngot) >= q->maxsize && nput >= pn_load(&q->ngot); }

/* One visit to the section: as many of the messages as fit into the queue and the visit. */
static pn_code put_visit(pn_queue *q, pn_owner me, const pn_message *messages, uint32_t count, uint32_t *done) {
    pn_code code = PN_OK;
    uint64_t bytes = 0;
    uint32_t n = 0;
    pn_queue_enter_put(q, me);
    writer w = {q, pn_load(&q->tail), pn_load(&q->nput)};
    PN_FAULT("queue.put.entered");
    if (PN_UNLIKELY(atomic_load_explicit(&q->shut, memory_order_acquire) != 0)) code = PN_SHUT_DOWN;
    while (PN_LIKELY(code == PN_OK) && n < count && bytes < PN_VISIT) {
        const pn_message *message = &messages[n];
        if (PN_UNLIKELY(is_full(q, w.sequence))) code = PN_FULL;
        else if (PN_UNLIKELY(message->outside != 0) && n == 0) code = put_outside(&w, message); /* such a one comes alone */
        else if (PN_UNLIKELY(message->outside != 0 || message->size > PN_INLINE)) break;
        else code = put_inside(&w, message);
        if (code == PN_OK) n++, bytes += message->size;
    }
    pn_store(&q->nput, w.sequence);
    PN_FAULT("queue.put.before_tail");
    pn_store(&q->tail, w.tail);
    pn_spin_note_cpu(&q->not_empty.spin, pn_cpu()); /* here: once the section is left, its line may be another CPU's */
    pn_section_leave(&q->put_section);
    *done = n;
    return code;
}

static void tell_consumers(pn_queue *q, uint32_t n) {
    pn_barrier_after_leave();
    PN_FAULT("queue.put.before_wake");
    pn_event_notify(&q->not_empty, n);
}

/* A large message: its bytes are copied before the section is entered. Until it is committed, the buffer is swept with this process. */
static pn_code put_large(pn_queue *q, pn_owner me, const pn_message *message) {
    uint32_t done = 0;
    if (atomic_load(&q->shut) != 0) return PN_SHUT_DOWN;
    if (is_full(q, pn_load(&q->nput))) return PN_FULL;
    pn_message own = *message;
    pn_piece all = {.from = message->bytes, .size = message->size};
    pn_code code = pn_buffer_create_filled(message->size, &all, 1, &own.outside);
    if (code != PN_OK) return code;
    PN_FAULT("queue.put.buffer_filled");
    pn_buffer_hand_over(me, own.outside);
    code = put_visit(q, me, &own, 1, &done);
    pn_buffer_handed_over(me, own.outside, done == 1);
    if (done == 0) pn_buffer_free(own.outside);
    return code;
}

pn_code pn_queue_try_put(pn_queue *q, pn_owner me, const pn_message *messages, uint32_t count, uint32_t *done) {
    pn_code code = PN_OK;
    uint32_t all = 0;
    while (all < count && code == PN_OK) {
        const pn_message *next = &messages[all];
        uint32_t n = 0;
        if (PN_UNLIKELY(next->outside == 0 && next->size > PN_INLINE)) {
            code = put_large(q, me, next);
            n = code == PN_OK;
        } else if (PN_UNLIKELY(next->outside != 0)) {
            pn_buffer_hand_over(me, next->outside);
            code = put_visit(q, me, next, 1, &n);
            pn_buffer_handed_over(me, next->outside, n == 1);
        } else {
            code = put_visit(q, me, next, count - all, &n);
        }
        if (n != 0) tell_consumers(q, n);
        all += n;
    }
    *done = all;
    return code;
}

/* ── get ─────────────────────────────────────────────────────────────────────────────────────────────────────────────── */

void pn_queue_cross(pn_queue *q, uint64_t head) {
    pn_off left = pn_segment_of(head), next = pn_load(&pn_segment_at(left)->next);
    atomic_store_explicit(&pn_segment_at(next)->entered, 1, memory_order_release);
    pn_store(&q->retiring, left);
    PN_FAULT("queue.cross.before_head");
    pn_store(&q->head, pn_start_of(next));
    PN_FAULT("queue.cross.before_free");
    pn_heap_free(&q->retiring);
}

typedef struct reader { pn_queue *q; pn_owner me; pn_scratch *scratch; pn_message *messages; uint32_t count, n; uint64_t used; uint32_t base; } reader;

/* What is taken out, said before it is; see repair. */
static void write_claim(pn_queue *q, pn_claim *claim, uint64_t sequence, uint32_t count) {
    pn_store(&q->claiming, pn_offset_of(claim));
    PN_FAULT("queue.claim.announced");
    atomic_store_explicit(&claim->count, 0, memory_order_release);
    atomic_store_explicit(&claim->finished, 0, memory_order_release);
    pn_store(&claim->sequence, sequence);
    atomic_store_explicit(&claim->count, count, memory_order_release);
    PN_FAULT("queue.claim.written");
}

static void commit_get(reader *r, uint64_t head, pn_claim *claim) {
    pn_queue *q = r->q;
    uint64_t first = r->messages[0].sequence;
    if (claim != NULL) write_claim(q, claim, first, r->base + r->n);
    pn_store(&q->ngot, first + r->n);
    PN_FAULT("queue.get.before_head");
    pn_store(&q->head, head);
    PN_FAULT("queue.get.after_head");
    if (claim != NULL) pn_store(&q->claiming, 0);
}

static pn_code take_outside(reader *r, uint64_t head, const pn_record *record, pn_claim *claim) {
    pn_outside reference;
    memcpy(&reference, record + 1, sizeof reference);
    if (PN_UNLIKELY(!pn_queue_owns(r->q, reference.buffer, reference.generation))) return PN_CORRUPT;
    pn_code code = pn_buffer_expect(r->me, reference.buffer, reference.generation);
    if (code != PN_OK) return code;
    r->messages[0] = (pn_message){pn_buffer_bytes(reference.buffer), reference.size, record->tag & ~PN_TAG_OUTSIDE, record->sequence, reference.buffer};
    r->n = 1;
    r->q->taking_generation = reference.generation;
    pn_store(&r->q->taking, reference.buffer);
    PN_FAULT("queue.take.before_head");
    commit_get(r, head + pn_record_bytes(sizeof reference), claim);
    pn_buffer *buffer = pn_at(reference.buffer); /* SAFETY: the queue's own until now */
    pn_store(&buffer->owner, r->me >> 32 << 32);
    PN_FAULT("queue.take.after_owner");
    pn_store(&r->q->taking, 0);
    return PN_OK;
}

/* False: scratch is too small for it. */
static bool copy_out(reader *r, const pn_record *record, uint64_t size) {
    if (r->scratch->bytes == NULL || r->used + size > r->scratch->size) return false;
    char *at = (char *)r->scratch->bytes + r->used;
    if (size != 0) memcpy(at, record + 1, size);
    r->messages[r->n++] = (pn_message){at, size, record->tag, record->sequence, 0};
    r->used += (size + 7) & ~7ull;
    return true;
}

/* After a message of some size: if another one is there already, it comes into this CPU's cache while the first is decoded. */
static void prefetch(const reader *r, uint64_t head) {
    if (r->messages[r->n - 1].size < PN_PREFETCH_FROM) return;
    const pn_record *next = pn_record_at(head);
    uint32_t length = atomic_load_explicit(&next->length, memory_order_relaxed);
    if (length == 0 || length > PN_INLINE) return;
    for (uint32_t at = 0; at < length && at < PN_PREFETCH_MOST; at += PN_CACHE_LINE) __builtin_prefetch((const char *)(next + 1) + at);
}

/* In the section: OK, EMPTY, NOMEM; TOO_BIG: the first message needs *need bytes of scratch. */
static pn_code read_some(reader *r, pn_claim *claim, uint64_t *need) {
    uint64_t head = pn_load(&r->q->head);
    while (r->n < r->count && r->used < PN_VISIT) {
        const pn_record *record = pn_record_at(head);
        uint32_t length = pn_length_of(record);
        if (length == 0) break;
        if (PN_UNLIKELY(length == PN_JUMP)) {
            if (r->n != 0) break;
            pn_queue_cross(r->q, head);
            head = pn_load(&r->q->head);
            continue;
        }
        if (PN_UNLIKELY(record->tag & PN_TAG_OUTSIDE)) return r->n == 0 ? take_outside(r, head, record, claim) : (commit_get(r, head, claim), PN_OK);
        if (PN_UNLIKELY(!copy_out(r, record, length - 1))) {
            *need = length - 1;
            if (r->n == 0) return PN_TOO_BIG;
            break;
        }
        head += pn_record_bytes(length - 1);
    }
    if (r->n == 0) return PN_EMPTY;
    prefetch(r, head);
    PN_FAULT("queue.get.after_copy");
    commit_get(r, head, claim);
    return PN_OK;
}

static pn_code grow_scratch(pn_scratch *scratch, uint64_t need, uint32_t count) {
    uint64_t size = scratch->size * 2 < PN_SCRATCH_MIN ? PN_SCRATCH_MIN : scratch->size * 2;
    if (count > 1 && size < PN_VISIT) size = PN_VISIT;
    if (size < need) size = (need + PN_SCRATCH_MIN - 1) & ~(PN_SCRATCH_MIN - 1ull);
    void *bytes = realloc(scratch->bytes, size);
    if (bytes == NULL) return PN_NOMEM;
    *scratch = (pn_scratch){bytes, size};
    return PN_OK;
}

static pn_code nothing_there(pn_queue *q) {
    uint32_t shut = atomic_load_explicit(&q->shut, memory_order_acquire); /* before the look: nothing is put any more once it is set */
    if (shut == 2) return PN_SHUT_DOWN;
    if (pn_queue_is_readable(q)) return PN_OK;
    return shut != 0 ? PN_SHUT_DOWN : PN_EMPTY;
}

pn_code pn_queue_try_get(pn_queue *q, pn_owner me, pn_scratch *scratch, pn_message *messages, uint32_t count, uint32_t *done, pn_claim *claim) {
    reader r = {q, me, scratch, messages, count, 0, 0, 0};
    pn_code code;
    *done = 0;
    do {
        uint64_t need = 0;
        if ((code = nothing_there(q)) != PN_OK) return code;
        pn_queue_enter_get(q, me);
        PN_FAULT("queue.get.entered");
        if (PN_UNLIKELY(q->flags & PN_QUEUE_JOINABLE) && claim == NULL && pn_queue_is_readable(q)) claim = pn_queue_my_hand(q, me, &r.base);
        code = atomic_load_explicit(&q->shut, memory_order_acquire) == 2 ? PN_SHUT_DOWN : read_some(&r, claim, &need);
        pn_section_leave(&q->get_section);
        if (code == PN_TOO_BIG) code = grow_scratch(scratch, need, count) == PN_OK ? PN_TOO_BIG : PN_NOMEM;
    } while (PN_UNLIKELY(code == PN_TOO_BIG || code == PN_EMPTY)); /* EMPTY: another consumer was quicker; is it really empty? */
    if (code != PN_OK) return code;
    if (q->maxsize != 0) {
        pn_spin_note_cpu(&q->not_full.spin, pn_cpu());
        pn_barrier_after_leave();
        PN_FAULT("queue.get.before_wake");
        pn_event_notify(&q->not_full, r.n);
    }
    *done = r.n;
    return PN_OK;
}
