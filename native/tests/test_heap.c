/* test_heap.c: blocks, references, buffers and the quarantine, with a kill at every fault point. */
#include "reached.h"
#include "../heap.h"

enum { FIELDS = 8, OFFSET_OF_FIELDS = 0, READY = 1, GO = 2, OBJECT = 3, RESULT = 4 };

/* ── what must hold ──────────────────────────────────────────────────────────────────────────────────────────────────── */

typedef struct census { uint64_t used; int blocks, free; } census;

/* Small blocks lie one behind the other from PN_HEAP_OFFSET on; a header that was never written has generation 0. */
static census take_census(void) {
    census c = {0, 0, 0};
    for (pn_off off = PN_HEAP_OFFSET;;) {
        pn_block *block = pn_at(off);
        if (atomic_load(&block->generation) == 0) return c;
        c.blocks++;
        if (atomic_load(&block->kind) == PN_KIND_FREE) c.free++;
        else c.used += pn_block_bytes(block);
        off += pn_block_bytes(block);
    }
}

static pn_off make(pn_kind kind, uint64_t bytes) {
    pn_off object = 0;
    CHECK(pn_object_create(bytes, kind, &object) == PN_OK);
    return object;
}
static pn_block *block_at(pn_off off) { return pn_at(off); }
static uint32_t generation_of(pn_off off) { return atomic_load(&block_at(off)->generation); }
static bool is_freed_since(pn_off off, uint32_t generation) { return generation_of(off) != generation; }

/* A repair, if one is due. */
static void touch_heap(void) {
    _Atomic pn_off local = 0;
    CHECK(pn_heap_alloc(64, PN_KIND_NODES, &local) == PN_OK);
    pn_heap_free(&local);
}

static int reap_and_tell(pid_t pid) {
    int status = reap(pid);
    pn_process_reaped((uint32_t)pid, status);
    return status;
}

/* ── blocks ──────────────────────────────────────────────────────────────────────────────────────────────────────────── */

TEST(blocks_are_large_enough_aligned_and_apart) {
    enum { N = 3000 };
    static _Atomic pn_off at[N];
    static uint64_t bytes[N];
    uint64_t dice = 7;
    CHECK(pn_self() != 0);
    for (int i = 0; i < N; i++) {
        dice = dice * 6364136223846793005ull + 1442695040888963407ull;
        bytes[i] = 16 + (dice >> 33) % (1ull << (dice >> 20) % 18);
        CHECK(pn_heap_alloc(bytes[i], PN_KIND_NODES, &at[i]) == PN_OK);
        CHECK(at[i] % 64 == 0 && pn_block_bytes(block_at(at[i])) >= bytes[i] && pn_block_bytes(block_at(at[i])) <= bytes[i] + bytes[i] / 4 + 64);
        memset((char *)pn_at(at[i]) + sizeof(pn_block), i & 0xff, bytes[i] - sizeof(pn_block));
    }
    for (int i = 0; i < N; i++)
        for (uint64_t b = sizeof(pn_block); b < bytes[i]; b++) CHECK(((unsigned char *)pn_at(at[i]))[b] == (i & 0xff));
    CHECK(take_census().used == pn_heap_in_use());
    for (int i = 0; i < N; i++) pn_heap_free(&at[i]);
    CHECK(pn_heap_in_use() == 0 && take_census().used == 0 && at[5] == 0);
}

TEST(a_freed_block_is_the_next_of_its_class_and_zeroed) {
    _Atomic pn_off a = 0, b = 0;
    CHECK(pn_heap_alloc(200, PN_KIND_NODES, &a) == PN_OK);
    pn_off first = a;
    uint32_t generation = generation_of(a);
    memset((char *)pn_at(a) + sizeof(pn_block), 0xff, 184);
    pn_heap_free(&a);
    CHECK(generation_of(first) == generation + 1);
    CHECK(pn_heap_alloc(193, PN_KIND_NODES, &b) == PN_OK && b == first);
    for (int i = sizeof(pn_block); i < 256; i++) CHECK(((char *)pn_at(b))[i] == 0);
    pn_heap_free(&a);
    CHECK(pn_heap_in_use() == 256);
}

TEST(the_cap_ends_in_an_error_and_freeing_helps) {
    static _Atomic pn_off at[1000];
    int n = 0;
    CHECK(pn_self() != 0);
    pn_header()->cap = 1 << 20;
    while (pn_heap_alloc(10000, PN_KIND_NODES, &at[n]) == PN_OK) n++;
    CHECK(n == (1 << 20) / 10240 && pn_heap_alloc(10000, PN_KIND_NODES, &at[n]) == PN_NOMEM && at[n] == 0);
    pn_heap_free(&at[0]);
    CHECK(pn_heap_alloc(10000, PN_KIND_NODES, &at[n]) == PN_OK);
    _Atomic pn_off absurd = 0;
    CHECK(pn_heap_alloc(1ull << 40, PN_KIND_NODES, &absurd) == PN_TOO_BIG);
    pn_header()->cap = 0;
    CHECK(pn_heap_alloc(1ull << 36, PN_KIND_NODES, &absurd) == PN_NOMEM); /* more than there is address space */
    CHECK(take_census().used == pn_heap_in_use());
}

