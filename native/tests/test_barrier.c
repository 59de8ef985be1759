/* test_barrier.c: a round releases all or none; indices; actions; timeouts, aborts, resets and deaths break it for everybody. */
#include "../barrier.h"
#include "points.h"

enum { BARRIER, ARRIVED, DONE, STOP, OUTCOME, ACTIONS, ROUND, TIMES = 20, INDICES = 40 };

static pn_barrier *make(uint32_t parties) {
    pn_off object = 0;
    CHECK(pn_self() != 0 && pn_barrier_create(parties, &object) == PN_OK);
    note_object(BARRIER, object);
    return pn_at(object);
}

static pn_barrier *barrier(void) { return object_at(BARRIER); }
static uint32_t waiting(void) { return pn_barrier_waiting(barrier(), pn_self()); }

/* As the face does it: OK, BROKEN, or TIMEOUT if there was no place in time. */
static pn_code pass(pn_deadline deadline, uint32_t *index, void (*action)(void)) {
    pn_barrier *b = barrier();
    pn_off node = 0;
    pn_code code;
    do code = pn_barrier_arrive(b, pn_self(), deadline, &node, index);
    while (code == PN_INTERRUPTED);
    if (code == PN_EMPTY) {
        CHECK(*index == b->parties - 1);
        if (action != NULL) action();
        return pn_barrier_release(b, pn_self());
    }
    if (code != PN_OK) return code;
    atomic_fetch_add(&shared->words[ARRIVED], 1);
    do code = pn_barrier_wait(b, pn_self(), node, deadline);
    while (code == PN_INTERRUPTED);
    atomic_store(&shared->words[TIMES + *index % 20], pn_clock());
    return code;
}

static int pass_once(intptr_t unused) {
    uint32_t index;
    (void)unused;
    return (int)pass(PN_FOREVER, &index, NULL);
}

/* Returns once it has arrived. */
static pid_t start_party(void) {
    int64_t before = atomic_load(&shared->words[ARRIVED]);
    pid_t child = start(pass_once, 0);
    AWAIT(atomic_load(&shared->words[ARRIVED]) > before);
    return child;
}

enum { PARTIES = 4, ROUNDS = SANITIZED ? 1000 : 5000 };

/* Everybody counts itself in before a round; after it all must have. Each index occurs once in each round: a byte of a word counts it. */
static void *run_rounds(void *argument) {
    int64_t rounds = (int64_t)(intptr_t)argument;
    for (int64_t round = 0; round < rounds; round++) {
        uint32_t index;
        atomic_fetch_add(&shared->words[ROUND], 1);
        CHECK(pass(PN_FOREVER, &index, NULL) == PN_OK && index < barrier()->parties);
        CHECK(atomic_load(&shared->words[ROUND]) >= (round + 1) * barrier()->parties);
        atomic_fetch_add(&shared->words[INDICES + round % 100], (int64_t)1 << (8 * index));
        if (round % 7 == index) sched_yield();
    }
    return NULL;
}

static int run_rounds_in_threads(intptr_t threads) {
    pthread_t ids[4];
    for (int i = 0; i < threads; i++) CHECK(pthread_create(&ids[i], NULL, run_rounds, (void *)(intptr_t)ROUNDS) == 0);
    for (int i = 0; i < threads; i++) CHECK(pthread_join(ids[i], NULL) == 0);
    return 0;
}

static void check_rounds(const int *threads, int processes) {
    pid_t children[PARTIES];
    int64_t begun = pn_clock();
    for (int i = 0; i < processes; i++) children[i] = start(run_rounds_in_threads, threads[i]);
    for (int i = 0; i < processes; i++) CHECK(reap(children[i]) == 0);
    for (int i = 0; i < 100; i++) CHECK(atomic_load(&shared->words[INDICES + i]) == ROUNDS / 100 * 0x01010101);
    CHECK(waiting() == 0 && !pn_barrier_is_broken(barrier()));
    printf("       %d parties in %d processes: %.2f us a round\n", PARTIES, processes, (double)(pn_clock() - begun) / 1e3 / ROUNDS);
}

TEST(thousands_of_rounds_let_all_pass_together) {
    make(PARTIES);
    check_rounds((const int[]){1, 1, 1, 1}, 4);
}

TEST(threads_are_parties_too) {
    make(PARTIES);
    check_rounds((const int[]){3, 1}, 2);
}

