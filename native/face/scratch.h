/* scratch.h: bytes to write into for a moment, warm and without malloc: one spare buffer a thread.
 *
 * Promises: take and give are re-entrant (a nested taker gets a fresh buffer), safe over fork, and give the thread's spare back
 * to malloc when the thread ends. Not here: what the bytes mean.  */
#ifndef FACE_SCRATCH_H
#define FACE_SCRATCH_H
#include "../queue.h"

#define SCRATCH_KEEP (1u << 20) /* bytes: a larger buffer is not worth holding for the next message */

/* Never fails: what is taken may be empty, {NULL, 0}; whoever writes grows it. */
pn_scratch scratch_take(void);
void scratch_give(pn_scratch *buffer);
/* At least `wanted` bytes, with the content kept. False: no memory (the buffer is as it was). */
bool scratch_grow(pn_scratch *buffer, uint64_t wanted);
#endif
