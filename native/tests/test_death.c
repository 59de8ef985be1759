/* test_death.c: who waits for a dead one is told, promptly, however it died, with and without futex_waitv. */
#include "harness.h"

#define TOLD_WITHIN (400 * MS) /* less than the backstop: so it was the death that woke them */
enum { LOCK, HELD, TOLD, KILLED_AT, GO, TOLD_AT = 10, OWNER = 100 };

static pn_lock *the_lock(void) { return pn_at((pn_off)atomic_load(&shared->words[LOCK])); }

static void make_lock(void) {
    pn_off lock = 0;
    CHECK(pn_lock_create(false, &lock) == PN_OK);
    atomic_store(&shared->words[LOCK], (int64_t)lock);
}

static void hold(void) {
    CHECK(pn_lock_try(the_lock(), pn_self()) == PN_OK);
    atomic_store(&shared->words[OWNER], (int64_t)pn_self());
    atomic_store(&shared->words[HELD], 1);
}

static int hold_for_ever(intptr_t unused) {
    hold();
    for (;;) pause();
    return (int)unused;
}

static pn_code acquire(pn_deadline deadline) {
    pn_code code;
    do code = pn_lock_acquire_slow(the_lock(), pn_self(), deadline);
    while (code == PN_INTERRUPTED);
    return code;
}

static int wait_to_be_told(intptr_t index) {
    CHECK(acquire(PN_FOREVER) == PN_OWNER_DIED);
    atomic_store(&shared->words[TOLD_AT + index], pn_clock());
    return 0;
}

static void print_delays(const char *how, int waiters, int64_t *worst, int rounds) {
    int64_t sum = 0, top = 0;
    for (int i = 0; i < rounds; i++) {
        sum += worst[i];
        if (worst[i] > top) top = worst[i];
    }
    printf("         %s, %d waiters, the last one told after %.3f ms (mean), %.3f ms (worst of %d)\n", how, waiters,
           (double)sum / rounds / 1e6, (double)top / 1e6, rounds);
}

/* The last of `waiters` is told after … ns. `killed`: whether the holder is killed by us or dies by itself. */
static int64_t one_death(int (*holder)(intptr_t), int waiters, bool killed, bool reaped_first) {
    pid_t pids[16];
    atomic_store(&shared->words[HELD], 0);
    atomic_store(&shared->words[GO], 0);
    pid_t held_by = start(holder, 0);
    AWAIT(atomic_load(&shared->words[HELD]) == 1);
    for (int i = 0; i < waiters; i++) pids[i] = start(wait_to_be_told, i);
    AWAIT_SLEEPERS(waiters, PN_WAIT_LOCK);
    int64_t last = 0;
    atomic_store(&shared->words[KILLED_AT], pn_clock());
    atomic_store(&shared->words[GO], 1);
    if (killed) kill(held_by, SIGKILL);
    if (reaped_first) reap(held_by);
    for (int i = 0; i < waiters; i++) CHECK(reap(pids[i]) == 0);
    for (int i = 0; i < waiters; i++) {
        int64_t told_after = atomic_load(&shared->words[TOLD_AT + i]) - atomic_load(&shared->words[KILLED_AT]);
        CHECK(told_after > 0 && told_after < TOLD_WITHIN);
        if (told_after > last) last = told_after;
    }
    CHECK(pn_lock_is_orphaned(the_lock()) && pn_lock_owner(the_lock()) == (pn_owner)atomic_load(&shared->words[OWNER]));
    CHECK(pn_lock_recover(the_lock()) && !pn_lock_recover(the_lock()) && pn_lock_owner(the_lock()) == 0);
    if (!reaped_first) {
        kill(held_by, SIGKILL);
        reap(held_by);
    }
    pn_process_reaped((uint32_t)held_by, -SIGKILL);
    return last;
}

static void many_deaths(const char *how, int waiters, int rounds, bool reaped_first) {
    int64_t worst[32];
    make_lock();
    for (int i = 0; i < rounds; i++) worst[i] = one_death(hold_for_ever, waiters, true, reaped_first);
    print_delays(how, waiters, worst, rounds);
}

TEST(one_waiter_is_told_that_the_holder_was_killed) { many_deaths("zombie", 1, 30, false); }
TEST(eight_waiters_are_told_that_the_holder_was_killed) { many_deaths("zombie", 8, 15, false); }
TEST(waiters_are_told_of_a_reaped_holder_too) { many_deaths("reaped", 2, 10, true); }

