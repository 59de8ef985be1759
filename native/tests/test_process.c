/* test_process.c: slots: taken lazily, lost at fork, left, reused, and never lost to a kill. */
#include "../table.h"
#include "harness.h"

static int report_self(intptr_t index) {
    CHECK(pn_self_cache == 0);
    atomic_store(&shared->words[index], (int64_t)pn_self());
    CHECK(pn_self() == pn_self_slow());
    CHECK(pn_owner_tid(pn_self()) == (uint32_t)getpid());
    return 0;
}

TEST(a_forked_child_has_a_slot_of_its_own_and_names_its_parent) {
    pn_owner me = pn_self();
    CHECK(me != 0 && pn_owner_is_alive(me) && pn_owner_tid(me) == (uint32_t)getpid());
    CHECK(reap(start(report_self, 0)) == 0);
    pn_owner child = (pn_owner)atomic_load(&shared->words[0]);
    CHECK(child != 0 && pn_owner_slot(child) != pn_owner_slot(me));
    CHECK(pn_slot(pn_owner_slot(child))->parent_slot == pn_owner_slot(me));
    CHECK(pn_slot(pn_owner_slot(child))->fork_epoch == atomic_load(&pn_header()->fork_epoch));
    CHECK(!pn_owner_is_alive(child) && pn_owner_is_alive(me) && pn_self() == me);
}

static void *fork_from_here(void *unused) {
    (void)unused;
    CHECK(reap(start(report_self, 0)) == 0);
    return NULL;
}

TEST(a_child_forked_by_another_thread_has_one_too) {
    pthread_t thread;
    CHECK(pn_self() != 0);
    CHECK(pthread_create(&thread, NULL, fork_from_here, NULL) == 0 && pthread_join(thread, NULL) == 0);
    CHECK(atomic_load(&shared->words[0]) != 0);
}

static int churn(intptr_t leave) {
    pn_lock *lock = pn_at((pn_off)atomic_load(&shared->words[0]));
    pn_owner me = pn_self();
    if (me == 0) return 1;
    if (pn_lock_try(lock, me) != PN_OK && pn_lock_acquire_slow(lock, me, PN_FOREVER) != PN_OK) return 2;
    if (pn_lock_release(lock) != PN_OK) return 3;
    if (leave) pn_process_leave(0);
    return 0;
}

TEST(a_thousand_forked_children_come_and_go_in_a_few_slots) {
    pn_off lock = 0;
    CHECK(pn_lock_create(false, &lock) == PN_OK);
    atomic_store(&shared->words[0], (int64_t)lock);
    for (int i = 0; i < (SANITIZED ? 250 : 1000); i++) {
        pid_t child = start(churn, i % 2);
        CHECK(reap(child) == 0);
        if (i % 3 != 0) pn_process_reaped((uint32_t)child, 0); /* some parents do not know us */
    }
    CHECK(pn_slots_in_use() <= 80);
    CHECK(pn_owner_is_alive(pn_self()));
}

static int leave_and_tell(intptr_t status) {
    pn_owner me = pn_self();
    pn_process_set_name("worker-\xc3\xa4");
    atomic_store(&shared->words[0], (int64_t)me);
    pn_process_leave((int32_t)status);
    CHECK(!pn_owner_is_alive(me));
    pn_process_leave(99); /* a second time does nothing */
    pn_owner again = pn_self();
    CHECK(again != 0 && again != me && pn_owner_is_alive(again));
    return 0;
}

TEST(who_leaves_is_dead_with_its_status_and_may_come_again) {
    CHECK(pn_self() != 0);
    pid_t child = start(leave_and_tell, 3);
    CHECK(reap(child) == 0);
    pn_process_slot *slot = pn_slot(pn_owner_slot((pn_owner)atomic_load(&shared->words[0])));
    CHECK(atomic_load(&slot->state) == PN_SLOT_DEAD && atomic_load(&slot->exit_status) == 3 && atomic_load(&slot->died_at) > 0);
    CHECK(strcmp(slot->name, "worker-\xc3\xa4") == 0);
    pn_process_reaped((uint32_t)child, 0);
    CHECK(atomic_load(&slot->exit_status) == 3 && atomic_load(&slot->swept) == atomic_load(&slot->generation));
}

static int die(intptr_t index) {
    atomic_store(&shared->words[index], (int64_t)pn_self());
    pn_kill_now();
    return 0;
}

TEST(a_killed_one_gets_the_status_that_its_parent_saw) {
    CHECK(pn_self() != 0);
    pid_t child = start(die, 0);
    CHECK(reap(child) == -SIGKILL);
    pn_owner owner = (pn_owner)atomic_load(&shared->words[0]);
    pn_process_slot *slot = pn_slot(pn_owner_slot(owner));
    CHECK(!pn_owner_is_alive(owner) && atomic_load(&slot->exit_status) == INT32_MIN);
    pn_process_reaped((uint32_t)child, -SIGKILL);
    CHECK(atomic_load(&slot->exit_status) == -SIGKILL && atomic_load(&slot->state) == PN_SLOT_DEAD && atomic_load(&slot->died_at) > 0);
    pn_process_reaped((uint32_t)getpid(), 0); /* a number that is in use again belongs to a living one: nothing happens */
    CHECK(pn_owner_is_alive(pn_self()));
}

