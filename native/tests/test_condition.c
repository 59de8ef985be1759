/* test_condition.c: notifications reach living waiters, in order, exactly as many as were counted, and outlive a killed waiter. */
#include "../condition.h"
#include "../chain.h"
#include "points.h"

enum { CONDITION, TOLD, ENLISTED, DONE, STOP, OK_ENDS, LOCK, KILLED_AT, ORDER = 20 };

static pn_condition *make(void) {
    pn_off object = 0;
    CHECK(pn_self() != 0 && pn_condition_create(&object) == PN_OK);
    note_object(CONDITION, object);
    return pn_at(object);
}

static pn_condition *condition(void) { return object_at(CONDITION); }
static uint32_t notify(uint32_t n) { return pn_condition_notify(condition(), pn_self(), n, NULL); }
static uint32_t waiting(void) { return pn_condition_waiting(condition(), pn_self()); }

static pn_off enlist(void) {
    pn_off node = 0;
    CHECK(pn_condition_enlist(condition(), pn_self(), &node) == PN_OK && node != 0);
    return node;
}

static pn_code wait_for(pn_off node, pn_deadline deadline) {
    pn_code code;
    do code = pn_condition_wait(condition(), pn_self(), node, deadline);
    while (code == PN_INTERRUPTED);
    return code;
}

static int wait_once(intptr_t index) {
    pn_off node = enlist();
    atomic_fetch_add(&shared->words[ENLISTED], 1);
    pn_code code = wait_for(node, PN_FOREVER);
    if (code == PN_OK) atomic_store(&shared->words[ORDER + index], 1 + atomic_fetch_add(&shared->words[DONE], 1));
    return (int)code;
}

/* Returns once it has enlisted, so that the order is known. */
static pid_t start_waiter(intptr_t index) {
    int64_t before = atomic_load(&shared->words[ENLISTED]);
    pid_t child = start(wait_once, index);
    AWAIT(atomic_load(&shared->words[ENLISTED]) > before);
    return child;
}

static bool is_done(int index) { return atomic_load(&shared->words[ORDER + index]) != 0; }

TEST(a_notification_that_nobody_waits_for_is_forgotten) {
    make();
    CHECK(notify(1) == 0 && notify(UINT32_MAX) == 0);
    pn_off node = enlist();
    int64_t deadline = pn_clock() + 20 * MS;
    CHECK(waiting() == 1 && wait_for(node, deadline) == PN_TIMEOUT && pn_clock() >= deadline && waiting() == 0);
    node = enlist();
    CHECK(wait_for(node, PN_NOW) == PN_TIMEOUT);
    node = enlist();
    CHECK(notify(1) == 1 && waiting() == 0 && wait_for(node, PN_NOW) == PN_OK); /* told before the sleep */
}

TEST(notify_tells_the_oldest) {
    make();
    pid_t children[6];
    for (int i = 0; i < 6; i++) children[i] = start_waiter(i);
    CHECK(waiting() == 6 && notify(0) == 0 && notify(1) == 1 && waiting() == 5);
    AWAIT(is_done(0));
    CHECK(notify(2) == 2);
    AWAIT(is_done(1) && is_done(2));
    CHECK(!is_done(3) && !is_done(4) && !is_done(5) && notify(UINT32_MAX) == 3 && notify(1) == 0);
    for (int i = 0; i < 6; i++) CHECK(reap(children[i]) == PN_OK);
}

static void *wait_in_thread(void *unused) {
    (void)unused;
    CHECK(wait_once(0) == PN_OK);
    return NULL;
}
static int wait_in_threads(intptr_t threads) {
    pthread_t ids[64];
    for (int i = 0; i < threads; i++) CHECK(pthread_create(&ids[i], NULL, wait_in_thread, NULL) == 0);
    for (int i = 0; i < threads; i++) CHECK(pthread_join(ids[i], NULL) == 0);
    return 0;
}

TEST(there_may_be_more_waiters_than_nodes) {
    pn_condition *c = make();
    pid_t children[3];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 3; i++) children[i] = start(wait_in_threads, 40);
        AWAIT(waiting() == 120);
        CHECK(notify(50) == 50 && waiting() == 70 && notify(UINT32_MAX) == 70);
        for (int i = 0; i < 3; i++) CHECK(reap(children[i]) == 0);
    }
    uint64_t used = pn_heap_in_use();
    pn_object_detach(pn_offset_of(c));
    CHECK(pn_heap_in_use() + 120 * sizeof(pn_node) <= used); /* the nodes too */
}

