/* sweep.c: noticing deaths in the table and clearing up after the dead.
 *
 * One process at a time sweeps (section `sweeping`); if it dies, the next one begins again: every step may be done twice.
 * Not here: what a reference or a block is (ledger.c).  */
#include "fault.h"
#include "ledger.h"
#include "platform.h"
#include "table.h"

#define CERTAINLY_GONE 10000000 /* ns after the kernel's mark: no thread of it runs any more, whatever /proc says (it may have exec'ed) */

void pn_note_death(pn_process_slot *slot) {
    if (atomic_load(&slot->state) != PN_SLOT_ALIVE || pn_life_is_held(pn_life_read(slot))) return;
    int64_t not_yet = 0;
    (void)atomic_compare_exchange_strong(&slot->died_at, &not_yet, pn_clock());
    PN_FAULT("sweep.note.before_state");
    atomic_store(&slot->state, PN_SLOT_DEAD);
}

/* Nothing of that process can still be changing shared memory. */
static bool is_over(pn_process_slot *slot) {
    if (!pn_life_is_marked(pn_life_read(slot))) return false; /* it has left, but still runs */
    return pn_clock() - atomic_load(&slot->died_at) > CERTAINLY_GONE || pn_process_is_gone(slot->pid);
}

static void sweep(uint32_t index) {
    pn_process_slot *slot = pn_slot(index);
    pn_note_death(slot);
    uint32_t generation = atomic_load(&slot->generation);
    if (atomic_load(&slot->state) != PN_SLOT_DEAD || atomic_load(&slot->swept) == generation || !is_over(slot)) return;
    pn_ledger_sweep(index, generation);
    PN_FAULT("sweep.slot.after_ledger");
    for (int row = 0; row < PN_WAIT_ROWS; row++) atomic_store(&slot->waits[row].tid, 0);
    atomic_store(&slot->swept, generation);
}

void pn_sweep_dead(void) {
    pn_owner me = pn_self_cache; /* who has no slot yet is asking for one just now */
    pn_table *table = pn_table_state();
    if (me == 0 || pn_section_try(&table->sweeping, me) == PN_TIMEOUT) return;
    uint32_t high = pn_slots_in_use();
    for (uint32_t index = 1; index < high; index++) sweep(index);
    pn_section_leave(&table->sweeping);
}

/* Only slots of the dead: the number may belong to a new process already. A process that left and came again had two. */
void pn_process_reaped(uint32_t pid, int32_t status) {
    pn_owner me = pn_base != NULL ? pn_self() : 0;
    if (me == 0) return;
    pn_table *table = pn_table_state();
    (void)pn_section_enter(&table->sweeping, me);
    uint32_t high = pn_slots_in_use();
    for (uint32_t index = 1; index < high; index++) {
        pn_process_slot *slot = pn_slot(index);
        pn_slot_state state = PN_SLOT_STATE(atomic_load(&slot->state));
        if (slot->pid != pid || (state != PN_SLOT_ALIVE && state != PN_SLOT_DEAD)) continue;
        if (!pn_life_is_marked(pn_life_read(slot))) continue;
        int32_t unknown = INT32_MIN;
        (void)atomic_compare_exchange_strong(&slot->exit_status, &unknown, status);
        sweep(index);
    }
    pn_section_leave(&table->sweeping);
}
