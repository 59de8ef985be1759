/* platform_linux.c: time, threads, processes and futexes on Linux.
 *
 * Promises: no function here allocates; errno says why where PN_SYSTEM is returned.
 * Not here: memory without a name (platform_linux_memory.c).  */
#define _GNU_SOURCE
#include "platform.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CALL_FUTEX_WAITV 449 /* the same number on every architecture; older headers lack the name */
#define FLAG_FUTEX_32 2      /* shared: FUTEX_PRIVATE_FLAG is not set */
#define MAX_FORK_HANDLERS 8
#define CPUS_AGE 100000000   /* ns: how long an affinity mask is believed */

typedef struct futex_waitv_entry { uint64_t expected, word; uint32_t flags, reserved; } futex_waitv_entry;


static __thread uint32_t my_thread;        /* 0 = ask the kernel */
static _Atomic uint32_t my_process;
static __thread int cpus_allowed;
static __thread int64_t cpus_known_at;
static void (*_Atomic fork_handlers[MAX_FORK_HANDLERS])(void);
static pthread_once_t forks_watched = PTHREAD_ONCE_INIT;

static void after_fork(void) {
    my_thread = 0;
    atomic_store_explicit(&my_process, 0, memory_order_relaxed);
    cpus_known_at = 0;
    for (int i = 0; i < MAX_FORK_HANDLERS; i++) {
        void (*handler)(void) = atomic_load(&fork_handlers[i]);
        if (handler != NULL) handler();
    }
}

static void watch_forks(void) { (void)pthread_atfork(NULL, NULL, after_fork); }

void pn_on_fork_child(void (*child)(void)) {
    (void)pthread_once(&forks_watched, watch_forks);
    for (int i = 0; i < MAX_FORK_HANDLERS; i++) {
        void (*seen)(void) = NULL;
        if (atomic_compare_exchange_strong(&fork_handlers[i], &seen, child) || seen == child) return;
    }
}

int64_t pn_clock(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

uint32_t pn_thread_id(void) {
    if (PN_UNLIKELY(my_thread == 0)) {
        (void)pthread_once(&forks_watched, watch_forks);
        my_thread = (uint32_t)syscall(SYS_gettid);
    }
    return my_thread;
}

uint32_t pn_process_id(void) {
    uint32_t pid = atomic_load_explicit(&my_process, memory_order_relaxed);
    if (PN_UNLIKELY(pid == 0)) {
        (void)pthread_once(&forks_watched, watch_forks);
        pid = (uint32_t)getpid();
        atomic_store_explicit(&my_process, pid, memory_order_relaxed);
    }
    return pid;
}

int pn_cpu(void) { return sched_getcpu(); }

int pn_cpus_allowed(void) {
    int64_t now = pn_clock();
    if (cpus_known_at == 0 || now - cpus_known_at > CPUS_AGE) {
        cpu_set_t mask;
        cpus_allowed = sched_getaffinity(0, sizeof mask, &mask) == 0 ? CPU_COUNT(&mask) : 2; /* more than 1024 CPUs */
        cpus_known_at = now;
    }
    return cpus_allowed;
}

void pn_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("isb" ::: "memory"); /* `yield` does nothing on most cores; isb costs about what pause does */
#else
    __asm__ __volatile__("" ::: "memory");
#endif
}

void pn_yield(void) { (void)sched_yield(); }


/* The state letter and the number of threads in a stat file of /proc; false if there is no such file. */
static bool read_stat(const char *path, char *state, long *threads) {
    char text[1024];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    (void)close(fd);
    if (n <= 0) return false;
    text[n] = '\0';
    const char *rest = strrchr(text, ')'); /* a command's name may hold anything, even ")" */
    if (rest == NULL) return false;
    return sscanf(rest + 1, " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %ld", state, threads) == 2;
}

bool pn_thread_is_gone(uint32_t pid, uint32_t tid) {
    char path[64], state = 0;
    long threads = 0;
    if (syscall(SYS_tgkill, (pid_t)pid, (pid_t)tid, 0) != 0 && errno == ESRCH) return true;
    (void)snprintf(path, sizeof path, "/proc/%u/task/%u/stat", pid, tid);
    if (!read_stat(path, &state, &threads)) return syscall(SYS_tgkill, (pid_t)pid, (pid_t)tid, 0) != 0 && errno == ESRCH;
    return state == 'Z' || state == 'X' || state == 'x';
}

bool pn_process_is_gone(uint32_t pid) {
    char path[64], state = 0;
    long threads = 0;
    if (kill((pid_t)pid, 0) != 0 && errno == ESRCH) return true;
    (void)snprintf(path, sizeof path, "/proc/%u/stat", pid);
    if (!read_stat(path, &state, &threads)) return kill((pid_t)pid, 0) != 0 && errno == ESRCH;
    return (state == 'Z' || state == 'X' || state == 'x') && threads <= 1; /* a dead main thread is not yet a dead process */
}