static void act(void) {
    CHECK(waiting() == barrier()->parties - 1);
    CHECK(atomic_load(&shared->words[DONE]) == 0); /* nobody was released before the action is over */
    atomic_fetch_add(&shared->words[ACTIONS], 1);
}

static int pass_with_action(intptr_t unused) {
    uint32_t index;
    (void)unused;
    pn_code code = pass(PN_FOREVER, &index, act);
    atomic_fetch_add(&shared->words[DONE], 1);
    return (int)code;
}

TEST(the_last_one_acts_before_all_are_released) {
    make(3);
    for (int64_t round = 1; round <= 20; round++) {
        pid_t children[3];
        atomic_store(&shared->words[DONE], 0);
        for (int i = 0; i < 3; i++) children[i] = start(pass_with_action, 0);
        for (int i = 0; i < 3; i++) CHECK(reap(children[i]) == PN_OK);
        CHECK(atomic_load(&shared->words[ACTIONS]) == round);
    }
    uint32_t index;
    make(1);
    for (int i = 0; i < 10; i++) CHECK(pass(PN_NOW, &index, NULL) == PN_OK && index == 0);
}

TEST(a_timeout_breaks_the_barrier_for_all) {
    pn_barrier *b = make(4);
    uint32_t index;
    pid_t children[2];
    for (int i = 0; i < 2; i++) children[i] = start_party();
    int64_t deadline = pn_clock() + 20 * MS;
    CHECK(pass(deadline, &index, NULL) == PN_BROKEN && index == 2 && pn_clock() >= deadline);
    for (int i = 0; i < 2; i++) CHECK(reap(children[i]) == PN_BROKEN);
    CHECK(pn_barrier_is_broken(b) && b->culprit == 0 && waiting() == 0);
    CHECK(pass(PN_FOREVER, &index, NULL) == PN_BROKEN); /* until reset */
    pn_barrier_reset(b, pn_self());
    CHECK(!pn_barrier_is_broken(b) && pass(PN_NOW, &index, NULL) == PN_BROKEN && pn_barrier_is_broken(b));
}

static void check_whole(pn_barrier *b) {
    pid_t children[8];
    for (uint32_t i = 1; i < b->parties; i++) children[i] = start(pass_once, 0);
    CHECK(pass_once(0) == PN_OK);
    for (uint32_t i = 1; i < b->parties; i++) CHECK(reap(children[i]) == PN_OK);
    CHECK(waiting() == 0 && !pn_barrier_is_broken(b));
}

TEST(abort_and_reset_refuse_those_who_wait) {
    pn_barrier *b = make(3);
    for (int reset = 0; reset < 2; reset++) {
        pid_t children[2];
        for (int i = 0; i < 2; i++) children[i] = start_party();
        CHECK(waiting() == 2);
        if (reset) pn_barrier_reset(b, pn_self());
        else pn_barrier_abort(b, pn_self());
        CHECK(pn_barrier_is_broken(b) == !reset);
        for (int i = 0; i < 2; i++) CHECK(reap(children[i]) == PN_BROKEN);
        CHECK(waiting() == 0);
        if (!reset) pn_barrier_reset(b, pn_self());
        check_whole(b);
    }
    pn_barrier_reset(b, pn_self()); /* an empty one too */
    check_whole(b);
}

static int arrive_and_withdraw(intptr_t unused) {
    pn_off node;
    uint32_t index;
    (void)unused;
    CHECK(pn_barrier_arrive(barrier(), pn_self(), PN_FOREVER, &node, &index) == PN_OK);
    AWAIT(waiting() == 2 || atomic_load(&shared->words[STOP]));
    pn_barrier_withdraw(barrier(), pn_self(), node);
    return 0;
}

TEST(who_withdraws_breaks_the_barrier_unless_released_already) {
    pn_barrier *b = make(3);
    pid_t leaver = start(arrive_and_withdraw, 0), party = start_party();
    CHECK(reap(leaver) == 0 && reap(party) == PN_BROKEN && pn_barrier_is_broken(b) && b->culprit == 0);
    pn_barrier_reset(b, pn_self());
    b = make(2);
    leaver = start(arrive_and_withdraw, 0);
    AWAIT(waiting() == 1);
    uint32_t index;
    CHECK(pass(PN_FOREVER, &index, NULL) == PN_OK);
    atomic_store(&shared->words[STOP], 1);
    CHECK(reap(leaver) == 0 && !pn_barrier_is_broken(b) && waiting() == 0);
}

