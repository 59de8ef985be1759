/* queue_moves.h: putting into and getting from the queue that the processes of a test share. */
#ifndef PN_QUEUE_MOVES_H
#define PN_QUEUE_MOVES_H
#include "reached.h"
#include "../queue.h"

enum { QUEUE, READY, GO, CLAIMS, SUM = 20, COUNT = 40 }; /* words of `shared` */

static pn_scratch scratch;

static inline pn_queue *the_queue(void) { return pn_at((pn_off)shared->words[QUEUE]); }

static inline pn_queue *make_queue(uint32_t maxsize, uint32_t flags) {
    pn_off queue = 0;
    CHECK(pn_queue_create(maxsize, flags, &queue) == PN_OK);
    shared->words[QUEUE] = (int64_t)queue;
    return pn_at(queue);
}

static inline int reap_and_tell(pid_t pid) {
    int status = reap(pid);
    pn_process_reaped((uint32_t)pid, status);
    return status;
}

static inline pn_code try_put(pn_queue *q, const void *bytes, uint64_t size) {
    uint32_t done = 9;
    pn_code code = pn_queue_try_put(q, pn_self(), &(pn_message){bytes, size, PN_TAG_BYTES, 0, 0}, 1, &done);
    CHECK(done == (code == PN_OK));
    return code;
}

static inline pn_code try_get(pn_queue *q, pn_message *message) {
    uint32_t done = 9;
    pn_code code = pn_queue_try_get(q, pn_self(), &scratch, message, 1, &done, NULL);
    CHECK(done == (code == PN_OK));
    return code;
}

static inline void put(pn_queue *q, const void *bytes, uint64_t size) {
    pn_code code;
    while ((code = try_put(q, bytes, size)) == PN_FULL) (void)pn_queue_wait_not_full(q, PN_FOREVER);
    CHECK(code == PN_OK);
}

static inline void get(pn_queue *q, pn_message *message) {
    pn_code code;
    while ((code = try_get(q, message)) == PN_EMPTY) (void)pn_queue_wait_not_empty(q, PN_FOREVER);
    CHECK(code == PN_OK);
}

static inline void put_number(pn_queue *q, uint64_t number) { put(q, &number, sizeof number); }

static inline uint64_t number_in(pn_message *message) {
    uint64_t number;
    CHECK(message->size >= sizeof number);
    memcpy(&number, message->bytes, sizeof number);
    pn_queue_release_message(message);
    return number;
}

static inline uint64_t get_number(pn_queue *q) {
    pn_message message;
    get(q, &message);
    return number_in(&message);
}
#endif
