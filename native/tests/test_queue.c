/* test_queue.c: order, limits, large messages, waiting, many processes, shutting down. */
#include "queue_moves.h"

/* ── one process ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

TEST(messages_of_all_sizes_come_out_whole_and_in_order) {
    static unsigned char bytes[3 << 20];
    static const uint64_t sizes[] = {0, 1, 7, 8, 9, 100, 4000, 4064, 4072, 4073, 32767, 32768, 32769, 100000, 1 << 20, 3 << 20};
    enum { SIZES = sizeof sizes / sizeof *sizes, ROUNDS = 12 };
    pn_queue *q = make_queue(0, 0);
    pn_message message;
    for (int i = 0; i < ROUNDS * SIZES; i++) {
        memset(bytes, i, sizes[i % SIZES]);
        put(q, bytes, sizes[i % SIZES]);
        CHECK(pn_queue_size(q) == (uint64_t)i + 1);
    }
    for (int i = 0; i < ROUNDS * SIZES; i++) {
        get(q, &message);
        CHECK(message.size == sizes[i % SIZES] && message.sequence == (uint64_t)i && message.tag == PN_TAG_BYTES);
        memset(bytes, i, message.size);
        CHECK(memcmp(bytes, message.bytes, message.size) == 0);
        CHECK((message.outside != 0) == (message.size > PN_INLINE));
        pn_queue_release_message(&message);
    }
    CHECK(try_get(q, &message) == PN_EMPTY && pn_queue_is_empty(q) && pn_queue_size(q) == 0);
    pn_object_detach((pn_off)shared->words[QUEUE]);
    CHECK(pn_heap_in_use() == 64 + 1024); /* the ledger */
}

TEST(a_bounded_queue_is_full_at_its_size) {
    pn_queue *q = make_queue(3, 0);
    uint64_t number = 5;
    for (int round = 0; round < 500; round++) {
        for (int i = 0; i < 3; i++) put_number(q, (uint64_t)round);
        CHECK(try_put(q, &number, 8) == PN_FULL && pn_queue_size(q) == 3);
        CHECK(pn_queue_wait_not_full(q, PN_NOW) == PN_TIMEOUT);
        for (int i = 0; i < 3; i++) CHECK(get_number(q) == (uint64_t)round);
    }
    pn_message batch[5] = {{&number, 8, 0, 0, 0}, {&number, 8, 0, 0, 0}, {&number, 8, 0, 0, 0}, {&number, 8, 0, 0, 0}, {&number, 8, 0, 0, 0}};
    uint32_t done;
    CHECK(pn_queue_try_put(q, pn_self(), batch, 5, &done) == PN_FULL && done == 3);
}

TEST(batches_go_in_and_come_out_together) {
    enum { N = 5000, TAKE = 300 };
    static uint64_t numbers[N];
    static pn_message batch[N], out[TAKE];
    pn_queue *q = make_queue(0, 0);
    uint32_t done;
    for (int i = 0; i < N; i++) numbers[i] = (uint64_t)i, batch[i] = (pn_message){&numbers[i], 8, PN_TAG_USER, 0, 0};
    static char large[50000];
    batch[2500] = (pn_message){large, sizeof large, PN_TAG_USER, 0, 0};
    CHECK(pn_queue_try_put(q, pn_self(), batch, N, &done) == PN_OK && done == N);
    for (uint64_t next = 0; next < N;) {
        CHECK(pn_queue_try_get(q, pn_self(), &scratch, out, TAKE, &done, NULL) == PN_OK && done >= 1 && done <= TAKE);
        for (uint32_t i = 0; i < done; i++, next++) {
            CHECK(out[i].sequence == next && (next == 2500 || memcmp(out[i].bytes, &next, 8) == 0));
            CHECK((out[i].outside != 0) == (next == 2500) && (next != 2500 || done == 1));
            pn_queue_release_message(&out[i]);
        }
    }
}