static void nothing(int signal) { (void)signal; }

static int interrupted(intptr_t unused) {
    struct sigaction action = {.sa_handler = nothing};
    (void)unused;
    sigaction(SIGUSR1, &action, NULL);
    pn_off node = enlist();
    if (pn_condition_wait(condition(), pn_self(), node, PN_FOREVER) != PN_INTERRUPTED) return 1;
    if (waiting() != 1) return 2;
    atomic_store(&shared->words[DONE], 1);
    AWAIT(atomic_load(&shared->words[STOP]));
    return pn_condition_withdraw(condition(), pn_self(), node) == (atomic_load(&shared->words[STOP]) == 2) ? 0 : 3;
}

TEST(who_withdraws_learns_whether_it_had_been_told) {
    for (int told = 0; told < 2; told++) {
        make();
        atomic_store(&shared->words[DONE], 0);
        atomic_store(&shared->words[STOP], 0);
        pid_t child = start(interrupted, 0);
        AWAIT_SLEEPERS(1, PN_WAIT_CONDITION);
        kill(child, SIGUSR1);
        AWAIT(atomic_load(&shared->words[DONE]));
        if (told) CHECK(notify(1) == 1);
        atomic_store(&shared->words[STOP], 1 + told);
        CHECK(reap(child) == 0 && waiting() == 0);
    }
}

static int wait_shortly(intptr_t seed) {
    uint64_t random = (uint64_t)seed * 2654435761u + 1;
    while (!atomic_load(&shared->words[STOP])) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        pn_off node = enlist();
        pn_code code = wait_for(node, pn_clock() + (int64_t)(random >> 33) % 60000);
        if (code == PN_OK) atomic_fetch_add(&shared->words[OK_ENDS], 1);
        atomic_fetch_add(&shared->words[DONE], 1);
        if (code != PN_OK && code != PN_TIMEOUT) return 1;
    }
    return 0;
}

TEST(as_many_waits_end_well_as_notify_has_counted) {
    enum { WAITS = SANITIZED ? 3000 : 20000 };
    pid_t children[4];
    int64_t told = 0;
    make();
    for (int i = 0; i < 4; i++) children[i] = start(wait_shortly, i);
    for (uint32_t n = 0; atomic_load(&shared->words[DONE]) < WAITS; n++) told += notify(n % 4);
    atomic_store(&shared->words[STOP], 1);
    for (int i = 0; i < 4; i++) CHECK(reap(children[i]) == 0);
    CHECK(told == atomic_load(&shared->words[OK_ENDS]) && told > 0 && told < atomic_load(&shared->words[DONE]) && waiting() == 0);
}

TEST(the_dead_take_no_notification) {
    pn_condition *c = make();
    pid_t children[4];
    for (int i = 0; i < 4; i++) children[i] = start_waiter(i);
    for (int i = 0; i < 3; i++) kill_and_reap(children[i]);
    CHECK(waiting() == 1 && notify(1) == 1 && reap(children[3]) == PN_OK);
    for (int i = 0; i < 6; i++) kill_and_reap(start_waiter(0)); /* in the nodes of the dead: the object's own are enough */
    CHECK(c->waiters.more == 0);
}

/* Waiters that are stopped are told, and killed before they could look. */
TEST(a_notification_taken_to_the_grave_is_passed_on) {
    pn_condition *c = make();
    pid_t first = start_waiter(0), second = start_waiter(1), third = start_waiter(2);
    stop(first);
    stop(second);
    CHECK(notify(2) == 2);
    kill_and_reap(first);
    CHECK(reap(third) == PN_OK && waiting() == 0); /* at its next backstop */
    pid_t late = start_waiter(3);
    kill_and_reap(second); /* nobody of those who waited then is left */
    pn_wakes wakes = {0};
    pn_waiters_enter(&c->waiters, pn_self());
    pn_waiters_pass_on(&c->waiters, &wakes);
    pn_waiters_leave(&c->waiters);
    CHECK(wakes.count == 0 && waiting() == 1);
    CHECK(notify(1) == 1 && reap(late) == PN_OK);
}

