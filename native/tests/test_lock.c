/* test_lock.c: Lock and RLock: exclusive, in time, released by others, interrupted by signals; their rows; the cost of a pair. */
#include <sys/time.h>
#include "harness.h"

enum { LOCK, READY, GO, COUNTER, DONE /* by steady ones, by mortal ones */ };

static pn_lock *make(bool recursive) {
    pn_off lock = 0;
    CHECK(pn_lock_create(recursive, &lock) == PN_OK);
    atomic_store(&shared->words[LOCK], (int64_t)lock);
    return pn_at(lock);
}
static pn_lock *the_lock(void) { return pn_at((pn_off)atomic_load(&shared->words[LOCK])); }

static pn_code acquire(pn_lock *lock, pn_deadline deadline) {
    pn_code code = pn_lock_try(lock, pn_self());
    while (code != PN_OK && (code = pn_lock_acquire_slow(lock, pn_self(), deadline)) == PN_INTERRUPTED) continue;
    return code;
}

static int add(intptr_t times) {
    volatile _Atomic int64_t *counter = &shared->words[COUNTER];
    for (intptr_t i = 0; i < times; i++) {
        CHECK(acquire(the_lock(), PN_FOREVER) == PN_OK);
        atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
        CHECK(pn_lock_release(the_lock()) == PN_OK);
    }
    return 0;
}

TEST(four_processes_count_together_under_one_lock) {
    pid_t pids[4];
    int times = SANITIZED ? 5000 : 200000;
    (void)make(false);
    int64_t begun = pn_clock();
    for (int i = 0; i < 4; i++) pids[i] = start(add, times);
    for (int i = 0; i < 4; i++) CHECK(reap(pids[i]) == 0);
    CHECK(atomic_load(&shared->words[COUNTER]) == 4 * times);
    printf("         contended by 4: %.0f ns a pair\n", (double)(pn_clock() - begun) / (4.0 * times));
}

TEST(a_pair_costs_nanoseconds) {
    pn_lock *lock = make(false);
    int times = SANITIZED ? 100000 : 5000000;
    pn_owner me = pn_self();
    int64_t begun = pn_clock();
    for (int i = 0; i < times; i++) {
        CHECK(pn_lock_try(lock, pn_self()) == PN_OK);
        CHECK(pn_lock_release(lock) == PN_OK);
    }
    printf("         uncontended: %.1f ns a pair\n", (double)(pn_clock() - begun) / times);
    lock = make(true);
    begun = pn_clock();
    for (int i = 0; i < times; i++) {
        CHECK(pn_rlock_acquire(lock, me, PN_FOREVER) == PN_OK);
        CHECK(pn_rlock_release(lock, me) == PN_OK);
    }
    printf("         RLock: %.1f ns a pair\n", (double)(pn_clock() - begun) / times);
}

static int hold_until_told(intptr_t unused) {
    CHECK(acquire(the_lock(), PN_FOREVER) == PN_OK);
    atomic_store(&shared->words[READY], 1);
    AWAIT(atomic_load(&shared->words[GO]) == 1);
    CHECK(pn_lock_release(the_lock()) == PN_OK);
    return (int)unused;
}

TEST(a_timeout_ends_at_its_deadline_and_leaves_the_lock_usable) {
    pn_lock *lock = make(false);
    pid_t holder = start(hold_until_told, 0);
    AWAIT(atomic_load(&shared->words[READY]) == 1);
    CHECK(acquire(lock, PN_NOW) == PN_TIMEOUT && acquire(lock, pn_clock() - 1) == PN_TIMEOUT);
    for (int ms = 1; ms <= 64; ms *= 8) {
        pn_deadline deadline = pn_clock() + ms * MS;
        CHECK(acquire(lock, deadline) == PN_TIMEOUT && pn_clock() >= deadline);
    }
    pn_forbid_wait_any(true);
    pn_deadline deadline = pn_clock() + 60 * MS; /* more than a slice */
    CHECK(acquire(lock, deadline) == PN_TIMEOUT && pn_clock() >= deadline && pn_clock() < deadline + 200 * MS);
    atomic_store(&shared->words[GO], 1);
    CHECK(acquire(lock, PN_FOREVER) == PN_OK);
    CHECK(reap(holder) == 0 && pn_lock_release(lock) == PN_OK && atomic_load(&lock->word) == 0);
}

