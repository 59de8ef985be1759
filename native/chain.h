/* chain.h: a table of equal rows in shared memory that grows: a few rows in the object itself, the others in a chain of blocks.
 *
 *   block (PN_KIND_NODES):  | pn_block | more | ready | row | row | … |      256 B, then 1 KiB, then 4 KiB each
 *
 * Promises: rows never move and blocks stay until the object is destroyed, so a row may be looked at without a section. Growing
 * happens in the object's section. Truth: `more` (stored by the heap's commit) and `ready`, stored after the rows are zero: whoever is
 * killed before that leaves a block with ready = 0, which nobody walks and the next to grow makes ready.
 * Not here: what a row means (waiters.c, semaphore.c).  */
#ifndef PN_CHAIN_H
#define PN_CHAIN_H
#include <string.h>
#include "fault.h"
#include "heap.h"

typedef struct pn_chain_block {
    pn_block block;
    _Atomic pn_off more;       /* the next block; 0 = the last */
    _Atomic uint32_t ready;    /* how many rows follow; 0 = not to be walked yet */
    uint32_t unused;
} pn_chain_block;
_Static_assert(sizeof(pn_chain_block) == 32, "rows begin at 32");

typedef struct pn_walk {
    char *at;
    uint32_t left;
    uint32_t row_bytes;
    pn_off more;
} pn_walk;

static inline pn_walk pn_walk_from(void *rows, uint32_t count, uint32_t row_bytes, const _Atomic pn_off *more) {
    return (pn_walk){rows, count, row_bytes, atomic_load_explicit(more, memory_order_acquire)};
}

static inline void *pn_walk_next(pn_walk *walk) {
    while (PN_UNLIKELY(walk->left == 0)) {
        if (walk->more == 0) return NULL;
        pn_chain_block *block = pn_at(walk->more); /* SAFETY: stored by pn_heap_alloc, freed only with the object */
        walk->left = atomic_load_explicit(&block->ready, memory_order_acquire);
        walk->at = (char *)(block + 1);
        walk->more = atomic_load_explicit(&block->more, memory_order_acquire);
    }
    void *row = walk->at;
    walk->at += walk->row_bytes;
    walk->left--;
    return row;
}

/* In the object's section. The first of the new rows (all zero), or NULL: no memory. */
static inline void *pn_chain_grow(_Atomic pn_off *link, uint32_t row_bytes) {
    uint64_t bytes = 256;
    pn_chain_block *block;
    for (;; link = &block->more) {
        if (atomic_load_explicit(link, memory_order_acquire) == 0) {
            PN_FAULT("chain.grow.before_block");
            if (pn_heap_alloc(bytes, PN_KIND_NODES, link) != PN_OK) return NULL;
            PN_FAULT("chain.grow.after_block");
        }
        block = pn_at(atomic_load_explicit(link, memory_order_acquire)); /* SAFETY: as above */
        if (atomic_load_explicit(&block->ready, memory_order_relaxed) == 0) break;
        if (bytes < 4096) bytes *= 4;
    }
    uint64_t room = pn_block_bytes(&block->block) - sizeof *block;
    memset(block + 1, 0, room);
    PN_FAULT("chain.grow.before_ready");
    atomic_store_explicit(&block->ready, (uint32_t)(room / row_bytes), memory_order_release);
    return block + 1;
}

/* From the last block to the first, so that a kill in between leaves a shorter chain and no lost block. */
static inline void pn_chain_destroy(_Atomic pn_off *first) {
    while (atomic_load_explicit(first, memory_order_acquire) != 0) {
        _Atomic pn_off *link = first;
        for (;;) {
            pn_chain_block *block = pn_at(atomic_load_explicit(link, memory_order_relaxed)); /* SAFETY: as above */
            if (atomic_load_explicit(&block->more, memory_order_relaxed) == 0) break;
            link = &block->more;
        }
        pn_heap_free(link);
    }
}
#endif
