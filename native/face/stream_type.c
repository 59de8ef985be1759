/* stream_type.c: Stream, the base of connections: sends and receives messages (frames.c) by a descriptor that its subclass keeps; the
 * same as functions of any descriptor.
 *
 * Its methods are native since a Python function round each call cost as much as a short message itself, 0.2 us.  */
#include "carriage.h"
#include "face.h"
#include "frames.h"

#include <limits.h>

static bool parse_fd(PyObject *obj, int *fd) {
    long number = PyLong_AsLong(obj);
    if (number == -1 && PyErr_Occurred()) return false;
    if (number < 0 || number > INT_MAX) {
        PyErr_Format(PyExc_ValueError, "%ld is not a file descriptor", number);
        return false;
    }
    *fd = (int)number;
    return true;
}

static bool parse(PyObject *module, const char *name, PyObject *const *args, Py_ssize_t n, Py_ssize_t least, int *fd, pn_queue **beside) {
    *beside = NULL;
    if (n != least && n != least + 1) return PyErr_Format(PyExc_TypeError, "%s() takes %zd or %zd arguments, not %zd", name, least, least + 1, n), false;
    return parse_fd(args[0], fd) && (n == least || carriage_parse(state_of(module), args[least], beside));
}

static PyObject *send_buffer(int fd, pn_queue *beside, PyObject *obj) {
    Py_buffer data;
    if (PyObject_GetBuffer(obj, &data, PyBUF_SIMPLE) < 0) return NULL;
    PyObject *result = frame_send(fd, beside, data.buf, (uint64_t)data.len);
    PyBuffer_Release(&data);
    return result;
}

/* ── functions ── */
static PyObject *send_frame(PyObject *module, PyObject *const *args, Py_ssize_t n) {
    int fd;
    pn_queue *beside;
    return parse(module, "send_frame", args, n, 2, &fd, &beside) ? send_buffer(fd, beside, args[1]) : NULL;
}

static PyObject *recv_frame(PyObject *module, PyObject *const *args, Py_ssize_t n) {
    int fd;
    pn_queue *beside;
    if (!parse(module, "recv_frame", args, n, 2, &fd, &beside)) return NULL;
    bool is_refused;
    int64_t most = PyLong_AsLongLong(args[1]);
    return most == -1 && PyErr_Occurred() ? NULL : frame_recv(state_of(module), fd, beside, most, &is_refused);
}

static PyObject *send_object(PyObject *module, PyObject *const *args, Py_ssize_t n) {
    int fd;
    pn_queue *beside;
    return parse(module, "send_object", args, n, 2, &fd, &beside) ? frame_send_object(state_of(module), fd, beside, args[1]) : NULL;
}

static PyObject *recv_object(PyObject *module, PyObject *const *args, Py_ssize_t n) {
    int fd;
    pn_queue *beside;
    return parse(module, "recv_object", args, n, 1, &fd, &beside) ? frame_recv_object(state_of(module), fd, beside) : NULL;
}

PyMethodDef frame_functions[] = {
    {"send_frame", FAST(send_frame), METH_FASTCALL, "send_frame(fd, data, beside=None, /)\n--\n\nWrite a message with its length."},
    {"recv_frame", FAST(recv_frame), METH_FASTCALL,
     "recv_frame(fd, maxlength, beside=None, /)\n--\n\nThe next message. EOFError at a clean end; OSError in mid-message, or if it is longer than maxlength (-1: any)."},
    {"send_object", FAST(send_object), METH_FASTCALL, "send_object(fd, obj, beside=None, /)\n--\n\nWrite the message that says obj."},
    {"recv_object", FAST(recv_object), METH_FASTCALL, "recv_object(fd, beside=None, /)\n--\n\nThe object that the next message says."},
    {"unattended", carriage_unattended, METH_O, "unattended(beside, /)\n--\n\nFrom now on all goes through the stream: others may read it, too."},
    {NULL, NULL, 0, NULL},
};

/* ── the type ── */
typedef struct stream {
    PyObject_HEAD
    core_state *state;
    PyObject *handle;                 /* the descriptor; NULL or None: closed */
    PyObject *beside_in, *beside_out; /* a Queue; NULL or None: all goes through the stream */
    char is_readable, is_writable;
} stream;
#define SELF(op) ((stream *)(void *)(op))

/* What one call uses; another thread may close the connection, or replace its queues, meanwhile. */
typedef struct use {
    int fd;
    pn_queue *beside;
    PyObject *kept; /* the queue's wrapper */
} use;

