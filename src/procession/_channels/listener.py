"""Listeners and clients: connections between processes that are not parent and child, over TCP or Unix sockets.

Promises: with a key, both ends have proved that they know it before anything is unpickled. The file of a Unix socket can be
connected to by its owner only, and goes with its listener.
Not here: the handshake (`auth`), many clients at once (`accepting`), sending and receiving (`pipe`).
"""

from __future__ import annotations

import functools
import os
import socket

from procession._channels import auth
from procession._channels.accepting import Acceptor
from procession._channels.pipe import Connection
from procession._channels.temp_dir import get_temp_dir
from procession._os import descriptors
from procession._runtime import Finalizer

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any, Self

    Address = tuple[Any, ...] | str | bytes

__all__ = ["Client", "Listener", "SocketClient", "SocketListener", "address_type", "arbitrary_address", "families"]

families: list[str] = [name for name in ("AF_INET", "AF_UNIX") if hasattr(socket, name)]
default_family: str = families[-1]  # the fastest: AF_UNIX where there is one
KNOWN = {*families, "AF_INET6"}


def arbitrary_address(family: str) -> Address:
    """An address of this machine to listen on, which nobody else uses."""
    if family == "AF_INET":
        return ("localhost", 0)
    if family == "AF_INET6":
        return ("::1", 0)
    if family == "AF_UNIX" and family in KNOWN:
        return os.path.join(get_temp_dir(), f"listener-{os.urandom(6).hex()}")
    raise ValueError(f"unrecognized family {family!r}: use one of {', '.join(sorted(KNOWN))}")


def address_type(address: object) -> str:
    """The family of an address, from its form: 'AF_INET', 'AF_INET6', 'AF_UNIX' or 'AF_PIPE'; TypeError if it has none of them."""
    if isinstance(address, tuple):
        return "AF_INET6" if len(address) == 4 or ":" in str(address[0]) else "AF_INET"
    if isinstance(address, str) and address.startswith("\\\\"):
        return "AF_PIPE"
    if isinstance(address, str) or descriptors.is_abstract(address):
        return "AF_UNIX"
    raise TypeError(f"address type of {address!r} unrecognized: use (host, port) or the name of a Unix socket")


def _check_family(family: str) -> None:
    if family not in KNOWN:
        raise ValueError(f"Family {family} is not recognized on this system: use one of {', '.join(sorted(KNOWN))}")


def _check_key(authkey: object) -> None:
    if authkey is not None and not isinstance(authkey, bytes):
        raise TypeError(f"authkey should be a byte string, not {type(authkey).__name__}")


class SocketListener:
    """A bound socket that listens; with `authkey`, `accept` gives only clients that have proved it."""

    def __init__(self, address: Address, family: str, backlog: int = 1, authkey: bytes | None = None) -> None:
        self._family = family
        self._unlink: Finalizer | None = None
        sock = socket.socket(getattr(socket, family))
        try:
            self._bind(sock, address)
            sock.listen(backlog)
            self._address: Address = sock.getsockname()
        except BaseException:
            self._remove_file()
            sock.close()
            raise
        self._acceptor = Acceptor(sock, authkey, authkey is None and descriptors.is_abstract(address))
        if isinstance(self._address, bytes):  # abstract
            self._address = os.fsdecode(self._address)

    def _bind(self, sock: socket.socket, address: Address) -> None:
        if self._family != "AF_UNIX":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            return
        if not isinstance(address, str | bytes):
            raise TypeError(f"the address of a Unix socket is a path or a name, not {address!r}")
        descriptors.bind_privately(sock, address)
        if not descriptors.is_abstract(address):
            self._unlink = Finalizer(self, _unlink, args=(address,), exitpriority=0)

    @property
    def _socket(self) -> socket.socket | None:
        """The name under which others look for the socket, to wait for it together with something else."""
        return self._acceptor.socket if self._acceptor.is_open else None

    @property
    def _last_accepted(self) -> Any:
        return self._acceptor.last_address

    def accept(self) -> Connection:
        """The next connection; waits for one. Raises what `Listener.accept` does."""
        fd = self._acceptor.accept()
        if self._family == "AF_UNIX":
            return Connection(fd)
        with socket.socket(fileno=fd) as sock:
            sock.setblocking(True)  # the default timeout of sockets is not meant
            return _connection(sock, self._family)

    def close(self) -> None:
        """Stop listening; the file of a Unix socket goes. Idempotent."""
        self._acceptor.close()
        self._remove_file()

    def _remove_file(self) -> None:
        unlink, self._unlink = self._unlink, None
        if unlink is not None:
            unlink()


