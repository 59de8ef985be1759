/* test_semaphore.c: permits are counted, given back, told of when their holder is killed, and never lost or made by a kill. */
#include "../semaphore.h"
#include "../chain.h"
#include "points.h"

enum { SEMAPHORE, ARRIVED, DONE, CODE, NEXT, TIMES = 20 };

static pn_semaphore *make(uint32_t initial, bool bounded) {
    pn_off object = 0;
    CHECK(pn_self() != 0 && pn_semaphore_create(initial, bounded, &object) == PN_OK);
    note_object(SEMAPHORE, object);
    return pn_at(object);
}

static pn_semaphore *semaphore(void) { return object_at(SEMAPHORE); }
static pn_code take(pn_deadline deadline) { return pn_semaphore_acquire(semaphore(), pn_self(), deadline); }
static pn_code give(void) { return pn_semaphore_release(semaphore(), pn_self()); }

static uint32_t in_ledger(pn_semaphore *s) {
    uint32_t held = 0;
    pn_walk walk = pn_walk_from(s->permits, 4, sizeof *s->permits, &s->more);
    for (pn_permit *row; (row = pn_walk_next(&walk)) != NULL;) held += row->count;
    return held;
}

static bool is_sound(pn_semaphore *s) { return pn_semaphore_value(s) == s->total - in_ledger(s); }

TEST(permits_are_counted) {
    pn_semaphore *s = make(3, false);
    for (uint32_t i = 0; i < 3; i++) CHECK(pn_semaphore_value(s) == 3 - i && take(PN_FOREVER) == PN_OK);
    CHECK(take(PN_NOW) == PN_TIMEOUT && pn_semaphore_value(s) == 0 && in_ledger(s) == 3);
    int64_t deadline = pn_clock() + 20 * MS;
    CHECK(take(deadline) == PN_TIMEOUT && pn_clock() >= deadline);
    for (uint32_t i = 0; i < 4; i++) CHECK(give() == PN_OK);
    CHECK(pn_semaphore_value(s) == 4 && in_ledger(s) == 0 && is_sound(s) && s->sleepers == 0);
}

TEST(a_bounded_one_refuses_a_release_too_many) {
    pn_semaphore *s = make(2, true);
    CHECK(give() == PN_OVERFLOW && take(PN_NOW) == PN_OK && give() == PN_OK && give() == PN_OVERFLOW);
    CHECK(pn_semaphore_value(s) == 2 && is_sound(s));
    s = make(0, true);
    CHECK(give() == PN_OVERFLOW && take(PN_NOW) == PN_TIMEOUT);
    s = make(PN_SEMAPHORE_MAX, false);
    CHECK(give() == PN_OVERFLOW);
    pn_off none = 0;
    CHECK(pn_semaphore_create(PN_SEMAPHORE_MAX + 1u, false, &none) == PN_OVERFLOW);
}

static int give_and_die(intptr_t n) {
    while (n-- > 0) CHECK(give() == PN_OK);
    pn_kill_now();
    return 0;
}

static int take_and_die(intptr_t n) {
    while (n-- > 0) CHECK(take(PN_FOREVER) == PN_OK);
    pn_kill_now();
    return 0;
}

TEST(a_signal_keeps_no_ledger) {
    pn_semaphore *s = make(0, false);
    CHECK(reap(start(give_and_die, 2)) == -SIGKILL);
    CHECK(pn_semaphore_value(s) == 2 && take(PN_NOW) == PN_OK);
    CHECK(reap(start(take_and_die, 1)) == -SIGKILL);
    CHECK(take(PN_NOW) == PN_TIMEOUT && pn_semaphore_dead_holder(s) == 0 && pn_semaphore_recover(s, pn_self()) == 0);
}

static int take_and_count(intptr_t n) {
    for (intptr_t i = 0; i < n; i++) {
        pn_code code;
        do code = take(PN_FOREVER);
        while (code == PN_INTERRUPTED);
        atomic_fetch_add(&shared->words[DONE], 1);
        if (code != PN_OK) return 100 + (int)code;
    }
    pn_process_leave(0);
    return 0;
}