TEST(an_old_id_never_means_the_new_process_in_its_slot) {
    CHECK(pn_self() != 0);
    pid_t first = start(die, 0);
    CHECK(reap(first) == -SIGKILL);
    pn_owner old = (pn_owner)atomic_load(&shared->words[0]), new = 0;
    pn_process_reaped((uint32_t)first, -SIGKILL);
    for (int i = 0; i < 200 && pn_owner_slot(new) != pn_owner_slot(old); i++) {
        pid_t child = start(die, 1);
        CHECK(reap(child) == -SIGKILL);
        pn_process_reaped((uint32_t)child, -SIGKILL);
        new = (pn_owner)atomic_load(&shared->words[1]);
    }
    CHECK(pn_owner_slot(new) == pn_owner_slot(old) && pn_owner_gen(new) == pn_owner_gen(old) + 1);
    _Atomic uint32_t *word = NULL;
    uint32_t expected = 0;
    CHECK(!pn_owner_is_alive(old) && !pn_life_word(old, &word, &expected) && pn_wait_thread_gone(old));
}

static const char *const registration_points[] = {
    "process.claim.after_take", "process.claim.after_high", "process.claim.after_generation", "process.claim.after_life",
    "process.claim.after_alive",
};
enum { REGISTRATION_POINTS = sizeof registration_points / sizeof *registration_points };

static int die_registering(intptr_t point) {
    CHECK(pn_fault_arm(registration_points[point], PN_FAULT_KILL, 0) == PN_OK);
    (void)pn_self();
    return 0; /* "after_high" is not on the way of who takes a used slot */
}

TEST(a_kill_within_registration_loses_no_slot) {
    CHECK(pn_self() != 0);
    for (int i = 0; i < 100 * REGISTRATION_POINTS; i++) {
        pid_t child = start(die_registering, i % REGISTRATION_POINTS);
        int status = reap(child);
        CHECK(status == -SIGKILL || (status == 0 && i % REGISTRATION_POINTS == 1));
        pn_process_reaped((uint32_t)child, status);
        if (SANITIZED && i > 150) break;
    }
    CHECK(pn_slots_in_use() <= 80);
    CHECK(reap(start(report_self, 0)) == 0);
}

static const char *const other_points[] = {"sweep.note.before_state", "sweep.slot.after_ledger", "process.leave.after_ledger",
                                           "process.leave.after_dead", "life.leave.before_wake"};

static int die_sweeping(intptr_t point) {
    CHECK(pn_self() != 0);
    CHECK(pn_fault_arm(other_points[point], PN_FAULT_KILL, 0) == PN_OK);
    pn_sweep_dead();
    pn_process_leave(0);
    return 0;
}

TEST(a_kill_within_sweeping_or_leaving_is_finished_by_others) {
    CHECK(pn_self() != 0);
    for (int i = 0; i < 5; i++) {
        pid_t victim = start(die, 0), sweeper;
        CHECK(reap(victim) == -SIGKILL); /* nobody has noticed yet */
        sweeper = start(die_sweeping, i);
        CHECK(reap(sweeper) == -SIGKILL);
        pn_process_reaped((uint32_t)victim, -SIGKILL);
        pn_process_reaped((uint32_t)sweeper, -SIGKILL);
        for (uint32_t index = 1; index < pn_slots_in_use(); index++) {
            pn_process_slot *slot = pn_slot(index);
            if (index == pn_owner_slot(pn_self())) continue;
            CHECK(atomic_load(&slot->state) == PN_SLOT_DEAD && atomic_load(&slot->swept) == atomic_load(&slot->generation));
        }
    }
}

static int fill_table(intptr_t unused) {
    (void)unused;
    return pn_process_register() == PN_NO_SLOT && pn_self() == 0 ? 0 : 1;
}

TEST(a_full_table_is_said_with_a_code) {
    CHECK(pn_self() != 0);
    atomic_store(&pn_table_state()->high, PN_MAX_PROCESSES); /* as if all were in use … */
    for (uint32_t index = 2; index < PN_MAX_PROCESSES; index++) atomic_store(&pn_slot(index)->state, PN_SLOT_ALIVE);
    CHECK(reap(start(fill_table, 0)) == 0);
    pn_sweep_dead(); /* … by dead ones */
    for (uint32_t index = 2; index < PN_MAX_PROCESSES; index++) CHECK(atomic_load(&pn_slot(index)->state) == PN_SLOT_DEAD);
    CHECK(reap(start(report_self, 0)) == 0);
}

TESTS(RUN(a_forked_child_has_a_slot_of_its_own_and_names_its_parent), RUN(a_child_forked_by_another_thread_has_one_too),
      RUN(a_thousand_forked_children_come_and_go_in_a_few_slots), RUN(who_leaves_is_dead_with_its_status_and_may_come_again),
      RUN(a_killed_one_gets_the_status_that_its_parent_saw), RUN(an_old_id_never_means_the_new_process_in_its_slot),
      RUN(a_kill_within_registration_loses_no_slot), RUN(a_kill_within_sweeping_or_leaving_is_finished_by_others),
      RUN(a_full_table_is_said_with_a_code))
