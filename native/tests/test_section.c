/* test_section.c: the internal lock: exclusive, adopted after a death, never adopted from a thread that still runs. */
#include "harness.h"

/* Two counters that a section guards: `truth` changes first, `copy` is derived from it. */
typedef struct guarded { pn_section section; _Atomic int64_t truth; int64_t copy; _Atomic int64_t recoveries; } guarded;
enum { WORKERS = 4, READY = 10, GO = 11, DONE = 20 };

static guarded *the_guarded(void) { return pn_at(6ull << 20); } /* between the table and the heap: nobody else is there */

static void enter(guarded *g) {
    if (pn_section_enter(&g->section, pn_self()) == PN_RECOVERED) {
        g->copy = atomic_load(&g->truth);
        atomic_fetch_add(&g->recoveries, 1);
    }
    CHECK(g->copy == atomic_load(&g->truth));
}

static void count(guarded *g) {
    enter(g);
    atomic_store(&g->truth, atomic_load(&g->truth) + 1);
    g->copy++;
    pn_section_leave(&g->section);
}

static int count_for_ever(intptr_t index) {
    for (;;) {
        count(the_guarded());
        atomic_fetch_add(&shared->words[DONE + index], 1);
    }
    return 0;
}

/* Truth is at least what the workers counted, and at most one more for each kill. */
static void storm(int kills) {
    pid_t pids[WORKERS];
    uint32_t dice = 12345;
    int64_t done = 0, last = 0;
    CHECK(pn_self() != 0);
    for (int i = 0; i < WORKERS; i++) pids[i] = start(count_for_ever, i);
    for (int k = 0; k < kills; k++) {
        dice = dice * 1664525 + 1013904223;
        int victim = (int)(dice >> 16) % WORKERS;
        int64_t before = atomic_load(&shared->words[DONE + victim]);
        AWAIT(atomic_load(&shared->words[DONE + victim]) > before + (dice >> 8) % 200); /* it works: so nobody hangs */
        kill(pids[victim], SIGKILL);
        CHECK(reap(pids[victim]) == -SIGKILL);
        pn_process_reaped((uint32_t)pids[victim], -SIGKILL);
        pids[victim] = start(count_for_ever, victim);
    }
    for (int i = 0; i < WORKERS; i++) {
        kill(pids[i], SIGKILL);
        CHECK(reap(pids[i]) == -SIGKILL);
    }
    count(the_guarded());
    last = atomic_load(&the_guarded()->truth) - 1;
    for (int i = 0; i < WORKERS; i++) done += atomic_load(&shared->words[DONE + i]);
    printf("         %d kills, %ld sections, %ld adopted\n", kills, (long)last, (long)atomic_load(&the_guarded()->recoveries));
    CHECK(last >= done && last <= done + kills + WORKERS);
}

TEST(counters_stay_right_in_a_storm_of_kills) { storm(SANITIZED ? 100 : 400); }

TEST(counters_stay_right_in_a_storm_of_kills_without_waitv) {
    pn_forbid_wait_any(true);
    storm(SANITIZED ? 20 : 60);
}

static int die_inside(intptr_t unused) {
    enter(the_guarded());
    atomic_store(&the_guarded()->truth, atomic_load(&the_guarded()->truth) + 1);
    pn_kill_now();
    return (int)unused;
}

TEST(a_dead_ones_section_is_adopted_and_repaired) {
    CHECK(pn_self() != 0);
    guarded *g = the_guarded();
    CHECK(reap(start(die_inside, 0)) == -SIGKILL);
    count(g);
    CHECK(atomic_load(&g->truth) == 2 && g->copy == 2 && atomic_load(&g->recoveries) == 1);
    CHECK(reap(start(die_inside, 0)) == -SIGKILL);
    CHECK(pn_section_try(&g->section, pn_self()) == PN_RECOVERED);
    g->copy = atomic_load(&g->truth);
    pn_section_leave(&g->section);
    count(g);
    CHECK(pn_section_try(&g->section, pn_self()) == PN_OK && pn_section_try(&g->section, pn_self()) == PN_TIMEOUT);
}

static int stop_inside(intptr_t unused) {
    enter(the_guarded());
    pn_stop_now();
    pn_section_leave(&the_guarded()->section);
    return (int)unused;
}

TEST(one_that_was_stopped_inside_goes_on_when_another_needs_the_section) {
    CHECK(pn_self() != 0);
    int status;
    pid_t pid = start(stop_inside, 0);
    CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    count(the_guarded());
    CHECK(reap(pid) == 0);
    CHECK(atomic_load(&the_guarded()->recoveries) == 0);
}

