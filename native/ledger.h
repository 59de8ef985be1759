/* ledger.h: what each process refers to, so that it can be given back when the process dies.
 *
 *   process slot -> pn_ledger (64 bytes) -> tables[current]: | pn_block | pn_reference | pn_reference | … |   a hash table of blocks
 *
 * Only its process writes a ledger; after the process's death only its sweeper does. The quarantine (heap.h) is a ledger too: it belongs
 * to no process, and its section survives the death of whoever writes it.
 * Truth: the entries. An entry is born by the store of `object`; count says how many references it stands for.
 * Promises: a kill leaks at most the one reference that was being changed; nothing is freed early.
 * Not here: reference counts (object.c), allocation (heap.c).  */
#ifndef PN_LEDGER_H
#define PN_LEDGER_H
#include "heap.h"

/* By process.c, once a process is dead (or leaves): drops all its references, frees its buffers, looks at the quarantine again.
 * Restartable: if the sweeper dies, another one may call it again. At most one at a time for one slot. */
void pn_ledger_sweep(uint32_t slot, uint32_t generation);

/* ── for the other files of the heap ─────────────────────────────────────────────────────────────────────────────────── */

#define PN_QUARANTINE_STATE 8192 /* offset of pn_quarantine: from page 2 to the end of the header's 64 KiB */
#define PN_REFERENCE_NEVER 0     /* values of `object` that are no block: free since ever, or again */
#define PN_REFERENCE_GONE 1

typedef struct pn_reference {
    _Atomic pn_off object;
    _Atomic uint32_t generation;
    _Atomic uint32_t count;      /* handing:8 | references:24; 0: one is being taken or given up; the quarantine keeps a time here */
} pn_reference;
#define PN_REFERENCES 0xffffffu
#define PN_HANDING 0x1000000u    /* a thread of ours is handing it over, as a buffer, and comes back to this entry */
_Static_assert(sizeof(pn_reference) == 16, "four entries a cache line");

typedef struct pn_ledger {
    pn_block block;
    pn_section section;
    _Atomic pn_off pending;      /* a block that was just allocated and may not stand in the table yet; counts as one reference */
    _Atomic pn_off tables[2];    /* the other one: being filled, or to be freed */
    _Atomic uint32_t current;
    uint32_t used;               /* derived: entries that are not NEVER */
    uint32_t live;               /* derived: entries with a block */
    uint32_t unused;
} pn_ledger;
_Static_assert(sizeof(pn_ledger) == 64, "a ledger is one cache line");

/* This process's ledger, NULL: none (any more). open: made if there is none; NULL: no memory. */
pn_ledger *pn_ledger_mine(pn_owner me);
pn_ledger *pn_ledger_open(pn_owner me);
/* All below: in the ledger's section. */
void pn_ledger_enter(pn_ledger *ledger, pn_owner me);
void pn_ledger_leave(pn_ledger *ledger);
pn_reference *pn_ledger_find(pn_ledger *ledger, pn_off block);            /* NULL: not there */
pn_code pn_ledger_make_room(pn_ledger *ledger);                           /* for one entry more: OK, NOMEM */
pn_reference *pn_ledger_insert(pn_ledger *ledger, pn_off block, uint32_t generation, uint32_t count); /* there is room, and it is not there */
/* One that is there: several threads may be about to give up the block that was in that place before, so counts are added. */
void pn_ledger_add(pn_reference *entry, uint32_t generation, uint32_t more);
void pn_ledger_remove(pn_ledger *ledger, pn_reference *entry);
pn_reference *pn_ledger_entries(pn_ledger *ledger, uint32_t *capacity);

/* These enter by themselves. An entry for the block exists afterwards, perhaps with count 0; and: an entry with count 0 is removed. */
pn_code pn_ledger_count(pn_owner me, pn_off block, uint32_t generation, uint32_t more);
pn_code pn_ledger_note(pn_owner me, pn_off block, uint32_t generation);
void pn_ledger_forget(pn_owner me, pn_off block);

/* object.c: one reference or one pin is given up that was counted; `me` must have an entry for the block if it can be the last. */
void pn_object_drop(pn_owner me, pn_off object);
/* By the quarantine, once nobody can have inherited it: true: `me` (with an entry for it) is the one who destroys it now. */
bool pn_object_claim(pn_owner me, pn_off object);
void pn_object_destroy(pn_off object);
bool pn_object_is_alive(pn_off object);
/* object.c: what a dead process (high half of an owner id) began to destroy is finished by `me`. */
void pn_object_inherit(pn_owner me, pn_off object, uint32_t dead);
uint32_t pn_object_birth(pn_off object);
/* object.c, buffers on their way through a queue: the ledger has an entry before the owner word says "mine", and until after it does no more. */
pn_code pn_buffer_create_bare(uint64_t size, pn_off *buffer); /* a large one need not have pages behind its header (filling.c) */
pn_code pn_buffer_expect(pn_owner me, pn_off buffer, uint32_t generation);
void pn_buffer_hand_over(pn_owner me, pn_off buffer);               /* before it is put … */
void pn_buffer_handed_over(pn_owner me, pn_off buffer, bool is_put); /* … and after it was, or was not */

/* heap.c */
pn_code pn_heap_alloc_alive(uint64_t bytes, pn_kind kind, uint64_t life, bool is_bare, _Atomic pn_off *dest); /* bare: see pn_buffer_create_bare */
/* A large block of this process's: does it lack pages for its first `bytes`? Let it have them: OK, NOMEM. All up to `end` have them now. */
bool pn_heap_lacks_pages(pn_off off, uint64_t bytes);
pn_code pn_heap_reserve(pn_off off, uint64_t bytes);
void pn_heap_has_pages(pn_off off, uint64_t end);
_Atomic int64_t *pn_heap_writing(void); /* a word for filling.c */
#define PN_LARGE (1ull << 20) /* bytes of a block: from here on page-aligned, and with pages of its own */
pn_code pn_heap_alloc_once(uint64_t bytes, pn_kind kind, _Atomic pn_off *dest); /* OK and no block if *dest is not 0: the first thread wins */
#define PN_FLAG_QUARANTINED 0x80u /* pn_block.flags */
bool pn_heap_holds(pn_off off); /* could this be a block's offset? */

/* quarantine.c */
uint32_t pn_quarantine_birth(void);                        /* what an object made now keeps as its birth: 24 bits */
bool pn_quarantine_needed(uint32_t birth);                 /* may a living forked descendant have inherited it? */
bool pn_quarantine_add(pn_owner me, pn_off object, uint32_t generation); /* true: the caller's reference is the quarantine's now */
void pn_quarantine_touch(pn_owner me, pn_off object);      /* it is in there, and another reference to it is given up now */
void pn_quarantine_review(pn_owner me);                    /* lets go whatever nobody can have inherited any more */
void pn_quarantine_join(pn_owner me);                      /* a process gets its slot: if it was forked, it says who it is */
#endif
