"""File descriptors: pairs, copies, handing them to another process, waiting until they can be read; names of Unix sockets.

Promises: whatever descriptor is made or received here is closed at exec. A wait ends at its deadline, whatever signals come.
Not here: framing (`_channels.wire`), which processes may have which descriptor (`_channels.sharer`), pidfds and memfds.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import sys
import time

from procession import _native

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Sequence

__all__ = [
    "Wakeup",
    "abstract_sockets_supported",
    "bind_privately",
    "close_all",
    "connect",
    "duplicate",
    "is_abstract",
    "listen_without_file",
    "lock_directory",
    "peer_user",
    "pipe",
    "receive_descriptors",
    "send_descriptors",
    "socketpair",
    "wait_readable",
]

abstract_sockets_supported: bool = sys.platform == "linux"
LONGEST_POLL = 2**31 - 1  # ms: poll() takes a C int
UNREADABLE = select.POLLIN | select.POLLPRI
WAIT_SELECT = 10  # pn_reason of native/wait.h


def pipe() -> tuple[int, int]:
    """A pipe: (the end to read from, the end to write to)."""
    return os.pipe()


def socketpair() -> tuple[int, int]:
    """Two connected stream sockets of this machine, both ways; blocking, whatever the default timeout of sockets is."""
    import socket  # noqa: PLC0415 - 3 to 5 ms that a program without duplex pipes need not pay

    first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    first.setblocking(True)
    second.setblocking(True)
    return first.detach(), second.detach()


def duplicate(fd: int) -> int:
    """Another descriptor of the same open file."""
    return os.dup(fd)


def send_descriptors(fd: int, descriptors: Sequence[int]) -> None:
    """Send open descriptors over the Unix socket `fd`, with one byte that says how many (modulo 256)."""
    import socket  # noqa: PLC0415 - as above

    with socket.socket(fileno=duplicate(fd)) as channel:
        channel.setblocking(True)
        socket.send_fds(channel, [bytes([len(descriptors) % 256])], descriptors)


def receive_descriptors(fd: int, most: int) -> list[int]:
    """Receive at most `most` descriptors that came with one byte over the Unix socket `fd`.

    Raises EOFError if the other end is closed, RuntimeError if the byte does not tell the number of descriptors that came.
    """
    import socket  # noqa: PLC0415 - as above

    with socket.socket(fileno=duplicate(fd)) as channel:
        channel.setblocking(True)
        message, received, _flags, _address = socket.recv_fds(channel, 1, most)
    if not message and not received:
        raise EOFError("the other end was closed before it sent a descriptor")
    for each in received:
        os.set_inheritable(each, False)
    if len(received) % 256 != message[0] or not received:
        close_all(received)
        raise RuntimeError(
            f"received {len(received)} descriptors with a message that announces {message[0]} modulo 256: "
            "the other end has to send them with send_handle()"
        )
    return received


def close_all(fds: Iterable[int]) -> None:
    """Close descriptors."""
    for fd in fds:
        os.close(fd)


def wait_readable(fds: Iterable[int], timeout: float | None) -> set[int]:
    """Which of `fds` can be read without blocking, or are at their end; empty if `timeout` (seconds; None: none) ran out.

    While it sleeps, it stands in the table of waits. Raises OSError (EBADF) for a descriptor that is not open.
    """
    poller = select.poll()
    for fd in fds:
        poller.register(fd, UNREADABLE)
    found = _polled(poller, 0)
    if found or (timeout is not None and timeout <= 0):
        return found
    deadline = None if timeout is None else time.monotonic() + timeout
    row = _native.wait_begin(WAIT_SELECT, 0, timeout, 0)
    try:
        while True:
            found = _polled(poller, _milliseconds(deadline))
            if found or (deadline is not None and time.monotonic() >= deadline):
                return found
    finally:
        _native.wait_end(row)


def _polled(poller: select.poll, milliseconds: int | None) -> set[int]:
    found = poller.poll(milliseconds)
    for fd, event in found:
        if event & select.POLLNVAL:
            raise OSError(errno.EBADF, f"descriptor {fd} is not open: it cannot be waited for")
    return {fd for fd, _event in found}


def _milliseconds(deadline: float | None) -> int | None:
    """What is left until `deadline`, rounded up, so that a wait never ends early."""
    if deadline is None:
        return None
    return min(max(0, int((deadline - time.monotonic()) * 1000 + 0.999)), LONGEST_POLL)


def is_abstract(address: object) -> bool:
    """Is this the name of a Unix socket that has no file (it begins with a NUL)?"""
    if isinstance(address, bytes):
        return address.startswith(b"\0")
    return isinstance(address, str) and address.startswith("\0")


def bind_privately(sock: socket.socket, address: str | bytes) -> None:
    """Bind a Unix socket so that only this user may connect: its file is made with mode 0600, whatever the umask."""
    os.fchmod(sock.fileno(), 0o600)
    sock.bind(address)


def peer_user(fd: int) -> int:
    """Whose process connected, or listens, at the other end of a Unix socket: the user's number."""
    import socket  # noqa: PLC0415 - as above

    sock = socket.socket(fileno=fd)
    try:
        sock.setblocking(True)  # the default timeout of sockets is not meant
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)  # three ints: process, user, group
    finally:
        sock.detach()
    return int.from_bytes(credentials[4:8], sys.byteorder)


def connect(address: str) -> socket.socket:
    """A socket connected to the Unix socket of this name; OSError if nobody listens there."""
    import socket  # noqa: PLC0415 - as above

    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(True)
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


def listen_without_file(backlog: int) -> socket.socket:
    """A listening Unix socket of a name that nobody guesses, and that has no file; blocking."""
    import socket  # noqa: PLC0415 - as above

    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.setblocking(True)
    listener.bind(f"\0procession-{os.getpid()}-{os.urandom(8).hex()}")
    listener.listen(backlog)
    return listener


class Wakeup:
    """A descriptor that one thread makes readable for those that wait for it, once and for good."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._fd

    def set(self) -> None:
        """Make it readable."""
        os.eventfd_write(self._fd, 1)

    def close(self) -> None:
        """Give the descriptor back. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


def lock_directory(path: str) -> int | None:
    """Mark a directory as in use by this process and those forked from it: the descriptor that keeps the mark.

    None if others use it. The kernel takes the mark away with the last of them, however they end.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return fd