TEST(each_release_wakes_one) {
    pn_semaphore *s = make(0, false);
    pid_t children[8];
    for (int i = 0; i < 8; i++) children[i] = start(take_and_count, 1);
    AWAIT_SLEEPERS(8, PN_WAIT_SEMAPHORE);
    for (int64_t i = 1; i <= 4; i++) {
        CHECK(give() == PN_OK);
        AWAIT(atomic_load(&shared->words[DONE]) == i);
    }
    CHECK(pn_semaphore_value(s) == 0);
    for (int i = 0; i < 4; i++) CHECK(give() == PN_OK);
    for (int i = 0; i < 8; i++) CHECK(reap(children[i]) == 0);
    CHECK(pn_semaphore_value(s) == 0 && is_sound(s));
}

static void *take_in_thread(void *unused) {
    (void)unused;
    for (int i = 0; i < 5000; i++) {
        pn_code code;
        do code = take(PN_FOREVER);
        while (code == PN_INTERRUPTED);
        CHECK(code == PN_OK);
        CHECK(atomic_fetch_add(&shared->words[CODE], 1) < 2);
        atomic_fetch_sub(&shared->words[CODE], 1);
        CHECK(give() == PN_OK);
    }
    return NULL;
}

static int take_in_threads(intptr_t threads) {
    pthread_t ids[8];
    for (int i = 0; i < threads; i++) CHECK(pthread_create(&ids[i], NULL, take_in_thread, NULL) == 0);
    for (int i = 0; i < threads; i++) CHECK(pthread_join(ids[i], NULL) == 0);
    return 0;
}

TEST(no_more_are_inside_than_there_are_permits) {
    pn_semaphore *s = make(2, true);
    pid_t children[3];
    for (int i = 0; i < 3; i++) children[i] = start(take_in_threads, 1 + i);
    for (int i = 0; i < 3; i++) CHECK(reap(children[i]) == 0);
    CHECK(pn_semaphore_value(s) == 2 && is_sound(s));
}

static void nothing(int signal) { (void)signal; }

static int interrupted(intptr_t unused) {
    struct sigaction action = {.sa_handler = nothing};
    (void)unused;
    sigaction(SIGUSR1, &action, NULL);
    return take(PN_FOREVER) == PN_INTERRUPTED ? 0 : 1;
}

TEST(a_signal_interrupts_the_wait) {
    pn_semaphore *s = make(1, false);
    CHECK(take(PN_NOW) == PN_OK);
    pid_t child = start(interrupted, 0);
    AWAIT_SLEEPERS(1, PN_WAIT_SEMAPHORE);
    kill(child, SIGUSR1);
    CHECK(reap(child) == 0 && give() == PN_OK && pn_semaphore_value(s) == 1);
}

/* Holds n permits until it is killed. */
static int hold(intptr_t n) {
    while (n-- > 0) CHECK(take(PN_FOREVER) == PN_OK);
    atomic_fetch_add(&shared->words[ARRIVED], 1);
    for (;;) pause();
}

static pid_t start_holder(intptr_t n) {
    int64_t before = atomic_load(&shared->words[ARRIVED]);
    pid_t child = start(hold, n);
    AWAIT(atomic_load(&shared->words[ARRIVED]) > before);
    return child;
}

static int expect_owner_died(intptr_t index) {
    pn_code code;
    do code = take(PN_FOREVER);
    while (code == PN_INTERRUPTED);
    atomic_store(&shared->words[TIMES + index], pn_clock());
    return code == PN_OWNER_DIED ? 0 : 100 + (int)code;
}

static void await_watcher(const pn_semaphore *s) { AWAIT(atomic_load(&s->sleepers) & PN_SEMAPHORE_WATCHED); }

