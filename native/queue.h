/* queue.h: a log of messages in shared memory: many senders, many receivers, two locks, one store commits.
 *
 *   segment (PN_KIND_SEGMENT):  | pn_block | next | size | record | record | … |
 *   record, 8-aligned:          | u32 length | u32 tag | u64 sequence | payload, padded to 8 |
 *
 * length = payload bytes + 1 (so that an empty message is not "nothing"), 0 = nothing yet, PN_JUMP = go on in segment `sequence`.
 * put, in the producers' section: 0 into the length word behind the new record, then sequence, tag, payload, then the length with
 * release order: that store is the commit. tail and nput are derived; after a death they are put right by looking whether the length at the
 * tail is set. get, in the consumers' section: read, copy out, then store head: that store is the commit; ngot = the sequence of the
 * record at head (or nput). Segments: the first is small (4 KiB), then doubling to 128 KiB; a message of more than PN_INLINE bytes is
 * stored in a block of its own (tag | PN_TAG_OUTSIDE, payload = offset, size). One retired segment is kept as a spare.
 * Promises: a message is seen whole or not at all; order per producer (indeed total); nothing lost by a death but what the dead one had
 * taken out. Not here: pickling; fairness; who is told of a loss.  */
#ifndef PN_QUEUE_H
#define PN_QUEUE_H
#include "heap.h"

#define PN_INLINE (32u << 10)
#define PN_JUMP 0xffffffffu
enum { PN_TAG_PICKLE = 0, PN_TAG_BYTES = 1, PN_TAG_USER = 2, PN_TAG_OUTSIDE = 0x80000000u };

typedef struct pn_eventcount { _Atomic uint32_t event; _Atomic uint32_t waiters; pn_spin spin; } pn_eventcount;

typedef struct pn_queue {
    pn_block block;
    uint32_t maxsize;             /* items; 0 = unbounded */
    uint32_t flags;               /* 1: joinable */
    uint64_t max_bytes;           /* payload bytes waiting; 0 = the arena's cap alone */
    _Atomic uint32_t shut;        /* 0 open, 1 shut down (drain), 2 shut down immediately */
    _Atomic uint32_t unfinished;  /* joinable: put and not yet task_done */
    _Atomic pn_off spare;         /* an empty segment for whoever needs one: exchanged */
    _Alignas(64) pn_section put_section;
    _Atomic uint64_t tail;        /* derived: segment offset (40 bits: /64) << 24 | position in it */
    _Atomic uint64_t nput;        /* derived */
    _Atomic pn_off growing;       /* the segment about to be linked: found by repair */
    _Alignas(64) pn_section get_section;
    _Atomic uint64_t head;        /* truth */
    _Atomic uint64_t ngot;        /* derived */
    _Atomic pn_off retiring;      /* the segment about to be freed: found by repair */
    _Alignas(64) pn_eventcount not_empty;
    pn_eventcount not_full;
    pn_eventcount all_done;
} pn_queue;

pn_code pn_queue_create(uint32_t maxsize, uint32_t flags, pn_off *queue);

typedef struct pn_message { const void *bytes; uint64_t size; uint32_t tag; uint64_t sequence; } pn_message;

/* One try each; waiting is the caller's loop: try, pn_queue_wait_*, try … (the face drops the GIL round the wait only).
 * put: OK, FULL, SHUT_DOWN, NOMEM, TOO_BIG. All `count` messages in one section, or as many as fit: *done says how many. */
pn_code pn_queue_try_put(pn_queue *q, pn_owner me, const pn_message *messages, uint32_t count, uint32_t *done);
/* get: OK, EMPTY, SHUT_DOWN (and empty). Copies up to `count` messages out into `scratch` (grown by the core with realloc; per thread in the face): messages[i].bytes
 * points into it. `claim`, if not NULL, is stored before the commit: (first sequence, how many): the record of what this process has taken. */
typedef struct pn_scratch { void *bytes; uint64_t size; } pn_scratch;
typedef struct pn_claim { _Atomic uint64_t sequence; _Atomic uint32_t count; _Atomic uint32_t finished; } pn_claim;
pn_code pn_queue_try_get(pn_queue *q, pn_owner me, pn_scratch *scratch, pn_message *messages, uint32_t count, uint32_t *done, pn_claim *claim);
pn_code pn_queue_wait_not_empty(pn_queue *q, pn_deadline deadline);  /* OK (look again), TIMEOUT, INTERRUPTED */
pn_code pn_queue_wait_not_full(pn_queue *q, pn_deadline deadline);
pn_code pn_queue_task_done(pn_queue *q, uint32_t n);                 /* OK, OVERFLOW */
pn_code pn_queue_wait_all_done(pn_queue *q, pn_deadline deadline);
uint64_t pn_queue_size(const pn_queue *q);
void pn_queue_shut_down(pn_queue *q, pn_owner me, bool immediate);
/* For select: the word that changes when the queue may be readable, and registration as a waiter. */
_Atomic uint32_t *pn_queue_readable_word(pn_queue *q, uint32_t *key);
#endif
