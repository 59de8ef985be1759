/* frames.h: whole messages over a stream, and beside it (frames.c). NULL: an exception is set.  */
#ifndef FACE_FRAMES_H
#define FACE_FRAMES_H
#include "../queue.h"
#include "state.h"

PyObject *frame_send(int fd, pn_queue *beside, const void *bytes, uint64_t size);
PyObject *frame_send_object(core_state *state, int fd, pn_queue *beside, PyObject *obj);
/* most -1: any length. *is_refused: the message is longer, or its length is none; its body is still there. */
PyObject *frame_recv(core_state *state, int fd, pn_queue *beside, int64_t most, bool *is_refused);
PyObject *frame_recv_object(core_state *state, int fd, pn_queue *beside);
#endif