TEST(without_waitv_waiters_are_told_within_slices) {
    pn_forbid_wait_any(true);
    many_deaths("slices", 3, 5, false);
}

TEST(without_the_life_word_waiters_are_told_within_slices) {
    setenv("PROCESSION_NO_LIFE_WORD", "1", 1);
    many_deaths("trylock", 3, 5, false);
}

static void *hold_in_thread(void *unused) {
    hold();
    return unused;
}

static int hold_by_thread(intptr_t unused) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, hold_in_thread, NULL) == 0 && pthread_join(thread, NULL) == 0);
    for (;;) pause();
    return (int)unused;
}

TEST(a_process_registered_by_another_thread_lives_on_when_that_thread_ends) {
    make_lock();
    pid_t holder = start(hold_by_thread, 0);
    AWAIT(atomic_load(&shared->words[HELD]) == 1);
    pn_owner owner = (pn_owner)atomic_load(&shared->words[OWNER]);
    AWAIT(pn_thread_is_gone((uint32_t)holder, pn_owner_tid(owner)));
    CHECK(pn_owner_tid(owner) != (uint32_t)holder && pn_owner_is_alive(owner));
    CHECK(acquire(PN_NOW) == PN_TIMEOUT && acquire(pn_clock() + 20 * MS) == PN_TIMEOUT);
    kill(holder, SIGKILL);
    reap(holder);
    CHECK(!pn_owner_is_alive(owner) && acquire(PN_NOW) == PN_OWNER_DIED);
}

TEST(the_death_of_a_process_registered_by_another_thread_is_told) {
    make_lock();
    (void)one_death(hold_by_thread, 2, true, false);
}

static void await_go(void) {
    AWAIT(atomic_load(&shared->words[GO]) == 1);
    atomic_store(&shared->words[KILLED_AT], pn_clock());
}

static int hold_and_exit(intptr_t leave) {
    hold();
    await_go();
    if (leave) pn_process_leave(0);
    while (leave) pause(); /* it goes on without us */
    return 0;
}
static int hold_and_leave(intptr_t unused) { return hold_and_exit(unused + 1); }

static int hold_and_exec(intptr_t unused) {
    hold();
    await_go();
    execlp("sleep", "sleep", "100", (char *)NULL);
    return (int)unused + 1;
}

TEST(a_holder_that_exits_leaves_or_execs_counts_as_dead_at_once) {
    make_lock();
    (void)one_death(hold_and_exit, 2, false, false);
    (void)one_death(hold_and_leave, 2, false, false);
    (void)one_death(hold_and_exec, 2, false, false);
}

static int die_being_told(intptr_t point) {
    static const char *const points[] = {"life.cascade.before_wake", "lock.orphan.after_cas", "wait.sleep.after"};
    CHECK(pn_fault_arm(points[point], PN_FAULT_KILL, 0) == PN_OK);
    return wait_to_be_told(9);
}

TEST(waiters_are_told_though_the_first_one_told_is_killed_in_the_act) {
    make_lock();
    for (int point = 0; point < 3; point++) {
        atomic_store(&shared->words[HELD], 0);
        pid_t holder = start(hold_for_ever, 0), pids[4];
        AWAIT(atomic_load(&shared->words[HELD]) == 1);
        pid_t mortal = start(die_being_told, point);
        AWAIT_SLEEPERS(1, PN_WAIT_LOCK); /* it is the first in the kernel's queue */
        for (int i = 0; i < 4; i++) pids[i] = start(wait_to_be_told, i);
        AWAIT_SLEEPERS(5, PN_WAIT_LOCK);
        kill(holder, SIGKILL);
        for (int i = 0; i < 4; i++) CHECK(reap(pids[i]) == 0); /* at the latest by the backstop */
        (void)reap(mortal);
        (void)reap(holder);
        CHECK(pn_lock_recover(the_lock()));
    }
}

TESTS(RUN(one_waiter_is_told_that_the_holder_was_killed), RUN(eight_waiters_are_told_that_the_holder_was_killed),
      RUN(waiters_are_told_of_a_reaped_holder_too), RUN(without_waitv_waiters_are_told_within_slices),
      RUN(without_the_life_word_waiters_are_told_within_slices),
      RUN(a_process_registered_by_another_thread_lives_on_when_that_thread_ends),
      RUN(the_death_of_a_process_registered_by_another_thread_is_told),
      RUN(a_holder_that_exits_leaves_or_execs_counts_as_dead_at_once),
      RUN(waiters_are_told_though_the_first_one_told_is_killed_in_the_act))
