/* frames.c: messages over a stream: a length, then the bytes, as the standard library's connections write them.
 *
 *   | !i length | bytes |        or, from 2 GiB on,        | !i -1 | !Q length | bytes |
 * Large messages of our own pipes go beside the stream, which then carries a notice (carriage.h): the last argument of each function.
 * Exactly one message is read, never a byte beyond it: the stream may be shared with other readers. Each message begins with one
 * system call that holds header and bytes. The GIL is dropped round all of them; after a signal it goes on where it was.
 *
 * System calls are the whole cost. A short message is copied behind its header: one write() is 0.15 us cheaper than a writev() of two parts.
 * On a socket the length is looked at (MSG_PEEK), and header and body are then taken at once: as quick as two reads when all is there, and
 * quicker when it waits. send() and recv() are there 0.06 us cheaper than write() and read().  */
#include "block.h"
#include "carriage.h"
#include "codec.h"
#include "face.h"
#include "frames.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define SHORT_HEADER 4
#define LONG_HEADER 12
#define SHORT_MESSAGE 4096  /* bytes: copying more is dearer than a second part */
#define TRUST 1048576u  /* bytes: a longer message gets its memory as it arrives, since anybody can write a large number */

typedef enum io_result { IO_DONE, IO_SIGNAL, IO_END, IO_NOMEM, IO_BAD_LENGTH, IO_ERROR } io_result;

/* After a system call failed: wait if the descriptor does not block. IO_DONE: try again. */
static io_result after_failure(int fd, short events) {
    if (errno == EINTR) return IO_SIGNAL;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return IO_ERROR;
    struct pollfd waited = {.fd = fd, .events = events};
    if (poll(&waited, 1, -1) >= 0) return IO_DONE;
    return errno == EINTR ? IO_SIGNAL : IO_ERROR;
}

/* What was no socket the last time, by descriptor: a hint, for descriptors are used again; wrong, it costs one system call. */
static _Atomic uint8_t no_socket[1024];

static _Atomic uint8_t *no_socket_hint(int fd) { return &no_socket[(unsigned)fd % sizeof no_socket]; }

/* ── sending ── */
typedef struct outgoing {
    int fd;
    uint8_t header[LONG_HEADER];
    struct iovec parts[2], *next;
    int left;
    uint8_t whole[SHORT_HEADER + SHORT_MESSAGE]; /* a short message with its header */
} outgoing;

static void store_be(uint8_t *to, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) to[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
}

static void prepare(outgoing *out, int fd, const void *bytes, uint64_t size) {
    bool is_long = size > INT32_MAX;
    store_be(out->header, is_long ? UINT32_MAX : size, SHORT_HEADER);
    if (is_long) store_be(out->header + SHORT_HEADER, size, 8);
    out->fd = fd;
    out->next = out->parts;
    if (size <= SHORT_MESSAGE) {
        memcpy(out->whole, out->header, SHORT_HEADER);
        memcpy(out->whole + SHORT_HEADER, bytes, size);
        out->parts[0] = (struct iovec){out->whole, SHORT_HEADER + size};
        out->left = 1;
        return;
    }
    out->parts[0] = (struct iovec){out->header, is_long ? LONG_HEADER : SHORT_HEADER};
    out->parts[1] = (struct iovec){(void *)(uintptr_t)bytes, size};
    out->left = 2;
}

static void advance(outgoing *out, size_t written) {
    while (out->left > 0 && written >= out->next->iov_len) written -= out->next->iov_len, out->next++, out->left--;
    if (out->left == 0) return;
    out->next->iov_base = (char *)out->next->iov_base + written;
    out->next->iov_len -= written;
}

static ssize_t write_some(const outgoing *out) {
    if (out->left > 1) return writev(out->fd, out->next, out->left);
    _Atomic uint8_t *hint = no_socket_hint(out->fd);
    if (!atomic_load_explicit(hint, memory_order_relaxed)) {
        ssize_t sent = send(out->fd, out->next->iov_base, out->next->iov_len, 0);
        if (sent >= 0 || errno != ENOTSOCK) return sent;
        atomic_store_explicit(hint, 1, memory_order_relaxed);
    }
    return write(out->fd, out->next->iov_base, out->next->iov_len);
}