TEST(a_buffer_travels_without_a_copy) {
    pn_queue *q = make_queue(0, 0);
    pn_off buffer;
    pn_message message;
    uint32_t done;
    CHECK(pn_buffer_create(100, &buffer) == PN_OK);
    memset(pn_buffer_bytes(buffer), 7, 100);
    CHECK(pn_queue_try_put(q, pn_self(), &(pn_message){pn_buffer_bytes(buffer), 100, 3, 0, buffer}, 1, &done) == PN_OK);
    uint64_t used = pn_heap_in_use();
    pn_buffer_free(buffer); /* it is the queue's */
    CHECK(pn_heap_in_use() == used);
    get(q, &message);
    CHECK(message.outside == buffer && message.bytes == pn_buffer_bytes(buffer) && message.size == 100 && message.tag == 3);
    pn_queue_release_message(&message);
    CHECK(message.outside == 0 && pn_heap_in_use() < used);
}

TEST(memory_does_not_grow_while_messages_pass_through) {
    static char large[100000];
    pn_queue *q = make_queue(0, 0);
    pn_message message;
    uint64_t most = 0;
    for (uint64_t i = 0; i < 200000; i++) {
        put_number(q, i);
        if (i % 1000 == 0) put(q, large, sizeof large);
        if (i >= 100) get(q, &message), pn_queue_release_message(&message);
        if (i == 50000) most = pn_heap_in_use();
    }
    CHECK(pn_heap_in_use() <= most + 4 * 100000);
}

TEST(a_full_heap_is_an_error_and_the_queue_stays_whole) {
    static char large[30000];
    pn_queue *q = make_queue(0, 0);
    pn_message message;
    uint64_t n = 0, got = 0;
    pn_code code;
    pn_header()->cap = 1 << 20;
    while ((code = try_put(q, large, sizeof large)) == PN_OK) n++;
    CHECK(code == PN_NOMEM && n > 20 && pn_queue_size(q) == n);
    while (try_get(q, &message) == PN_OK) CHECK(message.size == sizeof large && message.sequence == got++);
    CHECK(got == n);
    put_number(q, 7);
    CHECK(get_number(q) == 7);
}

TEST(unfinished_tasks_are_counted) {
    pn_queue *q = make_queue(0, PN_QUEUE_JOINABLE);
    CHECK(pn_queue_task_done(q, 1) == PN_OVERFLOW && pn_queue_wait_all_done(q, PN_NOW) == PN_OK);
    for (uint64_t i = 0; i < 3; i++) put_number(q, i);
    CHECK(pn_queue_unfinished(q) == 3 && pn_queue_task_done(q, 2) == PN_OK && pn_queue_unfinished(q) == 1);
    CHECK(pn_queue_wait_all_done(q, pn_clock() + 5 * MS) == PN_TIMEOUT && pn_queue_wait_all_done(q, PN_NOW) == PN_TIMEOUT);
    CHECK(pn_queue_task_done(q, 2) == PN_OVERFLOW && pn_queue_task_done(q, 1) == PN_OK);
    CHECK(pn_queue_wait_all_done(q, PN_FOREVER) == PN_OK && pn_queue_size(q) == 3);
}

TEST(a_queue_shut_down_is_drained_and_then_refuses) {
    pn_queue *q = make_queue(2, PN_QUEUE_JOINABLE);
    pn_message message;
    put_number(q, 1);
    put_number(q, 2);
    pn_queue_shut_down(q, pn_self(), false);
    CHECK(try_put(q, "x", 1) == PN_SHUT_DOWN && pn_queue_size(q) == 2);
    CHECK(pn_queue_wait_not_full(q, PN_FOREVER) == PN_OK); /* so that who waits finds out */
    CHECK(get_number(q) == 1 && get_number(q) == 2 && try_get(q, &message) == PN_SHUT_DOWN);
    CHECK(pn_queue_wait_not_empty(q, PN_FOREVER) == PN_OK && pn_queue_unfinished(q) == 2);
}