TEST(large_blocks_have_pages_keep_them_and_give_them_back) {
    _Atomic pn_off a = 0, b = 0;
    CHECK(pn_self() != 0);
    uint64_t before = pn_memory_used(pn_arena_fd);
    CHECK(pn_heap_alloc(40 << 20, PN_KIND_BUFFER, &a) == PN_OK && a % 4096 == 0);
    CHECK(pn_memory_used(pn_arena_fd) >= before + (40 << 20));
    memset((char *)pn_at(a) + 64, 1, (40 << 20) - 64);
    pn_off first = a;
    pn_heap_free(&a);
    CHECK(pn_memory_used(pn_arena_fd) >= before + (40 << 20)); /* warm */
    CHECK(pn_heap_alloc(39 << 20, PN_KIND_BUFFER, &b) == PN_OK && b == first);
    pn_heap_free(&b);
    pn_heap_trim();
    CHECK(pn_memory_used(pn_arena_fd) < before + (1 << 20));
    CHECK(pn_heap_alloc(40 << 20, PN_KIND_BUFFER, &b) == PN_OK && b == first);
    CHECK(pn_memory_used(pn_arena_fd) >= before + (40 << 20));
    for (int i = 0; i < 3; i++) CHECK(pn_heap_alloc(100 << 20, PN_KIND_BUFFER, &a) == PN_OK); /* three, of which one is freed */
    pn_heap_free(&a);
    pn_heap_free(&b);
    CHECK(pn_heap_in_use() == 2 * (112ull << 20));
}

/* Reserved pages are counted per block: what idles cannot exceed the limit for long. */
TEST(free_large_blocks_beyond_a_limit_do_not_keep_their_pages) {
    _Atomic pn_off at[6] = {0};
    CHECK(pn_self() != 0);
    for (int i = 0; i < 6; i++) CHECK(pn_heap_alloc(64 << 20, PN_KIND_BUFFER, &at[i]) == PN_OK);
    for (int i = 0; i < 6; i++) pn_heap_free(&at[i]);
    CHECK(pn_memory_used(pn_arena_fd) <= (256ull << 20) + (2 << 20));
}

/* ── a kill at every point ───────────────────────────────────────────────────────────────────────────────────────────── */

static _Atomic pn_off *fields(void) { return pn_at((pn_off)shared->words[OFFSET_OF_FIELDS] + 64); }

static void make_fields(void) {
    shared->words[OFFSET_OF_FIELDS] = (int64_t)make(PN_KIND_VALUES, 64 + FIELDS * sizeof(pn_off));
}

static int alloc_and_free(intptr_t skip) {
    CHECK(pn_self() != 0);
    CHECK(pn_fault_arm("heap.*", PN_FAULT_KILL, (uint32_t)skip) == PN_OK);
    CHECK(pn_heap_alloc(100, PN_KIND_NODES, &fields()[0]) == PN_OK);
    CHECK(pn_heap_alloc(100000, PN_KIND_NODES, &fields()[1]) == PN_OK);
    CHECK(pn_heap_alloc(2 << 20, PN_KIND_NODES, &fields()[2]) == PN_OK);
    for (int i = 0; i < 3; i++) pn_heap_free(&fields()[i]);
    CHECK(pn_heap_alloc(100, PN_KIND_NODES, &fields()[3]) == PN_OK);
    pn_heap_free(&fields()[3]);
    return 0;
}

static int repair_and_die(intptr_t skip) {
    CHECK(pn_self() != 0);
    CHECK(pn_fault_arm("heap.*", PN_FAULT_KILL, (uint32_t)skip) == PN_OK);
    CHECK(pn_heap_alloc(100, PN_KIND_NODES, &fields()[4]) == PN_OK);
    return 0;
}

/* What the fields name is in use, and nothing else is: neither lost nor doubled. */
static void check_fields(uint64_t base) {
    uint64_t named = 0;
    touch_heap();
    for (int i = 0; i < FIELDS; i++)
        if (fields()[i] != 0) named += pn_block_bytes(block_at(fields()[i]));
    CHECK(pn_heap_in_use() == base + named);
    for (int i = 0; i < FIELDS; i++) pn_heap_free(&fields()[i]);
    CHECK(pn_heap_in_use() == base && take_census().used == base);
}

