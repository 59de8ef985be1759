"""Connected sockets on which a message arrives whole, with descriptors, or not at all.

Promises: messages of many senders do not mix. A descriptor that is received is closed at exec. Sending to an end that nobody holds
any more raises BrokenPipeError or ConnectionError, and never a signal.
Not here: what is said (`_processes.handshake`).
"""

from __future__ import annotations

import array
import os
import select
import socket

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MOST_DESCRIPTORS", "is_alone", "pair", "receive", "send", "stop_listening"]

MOST_DESCRIPTORS = 250  # the kernel's limit for one message is 253
LONGEST = 4096  # bytes of a message


def pair() -> tuple[int, int]:
    """Two connected ends."""
    first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    first.setblocking(True)
    second.setblocking(True)
    return first.detach(), second.detach()


def send(fd: int, message: bytes, descriptors: Sequence[int] = ()) -> None:
    """Send a message of at most 4096 bytes, with descriptors. Blocks while the other end has too many unread ones."""
    attached = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    with _same(fd) as channel:
        channel.sendmsg([message], attached, socket.MSG_NOSIGNAL)


def receive(fd: int) -> tuple[bytes, list[int]]:
    """The next message and its descriptors; empty if nobody holds the other end any more."""
    numbers = array.array("i")
    with _same(fd) as channel:
        message, attached, _flags, _address = channel.recvmsg(
            LONGEST, socket.CMSG_SPACE(MOST_DESCRIPTORS * numbers.itemsize), socket.MSG_CMSG_CLOEXEC
        )
    for level, kind, content in attached:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
    return message, list(numbers)


def stop_listening(fd: int) -> None:
    """From now on whoever sends to this end gets an error; what was sent before can be received, and then comes an empty message."""
    with _same(fd) as channel:
        channel.shutdown(socket.SHUT_RD)


def _same(fd: int) -> socket.socket:
    """A socket object for one call on what `fd` is; blocking, whatever the default timeout of sockets is.

    It has a descriptor of its own: were it interrupted before it let go of `fd`, that would be closed, and the next file get its number.
    """
    channel = socket.socket(fileno=os.dup(fd))
    channel.setblocking(True)
    return channel


def is_alone(fd: int) -> bool:
    """Does nobody hold the other end any more?"""
    poller = select.poll()
    poller.register(fd, 0)
    return bool(poller.poll(0))