TEST(an_immediate_shutdown_drops_what_waits) {
    static char large[100000];
    pn_queue *q = make_queue(0, PN_QUEUE_JOINABLE);
    pn_message message;
    uint64_t base = pn_heap_in_use();
    for (uint64_t i = 0; i < 1000; i++) put_number(q, i);
    for (int i = 0; i < 5; i++) put(q, large, sizeof large);
    CHECK(get_number(q) == 0 && get_number(q) == 1);
    pn_queue_shut_down(q, pn_self(), true);
    CHECK(pn_queue_unfinished(q) == 2 && pn_queue_size(q) == 0 && pn_queue_is_empty(q));
    CHECK(try_get(q, &message) == PN_SHUT_DOWN && try_put(q, "x", 1) == PN_SHUT_DOWN);
    CHECK(pn_heap_in_use() <= base + 128 * 1024);
    CHECK(pn_queue_task_done(q, 2) == PN_OK && pn_queue_task_done(q, 1) == PN_OVERFLOW);
    CHECK(pn_queue_wait_all_done(q, PN_FOREVER) == PN_OK);
    pn_queue_shut_down(q, pn_self(), true); /* again: nothing */
    CHECK(pn_queue_unfinished(q) == 0);
}

TEST(a_queue_that_goes_takes_its_messages_along) {
    static char large[100000];
    (void)pn_self();
    pn_off event;
    CHECK(pn_object_create(64, PN_KIND_EVENT, &event) == PN_OK);
    uint64_t base = pn_heap_in_use();
    pn_queue *q = make_queue(0, 0);
    for (uint64_t i = 0; i < 20000; i++) put_number(q, i);
    for (int i = 0; i < 5; i++) put(q, large, sizeof large);
    pn_object_detach((pn_off)shared->words[QUEUE]);
    CHECK(pn_heap_in_use() == base);
}

#define WOKEN ((SANITIZED ? 10000 : 400) * MS) /* sooner than the backstop: somebody woke us */