static uint64_t settled(void) {
    CHECK(reap_and_tell(start(alloc_and_free, 1000)) == 0); /* everything was needed once */
    return pn_heap_in_use();
}

TEST(a_kill_at_any_point_of_the_heap_loses_and_doubles_nothing) {
    note_points();
    make_fields();
    touch_heap();
    uint64_t base = settled();
    int skip = 0, status;
    census before = take_census();
    do {
        status = reap_and_tell(start(alloc_and_free, skip++));
        CHECK(status == 0 || status == -SIGKILL);
        check_fields(base);
    } while (status != 0);
    CHECK(skip > 40);
    census after = take_census();
    CHECK(after.blocks == before.blocks && after.free == before.free);
    check_reached("heap.c", NULL);
}

TEST(a_kill_of_the_one_who_repairs_the_heap_is_repaired_too) {
    make_fields();
    touch_heap();
    uint64_t base = settled();
    census before = take_census();
    for (int skip = 0, status = -1; status != 0; skip += 1)
        for (int again = 0; again < 6; again++) {
            status = reap(start(alloc_and_free, skip));
            int second = reap(start(repair_and_die, again));
            CHECK((status == 0 || status == -SIGKILL) && (second == 0 || second == -SIGKILL));
            pn_sweep_dead();
            check_fields(base);
        }
    pn_sweep_dead();
    CHECK(take_census().blocks <= before.blocks + 4); /* the ledgers of two dead ones at a time */
}

static int alloc_for_ever(intptr_t index) {
    uint64_t dice = (uint64_t)index + 1;
    for (;;) {
        dice = dice * 6364136223846793005ull + 1442695040888963407ull;
        _Atomic pn_off *field = &fields()[index * 2 + (dice >> 40) % 2];
        if (*field != 0) pn_heap_free(field);
        else CHECK(pn_heap_alloc(16 + (dice >> 33) % 3000, PN_KIND_NODES, field) == PN_OK);
        atomic_fetch_add(&shared->words[100 + index], 1);
    }
    return 0;
}

TEST(the_heap_stays_whole_in_a_storm_of_kills) {
    enum { WORKERS = 4 };
    pid_t pids[WORKERS];
    uint32_t dice = 99;
    make_fields();
    touch_heap();
    uint64_t base = pn_heap_in_use();
    for (int i = 0; i < WORKERS; i++) pids[i] = start(alloc_for_ever, i);
    for (int k = 0; k < (SANITIZED ? 60 : 300); k++) {
        dice = dice * 1664525 + 1013904223;
        int victim = (int)(dice >> 16) % WORKERS;
        int64_t before = shared->words[100 + victim];
        AWAIT(shared->words[100 + victim] > before + (dice >> 8) % 300);
        kill(pids[victim], SIGKILL);
        CHECK(reap_and_tell(pids[victim]) == -SIGKILL);
        pids[victim] = start(alloc_for_ever, victim);
    }
    for (int i = 0; i < WORKERS; i++) {
        kill(pids[i], SIGKILL);
        CHECK(reap_and_tell(pids[i]) == -SIGKILL);
    }
    check_fields(base);
}

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

TESTS(RUN(blocks_are_large_enough_aligned_and_apart), RUN(a_freed_block_is_the_next_of_its_class_and_zeroed),
      RUN(the_cap_ends_in_an_error_and_freeing_helps), RUN(large_blocks_have_pages_keep_them_and_give_them_back),
      RUN(free_large_blocks_beyond_a_limit_do_not_keep_their_pages), RUN(a_kill_at_any_point_of_the_heap_loses_and_doubles_nothing),
      RUN(a_kill_of_the_one_who_repairs_the_heap_is_repaired_too), RUN(the_heap_stays_whole_in_a_storm_of_kills),
      RUN(the_last_reference_destroys_and_frees), RUN(a_pin_that_is_the_last_destroys_and_frees),
      RUN(stale_handles_are_told_from_living_ones), RUN(a_hundred_thousand_objects_are_cheap),
      RUN(what_a_dead_process_referred_to_is_given_back), RUN(what_a_process_that_leaves_referred_to_is_given_back),
      RUN(a_kill_at_any_point_of_an_object_leaks_at_most_one_reference),
      RUN(a_kill_of_the_sweeper_leaks_at_most_one_reference_and_frees_nothing_early),
      RUN(a_kill_of_the_sweeper_during_quarantine_leaks_at_most_one_reference),
      RUN(an_object_outlives_its_references_while_a_forked_child_may_use_it),
      RUN(an_object_outlives_its_references_while_a_grandchild_may_use_it), RUN(a_forked_child_gives_up_only_what_it_counted),
      RUN(objects_do_not_pile_up_while_children_come_and_go), RUN(a_buffer_is_freed_by_its_owner_alone))