void pn_process_resume(uint32_t pid) {
    char path[64], state = 0;
    long threads = 0;
    (void)snprintf(path, sizeof path, "/proc/%u/stat", pid);
    if (read_stat(path, &state, &threads) && state == 'T') (void)kill((pid_t)pid, SIGCONT);
}

void pn_exit_now(int status) { _exit(status); }
void pn_kill_now(void) { (void)kill(getpid(), SIGKILL); }
void pn_stop_now(void) { (void)kill(getpid(), SIGSTOP); }

pn_code pn_random(void *bytes, size_t count) {
    ssize_t n;
    do n = getrandom(bytes, count, 0);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)count ? PN_OK : PN_SYSTEM;
}

/* The kernel's own list of the robust mutexes that this thread holds names the word that it will mark: no private name of the C
 * library is needed. The newest is first. */
ptrdiff_t pn_robust_word_offset(const void *mutex, size_t mutex_bytes) {
    struct robust_list_head *head = NULL;
    size_t bytes = 0;
    if (syscall(SYS_get_robust_list, 0, &head, &bytes) != 0 || head == NULL) return -1;
    uintptr_t entry = (uintptr_t)head->list.next & ~(uintptr_t)1;
    uintptr_t word = entry + (uintptr_t)head->futex_offset, start = (uintptr_t)mutex;
    if (word < start || word + sizeof(uint32_t) > start + mutex_bytes || word % sizeof(uint32_t) != 0) return -1;
    uint32_t value = atomic_load((_Atomic uint32_t *)word);
    return (value & FUTEX_TID_MASK) == pn_thread_id() ? (ptrdiff_t)(word - start) : -1;
}


enum { WAIT_ANY_UNKNOWN = 0, WAIT_ANY_THERE, WAIT_ANY_MISSING };
static _Atomic int wait_any_state;
static _Atomic bool wait_any_forbidden;

static const struct timespec *as_timespec(pn_deadline deadline, struct timespec *t) {
    if (deadline == PN_FOREVER) return NULL;
    if (deadline < 0) deadline = 0;
    t->tv_sec = (time_t)(deadline / 1000000000);
    t->tv_nsec = (long)(deadline % 1000000000);
    return t;
}

static pn_code after_wait(long result) {
    if (result >= 0 || errno == EAGAIN) return PN_OK;
    return errno == ETIMEDOUT ? PN_TIMEOUT : errno == EINTR ? PN_INTERRUPTED : PN_SYSTEM;
}

pn_code pn_futex_wait(_Atomic uint32_t *word, uint32_t expected, pn_deadline deadline) {
    struct timespec t;
    return after_wait(syscall(SYS_futex, word, FUTEX_WAIT_BITSET, expected, as_timespec(deadline, &t), NULL, FUTEX_BITSET_MATCH_ANY));
}

pn_code pn_futex_wait_any(const pn_futex_word *words, int n, pn_deadline deadline) {
    futex_waitv_entry entries[128];
    struct timespec t;
    if (n < 1 || n > 128) return errno = EINVAL, PN_SYSTEM;
    if (!pn_has_wait_any()) return errno = ENOSYS, PN_SYSTEM;
    for (int i = 0; i < n; i++)
        entries[i] = (futex_waitv_entry){words[i].expected, (uint64_t)(uintptr_t)words[i].word, FLAG_FUTEX_32, 0};
    return after_wait(syscall(CALL_FUTEX_WAITV, entries, n, 0, as_timespec(deadline, &t), CLOCK_MONOTONIC));
}

void pn_futex_wake(_Atomic uint32_t *word, int how_many) { (void)syscall(SYS_futex, word, FUTEX_WAKE, how_many, NULL, NULL, 0); }

static int probe_wait_any(void) {
    const char *no = getenv("PROCESSION_NO_WAITV");
    if (no != NULL && no[0] != '\0' && no[0] != '0') return WAIT_ANY_MISSING;
    long result = syscall(CALL_FUTEX_WAITV, NULL, 0, 0, NULL, 0); /* no words: EINVAL where the call exists and is allowed */
    return result < 0 && errno == EINVAL ? WAIT_ANY_THERE : WAIT_ANY_MISSING;
}

bool pn_has_wait_any(void) {
    int state = atomic_load_explicit(&wait_any_state, memory_order_relaxed);
    if (PN_UNLIKELY(state == WAIT_ANY_UNKNOWN)) {
        state = probe_wait_any();
        atomic_store_explicit(&wait_any_state, state, memory_order_relaxed);
    }
    return state == WAIT_ANY_THERE && !atomic_load_explicit(&wait_any_forbidden, memory_order_relaxed);
}

void pn_forbid_wait_any(bool forbidden) { atomic_store(&wait_any_forbidden, forbidden); }
