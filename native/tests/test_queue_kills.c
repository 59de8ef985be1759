/* test_queue_kills.c: a kill at every fault point of a queue, of its repair, of its making and its end, and round its waits. */
#include "queue_moves.h"

/* ── a kill at every point ───────────────────────────────────────────────────────────────────────────────────────────── */

/* Crosses segments on both sides, hands over and takes out a buffer, claims, counts. */
static int use_queue(intptr_t skip) {
    static char large[40000];
    pn_queue *q = the_queue();
    uint64_t number = 1000;
    pn_message out[8];
    uint32_t done;
    pn_claim *claim = pn_at((pn_off)shared->words[CLAIMS] + 64);
    CHECK(pn_self() != 0);
    for (int i = 0; i < 155; i++) (void)get_number(q); /* nearly to the end of the first segment, of 167 */
    for (int i = 0; i < 4; i++) put_number(q, number++);
    CHECK(pn_fault_arm("*", PN_FAULT_KILL, (uint32_t)skip) == PN_OK);
    for (int i = 0; i < 6; i++) put_number(q, number++);
    memset(large, 5, sizeof large);
    memcpy(large, &number, 8);
    put(q, large, sizeof large);
    while (pn_queue_size(q) != 0) {
        CHECK(pn_queue_try_get(q, pn_self(), &scratch, out, 4, &done, claim) == PN_OK);
        for (uint32_t m = 0; m < done; m++) pn_queue_release_message(&out[m]);
        CHECK(pn_queue_task_done(q, done) == PN_OK);
    }
    return 0;
}

static int repair_queue(intptr_t skip) {
    CHECK(pn_self() != 0);
    CHECK(pn_fault_arm("*", PN_FAULT_KILL, (uint32_t)skip) == PN_OK);
    pn_queue_settle(the_queue(), pn_self());
    return 0;
}

/* What is left is in order without a gap, no more is gone than what the dead one had in hand, counters are exact, and nothing leaks. */
static void check_rest(pn_queue *q) {
    pn_message message;
    uint64_t ngot, nput, n = 0;
    pn_claim *claim = pn_at((pn_off)shared->words[CLAIMS] + 64);
    pn_queue_settle(q, pn_self());
    ngot = pn_queue_size(q);
    nput = atomic_load(&q->nput);
    ngot = nput - ngot;
    if (atomic_load(&claim->count) != 0) CHECK(atomic_load(&claim->sequence) + atomic_load(&claim->count) <= ngot);
    put_number(q, 77);
    while (try_get(q, &message) == PN_OK) {
        CHECK(message.sequence == ngot + n);
        CHECK(message.size == 8 || message.size == 40000);
        if (message.outside != 0) { /* not freed under it */
            pn_buffer *buffer = pn_at(message.outside);
            CHECK(atomic_load(&buffer->block.kind) == PN_KIND_BUFFER && atomic_load(&buffer->owner) == pn_self() >> 32 << 32);
            for (uint64_t i = 8; i < message.size; i++) CHECK(((const char *)message.bytes)[i] == 5);
        }
        n++;
        pn_queue_release_message(&message);
    }
    CHECK(n == nput - ngot + 1 && pn_queue_size(q) == 0);
}

static int kill_user(int skip, int again) {
    pn_queue *q = make_queue(0, PN_QUEUE_JOINABLE);
    pn_claim *claim = pn_at((pn_off)shared->words[CLAIMS] + 64);
    atomic_store(&claim->count, 0);
    for (uint64_t i = 0; i < 160; i++) put_number(q, i);
    int status = reap(start(use_queue, skip));
    CHECK(status == 0 || status == -SIGKILL);
    if (again >= 0) (void)reap(start(repair_queue, again));
    pn_sweep_dead();
    check_rest(q);
    pn_object_detach((pn_off)shared->words[QUEUE]);
    return status;
}

static int64_t settle_base(void) {
    pn_off claims;
    CHECK(pn_object_create(128, PN_KIND_TABLE, &claims) == PN_OK);
    shared->words[CLAIMS] = (int64_t)claims;
    CHECK(kill_user(100000, -1) == 0);
    (void)reap_and_tell(start(repair_queue, 10000)); /* a death, so that the quarantine lets go */
    return (int64_t)pn_heap_in_use();
}

static int die_now(intptr_t unused) { return (void)pn_self(), (int)unused; }

static void check_base(int64_t base) {
    (void)reap_and_tell(start(die_now, 0)); /* a death, so that the quarantine lets go */
    CHECK((int64_t)pn_heap_in_use() >= base - 1024 && (int64_t)pn_heap_in_use() <= base + 1024);
}

TEST(a_kill_at_any_point_of_a_queue_harms_nobody_else) {
    note_points();
    int64_t base = settle_base();
    int skip = 0, leaks = 0;
    while (kill_user(skip++, -1) != 0) {
        check_base(base);
        leaks += (int64_t)pn_heap_in_use() != base;
        base = (int64_t)pn_heap_in_use();
    }
    printf("         %d kills, %d leaks\n", skip - 1, leaks);
    CHECK(skip > 80 && leaks <= 6);
    check_reached("queue.c", "queue.create", "queue.get.before_wake", NULL); /* other tests: this one is unbounded */
    check_reached("queue_repair.c", "queue.drain", "queue.shut_down", "queue.destroy", NULL);
}

