/* heap.c: blocks out of one piece of memory, so that a kill at any instruction neither loses nor doubles one.
 *
 *   PN_HEAP_OFFSET ..... low | reserved ahead | (no pages) | high ........ size
 *     blocks below 1 MiB, cut upwards                        blocks of 1 MiB and more, cut downwards, page-aligned
 *
 * Truth: free[class] (a list through the first word of each free block's body), low, high. `intent` says what is being changed:
 *   ALLOC  committed when the field named by `dest` holds the block; else repair puts the block (back) on its list
 *   FREE   committed by the intent itself; repair finishes it
 * Every step of either is idempotent, so repair may be killed too. Rules:
 *   1. A block below low or above high is on exactly one free list or belongs to exactly one owner.
 *   2. Pages are reserved before a block is handed out; big ones outside of the section (their header page inside), since the kernel
 *      needs a quarter of a second for a gigabyte.
 * Freed memory keeps its class: blocks are neither split nor joined.
 * Promises: what heap.h says. Not here: references (object.c), ledgers (ledger.c).  */
#include "heap.h"

#include <string.h>

#include "fault.h"
#include "ledger.h"
#include "platform.h"

#define PN_CLASSES 116u                /* up to 64 GiB */
#define PN_PAGE 4096ull
#define PN_STEP_MIN (64ull << 10)      /* pages reserved ahead for small blocks: 16 to 250 us in the section, once per step */
#define PN_STEP_MAX (1ull << 20)
#define PN_IDLE_KEEP (256ull << 20)    /* bytes of free large blocks that stay warm: fresh pages cost ten times a copy */
#define PN_SPARED (32ull << 20)        /* bytes of those that spare_warm leaves to others: more than a pool sends ahead (_pools/sending.py) */
#define PN_FLAG_PAGES 0x3fu             /* pn_block.flags: how many 32nds of a large block have pages */
#define PN_HEAP_STATE 4096             /* offset of pn_heap: page 1 of the 64 KiB that belong to the header */

enum { INTENT_NONE = 0, INTENT_ALLOC, INTENT_FREE };

typedef struct pn_intent {
    _Atomic uint32_t op;
    uint32_t generation;     /* FREE: the block's next generation */
    pn_off block;
    pn_off field;            /* the dest or src word; 0: local memory of a process */
    uint64_t in_use_before;
    uint64_t in_use_after;
} pn_intent;

typedef struct pn_heap {
    pn_section section;
    _Atomic uint64_t low;         /* 0: nothing was ever allocated */
    _Atomic uint64_t reserved;    /* pages below exist */
    _Atomic uint64_t high;
    _Atomic uint64_t in_use;
    _Atomic uint64_t idle;        /* derived: bytes of pages in free large blocks */
    _Atomic int64_t writing;      /* filling.c's */
    pn_intent intent;
    _Atomic pn_off free[PN_CLASSES];
} pn_heap;
_Static_assert(sizeof(pn_arena_header) <= PN_HEAP_STATE, "the arena's header ends before the heap's state");
_Static_assert(PN_HEAP_STATE + sizeof(pn_heap) <= PN_QUARANTINE_STATE, "the heap's state ends before the quarantine's");

static _Atomic bool spares_warm; /* of this process */

static pn_heap *state(void) { return (pn_heap *)(void *)(pn_base + PN_HEAP_STATE); }
/* SAFETY: offsets on free lists and in the intent were made by carve(). */
static pn_block *block_at(pn_off off) { return (pn_block *)pn_at(off); }
static _Atomic pn_off *link_of(pn_off off) { return (_Atomic pn_off *)pn_at(off + sizeof(pn_block)); }

static uint32_t class_of(uint64_t bytes) {
    if (bytes <= 256) return (uint32_t)((bytes + 63) / 64) - 1;
    uint32_t octave = 63u - (uint32_t)__builtin_clzll(bytes - 1);
    return 4 + (octave - 8) * 4 + (((bytes - 1) >> (octave - 2)) & 3);
}

