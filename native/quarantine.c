/* quarantine.c: objects that forked descendants may still use without having counted it.
 *
 * A fork copies wrappers that the child never counts. The program's fork_epoch goes up at every fork; an object keeps the epoch at
 * which it was made (birth), a forked process the epoch of its own fork (epoch) and that of its first forked ancestor (root):
 *   a process can have inherited an object made at b and given up by all who counted it at f   only if   epoch > b and root <= f
 * While such a process lives, the object stays, with one reference that belongs to the quarantine; it works meanwhile.
 *
 * A lineage row exists from before the fork until the process is found dead. Until the child has a process slot its pid stands for it.
 * Rule: epoch is stored last and cleared by CAS; rows are chosen in the section. A kill in between leaves no row, and no fork either.
 * Promises: an inherited wrapper is never left with a block that became something else. Not here: counting (object.c).  */
#include "ledger.h"

#include "fault.h"
#include "platform.h"

#define PN_LINEAGES 1024u
#define PN_BIRTH_PATIENCE 10000000000ll /* ns: a child writes its pid at once; a row without one by then is a fork that failed */
#define PN_PATIENCE_OBJECTS 256         /* a review costs some 20 ns an object: at most half of them in vain */
#define PN_PATIENCE_BYTES (16ull << 20)

typedef struct pn_lineage {
    _Atomic uint64_t epoch;     /* 0 = free row */
    uint64_t root;
    int64_t since;
    _Atomic uint32_t pid;
    _Atomic uint32_t process;   /* high half of its owner id, once it has one */
} pn_lineage;

typedef struct pn_quarantine {
    pn_ledger ledger;               /* count of an entry: when it was given up, as a birth rounded up, + 1 */
    _Atomic uint64_t youngest;      /* no living forked process is younger */
    _Atomic uint64_t unknown;       /* the youngest fork that found no row: what is older stays for ever */
    _Atomic uint32_t rows_used;
    uint32_t additions;             /* since the last review; and their bytes */
    uint64_t bytes;
    pn_lineage rows[PN_LINEAGES];
} pn_quarantine;
_Static_assert(PN_QUARANTINE_STATE + sizeof(pn_quarantine) <= PN_TABLE_OFFSET, "the quarantine ends before the process table");

static __thread uint32_t forking; /* row + 1 of the fork that this thread is about to do, or has just done */
static struct { uint32_t row; uint64_t epoch, root; } self; /* of this process, if it was forked; row + 1 */

static pn_quarantine *state(void) { return (pn_quarantine *)(void *)(pn_base + PN_QUARANTINE_STATE); }

/* ── epochs in 24 bits: mantissa:20 | exponent:4; exact for a million forks; after 34 billion everything counts as old ────────
 * A birth that is rounded down makes the object seem older than processes that cannot have inherited it: it stays as long as they live. */
#define PN_EXACT (1ull << 20)


static uint32_t pack(uint64_t epoch, bool up) {
    uint32_t exponent = 0;
    for (; epoch >= PN_EXACT && exponent < 15; exponent++) epoch = up ? (epoch + 1) / 2 : epoch / 2;
    return epoch >= PN_EXACT ? 0xffffff : (uint32_t)epoch | exponent << 20;
}
static uint64_t unpack(uint32_t packed) { return (packed & (PN_EXACT - 1)) << (packed >> 20); }

uint32_t pn_quarantine_birth(void) { return pack(atomic_load_explicit(&pn_header()->fork_epoch, memory_order_relaxed), false); }

/* ── lineages ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool is_living(const pn_lineage *row) {
    uint32_t process = atomic_load(&row->process), pid = atomic_load(&row->pid);
    if (process != 0) return pn_owner_is_alive((pn_owner)process << 32);
    if (pid != 0) return !pn_process_is_gone(pid);
    return pn_clock() - row->since < PN_BIRTH_PATIENCE;
}

/* The epoch of a living process, else 0; frees the row of a dead one. */
static uint64_t living_epoch(pn_lineage *row) {
    uint64_t epoch = atomic_load(&row->epoch);
    if (epoch == 0 || is_living(row)) return epoch;
    (void)atomic_compare_exchange_strong(&row->epoch, &epoch, 0);
    return 0;
}