/* ── waiting ─────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int get_one(intptr_t expected) { return get_number(the_queue()) == (uint64_t)expected ? 0 : 3; }
static int get_until_shut_down(intptr_t unused) {
    pn_message message;
    pn_code code;
    while ((code = try_get(the_queue(), &message)) == PN_EMPTY) CHECK(pn_queue_wait_not_empty(the_queue(), PN_FOREVER) != PN_TIMEOUT);
    return code == PN_SHUT_DOWN ? (int)unused : 3;
}
static int put_until_shut_down(intptr_t unused) {
    pn_code code;
    while ((code = try_put(the_queue(), "x", 1)) == PN_FULL) CHECK(pn_queue_wait_not_full(the_queue(), PN_FOREVER) != PN_TIMEOUT);
    return code == PN_SHUT_DOWN ? (int)unused : 3;
}
static int put_one(intptr_t number) { return put_number(the_queue(), (uint64_t)number), 0; }
static int join(intptr_t unused) {
    pn_code code;
    do code = pn_queue_wait_all_done(the_queue(), PN_FOREVER);
    while (code == PN_INTERRUPTED);
    return code == PN_OK ? (int)unused : 3;
}

TEST(sleeping_consumers_are_woken_one_for_each_message) {
    pid_t pids[4];
    pn_queue *q = make_queue(0, 0);
    for (int i = 0; i < 4; i++) pids[i] = start(get_one, 7);
    AWAIT_SLEEPERS(4, PN_WAIT_QUEUE_GET);
    CHECK(atomic_load(&q->not_empty.word) >> 32 >= 4);
    int64_t begun = pn_clock();
    for (int i = 0; i < 4; i++) put_number(q, 7);
    for (int i = 0; i < 4; i++) CHECK(reap_and_tell(pids[i]) == 0);
    CHECK(pn_clock() - begun < WOKEN);
    CHECK(atomic_load(&q->not_empty.word) >> 32 <= 4);
}

TEST(a_sleeping_producer_is_woken) {
    pn_queue *q = make_queue(1, 0);
    put_number(q, 1);
    pid_t pid = start(put_one, 2);
    AWAIT_SLEEPERS(1, PN_WAIT_QUEUE_PUT);
    int64_t begun = pn_clock();
    CHECK(get_number(q) == 1 && get_number(q) == 2 && reap_and_tell(pid) == 0);
    CHECK(pn_clock() - begun < WOKEN);
}

TEST(a_sleeping_joiner_is_woken) {
    pn_queue *q = make_queue(0, PN_QUEUE_JOINABLE);
    put_number(q, 1);
    pid_t pid = start(join, 0);
    AWAIT_SLEEPERS(1, PN_WAIT_QUEUE_JOIN);
    int64_t begun = pn_clock();
    CHECK(get_number(q) == 1 && pn_queue_task_done(q, 1) == PN_OK && reap_and_tell(pid) == 0);
    CHECK(pn_clock() - begun < WOKEN);
}

TEST(a_shutdown_wakes_everybody) {
    pid_t pids[6];
    pn_queue *q = make_queue(1, 0);
    for (int i = 0; i < 3; i++) pids[i] = start(get_until_shut_down, 0);
    AWAIT_SLEEPERS(3, PN_WAIT_QUEUE_GET);
    int64_t begun = pn_clock();
    pn_queue_shut_down(q, pn_self(), false);
    for (int i = 0; i < 3; i++) CHECK(reap_and_tell(pids[i]) == 0);
    CHECK(pn_clock() - begun < WOKEN);
    q = make_queue(1, PN_QUEUE_JOINABLE);
    put_number(q, 1);
    for (int i = 0; i < 3; i++) pids[i] = start(put_until_shut_down, 0);
    for (int i = 3; i < 6; i++) pids[i] = start(join, 0);
    AWAIT_SLEEPERS(3, PN_WAIT_QUEUE_PUT);
    AWAIT_SLEEPERS(3, PN_WAIT_QUEUE_JOIN);
    begun = pn_clock();
    pn_queue_shut_down(q, pn_self(), true);
    for (int i = 0; i < 6; i++) CHECK(reap_and_tell(pids[i]) == 0);
    CHECK(pn_clock() - begun < WOKEN);
}

TEST(waits_end_at_their_deadline) {
    pn_queue *q = make_queue(1, PN_QUEUE_JOINABLE);
    int64_t begun = pn_clock();
    CHECK(pn_queue_wait_not_empty(q, begun + 20 * MS) == PN_TIMEOUT && pn_clock() - begun >= 20 * MS);
    CHECK(atomic_load(&q->not_empty.word) >> 32 == 0); /* it took itself off */
    put_number(q, 1);
    CHECK(pn_queue_wait_not_full(q, pn_clock() + 5 * MS) == PN_TIMEOUT);
    CHECK(atomic_load(&q->not_full.word) >> 32 == 0);
}

static int select_two(intptr_t unused) {
    uint32_t key;
    _Atomic uint32_t *word = pn_queue_readable_word(the_queue(), &key);
    CHECK(pn_queue_is_empty(the_queue()));
    atomic_store(&shared->words[READY], 1);
    while (pn_futex_wait(word, key, PN_FOREVER) != PN_OK || atomic_load(word) == key) continue;
    pn_queue_leave_readable(the_queue(), key);
    return get_number(the_queue()) == 9 ? (int)unused : 3;
}

TEST(a_selecting_process_is_woken_by_a_message) {
    pn_queue *q = make_queue(0, 0);
    pid_t pid = start(select_two, 0);
    AWAIT(atomic_load(&shared->words[READY]) != 0);
    put_number(q, 9);
    CHECK(reap_and_tell(pid) == 0);
}

/* ── many processes ──────────────────────────────────────────────────────────────────────────────────────────────────── */

enum { PER_PRODUCER = SANITIZED ? 20000 : 250000, LAST = 0xffff };

