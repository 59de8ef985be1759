/* ledger.c: the hash tables of references, and sweeping them.
 *
 * Linear probing from a multiplicative hash of the block's number; at most three quarters full. Growing fills the other table and then
 * turns `current` over: one store commits. Not here: what a reference means (object.c).  */
#include "ledger.h"

#include <string.h>

#include "fault.h"

#define PN_FIRST_ENTRIES 63u /* with the header: one block of 1 KiB */

static uint32_t capacity_of(const pn_block *table) { return (uint32_t)((pn_block_bytes(table) - sizeof(pn_block)) / sizeof(pn_reference)); }

static uint32_t home_of(pn_off block, uint32_t capacity) {
    uint32_t hash = (uint32_t)(block >> 6) * 0x9e3779b1u; /* 2^32 / golden ratio: neighbours are spread evenly */
    return (uint32_t)((uint64_t)hash * capacity >> 32);
}

pn_reference *pn_ledger_entries(pn_ledger *ledger, uint32_t *capacity) {
    pn_off table = atomic_load_explicit(&ledger->tables[atomic_load_explicit(&ledger->current, memory_order_relaxed) & 1], memory_order_relaxed);
    *capacity = 0;
    if (table == 0) return NULL;
    pn_block *block = pn_at(table); /* SAFETY: stored by pn_heap_alloc */
    *capacity = capacity_of(block);
    return (pn_reference *)(void *)(block + 1);
}

pn_reference *pn_ledger_find(pn_ledger *ledger, pn_off block) {
    uint32_t capacity;
    pn_reference *entries = pn_ledger_entries(ledger, &capacity);
    if (capacity == 0) return NULL;
    for (uint32_t i = home_of(block, capacity), n = 0; n < capacity; n++, i = i + 1 == capacity ? 0 : i + 1) {
        pn_off object = atomic_load_explicit(&entries[i].object, memory_order_relaxed);
        if (object == block) return &entries[i];
        if (object == PN_REFERENCE_NEVER) return NULL;
    }
    return NULL;
}

static pn_reference *place(pn_reference *entries, uint32_t capacity, pn_off block) {
    uint32_t i = home_of(block, capacity);
    while (atomic_load_explicit(&entries[i].object, memory_order_relaxed) > PN_REFERENCE_GONE) i = i + 1 == capacity ? 0 : i + 1;
    return &entries[i];
}

static void write_entry(pn_reference *entry, pn_off block, uint32_t generation, uint32_t count) {
    atomic_store_explicit(&entry->generation, generation, memory_order_relaxed);
    atomic_store_explicit(&entry->count, count, memory_order_relaxed);
    atomic_store_explicit(&entry->object, block, memory_order_release);
}

pn_reference *pn_ledger_insert(pn_ledger *ledger, pn_off block, uint32_t generation, uint32_t count) {
    uint32_t capacity;
    pn_reference *entries = pn_ledger_entries(ledger, &capacity);
    pn_reference *entry = place(entries, capacity, block);
    if (atomic_load_explicit(&entry->object, memory_order_relaxed) == PN_REFERENCE_NEVER) ledger->used++;
    ledger->live++;
    write_entry(entry, block, generation, count);
    PN_FAULT("ledger.insert.after");
    return entry;
}

void pn_ledger_add(pn_reference *entry, uint32_t generation, uint32_t more) {
    if (more != 0 || atomic_load(&entry->count) == 0) atomic_store(&entry->generation, generation);
    atomic_fetch_add(&entry->count, more);
}

void pn_ledger_remove(pn_ledger *ledger, pn_reference *entry) {
    atomic_store_explicit(&entry->object, PN_REFERENCE_GONE, memory_order_release);
    ledger->live--;
}

static void copy_entries(pn_ledger *ledger, pn_block *table) {
    uint32_t capacity, new_capacity = capacity_of(table);
    pn_reference *old = pn_ledger_entries(ledger, &capacity), *entries = (pn_reference *)(void *)(table + 1);
    memset(entries, 0, new_capacity * sizeof *entries);
    for (uint32_t i = 0; i < capacity; i++) {
        pn_off block = atomic_load_explicit(&old[i].object, memory_order_relaxed);
        if (block > PN_REFERENCE_GONE)
            write_entry(place(entries, new_capacity, block), block, atomic_load(&old[i].generation), atomic_load(&old[i].count));
    }
}

