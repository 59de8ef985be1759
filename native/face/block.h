/* block.h: Block: a message of several parts in one buffer of the arena, and the views that its receiver has of them.
 *
 *   | pn_buffer | count | start, size of part 0 | start, size of part 1 | … | part 0, 64-aligned | part 1, 64-aligned | …
 * Part 0 is a pickle, the others the large buffers that it names. From BLOCK_LARGE bytes on part 1 begins a page, so that the parts
 * behind the pickle have pages of their own (holding.h). A smaller block is copied out, into memory of the receiver's: that is cheaper.
 * Promises: a part arrives writable, and nobody else's. A large one is not copied: it is where its sender put it.
 * Not here: how queues carry it (queue_put.c, queue_get.c), pickling (fallback_pack, fallback_unpack).  */
#ifndef FACE_BLOCK_H
#define FACE_BLOCK_H
#include "../queue.h"
#include "state.h"

#define BLOCK_LARGE (512ull << 10)   /* bytes: from here on the receiver's fresh pages cost more than a block */
#define BLOCK_ALIGNED ((1ull << 20) - sizeof(pn_buffer)) /* bytes: what the heap aligns to pages; large blocks are made this large at least */

bool block_is(core_state *state, PyObject *obj);
/* The message that carries the block. block_given() once it is in a queue: the block is empty then. */
pn_message block_message(PyObject *block);
void block_given(PyObject *block);
/* Takes over the buffer of a message got. NULL: an exception is set, and the buffer was given back. */
PyObject *block_from_message(core_state *state, pn_message *message);
#endif
