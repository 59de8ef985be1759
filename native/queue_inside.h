/* queue_inside.h: what queue.c, queue_repair.c and queue_wait.c share and nobody else needs. */
#ifndef PN_QUEUE_INSIDE_H
#define PN_QUEUE_INSIDE_H
#include "fault.h"
#include "platform.h"
#include "queue.h"

/* A position: segment offset / 64 << 24 | bytes from its start. */
static inline pn_off pn_segment_of(uint64_t position) { return (position >> 24) << 6; }
static inline uint32_t pn_bytes_of(uint64_t position) { return (uint32_t)position & 0xffffffu; }
static inline uint64_t pn_start_of(pn_off segment) { return segment >> 6 << 24 | sizeof(pn_segment); }
/* SAFETY: positions are made from segments of this queue; a reader outside of the sections may look into one that was freed meanwhile: it
 * reads `length` only, and then looks whether head has moved. */
static inline pn_record *pn_record_at(uint64_t position) { return (pn_record *)pn_at(pn_segment_of(position) + pn_bytes_of(position)); }
static inline pn_segment *pn_segment_at(pn_off segment) { return (pn_segment *)pn_at(segment); }
static inline uint32_t pn_length_of(const pn_record *record) { return atomic_load_explicit(&record->length, memory_order_acquire); }
static inline uint64_t pn_record_bytes(uint64_t payload) { return sizeof(pn_record) + ((payload + 7) & ~7ull); }
static inline uint64_t pn_load(const _Atomic uint64_t *word) { return atomic_load_explicit(word, memory_order_acquire); }
/* A release store, after which the compiler moves nothing up: the order in which a kill finds the stores. */
static inline void pn_store(_Atomic uint64_t *word, uint64_t value) {
    atomic_store_explicit(word, value, memory_order_release);
    atomic_signal_fence(memory_order_seq_cst);
}
/* Leaving a section is an exchange, on x86 a full barrier by itself. */
static inline void pn_barrier_after_leave(void) {
#if defined(__x86_64__) || defined(__i386__)
    atomic_signal_fence(memory_order_seq_cst);
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

/* queue_repair.c: entering, with what a dead process left in there put right. */
void pn_queue_repair_put(pn_queue *q);
void pn_queue_repair_get(pn_queue *q);
static inline void pn_queue_enter_put(pn_queue *q, pn_owner me) {
    if (PN_UNLIKELY(pn_section_enter(&q->put_section, me) == PN_RECOVERED)) pn_queue_repair_put(q);
}
static inline void pn_queue_enter_get(pn_queue *q, pn_owner me) {
    if (PN_UNLIKELY(pn_section_enter(&q->get_section, me) == PN_RECOVERED)) pn_queue_repair_get(q);
}
/* queue.c, in the consumers' section: head is at a JUMP; the segment is left behind and freed. */
void pn_queue_cross(pn_queue *q, uint64_t head);
/* queue_repair.c: this very buffer is there, and is the queue's. */
bool pn_queue_owns(const pn_queue *q, pn_off buffer, uint32_t generation);
/* queue_repair.c: the constructor of queue.c registers it. */
void pn_queue_destroy(pn_off queue);

/* queue_hands.c */
pn_claim *pn_queue_my_hand(pn_queue *q, pn_owner me, uint32_t *base);
void pn_queue_hand_done(pn_queue *q, pn_owner me, uint32_t n);
uint64_t pn_queue_sum_forgiven(const pn_queue *q);
int pn_queue_holders(const pn_queue *q, pn_owner *owners, int room);

/* queue_wait.c */
bool pn_queue_is_readable(const pn_queue *q);       /* a message is there (shut or not) */
void pn_event_wake(pn_eventcount *count, uint32_t n);
static inline void pn_event_notify(pn_eventcount *count, uint32_t n) {
    if (PN_UNLIKELY(atomic_load_explicit(&count->word, memory_order_relaxed) >> 32 != 0)) pn_event_wake(count, n);
}
#endif
