"""Proxies: objects that stand for others in a manager's process.

Promises: each thread has its own connection; a proxy keeps its object alive; it can be passed on to other processes, and into
the manager itself, where it speaks to the object directly.
Not here: the proxies of particular types (`proxies.py`).
"""

from __future__ import annotations

import threading

from procession._channels.pickling import get_spawning_popen
from procession._managers.protocol import PROXY, RETURN, Token, ask, dispatch, listener_client, to_error
from procession._processes.process import current_process
from procession._runtime import Finalizer, register_after_fork, state

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeVar

    P = TypeVar("P", bound="BaseProxy")

__all__ = ["AutoProxy", "BaseProxy", "MakeProxyType", "RebuildProxy", "exposing", "make_proxy_type"]


class _Connections(threading.local):
    """This thread's connection to one server."""

    connection: Any = None


def _connections(address: Any) -> _Connections:
    """The connections to a server: one for each thread, shared by all proxies."""
    table: dict[Any, _Connections] = state.extra.setdefault("manager_connections", {})
    return table.setdefault(address, _Connections())


class BaseProxy:
    """The base of all proxies."""

    _exposed_: Any = None  # the names of the methods that may be called; None: those of the object
    _method_to_typeid_: Any = None  # method -> the typeid of what it returns, as a proxy

    def __init__(  # noqa: PLR0913 - the documented signature
        self,
        token: Token,
        serializer: str,
        manager: Any = None,
        authkey: bytes | None = None,
        exposed: Iterable[str] | None = None,
        incref: bool = True,
        manager_owned: bool = False,
    ) -> None:
        self._token = token
        self._id = token.id
        self._manager: Any = manager
        self._serializer = serializer
        self._client = listener_client[serializer][1]
        self._tls = _connections(token.address)
        if authkey is not None:
            self._authkey = bytes(authkey)
        elif manager is not None:
            self._authkey = manager._authkey
        else:
            self._authkey = current_process().authkey
        self._close: Finalizer | None = None
        if incref:
            self._incref()
        register_after_fork(self, BaseProxy._after_fork)

    # ── calls ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def _connect(self) -> None:
        thread = threading.current_thread().name
        name = current_process().name if thread == "MainThread" else f"{current_process().name}|{thread}"
        connection = self._client(self._token.address, authkey=self._authkey)
        dispatch(connection, None, "accept_connection", (name,))
        self._tls.connection = connection

    def _callmethod(self, methodname: str, args: Any = (), kwds: Any = None) -> Any:
        """Call a method of the object: its result, a copy or a proxy; raises what it raised."""
        held = self._local()
        if held is not None:
            return getattr(held.obj, methodname)(*args, **(kwds or {}))
        if self._tls.connection is None:
            self._connect()
        kind, result = ask(self._tls.connection, self._id, methodname, args, kwds)
        if kind == RETURN:
            return result
        if kind == PROXY:
            return self._returned_proxy(*result)
        try:
            raise to_error(kind, result)
        finally:
            del result  # an exception must not refer to the frame that refers to it

    def _returned_proxy(self, exposed: Any, token: Token) -> Any:
        manager: Any = self._manager
        proxytype = manager._registry[token.typeid].proxytype
        token.address = self._token.address
        proxy = proxytype(token, self._serializer, manager=self._manager, authkey=self._authkey, exposed=exposed)
        connection = self._client(token.address, authkey=self._authkey)
        with connection:
            dispatch(connection, None, "decref", (token.id,))
        return proxy

    def _getvalue(self) -> Any:
        """A copy of the object."""
        held = self._local()
        return held.obj if held is not None else self._callmethod("#GETVALUE")

    def _local(self) -> Any:
        server = state.extra.get("manager_server")
        return server.local(self._id) if server is not None and server.address == self._token.address else None

    # ── references ───────────────────────────────────────────────────────────────────────────────────────────────────
    def _incref(self) -> None:
        server = state.extra.get("manager_server")
        if server is not None and server.address == self._token.address:
            server.incref(None, self._id)
            self._close = Finalizer(self, _decref_locally, args=(server, self._id))
            return
        with self._client(self._token.address, authkey=self._authkey) as connection:
            dispatch(connection, None, "incref", (self._id,))
        alive = self._manager and self._manager._state
        self._close = Finalizer(self, _decref, args=(self._token, self._authkey, alive, self._client), exitpriority=10)

    def _after_fork(self) -> None:
        self._manager = None
        self._tls = _connections(self._token.address)
        self._tls.connection = None
        self._incref_in_child()

    def _incref_in_child(self) -> None:
        try:
            self._incref()
        except (OSError, EOFError):
            self._close = None  # the manager is gone: the next call says so

    def __reduce__(self) -> tuple[Any, ...]:
        kwds: dict[str, Any] = {}
        if get_spawning_popen() is not None:
            kwds["authkey"] = self._authkey
        if getattr(self, "_isauto", False):
            kwds["exposed"] = self._exposed_
            return RebuildProxy, (AutoProxy, self._token, self._serializer, kwds)
        return RebuildProxy, (type(self), self._token, self._serializer, kwds)

    def __deepcopy__(self, memo: Any) -> Any:
        return self._getvalue()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} object, typeid {self._token.typeid!r} at {id(self):#x}>"

    def __str__(self) -> str:
        try:
            text: str = self._callmethod("__repr__")
        except Exception:  # noqa: BLE001 - the object cannot say what it is: the text says that
            return repr(self)[:-1] + "; '__str__()' failed>"
        return text


def _decref(token: Token, authkey: bytes, alive: Any, client: Callable[..., Any]) -> None:
    """Tell the server that a proxy is gone, if there still is one."""
    if alive is not None and alive.value != "started":
        return
    try:
        with client(token.address, authkey=authkey) as connection:
            dispatch(connection, None, "decref", (token.id,))
    except (OSError, EOFError):
        return  # the server has gone before, and the object with it


def _decref_locally(server: Any, ident: str) -> None:
    server.decref(None, ident)


def RebuildProxy(func: Any, token: Token, serializer: str, kwds: dict[str, Any]) -> Any:  # noqa: N802
    """The proxy that arrived in a pickle."""
    kwds = {name: value for name, value in kwds.items() if name != "manager_owned"}
    return func(token, serializer, incref=kwds.pop("incref", True), **kwds)


RebuildProxy.__module__ = "procession._managers.api"


def make_proxy_type(name: str, exposed: Iterable[str], cache: dict[Any, Any] | None = None) -> Any:
    """A proxy class with a method for each exposed name."""
    exposed = tuple(exposed)
    known: dict[Any, Any] = state.extra.setdefault("proxy_types", {}) if cache is None else cache
    found = known.get((name, exposed))
    if found is None:
        methods = {method: _forwarding(method) for method in exposed}
        about = {"_exposed_": exposed, "__module__": "procession._managers.api"}
        found = known[name, exposed] = type(name, (BaseProxy,), {**methods, **about})
    return found


def _forwarding(method: str) -> Callable[..., Any]:
    def forward(self: BaseProxy, /, *args: Any, **kwds: Any) -> Any:
        return self._callmethod(method, args, kwds)

    forward.__name__ = method
    forward.__doc__ = f"Call `{method}` of the object."
    return forward


MakeProxyType = make_proxy_type


def exposing(*names: str) -> Callable[[type[P]], type[P]]:
    """Gives a proxy class a method for each name, and exposes them."""

    def complete(cls: type[P]) -> type[P]:
        for name in names:
            setattr(cls, name, _forwarding(name))
        cls._exposed_ = names
        return cls

    return complete


def AutoProxy(  # noqa: N802, PLR0913 - the documented signature
    token: Token,
    serializer: str,
    manager: Any = None,
    authkey: bytes | None = None,
    exposed: Iterable[str] | None = None,
    incref: bool = True,
    manager_owned: bool = False,
) -> Any:
    """A proxy whose class is made for the object's exposed methods."""
    if authkey is None:
        authkey = manager._authkey if manager is not None else current_process().authkey
    if exposed is None:
        with listener_client[serializer][1](token.address, authkey=authkey) as connection:
            exposed = tuple(sorted(dispatch(connection, None, "get_methods", (token,))))
    cls = make_proxy_type(f"AutoProxy[{token.typeid}]", exposed)
    proxy = cls(token, serializer, manager=manager, authkey=authkey, incref=incref)
    proxy._isauto = True
    return proxy


AutoProxy.__module__ = "procession._managers.api"