/* ── who watches the notifier ── */
static pn_lock *the_lock(void) { return object_at(LOCK); }

static void make_with_lock(void) {
    pn_off lock = 0;
    make();
    CHECK(pn_lock_create(false, &lock) == PN_OK);
    note_object(LOCK, lock);
}

/* The first notification tells whom to watch; the second may be put off. */
static int wait_twice(intptr_t unused) {
    for (int i = 0; i < 2; i++) {
        pn_off node = enlist();
        atomic_fetch_add(&shared->words[ENLISTED], 1);
        CHECK(wait_for(node, PN_FOREVER) == PN_OK);
        atomic_fetch_add(&shared->words[DONE], 1);
    }
    return (int)unused;
}

static void notify_holding(void) {
    CHECK(pn_lock_try(the_lock(), pn_self()) == PN_OK);
    CHECK(pn_condition_notify(condition(), pn_self(), 1, the_lock()) == 1);
}

static void notify_first(pid_t waiter) {
    AWAIT(atomic_load(&shared->words[ENLISTED]) == 1);
    notify_holding();
    CHECK(atomic_load(&the_lock()->deferred) == 0); /* it watched nobody */
    CHECK(pn_lock_release(the_lock()) == PN_OK);
    AWAIT(atomic_load(&shared->words[ENLISTED]) == 2 && sleepers(PN_WAIT_CONDITION) == 1 && is_asleep(waiter));
}

TEST(who_watches_the_notifier_is_woken_when_that_lets_go_of_the_lock) {
    make_with_lock();
    pid_t waiter = start(wait_twice, 0);
    notify_first(waiter);
    notify_holding();
    CHECK(atomic_load(&the_lock()->deferred) != 0 && is_asleep(waiter));
    int64_t released = pn_clock();
    CHECK(pn_lock_release(the_lock()) == PN_OK && atomic_load(&the_lock()->deferred) == 0);
    AWAIT(atomic_load(&shared->words[DONE]) == 2);
    CHECK(pn_clock() - released < PN_BACKSTOP / 2 && reap(waiter) == 0);
}

static const char *const deferring[] = {"condition.notify.after_deferred", "condition.notify.before_wake", "lock.release.before_deferred"};

static int notify_and_be_killed(intptr_t index) {
    notify_first((pid_t)atomic_load(&shared->words[TOLD]));
    CHECK(pn_fault_arm(deferring[index], PN_FAULT_KILL, 0) == PN_OK);
    atomic_store(&shared->words[KILLED_AT], pn_clock());
    notify_holding();
    (void)pn_lock_release(the_lock());
    return 0;
}

TEST(a_notifier_that_is_killed_before_it_wakes_is_told_to_who_watches_it) {
    for (intptr_t index = 0; index < 3; index++) {
        make_with_lock();
        for (int word = ENLISTED; word <= DONE; word++) atomic_store(&shared->words[word], 0);
        pid_t waiter = start(wait_twice, 0);
        atomic_store(&shared->words[TOLD], waiter);
        CHECK(reap(start(notify_and_be_killed, index)) == -SIGKILL);
        AWAIT(atomic_load(&shared->words[DONE]) == 2);
        CHECK(pn_clock() - atomic_load(&shared->words[KILLED_AT]) < PN_BACKSTOP / 2);
        CHECK(reap(waiter) == 0);
    }
}

static const char *const points[] = {
    "waiters.add.before_ticket", "waiters.add.before_state", "waiters.add.after_state",
    "condition.enlist.after_section", "condition.wait.before_sleep",
    "waiters.tell.before_state", "waiters.tell.after_state", "condition.notify.before_wake", "waiters.wake.before_one",
    "condition.withdraw.before_free", "condition.wait.before_free",
    "waiters.repair.before", "waiters.repair.after",
    "waiters.pass_on.before_state", "waiters.free_the_dead.before_free",
    "waiters.poke.before_state", "waiters.poke.after_wake", /* by the Barrier's tests */
    "condition.notify.after_deferred", /* above */
};
enum { WAITING = 5, NOTIFYING = 9, LEAVING = 11, REPAIRING = 13, PASSING_ON = 14, FREEING = 15 };

