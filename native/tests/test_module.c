/* test_module.c: the thread-local cache works in a module loaded by dlopen, in threads older and younger than it, and after fork.
 * This program does not link the core itself. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t (*self)(void);
static int (*lock_pair)(void);
static pthread_barrier_t barrier;

static void *older(void *unused) {
    (void)unused;
    pthread_barrier_wait(&barrier);
    return (void *)(uintptr_t)self();
}
static void *younger(void *unused) {
    (void)unused;
    return lock_pair() == 0 ? (void *)(uintptr_t)self() : NULL;
}

int main(int argc, char **argv) {
    pthread_t first, second;
    void *one = NULL, *two = NULL;
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&first, NULL, older, NULL);
    void *module = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    if (module == NULL) return fprintf(stderr, "%s\n", argc > 1 ? dlerror() : "usage: test_module <module>"), 1;
    self = (uint64_t(*)(void))(uintptr_t)dlsym(module, "module_self");
    lock_pair = (int (*)(void))(uintptr_t)dlsym(module, "module_lock_pair");
    uint64_t me = self();
    if (me == 0 || lock_pair() != 0 || dlsym(module, "pn_self_slow") != NULL) return 2;
    pthread_create(&second, NULL, younger, NULL);
    pthread_join(second, &two);
    pthread_barrier_wait(&barrier);
    pthread_join(first, &one);
    if (one == NULL || two == NULL || one == two || (uint64_t)(uintptr_t)one == me) return 3;
    if ((uint64_t)(uintptr_t)one >> 32 != me >> 32 || (uint64_t)(uintptr_t)two >> 32 != me >> 32) return 4;
    pid_t child = fork();
    if (child == 0) _exit(self() != 0 && self() >> 32 != me >> 32 && lock_pair() == 0 ? 0 : 1);
    int status = 1;
    return waitpid(child, &status, 0) == child && status == 0 && self() == me ? 0 : 5;
}