TEST(a_kill_of_the_one_who_repairs_a_queue_harms_nobody_else) {
    (void)settle_base();
    int kills = 0;
    for (int skip = 0, status = -1; status != 0; skip++)
        for (int again = 0; again < (SANITIZED ? 2 : 6); again++, kills++) status = kill_user(skip, again);
    CHECK(kills > 100);
}

static int destroy_queue(intptr_t skip) {
    static char large[40000];
    pn_off queue;
    CHECK(pn_self() != 0);
    CHECK(pn_fault_arm("*", PN_FAULT_KILL, (uint32_t)skip) == PN_OK);
    CHECK(pn_queue_create(0, 0, &queue) == PN_OK);
    pn_queue *q = pn_at(queue);
    pn_message batch[200];
    uint32_t done;
    for (int i = 0; i < 200; i++) batch[i] = (pn_message){large, i == 5 ? 40000 : 8, 0, 0, 0};
    CHECK(pn_queue_try_put(q, pn_self(), batch, 200, &done) == PN_OK);
    CHECK(pn_queue_try_get(q, pn_self(), &scratch, batch, 1, &done, NULL) == PN_OK);
    pn_queue_shut_down(q, pn_self(), true);
    pn_object_detach(queue);
    return 0;
}

TEST(a_kill_at_any_point_of_making_and_destroying_a_queue_leaks_one_at_most) {
    note_points();
    int64_t base = settle_base(), leaks = 0;
    int skip = 0, status;
    do {
        status = reap_and_tell(start(destroy_queue, skip));
        CHECK(status == 0 || status == -SIGKILL);
        pn_sweep_dead();
        leaks += (int64_t)pn_heap_in_use() > base;
        base = (int64_t)pn_heap_in_use();
        skip += skip < 150 ? 1 : 7; /* hundreds of points are the same one: a message after the other */
    } while (status != 0);
    printf("         %d points, %ld leaks\n", skip, (long)leaks);
    CHECK(skip > 150 && leaks <= 4);
    check_reached("queue_repair.c", NULL);
}

/* ── a kill round a wait ─────────────────────────────────────────────────────────────────────────────────────────────── */

static const char *const wait_points[] = {"queue.put.before_wake", "queue.wake.before_futex", "queue.put.after_commit", "queue.put.before_tail",
                                          "queue.get.before_wake", "queue.get.before_head", "queue.get.after_head", "queue.wait.registered",
                                          "queue.task_done.counted", "queue.shut_down.closed", "queue.shut_down.before_wake"};

/* Puts and gets in a queue of one place, sleeping whenever it can, until it is killed. */
static int swap_until_killed(intptr_t point) {
    pn_queue *q = the_queue();
    pn_message message;
    CHECK(pn_self() != 0);
    CHECK(pn_fault_arm(wait_points[point], PN_FAULT_KILL, 0) == PN_OK);
    if (strstr(wait_points[point], "registered") != NULL) (void)pn_queue_wait_not_full(q, PN_FOREVER);
    if (strstr(wait_points[point], "shut_down") != NULL) pn_queue_shut_down(q, pn_self(), false);
    (void)get_number(q);
    (void)pn_queue_task_done(q, 1);
    while (try_put(q, &point, 8) == PN_FULL) (void)try_get(q, &message); /* the one we woke was quicker */
    return 0;
}

static int get_or_be_shut_down(intptr_t unused) {
    pn_message message;
    pn_code code;
    while ((code = try_get(the_queue(), &message)) == PN_EMPTY) (void)pn_queue_wait_not_empty(the_queue(), PN_FOREVER);
    return code == PN_OK || code == PN_SHUT_DOWN ? (int)unused : 3;
}
static int put_or_be_shut_down(intptr_t unused) {
    pn_code code;
    while ((code = try_put(the_queue(), &unused, 8)) == PN_FULL) (void)pn_queue_wait_not_full(the_queue(), PN_FOREVER);
    return code == PN_OK || code == PN_SHUT_DOWN ? 0 : 3;
}

/* One of three processes is killed in the middle of waking another: the others go on, by the backstop at the latest. */
TEST(a_kill_round_a_wait_stops_nobody) {
    for (int point = 0; point < (int)(sizeof wait_points / sizeof *wait_points); point++) {
        pn_queue *q = make_queue(1, PN_QUEUE_JOINABLE);
        put_number(q, 1);
        pid_t producer = start(put_or_be_shut_down, 0);
        AWAIT_SLEEPERS(1, PN_WAIT_QUEUE_PUT);
        CHECK(reap_and_tell(start(swap_until_killed, point)) == -SIGKILL);
        pid_t consumers[2] = {start(get_or_be_shut_down, 0), start(get_or_be_shut_down, 0)};
        CHECK(put_or_be_shut_down(1) == 0);
        CHECK(reap_and_tell(producer) == 0);
        pn_queue_shut_down(q, pn_self(), false);
        for (int i = 0; i < 2; i++) CHECK(reap_and_tell(consumers[i]) == 0);
    }
}

TESTS(RUN(a_kill_at_any_point_of_a_queue_harms_nobody_else), RUN(a_kill_of_the_one_who_repairs_a_queue_harms_nobody_else),
      RUN(a_kill_at_any_point_of_making_and_destroying_a_queue_leaks_one_at_most), RUN(a_kill_round_a_wait_stops_nobody))
