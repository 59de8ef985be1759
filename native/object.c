/* object.c: references and pins of objects, and who destroys one.
 *
 *   life:  birth:24 | pins:20       | refs:20
 *          birth:24 | 0xff:8        | process:32     the last reference is gone; this process destroys it
 *
 * Whoever takes the last reference off does so in the same CAS that names him as the destroyer, so there is exactly one, and nobody can
 * attach any more; if he dies, his ledger's entry (with count 0) leads the sweep to the object, and the sweeper goes on.
 * The order of an attach is entry(0), refs + 1, count 1; of a detach count - 1, refs - 1, entry away: so a kill leaks at most one reference.
 * Not here: the tables (ledger.c), forked descendants (quarantine.c).  */
#include "ledger.h"

#include "fault.h"

#define PN_FIELD 0xfffffull
#define PN_REF 1ull
#define PN_PIN (1ull << 20)
#define PN_COUNTS (PN_PIN * PN_FIELD | PN_FIELD)
#define PN_DYING 0xffull         /* in the upper bits of the pins: so many there never are */
#define PN_MOST (PN_FIELD - 0x2000)
#define PN_BIRTH 40              /* where it begins */

static void (*destroyers[PN_KINDS])(pn_off object);

void pn_kind_on_destroy(pn_kind kind, void (*destroy)(pn_off object)) { destroyers[kind] = destroy; }

static uint64_t refs_in(uint64_t life) { return life & PN_FIELD; }
static uint64_t pins_in(uint64_t life) { return life >> 20 & PN_FIELD; }
static bool is_dying(uint64_t life) { return (life >> 32 & 0xff) == PN_DYING; }
static bool is_alive(uint64_t life) { return !is_dying(life) && (life & PN_COUNTS) != 0; }
static uint64_t dying(uint64_t life, uint32_t process) { return (life & 0xffffffull << PN_BIRTH) | PN_DYING << 32 | process; }
/* SAFETY: callers of the functions below hold an offset from create, or one that pn_heap_holds() accepted. */
static pn_block *block_at(pn_off off) { return (pn_block *)pn_at(off); }

uint32_t pn_object_refs(pn_off object) {
    uint64_t life = atomic_load(&block_at(object)->life);
    return is_dying(life) ? 0 : (uint32_t)refs_in(life);
}

uint32_t pn_object_pins(pn_off object) {
    uint64_t life = atomic_load(&block_at(object)->life);
    return is_dying(life) ? 0 : (uint32_t)pins_in(life);
}

uint32_t pn_object_birth(pn_off object) { return (uint32_t)(atomic_load(&block_at(object)->life) >> PN_BIRTH); }

/* ── the end ─────────────────────────────────────────────────────────────────────────────────────────────────────────── */

void pn_object_destroy(pn_off object) {
    uint32_t kind = atomic_load(&block_at(object)->kind);
    PN_FAULT("object.destroy.before");
    if (kind < PN_KINDS && destroyers[kind] != NULL) destroyers[kind](object);
    PN_FAULT("object.destroy.drained");
    _Atomic pn_off src = object;
    pn_heap_free(&src);
}

/* A forked descendant may have inherited a wrapper: the quarantine takes over our reference, the last. Our entry's count is 0 already. */
static bool put_into_quarantine(pn_owner me, pn_off object) {
    pn_block *block = block_at(object);
    if (PN_LIKELY(!pn_quarantine_needed(pn_object_birth(object)))) return false;
    if (atomic_load(&block->kind) == PN_KIND_BUFFER) atomic_store(&((pn_buffer *)block)->owner, PN_BUFFER_NOBODYS); /* so that no sweep drops it too */
    return pn_quarantine_add(me, object, atomic_load(&block->generation));
}

void pn_object_drop(pn_owner me, pn_off object) {
    pn_block *block = block_at(object);
    uint64_t life = atomic_load_explicit(&block->life, memory_order_relaxed), next;
    bool is_last;
    if (PN_UNLIKELY(block->flags & PN_FLAG_QUARANTINED)) pn_quarantine_touch(me, object);
    do {
        if (PN_UNLIKELY(!is_alive(life) || refs_in(life) == 0)) return;
        is_last = (life & PN_COUNTS) == PN_REF;
        if (is_last && put_into_quarantine(me, object)) return;
        next = is_last ? dying(life, (uint32_t)(me >> 32)) : life - PN_REF;
    } while (!atomic_compare_exchange_weak_explicit(&block->life, &life, next, memory_order_acq_rel, memory_order_relaxed));
    if (is_last) pn_object_destroy(object);
}