static uint64_t class_bytes(uint32_t size_class) {
    if (size_class < 4) return (size_class + 1) * 64ull;
    uint32_t octave = 8 + (size_class - 4) / 4;
    return (1ull << octave) + ((size_class - 4) % 4 + 1) * (1ull << (octave - 2));
}

/* In program order for whoever finds us killed: a release store that the compiler moves nothing across. No fence: the section has those. */
static void put(_Atomic uint64_t *word, uint64_t value) {
    atomic_store_explicit(word, value, memory_order_release);
    atomic_signal_fence(memory_order_seq_cst);
}
static uint64_t get(const _Atomic uint64_t *word) { return atomic_load_explicit(word, memory_order_relaxed); }

static pn_off field_offset(_Atomic pn_off *field) {
    const char *at = (const char *)field;
    return at >= pn_base && at < pn_base + pn_header()->size ? pn_offset_of(at) : 0;
}

static uint64_t warm_bytes(const pn_block *block) { return class_bytes(block->size_class) / 32 * (block->flags & PN_FLAG_PAGES); }

/* ── repair ──────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void push(pn_heap *heap, pn_off off) {
    _Atomic pn_off *list = &heap->free[block_at(off)->size_class];
    if (get(list) == off) return; /* a repair of a repair */
    put(link_of(off), get(list));
    PN_FAULT("heap.push.linked");
    put(list, off);
}

static bool was_carved(const pn_heap *heap, pn_off off) {
    return off < get(&heap->low) || off >= get(&heap->high);
}

static void finish_free(pn_heap *heap, const pn_intent *intent) {
    pn_block *block = block_at(intent->block);
    if (intent->field != 0) {
        _Atomic pn_off *src = (_Atomic pn_off *)pn_at(intent->field);
        if (get(src) == intent->block) put(src, 0);
    }
    atomic_store_explicit(&block->kind, PN_KIND_FREE, memory_order_release);
    atomic_store_explicit(&block->generation, intent->generation, memory_order_release);
    push(heap, intent->block);
    put(&heap->in_use, intent->in_use_after);
}

static void settle_alloc(pn_heap *heap, const pn_intent *intent) {
    bool committed = intent->field != 0 && atomic_load((_Atomic pn_off *)pn_at(intent->field)) == intent->block;
    if (!committed && was_carved(heap, intent->block)) {
        atomic_store_explicit(&block_at(intent->block)->kind, PN_KIND_FREE, memory_order_release);
        push(heap, intent->block);
    }
    put(&heap->in_use, committed ? intent->in_use_after : intent->in_use_before);
}

static void count_idle(pn_heap *heap) {
    uint64_t idle = 0;
    for (uint32_t c = class_of(PN_LARGE); c < PN_CLASSES; c++)
        for (pn_off off = get(&heap->free[c]); off != 0; off = get(link_of(off))) idle += warm_bytes(block_at(off));
    put(&heap->idle, idle);
}

static void repair(pn_heap *heap) {
    uint32_t op = atomic_load(&heap->intent.op);
    if (op == INTENT_ALLOC) settle_alloc(heap, &heap->intent);
    if (op == INTENT_FREE) finish_free(heap, &heap->intent);
    PN_FAULT("heap.repair.settled");
    count_idle(heap);
    atomic_store_explicit(&heap->intent.op, INTENT_NONE, memory_order_release);
}

static bool enter(pn_heap *heap) {
    pn_owner me = pn_self();
    if (me == 0) return false;
    if (PN_UNLIKELY(pn_section_enter(&heap->section, me) == PN_RECOVERED)) repair(heap);
    if (PN_UNLIKELY(get(&heap->low) == 0)) {
        put(&heap->reserved, PN_HEAP_OFFSET);
        put(&heap->high, pn_header()->size & ~(PN_PAGE - 1));
        put(&heap->low, PN_HEAP_OFFSET);
    }
    return true;
}