static bool begin_use(stream *self, bool is_able, const char *refusal, PyObject *beside, use *u) {
    *u = (use){0};
    if (self->handle == NULL || self->handle == Py_None) return PyErr_SetString(PyExc_OSError, "handle is closed"), false;
    if (!is_able) return PyErr_SetString(PyExc_OSError, refusal), false;
    if (!parse_fd(self->handle, &u->fd) || (beside != NULL && !carriage_parse(self->state, beside, &u->beside))) return false;
    u->kept = Py_XNewRef(beside);
    return true;
}

static bool begin_send(stream *self, use *u) { return begin_use(self, self->is_writable, "connection is read-only", self->beside_out, u); }
static bool begin_recv(stream *self, use *u) { return begin_use(self, self->is_readable, "connection is write-only", self->beside_in, u); }

static PyObject *end_use(use *u, PyObject *result) {
    Py_XDECREF(u->kept);
    return result;
}

static PyObject *stream_send(PyObject *op, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    static const char *const known[] = {"obj"};
    PyObject *obj;
    use u;
    if (PN_LIKELY(n == 1 && names == NULL)) obj = args[0];
    else if (!parse_named("send", known, 1, 1, args, n, names, &obj)) return NULL;
    return begin_send(SELF(op), &u) ? end_use(&u, frame_send_object(SELF(op)->state, u.fd, u.beside, obj)) : NULL;
}

static PyObject *stream_recv(PyObject *op, PyObject *unused) {
    (void)unused;
    use u;
    return begin_recv(SELF(op), &u) ? end_use(&u, frame_recv_object(SELF(op)->state, u.fd, u.beside)) : NULL;
}

/* An index of any size; what is out of all range becomes the nearest that fits. */
static bool parse_index(PyObject *obj, Py_ssize_t *index) {
    *index = PyNumber_AsSsize_t(obj, NULL);
    return *index != -1 || !PyErr_Occurred();
}

/* Which bytes of a buffer are meant: `size` (NULL or None: all) from `offset` (NULL: 0) on. */
static bool choose(Py_buffer *data, PyObject *from, PyObject *count) {
    Py_ssize_t offset = 0, size;
    if (from != NULL && !parse_index(from, &offset)) return false;
    if (offset < 0) return PyErr_Format(PyExc_ValueError, "offset is negative: %zd", offset), false;
    if (data->len < offset) return PyErr_Format(PyExc_ValueError, "buffer length < offset: %zd < %zd", data->len, offset), false;
    size = data->len - offset;
    if (count != NULL && count != Py_None && !parse_index(count, &size)) return false;
    if (size < 0) return PyErr_Format(PyExc_ValueError, "size is negative: %zd", size), false;
    if (size > data->len - offset)
        return PyErr_Format(PyExc_ValueError, "buffer length < offset + size: %zd < %zd + %zd", data->len, offset, size), false;
    data->buf = (char *)data->buf + offset;
    data->len = size;
    return true;
}

static PyObject *send_chosen(const use *u, PyObject *const *given) {
    Py_buffer data;
    if (PyObject_GetBuffer(given[0], &data, PyBUF_SIMPLE) < 0) return NULL;
    Py_buffer part = data;
    PyObject *result = choose(&part, given[1], given[2]) ? frame_send(u->fd, u->beside, part.buf, (uint64_t)part.len) : NULL;
    PyBuffer_Release(&data);
    return result;
}

static PyObject *stream_send_bytes(PyObject *op, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    static const char *const known[] = {"buf", "offset", "size"};
    PyObject *given[3] = {NULL};
    use u;
    if (PN_LIKELY(n == 1 && names == NULL)) given[0] = args[0];
    else if (!parse_named("send_bytes", known, 3, 1, args, n, names, given)) return NULL;
    return begin_send(SELF(op), &u) ? end_use(&u, send_chosen(&u, given)) : NULL;
}

/* Any number that is not negative, infinity too: people write what is easiest. */
static bool parse_most(PyObject *obj, int64_t *most) {
    *most = -1;
    if (obj == NULL || obj == Py_None) return true;
    if (PyIndex_Check(obj)) {
        Py_ssize_t given;
        if (!parse_index(obj, &given)) return false;
        *most = given < 0 ? -1 : given;
    } else {
        double given = PyFloat_AsDouble(obj);
        if (given == -1.0 && PyErr_Occurred()) return false;
        if (given >= 0) *most = given < (double)PY_SSIZE_T_MAX ? (int64_t)given : PY_SSIZE_T_MAX; /* not: NaN */
    }
    if (*most < 0) return PyErr_Format(PyExc_ValueError, "maxlength cannot be negative, and is %R", obj), false;
    return true;
}