TEST(a_killed_holder_is_told_to_all_who_wait) {
    int64_t fastest = INT64_MAX;
    for (int round = 0; round < 5; round++) {
        pn_semaphore *s = make(2, round % 2);
        pid_t holder = start_holder(2), waiters[4];
        for (int i = 0; i < 4; i++) waiters[i] = start(expect_owner_died, i);
        AWAIT_SLEEPERS(4, PN_WAIT_SEMAPHORE);
        if (round >= 2) await_watcher(s);
        int64_t killed = pn_clock(), last = 0;
        kill_and_reap(holder);
        for (int i = 0; i < 4; i++) {
            CHECK(reap(waiters[i]) == 0);
            int64_t told = atomic_load(&shared->words[TIMES + i]);
            if (told > last) last = told;
        }
        if (last - killed < fastest) fastest = last - killed;
        CHECK(take(PN_NOW) == PN_OWNER_DIED && take(PN_FOREVER) == PN_OWNER_DIED);
        CHECK(pn_semaphore_dead_holder(s) != 0 && !pn_owner_is_alive(pn_semaphore_dead_holder(s)));
        CHECK(pn_semaphore_recover(s, pn_self()) == 2 && pn_semaphore_recover(s, pn_self()) == 0);
        CHECK(pn_semaphore_dead_holder(s) == 0 && take(PN_NOW) == PN_OK && give() == PN_OK && is_sound(s));
    }
    CHECK(fastest < PN_BACKSTOP / 2); /* told, not found out by looking now and then */
    printf("       holder killed -> 4 waiters told: %.2f ms\n", (double)fastest / 1e6);
}

TEST(recovery_gives_permits_to_those_who_wait) {
    pn_semaphore *s = make(3, true);
    pid_t dead = start_holder(1), living = start_holder(2);
    kill_and_reap(dead);
    CHECK(take(PN_NOW) == PN_OWNER_DIED); /* the living holder does not hide the dead one */
    CHECK(pn_semaphore_recover(s, pn_self()) == 1 && pn_semaphore_value(s) == 1 && take(PN_NOW) == PN_OK);
    pid_t waiter = start(take_and_count, 1);
    AWAIT_SLEEPERS(1, PN_WAIT_SEMAPHORE);
    CHECK(give() == PN_OK && reap(waiter) == 0);
    kill_and_reap(living);
    CHECK(pn_semaphore_recover(s, pn_self()) == 2 && is_sound(s));
}

/* B gets the permit that A gives back; C, who has watched A all the time, learns that B is killed. */
TEST(who_became_holder_later_is_watched_too) {
    int64_t fastest = INT64_MAX;
    for (int round = 0; round < 3; round++) {
        pn_semaphore *s = make(1, false);
        CHECK(take(PN_NOW) == PN_OK);
        pid_t b = start(hold, 1);
        AWAIT_SLEEPERS(1, PN_WAIT_SEMAPHORE);
        pid_t c = start(expect_owner_died, 0);
        AWAIT_SLEEPERS(2, PN_WAIT_SEMAPHORE);
        await_watcher(s);
        int64_t before = atomic_load(&shared->words[ARRIVED]);
        stop(c); /* so that B is the one who gets it */
        CHECK(give() == PN_OK);
        AWAIT(atomic_load(&shared->words[ARRIVED]) > before);
        kill(c, SIGCONT);
        if (round > 0) await_watcher(s);
        int64_t killed = pn_clock();
        kill_and_reap(b);
        CHECK(reap(c) == 0);
        int64_t took = atomic_load(&shared->words[TIMES]) - killed;
        if (took < fastest) fastest = took;
    }
    CHECK(fastest < PN_BACKSTOP / 2);
    printf("       later holder killed -> waiter told: %.2f ms\n", (double)fastest / 1e6);
}

static int hold_and_leave(intptr_t n) {
    CHECK(pn_self() != 0);
    while (n-- > 0) CHECK(take(PN_FOREVER) == PN_OK);
    atomic_fetch_add(&shared->words[ARRIVED], 1);
    AWAIT(atomic_load(&shared->words[NEXT]));
    pn_process_leave(0);
    return 0;
}

static int expect_timeout(intptr_t unused) {
    (void)unused;
    int64_t deadline = pn_clock() + 100 * MS;
    pn_code code;
    do code = take(deadline);
    while (code == PN_INTERRUPTED);
    return code == PN_TIMEOUT ? 0 : 100 + (int)code;
}

static int try_and_leave(intptr_t unused) {
    (void)unused;
    CHECK(take(PN_NOW) == PN_TIMEOUT);
    pn_process_leave(0);
    return 0;
}