static const char *const points[] = {"section.enter.after_cas", "section.enter.before_sleep", "section.adopt.before_cas",
                                     "section.adopt.after_cas", "section.leave.before_wake", "wait.sleep.before", "wait.sleep.after",
                                     "life.cascade.before_wake"};
enum { POINTS = sizeof points / sizeof *points };

static int count_until_killed(intptr_t point) {
    CHECK(pn_self() != 0 && pn_fault_arm(points[point], PN_FAULT_KILL, 1) == PN_OK);
    atomic_fetch_add(&shared->words[READY], 1);
    return count_for_ever(point);
}

/* Everybody dies at the second time it passes its point; the sleepers of one round are the adopters of the next. */
TEST(a_kill_at_any_point_of_entering_and_leaving_hangs_nobody) {
    CHECK(pn_self() != 0);
    for (int round = 0; round < 3; round++) {
        pid_t pids[POINTS];
        for (int i = 0; i < POINTS; i++) pids[i] = start(count_until_killed, i);
        AWAIT(atomic_load(&shared->words[READY]) == (round + 1) * POINTS);
        pid_t feeder = start(count_for_ever, POINTS); /* keeps the last ones in contention */
        for (int tries = 0; tries < 20; tries++) {    /* … and gives the adopters something to adopt */
            pid_t victim = start(die_inside, 0);
            CHECK(reap(victim) == -SIGKILL);
            pn_process_reaped((uint32_t)victim, -SIGKILL);
        }
        count(the_guarded());
        for (int i = 0; i < POINTS; i++) {
            kill(pids[i], SIGKILL);
            CHECK(reap(pids[i]) == -SIGKILL);
        }
        count(the_guarded());
        kill(feeder, SIGKILL);
        CHECK(reap(feeder) == -SIGKILL);
    }
}

static int exec_inside(intptr_t unused) {
    enter(the_guarded());
    execlp("sleep", "sleep", "100", (char *)NULL);
    return (int)unused + 1;
}

TEST(a_section_of_one_that_execs_is_adopted) {
    CHECK(pn_self() != 0);
    pid_t pid = start(exec_inside, 0);
    AWAIT(atomic_load(&the_guarded()->section.word) != 0);
    count(the_guarded());
    CHECK(atomic_load(&the_guarded()->recoveries) == 1);
    kill(pid, SIGKILL);
    reap(pid);
}

static void *stay_inside(void *unused) {
    enter(the_guarded());
    atomic_store(&shared->words[READY], 1);
    AWAIT(atomic_load(&shared->words[GO]) != 0);
    pn_section_leave(&the_guarded()->section);
    return unused;
}

static int leave_with_a_thread_inside(intptr_t unused) {
    pthread_t thread;
    CHECK(pn_self() != 0 && pthread_create(&thread, NULL, stay_inside, NULL) == 0);
    AWAIT(atomic_load(&shared->words[READY]) != 0);
    pn_process_leave(0);
    atomic_store(&shared->words[READY], 2);
    CHECK(pthread_join(thread, NULL) == 0);
    return (int)unused;
}

TEST(a_section_of_one_that_left_is_not_adopted_while_its_thread_runs) {
    CHECK(pn_self() != 0);
    pid_t pid = start(leave_with_a_thread_inside, 0);
    AWAIT(atomic_load(&shared->words[READY]) == 2);
    CHECK(!pn_owner_is_alive(atomic_load(&the_guarded()->section.word)));
    for (int i = 0; i < 20; i++) CHECK(pn_section_try(&the_guarded()->section, pn_self()) == PN_TIMEOUT);
    atomic_store(&shared->words[GO], 1);
    count(the_guarded());
    CHECK(atomic_load(&the_guarded()->recoveries) == 0);
    CHECK(reap(pid) == 0);
}

TESTS(RUN(a_dead_ones_section_is_adopted_and_repaired), RUN(a_section_of_one_that_execs_is_adopted),
      RUN(a_section_of_one_that_left_is_not_adopted_while_its_thread_runs),
      RUN(one_that_was_stopped_inside_goes_on_when_another_needs_the_section),
      RUN(a_kill_at_any_point_of_entering_and_leaving_hangs_nobody), RUN(counters_stay_right_in_a_storm_of_kills),
      RUN(counters_stay_right_in_a_storm_of_kills_without_waitv))