/* number = producer << 40 | n; every 997th message is a large one, sizes vary. */
static int produce(intptr_t producer) {
    static char bytes[70000];
    uint64_t dice = (uint64_t)producer + 1;
    for (uint64_t n = 0; n < PER_PRODUCER; n++) {
        uint64_t number = (uint64_t)producer << 40 | n;
        dice = dice * 6364136223846793005ull + 1442695040888963407ull;
        memcpy(bytes, &number, 8);
        put(the_queue(), bytes, n % 997 == 0 ? 40000 + dice % 30000 : 8 + (dice >> 40) % (n % 16 == 0 ? 1500 : 24));
    }
    return 0;
}

static int consume(intptr_t consumer) {
    uint64_t next[16] = {0}, sum = 0, count = 0, number;
    while ((number = get_number(the_queue())) >> 40 != LAST) {
        uint64_t producer = number >> 40, n = number & 0xffffffffff;
        CHECK(producer < 16 && n >= next[producer]); /* of one producer: in order, none twice */
        next[producer] = n + 1;
        sum += number;
        count++;
    }
    atomic_store(&shared->words[SUM + consumer], (int64_t)sum);
    atomic_store(&shared->words[COUNT + consumer], (int64_t)count);
    return 0;
}

static void produce_and_consume(int producers, int consumers, uint32_t maxsize) {
    pid_t pids[16];
    pn_queue *q = make_queue(maxsize, 0);
    uint64_t sum = 0, count = 0, expected = 0, base = pn_heap_in_use();
    int64_t begun = pn_clock();
    for (int i = 0; i < consumers; i++) pids[8 + i] = start(consume, i);
    for (int i = 0; i < producers; i++) pids[i] = start(produce, i);
    for (int i = 0; i < producers; i++) CHECK(reap_and_tell(pids[i]) == 0);
    for (int i = 0; i < consumers; i++) put_number(q, (uint64_t)LAST << 40);
    for (int i = 0; i < consumers; i++) CHECK(reap_and_tell(pids[8 + i]) == 0);
    for (int i = 0; i < consumers; i++) sum += (uint64_t)shared->words[SUM + i], count += (uint64_t)shared->words[COUNT + i];
    for (int i = 0; i < producers; i++) expected += ((uint64_t)i << 40) * PER_PRODUCER + (uint64_t)PER_PRODUCER * (PER_PRODUCER - 1) / 2;
    CHECK(count == (uint64_t)PER_PRODUCER * (uint64_t)producers && sum == expected && pn_queue_is_empty(q));
    printf("         %dP%dC, maxsize %u: %.2f M messages/s\n", producers, consumers, maxsize, (double)count * 1e3 / (double)(pn_clock() - begun));
    pn_sweep_dead();
    CHECK(pn_heap_in_use() <= base + 128 * 1024);
}

TEST(one_producer_and_one_consumer_lose_nothing) { produce_and_consume(1, 1, 0); }
TEST(four_producers_and_one_consumer_lose_nothing) { produce_and_consume(4, 1, 0); }
TEST(one_producer_and_four_consumers_lose_nothing) { produce_and_consume(1, 4, 0); }
TEST(three_producers_and_three_consumers_lose_nothing_in_a_bounded_queue) { produce_and_consume(3, 3, 100); }
TEST(four_producers_and_four_consumers_lose_nothing) { produce_and_consume(4, 4, 0); }
TEST(two_producers_and_two_consumers_lose_nothing_one_at_a_time) { produce_and_consume(1, 2, 1); }

/* Threads of one process share its ledger; and the thread sanitizer sees them. */
typedef struct thread_work { int index; uint64_t count; } thread_work;

static void *produce_in_thread(void *argument) {
    thread_work *work = argument;
    static _Thread_local char bytes[40000];
    for (uint64_t n = 0; n < PER_PRODUCER / 10; n++) {
        uint64_t number = (uint64_t)work->index << 40 | n;
        memcpy(bytes, &number, 8);
        put(the_queue(), bytes, n % 50 == 0 ? sizeof bytes : 8 + n % 100);
    }
    return NULL;
}

