/* test_filling.c: buffers made with their content, whether there are pages for it or not.  */
#include "census.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../filling.h"
#include "../ledger.h"

enum { MIB = 1 << 20, BYTES = 9 * MIB + 12345 };
static unsigned char content[BYTES];

static void make_content(unsigned seed) {
    for (size_t i = 0; i < BYTES; i++) content[i] = (unsigned char)((i * 2654435761u >> 13) + seed);
}

static pn_off make_filled(uint64_t size) {
    pn_off buffer = 0;
    uint64_t half = size / 2;
    pn_piece pieces[3] = {{0, content, half}, {half, NULL, 0}, {half + 60, content + half + 60, size - half - 60}}; /* with a gap */
    CHECK(pn_buffer_create_filled(size, pieces, 3, &buffer) == PN_OK);
    CHECK(memcmp(pn_buffer_bytes(buffer), content, half) == 0);
    CHECK(memcmp((char *)pn_buffer_bytes(buffer) + half + 60, content + half + 60, size - half - 60) == 0);
    CHECK(((pn_buffer *)pn_at(buffer))->size == size);
    return buffer;
}

TEST(a_buffer_has_its_content_on_fresh_pages_on_old_ones_and_on_some_of_both) {
    static const uint64_t sizes[] = {1000, 70000, MIB - 64, MIB, MIB + 5, 5 * MIB, BYTES};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        pn_off before;
        make_content(0);
        pn_buffer_free(before = make_filled(sizes[i]));
        make_content(1);
        CHECK(make_filled(sizes[i]) == before); /* the same block, warm */
        pn_buffer_free(before);
        pn_heap_trim();
        make_content(2);
        pn_off part = make_filled(sizes[i] / 32 * 30); /* after a trim: fresh; then longer than it was */
        pn_buffer_free(part);
        make_content(3);
        pn_buffer_free(make_filled(sizes[i]));
    }
    CHECK(take_census().used == pn_heap_in_use());
}

TEST(all_its_pages_exist_and_are_known) {
    make_content(0);
    CHECK(pn_self() != 0);
    pn_buffer_free(make_filled(1000)); /* makes the ledger */
    uint64_t before = pn_memory_used(pn_arena_fd);
    pn_off buffer = make_filled(BYTES);
    CHECK(pn_memory_used(pn_arena_fd) >= before + BYTES);
    pn_buffer_free(buffer);
    CHECK(pn_heap_idle() >= BYTES && pn_heap_idle() <= BYTES + MIB);
    pn_heap_trim();
    CHECK(pn_memory_used(pn_arena_fd) < before + MIB / 8);
}

TEST(a_limit_on_file_sizes_makes_it_slower_and_kills_nobody) {
    struct rlimit limit;
    make_content(0);
    CHECK(pn_self() != 0 && getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = MIB;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    pn_off buffer = make_filled(BYTES);
    CHECK(!pn_heap_lacks_pages(buffer, BYTES));
    pn_buffer_free(buffer);
}

TEST(beyond_the_cap_nothing_is_made) {
    pn_off buffer = 0;
    pn_piece all = {0, content, BYTES};
    CHECK(pn_self() != 0);
    pn_header()->cap = 4 * MIB;
    CHECK(pn_buffer_create_filled(BYTES, &all, 1, &buffer) == PN_NOMEM);
    CHECK(take_census().used == pn_heap_in_use() && pn_heap_in_use() < MIB);
}

TEST(while_another_writes_pages_are_made_in_another_way) {
    make_content(0);
    CHECK(pn_self() != 0);
    pn_buffer_free(make_filled(1000));
    int64_t now = pn_clock() + (1ll << 40); /* ahead: for as long as this takes */
    atomic_store(pn_heap_writing(), now);
    pn_off first = make_filled(BYTES), second = make_filled(MIB);
    CHECK(atomic_load(pn_heap_writing()) == now); /* it is still the other's turn */
    CHECK(!pn_heap_lacks_pages(first, BYTES) && !pn_heap_lacks_pages(second, MIB));
    atomic_store(pn_heap_writing(), pn_clock() - (1ll << 40)); /* it was killed long ago */
    pn_off third = make_filled(2 * MIB);
    CHECK(atomic_load(pn_heap_writing()) == 0 && !pn_heap_lacks_pages(third, 2 * MIB));
}

TEST(who_spares_warm_blocks_takes_them_once_there_are_plenty) {
    enum { N = 40 };
    pn_off at[N];
    make_content(0);
    CHECK(pn_self() != 0);
    for (int i = 0; i < N; i++) at[i] = make_filled(MIB);
    pn_heap_spare_warm();
    pn_buffer_free(at[0]);
    CHECK(make_filled(MIB) != at[0]);
    for (int i = 1; i < N; i++) pn_buffer_free(at[i]);
    CHECK(make_filled(MIB) == at[N - 1]);
}

TEST(a_forked_child_fills_blocks_that_its_parent_had_filled) {
    make_content(0);
    pn_buffer_free(make_filled(BYTES));
    pn_before_fork();
    pid_t child = fork();
    if (child == 0) {
        make_content(1);
        pn_buffer_free(make_filled(BYTES));
        _exit(0);
    }
    pn_after_fork((uint32_t)child);
    int status;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

TESTS(RUN(a_buffer_has_its_content_on_fresh_pages_on_old_ones_and_on_some_of_both), RUN(all_its_pages_exist_and_are_known),
      RUN(a_limit_on_file_sizes_makes_it_slower_and_kills_nobody), RUN(beyond_the_cap_nothing_is_made),
      RUN(while_another_writes_pages_are_made_in_another_way), RUN(who_spares_warm_blocks_takes_them_once_there_are_plenty),
      RUN(a_forked_child_fills_blocks_that_its_parent_had_filled))