TEST(who_exits_takes_its_permits_along_and_is_no_error) {
    pn_semaphore *s = make(1, true);
    pid_t holder = start(hold_and_leave, 1);
    AWAIT(atomic_load(&shared->words[ARRIVED]) == 1);
    pid_t waiter = start(expect_timeout, 0);
    AWAIT_SLEEPERS(1, PN_WAIT_SEMAPHORE);
    atomic_store(&shared->words[NEXT], 1);
    CHECK(reap(holder) == 0 && reap(waiter) == 0);
    CHECK(take(PN_NOW) == PN_TIMEOUT && pn_semaphore_dead_holder(s) == 0 && pn_semaphore_recover(s, pn_self()) == 0);
    for (int i = 0; i < 100; i++) { /* its slot is used again */
        pid_t child = start(try_and_leave, 0);
        CHECK(reap(child) == 0);
        pn_process_reaped((uint32_t)child, 0);
    }
    CHECK(take(PN_NOW) == PN_TIMEOUT && pn_semaphore_dead_holder(s) == 0);
    CHECK(give() == PN_OK && pn_semaphore_value(s) == 1 && in_ledger(s) == 0); /* on its behalf */
}

TEST(who_gives_back_anothers_permit_takes_it_off_his_account) {
    pn_semaphore *s = make(2, true);
    pid_t holder = start_holder(2);
    CHECK(give() == PN_OK && in_ledger(s) == 1 && s->total == 2);
    CHECK(give() == PN_OK && in_ledger(s) == 0 && give() == PN_OVERFLOW);
    kill_and_reap(holder);
    CHECK(take(PN_NOW) == PN_OK && take(PN_NOW) == PN_OK && take(PN_NOW) == PN_TIMEOUT && pn_semaphore_dead_holder(s) == 0);
    pid_t again = start(give_and_die, 1); /* of mine: it has none */
    CHECK(reap(again) == -SIGKILL && in_ledger(s) == 1 && pn_semaphore_value(s) == 1 && is_sound(s));
}

TEST(a_permit_given_back_for_another_is_a_dead_ones_first) {
    pn_semaphore *s = make(4, true);
    pid_t living = start_holder(2), killed = start_holder(1);
    kill_and_reap(killed);
    CHECK(take(PN_NOW) == PN_OK && give() == PN_OK && pn_semaphore_dead_holder(s) != 0);
    CHECK(give() == PN_OK && pn_semaphore_dead_holder(s) == 0 && in_ledger(s) == 2 && pn_semaphore_value(s) == 2);
    kill_and_reap(living);
    CHECK(pn_semaphore_recover(s, pn_self()) == 2 && pn_semaphore_value(s) == 4);
}

TEST(there_may_be_more_holders_than_rows) {
    enum { HOLDERS = SANITIZED ? 12 : 40 };
    pn_semaphore *s = make(HOLDERS, true);
    pid_t holders[HOLDERS];
    for (int i = 0; i < HOLDERS; i++) holders[i] = start_holder(1);
    CHECK(take(PN_NOW) == PN_TIMEOUT && in_ledger(s) == HOLDERS);
    for (int i = 0; i < HOLDERS; i += 2) kill_and_reap(holders[i]);
    CHECK(take(PN_NOW) == PN_OWNER_DIED && pn_semaphore_recover(s, pn_self()) == HOLDERS / 2);
    for (int i = 0; i < HOLDERS; i += 2) holders[i] = start_holder(1); /* in the rows of the dead */
    CHECK(take(PN_NOW) == PN_TIMEOUT && is_sound(s));
    for (int i = 0; i < HOLDERS; i++) kill_and_reap(holders[i]);
    CHECK(pn_semaphore_recover(s, pn_self()) == HOLDERS && pn_semaphore_value(s) == HOLDERS);
    uint64_t used = pn_heap_in_use();
    pn_object_detach(pn_offset_of(s));
    CHECK(pn_heap_in_use() + 256 <= used); /* the rows too */
}

