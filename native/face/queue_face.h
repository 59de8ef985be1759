/* queue_face.h: what the files of Queue share. */
#ifndef FACE_QUEUE_FACE_H
#define FACE_QUEUE_FACE_H
#include "../queue.h"
#include "codec.h"
#include "face.h"

#define QUEUE(self) SHARED(pn_queue, self)
#define GIL_BYTES (64u << 10) /* copying more than this takes longer than handing the GIL over */

PyObject *queue_put(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names);
PyObject *queue_put_plain(PyObject *self, PyObject *obj);
PyObject *queue_put_call(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *queue_put_calls(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *queue_answer(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *queue_put_many(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names);
PyObject *queue_put_bytes(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names);

PyObject *queue_get(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names);
PyObject *queue_get_many(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names);
PyObject *queue_get_bytes(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names);
PyObject *queue_get_claimed(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names);

/* The object of a message with the tag PN_TAG_PARTS, whose buffer it takes over. NULL: an exception is set. */
PyObject *queue_unpack(core_state *state, pn_message *message);
/* Sets an attribute of the exception that is set. */
void attach_to_error(const char *attribute, PyObject *value);
bool add_undecodable_type(PyObject *module, core_state *state);
PyObject *undecodable_from_error(core_state *state);   /* takes the exception that is set; NULL: it is not one to be kept, and still set */

/* Row `row` of a Table, as what the core stores claims in. NULL: an exception is set. */
pn_claim *table_claim(core_state *state, PyObject *table, PyObject *row);
#endif
