/* test_object.c: references, pins, buffers, ledgers and the quarantine, with a kill at every fault point. */
#include "census.h"

enum { READY = 1, GO, OBJECT, RESULT }; /* words of `shared` */

/* ── objects ─────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int destroyed;
static void count_destroyed(pn_off object) { destroyed += object != 0; }

TEST(the_last_reference_destroys_and_frees) {
    pn_kind_on_destroy(PN_KIND_EVENT, count_destroyed);
    pn_off event = make(PN_KIND_EVENT, 64);
    uint32_t generation = generation_of(event);
    CHECK(pn_object_attach(event, generation, PN_KIND_EVENT) == PN_OK && pn_object_refs(event) == 2);
    pn_object_detach(event);
    CHECK(pn_object_pin(event) == PN_OK && pn_object_pins(event) == 1);
    pn_object_detach(event);
    CHECK(destroyed == 0 && pn_object_refs(event) == 0 && !is_freed_since(event, generation));
    CHECK(pn_object_attach(event, generation, PN_KIND_EVENT) == PN_OK); /* it arrived */
    pn_object_unpin(event);
    CHECK(destroyed == 0);
    pn_object_detach(event);
    CHECK(destroyed == 1 && is_freed_since(event, generation));
    pn_object_detach(event); /* one too many is none */
    CHECK(destroyed == 1);
}

TEST(a_pin_that_is_the_last_destroys_and_frees) {
    pn_kind_on_destroy(PN_KIND_EVENT, count_destroyed);
    pn_off event = make(PN_KIND_EVENT, 64);
    uint32_t generation = generation_of(event);
    CHECK(pn_object_pin(event) == PN_OK);
    pn_object_detach(event);
    pn_object_unpin(event);
    CHECK(destroyed == 1 && is_freed_since(event, generation));
}

TEST(stale_handles_are_told_from_living_ones) {
    pn_off event = make(PN_KIND_EVENT, 64);
    uint32_t generation = generation_of(event);
    CHECK(pn_object_attach(event, generation + 1, PN_KIND_EVENT) == PN_STALE);
    CHECK(pn_object_attach(event, generation, PN_KIND_LOCK) == PN_STALE);
    CHECK(pn_object_attach(event + 8, generation, PN_KIND_EVENT) == PN_STALE);
    CHECK(pn_object_attach(64, 1, PN_KIND_EVENT) == PN_STALE);
    CHECK(pn_object_attach(1ull << 50, 1, PN_KIND_EVENT) == PN_STALE);
    CHECK(pn_object_attach(event + (1 << 30), 1, PN_KIND_EVENT) == PN_STALE);
    pn_object_detach(event);
    CHECK(pn_object_attach(event, generation, PN_KIND_EVENT) == PN_STALE);
    CHECK(make(PN_KIND_EVENT, 64) == event);
    CHECK(pn_object_attach(event, generation, PN_KIND_EVENT) == PN_STALE);
    CHECK(pn_object_pin(event) == PN_OK);
}

TEST(a_hundred_thousand_objects_are_cheap) {
    enum { N = 100000 };
    static pn_off at[N];
    CHECK(pn_self() != 0);
    int64_t begun = pn_clock();
    for (int i = 0; i < N; i++) at[i] = make(PN_KIND_LOCK, 64);
    int64_t made = pn_clock();
    for (int i = 0; i < N; i++) pn_object_detach(at[i]);
    int64_t gone = pn_clock();
    for (int i = 0; i < N; i++) at[i] = make(PN_KIND_LOCK, 64);
    int64_t again = pn_clock();
    printf("         64 B objects: created in %.0f ns, again in %.0f ns, detached in %.0f ns each\n", (double)(made - begun) / N, (double)(again - gone) / N, (double)(gone - made) / N);
    for (int i = 0; i < N; i++) pn_object_detach(at[i]);
    CHECK(pn_heap_in_use() < 8 << 20); /* the ledger alone */
}

static int make_many_and_die(intptr_t unused) {
    for (int i = 0; i < 1000; i++) (void)make(PN_KIND_EVENT, 64);
    pn_off buffer;
    CHECK(pn_buffer_create(5 << 20, &buffer) == PN_OK && pn_buffer_create(100, &buffer) == PN_OK);
    CHECK(pn_object_attach((pn_off)shared->words[OBJECT], generation_of((pn_off)shared->words[OBJECT]), PN_KIND_EVENT) == PN_OK);
    pn_kill_now();
    return (int)unused;
}

