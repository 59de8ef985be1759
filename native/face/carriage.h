/* carriage.h: large messages of a pipe, beside it: through the arena, by a queue that both ends know; the stream carries a notice.
 *
 *   | !i -2 | !Q size | !Q offset | !I generation |    24 bytes: which buffer the queue holds for the reader of this notice
 * A message goes this way if it is large and the queue is *attended*: somebody has received by a connection that knows the queue, and nobody
 * has asked for the connection's descriptor, so nobody else can be reading. Else it goes through the stream, as ever.
 *   allocate   pn_buffer_create, owned by the sender: swept if it dies
 *   send       into the queue, which owns it from then on, whether the sender lives or not; then the notice
 *   receive    out of the queue, owned by the receiver; arrays stay where they are (block.h), bytes are copied out
 *   free       by the receiver, by the sweep if it dies, or with the queue, whose references are those of the connections
 * Promises: order, the end of the stream, poll() and errors are the stream's, since the notice is in it. A sender does not run ahead by more
 * than a few messages, and waits for a longer one to be taken. A buffer whose notice was never written or never acted on (a kill in between) is passed over and freed.
 * Not here: the stream (frames.c), the queue (queue.h), arrays (block.h).  */
#ifndef FACE_CARRIAGE_H
#define FACE_CARRIAGE_H
#include "../queue.h"
#include "state.h"

#define CARRIED_FROM (64u << 10)  /* bytes: shorter ones are as quick through the stream */
#define CARRIED_AHEAD (1u << 20)  /* bytes: who sends more waits until it was taken, as it would for what a pipe cannot hold */
#define NOTICE (-2)
#define NOTICE_BYTES 24

typedef struct pn_notice { uint64_t size, offset; uint32_t generation; } pn_notice;

/* None or a Queue; *queue NULL for None. False: an exception is set. */
bool carriage_parse(core_state *state, PyObject *obj, pn_queue **queue);
/* Would a message of `size` bytes find a reader who looks into the queue? False: an exception is set. */
bool carriage_is_attended(pn_queue *queue, uint64_t size, bool *is_attended);
/* Waits until a message of `size` bytes (0: not known) does not run too far ahead of the reader. *has_room false: the stream's other end is gone; let the stream say so.
 * False: an exception is set. */
bool carriage_wait_room(int fd, pn_queue *queue, uint64_t size, bool *has_room);
/* After the notice of a message of more than CARRIED_AHEAD bytes. *was_taken false: the stream's other end is gone. False: an exception is set. */
bool carriage_wait_taken(int fd, pn_queue *queue, bool *was_taken);
/* Copies (unless `message` has a buffer), and puts it into the queue. Without the GIL. */
pn_code carriage_put(pn_queue *queue, const pn_message *message, pn_notice *notice);
/* What the message of a notice says; its bytes, as they would have come through the stream. NULL: an exception is set. */
PyObject *carriage_object(core_state *state, pn_queue *queue, pn_notice notice);
PyObject *carriage_bytes(core_state *state, pn_queue *queue, pn_notice notice);
PyObject *carriage_unattended(PyObject *module, PyObject *queue);
#endif