/* A blocking descriptor takes less than it is given only if a signal came: who went on at once would sleep again, and not see it. */
static io_result write_rest(outgoing *out) {
    while (out->left > 0) {
        size_t whole = out->next->iov_len + (out->left == 2 ? out->next[1].iov_len : 0);
        ssize_t written = write_some(out);
        io_result result = IO_DONE;
        if (written < 0)
            result = after_failure(out->fd, POLLOUT);
        else if ((size_t)written < whole)
            result = IO_SIGNAL;
        if (written > 0) advance(out, (size_t)written);
        if (result != IO_DONE) return result;
    }
    return IO_DONE;
}

static PyObject *send_all(outgoing *out) {
    io_result result;
    do {
        Py_BEGIN_ALLOW_THREADS
        result = write_rest(out);
        Py_END_ALLOW_THREADS
        if (result == IO_SIGNAL && PyErr_CheckSignals() < 0) return NULL;
    } while (result == IO_SIGNAL);
    if (result == IO_DONE) Py_RETURN_NONE;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static PyObject *send_message(int fd, const void *bytes, uint64_t size) {
    outgoing out;
    prepare(&out, fd, bytes, size);
    return send_all(&out);
}

static PyObject *send_notice(int fd, const pn_notice *notice) {
    outgoing out = {.fd = fd, .next = out.parts, .left = 1};
    store_be(out.whole, (uint32_t)NOTICE, 4);
    store_be(out.whole + 4, notice->size, 8);
    store_be(out.whole + 12, notice->offset, 8);
    store_be(out.whole + 20, notice->generation, 4);
    out.parts[0] = (struct iovec){out.whole, NOTICE_BYTES};
    return send_all(&out);
}

/* The notice; and, as a pipe would make its sender wait for what it cannot hold, the wait until the message was taken. */
static PyObject *announce(int fd, pn_queue *queue, const pn_notice *notice) {
    bool was_taken = true;
    PyObject *sent = send_notice(fd, notice);
    if (sent == NULL || notice->size <= CARRIED_AHEAD) return sent;
    Py_DECREF(sent);
    if (!carriage_wait_taken(fd, queue, &was_taken)) return NULL;
    if (was_taken) Py_RETURN_NONE;
    errno = EPIPE;
    return PyErr_SetFromErrno(PyExc_OSError);
}

/* Beside the stream, or through it if that is short of memory. */
static PyObject *send_large(int fd, pn_queue *queue, const void *bytes, uint64_t size) {
    bool has_room;
    pn_notice notice;
    if (!carriage_is_attended(queue, size, &has_room)) return NULL;
    if (!has_room) return send_message(fd, bytes, size);
    if (!carriage_wait_room(fd, queue, size, &has_room)) return NULL;
    pn_message message = {.bytes = bytes, .size = size, .tag = PN_TAG_BYTES};
    if (has_room && carriage_put(queue, &message, &notice) == PN_OK) return announce(fd, queue, &notice);
    return send_message(fd, bytes, size);
}

static PyObject *send_block(int fd, pn_queue *queue, PyObject *block) {
    pn_message message = block_message(block);
    pn_notice notice;
    pn_code code = carriage_put(queue, &message, &notice);
    if (code != PN_OK) return raise_code(code);
    block_given(block);
    return announce(fd, queue, &notice);
}

/* ── receiving ── */
typedef struct incoming {
    int fd;
    int64_t most;          /* -1: any length */
    pn_queue *beside;      /* NULL: all is in the stream */
    uint8_t header[NOTICE_BYTES];
    uint64_t header_got, size, got;
    bool is_notice;        /* the message is beside */
    bool sized;            /* the length is known */
    bool is_refused;       /* and is no length, or too long */
    uint64_t lead;         /* bytes of the header that come (again) before the body */
    pn_scratch scratch;    /* where lead and body go, unless `target` */
    char *target;
    bool wants_target;     /* stop once the length is known and is more than TRUST */
} incoming;

static io_result read_up_to(const incoming *in, void *to, uint64_t wanted, uint64_t *got) {
    while (*got < wanted) {
        char *next = (char *)to + *got;
        ssize_t n = in->lead != 0 ? recv(in->fd, next, wanted - *got, 0) : read(in->fd, next, wanted - *got); /* lead: a socket */
        if (n > 0) {
            *got += (uint64_t)n;
            continue;
        }
        if (n == 0) return IO_END;
        io_result result = after_failure(in->fd, POLLIN);
        if (result != IO_DONE) return result;
    }
    return IO_DONE;
}

static uint64_t load_be(const uint8_t *from, int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value = value << 8 | from[i];
    return value;
}

static io_result set_size(incoming *in, int64_t size) {
    if (size < 0 || (in->most >= 0 && size > in->most) || (uint64_t)size > PY_SSIZE_T_MAX / 2) return in->is_refused = true, IO_BAD_LENGTH;
    in->size = (uint64_t)size;
    in->sized = true;
    return IO_DONE;
}

static io_result read_header(incoming *in) {
    uint64_t wanted = in->header_got <= SHORT_HEADER ? SHORT_HEADER : in->is_notice ? NOTICE_BYTES : LONG_HEADER;
    io_result result = read_up_to(in, in->header, wanted, &in->header_got);
    if (result != IO_DONE) return result;
    int64_t size = (int32_t)load_be(in->header, SHORT_HEADER);
    in->is_notice = size == NOTICE && in->beside != NULL;
    if (size != -1 && !in->is_notice) return set_size(in, size);
    result = read_up_to(in, in->header, in->is_notice ? NOTICE_BYTES : LONG_HEADER, &in->header_got);
    return result == IO_DONE ? set_size(in, (int64_t)load_be(in->header + SHORT_HEADER, 8)) : result;
}

static pn_notice notice_of(const incoming *in) {
    return (pn_notice){in->size, load_be(in->header + 12, 8), (uint32_t)load_be(in->header + 20, 4)};
}

/* On a socket: the length, with the header left where it is. IO_DONE without `sized`: read it the plain way. */
static io_result peek_header(incoming *in) {
    _Atomic uint8_t *hint = no_socket_hint(in->fd);
    if (in->header_got != 0 || atomic_load_explicit(hint, memory_order_relaxed)) return IO_DONE;
    uint8_t header[SHORT_HEADER];
    ssize_t n = recv(in->fd, header, sizeof header, MSG_PEEK);
    if (n == 0) return IO_END;
    if (n < 0 && errno == ENOTSOCK) atomic_store_explicit(hint, 1, memory_order_relaxed);
    if (n < 0) return errno == ENOTSOCK ? IO_DONE : after_failure(in->fd, POLLIN);
    int64_t size = (int32_t)load_be(header, SHORT_HEADER);
    if (n < SHORT_HEADER || size < 0 || size > TRUST) return IO_DONE;
    in->lead = SHORT_HEADER;
    return set_size(in, size);
}

static io_result read_into_scratch(incoming *in) {
    uint64_t all = in->lead + in->size;
    do {
        uint64_t trusted = in->got < TRUST ? 2 * TRUST : in->got * 2, upto = all < trusted ? all : trusted;
        if (in->scratch.size <= upto && !scratch_grow(&in->scratch, upto + 1)) return IO_NOMEM; /* never without a place, also for nothing */
        io_result result = read_up_to(in, in->scratch.bytes, upto, &in->got);
        if (in->lead != 0 && in->got != 0) in->header_got = in->lead; /* in mid-message from now on */
        if (result != IO_DONE) return result;
    } while (in->got < all);
    return IO_DONE;
}

static io_result read_rest(incoming *in) {
    io_result result = in->sized ? IO_DONE : peek_header(in);
    if (result == IO_DONE && !in->sized) result = read_header(in);
    if (result != IO_DONE || in->is_notice || (in->wants_target && in->size > TRUST && in->target == NULL)) return result;
    if (in->target != NULL) return read_up_to(in, in->target, in->size, &in->got);
    return read_into_scratch(in);
}

static const char *body(const incoming *in) { return (const char *)in->scratch.bytes + in->lead; }

static bool raise_io(const incoming *in, io_result result) {
    switch (result) {
    case IO_END:
        if (in->header_got == 0)
            PyErr_SetNone(PyExc_EOFError);
        else
            PyErr_SetString(PyExc_OSError, "got end of file during message");
        break;
    case IO_NOMEM: PyErr_NoMemory(); break;
    case IO_BAD_LENGTH: PyErr_SetString(PyExc_OSError, "bad message length"); break;
    default: PyErr_SetFromErrno(PyExc_OSError);
    }
    return false;
}

/* Goes on until all is there, or the length is known and a target is wanted. False: an exception is set. */
static bool receive(incoming *in) {
    io_result result;
    do {
        Py_BEGIN_ALLOW_THREADS
        result = read_rest(in);
        Py_END_ALLOW_THREADS
        if (result == IO_SIGNAL && PyErr_CheckSignals() < 0) return false;
    } while (result == IO_SIGNAL);
    return result == IO_DONE || raise_io(in, result);
}

static PyObject *receive_large(incoming *in) {
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)in->size);
    if (bytes == NULL) return NULL;
    in->target = PyBytes_AsString(bytes);
    if (!receive(in)) Py_CLEAR(bytes);
    return bytes;
}

