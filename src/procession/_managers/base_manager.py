"""Managers: start a server process, or connect to one, and make objects there.

    initial --start--> started --shutdown--> shutdown
       `------connect----^

Promises: `shutdown` ends the server in bounded time, however it behaves. A manager that is collected, or whose process ends or is killed,
is shut down. A manager can be passed to other processes, which use the same server.
Not here: the server (`server.py`), the proxies (`proxy.py`, `proxies.py`), the usual types (`manager.py`).
"""

from __future__ import annotations

import signal

from procession._channels.pickling import get_spawning_popen
from procession._managers.connecting import ask_to_shut_down, listener_client
from procession._managers.protocol import Token, dispatch
from procession._managers.proxy import AutoProxy
from procession._managers.registry import Entry, check_methods, is_another
from procession._managers.remote import RemoteServer, remote_server
from procession._managers.server import Server
from procession._processes.logs import info
from procession._processes.process import AuthenticationString, current_process, parent_process
from procession._runtime import Finalizer, state
from procession.errors import ProcessError

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, ClassVar, Self

__all__ = ["INITIAL", "SHUTDOWN", "STARTED", "BaseManager", "State"]

INITIAL, STARTED, SHUTDOWN = "initial", "started", "shutdown"


class State:
    """Where a manager is in its life; shared with its proxies."""

    __slots__ = ("value",)
    INITIAL, STARTED, SHUTDOWN = INITIAL, STARTED, SHUTDOWN

    def __init__(self) -> None:
        self.value: str = INITIAL


