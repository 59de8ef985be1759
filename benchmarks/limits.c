/* limits.c: what the machine allows, in C, without Python: one line "name value" each, in the units of the workloads.
 *
 * pair            ns   two atomic exchanges: a lock and its release
 * contended.N     /s   one counter, N processes, atomic add: nothing that N processes share changes faster
 * pingpong.PLACE  us   there and back between two processes by futex, on one CPU (same) or two (cross)
 * barrier3        us   three processes wait for each other, by futex
 * ring            /s   8-byte messages through a ring, one sender, one receiver
 * memcpy.SIZE     MB/s copying between warm pages
 * socket          /s   calls and answers over a Unix socket
 * fork            ms   fork, exit, wait
 * scaling.4       -    how much of four times one process's work four processes get done
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct shared {
    _Alignas(64) _Atomic uint32_t word;
    _Alignas(64) _Atomic uint32_t answer;
    _Alignas(64) _Atomic uint64_t counter;
    _Alignas(64) _Atomic uint32_t arrived;
    _Alignas(64) _Atomic uint32_t phase;
    _Alignas(64) _Atomic uint64_t head;
    _Alignas(64) _Atomic uint64_t tail;
    _Alignas(64) _Atomic uint32_t ready;
    _Alignas(64) uint64_t ring[4096];
} shared;
static shared *s;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
static void sleep_on(_Atomic uint32_t *word, uint32_t value) { syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0); }
static void wake(_Atomic uint32_t *word, int n) { syscall(SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0); }

static void bind_to(int which)
{
    cpu_set_t all, one;
    sched_getaffinity(0, sizeof all, &all);
    int cpu = 0, seen = -1;
    for (; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all) && ++seen == which % CPU_COUNT(&all)) break;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
}
/* A child that runs `run(argument)`; all of them begin when the last is there, and the parent's clock starts then. */
static void begin(int children, void (*run)(int), double *began)
{
    atomic_store(&s->ready, 0);
    for (int i = 0; i < children; i++)
        if (fork() == 0) {
            atomic_fetch_add(&s->ready, 1);
            while (atomic_load(&s->ready) <= (uint32_t)children) sched_yield();
            run(i);
            _exit(0);
        }
    while (atomic_load(&s->ready) < (uint32_t)children) sched_yield();
    *began = now();
    atomic_fetch_add(&s->ready, 1);
}
static void finish(int children)
{
    for (int i = 0; i < children; i++) wait(NULL);
}

enum { PAIRS = 5000000, ADDS = 1000000, TURNS = 20000, BARRIERS = 10000, MESSAGES = 3000000, CALLS = 20000, FORKS = 200 };