/* ── allocation ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Pages for a small block that ends at `end`; a step ahead, so that few allocations pay for it. */
static pn_code reserve_low(pn_heap *heap, uint64_t end) {
    uint64_t from = get(&heap->reserved);
    if (end <= from) return PN_OK;
    uint64_t step = (from - PN_HEAP_OFFSET) / 2 & ~(PN_PAGE - 1);
    step = step < PN_STEP_MIN ? PN_STEP_MIN : step > PN_STEP_MAX ? PN_STEP_MAX : step;
    uint64_t to = end + step < get(&heap->high) ? (end + step) & ~(PN_PAGE - 1) : (end + PN_PAGE - 1) & ~(PN_PAGE - 1);
    pn_code code = pn_memory_reserve(pn_arena_fd, from, to - from);
    if (code != PN_OK) return PN_NOMEM;
    put(&heap->reserved, to);
    return PN_OK;
}

/* A few pages are mapped: the kernel lets one process at a time reserve or write, which takes 0.4 ms a MiB. */
static pn_code get_pages(pn_off from, uint64_t size) {
    if (size <= PN_STEP_MAX && pn_memory_make_pages(pn_at(from), size)) return PN_OK;
    return pn_memory_reserve(pn_arena_fd, from, size);
}

/* Where a new block of this class would lie, with pages for its header: not yet taken. 0: no address space or no memory. */
static pn_off carve(pn_heap *heap, uint32_t size_class) {
    uint64_t bytes = class_bytes(size_class), low = get(&heap->low), high = get(&heap->high);
    if (high < bytes || high - bytes < low) return 0;
    pn_off off = low;
    if (bytes >= PN_LARGE) {
        off = (high - bytes) & ~(PN_PAGE - 1);
        if (off < get(&heap->reserved) || get_pages(off, PN_PAGE) != PN_OK) return 0;
    } else if (reserve_low(heap, low + bytes) != PN_OK) {
        return 0;
    }
    pn_block *block = block_at(off);
    block->size_class = (uint8_t)size_class;
    block->flags = 0;
    atomic_store_explicit(&block->generation, 1, memory_order_relaxed);
    return off;
}

static bool spares_the_last(const pn_heap *heap, uint32_t size_class) {
    uint64_t bytes = class_bytes(size_class);
    if (bytes < PN_LARGE || !atomic_load_explicit(&spares_warm, memory_order_relaxed)) return false;
    return get(&heap->idle) < bytes + (bytes > PN_SPARED ? bytes : PN_SPARED);
}

/* A free block of this class, or of one up to four times as large when the address space is used up. */
static pn_off choose(pn_heap *heap, uint32_t size_class, bool *fresh) {
    pn_off off = get(&heap->free[size_class]);
    *fresh = false;
    if (PN_LIKELY(off != 0) && !spares_the_last(heap, size_class)) return off;
    *fresh = true;
    if (PN_LIKELY((off = carve(heap, size_class)) != 0)) return off;
    *fresh = false;
    for (uint32_t c = size_class; c < PN_CLASSES && c <= size_class + 8; c++)
        if ((off = get(&heap->free[c])) != 0) return off;
    return 0;
}

static void unlink_block(pn_heap *heap, pn_off off, bool fresh) {
    pn_block *block = block_at(off);
    if (!fresh) {
        if (PN_UNLIKELY(block->flags != 0)) put(&heap->idle, get(&heap->idle) - warm_bytes(block));
        put(&heap->free[block->size_class], get(link_of(off)));
    } else if (off == get(&heap->low)) {
        put(&heap->low, off + class_bytes(block->size_class));
    } else {
        put(&heap->high, off);
    }
}

static void intend(pn_heap *heap, uint32_t op, pn_off off, _Atomic pn_off *field, int64_t bytes) {
    pn_intent *intent = &heap->intent;
    intent->block = off;
    intent->field = field_offset(field);
    intent->in_use_before = get(&heap->in_use);
    intent->in_use_after = intent->in_use_before + (uint64_t)bytes;
    intent->generation = atomic_load_explicit(&block_at(off)->generation, memory_order_relaxed) + 1;
    PN_FAULT("heap.intend.before");
    atomic_store_explicit(&intent->op, op, memory_order_release);
    atomic_signal_fence(memory_order_seq_cst);
}

static void conclude(pn_heap *heap) {
    put(&heap->in_use, heap->intent.in_use_after);
    PN_FAULT("heap.conclude.before");
    atomic_store_explicit(&heap->intent.op, INTENT_NONE, memory_order_release);
    atomic_signal_fence(memory_order_seq_cst);
}

