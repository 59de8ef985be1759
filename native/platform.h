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
void pn_yield(void);           /* lets another thread run on this CPU */
bool pn_thread_is_gone(uint32_t pid, uint32_t tid); /* it runs no more: no such thread, or a zombie */
bool pn_process_is_gone(uint32_t pid);              /* the same of all its threads */
void pn_process_resume(uint32_t pid);               /* if it is stopped (not: by a debugger), it goes on */
void pn_exit_now(int status);  /* these three: as if it had happened from outside (fault.c) */
void pn_kill_now(void);
void pn_stop_now(void);
pn_code pn_random(void *bytes, size_t count);
/* Where in a robust mutex that this thread has just locked the word lies that the kernel marks at its death; -1: not to be found. */
ptrdiff_t pn_robust_word_offset(const void *mutex, size_t mutex_bytes);

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
/* Whole pages of what is mapped at `base`: copy on write from now on, with what is in them; and: as the others see them, again. */
pn_code pn_memory_make_private(int fd, char *base, uint64_t from, uint64_t size);
pn_code pn_memory_make_shared(int fd, char *base, uint64_t from, uint64_t size);
void pn_memory_unmap(void *base, uint64_t size);
pn_code pn_memory_reserve(int fd, uint64_t from, uint64_t size); /* pages exist afterwards, or PN_NOMEM: never SIGBUS later */
/* Copies into it, and makes pages where there are none. PN_NOMEM; PN_SYSTEM: refused, by a limit on file sizes, say. Never a signal. */
pn_code pn_memory_write(int fd, uint64_t at, const void *bytes, uint64_t size);
/* All pages of these bytes exist afterwards, and are mapped; false: who knows. Many processes may do so at once. */
bool pn_memory_make_pages(void *from, uint64_t size);
void pn_memory_punch(int fd, uint64_t from, uint64_t size);      /* gives pages back */
uint64_t pn_memory_used(int fd);                                  /* bytes of pages that exist */
pn_code pn_memory_size(int fd, uint64_t *size);
pn_code pn_memory_read(int fd, void *bytes, size_t count);        /* its first bytes; PN_STALE: it is shorter */
pn_code pn_memory_keep(int fd);                                   /* an inherited descriptor: not for the programs that we exec */
void pn_memory_close(int fd);
uint64_t pn_memory_limit(void);                                   /* physical memory, or what the control group allows */

/* Runs after fork in the child (pthread_atfork), in the order of registration. The same function twice counts once; at most 8. */
void pn_on_fork_child(void (*child)(void));
#endif