static void pair(void)
{
    double began = now();
    for (int i = 0; i < PAIRS; i++) {
        atomic_exchange(&s->word, 1);
        atomic_exchange(&s->word, 0);
    }
    printf("pair %.3f\n", (now() - began) / PAIRS * 1e9);
}
static void add(int who)
{
    (void)who;
    for (int i = 0; i < ADDS; i++) atomic_fetch_add(&s->counter, 1);
}
static void contended(int processes)
{
    double began;
    begin(processes, add, &began);
    finish(processes);
    printf("contended.%d %.0f\n", processes, (double)processes * ADDS / (now() - began));
}
static int cross;
static void answer(int who)
{
    (void)who;
    bind_to(cross ? 1 : 0);
    for (uint32_t i = 1; i <= TURNS; i++) {
        while (atomic_load(&s->word) != i) sleep_on(&s->word, i - 1);
        atomic_store(&s->answer, i);
        wake(&s->answer, 1);
    }
}
static void ask(int who)
{
    (void)who;
    bind_to(0);
    for (uint32_t i = 1; i <= TURNS; i++) {
        atomic_store(&s->word, i);
        wake(&s->word, 1);
        while (atomic_load(&s->answer) != i) sleep_on(&s->answer, i - 1);
    }
}
static void either(int who) { who ? answer(who) : ask(who); }
static void pingpong(const char *place)
{
    double began;
    cross = strcmp(place, "cross") == 0;
    atomic_store(&s->word, 0);
    atomic_store(&s->answer, 0);
    begin(2, either, &began);
    finish(2);
    printf("pingpong.%s %.3f\n", place, (now() - began) / TURNS * 1e6);
}
static void pass(int who)
{
    (void)who;
    for (uint32_t i = 0; i < BARRIERS; i++) {
        if (atomic_fetch_add(&s->arrived, 1) == 2) {
            atomic_store(&s->arrived, 0);
            atomic_store(&s->phase, i + 1);
            wake(&s->phase, 3);
        } else
            while (atomic_load(&s->phase) == i) sleep_on(&s->phase, i);
    }
}
static void barrier(void)
{
    double began;
    begin(3, pass, &began);
    finish(3);
    printf("barrier3 %.3f\n", (now() - began) / BARRIERS * 1e6);
}
static void through_ring(int who)
{
    for (uint64_t i = 0; i < MESSAGES; i++) {
        if (who == 0) {
            while (i - atomic_load_explicit(&s->head, memory_order_acquire) == 4096) sched_yield();
            s->ring[i % 4096] = i;
            atomic_store_explicit(&s->tail, i + 1, memory_order_release);
        } else {
            while (atomic_load_explicit(&s->tail, memory_order_acquire) == i) sched_yield();
            if (s->ring[i % 4096] != i) abort();
            atomic_store_explicit(&s->head, i + 1, memory_order_release);
        }
    }
}
static void ring(void)
{
    double began;
    begin(2, through_ring, &began);
    finish(2);
    printf("ring %.0f\n", MESSAGES / (now() - began));
}
static void copying(const char *name, size_t size, int times)
{
    char *from = malloc(size), *to = malloc(size);
    memset(from, 1, size);
    memcpy(to, from, size);
    double began = now();
    for (int i = 0; i < times; i++) {
        from[i % 64]++;
        memcpy(to, from, size);
        __asm__ volatile("" : : "r"(to) : "memory");
    }
    printf("memcpy.%s %.0f\n", name, (double)size * times / 1e6 / (now() - began));
    free(from);
    free(to);
}
static int ends[2];
static void talk(int who)
{
    uint64_t message = 0;
    for (int i = 0; i < CALLS; i++) {
        if (who == 0) (void)!write(ends[0], &message, sizeof message);
        (void)!read(ends[who], &message, sizeof message);
        if (who == 1) (void)!write(ends[1], &message, sizeof message);
    }
}
static void sockets(void)
{
    double began;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) abort();
    begin(2, talk, &began);
    finish(2);
    printf("socket %.0f\n", CALLS / (now() - began));
}
static void forks(void)
{
    double began = now();
    for (int i = 0; i < FORKS; i++) {
        if (fork() == 0) _exit(0);
        wait(NULL);
    }
    printf("fork %.3f\n", (now() - began) / FORKS * 1e3);
}
static void compute(int who)
{
    (void)who;
    volatile uint64_t x = 1;
    for (uint64_t i = 0; i < 150000000; i++) x = x * 3 + i;
}
static void scaling(void)
{
    double began, one, four;
    begin(1, compute, &began);
    finish(1);
    one = now() - began;
    begin(4, compute, &began);
    finish(4);
    four = now() - began;
    printf("scaling.4 %.3f\n", one / four);
}
int main(void)
{
    s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    setvbuf(stdout, NULL, _IONBF, 0); /* children inherit no half-written line */
    pair();
    contended(2);
    contended(4);
    pingpong("same");
    pingpong("cross");
    barrier();
    ring();
    copying("1MiB", 1 << 20, 2000);
    copying("100MB", 100000000, 10);
    sockets();
    forks();
    scaling();
    return 0;
}