static void act_slowly(void) {
    atomic_store(&shared->words[ACTIONS], 1);
    AWAIT(atomic_load(&shared->words[STOP]));
}

static int pass_acting_slowly(intptr_t unused) {
    uint32_t index;
    (void)unused;
    return (int)pass(PN_FOREVER, &index, act_slowly);
}

static void count_signal(int signal) {
    (void)signal;
    atomic_fetch_add(&shared->words[OUTCOME], 1);
}

static int pass_shortly(intptr_t milliseconds) {
    uint32_t index;
    struct sigaction action = {.sa_handler = count_signal};
    sigaction(SIGUSR1, &action, NULL);
    return (int)pass(pn_clock() + milliseconds * MS, &index, NULL);
}

/* A round of 2 of which one acts until words[STOP]; the other would time out meanwhile. */
static void begin_slow_round(pid_t *waiter, pid_t *actor) {
    for (;;) {
        pn_barrier *b = make(2);
        atomic_store(&shared->words[ACTIONS], 0);
        atomic_store(&shared->words[STOP], 0);
        *waiter = start(pass_shortly, 10);
        AWAIT(waiting() == 1 || pn_barrier_is_broken(b));
        *actor = start(pass_acting_slowly, 0);
        AWAIT(atomic_load(&shared->words[ACTIONS]) || pn_barrier_is_broken(b));
        if (atomic_load(&shared->words[ACTIONS])) return;
        CHECK(reap(*waiter) == PN_BROKEN && reap(*actor) == PN_BROKEN); /* a busy machine: the waiter was late before the actor came */
    }
}

TEST(who_comes_during_the_action_joins_the_next_round) {
    pid_t waiter, actor;
    begin_slow_round(&waiter, &actor);
    CHECK(reap(start(pass_shortly, 20)) == PN_TIMEOUT); /* and by now the waiter is late, but the round was full in time */
    for (int i = 1; i <= 3; i++) {
        AWAIT_SLEEPERS(1, PN_WAIT_BARRIER);
        kill(waiter, SIGUSR1);
        AWAIT(atomic_load(&shared->words[OUTCOME]) == i); /* so that it looks again, more than once */
    }
    pid_t next = start(pass_once, 0);
    AWAIT_SLEEPERS(2, PN_WAIT_BARRIER);
    atomic_store(&shared->words[STOP], 1);
    CHECK(reap(waiter) == PN_OK && reap(actor) == PN_OK);
    CHECK(reap(start(pass_once, 0)) == PN_OK && reap(next) == PN_OK);
}

TEST(an_abort_or_reset_during_the_action_is_told_to_the_actor) {
    for (int reset = 0; reset < 2; reset++) {
        pid_t waiter, actor;
        begin_slow_round(&waiter, &actor);
        pid_t next = start(pass_shortly, 10000);
        AWAIT_SLEEPERS(2, PN_WAIT_BARRIER);
        if (reset) pn_barrier_reset(barrier(), pn_self());
        else pn_barrier_abort(barrier(), pn_self());
        CHECK(reap(waiter) == PN_BROKEN);
        atomic_store(&shared->words[STOP], 1);
        CHECK(reap(actor) == PN_BROKEN);
        if (reset) CHECK(reap(start(pass_once, 0)) == PN_OK);
        CHECK(reap(next) == (reset ? PN_OK : PN_BROKEN));
    }
}

static void check_told_of(pid_t culprit, pid_t *others, int n, int64_t *fastest) {
    int64_t killed = pn_clock(), last = 0;
    kill_and_reap(culprit);
    for (int i = 0; i < n; i++) CHECK(reap(others[i]) == PN_BROKEN);
    for (int i = 0; i < 20; i++)
        if (atomic_load(&shared->words[TIMES + i]) > last) last = atomic_load(&shared->words[TIMES + i]);
    if (last - killed < *fastest) *fastest = last - killed;
    pn_barrier *b = barrier();
    CHECK(pn_barrier_is_broken(b) && pn_slot(pn_owner_slot(b->culprit))->pid == (uint32_t)culprit);
}

static bool has_watcher(pn_barrier *b) {
    for (int i = 0; i < 6; i++)
        if (atomic_load(&b->waiters.nodes[i].state) & PN_NODE_WATCHING) return true;
    return false;
}