/* A message that is too long is still there: nothing behind it can be read. */
static void stop_reading(PyObject *op) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *done = PyObject_CallMethod(op, "_stop_reading", NULL);
    if (done == NULL) return Py_XDECREF(type), Py_XDECREF(value), Py_XDECREF(traceback);
    Py_DECREF(done);
    PyErr_Restore(type, value, traceback);
}

static PyObject *stream_recv_bytes(PyObject *op, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    static const char *const known[] = {"maxlength"};
    PyObject *given = NULL;
    int64_t most = -1;
    use u;
    if ((n != 0 || names != NULL) && !parse_named("recv_bytes", known, 1, 0, args, n, names, &given)) return NULL;
    if (!begin_recv(SELF(op), &u)) return NULL;
    if (given != NULL && !parse_most(given, &most)) return end_use(&u, NULL);
    bool is_too_long = false;
    PyObject *bytes = frame_recv(SELF(op)->state, u.fd, u.beside, most, &is_too_long);
    if (is_too_long && most >= 0) stop_reading(op);
    return end_use(&u, bytes);
}

static PyObject *stream_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)args, (void)kwargs; /* the subclass's */
    core_state *state = state_of_type(type);
    PyObject *op = state == NULL ? NULL : ((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (op != NULL) SELF(op)->state = state;
    return op;
}

static int stream_traverse(PyObject *op, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(SELF(op)->handle);
    Py_VISIT(SELF(op)->beside_in);
    Py_VISIT(SELF(op)->beside_out);
    return 0;
}

static int stream_clear(PyObject *op) {
    Py_CLEAR(SELF(op)->handle);
    Py_CLEAR(SELF(op)->beside_in);
    Py_CLEAR(SELF(op)->beside_out);
    return 0;
}

void stream_dealloc(PyObject *op) {
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    stream_clear(op);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
    Py_DECREF(type);
}

static PyMethodDef stream_methods[] = {
    {"send", FAST(stream_send), FAST_FLAGS, "send($self, /, obj)\n--\n\nSend an object; what cannot be pickled raises here, and nothing is sent."},
    {"recv", stream_recv, METH_NOARGS, "recv($self, /)\n--\n\nReceive an object. EOFError if nothing is left and the other end is closed."},
    {"send_bytes", FAST(stream_send_bytes), FAST_FLAGS,
     "send_bytes($self, /, buf, offset=0, size=None)\n--\n\n"
     "Send `size` bytes (None: all) of a contiguous buffer from byte `offset` on, as one message.\n\nValueError if they do not lie within the buffer."},
    {"recv_bytes", FAST(stream_recv_bytes), FAST_FLAGS,
     "recv_bytes($self, /, maxlength=None)\n--\n\nReceive a message. EOFError if nothing is left and the other end is closed.\n\n"
     "If the message is longer than `maxlength` bytes: OSError, and the connection can no longer be read. ValueError if it is negative."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef stream_members[] = {
    {"_handle", T_OBJECT, offsetof(stream, handle), 0, "The open descriptor; None: closed."},
    {"_beside_in", T_OBJECT, offsetof(stream, beside_in), 0, "What large messages come through; None: the stream."},
    {"_beside_out", T_OBJECT, offsetof(stream, beside_out), 0, "What large messages go through; None: the stream."},
    {"_readable", T_BOOL, offsetof(stream, is_readable), 0, "Can it receive?"},
    {"_writable", T_BOOL, offsetof(stream, is_writable), 0, "Can it send?"},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot stream_slots[] = {
    {Py_tp_doc, (void *)"The base of connections: messages by a descriptor, which the subclass opens and closes."},
    {Py_tp_new, (void *)stream_new},
    {Py_tp_dealloc, (void *)stream_dealloc},
    {Py_tp_traverse, (void *)stream_traverse},
    {Py_tp_clear, (void *)stream_clear},
    {Py_tp_methods, stream_methods},
    {Py_tp_members, stream_members},
    {0, NULL},
};

static PyType_Spec stream_spec = {
    "procession._native._core.Stream", sizeof(stream), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, stream_slots};

bool add_stream_type(PyObject *module, core_state *state) { return (state->stream_type = add_type(module, &stream_spec, NULL)) != NULL; }