/* ── whole messages ── */
PyObject *frame_send(int fd, pn_queue *beside, const void *bytes, uint64_t size) {
    return PN_LIKELY(beside == NULL || size < CARRIED_FROM) ? send_message(fd, bytes, size) : send_large(fd, beside, bytes, size);
}

/* Of an array, say; else 0. */
static uint64_t size_of_buffer(PyObject *obj) {
    Py_buffer buffer;
    if (!PyObject_CheckBuffer(obj)) return 0;
    if (PyObject_GetBuffer(obj, &buffer, PyBUF_FULL_RO) < 0) return PyErr_Clear(), 0; /* then pickle says what is wrong with it */
    uint64_t size = (uint64_t)buffer.len;
    PyBuffer_Release(&buffer);
    return size;
}

/* What the codec cannot say may become a Block: only if there is room for it beside the stream. */
static bool encode(core_state *state, int fd, pn_queue *beside, PyObject *obj, codec_message *message) {
    codec_result result = codec_encode_plain(obj, message);
    if (PN_LIKELY(result == CODEC_OK)) return true;
    bool has_room = false;
    if (result == CODEC_ERROR) return false;
    if (beside != NULL) {
        uint64_t size = size_of_buffer(obj);
        if (!carriage_is_attended(beside, size, &has_room) || (has_room && !carriage_wait_room(fd, beside, size, &has_room))) return false;
    }
    return codec_encode_rest(state, obj, message, has_room);
}