static int release_it(intptr_t unused) {
    CHECK(pn_lock_release(the_lock()) == PN_OK);
    CHECK(pn_lock_release(the_lock()) == PN_NOT_HELD);
    return (int)unused;
}

TEST(any_process_may_release_a_lock_and_a_free_one_is_not_held) {
    pn_lock *lock = make(false);
    CHECK(acquire(lock, PN_FOREVER) == PN_OK && pn_lock_owner(lock) == pn_self());
    CHECK(reap(start(release_it, 0)) == 0);
    CHECK(pn_lock_owner(lock) == 0 && acquire(lock, PN_NOW) == PN_OK);
}

static int die_holding(intptr_t unused) {
    CHECK(acquire(the_lock(), PN_FOREVER) == PN_OK);
    pn_kill_now();
    return (int)unused;
}

TEST(an_orphan_stays_one_until_recovered_or_released) {
    pn_lock *lock = make(false);
    CHECK(reap(start(die_holding, 0)) == -SIGKILL);
    for (int i = 0; i < 3; i++) CHECK(acquire(lock, i == 0 ? PN_NOW : PN_FOREVER) == PN_OWNER_DIED);
    pn_owner dead = pn_lock_owner(lock);
    CHECK(dead != 0 && !pn_owner_is_alive(dead) && pn_lock_is_orphaned(lock));
    CHECK(pn_lock_recover(lock) && !pn_lock_recover(lock) && acquire(lock, PN_NOW) == PN_OK && !pn_lock_is_orphaned(lock));
    CHECK(pn_lock_release(lock) == PN_OK);
    CHECK(reap(start(die_holding, 0)) == -SIGKILL);
    CHECK(pn_lock_is_orphaned(lock) && pn_lock_release(lock) == PN_OK && acquire(lock, PN_NOW) == PN_OK);
}

static int die_recovering(intptr_t unused) {
    CHECK(pn_fault_arm("lock.*", PN_FAULT_KILL, 0) == PN_OK);
    (void)pn_lock_recover(the_lock());
    return (int)unused;
}

TEST(a_kill_while_orphaning_leaves_an_orphan) {
    pn_lock *lock = make(false);
    CHECK(reap(start(die_holding, 0)) == -SIGKILL);
    CHECK(reap(start(die_recovering, 0)) == -SIGKILL);
    CHECK(acquire(lock, PN_FOREVER) == PN_OWNER_DIED && pn_lock_recover(lock) && acquire(lock, PN_NOW) == PN_OK);
}

static int child_of_holder(intptr_t unused) {
    CHECK(pn_rlock_release(the_lock(), pn_self()) == PN_NOT_OWNER);
    CHECK(pn_rlock_acquire(the_lock(), pn_self(), pn_clock() + 5 * MS) == PN_TIMEOUT);
    return (int)unused;
}

TEST(an_rlock_counts_and_belongs_to_its_thread_not_to_its_children) {
    pn_lock *lock = make(true);
    pn_owner me = pn_self();
    uint32_t levels = 0;
    for (int i = 0; i < 3; i++) CHECK(pn_rlock_acquire(lock, me, PN_NOW) == PN_OK);
    CHECK(reap(start(child_of_holder, 0)) == 0);
    CHECK(pn_rlock_release_all(lock, me, &levels) == PN_OK && levels == 3 && pn_lock_owner(lock) == 0);
    CHECK(pn_rlock_release_all(lock, me, &levels) == PN_NOT_OWNER);
    CHECK(pn_rlock_acquire(lock, me, PN_NOW) == PN_OK);
    pn_rlock_restore(lock, levels);
    for (int i = 0; i < 3; i++) CHECK(pn_rlock_release(lock, me) == PN_OK);
    CHECK(pn_rlock_release(lock, me) == PN_NOT_OWNER && pn_lock_owner(lock) == 0);
}

static _Atomic int alarms;
static void on_alarm(int unused) {
    (void)unused;
    atomic_fetch_add(&alarms, 1);
}