/* May a living process have inherited what was made at `birth` and given up at `end`? */
static bool may_be_inherited(uint64_t birth, uint64_t end) {
    pn_quarantine *quarantine = state();
    uint64_t bound = atomic_load(&quarantine->youngest), youngest = 0;
    if (PN_LIKELY(bound <= birth)) return false;
    if (atomic_load(&quarantine->unknown) > birth) return true;
    uint32_t used = atomic_load(&quarantine->rows_used);
    for (uint32_t i = 0; i < used; i++) {
        uint64_t epoch = living_epoch(&quarantine->rows[i]);
        if (epoch > birth && quarantine->rows[i].root <= end) return true;
        if (epoch > youngest) youngest = epoch;
    }
    (void)atomic_compare_exchange_strong(&quarantine->youngest, &bound, youngest);
    return false;
}

bool pn_quarantine_needed(uint32_t birth) { return may_be_inherited(unpack(birth), UINT64_MAX); }

/* In the section: a free row's number + 1; 0: there is none. */
static uint32_t free_row(pn_quarantine *quarantine) {
    uint32_t used = atomic_load(&quarantine->rows_used);
    for (uint32_t i = 0; i < used; i++)
        if (living_epoch(&quarantine->rows[i]) == 0) return i + 1;
    if (used == PN_LINEAGES) return 0;
    atomic_store(&quarantine->rows_used, used + 1);
    return used + 1;
}

static void raise_to(_Atomic uint64_t *word, uint64_t value) {
    uint64_t old = atomic_load(word);
    while (old < value && !atomic_compare_exchange_weak(word, &old, value)) continue;
}

static void write_row(pn_quarantine *quarantine, uint64_t epoch) {
    uint32_t number = forking != 0 ? forking : free_row(quarantine);
    if (number == 0) {
        raise_to(&quarantine->unknown, epoch);
        raise_to(&quarantine->youngest, epoch);
        return;
    }
    pn_lineage *row = &quarantine->rows[number - 1];
    row->root = self.root != 0 ? self.root : epoch;
    row->since = pn_clock();
    atomic_store(&row->pid, 0);
    atomic_store(&row->process, 0);
    atomic_store(&row->epoch, epoch);
    raise_to(&quarantine->youngest, epoch); /* after the row: who lowers it has read it before, or has seen the row */
    forking = number;
}

/* Called twice for one fork (by hand and by the fork itself), it only makes the child younger. */
void pn_before_fork(void) {
    pn_owner me = pn_base != NULL ? pn_self() : 0;
    if (me == 0) return;
    pn_quarantine *quarantine = state();
    pn_ledger_enter(&quarantine->ledger, me);
    write_row(quarantine, atomic_fetch_add(&pn_header()->fork_epoch, 1) + 1);
    pn_ledger_leave(&quarantine->ledger);
}

static __thread uint32_t last_row;

static void after_fork_in_parent(void) {
    last_row = forking;
    forking = 0;
}

void pn_after_fork(uint32_t child_pid) {
    uint32_t number = forking != 0 ? forking : last_row;
    forking = last_row = 0;
    if (pn_base == NULL || number == 0) return;
    pn_lineage *row = &state()->rows[number - 1];
    uint32_t nobody = 0;
    if (child_pid != 0) (void)atomic_compare_exchange_strong(&row->pid, &nobody, child_pid);
    else if (atomic_load(&row->pid) == 0) atomic_store(&row->epoch, 0);
}

static void after_fork_in_child(void) {
    if (pn_base == NULL) return;
    self.row = forking;
    self.epoch = atomic_load(&pn_header()->fork_epoch);
    if (self.root == 0) self.root = forking != 0 ? state()->rows[forking - 1].root : 1;
    if (forking != 0) {
        self.epoch = atomic_load(&state()->rows[forking - 1].epoch);
        atomic_store(&state()->rows[forking - 1].pid, pn_process_id());
    }
    forking = last_row = 0;
}

static void watch_forks(void) { (void)pthread_atfork(pn_before_fork, after_fork_in_parent, after_fork_in_child); }

void pn_quarantine_join(pn_owner me) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, watch_forks);
    if (self.row == 0) return;
    pn_lineage *row = &state()->rows[self.row - 1];
    if (atomic_load(&row->epoch) == self.epoch) atomic_store(&row->process, (uint32_t)(me >> 32));
}

/* ── objects ─────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static uint32_t now_as_end(void) { return pack(atomic_load(&pn_header()->fork_epoch), true) + 1; }

/* Most deaths lead to a review; those of processes without a slot do not. So that what they kept does not pile up: */
static bool count_addition(pn_quarantine *quarantine, uint64_t bytes) {
    quarantine->bytes += bytes;
    return ++quarantine->additions >= PN_PATIENCE_OBJECTS ? quarantine->additions > quarantine->ledger.live / 2 : quarantine->bytes >= PN_PATIENCE_BYTES;
}

