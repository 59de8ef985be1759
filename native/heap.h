/* heap.h: blocks of the arena: size classes (4 an octave, from 64 B), LIFO reuse, and who still refers to a block.
 *
 * Every block begins with a pn_block. An *object* (lock, queue…) is a block with a kind; a *handle* is (offset, generation), and a
 * handle to a freed block is PN_STALE, never another object.
 *
 * Whether a block may go:
 *   refs   wrappers in all processes together; each process also writes what it refers to in its ledger (ledger.c), which is swept
 *          when it dies.
 *   pins   handles on their way in a message (pinned when pickled, unpinned by the one who unpickled it).
 *   quarantine  a child made by fork inherits wrappers without counting them; so a block freed while forked descendants live that
 *          are younger than the block waits in a list until they are gone.
 * Crash safety: allocation and freeing happen in one section, with an intent word that repair() finishes or undoes.  */
#ifndef PN_HEAP_H
#define PN_HEAP_H
#include "section.h"

typedef enum pn_kind {
    PN_KIND_FREE = 0, PN_KIND_LOCK, PN_KIND_RLOCK, PN_KIND_SEMAPHORE, PN_KIND_CONDITION, PN_KIND_EVENT, PN_KIND_BARRIER,
    PN_KIND_QUEUE, PN_KIND_SEGMENT, PN_KIND_NODES, PN_KIND_LEDGER, PN_KIND_VALUES, PN_KIND_BUFFER, PN_KIND_TABLE,
} pn_kind;

typedef struct pn_block {
    _Atomic uint16_t kind;
    uint8_t size_class;
    uint8_t flags;
    _Atomic uint32_t generation;  /* + 1 at every free */
    _Atomic uint32_t refs;
    _Atomic uint32_t pins;
} pn_block;
_Static_assert(sizeof(pn_block) == 16, "a block header is 16 bytes");

/* A block of at least `bytes` (header included), zeroed after its header up to 256 bytes (segments and buffers are not), 64-byte
 * aligned; ≥ 1 MiB: page-aligned, pages reserved beforehand. *dest is stored inside the allocation's commit: after a kill, either
 * *dest names the block or the block is free. dest may point into the arena (a field of the future owner) or to local memory. */
pn_code pn_heap_alloc(uint64_t bytes, pn_kind kind, _Atomic pn_off *dest);
/* Frees the block that *src names and clears *src, as one commit. A no-op if *src is 0. */
void pn_heap_free(_Atomic pn_off *src);
uint64_t pn_block_bytes(const pn_block *block);  /* its usable size, header included */
uint64_t pn_heap_in_use(void);
/* Gives the pages of free large blocks back to the kernel. */
void pn_heap_trim(void);

/* Objects. create: refs = 1, noted in this process's ledger. attach: one more reference of this process to a live object. */
pn_code pn_object_create(uint64_t bytes, pn_kind kind, pn_off *object);
pn_code pn_object_attach(pn_off object, uint32_t generation, pn_kind kind);
/* Drops one reference of this process. The last one, with no pins, calls the kind's destroy function (drains segments, nodes…) and frees. */
void pn_object_detach(pn_off object);
pn_code pn_object_pin(pn_off object);
void pn_object_unpin(pn_off object);
void pn_kind_on_destroy(pn_kind kind, void (*destroy)(pn_off object));
/* Before a fork of ours: the child is a younger descendant (quarantine). */
void pn_before_fork(void);
#endif