bool pn_object_claim(pn_owner me, pn_off object) {
    uint64_t life = atomic_load(&block_at(object)->life);
    while ((life & PN_COUNTS) == PN_REF && !is_dying(life))
        if (atomic_compare_exchange_weak(&block_at(object)->life, &life, dying(life, (uint32_t)(me >> 32)))) return true;
    return false;
}

bool pn_object_is_alive(pn_off object) { return is_alive(atomic_load(&block_at(object)->life)); }

void pn_object_inherit(pn_owner me, pn_off object, uint32_t dead) {
    uint64_t life = atomic_load(&block_at(object)->life);
    if (!is_dying(life) || (uint32_t)life != dead) return;
    (void)pn_ledger_note(me, object, atomic_load(&block_at(object)->generation));
    if (atomic_compare_exchange_strong(&block_at(object)->life, &life, dying(life, (uint32_t)(me >> 32)))) pn_object_destroy(object);
}

/* ── references ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* In the ledger's section, with room for one entry more. */
static pn_code create(pn_ledger *ledger, uint64_t bytes, pn_kind kind, bool is_bare, pn_off *object) {
    pn_code code = pn_heap_alloc_alive(bytes, kind, (uint64_t)pn_quarantine_birth() << PN_BIRTH | PN_REF, is_bare, &ledger->pending);
    if (code != PN_OK) return code;
    PN_FAULT("object.create.pending");
    *object = atomic_load_explicit(&ledger->pending, memory_order_relaxed);
    uint32_t generation = atomic_load_explicit(&block_at(*object)->generation, memory_order_relaxed);
    pn_reference *entry = pn_ledger_find(ledger, *object);
    if (entry == NULL) (void)pn_ledger_insert(ledger, *object, generation, 1);
    else pn_ledger_add(entry, generation, 1);
    PN_FAULT("object.create.noted");
    atomic_store_explicit(&ledger->pending, 0, memory_order_release);
    return PN_OK;
}

static pn_code create_noted(uint64_t bytes, pn_kind kind, bool is_bare, pn_off *object) {
    pn_owner me = pn_self();
    if (me == 0) return PN_NO_SLOT;
    pn_ledger *ledger = pn_ledger_open(me);
    if (ledger == NULL) return PN_NOMEM;
    pn_ledger_enter(ledger, me);
    pn_code code = pn_ledger_make_room(ledger);
    if (PN_LIKELY(code == PN_OK)) code = create(ledger, bytes, kind, is_bare, object);
    pn_ledger_leave(ledger);
    return code;
}

pn_code pn_object_create(uint64_t bytes, pn_kind kind, pn_off *object) { return create_noted(bytes, kind, false, object); }

/* Adds one reference or pin to a living object. */
static pn_code take(pn_off object, uint64_t one) {
    _Atomic uint64_t *word = &block_at(object)->life;
    uint64_t life = atomic_load(word);
    do {
        if (!is_alive(life)) return PN_STALE;
        if ((one == PN_REF ? refs_in(life) : pins_in(life)) >= PN_MOST) return PN_OVERFLOW;
    } while (!atomic_compare_exchange_weak(word, &life, life + one));
    return PN_OK;
}

static bool is_live_handle(pn_off object, uint32_t generation, pn_kind kind) {
    if (!pn_heap_holds(object)) return false;
    const pn_block *block = block_at(object);
    return atomic_load(&block->kind) == kind && atomic_load(&block->generation) == generation;
}

/* In the ledger's section. OK: counted. */
static pn_code attach(pn_ledger *ledger, pn_off object, uint32_t generation) {
    pn_reference *entry = pn_ledger_find(ledger, object);
    if (entry == NULL) {
        pn_code code = pn_ledger_make_room(ledger);
        if (code != PN_OK) return code;
        entry = pn_ledger_insert(ledger, object, generation, 0);
    } else if (atomic_load(&entry->count) == 0) {
        atomic_store(&entry->generation, generation);
    }
    PN_FAULT("object.attach.noted");
    pn_code code = take(object, PN_REF);
    PN_FAULT("object.attach.counted");
    if (code == PN_OK) atomic_fetch_add(&entry->count, 1);
    else if (atomic_load(&entry->count) == 0) pn_ledger_remove(ledger, entry);
    return code;
}

pn_code pn_object_attach(pn_off object, uint32_t generation, pn_kind kind) {
    pn_owner me = pn_self();
    if (me == 0) return PN_NO_SLOT;
    pn_ledger *ledger = pn_ledger_open(me);
    if (ledger == NULL) return PN_NOMEM;
    if (!is_live_handle(object, generation, kind)) return PN_STALE;
    pn_ledger_enter(ledger, me);
    pn_code code = attach(ledger, object, generation);
    pn_ledger_leave(ledger);
    if (PN_LIKELY(code != PN_OK || is_live_handle(object, generation, kind))) return code;
    pn_object_detach(object); /* it went, and another came into its place, in between */
    return PN_STALE;
}