PyObject *frame_send_object(core_state *state, int fd, pn_queue *beside, PyObject *obj) {
    codec_message message;
    if (!encode(state, fd, beside, obj, &message)) return NULL;
    PyObject *result = message.block != NULL ? send_block(fd, beside, message.block) : frame_send(fd, beside, message.bytes, message.size);
    codec_done(&message);
    return result;
}

static PyObject *received_bytes(core_state *state, incoming *in) {
    if (PN_UNLIKELY(in->is_notice)) return carriage_bytes(state, in->beside, notice_of(in));
    return in->size > TRUST ? receive_large(in) : PyBytes_FromStringAndSize(body(in), (Py_ssize_t)in->size);
}

PyObject *frame_recv(core_state *state, int fd, pn_queue *beside, int64_t most, bool *is_refused) {
    incoming in = {.fd = fd, .beside = beside, .most = most, .wants_target = true};
    if (beside != NULL) pn_queue_attend(beside);
    in.scratch = scratch_take();
    PyObject *bytes = receive(&in) ? received_bytes(state, &in) : NULL;
    scratch_give(&in.scratch);
    *is_refused = in.is_refused;
    return bytes;
}

PyObject *frame_recv_object(core_state *state, int fd, pn_queue *beside) {
    incoming in = {.fd = fd, .beside = beside, .most = -1};
    if (beside != NULL) pn_queue_attend(beside);
    in.scratch = scratch_take();
    bool escaped = false;
    PyObject *obj = NULL;
    if (receive(&in)) obj = PN_UNLIKELY(in.is_notice) ? carriage_object(state, beside, notice_of(&in)) : codec_decode(state, body(&in), in.size, &escaped);
    if (!escaped) scratch_give(&in.scratch);
    return obj;
}