static void prepare(pn_block *block, pn_kind kind, uint64_t life) {
    uint64_t bytes = class_bytes(block->size_class);
    uint64_t zeroed = kind == PN_KIND_SEGMENT || kind == PN_KIND_BUFFER ? 64 : bytes < 256 ? bytes : 256;
    memset((char *)block + sizeof *block, 0, zeroed - sizeof *block);
    atomic_store_explicit(&block->life, life, memory_order_relaxed);
    atomic_store_explicit(&block->kind, (uint16_t)kind, memory_order_release);
}

/* In the section. */
static pn_code take(pn_heap *heap, uint32_t size_class, pn_kind kind, uint64_t life, _Atomic pn_off *dest) {
    uint64_t cap = atomic_load_explicit(&pn_header()->cap, memory_order_relaxed);
    uint64_t in_use = get(&heap->in_use);
    if (cap != 0 && in_use + class_bytes(size_class) > cap) return PN_NOMEM;
    bool fresh;
    pn_off off = choose(heap, size_class, &fresh);
    if (off == 0) return PN_NOMEM;
    intend(heap, INTENT_ALLOC, off, dest, (int64_t)class_bytes(block_at(off)->size_class));
    PN_FAULT("heap.alloc.intent");
    unlink_block(heap, off, fresh);
    PN_FAULT("heap.alloc.unlinked");
    prepare(block_at(off), kind, life);
    PN_FAULT("heap.alloc.prepared");
    atomic_store_explicit(dest, off, memory_order_release);
    PN_FAULT("heap.alloc.committed");
    conclude(heap);
    return PN_OK;
}

/* Pages for the first `bytes` of a large block that is ours already. Outside of the section. */
pn_code pn_heap_reserve(pn_off off, uint64_t bytes) {
    pn_block *block = block_at(off);
    uint64_t unit = class_bytes(block->size_class) / 32;
    uint64_t from = block->flags & PN_FLAG_PAGES, to = (bytes + unit - 1) / unit;
    if (to <= from) return PN_OK;
    if (get_pages(off + from * unit, (to - from) * unit) != PN_OK) {
        pn_heap_trim();
        if (get_pages(off + from * unit, (to - from) * unit) != PN_OK) return PN_NOMEM;
    }
    block->flags = (uint8_t)to;
    return PN_OK;
}

bool pn_heap_lacks_pages(pn_off off, uint64_t bytes) {
    const pn_block *block = block_at(off);
    return class_bytes(block->size_class) >= PN_LARGE && warm_bytes(block) < bytes;
}

void pn_heap_has_pages(pn_off off, uint64_t end) {
    pn_block *block = block_at(off);
    uint64_t units = end / (class_bytes(block->size_class) / 32);
    if (units > (block->flags & PN_FLAG_PAGES)) block->flags = (uint8_t)units;
}

enum { ONCE = 1, BARE = 2 };

static pn_code alloc(uint64_t bytes, pn_kind kind, uint64_t life, _Atomic pn_off *dest, int how) {
    if (bytes > class_bytes(PN_CLASSES - 1)) return PN_TOO_BIG;
    if (bytes < 64) bytes = 64;
    uint32_t size_class = class_of(bytes);
    pn_code code = PN_NOMEM;
    for (int attempt = 0; attempt < 2 && code == PN_NOMEM; attempt++) {
        if (attempt == 1) pn_heap_trim();
        if (!pn_self()) return PN_NO_SLOT; /* opens the arena: state() is valid from here on */
        pn_heap *heap = state();
        if (!enter(heap)) return PN_NO_SLOT;
        code = (how & ONCE) && atomic_load(dest) != 0 ? PN_OK : take(heap, size_class, kind, life, dest);
        pn_section_leave(&heap->section);
        if (code == PN_NOMEM && get(&heap->idle) == 0) break;
    }
    if (PN_LIKELY(code != PN_OK || bytes < PN_LARGE)) return code;
    PN_FAULT("heap.alloc.before_pages");
    code = how & BARE ? PN_OK : pn_heap_reserve(atomic_load(dest), bytes);
    if (code != PN_OK) pn_heap_free(dest);
    return code;
}

