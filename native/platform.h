/* platform.h: everything that the core asks of the operating system. platform_linux.c is the only file with Linux words. */
#ifndef PN_PLATFORM_H
#define PN_PLATFORM_H
#include "codes.h"

int64_t pn_clock(void);        /* CLOCK_MONOTONIC, ns: the same in all processes */
uint32_t pn_thread_id(void);   /* kernel thread id (22 bits), cached per thread, fresh after fork */
uint32_t pn_process_id(void);
int pn_cpu(void);              /* the CPU this thread runs on, -1 if unknown */
int pn_cpus_allowed(void);     /* CPUs in this thread's affinity mask, cached for ~100 ms */
void pn_pause(void);           /* one spin step */
bool pn_thread_is_gone(uint32_t pid, uint32_t tid);

/* Sleep while *word == expected, until deadline. PN_OK = woken or word differed or spurious; PN_TIMEOUT; PN_INTERRUPTED (EINTR). */
pn_code pn_futex_wait(_Atomic uint32_t *word, uint32_t expected, pn_deadline deadline);
/* The same on several words at once (n <= 128). PN_SYSTEM with errno ENOSYS where futex_waitv is missing or switched off. */
typedef struct pn_futex_word { _Atomic uint32_t *word; uint32_t expected; } pn_futex_word;
pn_code pn_futex_wait_any(const pn_futex_word *words, int n, pn_deadline deadline);
void pn_futex_wake(_Atomic uint32_t *word, int how_many); /* INT_MAX: all */

bool pn_has_wait_any(void);              /* probed once; false after pn_forbid_wait_any(true) */
void pn_forbid_wait_any(bool forbidden); /* tests: force the fallback (also by the environment: PROCESSION_NO_WAITV=1) */

/* Shared memory without a name. */
pn_code pn_memory_create(const char *name, uint64_t size, int *fd);
pn_code pn_memory_map(int fd, uint64_t size, void **base);  /* MAP_SHARED | MAP_NORESERVE */
void pn_memory_unmap(void *base, uint64_t size);
pn_code pn_memory_reserve(int fd, uint64_t from, uint64_t size); /* pages exist afterwards, or PN_NOMEM: never SIGBUS later */
void pn_memory_punch(int fd, uint64_t from, uint64_t size);      /* gives pages back */
uint64_t pn_memory_used(int fd);                                  /* bytes of pages that exist */

/* Runs after fork in the child (pthread_atfork). Registered once. */
void pn_on_fork_child(void (*child)(void));
#endif
