/* arena.h: the one piece of memory that a program's processes share.
 *
 *   offset            what
 *   0                 header page: magic, layout number, uuid, size, creator, the heap's state (arena.c, heap.c)
 *   64 KiB            process table: PN_MAX_PROCESSES slots of 1 KiB (process.h)
 *   8 MiB             heap: blocks, each behind a pn_block header (heap.h)
 *
 * Promises: whatever is shared is an offset, never a pointer. The memory is one memfd: it needs no name, no /dev/shm, and the
 * kernel frees it with its last user. It is sparse: pages exist when they are first touched or reserved.
 * A process has one arena at most. Not here: allocation (heap.h), who is alive (process.h).  */
#ifndef PN_ARENA_H
#define PN_ARENA_H
#include "codes.h"

#define PN_ARENA_MAGIC 0x4e4f495353434f52ull
#define PN_LAYOUT 1u
#define PN_TABLE_OFFSET (64ull << 10)
#define PN_HEAP_OFFSET (8ull << 20)

typedef struct pn_arena_header {
    uint64_t magic;
    uint32_t layout;
    uint32_t header_bytes;
    uint8_t uuid[16];
    uint64_t size;             /* bytes of the mapping, set once */
    _Atomic uint64_t cap;      /* soft limit on bytes handed out by the heap; heap_alloc beyond it: PN_NOMEM */
    uint32_t creator_pid;
    uint32_t unused;
    int64_t created_at;        /* pn_clock() */
    _Atomic uint64_t fork_epoch; /* + 1 at every start of a process of ours by fork: see heap.h, quarantine */
} pn_arena_header;

extern char *pn_base;      /* where this process maps the arena; NULL: none yet */
extern int pn_arena_fd;    /* -1: none */

/* Create this process's arena (64 GiB reservation, halved while refused). Idempotent, thread-safe. */
pn_code pn_arena_open(void);
/* Map the arena behind an inherited or received descriptor (which the arena then owns). PN_STALE: not an arena of this layout,
 * or another arena is already open here. */
pn_code pn_arena_attach(int fd);
static inline pn_arena_header *pn_header(void) { return (pn_arena_header *)(void *)pn_base; }
/* SAFETY: callers hold an offset that heap_alloc gave out or pn_check_handle accepted. */
static inline void *pn_at(pn_off off) { return pn_base + off; }
static inline pn_off pn_offset_of(const void *p) { return (pn_off)((const char *)p - pn_base); }
#endif