TEST(what_a_dead_process_referred_to_is_given_back) {
    pn_off event = make(PN_KIND_EVENT, 64);
    shared->words[OBJECT] = (int64_t)event;
    CHECK(pn_object_pin(event) == PN_OK);
    uint64_t base = pn_heap_in_use();
    CHECK(reap(start(make_many_and_die, 0)) == -SIGKILL);
    CHECK(pn_object_refs(event) == 2 && pn_heap_in_use() > base + (6 << 20));
    pn_sweep_dead();
    CHECK(pn_object_refs(event) == 1 && pn_heap_in_use() == base);
    CHECK(take_census().used == pn_heap_in_use());
}

static int leave_with_references(intptr_t unused) {
    (void)make(PN_KIND_EVENT, 64);
    pn_process_leave(0);
    return (int)unused;
}

TEST(what_a_process_that_leaves_referred_to_is_given_back) {
    (void)make(PN_KIND_EVENT, 64);
    uint64_t base = pn_heap_in_use();
    CHECK(reap_and_tell(start(leave_with_references, 0)) == 0);
    CHECK(pn_heap_in_use() == base);
}

/* Enough to make the ledger grow, then everything else. */
static int use_objects(intptr_t skip) {
    pn_off at[60], event = (pn_off)shared->words[OBJECT];
    CHECK(pn_self() != 0);
    for (int i = 0; i < 45; i++) at[i] = make(PN_KIND_EVENT, 64);
    CHECK(pn_fault_arm("*", PN_FAULT_KILL, (uint32_t)skip) == PN_OK);
    for (int i = 45; i < 50; i++) at[i] = make(PN_KIND_EVENT, 64);
    CHECK(pn_object_attach(event, generation_of(event), PN_KIND_EVENT) == PN_OK);
    CHECK(pn_object_pin(at[48]) == PN_OK);
    pn_object_detach(at[48]);
    pn_object_unpin(at[48]);
    pn_object_detach(at[49]);
    CHECK(pn_buffer_create(1000, &at[50]) == PN_OK && pn_buffer_create(2 << 20, &at[51]) == PN_OK);
    pn_buffer_free(at[50]);
    pn_object_detach(event);
    return 0;
}

TEST(a_kill_at_any_point_of_an_object_leaks_at_most_one_reference) {
    note_points();
    pn_off event = make(PN_KIND_EVENT, 64);
    uint32_t generation = generation_of(event), refs = 1, leaked_references = 0;
    uint64_t base = pn_heap_in_use(), leaked_blocks = 0;
    int skip = 0, status;
    shared->words[OBJECT] = (int64_t)event;
    do {
        status = reap_and_tell(start(use_objects, skip++));
        CHECK(status == 0 || status == -SIGKILL);
        touch_heap();
        CHECK(!is_freed_since(event, generation));
        uint32_t now = pn_object_refs(event);
        uint64_t used = pn_heap_in_use();
        CHECK(now == refs || now == refs + 1);
        CHECK(used >= base && used <= base + 2048);
        leaked_references += now - refs;
        leaked_blocks += used != base;
        refs = now;
        base = used;
    } while (status != 0);
    printf("         %d kills, leaked: %u references, %lu blocks\n", skip - 1, leaked_references, (unsigned long)leaked_blocks);
    CHECK(skip > 100 && leaked_references <= 3 && leaked_blocks <= 6);
    check_reached("object.c", NULL);
    CHECK(take_census().used == pn_heap_in_use());
}

static int make_some_and_die(intptr_t unused) {
    pn_off event = (pn_off)shared->words[OBJECT], buffer;
    for (int i = 0; i < 3; i++) (void)make(PN_KIND_EVENT, 64);
    CHECK(pn_buffer_create(1000, &buffer) == PN_OK);
    CHECK(pn_object_attach(event, generation_of(event), PN_KIND_EVENT) == PN_OK);
    pn_kill_now();
    return (int)unused;
}

static int sweep_and_die(intptr_t skip) {
    CHECK(pn_self() != 0);
    atomic_store(&shared->words[READY], 1);
    AWAIT(atomic_load(&shared->words[GO]) != 0);
    CHECK(pn_fault_arm("*", PN_FAULT_KILL, (uint32_t)skip) == PN_OK);
    pn_sweep_dead();
    return 0;
}

/* One process dies, the one who sweeps after it dies at its `skip`-th point, we sweep after both. What the sweeper forked later might have
 * inherited goes through the quarantine. */
static int die_sweep_and_die(int skip, bool sweeper_is_younger) {
    pid_t sweeper = 0;
    shared->words[READY] = shared->words[GO] = sweeper_is_younger;
    if (!sweeper_is_younger) {
        sweeper = start(sweep_and_die, skip);
        AWAIT(atomic_load(&shared->words[READY]) != 0);
    }
    CHECK(reap(start(make_some_and_die, 0)) == -SIGKILL);
    shared->words[GO] = 1;
    if (sweeper_is_younger) sweeper = start(sweep_and_die, skip);
    int status = reap(sweeper);
    CHECK(status == 0 || status == -SIGKILL);
    pn_sweep_dead();
    return status;
}

