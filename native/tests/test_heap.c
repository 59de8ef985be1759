/* test_heap.c: blocks: sizes, limits, pages, and a kill at every fault point. */
#include "census.h"

enum { FIELDS = 8, OFFSET_OF_FIELDS = 0 }; /* words of `shared` */

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

TESTS(RUN(blocks_are_large_enough_aligned_and_apart), RUN(a_freed_block_is_the_next_of_its_class_and_zeroed),
      RUN(the_cap_ends_in_an_error_and_freeing_helps), RUN(large_blocks_have_pages_keep_them_and_give_them_back),
      RUN(free_large_blocks_beyond_a_limit_do_not_keep_their_pages), RUN(a_kill_at_any_point_of_the_heap_loses_and_doubles_nothing),
      RUN(a_kill_of_the_one_who_repairs_the_heap_is_repaired_too), RUN(the_heap_stays_whole_in_a_storm_of_kills))
