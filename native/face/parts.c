/* parts.c: what has come over a socket, a piece at a time, within a time: for who must not wait longer for a stranger (frames.c reads whole
 * messages, and waits as long as their user likes). Whether the descriptor blocks makes no difference.  */
#include "face.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>

#define MOST_BYTES 4096 /* more is never asked for: on the stack */

/* What is left until `end` in milliseconds, rounded up, so that a wait never ends early. */
static int milliseconds_until(pn_deadline end) {
    if (end == PN_FOREVER) return -1;
    int64_t left = (end - pn_clock() + 999999) / 1000000;
    return left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

/* As recv(); errno EAGAIN: nothing has come by `end`. At first it does not ask the clock: mostly there is something, or all is lost. */
static ssize_t receive_until(int fd, void *to, size_t most, pn_deadline end) {
    while (true) {
        ssize_t n = recv(fd, to, most, MSG_DONTWAIT);
        if (n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) return n;
        struct pollfd waited = {.fd = fd, .events = POLLIN};
        int left = milliseconds_until(end);
        if (left != 0 && poll(&waited, 1, left) < 0) return -1;
        if (left == 0) return errno = EAGAIN, -1;
    }
}

static PyObject *recv_part(PyObject *module, PyObject *const *args, Py_ssize_t n) {
    (void)module;
    char bytes[MOST_BYTES];
    int64_t timeout;
    if (n != 3) return PyErr_Format(PyExc_TypeError, "recv_part() takes 3 arguments, not %zd", n);
    long fd = PyLong_AsLong(args[0]), most = PyLong_AsLong(args[1]);
    if (PyErr_Occurred() || !parse_timeout(args[2], &timeout)) return NULL;
    if (fd < 0 || fd > INT_MAX || most < 1 || most > MOST_BYTES)
        return PyErr_Format(PyExc_ValueError, "%ld bytes of descriptor %ld cannot be received: 1 to %d of an open one can", most, fd, MOST_BYTES);
    pn_deadline end = deadline_after(timeout);
    ssize_t got;
    do {
        Py_BEGIN_ALLOW_THREADS
        got = receive_until((int)fd, bytes, (size_t)most, end);
        Py_END_ALLOW_THREADS
        if (got < 0 && errno == EINTR && PyErr_CheckSignals() < 0) return NULL;
    } while (got < 0 && errno == EINTR);
    if (got >= 0) return PyBytes_FromStringAndSize(bytes, got);
    if (errno == EAGAIN || errno == EWOULDBLOCK) Py_RETURN_NONE;
    return PyErr_SetFromErrno(PyExc_OSError);
}

PyMethodDef part_functions[] = {
    {"recv_part", FAST(recv_part), METH_FASTCALL,
     "recv_part(fd, most, timeout, /)\n--\n\nWhat has come over a socket, at most so many bytes; b'' at its end, None if nothing comes in time."},
    {NULL, NULL, 0, NULL},
};