/* Kills. Each point is reached by one of these; the victim is armed by its first statement. */
static const char *const points[] = {
    "semaphore.claim.before_owner", "semaphore.claim.after_owner", "semaphore.acquire.before_count",
    "semaphore.acquire.after_count", "semaphore.acquire.after_value", "semaphore.release.before_count",
    "semaphore.release.after_count", "semaphore.release.after_value", "semaphore.release.before_wake",
    "chain.grow.before_block", "chain.grow.after_block", "chain.grow.before_ready",
    "semaphore.acquire.before_sleep", "semaphore.release.before_event",
    "semaphore.recover.before_count", "semaphore.recover.after_count", "semaphore.recover.before_wake",
    "semaphore.tell_all.before_event", "semaphore.tell_all.before_wake",
    "semaphore.repair.before_value", "semaphore.repair.after_value",
    "semaphore.poke.before_event",
    "semaphore.get_up.before_count", "semaphore.get_up.before_wake",
};
enum { ALONE = 9, GROWING = 12, SLEEPING = 13, WAKING = 14, RECOVERING = 17, TELLING = 19, REPAIRING = 21, WATCHING = 22 };

static int work_until_killed(intptr_t point) {
    CHECK(pn_self() != 0);
    CHECK(pn_fault_arm(points[point], PN_FAULT_KILL, 0) == PN_OK);
    for (int i = 0; i < 2; i++) {
        pn_code code = take(PN_FOREVER);
        CHECK(code == PN_OK || code == PN_OWNER_DIED);
        if (code == PN_OK) give();
    }
    pn_semaphore_recover(semaphore(), pn_self());
    return 0;
}

static int give_until_killed(intptr_t point) {
    CHECK(pn_self() != 0);
    CHECK(pn_fault_arm(points[point], PN_FAULT_KILL, 0) == PN_OK);
    give();
    return 0;
}

static int recover_until_killed(intptr_t point) {
    CHECK(pn_self() != 0);
    CHECK(pn_fault_arm(points[point], PN_FAULT_KILL, 0) == PN_OK);
    pn_semaphore_recover(semaphore(), pn_self());
    return 0;
}

static int watch_until_killed(intptr_t point) {
    pn_semaphore_sleep sleep;
    CHECK(pn_semaphore_lie_down(semaphore(), pn_self(), &sleep) && sleep.count == 1);
    CHECK(pn_fault_arm(points[point], PN_FAULT_KILL, 0) == PN_OK);
    pn_semaphore_get_up(semaphore(), pn_self(), sleep.event);
    return 0;
}

static void check_killed(int (*run)(intptr_t), intptr_t point) {
    pid_t victim = start(run, point);
    int status = reap(victim);
    if (status != -SIGKILL) fprintf(stderr, "not reached: %s\n", points[point]);
    CHECK(status == -SIGKILL);
    pn_process_reaped((uint32_t)victim, status);
}

static uint32_t get_sleepers(const pn_semaphore *s) { return atomic_load(&s->sleepers) & ~PN_SEMAPHORE_WATCHED; }

/* Everybody else is dead: after recovery all permits are there, no more and no fewer. */
static void check_nothing_is_lost(pn_semaphore *s) {
    CHECK(pn_semaphore_recover(s, pn_self()) <= s->initial);
    CHECK(is_sound(s) && pn_semaphore_value(s) == s->initial);
    for (uint32_t i = 0; i < s->initial; i++) CHECK(take(PN_NOW) == PN_OK);
    CHECK(take(PN_NOW) == PN_TIMEOUT);
    for (uint32_t i = 0; i < s->initial; i++) CHECK(give() == PN_OK);
}

