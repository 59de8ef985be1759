"""Descriptors of this process for others: one thread hands each out to whoever got its ticket in a pickle and knows the key.

Promises: who does not know the key holds up nobody. The thread starts with the first ticket, blocks all signals (they are the main
thread's), and ends with the process. Its socket has no file, so that nothing is left of it. Who asks for a descriptor that is gone is
told so. A forked child has a sharer of its own. While something is being started, a descriptor travels to that child by its start method,
without a ticket.
Not here: how a start method passes descriptors (`_processes`), the handshake (`auth`).
"""

from __future__ import annotations

import errno
import os
import threading

from procession._channels import auth
from procession._channels.accepting import Acceptor
from procession._channels.wire import Frames
from procession._os import descriptors
from procession._os.masks import block_signals
from procession._runtime import register_after_fork, state
from procession.errors import InternalError, ProcessError, StaleHandle

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import Any

__all__ = [
    "DupFd",
    "DupSocket",
    "Inherited",
    "Sharer",
    "authkey",
    "duplicate",
    "rebuild_socket",
    "reduce_socket",
    "stop",
]

PATIENCE = 5.0  # seconds that one who has proved the key may keep the thread waiting; it is on the same machine
PATIENCE_OF_RECEIVER = 60.0  # seconds for an answer: others may keep the thread waiting first
PAUSE = 0.05  # seconds before it tries again when the process has no descriptor left for a new connection
BACKLOG = 128


def authkey() -> bytes:
    """The key of this process, which its children inherit."""
    if state.current is None:
        raise InternalError("this process has no Process object yet: import procession before connections are sent")
    return bytes(state.current.authkey)