static void *consume_in_thread(void *argument) {
    thread_work *work = argument;
    pn_scratch own = {NULL, 0};
    pn_message message;
    uint64_t next[4] = {0}, number;
    uint32_t done;
    for (;; work->count++) {
        while (pn_queue_try_get(the_queue(), pn_self(), &own, &message, 1, &done, NULL) != PN_OK) (void)pn_queue_wait_not_empty(the_queue(), PN_FOREVER);
        if ((number = number_in(&message)) >> 40 == LAST) break;
        CHECK(number >> 40 < 4 && (number & 0xffffffffff) >= next[number >> 40]);
        next[number >> 40] = (number & 0xffffffffff) + 1;
    }
    free(own.bytes);
    return NULL;
}

TEST(threads_of_one_process_lose_nothing) {
    thread_work work[8] = {{0}};
    pthread_t threads[8];
    uint64_t count = 0, base;
    pn_queue *q = make_queue(50, 0);
    base = pn_heap_in_use();
    for (int i = 0; i < 8; i++) {
        work[i].index = i % 4;
        CHECK(pthread_create(&threads[i], NULL, i < 4 ? produce_in_thread : consume_in_thread, &work[i]) == 0);
    }
    for (int i = 0; i < 4; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    for (int i = 0; i < 4; i++) put_number(q, (uint64_t)LAST << 40);
    for (int i = 4; i < 8; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    for (int i = 4; i < 8; i++) count += work[i].count;
    CHECK(count == 4 * (PER_PRODUCER / 10) && pn_heap_in_use() <= base + 128 * 1024);
}

/* ── how fast ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

TEST(speed_is_printed) {
    enum { N = SANITIZED ? 50000 : 1000000 };
    pn_queue *q = make_queue(0, 0);
    uint64_t number = 1;
    pn_message in = {&number, 8, 0, 0, 0}, out[100];
    uint32_t done;
    int64_t t0 = pn_clock();
    for (int i = 0; i < N; i++) {
        (void)pn_queue_try_put(q, pn_self(), &in, 1, &done);
        (void)pn_queue_try_get(q, pn_self(), &scratch, out, 1, &done, NULL);
    }
    int64_t t1 = pn_clock();
    for (int i = 0; i < N; i++) (void)pn_queue_try_put(q, pn_self(), &in, 1, &done);
    int64_t t2 = pn_clock();
    for (int i = 0; i < N; i++) (void)pn_queue_try_get(q, pn_self(), &scratch, out, 1, &done, NULL);
    int64_t t3 = pn_clock();
    CHECK(pn_queue_is_empty(q));
    printf("         8 bytes: put and get %.1f ns; put alone %.1f ns, get alone %.1f ns\n", (double)(t1 - t0) / N, (double)(t2 - t1) / N, (double)(t3 - t2) / N);
}

TESTS(RUN(messages_of_all_sizes_come_out_whole_and_in_order), RUN(a_bounded_queue_is_full_at_its_size),
      RUN(batches_go_in_and_come_out_together), RUN(a_buffer_travels_without_a_copy),
      RUN(memory_does_not_grow_while_messages_pass_through), RUN(a_full_heap_is_an_error_and_the_queue_stays_whole),
      RUN(unfinished_tasks_are_counted), RUN(a_queue_shut_down_is_drained_and_then_refuses), RUN(an_immediate_shutdown_drops_what_waits),
      RUN(a_queue_that_goes_takes_its_messages_along), RUN(sleeping_consumers_are_woken_one_for_each_message),
      RUN(a_sleeping_producer_is_woken), RUN(a_sleeping_joiner_is_woken), RUN(a_shutdown_wakes_everybody),
      RUN(waits_end_at_their_deadline), RUN(a_selecting_process_is_woken_by_a_message), RUN(one_producer_and_one_consumer_lose_nothing),
      RUN(four_producers_and_one_consumer_lose_nothing), RUN(one_producer_and_four_consumers_lose_nothing),
      RUN(three_producers_and_three_consumers_lose_nothing_in_a_bounded_queue), RUN(four_producers_and_four_consumers_lose_nothing),
      RUN(two_producers_and_two_consumers_lose_nothing_one_at_a_time), RUN(threads_of_one_process_lose_nothing), RUN(speed_is_printed))