/* The first, the middle or the last to arrive, before or after the others have gone to sleep for long. */
TEST(a_killed_party_breaks_the_barrier_for_the_others) {
    for (int which = 0; which < 4; which++) {
        int64_t fastest = INT64_MAX;
        for (int round = 0; round < 6; round++) {
            pn_barrier *b = make(5);
            pid_t parties[4], culprit;
            for (int i = 0; i < 4; i++) {
                if (round % 3 == 1 && i == 3) AWAIT(has_watcher(b)); /* the last one comes to sleepers */
                parties[i] = start_party();
            }
            AWAIT_SLEEPERS(round % 3 == 1 ? 3 : 4, PN_WAIT_BARRIER);
            if (round % 3 == 2) AWAIT(has_watcher(b));
            culprit = parties[which];
            parties[which] = parties[3];
            check_told_of(culprit, parties, 3, &fastest);
            pn_barrier_reset(b, pn_self());
            check_whole(b);
        }
        CHECK(fastest < PN_BACKSTOP / 2);
        printf("       party %d of 5 killed -> 3 others told: %.2f ms\n", which, (double)fastest / 1e6);
    }
}

TEST(a_killed_actor_breaks_the_barrier) {
    for (int variant = 0; variant < 4; variant++) {
        int outsiders = variant % 2; /* who has come during the action and waits for its end */
        int64_t fastest = INT64_MAX;
        for (int round = 0; round < 3; round++) {
            pid_t others[2], actor;
            begin_slow_round(&others[0], &actor);
            if (outsiders) others[1] = start(pass_shortly, 20000);
            AWAIT_SLEEPERS(1 + outsiders, PN_WAIT_BARRIER);
            if (variant >= 2) AWAIT(has_watcher(barrier()));
            check_told_of(actor, others, 1 + outsiders, &fastest);
            pn_barrier_reset(barrier(), pn_self());
            check_whole(barrier());
        }
        CHECK(fastest < PN_BACKSTOP / 2);
    }
}

TEST(who_arrives_finds_out_who_has_died) {
    pn_barrier *b = make(2);
    uint32_t index;
    kill_and_reap(start_party());
    CHECK(pass(PN_FOREVER, &index, NULL) == PN_BROKEN && b->culprit != 0);
}

/* More than one sleep can watch: every one is watched by whoever came later, the last one by the first. */
TEST(of_many_parties_each_is_watched) {
    enum { MANY = SANITIZED ? 12 : 130 };
    for (int which = 1; which < 3; which++) {
        static pid_t parties[MANY];
        int64_t fastest = INT64_MAX;
        make(MANY + 1);
        for (int i = 0; i < MANY; i++) parties[i] = start_party();
        AWAIT_SLEEPERS(MANY, PN_WAIT_BARRIER);
        int victim = which == 1 ? MANY / 2 : MANY - 1;
        pid_t culprit = parties[victim];
        parties[victim] = parties[MANY - 1];
        check_told_of(culprit, parties, MANY - 1, &fastest);
        printf("       party %d of %d killed -> all told: %.2f ms\n", victim, MANY, (double)fastest / 1e6);
    }
}

static const char *const points[] = {
    "barrier.arrive.before_actor", "barrier.decide.before_state", "barrier.decide.after_state",
    "barrier.leave.before_section", "barrier.leave.before_wake", "barrier.wait.before_sleep", "barrier.wait.before_free",
    "barrier.arrive.before_sleep", "barrier.reset.before_state", "barrier.withdraw.before_free",
    "barrier.repair.before_nodes", "barrier.repair.after_nodes", "waiters.poke.before_state", "waiters.poke.after_wake",
    /* the list's own points, on a barrier */
    "waiters.add.before_ticket", "waiters.add.before_state", "waiters.add.after_state", "waiters.tell.before_state",
    "waiters.tell.after_state", "waiters.wake.before_one", "waiters.repair.before", "waiters.repair.after",
};
enum { POINTS = sizeof points / sizeof *points };

static void arm(intptr_t point) {
    CHECK(pn_self() != 0);
    CHECK(pn_fault_arm(points[point % POINTS], PN_FAULT_KILL, (uint32_t)(point / POINTS)) == PN_OK);
}

static int die_passing(intptr_t point) {
    uint32_t index;
    arm(point);
    (void)pass(pn_clock() + 10 * MS, &index, NULL);
    return 0;
}

static int die_resetting(intptr_t point) {
    arm(point);
    pn_barrier_reset(barrier(), pn_self());
    return 0;
}

