/* process.c: how a process gets its slot, keeps it over threads, loses it at fork, and leaves.
 *
 * Promises: a kill at any instruction of a registration leaves a slot that can be taken again; after a fork the child has no slot, no
 * cached id, and no lock of this file held; shared words go on naming the parent.
 * Not here: the life word (life.c), the dead (sweep.c).  */
#include "fault.h"
#include "ledger.h"
#include "platform.h"
#include "table.h"

#include <string.h>

#define KEPT_DEAD 64u /* slots used before one is used again: the last deaths can be looked at */
#define GENERATIONS 0xfffffu

__thread pn_owner pn_self_cache;
static _Atomic pn_owner my_identity;   /* slot and generation, tid 0; 0 = no slot */
static pthread_mutex_t registering = PTHREAD_MUTEX_INITIALIZER;
static char my_name[PN_NAME_BYTES];
static uint32_t my_parent;             /* its slot, if we were forked */
static uint64_t my_fork_epoch;

static void after_fork(void) {
    static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
    registering = fresh;
    my_parent = pn_owner_slot(atomic_load(&my_identity));
    my_fork_epoch = pn_base != NULL ? atomic_load(&pn_header()->fork_epoch) : 0;
    atomic_store(&my_identity, 0);
    my_name[0] = '\0';
    pn_self_cache = 0;
}

uint32_t pn_slots_in_use(void) {
    uint32_t high = atomic_load(&pn_table_state()->high);
    return high == 0 ? 1 : high;
}

static uint32_t starting_word(void) { return PN_SLOT_STARTING | pn_process_id() << 8; }

/* Takes `slot`, seen in state `seen`, for us; false: somebody else was quicker, or it is not to be had. */
static bool take(pn_process_slot *slot, uint32_t seen) {
    if (!atomic_compare_exchange_strong(&slot->state, &seen, starting_word())) return false;
    PN_FAULT("process.claim.after_take");
    if (seen != PN_SLOT_DEAD || atomic_load(&slot->swept) == atomic_load(&slot->generation)) return true;
    atomic_store(&slot->state, PN_SLOT_DEAD); /* used and left by another one since we looked: not swept */
    return false;
}

/* A registration that was killed half-way. Ours is the only one of this process (mutex), so our own pid is an old one's. */
static bool is_abandoned(uint32_t seen) {
    uint32_t pid = seen >> 8;
    return PN_SLOT_STATE(seen) == PN_SLOT_STARTING && (pid == pn_process_id() || pn_process_is_gone(pid));
}

/* A slot that was used before: free or abandoned, else (if allowed) the one that has been dead the longest. 0: none. */
static uint32_t take_used(bool dead_too) {
    uint32_t high = pn_slots_in_use(), oldest = 0;
    int64_t died_at = INT64_MAX;
    for (uint32_t index = 1; index < high; index++) {
        pn_process_slot *slot = pn_slot(index);
        uint32_t seen = atomic_load(&slot->state);
        if ((seen == PN_SLOT_FREE || is_abandoned(seen)) && take(slot, seen)) return index;
        if (!dead_too || seen != PN_SLOT_DEAD || atomic_load(&slot->swept) != atomic_load(&slot->generation)) continue;
        if (atomic_load(&slot->died_at) < died_at) {
            oldest = index;
            died_at = atomic_load(&slot->died_at);
        }
    }
    return oldest != 0 && take(pn_slot(oldest), PN_SLOT_DEAD) ? oldest : 0;
}

static uint32_t take_fresh(void) {
    pn_table *table = pn_table_state();
    for (;;) {
        uint32_t seen = atomic_load(&table->high), index = seen == 0 ? 1 : seen;
        if (index >= PN_MAX_PROCESSES) return 0;
        if (pn_memory_reserve(pn_arena_fd, PN_TABLE_OFFSET + (uint64_t)index * 1024, 1024) != PN_OK) return 0;
        if (!atomic_compare_exchange_strong(&table->high, &seen, index + 1)) continue;
        PN_FAULT("process.claim.after_high");
        if (take(pn_slot(index), PN_SLOT_FREE)) return index;
    }
}

