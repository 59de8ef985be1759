/* queue.h: a log of messages in shared memory: many senders, many receivers, two locks, one store commits.
 *
 *   segment (PN_KIND_SEGMENT):  | pn_segment, 64 bytes | record | record | … |
 *   record, 8-aligned:          | u32 length | u32 tag | u64 sequence | payload, padded to 8 |
 *
 * length = payload bytes + 1 (so that an empty message is not "nothing"), 0 = nothing yet, PN_JUMP = go on in segment `next`. Behind the
 * last record there is always a record header with length 0 and the sequence number that the next message will have.
 * put, in the producers' section: that header behind the new record, then tag, payload, then the length with release order: that store is
 * the commit. get, in the consumers' section: read, copy out, then store head: that store is the commit. tail, nput and ngot are derived;
 * after a death they are put right by walking from tail to the first length 0, and from the sequence numbers found there.
 * Segments: the first is small (4 KiB), then doubling to 128 KiB while there is a backlog. A message of more than PN_INLINE bytes is a
 * buffer of its own (tag | PN_TAG_OUTSIDE, payload = pn_outside), filled outside of the section; it belongs to the producer until it is
 * committed, to the queue while it travels, to the consumer afterwards.
 * Promises: a message is seen whole or not at all; order per producer (indeed total); nothing lost by a death but what the dead one had
 * taken out. Not here: pickling; fairness; who is told of a loss.  */
#ifndef PN_QUEUE_H
#define PN_QUEUE_H
#include "heap.h"

#define PN_INLINE (32u << 10)
#define PN_JUMP 0xffffffffu
#define PN_SEGMENT_MIN (4u << 10)
#define PN_SEGMENT_MAX (128u << 10)
#define PN_VISIT (64u << 10)     /* payload bytes after which a section is left and entered anew: 64 KiB are some 10 us of copying */
enum { PN_TAG_PICKLE = 0, PN_TAG_BYTES = 1, PN_TAG_USER = 2, PN_TAG_PARTS = 3 /* a block of the face's */, PN_TAG_OUTSIDE = 0x80000000u };

typedef struct pn_record { _Atomic uint32_t length; uint32_t tag; uint64_t sequence; } pn_record; /* 16 bytes; then the payload */
typedef struct pn_outside { pn_off buffer; uint64_t size; uint32_t generation; uint32_t unused; } pn_outside;
typedef struct pn_segment {
    pn_block block;
    _Atomic pn_off next;
    _Atomic uint64_t from;       /* where the JUMP to this segment stands: a position as in tail */
    _Atomic uint32_t entered;    /* a consumer is past that JUMP: the segment before may be gone */
    uint32_t size;               /* bytes, header included */
    uint64_t reserved[3];
} pn_segment;
_Static_assert(sizeof(pn_segment) == 64, "records begin on a cache line");
_Static_assert(sizeof(pn_record) == 16, "a record header is 16 bytes");

/* word: event:32 (low: the futex) | waiters:32. The waker takes as many off `waiters` as it wakes and counts `event` up, in one CAS; a
 * sleeper that nobody woke takes itself off if `event` is still what it was. So `waiters` only over-estimates (those killed asleep). */
typedef struct pn_eventcount { _Atomic uint64_t word; pn_spin spin; } pn_eventcount;

/* Does whoever receives from the pipe look into the queue? SOON: nobody has received yet; LATE: nor while a sender waited for it; NEVER: others
 * may receive who do not know of it. SOON -> LATE, SOON or LATE -> ATTENDED, any -> NEVER. */
enum pn_attended { PN_SOON = 0, PN_ATTENDED, PN_LATE, PN_NEVER };

typedef struct pn_queue {
    pn_block block;
    uint32_t maxsize;             /* items; 0 = unbounded */
    uint32_t flags;               /* PN_QUEUE_JOINABLE */
    _Atomic uint32_t shut;        /* 0 open, 1 shut down (drain), 2 shut down immediately: what is left counts as dropped */
    _Atomic uint32_t attended;    /* beside a pipe (face/carriage.h): enum pn_attended */
    _Atomic uint64_t shut_at;     /* shut == 2: the sequence number of the first message dropped */
    _Atomic uint64_t ndone;       /* truth: how many task_done. Unfinished = (shut == 2 ? shut_at : nput) - ndone */
    _Alignas(64) pn_section put_section;
    _Atomic uint64_t tail;        /* derived: segment offset / 64 << 24 | position in it */
    _Atomic uint64_t nput;        /* derived; stored before tail */
    _Atomic pn_off growing;       /* the segment about to be linked: found by repair */
    _Atomic pn_off handing;       /* the outside buffer about to be committed: found by repair */
    uint32_t handing_generation;
    uint32_t unused_put;
    pn_eventcount not_empty;
    _Alignas(64) pn_section get_section;
    _Atomic uint64_t head;        /* truth */
    _Atomic uint64_t ngot;        /* derived; stored before head */
    _Atomic pn_off retiring;      /* the segment about to be freed: found by repair */
    _Atomic pn_off taking;        /* the outside buffer about to be taken out: found by repair */
    uint32_t taking_generation;
    uint32_t unused_get;
    _Atomic pn_off claiming;      /* the claim that is being written: cleared by repair if the messages were not taken */
    uint64_t unused_line;
    _Alignas(64) pn_eventcount not_full;
    pn_eventcount all_done;
    _Atomic pn_off hands;         /* joinable: who has taken what (queue_hands.c) */
    _Atomic uint64_t done_by_others; /* task_done by processes that never got anything */
    _Atomic uint64_t forgiven;    /* derived: the sum of what is lost and was recovered (queue_hands.c) */
} pn_queue;
#define PN_QUEUE_JOINABLE 1u

