/* harness.h: tests of the core: each in a process group of its own, with a deadline, in the order written.
 *
 *   TEST(a_killed_holder_is_noticed) { ... CHECK(code == PN_OWNER_DIED); ... }
 *   TESTS(RUN(a_killed_holder_is_noticed), RUN(...))
 *
 * Promises: a test begins without arena and slot; whatever it started is killed at its end (by its own group's number); a failed CHECK in
 * any process of the test fails it. `shared` is a page of words that all processes of a test see, zero at its beginning. An argument
 * runs the tests whose names contain it. Not here: pytest's side of it.  */
#ifndef PN_HARNESS_H
#define PN_HARNESS_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../fault.h"
#include "../lock.h"
#include "../platform.h"

#define MS 1000000ll /* ns */
#define HARNESS_DEADLINE (90 * 1000 * MS) /* a hang, also on a machine with ten times as much to do as it can */
#define HARNESS_WORDS 500

/* Sanitizers reserve terabytes of address space and are slow. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#ifdef __SANITIZE_THREAD__
/* A forked child does not hold its parent's mutexes, but the sanitizer thinks so and sees cycles; our own locks it does not know. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) { return "detect_deadlocks=0"; }
#endif

typedef struct shared_page {
    _Atomic uint32_t failed;
    _Atomic int64_t words[HARNESS_WORDS];
} shared_page;
static shared_page *shared;

#define CHECK(condition)                                                                             \
    do {                                                                                             \
        if (!(condition)) {                                                                          \
            fprintf(stderr, "%s:%d: CHECK(%s) failed (pid %d)\n", __FILE__, __LINE__, #condition, (int)getpid()); \
            if (shared != NULL) atomic_store(&shared->failed, 1);                                    \
            _exit(1);                                                                                \
        }                                                                                            \
    } while (0)

/* Starts `run(argument)` in a child, which exits with what it returns. */
static inline pid_t start(int (*run)(intptr_t), intptr_t argument) {
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) _exit(run(argument));
    return pid;
}

/* Exit status, or minus the signal. */
static inline int reap(pid_t pid) {
    int status = 0;
    while (waitpid(pid, &status, 0) != pid) CHECK(errno == EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Until the condition holds; the test's deadline ends it if it never does. */
#define AWAIT(condition) while (!(condition)) sched_yield()

/* Until `n` threads of other processes of this arena sleep for `reason`: their rows are written just before they sleep. */
static inline int sleepers(pn_reason reason) {
    int n = 0;
    for (uint32_t index = 1; index < pn_slots_in_use(); index++)
        for (int row = 0; row < PN_WAIT_ROWS; row++) {
            pn_wait_row *wait = &pn_slot(index)->waits[row];
            uint32_t tid = atomic_load(&wait->tid);
            if (tid == 0 || tid > PN_TID_MASK || wait->reason != (uint32_t)reason) continue;
            n += pn_owner_is_alive(pn_owner_make(index, atomic_load(&pn_slot(index)->generation), tid));
        }
    return n;
}
#define AWAIT_SLEEPERS(n, reason) AWAIT(sleepers(reason) >= (n))

/* Asleep in the kernel: a row is written just before the sleep. */
static inline bool is_asleep(pid_t pid) {
    char path[64], state = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    CHECK(file != NULL && fscanf(file, "%*d (%*[^)]) %c", &state) == 1);
    fclose(file);
    return state == 'S';
}

typedef struct harness_test { const char *name; void (*run)(void); } harness_test;
#define TEST(name) static void name(void)
#define RUN(name) {#name, name}
#define TESTS(...)                                             \
    int main(int argc, char **argv) {                          \
        static const harness_test tests[] = {__VA_ARGS__};     \
        return harness_main(tests, sizeof tests / sizeof *tests, argc, argv); \
    }

static inline bool harness_run(const harness_test *test) {
    memset(shared, 0, sizeof *shared);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        test->run();
        exit(atomic_load(&shared->failed) != 0); /* exit, not _exit: the sanitizers' last words */
    }
    setpgid(pid, pid);
    int64_t begun = pn_clock();
    int status = -1;
    pid_t ended;
    while ((ended = waitpid(pid, &status, WNOHANG)) == 0 && pn_clock() - begun < HARNESS_DEADLINE) usleep(500);
    bool hung = ended == 0, good = !hung && status == 0 && atomic_load(&shared->failed) == 0;
    kill(-pid, SIGKILL); /* the group keeps its number as long as anybody is in it */
    if (hung) waitpid(pid, &status, 0);
    printf("%-6s %6.2f s  %s", good ? "ok" : hung ? "HUNG" : "FAILED", (double)(pn_clock() - begun) / 1e9, test->name);
    if (!good && !hung) printf("  (%s %d)", WIFSIGNALED(status) ? "signal" : "status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    printf("\n");
    return good;
}

static inline int harness_main(const harness_test *tests, size_t n, int argc, char **argv) {
    int bad = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < n; i++)
        if (argc < 2 || strstr(tests[i].name, argv[1]) != NULL) bad += !harness_run(&tests[i]);
    return bad != 0;
}
#endif