static uint32_t claim(void) {
    for (int tries = 0; tries < 64; tries++) { /* each failure means that somebody else got one */
        bool few = pn_slots_in_use() <= KEPT_DEAD;
        uint32_t index = take_used(!few);
        if (index == 0) index = take_fresh();
        if (index == 0) index = take_used(true);
        if (index != 0) return index;
    }
    return 0;
}

static void fill_in(pn_process_slot *slot) {
    uint32_t generation = (atomic_load(&slot->generation) + 1) & GENERATIONS;
    atomic_store(&slot->generation, generation);
    atomic_thread_fence(memory_order_seq_cst); /* before the life mutex is made anew: life.c, is_of() */
    PN_FAULT("process.claim.after_generation");
    atomic_store(&slot->swept, (generation - 1) & GENERATIONS);
    slot->pid = pn_process_id();
    slot->parent_slot = my_parent;
    slot->fork_epoch = my_fork_epoch;
    slot->started_at = pn_clock();
    atomic_store(&slot->died_at, 0);
    atomic_store(&slot->exit_status, INT32_MIN);
    atomic_store(&slot->claim, 0);
    memcpy(slot->name, my_name, sizeof slot->name);
    memset(slot->waits, 0, sizeof slot->waits);
}

static pn_code take_slot(void) {
    pn_code code = pn_arena_open();
    if (code != PN_OK) return code;
    pn_on_fork_child(after_fork);
    pn_life_prepare();
    uint32_t index = claim();
    if (index == 0) return PN_NO_SLOT;
    pn_process_slot *slot = pn_slot(index);
    fill_in(slot);
    code = pn_life_begin(slot);
    PN_FAULT("process.claim.after_life");
    if (code != PN_OK) {
        atomic_store(&slot->state, PN_SLOT_FREE);
        return code;
    }
    atomic_store(&slot->state, PN_SLOT_ALIVE);
    PN_FAULT("process.claim.after_alive");
    pn_owner identity = pn_owner_make(index, atomic_load(&slot->generation), 0);
    atomic_store(&my_identity, identity);
    pn_quarantine_join(identity); /* so that a look at the table tells whether we live, and not one at the system */
    return PN_OK;
}

pn_owner pn_self_slow(void) {
    if (atomic_load(&my_identity) == 0 && pn_process_register() != PN_OK) return 0;
    return pn_self_cache = atomic_load(&my_identity) | pn_thread_id();
}

pn_code pn_process_register(void) {
    if (atomic_load(&my_identity) != 0) return PN_OK;
    (void)pthread_mutex_lock(&registering);
    pn_code code = atomic_load(&my_identity) != 0 ? PN_OK : take_slot();
    (void)pthread_mutex_unlock(&registering);
    /* A new slot, though many were used: the dead ones among them may only want sweeping. */
    if (code == PN_OK && pn_owner_slot(pn_self()) >= KEPT_DEAD) pn_sweep_dead();
    return code;
}


static void copy_name(char *dest, const char *name) {
    size_t n = strlen(name);
    if (n >= PN_NAME_BYTES)
        for (n = PN_NAME_BYTES - 1; n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80;) n--; /* not within a character */
    memcpy(dest, name, n);
    memset(dest + n, 0, PN_NAME_BYTES - n);
}

void pn_process_set_name(const char *name) {
    pn_owner identity = atomic_load(&my_identity);
    copy_name(my_name, name);
    if (identity != 0) copy_name(pn_slot(pn_owner_slot(identity))->name, name);
}

/* Other threads may go on with their old id for a while: it counts as dead. Who asks anew gets a new slot. */
void pn_process_leave(int32_t status) {
    pn_owner identity = atomic_load(&my_identity);
    if (identity == 0) return;
    pn_process_slot *slot = pn_slot(pn_owner_slot(identity));
    (void)pn_self();
    pn_ledger_sweep(pn_owner_slot(identity), pn_owner_gen(identity));
    PN_FAULT("process.leave.after_ledger");
    if (!atomic_compare_exchange_strong(&my_identity, &identity, 0)) return; /* two threads leave at once */
    atomic_store(&slot->exit_status, status);
    atomic_store(&slot->died_at, pn_clock());
    atomic_store(&slot->state, PN_SLOT_DEAD);
    PN_FAULT("process.leave.after_dead");
    pn_life_leave(slot);
    pn_self_cache = 0;
}