void pn_object_detach(pn_off object) {
    pn_owner me = pn_self();
    pn_ledger *ledger = me != 0 ? pn_ledger_mine(me) : NULL;
    if (ledger == NULL) return;
    pn_ledger_enter(ledger, me);
    pn_reference *entry = pn_ledger_find(ledger, object);
    uint32_t count = entry != NULL ? atomic_load(&entry->count) : 0;
    bool is_counted = (count & PN_REFERENCES) > 0;
    if (is_counted) atomic_store_explicit(&entry->count, count - 1, memory_order_release);
    pn_ledger_leave(ledger);
    if (!is_counted) return;
    PN_FAULT("object.detach.counted");
    pn_object_drop(me, object);
    PN_FAULT("object.detach.dropped");
    if (count == 1) pn_ledger_forget(me, object);
}

void pn_object_detach_cookie(pn_off object, uint32_t cookie) {
    if (cookie == (uint32_t)(pn_self() >> 32)) pn_object_detach(object);
}

pn_code pn_object_pin(pn_off object) { return take(object, PN_PIN); }

/* The last pin becomes a reference first, so that there is one kind of end. */
void pn_object_unpin(pn_off object) {
    pn_owner me = pn_self();
    _Atomic uint64_t *word = &block_at(object)->life;
    uint64_t life = atomic_load(word);
    bool is_last;
    do {
        if (me == 0 || !is_alive(life) || pins_in(life) == 0) return;
        is_last = (life & PN_COUNTS) == PN_PIN;
    } while (!atomic_compare_exchange_weak(word, &life, is_last ? life - PN_PIN + PN_REF : life - PN_PIN));
    if (!is_last) return;
    (void)pn_ledger_note(me, object, atomic_load(&block_at(object)->generation));
    PN_FAULT("object.unpin.last");
    pn_object_drop(me, object);
    pn_ledger_forget(me, object);
}

/* ── buffers ─────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static pn_code create_buffer(uint64_t size, bool is_bare, pn_off *buffer) {
    if (size > UINT64_MAX - sizeof(pn_buffer)) return PN_TOO_BIG;
    pn_code code = create_noted(sizeof(pn_buffer) + size, PN_KIND_BUFFER, is_bare, buffer);
    if (code != PN_OK) return code;
    PN_FAULT("object.buffer.before_owner");
    pn_buffer *header = pn_at(*buffer); /* SAFETY: just made */
    header->size = size;
    atomic_store_explicit(&header->owner, pn_self() >> 32 << 32, memory_order_release);
    return PN_OK;
}

pn_code pn_buffer_create(uint64_t size, pn_off *buffer) { return create_buffer(size, false, buffer); }
pn_code pn_buffer_create_bare(uint64_t size, pn_off *buffer) { return create_buffer(size, true, buffer); }

void pn_buffer_free(pn_off buffer) {
    if (buffer == 0 || pn_self() == 0) return;
    const pn_buffer *header = pn_at(buffer); /* SAFETY: the caller's own buffer, or one that it inherited and the quarantine keeps */
    if (atomic_load(&header->block.kind) == PN_KIND_BUFFER && atomic_load(&header->owner) == pn_self() >> 32 << 32) pn_object_detach(buffer);
}

pn_code pn_buffer_expect(pn_owner me, pn_off buffer, uint32_t generation) { return pn_ledger_count(me, buffer, generation, 1); }

static void change_count(pn_owner me, pn_off buffer, uint32_t change) {
    pn_ledger *ledger = pn_ledger_mine(me);
    if (ledger == NULL) return;
    pn_ledger_enter(ledger, me);
    pn_reference *entry = pn_ledger_find(ledger, buffer);
    if (entry != NULL && atomic_fetch_add(&entry->count, change) + change == 0) pn_ledger_remove(ledger, entry);
    pn_ledger_leave(ledger);
}

/* Once it is put, another thread of ours may get it, or the block in its place, before we come back: their references are not ours to take off. */
void pn_buffer_hand_over(pn_owner me, pn_off buffer) { change_count(me, buffer, PN_HANDING - 1); }
void pn_buffer_handed_over(pn_owner me, pn_off buffer, bool is_put) { change_count(me, buffer, is_put ? 0u - PN_HANDING : 1 - PN_HANDING); }