class BaseManager:
    """A manager: `start()` a server process of its own, `connect()` to one that runs, or serve in this process with `get_server()`.

    `address`: where the server listens (None: any); `authkey`: bytes, default that of this process; `serializer`: 'pickle' or 'xmlrpclib';
    `shutdown_timeout`: seconds that the server has at each step of its end. TypeError for a key that is not bytes.
    """

    _registry: ClassVar[dict[str, Entry]] = {}
    _registered: ClassVar[dict[str, Any]] = {}  # what this very class was told, not its bases
    _Server = Server

    def __init__(
        self,
        address: Any = None,
        authkey: bytes | None = None,
        serializer: str = "pickle",
        ctx: Any = None,
        *,
        shutdown_timeout: float = 1.0,
    ) -> None:
        if authkey is not None and not isinstance(authkey, bytes):
            raise TypeError(f"authkey must be bytes, not {type(authkey).__name__}")
        if serializer not in listener_client:
            raise ValueError(f"unknown serializer {serializer!r}: use one of {', '.join(listener_client)}")
        self._address = address
        self._authkey = AuthenticationString(current_process().authkey if authkey is None else authkey)
        self._state = State()
        self._serializer = serializer
        self._client = listener_client[serializer][1]
        self._ctx = ctx if ctx is not None else state.default_context.get_context()
        self._shutdown_timeout = shutdown_timeout
        self._process: Any = None
        self._remote: RemoteServer | None = None  # once started or connected

    # ── the server ───────────────────────────────────────────────────────────────────────────────────────────────────
    def get_server(self) -> Server:
        """A server in this process: call its `serve_forever`. ProcessError if this manager has a server process."""
        self._check_initial()
        return self._Server(self._registry, self._address, self._authkey, self._serializer)

    def connect(self) -> None:
        """Use the server that runs at the address. OSError if nobody listens there, AuthenticationError if it has another key."""
        with self._client(self._address, authkey=self._authkey) as connection:
            dispatch(connection, None, "dummy")
        self._use_server()

    def _use_server(self) -> None:
        """From now on the server at the address is this manager's; what was there before is gone."""
        remote = self._remote = remote_server(self._address, self._serializer, self._authkey)
        if remote.authkey != self._authkey or self._process is not None:
            remote.forget()
        remote.authkey, remote.process = self._authkey, self._process
        self._state.value = STARTED

    def start(self, initializer: Callable[..., object] | None = None, initargs: Iterable[Any] = ()) -> None:
        """Start a server process, which calls `initializer(*initargs)` first. ProcessError if it is started already."""
        self._check_initial()
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        receiver, sender = self._ctx.Pipe(duplex=False)
        with receiver:
            self._process = self._start_server(sender, initializer, tuple(initargs))
            sender.close()
            try:
                self._address = receiver.recv()
            except EOFError:
                self._process.join()
                raise ProcessError(
                    f"the server of {type(self).__name__} ended (exit code {self._process.exitcode}) before it could serve: "
                    "its traceback is on stderr"
                ) from None
        self._use_server()
        arguments = (self._process, self._address, self._authkey, self._state, self._client, self._shutdown_timeout)
        self.shutdown = Finalizer(
            self, _end_server, args=(type(self)._finalize_manager, arguments, self._remote), exitpriority=0
        )

    def _start_server(self, sender: Any, initializer: Any, initargs: tuple[Any, ...]) -> Any:
        process = self._ctx.Process(
            target=type(self)._run_server,
            args=(self._registry, self._address, bytes(self._authkey), self._serializer, sender, initializer, initargs),
        )
        import hmac  # noqa: F401, PLC0415 - 5 to 12 ms that a forked server need not spend again for its first client

        process.name = f"{type(self).__name__}-{':'.join(str(number) for number in process._identity)}"
        process.start()
        return process

    def _check_initial(self) -> None:
        if self._state.value == STARTED:
            raise ProcessError("Already started server")
        if self._state.value == SHUTDOWN:
            raise ProcessError("Manager has shut down")

    @classmethod
    def _run_server(  # noqa: PLR0913 - what a server process gets
        cls,
        registry: dict[str, Entry],
        address: Any,
        authkey: bytes,
        serializer: str,
        sender: Any,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
    ) -> None:
        """The main function of the server process."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal interrupts the whole group; the owner decides
        if initializer is not None:
            initializer(*initargs)
        server = cls._Server(registry, address, authkey, serializer)
        owner = parent_process()
        server.watched = None if owner is None else owner.sentinel
        info("manager serving at %r", server.address)  # before the owner goes on: its log is in this order
        sender.send(server.address)
        sender.close()
        current_process().authkey = authkey
        server.serve_forever()

    @staticmethod
    def _finalize_manager(  # noqa: PLR0913 - what the end of a manager needs, without the manager
        process: Any, address: Any, authkey: bytes, life: State, client: Callable[..., Any], shutdown_timeout: float
    ) -> None:
        """Ask the server to end; then terminate it; then kill it."""
        if process.is_alive():
            info("sending shutdown message to manager")
            if not ask_to_shut_down(address, authkey, client, shutdown_timeout):
                process.terminate()
            for harder in (process.terminate, process.kill):
                process.join(timeout=shutdown_timeout)
                if process.is_alive():
                    info("manager still alive: %s", harder.__name__)
                    harder()
        process.join()
        life.value = SHUTDOWN

    def join(self, timeout: float | None = None) -> None:
        """Wait for the server process to end, if this manager started one."""
        if self._process is not None:
            self._process.join(timeout)
            if not self._process.is_alive():
                self._process = None

    # ── objects ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def _request(self, method: str, *args: Any, **kwds: Any) -> Any:
        """The result of a request to the server."""
        if self._remote is None or self._state.value != STARTED:
            raise AssertionError("server not yet started")
        return self._remote.request(method, args, kwds)

    def _create(self, typeid: str, /, *args: Any, **kwds: Any) -> tuple[Token, Any]:
        ident, exposed = self._request("create", typeid, *args, **kwds)
        return Token(typeid, self._address, ident), exposed

    @classmethod
    def register(  # noqa: PLR0913 - the documented signature
        cls,
        typeid: str,
        callable: Callable[..., Any] | None = None,
        proxytype: Any = None,
        exposed: Iterable[str] | None = None,
        method_to_typeid: dict[str, str] | None = None,
        create_method: bool = True,
    ) -> None:
        """Register a type: see the specification.

        TypeError if `typeid` is no string, `exposed` no sequence of strings, or `method_to_typeid` does not map strings to strings.
        ValueError if this class has registered another callable under the same typeid; a subclass may.
        """
        if not isinstance(typeid, str):
            raise TypeError(f"typeid must be a string, not {type(typeid).__name__}")
        if "_registry" not in cls.__dict__:
            cls._registry, cls._registered = cls._registry.copy(), {}
        proxytype = AutoProxy if proxytype is None else proxytype
        exposed = exposed or getattr(proxytype, "_exposed_", None)
        method_to_typeid = method_to_typeid or getattr(proxytype, "_method_to_typeid_", None)
        check_methods(exposed, method_to_typeid)
        if is_another(cls._registered.get(typeid), callable):
            raise ValueError(
                f"typeid {typeid!r} is registered with {cls.__name__} already, for {cls._registered[typeid]!r}: "
                "use another name, or a subclass of the manager"
            )
        if callable is not None:
            cls._registered[typeid] = callable
        cls._registry[typeid] = Entry(callable, exposed, method_to_typeid, proxytype)
        if create_method:
            setattr(cls, typeid, _creator(typeid, proxytype))

    def _debug_info(self) -> str:
        text: str = self._request("debug_info")
        return text

    def _number_of_objects(self) -> int:
        count: int = self._request("number_of_objects")
        return count

    @property
    def address(self) -> Any:
        """Where the server listens."""
        return self._address

    def __enter__(self) -> Self:
        if self._state.value == INITIAL:
            self.start()
        if self._state.value != STARTED:
            raise ProcessError("Manager has shut down")
        return self

    def __exit__(self, *args: object) -> None:
        if hasattr(self, "shutdown"):  # a server that was only connected to is not ours to end
            self.shutdown()

    shutdown: Any  # there once the server process is started

    def __reduce__(self) -> tuple[Any, ...]:
        authkey = bytes(self._authkey) if get_spawning_popen() is not None else None
        return _rebuild_manager, (type(self), self._address, authkey, self._serializer, self._state.value)


def _end_server(end: Callable[..., None], arguments: tuple[Any, ...], remote: RemoteServer) -> None:
    end(*arguments)
    remote.process = None
    remote.forget()


def _rebuild_manager(cls: Any, address: Any, authkey: bytes | None, serializer: str, value: str) -> BaseManager:
    """The manager that arrived in a pickle: a user of the same server."""
    key = remote_server(address, serializer).authkey if authkey is None else authkey
    manager: BaseManager = cls(address, key, serializer)
    manager._state.value = value
    if value == STARTED:
        manager._remote = remote_server(address, serializer, key)
    return manager


def _creator(typeid: str, proxytype: Any) -> Callable[..., Any]:
    def create(self: BaseManager, /, *args: Any, **kwds: Any) -> Any:
        token, exposed = self._create(typeid, *args, **kwds)
        try:
            return proxytype(token, self._serializer, manager=self, authkey=self._authkey, exposed=exposed)
        finally:
            remote_server(self._address, self._serializer).decref(token.id, is_lent=True)

    create.__name__ = typeid
    create.__doc__ = f"A new {typeid} in the manager's process: a proxy for it."
    return create
