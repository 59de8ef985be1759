/* holding.h: buffers of this process that something looks into, for as long as it likes: a fork makes their pages private.
 *
 * A forked child inherits what looks into our buffers, and the arena is shared: each would see the other write. So, right before a fork
 * (pthread_atfork: any fork), the whole pages of every held buffer are mapped anew, copy on write, as all other memory of a process is.
 * Parent and child both go on with what was there; the pages below stay as they were. They are mapped shared again when the buffer is
 * given back, and the quarantine keeps it from being used again while the child lives (heap.h).
 * Promises: what was received is this process's own, also after a fork. Without forks it costs nothing.
 * Not here: who looks into it (face/block_type.c).  */
#ifndef PN_HOLDING_H
#define PN_HOLDING_H
#include "heap.h"

typedef struct pn_holding {
    struct pn_holding *next, **link;
    pn_off buffer;
    pn_off from, to;     /* the whole pages with what is looked at; from == to: none, nothing is made private */
    bool is_private;
} pn_holding;

/* `buffer` belongs to this process. `holding` stays where it is until pn_holding_end, which gives the buffer back. */
void pn_holding_begin(pn_holding *holding, pn_off buffer, pn_off from, pn_off to);
void pn_holding_end(pn_holding *holding);
#endif