static void alarm_every(long microseconds) {
    struct sigaction action = {.sa_handler = on_alarm}; /* no SA_RESTART: as Python installs them */
    struct itimerval timer = {{0, microseconds}, {0, microseconds}};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

TEST(signals_come_up_as_interrupted_and_do_not_move_the_deadline) {
    pn_lock *lock = make(false);
    pid_t holder = start(hold_until_told, 0);
    AWAIT(atomic_load(&shared->words[READY]) == 1);
    int interrupted = 0;
    for (int slices = 0; slices < 2; slices++) {
        pn_code code;
        pn_deadline deadline = pn_clock() + 100 * MS;
        alarm_every(3000);
        while ((code = pn_lock_acquire_slow(lock, pn_self(), deadline)) == PN_INTERRUPTED) interrupted++;
        alarm_every(0);
        CHECK(code == PN_TIMEOUT && pn_clock() >= deadline && pn_clock() < deadline + 200 * MS);
        pn_forbid_wait_any(true);
    }
    CHECK(interrupted > 4);
    kill(holder, SIGKILL);
    reap(holder);
}

TEST(the_backstop_brings_a_waiter_up_without_any_signal) {
    pn_lock *lock = make(false);
    pid_t holder = start(hold_until_told, 0);
    AWAIT(atomic_load(&shared->words[READY]) == 1);
    int64_t begun = pn_clock();
    CHECK(pn_lock_acquire_slow(lock, pn_self(), PN_FOREVER) == PN_INTERRUPTED);
    CHECK(pn_clock() - begun >= PN_BACKSTOP);
    kill(holder, SIGKILL);
    reap(holder);
}

static int wait_in_row(intptr_t unused) {
    return acquire(the_lock(), PN_FOREVER) == PN_OK ? (int)unused : 1;
}

static pn_wait_row *row_of(pid_t pid) {
    for (uint32_t index = 1; index < pn_slots_in_use(); index++)
        for (int row = 0; row < PN_WAIT_ROWS; row++)
            if (pn_slot(index)->pid == (uint32_t)pid && atomic_load(&pn_slot(index)->waits[row].tid) == (uint32_t)pid)
                return &pn_slot(index)->waits[row];
    return NULL;
}

TEST(a_row_says_who_waits_for_what_and_who_holds_it) {
    pn_lock *lock = make(false);
    CHECK(acquire(lock, PN_NOW) == PN_OK);
    pid_t waiter = start(wait_in_row, 0);
    AWAIT_SLEEPERS(1, PN_WAIT_LOCK);
    pn_wait_row *found = row_of(waiter);
    CHECK(found != NULL && found->object == pn_offset_of(lock) + offsetof(pn_lock, block) && found->held_by == pn_self());
    CHECK(found->since > 0 && found->since <= pn_clock() && found->deadline == PN_FOREVER);
    CHECK(pn_lock_release(lock) == PN_OK);
    CHECK(reap(waiter) == 0);
    int row = pn_wait_begin(PN_WAIT_PROCESS, 5, pn_clock(), 0);
    CHECK(row >= 0 && sleepers(PN_WAIT_PROCESS) == 1);
    pn_wait_end(row);
    CHECK(sleepers(PN_WAIT_PROCESS) == 0);
}

static int hold_or_be_told(intptr_t unused) {
    if (acquire(the_lock(), PN_FOREVER) == PN_OWNER_DIED) return 7;
    for (;;) pause();
    return (int)unused;
}

/* The row tells whose life is watched, and the time of the sleep that no backstop has brought it about. */
TEST(who_sleeps_on_after_a_release_watches_the_heir) {
    pn_lock *lock = make(false);
    pid_t waiters[2];
    pn_owner me = pn_self(), heir;
    CHECK(acquire(lock, PN_NOW) == PN_OK);
    for (int i = 0; i < 2; i++) waiters[i] = start(hold_or_be_told, 0);
    AWAIT_SLEEPERS(2, PN_WAIT_LOCK);
    AWAIT(is_asleep(waiters[0]) && is_asleep(waiters[1])); /* a row is written just before the sleep */
    int64_t released = pn_clock();
    CHECK(pn_lock_release(lock) == PN_OK);
    AWAIT((heir = pn_lock_owner(lock)) != 0 && heir != me);
    pid_t other = waiters[pn_slot(pn_owner_slot(heir))->pid == (uint32_t)waiters[0]];
    pn_wait_row *row;
    AWAIT((row = row_of(other)) != NULL && row->held_by == heir);
    CHECK(row->since - released < PN_BACKSTOP / 2);
    kill((pid_t)pn_slot(pn_owner_slot(heir))->pid, SIGKILL);
    CHECK(reap(other) == 7);
}

TEST(who_waits_for_a_lock_that_it_holds_itself_waits_and_its_deadline_counts) {
    pn_lock *lock = make(false);
    CHECK(acquire(lock, PN_NOW) == PN_OK && acquire(lock, pn_clock() + 20 * MS) == PN_TIMEOUT && pn_lock_owner(lock) == pn_self());
}

/* Whoever is inside writes its id: what it finds there must be nothing, or a dead one's. */
static int use_for_ever(intptr_t mortal) {
    for (;;) {
        pn_code code = acquire(the_lock(), PN_FOREVER);
        if (code == PN_OWNER_DIED) (void)pn_lock_recover(the_lock()); /* whoever is first */
        if (code != PN_OK) continue;
        pn_owner inside = (pn_owner)atomic_exchange(&shared->words[COUNTER], (int64_t)pn_self());
        CHECK(inside == 0 || !pn_owner_is_alive(inside));
        atomic_store(&shared->words[COUNTER], 0);
        atomic_fetch_add(&shared->words[DONE + mortal], 1);
        CHECK(pn_lock_release(the_lock()) == PN_OK);
    }
    return 0;
}

static int use_until_killed(intptr_t point) {
    static const char *const points[] = {"lock.acquire.before_sleep", "lock.acquire.after_cas", "lock.release.before_wake",
                                         "lock.orphan.after_cas", "wait.sleep.after", "lock.acquire.give_up"};
    CHECK(pn_self() != 0 && pn_fault_arm(points[point % 6], PN_FAULT_KILL, (uint32_t)point % 7) == PN_OK);
    return use_for_ever(1);
}

TEST(a_lock_goes_on_when_its_users_are_killed_at_any_point) {
    pid_t steady[2], victim;
    (void)make(false);
    for (int i = 0; i < 2; i++) steady[i] = start(use_for_ever, 0);
    for (int i = 0; i < (SANITIZED ? 40 : 200); i++) {
        int64_t before = atomic_load(&shared->words[DONE + 1]);
        victim = start(use_until_killed, i);
        AWAIT(atomic_load(&shared->words[DONE + 1]) > before + 1000 || pn_process_is_gone((uint32_t)victim));
        kill(victim, SIGKILL); /* some points are rarely passed: then it dies anywhere */
        CHECK(reap(victim) == -SIGKILL);
        pn_process_reaped((uint32_t)victim, -SIGKILL);
    }
    for (int i = 0; i < 2; i++) {
        kill(steady[i], SIGKILL);
        CHECK(reap(steady[i]) == -SIGKILL);
    }
}

TESTS(RUN(a_pair_costs_nanoseconds), RUN(four_processes_count_together_under_one_lock),
      RUN(a_timeout_ends_at_its_deadline_and_leaves_the_lock_usable), RUN(any_process_may_release_a_lock_and_a_free_one_is_not_held),
      RUN(an_orphan_stays_one_until_recovered_or_released), RUN(a_kill_while_orphaning_leaves_an_orphan),
      RUN(an_rlock_counts_and_belongs_to_its_thread_not_to_its_children),
      RUN(signals_come_up_as_interrupted_and_do_not_move_the_deadline), RUN(the_backstop_brings_a_waiter_up_without_any_signal),
      RUN(a_row_says_who_waits_for_what_and_who_holds_it),
      RUN(who_sleeps_on_after_a_release_watches_the_heir),
      RUN(who_waits_for_a_lock_that_it_holds_itself_waits_and_its_deadline_counts),
      RUN(a_lock_goes_on_when_its_users_are_killed_at_any_point))