class Sharer:
    """What one process lends, and the thread that hands it out."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._lent: dict[int, tuple[Callable[[int], None], Callable[[], None]]] = {}
        self._last_ticket = 0
        self._acceptor: Acceptor | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._pid = os.getpid()

    def lend(self, send: Callable[[int], None], close: Callable[[], None]) -> tuple[str, int]:
        """A ticket (address, number) for one use: `send(socket descriptor)` hands it out, `close()` then frees it."""
        self._leave_parent()
        with self._lock:
            acceptor = self._acceptor or self._start()
            self._last_ticket += 1
            self._lent[self._last_ticket] = (send, close)
            return acceptor.socket.getsockname().decode(), self._last_ticket

    def stop(self, timeout: float | None = None) -> None:
        """End the thread and free what nobody asked for. The next ticket starts it again.

        Raises ProcessError if it has not ended after `timeout` seconds.
        """
        self._leave_parent()
        with self._lock:
            acceptor, thread, lent = self._acceptor, self._thread, self._lent
            self._acceptor, self._thread, self._lent = None, None, {}
            self._stopping.set()
        for _send, close in lent.values():
            close()
        if acceptor is None or thread is None:
            return
        acceptor.close()  # ends the thread's wait
        thread.join(timeout)
        if thread.is_alive():
            raise ProcessError(f"the thread that hands out descriptors is still busy after {timeout} s")

    def _leave_parent(self) -> None:
        """In a forked child: drop what belongs to the parent."""
        if self._pid == os.getpid():
            return
        acceptor, lent = self._acceptor, self._lent
        self._reset()
        for _send, close in lent.values():
            close()
        if acceptor is not None:
            acceptor.close()  # our copy: the parent goes on

    def _start(self) -> Acceptor:
        self._stopping = threading.Event()
        acceptor = Acceptor(descriptors.listen_without_file(BACKLOG), authkey())
        self._acceptor = acceptor
        self._thread = threading.Thread(
            target=self._serve, args=(acceptor, self._stopping), name="procession-sharer", daemon=True
        )
        self._thread.start()
        return acceptor

    def _serve(self, acceptor: Acceptor, stopping: threading.Event) -> None:
        import socket  # noqa: PLC0415 - 3 to 5 ms that a program which sends no descriptors need not pay

        block_signals()
        while acceptor.is_open:
            acceptor.authkey = authkey()  # a program may set another one
            try:
                asking = acceptor.accept()
            except (EOFError, ProcessError):
                continue  # one that does not know the key: it sees its connection closed
            except OSError:  # stop() has closed the listener, or too many files are open
                stopping.wait(PAUSE)
                continue
            with Frames(socket.socket(fileno=asking), PATIENCE) as frames:
                self._answer(frames)

    def _answer(self, asking: Frames) -> None:
        try:
            ticket = int.from_bytes(asking.recv_bytes(8), "little")
            with self._lock:
                send, close = self._lent.pop(ticket, (None, None))
            asking.send_bytes(b"" if send else b"gone")
            if send and close:
                try:
                    send(asking.sock.fileno())
                finally:
                    close()
        except (OSError, EOFError, ProcessError):
            return  # the one who asked sees its connection closed, and raises


state.sharer = Sharer()
register_after_fork(state.sharer, Sharer._leave_parent)


class DupFd:
    """A ticket for a copy of a descriptor: pickle it, and `detach()` it, once, in another process of the same key."""

    def __init__(self, fd: int) -> None:
        copy = descriptors.duplicate(fd)
        try:
            self._address, self._number = state.sharer.lend(
                lambda asking: descriptors.send_descriptors(asking, [copy]), lambda: os.close(copy)
            )
        except BaseException:
            os.close(copy)
            raise
        self._pid = os.getpid()

    def detach(self) -> int:
        """The descriptor, from now on the caller's.

        Raises ConnectionRefusedError if the sender is gone, StaleHandle if the ticket has been used or stopped, AuthenticationError
        if this process has another key.
        """
        try:
            with Frames(descriptors.connect(self._address), PATIENCE_OF_RECEIVER) as asking:
                auth.prove_client(asking, authkey(), asking.write)
                asking.send_bytes(self._number.to_bytes(8, "little"))
                if asking.recv_bytes(16):
                    raise StaleHandle("descriptor", self._number)
                return descriptors.receive_descriptors(asking.sock.fileno(), 1)[0]
        except (ConnectionError, EOFError, TimeoutError) as error:
            raise ConnectionRefusedError(
                errno.ECONNREFUSED,
                f"process {self._pid} sent a descriptor, and is gone or does not answer: it has to live until the receiver has it",
            ) from error


class Inherited:
    """A descriptor that a start method passes to the child being started."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def detach(self) -> int:
        """The descriptor, from now on the caller's."""
        return self._fd


def duplicate(fd: int) -> Any:
    """Something to pickle whose `detach()` gives the receiver a copy of `fd`: by the start method, or else by a ticket."""
    popen = state.spawning.popen
    if popen is None:
        return DupFd(fd)
    passed = popen.duplicate_for_child(fd)
    wrap = getattr(popen, "DupFd", Inherited)  # a start method that renumbers descriptors brings its own
    return wrap(passed)


class DupSocket:
    """A socket that can be pickled; `detach()` gives the receiver one of its own."""

    def __init__(self, sock: socket.socket) -> None:
        self._parts = (duplicate(sock.fileno()), int(sock.family), int(sock.type), sock.proto)

    def detach(self) -> socket.socket:
        """The socket, from now on the caller's."""
        return rebuild_socket(*self._parts)


def reduce_socket(sock: socket.socket) -> tuple[Any, ...]:
    """How a socket is pickled."""
    return rebuild_socket, (duplicate(sock.fileno()), int(sock.family), int(sock.type), sock.proto)


def rebuild_socket(ticket: Any, family: int, kind: int, protocol: int) -> socket.socket:
    """The socket that arrived in a pickle."""
    import socket  # noqa: PLC0415 - 3 to 5 ms that only a process which gets sockets pays

    return socket.socket(family, kind, protocol, fileno=ticket.detach())


def stop(timeout: float | None = None) -> None:
    """End the thread that hands out descriptors of this process, and free what nobody asked for."""
    state.sharer.stop(timeout)
