/* test_arena.c: the arena and the platform below it: sizes, limits, descriptors, recognition. */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include "harness.h"

TEST(an_arena_is_one_sealed_descriptor_and_opening_it_again_changes_nothing) {
    CHECK(pn_base == NULL && pn_arena_open() == PN_OK);
    char *base = pn_base;
    int fd = pn_arena_fd;
    CHECK(pn_arena_open() == PN_OK && pn_base == base && pn_arena_fd == fd);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    CHECK(ftruncate(fd, 4096) != 0 && errno == EPERM);
    CHECK(pn_header()->magic == PN_ARENA_MAGIC && pn_header()->size >= PN_HEAP_OFFSET && atomic_load(&pn_header()->cap) > 0);
    CHECK(pn_memory_used(fd) <= 64 * 1024);
}

static void *open_it(void *barrier) {
    pthread_barrier_wait(barrier);
    CHECK(pn_arena_open() == PN_OK);
    return pn_base;
}

TEST(threads_that_open_at_once_get_the_same_arena) {
    pthread_t threads[8];
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, 8);
    for (int i = 0; i < 8; i++) CHECK(pthread_create(&threads[i], NULL, open_it, &barrier) == 0);
    for (int i = 0; i < 8; i++) {
        void *base = NULL;
        pthread_join(threads[i], &base);
        CHECK(base == pn_base);
    }
}

static int attach_to(intptr_t pid) {
    char path[64];
    AWAIT(atomic_load(&shared->words[0]) != 0);
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, (int)atomic_load(&shared->words[1]));
    int fd = open(path, O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0 && pn_arena_attach(fd) == PN_OK);
    CHECK(pn_arena_attach(dup(fd)) == PN_OK); /* a second way to the same one */
    _Atomic int64_t *word = pn_at(6ull << 20);
    CHECK(atomic_load(word) == 4711);
    atomic_store(word, 4712);
    return pn_self() != 0 ? 0 : 1;
}

TEST(a_process_that_got_the_descriptor_sees_the_same_memory) {
    pid_t child = start(attach_to, getpid());
    CHECK(pn_arena_open() == PN_OK);
    _Atomic int64_t *word = pn_at(6ull << 20);
    atomic_store(word, 4711);
    atomic_store(&shared->words[1], pn_arena_fd);
    atomic_store(&shared->words[0], 1);
    CHECK(reap(child) == 0);
    CHECK(atomic_load(word) == 4712);
}

TEST(what_is_no_arena_or_another_one_is_stale) {
    int fd = -1, pipes[2];
    CHECK(pn_memory_create("not an arena", 1 << 20, &fd) == PN_OK);
    CHECK(pn_arena_attach(fd) == PN_STALE);
    CHECK(pipe(pipes) == 0 && pn_arena_attach(pipes[0]) == PN_STALE && pn_arena_attach(-1) == PN_STALE);
    CHECK(pn_arena_open() == PN_OK);
    pn_arena_header other = *pn_header();
    other.uuid[0] ^= 1;
    CHECK(pwrite(fd, &other, sizeof other, 0) == sizeof other && pn_arena_attach(fd) == PN_STALE); /* another size */
    other.size = 1 << 20;
    CHECK(pwrite(fd, &other, sizeof other, 0) == sizeof other && pn_arena_attach(fd) == PN_STALE); /* another arena is open */
}

static void limit(int what, rlim_t value) {
    struct rlimit both;
    CHECK(getrlimit(what, &both) == 0);
    both.rlim_cur = value;
    CHECK(setrlimit(what, &both) == 0);
}

TEST(little_address_space_gives_a_smaller_arena) {
    if (SANITIZED) return;
    limit(RLIMIT_AS, 4ul << 30);
    CHECK(pn_arena_open() == PN_OK && pn_header()->size >= 1ull << 30 && pn_header()->size < 4ull << 30);
    CHECK(pn_self() != 0);
}