pn_code pn_ledger_make_room(pn_ledger *ledger) {
    uint32_t capacity, next = 1 - (atomic_load_explicit(&ledger->current, memory_order_relaxed) & 1);
    (void)pn_ledger_entries(ledger, &capacity);
    if (PN_LIKELY(ledger->used + 1 <= capacity / 4 * 3)) return PN_OK;
    uint32_t wanted = capacity == 0 ? PN_FIRST_ENTRIES : ledger->live > capacity / 2 ? capacity * 2 + 1 : capacity;
    pn_heap_free(&ledger->tables[next]); /* left by a kill, in the quarantine's */
    PN_FAULT("ledger.grow.before_table");
    pn_code code = pn_heap_alloc(sizeof(pn_block) + wanted * sizeof(pn_reference), PN_KIND_LEDGER, &ledger->tables[next]);
    if (code != PN_OK) return code;
    copy_entries(ledger, pn_at(atomic_load(&ledger->tables[next]))); /* SAFETY: just allocated */
    PN_FAULT("ledger.grow.before_turn");
    atomic_store_explicit(&ledger->current, next, memory_order_release);
    ledger->used = ledger->live;
    PN_FAULT("ledger.grow.after_turn");
    pn_heap_free(&ledger->tables[1 - next]);
    return PN_OK;
}

pn_ledger *pn_ledger_mine(pn_owner me) {
    pn_off at = atomic_load_explicit(&pn_slot(pn_owner_slot(me))->ledger, memory_order_acquire);
    return PN_LIKELY(at != 0) ? pn_at(at) : NULL; /* SAFETY: stored by pn_heap_alloc, freed by the sweep */
}

pn_ledger *pn_ledger_open(pn_owner me) {
    pn_ledger *ledger = pn_ledger_mine(me);
    if (PN_LIKELY(ledger != NULL)) return ledger;
    if (pn_heap_alloc_once(sizeof(pn_ledger), PN_KIND_LEDGER, &pn_slot(pn_owner_slot(me))->ledger) != PN_OK) return NULL;
    return pn_ledger_mine(me);
}

static void recount(pn_ledger *ledger) {
    uint32_t capacity;
    pn_reference *entries = pn_ledger_entries(ledger, &capacity);
    ledger->used = ledger->live = 0;
    for (uint32_t i = 0; i < capacity; i++) {
        pn_off object = atomic_load_explicit(&entries[i].object, memory_order_relaxed);
        ledger->used += object != PN_REFERENCE_NEVER;
        ledger->live += object > PN_REFERENCE_GONE;
    }
}

void pn_ledger_enter(pn_ledger *ledger, pn_owner me) {
    if (PN_UNLIKELY(pn_section_enter(&ledger->section, me) == PN_RECOVERED)) recount(ledger);
}

void pn_ledger_leave(pn_ledger *ledger) { pn_section_leave(&ledger->section); }

pn_code pn_ledger_count(pn_owner me, pn_off block, uint32_t generation, uint32_t more) {
    pn_ledger *ledger = pn_ledger_open(me);
    if (ledger == NULL) return PN_NOMEM;
    pn_ledger_enter(ledger, me);
    pn_reference *entry = pn_ledger_find(ledger, block);
    pn_code code = PN_OK;
    if (entry == NULL && (code = pn_ledger_make_room(ledger)) == PN_OK) (void)pn_ledger_insert(ledger, block, generation, more);
    else if (entry != NULL) pn_ledger_add(entry, generation, more);
    pn_ledger_leave(ledger);
    return code;
}

pn_code pn_ledger_note(pn_owner me, pn_off block, uint32_t generation) { return pn_ledger_count(me, block, generation, 0); }