static void kill_at(intptr_t point) {
    pn_semaphore *s = make(point < ALONE ? 2 : 6, true);
    pid_t others[6];
    int n = 0;
    if (point < ALONE) {
        check_killed(work_until_killed, point);
    } else if (point < GROWING) { /* all rows taken */
        while (n < 4) others[n++] = start_holder(1);
        check_killed(work_until_killed, point);
    } else if (point < SLEEPING) {
        others[n++] = start_holder(6);
        pid_t victim = start(work_until_killed, point);
        CHECK(reap(victim) == -SIGKILL);
    } else if (point < WAKING) {
        others[n++] = start_holder(6);
        others[n++] = start(hold, 1);
        AWAIT_SLEEPERS(1, PN_WAIT_SEMAPHORE);
        check_killed(give_until_killed, point);
        AWAIT(sleepers(PN_WAIT_SEMAPHORE) == 0 || pn_semaphore_value(s) == 0);
    } else if (point < RECOVERING || point < TELLING) {
        for (int i = 0; i < 2; i++) kill_and_reap(start_holder(3));
        check_killed(point < RECOVERING ? recover_until_killed : work_until_killed, point);
    } else if (point < REPAIRING) { /* one dies inside, the next one while repairing */
        check_killed(work_until_killed, 3);
        check_killed(work_until_killed, point);
    } else if (point >= WATCHING) {
        others[n++] = start_holder(6);
        check_killed(watch_until_killed, point);
    } else { /* one becomes a holder while others sleep: those are stopped, so that they cannot take the permit */
        CHECK(take(PN_NOW) == PN_OK);
        pid_t holder = start_holder(5);
        others[n++] = start(hold, 1);
        others[n++] = start(hold, 1);
        await_watcher(s);
        AWAIT_SLEEPERS(2, PN_WAIT_SEMAPHORE);
        stop(others[0]);
        stop(others[1]);
        CHECK((s->sleepers & ~PN_SEMAPHORE_WATCHED) == 2);
        CHECK(give() == PN_OK);
        check_killed(work_until_killed, point);
        others[n++] = holder;
    }
    while (n > 0) kill_and_reap(others[--n]);
    check_nothing_is_lost(s);
    pn_object_detach(pn_offset_of(s));
}

TEST(a_kill_at_any_point_loses_and_makes_no_permit) {
    CHECK_POINTS_ARE_ALL("semaphore.c", points);
    CHECK_POINTS_ARE_ALL("chain.h", points);
    for (intptr_t point = 0; point < (intptr_t)(sizeof points / sizeof *points); point++) kill_at(point);
}

TEST(who_sleeps_on_several_things_comes_and_goes_without_a_trace) {
    pn_semaphore *s = make(1, true);
    pn_semaphore_sleep sleep;
    CHECK(!pn_semaphore_lie_down(s, pn_self(), &sleep) && get_sleepers(s) == 0);
    pid_t holder = start_holder(1);
    CHECK(pn_semaphore_lie_down(s, pn_self(), &sleep) && sleep.count == 1 && get_sleepers(s) == 1);
    pn_semaphore_get_up(s, pn_self(), sleep.event);
    CHECK(get_sleepers(s) == 0 && pn_semaphore_lie_down(s, pn_self(), &sleep));
    kill_and_reap(holder);
    pn_semaphore_get_up(s, pn_self(), sleep.event);
    CHECK(get_sleepers(s) == 0 && !pn_semaphore_lie_down(s, pn_self(), &sleep)); /* the killed one is to be told */
    check_nothing_is_lost(s);
}

/* The dead one has taken the sleeper off the count, or not, and has not woken it. */
TEST(a_sleeper_is_not_forgotten_by_a_giver_who_is_killed) {
    pn_semaphore *s = make(1, true);
    CHECK(take(PN_NOW) == PN_OK);
    for (intptr_t point = 5; point < 9; point++) {
        pid_t waiter = start(take_and_count, 1);
        AWAIT_SLEEPERS(1, PN_WAIT_SEMAPHORE);
        check_killed(give_until_killed, point);
        if (point == 5) give(); /* it came to nothing */
        CHECK(reap(waiter) == 0);
        CHECK(pn_semaphore_value(s) == 0 && is_sound(s));
    }
}

TESTS(RUN(permits_are_counted), RUN(a_bounded_one_refuses_a_release_too_many), RUN(a_signal_keeps_no_ledger),
      RUN(each_release_wakes_one), RUN(no_more_are_inside_than_there_are_permits), RUN(a_signal_interrupts_the_wait),
      RUN(a_killed_holder_is_told_to_all_who_wait), RUN(recovery_gives_permits_to_those_who_wait),
      RUN(who_became_holder_later_is_watched_too), RUN(who_exits_takes_its_permits_along_and_is_no_error),
      RUN(who_gives_back_anothers_permit_takes_it_off_his_account),
      RUN(a_permit_given_back_for_another_is_a_dead_ones_first), RUN(there_may_be_more_holders_than_rows),
      RUN(a_kill_at_any_point_loses_and_makes_no_permit),
      RUN(who_sleeps_on_several_things_comes_and_goes_without_a_trace), RUN(a_sleeper_is_not_forgotten_by_a_giver_who_is_killed))
