/* filling.h: new buffers with their content: the fewest page faults that a copy can do with.
 *
 * A large block has pages that exist already, from its last use, or none. What has none is written through the descriptor: the kernel makes each page
 * and copies into it, in half of the time that it takes to make it, clear it, and map it at the first touch. But it lets one process at a time do
 * so: while one does, the others have their pages made and mapped. What has pages is mapped, once a process,
 * 64 KiB at a time, and copied into. A bit for each MiB of the arena says whether that was done, for the block that begins there (large blocks
 * have 1 MiB at least). It may be out of date (the pages were given back, others have come): then they are mapped as they are touched.
 * Promises: a buffer that was made holds all of its content, and touching any of it raises no SIGBUS.
 * Not here: receivers, who may look at one page or at none; who may have how many pages (heap.c).  */
#ifndef PN_FILLING_H
#define PN_FILLING_H
#include "heap.h"

typedef struct pn_piece { uint64_t at; const void *from; uint64_t size; } pn_piece; /* `at`: in pn_buffer_bytes() */

/* As pn_buffer_create, with what the pieces say; they are in order of `at`, and less than a page apart. OK, NOMEM, TOO_BIG, NO_SLOT. */
pn_code pn_buffer_create_filled(uint64_t size, const pn_piece *pieces, uint32_t count, pn_off *buffer);
#endif