static int die_aborting(intptr_t point) {
    arm(point);
    pn_barrier_abort(barrier(), pn_self());
    return 0;
}

static int die_withdrawing(intptr_t point) {
    pn_off node = 0;
    uint32_t index;
    arm(point);
    if (pn_barrier_arrive(barrier(), pn_self(), PN_FOREVER, &node, &index) == PN_OK) pn_barrier_withdraw(barrier(), pn_self(), node);
    return 0;
}

static int (*const ways_to_die[])(intptr_t) = {die_passing, die_resetting, die_aborting, die_withdrawing};
static bool reached[POINTS];

/* Neither has the state changed, nor is one of those who wait dead: so nobody can know, and the others wait rightly. */
static bool came_to_nothing(pn_barrier *b) {
    for (int i = 0; i < 6; i++) {
        pn_node *node = &b->waiters.nodes[i];
        if (pn_node_state(node) == PN_NODE_WAITING && !pn_owner_is_alive(atomic_load(&node->owner))) return false;
    }
    return atomic_load(&b->state) == PN_BARRIER_FILLING;
}

/* `n` parties of 3 wait; the victim does its thing and dies at the point (if it comes there). The others learn that the barrier is
 * broken, or were released; never some this and some that; and after a reset it is whole. */
static void kill_at(intptr_t point, int n, int way, intptr_t skip) {
    pn_barrier *b = make(3);
    pid_t parties[2];
    for (int i = 0; i < n; i++) parties[i] = start_party();
    if (strstr(points[point], "repair") != NULL) CHECK(reap(start(die_resetting, 1)) == -SIGKILL);
    if (way == 0 && n > 0) AWAIT(has_watcher(b) || atomic_load(&b->state) != PN_BARRIER_FILLING);
    pid_t victim = start(ways_to_die[way], point + skip * POINTS);
    int status = reap(victim);
    CHECK(status == -SIGKILL || status == 0);
    pn_process_reaped((uint32_t)victim, status);
    reached[point] |= status == -SIGKILL;
    if (came_to_nothing(b)) pn_barrier_abort(b, pn_self());
    int first = n > 0 ? reap(parties[0]) : PN_OK, second = n > 1 ? reap(parties[1]) : first;
    CHECK(first == second && (first == PN_OK || first == PN_BROKEN));
    pn_barrier_reset(b, pn_self());
    CHECK(waiting() == 0);
    check_whole(b);
    pn_object_detach(pn_offset_of(b));
}

TEST(a_kill_at_any_point_leaves_a_barrier_that_works) {
    CHECK_POINTS_ARE_ALL("barrier.c", points);
    for (intptr_t point = 0; point < POINTS; point++)
        for (int n = 0; n < 3; n++)
            for (int way = 0; way < 4; way++) kill_at(point, n, way, way == 1 && n == 2);
    for (intptr_t point = 0; point < POINTS; point++) {
        if (strcmp(points[point], "barrier.arrive.before_sleep") == 0) continue; /* the next test */
        if (!reached[point]) fprintf(stderr, "not reached: %s\n", points[point]);
        CHECK(reached[point]);
    }
}

TEST(who_is_killed_waiting_for_the_end_of_an_action_harms_nobody) {
    pid_t waiter, actor;
    begin_slow_round(&waiter, &actor);
    CHECK(reap(start(die_passing, 7)) == -SIGKILL);
    atomic_store(&shared->words[STOP], 1);
    CHECK(reap(waiter) == PN_OK && reap(actor) == PN_OK);
    check_whole(barrier());
}

TESTS(RUN(thousands_of_rounds_let_all_pass_together), RUN(threads_are_parties_too), RUN(the_last_one_acts_before_all_are_released),
      RUN(a_timeout_breaks_the_barrier_for_all), RUN(abort_and_reset_refuse_those_who_wait),
      RUN(who_withdraws_breaks_the_barrier_unless_released_already), RUN(who_comes_during_the_action_joins_the_next_round),
      RUN(an_abort_or_reset_during_the_action_is_told_to_the_actor), RUN(a_killed_party_breaks_the_barrier_for_the_others),
      RUN(a_killed_actor_breaks_the_barrier), RUN(who_arrives_finds_out_who_has_died), RUN(of_many_parties_each_is_watched),
      RUN(a_kill_at_any_point_leaves_a_barrier_that_works), RUN(who_is_killed_waiting_for_the_end_of_an_action_harms_nobody))
