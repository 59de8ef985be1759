/* test_threads.c: threads of one process only: what ThreadSanitizer can judge. */
#include "harness.h"

enum { THREADS = 6, READY = 1, TIMES = SANITIZED ? 2000 : 50000 };

static pn_lock *lock, *rlock;
static pn_section *section;
static int64_t by_lock, by_rlock, by_section; /* plain: the locks order them, or the sanitizer says so */

static void take(pn_lock *which, bool recursive) {
    pn_owner me = pn_self();
    pn_code code;
    do code = recursive ? pn_rlock_acquire(which, me, PN_FOREVER) : pn_lock_acquire_slow(which, me, PN_FOREVER);
    while (code == PN_INTERRUPTED);
    CHECK(code == PN_OK);
}

static void *use_everything(void *barrier) {
    pthread_barrier_wait(barrier);
    CHECK(pn_self() != 0); /* all register at once */
    pthread_barrier_wait(barrier);
    for (int i = 0; i < TIMES; i++) {
        take(lock, false);
        by_lock++;
        CHECK(pn_lock_release(lock) == PN_OK);
        take(rlock, true);
        take(rlock, true);
        by_rlock++;
        CHECK(pn_rlock_release(rlock, pn_self()) == PN_OK && pn_rlock_release(rlock, pn_self()) == PN_OK);
        CHECK(pn_section_enter(section, pn_self()) == PN_OK);
        by_section++;
        pn_section_leave(section);
    }
    return (void *)(uintptr_t)pn_self();
}

TEST(threads_register_once_and_exclude_each_other) {
    pthread_t threads[THREADS];
    pthread_barrier_t barrier;
    pn_owner owners[THREADS];
    CHECK(pn_arena_open() == PN_OK);
    section = pn_at(6ull << 20); /* between the table and the heap: nobody else is there */
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], NULL, use_everything, &barrier) == 0);
    pthread_barrier_wait(&barrier);
    pn_off first = 0, second = 0;
    CHECK(pn_lock_create(false, &first) == PN_OK && pn_lock_create(true, &second) == PN_OK);
    lock = pn_at(first);
    rlock = pn_at(second);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < THREADS; i++) {
        void *owner = NULL;
        pthread_join(threads[i], &owner);
        owners[i] = (pn_owner)(uintptr_t)owner;
        CHECK(pn_owner_slot(owners[i]) == pn_owner_slot(pn_self()) && pn_owner_gen(owners[i]) == pn_owner_gen(pn_self()));
        for (int j = 0; j < i; j++) CHECK(pn_owner_tid(owners[j]) != pn_owner_tid(owners[i]));
    }
    CHECK(pn_slots_in_use() == 2);
    CHECK(by_lock == THREADS * TIMES && by_rlock == THREADS * TIMES && by_section == THREADS * TIMES);
}

static _Atomic int hooked;
static void hook(const char *name) {
    CHECK(strcmp(name, "lock.release.before_wake") == 0);
    atomic_fetch_add(&hooked, 1);
}

TEST(fault_points_act_at_the_hit_that_was_asked_for) {
    pn_off made = 0;
    CHECK(pn_lock_create(false, &made) == PN_OK);
    pn_lock *one = pn_at(made);
    CHECK(pn_fault_arm("lock.release.*", PN_FAULT_RAISE, 1) == PN_OK && atomic_load(&pn_faults_armed) == 1);
    pn_lock_wake(one);
    CHECK(!pn_fault_take_raise());
    pn_lock_wake(one);
    CHECK(pn_fault_take_raise() && !pn_fault_take_raise() && atomic_load(&pn_faults_armed) == 0);
    pn_fault_set_hook(hook);
    CHECK(pn_fault_arm("lock.release.before_wake", PN_FAULT_HOOK, 0) == PN_OK);
    for (int i = 0; i < 3; i++) pn_lock_wake(one);
    CHECK(atomic_load(&hooked) == 3);
    pn_fault_disarm_all();
    pn_lock_wake(one);
    CHECK(atomic_load(&hooked) == 3 && atomic_load(&pn_faults_armed) == 0);
    char too_long[200];
    memset(too_long, 'x', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    CHECK(pn_fault_arm(too_long, PN_FAULT_KILL, 0) == PN_TOO_BIG);
    for (int i = 0; i < 16; i++) CHECK(pn_fault_arm("never.hit", PN_FAULT_KILL, 0) == PN_OK);
    CHECK(pn_fault_arm("never.hit", PN_FAULT_KILL, 0) == PN_FULL);
}

static _Atomic uint32_t morning;

static void *sleep_once(void *unused) {
    pn_wait_target target = {&morning, 0, PN_WAIT_EVENT, 0, NULL, 0};
    while (atomic_load(&morning) == 0) CHECK(pn_sleep(&target, PN_FOREVER) == PN_OK);
    return unused;
}

TEST(more_sleepers_than_rows_sleep_all_the_same) {
    pthread_t threads[2 * PN_WAIT_ROWS];
    CHECK(pn_self() != 0);
    for (int i = 0; i < 2 * PN_WAIT_ROWS; i++) CHECK(pthread_create(&threads[i], NULL, sleep_once, NULL) == 0);
    AWAIT_SLEEPERS(PN_WAIT_ROWS, PN_WAIT_EVENT);
    atomic_store(&morning, 1);
    pn_futex_wake(&morning, INT_MAX);
    for (int i = 0; i < 2 * PN_WAIT_ROWS; i++) pthread_join(threads[i], NULL);
    CHECK(sleepers(PN_WAIT_EVENT) == 0);
}

static _Atomic uint32_t ball;
static pn_spin spin_state[2];

static void *return_the_ball(void *unused) {
    for (uint32_t i = 0; i < TIMES; i++) {
        while (!pn_spin_while(&spin_state[1], &ball, 2 * i)) sched_yield();
        pn_spin_note_cpu(&spin_state[0], pn_cpu());
        atomic_store(&ball, 2 * i + 2);
    }
    return unused;
}

TEST(spinning_sees_every_change_and_its_budget_stays_within_its_cap) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, return_the_ball, NULL) == 0);
    int64_t begun = pn_clock();
    for (uint32_t i = 0; i < TIMES; i++) {
        atomic_store(&ball, 2 * i + 1);
        pn_spin_note_cpu(&spin_state[1], pn_cpu());
        while (!pn_spin_while(&spin_state[0], &ball, 2 * i + 1)) sched_yield();
    }
    printf("         ball there and back: %.0f ns\n", (double)(pn_clock() - begun) / TIMES);
    pthread_join(thread, NULL);
    for (int i = 0; i < 2; i++) CHECK(atomic_load(&spin_state[i].budget) * 4 <= 20000);
    pn_spin_note_cpu(&spin_state[0], pn_cpu());
}

TESTS(RUN(threads_register_once_and_exclude_each_other), RUN(fault_points_act_at_the_hit_that_was_asked_for),
      RUN(more_sleepers_than_rows_sleep_all_the_same), RUN(spinning_sees_every_change_and_its_budget_stays_within_its_cap))