static void kill_sweepers(bool sweeper_is_younger) {
    note_points();
    pn_off event = make(PN_KIND_EVENT, 64);
    uint32_t generation = generation_of(event), refs = 1;
    int64_t base = (int64_t)pn_heap_in_use();
    int skip = 0, leaks = 0, status;
    shared->words[OBJECT] = (int64_t)event;
    do {
        status = die_sweep_and_die(skip++, sweeper_is_younger);
        int64_t more = (int64_t)pn_heap_in_use() - base;
        CHECK(!is_freed_since(event, generation) && pn_object_refs(event) - refs <= 1);
        CHECK(more <= 1280 + 1024); /* the buffer; and a table of the quarantine's that the next one frees */
        leaks += more > 0 || pn_object_refs(event) != refs;
        refs = pn_object_refs(event);
        base += more;
    } while (status != 0);
    printf("         %d kills of the sweeper, %d leaks\n", skip - 1, leaks);
    CHECK(skip > 40 && leaks <= skip / 3);
    check_reached("ledger.c", NULL);
    check_reached("quarantine.c", sweeper_is_younger ? NULL : "quarantine", NULL);
    CHECK(take_census().used == pn_heap_in_use());
}

TEST(a_kill_of_the_sweeper_leaks_at_most_one_reference_and_frees_nothing_early) { kill_sweepers(false); }
/* Births are kept in 24 bits: were they rounded among the forks of one program, a process could seem to have inherited what it made. */
static int make_and_drop(intptr_t argument) {
    (void)argument;
    pn_off event = make(PN_KIND_EVENT, 64);
    uint32_t generation = generation_of(event);
    pn_object_detach(event);
    return is_freed_since(event, generation) ? 0 : 1;
}

TEST(what_a_process_has_made_goes_at_once_after_any_number_of_forks) {
    static const uint64_t forks[] = {0, 4094, 9000, 100000, 1000000};
    pn_off kept = make(PN_KIND_EVENT, 64);
    for (size_t i = 0; i < sizeof forks / sizeof *forks; i++) {
        atomic_store(&pn_header()->fork_epoch, forks[i]);
        for (int more = 0; more < 3; more++) CHECK(reap(start(make_and_drop, 0)) == 0);
    }
    CHECK(pn_object_refs(kept) == 1);
}

TEST(a_kill_of_the_sweeper_during_quarantine_leaks_at_most_one_reference) { kill_sweepers(true); }

/* ── forked descendants ──────────────────────────────────────────────────────────────────────────────────────────────── */

static int stay_with_what_was_inherited(intptr_t grandchild) {
    pn_off event = (pn_off)shared->words[OBJECT];
    if (grandchild) {
        if (start(stay_with_what_was_inherited, 0) > 0) return 0; /* the child goes, the grandchild stays */
    }
    atomic_store(&shared->words[READY], getpid());
    AWAIT(atomic_load(&shared->words[GO]) != 0);
    atomic_store(&shared->words[RESULT], atomic_load(&block_at(event)->kind) == PN_KIND_EVENT ? (int64_t)generation_of(event) : -1);
    return 0;
}

TEST(an_object_outlives_its_references_while_a_forked_child_may_use_it) {
    pn_off event = make(PN_KIND_EVENT, 64);
    uint32_t generation = generation_of(event);
    shared->words[OBJECT] = (int64_t)event;
    pn_before_fork();
    pid_t child = start(stay_with_what_was_inherited, 0);
    pn_after_fork((uint32_t)child);
    AWAIT(atomic_load(&shared->words[READY]) != 0);
    pn_object_detach(event); /* the child has no slot, and never counted it */
    CHECK(!is_freed_since(event, generation) && pn_object_refs(event) == 1);
    pn_off young = make(PN_KIND_EVENT, 64);
    uint32_t young_generation = generation_of(young);
    pn_object_detach(young);
    CHECK(is_freed_since(young, young_generation)); /* nobody can have inherited this one */
    atomic_store(&shared->words[GO], 1);
    CHECK(reap(child) == 0 && shared->words[RESULT] == (int64_t)generation);
    (void)reap_and_tell(start(leave_with_references, 0)); /* any death that is noticed */
    CHECK(is_freed_since(event, generation));
}

