/* table.h: what process.c, life.c and sweep.c share and nobody else needs. Slot 0, which no process gets, holds the table's own state. */
#ifndef PN_TABLE_H
#define PN_TABLE_H
#include "section.h"

typedef struct pn_table {
    pn_section sweeping;        /* ALIVE -> DEAD and the sweeping of a slot happen in here */
    _Atomic uint32_t high;      /* slots from here on were never used; 0 counts as 1 */
} pn_table;

static inline pn_table *pn_table_state(void) { return (pn_table *)(void *)pn_slot(0); }

/* The life word of a slot:
 *   D | W | tid     meaning
 *   0   0    0      nobody was here yet
 *   0   x  tid      alive
 *   1   x  tid      it has left, but still runs (set by pn_process_leave)
 *   1   x    0      dead: set by the kernel  */
#define PN_LIFE_DIED 0x40000000u
#define PN_LIFE_TID 0x3fffffffu
static inline bool pn_life_is_held(uint32_t life) { return (life & PN_LIFE_DIED) == 0 && (life & PN_LIFE_TID) != 0; }
static inline bool pn_life_is_marked(uint32_t life) { return (life & PN_LIFE_TID) == 0; }

void pn_life_prepare(void);                     /* finds the word; before the first use of a slot; idempotent */
_Atomic uint32_t *pn_life_at(pn_process_slot *slot); /* NULL: not to be found on this system */
uint32_t pn_life_read(pn_process_slot *slot);   /* also where the word is not to be found */
pn_code pn_life_begin(pn_process_slot *slot);   /* makes the mutex anew and has it locked by a thread that lives as long as the process */
void pn_life_leave(pn_process_slot *slot);      /* from now on it counts as dead; wakes all who sleep on it */
/* Sections `sweeping` only: ALIVE and marked -> DEAD. */
void pn_note_death(pn_process_slot *slot);
#endif
