/* test_event.c: a wait that began before set() ends with it, whatever comes after, and whoever is killed. */
#include "../event.h"
#include "points.h"

enum { EVENT, OTHER, DONE, STOP, SETS };

static pn_event *make(int word) {
    pn_off object = 0;
    CHECK(pn_self() != 0 && pn_event_create(&object) == PN_OK);
    note_object(word, object);
    return pn_at(object);
}

static pn_code wait_for(pn_event *e, pn_deadline deadline) {
    uint32_t entry = 0;
    pn_code code;
    do code = pn_event_wait(e, deadline, &entry);
    while (code == PN_INTERRUPTED);
    return code;
}

TEST(a_set_event_does_not_block) {
    pn_event *e = make(EVENT);
    CHECK(!pn_event_is_set(e) && wait_for(e, PN_NOW) == PN_TIMEOUT);
    pn_event_set(e);
    pn_event_set(e);
    CHECK(pn_event_is_set(e) && wait_for(e, PN_NOW) == PN_OK && wait_for(e, PN_FOREVER) == PN_OK);
    pn_event_clear(e);
    int64_t deadline = pn_clock() + 20 * MS;
    CHECK(!pn_event_is_set(e) && wait_for(e, deadline) == PN_TIMEOUT && pn_clock() >= deadline);
    pn_event_clear(e);
    CHECK(!pn_event_is_set(e) && wait_for(e, PN_NOW) == PN_TIMEOUT);
}

static int wait_once(intptr_t unused) {
    (void)unused;
    return (int)wait_for(object_at(EVENT), PN_FOREVER);
}

TEST(set_wakes_all_even_if_clear_follows_at_once) {
    pn_event *e = make(EVENT);
    pid_t children[6];
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 6; i++) children[i] = start(wait_once, 0);
        AWAIT_SLEEPERS(6, PN_WAIT_EVENT);
        pn_event_set(e);
        pn_event_clear(e);
        for (int i = 0; i < 6; i++) CHECK(reap(children[i]) == PN_OK);
        CHECK(!pn_event_is_set(e));
    }
}

static void nothing(int signal) { (void)signal; }

static int interrupted(intptr_t unused) {
    struct sigaction action = {.sa_handler = nothing};
    uint32_t entry = 0;
    (void)unused;
    sigaction(SIGUSR1, &action, NULL);
    if (pn_event_wait(object_at(EVENT), PN_FOREVER, &entry) != PN_INTERRUPTED) return 1;
    atomic_store(&shared->words[DONE], 1);
    AWAIT(atomic_load(&shared->words[STOP]));
    return pn_event_wait(object_at(EVENT), PN_FOREVER, &entry) == PN_OK ? 0 : 2;
}

TEST(an_interrupted_wait_still_ends_with_a_set_that_came_in_between) {
    pn_event *e = make(EVENT);
    pid_t child = start(interrupted, 0);
    AWAIT_SLEEPERS(1, PN_WAIT_EVENT);
    kill(child, SIGUSR1);
    AWAIT(atomic_load(&shared->words[DONE]));
    pn_event_set(e);
    pn_event_clear(e);
    atomic_store(&shared->words[STOP], 1);
    CHECK(reap(child) == 0);
}

enum { TURNS = SANITIZED ? 2000 : 10000 };

static int answer(intptr_t unused) {
    (void)unused;
    for (int i = 0; i < TURNS; i++) {
        CHECK(wait_for(object_at(EVENT), PN_FOREVER) == PN_OK);
        pn_event_clear(object_at(EVENT));
        pn_event_set(object_at(OTHER));
    }
    return 0;
}

TEST(two_events_play_ping_pong) {
    pn_event *ping = make(EVENT), *pong = make(OTHER);
    pid_t child = start(answer, 0);
    int64_t begun = pn_clock();
    for (int i = 0; i < TURNS; i++) {
        pn_event_set(ping);
        CHECK(wait_for(pong, PN_FOREVER) == PN_OK);
        pn_event_clear(pong);
    }
    printf("       round trip: %.2f us\n", (double)(pn_clock() - begun) / 1e3 / TURNS);
    CHECK(reap(child) == 0);
}

/* Who waits with a deadline far away never sees it pass while others set and clear. */
static int wait_often(intptr_t unused) {
    (void)unused;
    while (!atomic_load(&shared->words[STOP])) {
        if (wait_for(object_at(EVENT), pn_clock() + 20000 * MS) != PN_OK) return 1;
        atomic_fetch_add(&shared->words[DONE], 1);
    }
    return 0;
}

static int set_and_clear(intptr_t unused) {
    (void)unused;
    while (!atomic_load(&shared->words[STOP])) {
        pn_event_set(object_at(EVENT));
        pn_event_clear(object_at(EVENT));
        atomic_fetch_add(&shared->words[SETS], 1);
        sched_yield();
    }
    return 0;
}

TEST(no_waiter_misses_a_set_among_many) {
    pn_event *e = make(EVENT);
    pid_t children[5];
    for (int i = 0; i < 5; i++) children[i] = start(i < 3 ? wait_often : set_and_clear, 0);
    AWAIT(atomic_load(&shared->words[DONE]) > (SANITIZED ? 1000 : 10000));
    atomic_store(&shared->words[STOP], 1);
    for (int i = 3; i < 5; i++) CHECK(reap(children[i]) == 0);
    pn_event_set(e);
    for (int i = 0; i < 3; i++) CHECK(reap(children[i]) == 0);
}

static const char *const points[] = {
    "event.set.before_word", "event.set.before_wake", "event.clear.before_word", "event.wait.before_sleep",
};

static int work_until_killed(intptr_t point) {
    CHECK(pn_self() != 0);
    CHECK(pn_fault_arm(points[point], PN_FAULT_KILL, 0) == PN_OK);
    if (point == 3) wait_for(object_at(EVENT), PN_FOREVER);
    pn_event_set(object_at(EVENT));
    pn_event_clear(object_at(EVENT));
    return 0;
}

TEST(a_kill_at_any_point_leaves_an_event_that_works) {
    CHECK_POINTS_ARE_ALL("event.c", points);
    for (intptr_t point = 0; point < (intptr_t)(sizeof points / sizeof *points); point++) {
        pn_event *e = make(EVENT);
        pid_t waiter = start(wait_once, 0);
        AWAIT_SLEEPERS(1, PN_WAIT_EVENT);
        CHECK(reap(start(work_until_killed, point)) == -SIGKILL);
        CHECK(pn_event_is_set(e) == (point == 1 || point == 2));
        if (!pn_event_is_set(e)) pn_event_set(e);
        CHECK(reap(waiter) == PN_OK); /* if nobody woke it, by its backstop */
        pn_event_clear(e);
        CHECK(wait_for(e, PN_NOW) == PN_TIMEOUT);
    }
}

TESTS(RUN(a_set_event_does_not_block), RUN(set_wakes_all_even_if_clear_follows_at_once),
      RUN(an_interrupted_wait_still_ends_with_a_set_that_came_in_between), RUN(two_events_play_ping_pong),
      RUN(no_waiter_misses_a_set_among_many), RUN(a_kill_at_any_point_leaves_an_event_that_works))