TEST(an_object_outlives_its_references_while_a_grandchild_may_use_it) {
    pn_off event = make(PN_KIND_EVENT, 64);
    uint32_t generation = generation_of(event);
    shared->words[OBJECT] = (int64_t)event;
    CHECK(reap_and_tell(start(stay_with_what_was_inherited, 1)) == 0);
    AWAIT(atomic_load(&shared->words[READY]) != 0);
    pn_object_detach(event);
    (void)reap_and_tell(start(leave_with_references, 0));
    CHECK(!is_freed_since(event, generation));
    atomic_store(&shared->words[GO], 1);
    AWAIT(pn_process_is_gone((uint32_t)shared->words[READY]));
    (void)reap_and_tell(start(leave_with_references, 0));
    CHECK(is_freed_since(event, generation) && shared->words[RESULT] == (int64_t)generation);
}

static uint32_t parents_cookie;

static int detach_what_the_parent_counted(intptr_t unused) {
    pn_off event = (pn_off)shared->words[OBJECT];
    pn_object_detach(event);
    CHECK(pn_object_refs(event) == 1);
    CHECK(pn_object_attach(event, generation_of(event), PN_KIND_EVENT) == PN_OK && pn_object_refs(event) == 2);
    pn_object_detach_cookie(event, parents_cookie); /* the inherited wrapper goes: it was never counted here */
    CHECK(pn_object_refs(event) == 2);
    pn_object_detach_cookie(event, pn_object_cookie());
    CHECK(pn_object_refs(event) == 1);
    return (int)unused;
}

TEST(a_forked_child_gives_up_only_what_it_counted) {
    pn_off event = make(PN_KIND_EVENT, 64);
    parents_cookie = pn_object_cookie();
    shared->words[OBJECT] = (int64_t)event;
    CHECK(reap_and_tell(start(detach_what_the_parent_counted, 0)) == 0);
    CHECK(pn_object_refs(event) == 1);
    pn_object_detach_cookie(event, parents_cookie);
}

/* Children come and go all the time, as requests of a server do: nothing piles up. */
TEST(objects_do_not_pile_up_while_children_come_and_go) {
    pid_t last = 0;
    (void)make(PN_KIND_EVENT, 64);
    for (int i = 0; i < 60; i++) {
        pn_off events[20];
        for (int j = 0; j < 20; j++) events[j] = make(PN_KIND_EVENT, 1024);
        pid_t child = start(stay_with_what_was_inherited, 0);
        pn_after_fork((uint32_t)child); /* it may be killed before it can say so itself */
        for (int j = 0; j < 20; j++) pn_object_detach(events[j]);
        if (last != 0) {
            kill(last, SIGKILL);
            CHECK(reap_and_tell(last) == -SIGKILL);
        }
        last = child; /* there is always one */
    }
    CHECK(pn_heap_in_use() < 500 << 10); /* of 1200 KiB */
    kill(last, SIGKILL);
    CHECK(reap_and_tell(last) == -SIGKILL);
}

TEST(a_buffer_is_freed_by_its_owner_alone) {
    pn_off buffer;
    CHECK(pn_buffer_create(100, &buffer) == PN_OK);
    uint32_t generation = generation_of(buffer);
    pn_buffer *header = pn_at(buffer);
    CHECK(header->size == 100 && (char *)pn_buffer_bytes(buffer) == (char *)header + 64);
    atomic_store(&header->owner, 64);
    pn_buffer_free(buffer);
    CHECK(!is_freed_since(buffer, generation));
    atomic_store(&header->owner, pn_self() >> 32 << 32);
    pn_buffer_free(buffer);
    CHECK(is_freed_since(buffer, generation));
}

TESTS(RUN(the_last_reference_destroys_and_frees), RUN(a_pin_that_is_the_last_destroys_and_frees),
      RUN(stale_handles_are_told_from_living_ones), RUN(a_hundred_thousand_objects_are_cheap),
      RUN(what_a_dead_process_referred_to_is_given_back), RUN(what_a_process_that_leaves_referred_to_is_given_back),
      RUN(a_kill_at_any_point_of_an_object_leaks_at_most_one_reference),
      RUN(a_kill_of_the_sweeper_leaks_at_most_one_reference_and_frees_nothing_early),
      RUN(what_a_process_has_made_goes_at_once_after_any_number_of_forks), RUN(a_kill_of_the_sweeper_during_quarantine_leaks_at_most_one_reference),
      RUN(an_object_outlives_its_references_while_a_forked_child_may_use_it),
      RUN(an_object_outlives_its_references_while_a_grandchild_may_use_it), RUN(a_forked_child_gives_up_only_what_it_counted),
      RUN(objects_do_not_pile_up_while_children_come_and_go), RUN(a_buffer_is_freed_by_its_owner_alone))