def _unlink(path: str | bytes) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass  # somebody tidied up before


def _connection(sock: socket.socket, family: str) -> Connection:
    if family != "AF_UNIX":
        # Messages are written whole: holding the last bytes back for more to come only delays the answer.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Connection(sock.detach())


def SocketClient(address: Address) -> Connection:  # noqa: N802 - the standard library's name
    """A connection to the socket that listens on `address`; without a key."""
    family = address_type(address)
    _check_family(family)
    with socket.socket(getattr(socket, family)) as sock:
        sock.setblocking(True)
        sock.connect(address)
        return _connection(sock, family)


class Listener:
    """Listens for connections; a context manager that closes itself.

    `address` is (host, port), or the name of a Unix socket (one that begins with a NUL has no file); None: any of this machine.
    `family` is 'AF_INET', 'AF_INET6' or 'AF_UNIX'; None: what `address` looks like, or the fastest. `backlog`: how many may wait to be
    accepted. `authkey`: the key that both ends have to prove; None: no proof.
    Raises ValueError for an unknown family, TypeError for a key that is not bytes, OSError if the address cannot be used.
    """

    def __init__(
        self,
        address: Address | None = None,
        family: str | None = None,
        backlog: int = 1,
        authkey: bytes | None = None,
    ) -> None:
        family = family or (default_family if address is None else address_type(address))
        _check_family(family)
        _check_key(authkey)
        self._listener: SocketListener | None = SocketListener(
            address or arbitrary_address(family), family, backlog, authkey
        )

    def accept(self) -> Connection:
        """The next connection; with a key, the next that has proved it.

        Clients that say nothing do not hold up others. Each that fails is closed and raises here: AuthenticationError if it has another
        key, talks nonsense, or has not proved the key after `handshake_timeout` seconds; EOFError or OSError if it ends, or sends what is
        no message of the handshake. The listener goes on: call again. OSError if it is closed, by whichever thread.
        """
        return self._listening().accept()

    def close(self) -> None:
        """Stop listening; an `accept` in another thread ends. Idempotent."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()

    @property
    def address(self) -> Address:
        """The address it listens on."""
        return self._listening()._address

    @property
    def last_accepted(self) -> Any:
        """Where the client came from that the last `accept` gave, or told of; None if that is not known."""
        return self._listening()._last_accepted or None  # a Unix socket's client has the empty name

    @property
    def handshake_timeout(self) -> float:
        """Seconds that a client may take to prove the key, counted while somebody is in `accept`: 20, unless it is set."""
        return self._listening()._acceptor.patience

    @handshake_timeout.setter
    def handshake_timeout(self, seconds: float) -> None:
        if not seconds > 0:
            raise ValueError(f"a client needs some time to prove the key: {seconds} s is none")
        self._listening()._acceptor.patience = seconds

    def _listening(self) -> SocketListener:
        if self._listener is None:
            raise OSError("listener is closed")
        return self._listener

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()


def Client(address: Address, family: str | None = None, authkey: bytes | None = None) -> Connection:  # noqa: N802
    """A connection to the listener at `address`.

    `family` is inferred from the address if it is None. `authkey`: as the listener's; None: no proof.
    Raises AuthenticationError if either end does not accept the other's proof, TypeError for a key that is not bytes, ValueError for an
    unknown family, OSError if nobody listens there.
    """
    family = family or address_type(address)
    _check_family(family)
    _check_key(authkey)
    connection = SocketClient(address)
    if authkey is not None:
        try:
            auth.prove_client(connection, authkey, functools.partial(os.write, connection.fileno()))
        except BaseException:
            connection.close()
            raise
    return connection
