/* heap.h: blocks of the arena: size classes (4 an octave, from 64 B), LIFO reuse, and who still refers to a block.
 *
 * Every block begins with a pn_block. An *object* (lock, queue…) is a block with a kind; a *handle* is (offset, generation), and a
 * handle to a freed block is PN_STALE, never another object.
 *
 * Whether a block may go: `life` counts
 *   refs   wrappers in all processes together; each process also writes what it refers to in its ledger (ledger.h), which is swept
 *          when it dies;
 *   pins   handles on their way in a message (pinned when pickled, unpinned by the one who unpickled it);
 * and, when both are gone,
 *   quarantine  a child made by fork inherits wrappers without counting them; so an object whose last reference goes while forked
 *          descendants live that are younger than it keeps one reference, the quarantine's, until they are gone. It works meanwhile.
 * Crash safety: allocation and freeing happen in one section, with an intent that repair finishes or undoes.  */
#ifndef PN_HEAP_H
#define PN_HEAP_H
#include "section.h"

typedef enum pn_kind {
    PN_KIND_FREE = 0, PN_KIND_LOCK, PN_KIND_RLOCK, PN_KIND_SEMAPHORE, PN_KIND_CONDITION, PN_KIND_EVENT, PN_KIND_BARRIER,
    PN_KIND_QUEUE, PN_KIND_SEGMENT, PN_KIND_NODES, PN_KIND_LEDGER, PN_KIND_VALUES, PN_KIND_BUFFER, PN_KIND_TABLE,
    PN_KINDS,
} pn_kind;

typedef struct pn_block {
    _Atomic uint16_t kind;
    uint8_t size_class;
    uint8_t flags;                /* large blocks: how many 32nds of the block have pages */
    _Atomic uint32_t generation;  /* + 1 at every free; the first is 1 */
    _Atomic uint64_t life;        /* birth:24 | pins:20 | refs:20, see object.c; read it by pn_object_refs and pn_object_pins */
} pn_block;
_Static_assert(sizeof(pn_block) == 16, "a block header is 16 bytes");

/* A block of at least `bytes` (header included), zeroed after its header up to 256 bytes (segments and buffers: 64), 64-byte
 * aligned; ≥ 1 MiB: page-aligned. Its pages are reserved: using it never raises SIGBUS. *dest is stored inside the allocation's commit:
 * after a kill, either *dest names the block or the block is free. dest may point into the arena (a field of the future owner) or to
 * local memory; what only local memory names is lost if the process dies later, so lasting blocks need an arena field or a ledger.
 * OK, NOMEM, TOO_BIG, NO_SLOT. */
pn_code pn_heap_alloc(uint64_t bytes, pn_kind kind, _Atomic pn_off *dest);
/* Frees the block that *src names and clears *src, as one commit. A no-op if *src is 0. */
void pn_heap_free(_Atomic pn_off *src);
uint64_t pn_block_bytes(const pn_block *block);  /* its usable size, header included */
uint64_t pn_heap_in_use(void);                   /* bytes handed out */
uint64_t pn_heap_idle(void);                     /* bytes of pages in free blocks of 1 MiB and more: what need not be fresh */
/* From now on this process takes free large blocks only while others have enough of them left, and fresh ones otherwise: for many processes that fill
 * blocks for one which keeps them, and which would be the only one to pay for fresh pages. */
void pn_heap_spare_warm(void);
/* Gives the pages of free large blocks back to the kernel. */
void pn_heap_trim(void);

/* Objects. create: refs = 1, noted in this process's ledger. attach: one more reference of this process to a live object. */
pn_code pn_object_create(uint64_t bytes, pn_kind kind, pn_off *object);
pn_code pn_object_attach(pn_off object, uint32_t generation, pn_kind kind);   /* OK, STALE, NOMEM */
/* Drops one reference of this process; a no-op if this process holds none (it may have inherited the wrapper by fork). The last one,
 * with no pins, calls the kind's destroy function (drains segments, nodes…) and frees. */
void pn_object_detach(pn_off object);
/* What a wrapper keeps so that it is only counted off by the process that counted it: take the cookie right after create or attach,
 * and detach with it. In any other process (a forked child) the detach is then a no-op, even if that process has references of its own. */
static inline uint32_t pn_object_cookie(void) { return (uint32_t)(pn_self() >> 32); }
void pn_object_detach_cookie(pn_off object, uint32_t cookie);
pn_code pn_object_pin(pn_off object);            /* OK, STALE, OVERFLOW (more than 16 million pins) */
void pn_object_unpin(pn_off object);
uint32_t pn_object_refs(pn_off object);
uint32_t pn_object_pins(pn_off object);
/* `destroy` must bear being called again for an object whose destruction was cut off by a kill. */
void pn_kind_on_destroy(pn_kind kind, void (*destroy)(pn_off object));

/* Right before a fork of ours, in the thread that forks: the child is a younger descendant (quarantine). */
void pn_before_fork(void);
/* Right after it, in the parent: the child's pid, or 0 if the fork failed. (The child needs no call.) */
void pn_after_fork(uint32_t child_pid);

/* Buffers: plain bytes with one owner: a process (in whose ledger they stand) or a queue (while they travel). */
typedef struct pn_buffer {
    pn_block block;
    _Atomic uint64_t owner;     /* truth: pn_owner >> 32 << 32 of a process, or the offset of a queue (low half not 0) */
    uint64_t size;              /* payload bytes */
    uint64_t reserved[4];
} pn_buffer;                    /* 64 bytes; then the payload */
#define PN_BUFFER_NOBODYS 1u /* owner: it waits in the quarantine */
_Static_assert(sizeof(pn_buffer) == 64, "payloads begin on a cache line");
pn_code pn_buffer_create(uint64_t size, pn_off *buffer);  /* owned by this process; swept if it dies */
void pn_buffer_free(pn_off buffer);                       /* a no-op unless this process owns it */
static inline void *pn_buffer_bytes(pn_off buffer) { return pn_base + buffer + sizeof(pn_buffer); }
#endif