pn_code pn_queue_create(uint32_t maxsize, uint32_t flags, pn_off *queue);

/* outside: the buffer that holds the payload, or 0. In a message got it is this process's: give it back by pn_queue_release_message, or keep it
 * (it is a pn_buffer: pn_buffer_free) for as long as something looks into it. In a message to put, it is a buffer of this process that is given
 * to the queue without a copy (bytes must be pn_buffer_bytes(outside)); without it, more than PN_INLINE bytes are copied into a new one. */
typedef struct pn_message { const void *bytes; uint64_t size; uint32_t tag; uint64_t sequence; pn_off outside; } pn_message;

/* One try each; waiting is the caller's loop: try, pn_queue_wait_*, try … (the face drops the GIL round the wait only).
 * put: OK: all; else FULL, SHUT_DOWN, NOMEM, TOO_BIG and *done says how many of them (the first ones) were put all the same. Each message is
 * committed by itself; a batch of less than PN_VISIT bytes is contiguous. */
pn_code pn_queue_try_put(pn_queue *q, pn_owner me, const pn_message *messages, uint32_t count, uint32_t *done);
/* get: OK (*done >= 1), EMPTY, SHUT_DOWN (and empty), NOMEM, CORRUPT. Copies up to `count` messages out into `scratch` (grown by the core with realloc, outside
 * of the section; per thread in the face): messages[i].bytes points into it. A message with a buffer of its own comes alone, uncopied. `claim`, if not
 * NULL, is stored before the commit: (first sequence, how many): the record of what this process has taken; it must lie in the arena. */
typedef struct pn_scratch { void *bytes; uint64_t size; } pn_scratch;
typedef struct pn_claim { _Atomic uint64_t sequence; _Atomic uint32_t count; _Atomic uint32_t finished; } pn_claim;
pn_code pn_queue_try_get(pn_queue *q, pn_owner me, pn_scratch *scratch, pn_message *messages, uint32_t count, uint32_t *done, pn_claim *claim);
/* Gives back what a got message holds besides scratch. A no-op for most. */
static inline void pn_queue_release_message(pn_message *message) {
    if (PN_UNLIKELY(message->outside != 0)) { pn_buffer_free(message->outside); message->outside = 0; }
}
pn_code pn_queue_wait_not_empty(pn_queue *q, pn_deadline deadline);  /* OK (look again), TIMEOUT, INTERRUPTED */
/* The same for a reader with a claim: it looks again of its own accord after PN_LONG_PATIENCE only. Whoever reads the claims calls
 * pn_queue_nudge() now and then: that wakes all who sleep though something is there. */
pn_code pn_queue_wait_claimable(pn_queue *q, pn_deadline deadline);
void pn_queue_nudge(pn_queue *q);
pn_code pn_queue_wait_not_full(pn_queue *q, pn_deadline deadline);
/* OK: look again whether at most `most` messages are there. TIMEOUT, INTERRUPTED. For queues with a maxsize: the others tell nobody. */
pn_code pn_queue_wait_taken(pn_queue *q, uint64_t most, pn_deadline deadline);
void pn_queue_attend(pn_queue *q);
pn_code pn_queue_wait_attended(pn_queue *q, pn_deadline deadline); /* OK: no longer PN_SOON. TIMEOUT, INTERRUPTED */
pn_code pn_queue_task_done(pn_queue *q, uint32_t n);                 /* OK, OVERFLOW */
/* OK: nothing is unfinished. OWNER_DIED: a process was killed with messages in its hand; TIMEOUT,
 * INTERRUPTED (a signal, or PN_BACKSTOP is over). */
pn_code pn_queue_wait_all_done(pn_queue *q, pn_deadline deadline);
/* How many of the unfinished were in the hands of killed processes; *culprit: one of these. Recovering counts them as done. */
uint64_t pn_queue_lost(pn_queue *q, pn_owner me, pn_owner *culprit);
uint64_t pn_queue_recover(pn_queue *q, pn_owner me);
uint64_t pn_queue_unfinished(pn_queue *q);                           /* exact */
uint64_t pn_queue_size(const pn_queue *q);                           /* messages waiting; a snapshot */
bool pn_queue_is_empty(const pn_queue *q);                           /* what a get would find at this moment */
void pn_queue_shut_down(pn_queue *q, pn_owner me, bool immediate);
/* Repairs what a dead process may have left, now: afterwards nput, ngot and the claims of the dead are exact. */
void pn_queue_settle(pn_queue *q, pn_owner me);
/* For select: the word that changes when the queue may have become readable, and registration as a waiter: call, look whether the queue is
 * readable, sleep while *word == *key, then pn_queue_leave_readable(q, key). */
_Atomic uint32_t *pn_queue_readable_word(pn_queue *q, uint32_t *key);
void pn_queue_leave_readable(pn_queue *q, uint32_t key);
#endif