void pn_ledger_forget(pn_owner me, pn_off block) {
    pn_ledger *ledger = pn_ledger_mine(me);
    if (ledger == NULL) return;
    pn_ledger_enter(ledger, me);
    pn_reference *entry = pn_ledger_find(ledger, block);
    if (entry != NULL && atomic_load(&entry->count) == 0) pn_ledger_remove(ledger, entry);
    pn_ledger_leave(ledger);
}

/* ── sweeping ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* A buffer goes only if it is still the dead one's: it may have been handed on. */
static bool is_due(pn_off block, uint32_t generation, uint32_t dead) {
    pn_block *header = pn_at(block); /* SAFETY: a ledger names blocks, and blocks stay blocks */
    if (atomic_load(&header->generation) != generation || atomic_load(&header->kind) == PN_KIND_FREE) return false;
    if (atomic_load(&header->kind) != PN_KIND_BUFFER) return true;
    uint64_t owner = atomic_load(&((pn_buffer *)header)->owner);
    return owner == 0 || owner == (uint64_t)dead << 32;
}

static void give_back(pn_owner me, pn_reference *entry, uint32_t dead) {
    pn_off block = atomic_load(&entry->object);
    pn_block *header = pn_at(block); /* SAFETY: as above */
    uint32_t generation = atomic_load(&entry->generation);
    if (is_due(block, generation, dead)) {
        if (atomic_load(&header->kind) == PN_KIND_BUFFER) atomic_store(&entry->count, 1); /* its owner word is the truth */
        while ((atomic_load(&entry->count) & PN_REFERENCES) > 0) {
            (void)pn_ledger_note(me, block, generation);
            atomic_fetch_sub(&entry->count, 1); /* first: a kill of the sweeper leaks one and frees none early */
            PN_FAULT("ledger.sweep.after_count");
            pn_object_drop(me, block);
        }
        if (atomic_load(&header->generation) == generation) pn_object_inherit(me, block, dead);
        pn_ledger_forget(me, block);
    }
    atomic_store(&entry->object, PN_REFERENCE_GONE);
}

/* The block that was being made when the process died: an entry like the others, unless it is one already. There is room: it was made first. */
static void adopt_pending(pn_ledger *ledger) {
    pn_off block = atomic_load(&ledger->pending);
    if (block == 0) return;
    uint32_t generation = atomic_load(&((pn_block *)pn_at(block))->generation); /* SAFETY: stored by pn_heap_alloc */
    pn_reference *entry = pn_ledger_find(ledger, block);
    if (entry == NULL) (void)pn_ledger_insert(ledger, block, generation, 1);
    else if (atomic_load(&entry->generation) != generation) { /* of an earlier block in the same place, that is gone */
        atomic_store(&entry->count, 1);
        atomic_store(&entry->generation, generation);
    }
    atomic_store(&ledger->pending, 0);
}

static void sweep_entries(pn_owner me, _Atomic pn_off *at, uint32_t dead) {
    pn_ledger *ledger = pn_at(atomic_load(at)); /* SAFETY: stored by pn_heap_alloc */
    uint32_t capacity;
    adopt_pending(ledger);
    pn_reference *entries = pn_ledger_entries(ledger, &capacity);
    for (uint32_t i = 0; i < capacity; i++)
        if (atomic_load_explicit(&entries[i].object, memory_order_relaxed) > PN_REFERENCE_GONE) give_back(me, &entries[i], dead);
    PN_FAULT("ledger.sweep.before_tables");
    pn_heap_free(&ledger->tables[0]);
    pn_heap_free(&ledger->tables[1]);
    pn_heap_free(at);
}

void pn_ledger_sweep(uint32_t slot, uint32_t generation) {
    pn_owner me = pn_self();
    pn_process_slot *row = pn_slot(slot);
    if (me == 0 || atomic_load(&row->generation) != generation) return;
    if (atomic_load(&row->ledger) != 0) sweep_entries(me, &row->ledger, (uint32_t)(pn_owner_make(slot, generation, 0) >> 32));
    if (pn_owner_slot(me) != slot) pn_quarantine_review(me); /* one that leaves still lives; its sweep by another comes */
}