bool pn_quarantine_add(pn_owner me, pn_off object, uint32_t generation) {
    pn_quarantine *quarantine = state();
    pn_block *block = pn_at(object); /* SAFETY: the caller holds a reference */
    pn_ledger_enter(&quarantine->ledger, me);
    pn_reference *entry = pn_ledger_find(&quarantine->ledger, object);
    bool added = false;
    if (entry != NULL) { /* left by a kill between taking an entry out and forgetting it: it counts for nothing any more */
        pn_ledger_remove(&quarantine->ledger, entry);
    }
    if (pn_ledger_make_room(&quarantine->ledger) == PN_OK) {
        (void)__atomic_fetch_or(&block->flags, PN_FLAG_QUARANTINED, __ATOMIC_RELAXED);
        (void)pn_ledger_insert(&quarantine->ledger, object, generation, now_as_end());
        added = true;
    }
    bool is_review_due = count_addition(quarantine, pn_block_bytes(block));
    pn_ledger_leave(&quarantine->ledger);
    if (is_review_due) pn_quarantine_review(me);
    return added;
}

void pn_quarantine_touch(pn_owner me, pn_off object) {
    pn_quarantine *quarantine = state();
    pn_ledger_enter(&quarantine->ledger, me);
    pn_reference *entry = pn_ledger_find(&quarantine->ledger, object);
    if (entry != NULL) atomic_store(&entry->count, now_as_end());
    pn_ledger_leave(&quarantine->ledger);
}

/* In the section: the next entry, from *from on, that nobody can have inherited; entries of what is gone already are removed on the way. */
static pn_reference *next_released(pn_quarantine *quarantine, uint32_t *from) {
    uint32_t capacity;
    pn_reference *entries = pn_ledger_entries(&quarantine->ledger, &capacity);
    for (; *from < capacity; ++*from) {
        pn_reference *entry = &entries[*from];
        pn_off object = atomic_load_explicit(&entry->object, memory_order_relaxed);
        if (object <= PN_REFERENCE_GONE) continue;
        const pn_block *block = pn_at(object); /* SAFETY: the quarantine holds a reference to it, or somebody died while taking it out */
        bool is_there = atomic_load(&block->generation) == atomic_load(&entry->generation) && pn_object_is_alive(object);
        if (!is_there) pn_ledger_remove(&quarantine->ledger, entry);
        else if (!may_be_inherited(unpack(pn_object_birth(object)), unpack(atomic_load(&entry->count) - 1))) return entry;
    }
    return NULL;
}

/* In the section. Our ledger knows it before it is ours, and it is ours before the quarantine forgets it: a kill loses nothing. Only if
 * somebody has attached to it meanwhile, a plain reference changes hands, and a kill leaks it. */
static bool take_out(pn_owner me, pn_quarantine *quarantine, pn_reference *entry) {
    pn_off object = atomic_load(&entry->object);
    (void)pn_ledger_note(me, object, atomic_load(&entry->generation));
    PN_FAULT("quarantine.review.noted");
    bool is_claimed = pn_object_claim(me, object);
    PN_FAULT("quarantine.review.claimed");
    (void)__atomic_fetch_and(&((pn_block *)pn_at(object))->flags, (uint8_t)~PN_FLAG_QUARANTINED, __ATOMIC_RELAXED);
    pn_ledger_remove(&quarantine->ledger, entry);
    return is_claimed;
}

/* One object a visit: a destruction may take long, and enters other sections. */
void pn_quarantine_review(pn_owner me) {
    pn_quarantine *quarantine = state();
    if (atomic_load(&quarantine->ledger.tables[0]) == 0 && atomic_load(&quarantine->ledger.tables[1]) == 0) return;
    uint32_t from = 0;
    for (pn_off object = 1; object != 0;) {
        bool is_claimed = false;
        pn_ledger_enter(&quarantine->ledger, me);
        quarantine->additions = 0;
        quarantine->bytes = 0;
        pn_reference *entry = next_released(quarantine, &from);
        object = entry != NULL ? atomic_load(&entry->object) : 0;
        if (entry != NULL) is_claimed = take_out(me, quarantine, entry);
        pn_ledger_leave(&quarantine->ledger);
        PN_FAULT("quarantine.review.taken_out");
        if (object != 0 && is_claimed) pn_object_destroy(object);
        if (object != 0 && !is_claimed) pn_object_drop(me, object);
        if (object != 0) pn_ledger_forget(me, object);
    }
}
