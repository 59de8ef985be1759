/* codec.h: messages: a subset of pickle protocol 5 for exact builtin types, written and read here; the rest by `fallback_*`.
 *
 * Promises: whatever is written reads the same by pickle.loads. Only what survives the trip unchanged is written here: exact
 * None, bool, int (64 bits), float, str, bytes, tuple, list, dict, set, frozenset. A list, dict or set that could be shared or cyclic, a subclass, anything
 * deeper than CODEC_DEPTH goes, as a whole message, to the fallback. Reading runs no code of anybody's, never reads out of bounds, and hands what
 * it does not know, whole and untouched, to the fallback.
 * Not here: where messages go (queue_type.c, frames.c).  */
#ifndef FACE_CODEC_H
#define FACE_CODEC_H
#include "scratch.h"
#include "state.h"

#define CODEC_DEPTH 60

typedef enum codec_result { CODEC_OK = 0, CODEC_CANNOT, CODEC_ERROR } codec_result; /* ERROR: an exception is set */

/* A message ready to go: bytes in `scratch` (its own, or the caller's), or in a buffer that the fallback made. */
typedef struct codec_message {
    const void *bytes;
    uint64_t size;
    pn_scratch scratch;
    Py_buffer fallback; /* .obj NULL: not used */
    PyObject *block;    /* what the bytes lie in, if it is a Block (block.h) */
} codec_message;

/* Appends obj to buffer at *used. CANNOT leaves *used as it was. */
codec_result codec_write(PyObject *obj, pn_scratch *buffer, uint64_t *used);
/* Appends the tuple (numbers…, obj). As there is nothing else in it that obj could share, obj may be referred to by anybody, as a root may.
 * Numbers are at most INT64_MAX. */
codec_result codec_write_numbered(const uint64_t *numbers, unsigned count, PyObject *obj, pn_scratch *buffer, uint64_t *used);
/* By the codec alone; CANNOT: codec_encode_rest() can. */
codec_result codec_encode_plain(PyObject *obj, codec_message *message);
/* By the fallback, which may make a Block if the message is `shared`. False: an exception is set. */
bool codec_encode_rest(core_state *state, PyObject *obj, codec_message *message, bool shared);
/* The whole way, with fallback. False: an exception is set. Otherwise codec_done() once the bytes have gone. */
bool codec_encode(core_state *state, PyObject *obj, codec_message *message);
/* The same for a queue, whose fallback may make a Block. */
bool codec_encode_shared(core_state *state, PyObject *obj, codec_message *message);
void codec_done(codec_message *message);
/* The fallback alone. False: an exception is set. */
bool codec_fallback_dumps(core_state *state, PyObject *obj, Py_buffer *bytes);
/* What fallback_pack makes of it: a Block, or something with bytes. NULL: an exception is set. */
PyObject *codec_fallback_pack(core_state *state, PyObject *obj);

/* The object, or NULL: CODEC_CANNOT or CODEC_ERROR in *result. */
PyObject *codec_read(core_state *state, const uint8_t *bytes, uint64_t size, codec_result *result);
/* The whole way, with fallback. NULL: an exception is set. *escaped (may be NULL): somebody still looks at the bytes: do not reuse them. */
PyObject *codec_decode(core_state *state, const void *bytes, uint64_t size, bool *escaped);
#endif