TEST(a_limit_on_file_sizes_gives_a_smaller_arena_and_no_signal) {
    limit(RLIMIT_FSIZE, 1ul << 30);
    CHECK(pn_arena_open() == PN_OK && pn_header()->size == 1ull << 30);
    CHECK(pn_self() != 0);
}

TEST(no_room_at_all_is_said_with_a_code) {
    limit(RLIMIT_FSIZE, 1ul << 20);
    CHECK(pn_arena_open() == PN_NOMEM && pn_base == NULL && pn_self() == 0);
    limit(RLIMIT_FSIZE, RLIM_INFINITY);
    limit(RLIMIT_NOFILE, 3);
    CHECK(pn_arena_open() == PN_SYSTEM && errno == EMFILE && pn_base == NULL);
    limit(RLIMIT_NOFILE, 100);
    CHECK(pn_arena_open() == PN_OK && pn_self() != 0); /* nothing was broken by the failures */
}

TEST(reserved_pages_exist_and_punched_ones_do_not) {
    CHECK(pn_arena_open() == PN_OK);
    uint64_t before = pn_memory_used(pn_arena_fd), from = 1ull << 28, size = 10ull << 20;
    if (from + size > pn_header()->size) return;
    CHECK(pn_memory_reserve(pn_arena_fd, from, size) == PN_OK && pn_memory_used(pn_arena_fd) == before + size);
    pn_memory_punch(pn_arena_fd, from, size);
    CHECK(pn_memory_used(pn_arena_fd) == before);
    CHECK(pn_memory_limit() > 64ull << 20);
}

TEST(futexes_time_out_at_the_deadline_and_see_changes) {
    _Atomic uint32_t word = 1, other = 1;
    pn_futex_word both[2] = {{&word, 1}, {&other, 1}};
    int64_t begun = pn_clock();
    CHECK(pn_futex_wait(&word, 1, begun + 5 * MS) == PN_TIMEOUT && pn_clock() >= begun + 5 * MS);
    CHECK(pn_futex_wait(&word, 2, PN_FOREVER) == PN_OK);
    CHECK(pn_futex_wait(&word, 1, PN_NOW) == PN_TIMEOUT);
    if (!pn_has_wait_any()) return;
    begun = pn_clock();
    CHECK(pn_futex_wait_any(both, 2, begun + 5 * MS) == PN_TIMEOUT && pn_clock() >= begun + 5 * MS);
    both[1].expected = 2;
    CHECK(pn_futex_wait_any(both, 2, PN_FOREVER) == PN_OK);
    pn_forbid_wait_any(true);
    CHECK(!pn_has_wait_any() && pn_futex_wait_any(both, 2, PN_FOREVER) == PN_SYSTEM && errno == ENOSYS);
}

static int do_nothing(intptr_t unused) { return (int)unused; }

TEST(a_zombie_counts_as_gone_and_a_living_thread_does_not) {
    uint32_t me = pn_process_id();
    CHECK(!pn_thread_is_gone(me, pn_thread_id()) && !pn_process_is_gone(me));
    pid_t child = start(do_nothing, 0);
    siginfo_t info;
    CHECK(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) == 0);
    CHECK(pn_process_is_gone((uint32_t)child) && pn_thread_is_gone((uint32_t)child, (uint32_t)child));
    CHECK(reap(child) == 0 && pn_process_is_gone((uint32_t)child));
}

TESTS(RUN(an_arena_is_one_sealed_descriptor_and_opening_it_again_changes_nothing),
      RUN(threads_that_open_at_once_get_the_same_arena), RUN(a_process_that_got_the_descriptor_sees_the_same_memory),
      RUN(what_is_no_arena_or_another_one_is_stale), RUN(little_address_space_gives_a_smaller_arena),
      RUN(a_limit_on_file_sizes_gives_a_smaller_arena_and_no_signal), RUN(no_room_at_all_is_said_with_a_code),
      RUN(reserved_pages_exist_and_punched_ones_do_not), RUN(futexes_time_out_at_the_deadline_and_see_changes),
      RUN(a_zombie_counts_as_gone_and_a_living_thread_does_not))
