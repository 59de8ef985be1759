/* census.h: what tests of the heap look at: every small block there is, and what is in use. */
#ifndef PN_CENSUS_H
#define PN_CENSUS_H
#include "reached.h"
#include "../heap.h"

typedef struct census { uint64_t used; int blocks, free; } census;

/* Small blocks lie one behind the other from PN_HEAP_OFFSET on; a header that was never written has generation 0. */
static inline census take_census(void) {
    census c = {0, 0, 0};
    for (pn_off off = PN_HEAP_OFFSET;;) {
        pn_block *block = pn_at(off);
        if (atomic_load(&block->generation) == 0) return c;
        c.blocks++;
        if (atomic_load(&block->kind) == PN_KIND_FREE) c.free++;
        else c.used += pn_block_bytes(block);
        off += pn_block_bytes(block);
    }
}

static inline pn_off make(pn_kind kind, uint64_t bytes) {
    pn_off object = 0;
    CHECK(pn_object_create(bytes, kind, &object) == PN_OK);
    return object;
}
static inline pn_block *block_at(pn_off off) { return pn_at(off); }
static inline uint32_t generation_of(pn_off off) { return atomic_load(&block_at(off)->generation); }
static inline bool is_freed_since(pn_off off, uint32_t generation) { return generation_of(off) != generation; }

/* A repair, if one is due. */
static inline void touch_heap(void) {
    _Atomic pn_off local = 0;
    CHECK(pn_heap_alloc(64, PN_KIND_NODES, &local) == PN_OK);
    pn_heap_free(&local);
}

static inline int reap_and_tell(pid_t pid) {
    int status = reap(pid);
    pn_process_reaped((uint32_t)pid, status);
    return status;
}
#endif