static int wait_until_killed(intptr_t point) {
    CHECK(pn_self() != 0);
    CHECK(pn_fault_arm(points[point], PN_FAULT_KILL, 0) == PN_OK);
    wait_for(enlist(), PN_FOREVER);
    return 0;
}

static int notify_until_killed(intptr_t point) {
    CHECK(pn_self() != 0);
    CHECK(pn_fault_arm(points[point], PN_FAULT_KILL, 0) == PN_OK);
    notify(2);
    return 0;
}

static int leave_until_killed(intptr_t point) {
    pn_off node = enlist();
    CHECK(pn_fault_arm(points[point], PN_FAULT_KILL, 0) == PN_OK);
    if (strstr(points[point], "withdraw") == NULL) CHECK(notify(UINT32_MAX) > 0);
    wait_for(node, PN_NOW);
    return 0;
}

static int pass_on_until_killed(intptr_t point) {
    pn_condition *c = condition();
    pn_wakes wakes = {0};
    CHECK(pn_self() != 0);
    CHECK(pn_fault_arm(points[point], PN_FAULT_KILL, 0) == PN_OK);
    pn_waiters_enter(&c->waiters, pn_self());
    pn_waiters_pass_on(&c->waiters, &wakes);
    return 0;
}

static void check_killed(int (*run)(intptr_t), intptr_t point) {
    pid_t victim = start(run, point);
    int status = reap(victim);
    if (status != -SIGKILL) fprintf(stderr, "not reached: %s\n", points[point]);
    CHECK(status == -SIGKILL);
    pn_process_reaped((uint32_t)victim, status);
}

static void kill_at(intptr_t point) {
    make();
    atomic_store(&shared->words[DONE], 0);
    pid_t waiters[3];
    int n = 0;
    while (n < 2) waiters[n] = start_waiter(n), n++;
    if (point < WAITING) check_killed(wait_until_killed, point);
    else if (point < NOTIFYING) check_killed(notify_until_killed, point);
    else if (point < LEAVING) check_killed(leave_until_killed, point);
    else if (point < REPAIRING) check_killed(wait_until_killed, 1), check_killed(notify_until_killed, point);
    else if (point < PASSING_ON) {
        stop(waiters[0]);
        CHECK(notify(1) == 1);
        kill_and_reap(waiters[0]);
        check_killed(pass_on_until_killed, point);
        waiters[0] = start_waiter(n);
    } else if (point < FREEING) {
        for (int i = 0; i < 4; i++) kill_and_reap(start_waiter(5)); /* six nodes, four of the dead */
        check_killed(wait_until_killed, point);
    }
    /* Whatever the dead one has done: the others are told, once, and not twice. */
    waiters[n] = start_waiter(n), n++;
    uint32_t told = notify(UINT32_MAX);
    CHECK(told >= 1 && told <= 3 && waiting() == 0);
    for (int i = 0; i < n; i++) CHECK(reap(waiters[i]) == PN_OK);
    CHECK(atomic_load(&shared->words[DONE]) == 3);
    pn_object_detach(pn_offset_of(condition()));
}

TEST(a_kill_at_any_point_leaves_a_condition_that_works) {
    CHECK_POINTS_ARE_ALL("condition.c", points);
    CHECK_POINTS_ARE_ALL("waiters.c", points);
    for (intptr_t point = 0; point < FREEING; point++) kill_at(point);
}

TESTS(RUN(a_notification_that_nobody_waits_for_is_forgotten), RUN(notify_tells_the_oldest), RUN(there_may_be_more_waiters_than_nodes),
      RUN(who_withdraws_learns_whether_it_had_been_told), RUN(as_many_waits_end_well_as_notify_has_counted),
      RUN(the_dead_take_no_notification), RUN(a_notification_taken_to_the_grave_is_passed_on),
      RUN(who_watches_the_notifier_is_woken_when_that_lets_go_of_the_lock),
      RUN(a_notifier_that_is_killed_before_it_wakes_is_told_to_who_watches_it), RUN(a_kill_at_any_point_leaves_a_condition_that_works))