pn_code pn_heap_alloc(uint64_t bytes, pn_kind kind, _Atomic pn_off *dest) { return alloc(bytes, kind, 0, dest, 0); }
pn_code pn_heap_alloc_once(uint64_t bytes, pn_kind kind, _Atomic pn_off *dest) { return alloc(bytes, kind, 0, dest, ONCE); }
pn_code pn_heap_alloc_alive(uint64_t bytes, pn_kind kind, uint64_t life, bool is_bare, _Atomic pn_off *dest) {
    return alloc(bytes, kind, life, dest, is_bare ? BARE : 0);
}

/* ── freeing ─────────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Gives back all pages but the header's. The block is ours, or free and we are in the section. */
static void cool(pn_off off) {
    pn_block *block = block_at(off);
    uint64_t bytes = warm_bytes(block);
    block->flags = 0;
    atomic_signal_fence(memory_order_seq_cst);
    if (bytes > PN_PAGE) pn_memory_punch(pn_arena_fd, off + PN_PAGE, ((bytes + PN_PAGE - 1) & ~(PN_PAGE - 1)) - PN_PAGE);
}

void pn_heap_free(_Atomic pn_off *src) {
    pn_off off = get(src);
    if (off == 0 || pn_self() == 0) return;
    pn_heap *heap = state();
    pn_block *block = block_at(off);
    if (PN_UNLIKELY(warm_bytes(block) != 0 && get(&heap->idle) + warm_bytes(block) > PN_IDLE_KEEP)) cool(off);
    if (!enter(heap)) return;
    if (PN_LIKELY(get(src) == off && atomic_load(&block->kind) != PN_KIND_FREE)) {
        intend(heap, INTENT_FREE, off, src, -(int64_t)class_bytes(block->size_class));
        PN_FAULT("heap.free.intent");
        put(src, 0);
        PN_FAULT("heap.free.cleared");
        atomic_store_explicit(&block->kind, PN_KIND_FREE, memory_order_release);
        atomic_store_explicit(&block->generation, heap->intent.generation, memory_order_release);
        PN_FAULT("heap.free.marked");
        push(heap, off);
        PN_FAULT("heap.free.pushed");
        if (PN_UNLIKELY(warm_bytes(block) != 0)) put(&heap->idle, get(&heap->idle) + warm_bytes(block));
        conclude(heap);
    }
    pn_section_leave(&heap->section);
}

static pn_off first_warm(const pn_heap *heap) {
    for (uint32_t c = class_of(PN_LARGE); c < PN_CLASSES; c++)
        for (pn_off off = get(&heap->free[c]); off != 0; off = get(link_of(off)))
            if (warm_bytes(block_at(off)) != 0) return off;
    return 0;
}

void pn_heap_trim(void) {
    if (pn_base == NULL || pn_self() == 0) return;
    pn_heap *heap = state();
    for (bool more = true; more;) { /* one block a visit: others come in between */
        if (!enter(heap)) return;
        pn_off off = first_warm(heap);
        more = off != 0;
        if (more) {
            put(&heap->idle, get(&heap->idle) - warm_bytes(block_at(off)));
            cool(off);
        }
        pn_section_leave(&heap->section);
    }
}

_Atomic int64_t *pn_heap_writing(void) { return &state()->writing; }
void pn_heap_spare_warm(void) { atomic_store(&spares_warm, true); }
uint64_t pn_block_bytes(const pn_block *block) { return class_bytes(block->size_class); }
uint64_t pn_heap_in_use(void) { return pn_base == NULL ? 0 : atomic_load(&state()->in_use); }
uint64_t pn_heap_idle(void) { return pn_base == NULL ? 0 : atomic_load(&state()->idle); }
bool pn_heap_holds(pn_off off) {
    if (pn_base == NULL || off % 64 != 0) return false;
    const pn_heap *heap = state();
    return (off >= PN_HEAP_OFFSET && off < get(&heap->low)) || (off >= get(&heap->high) && off < pn_header()->size);
}
