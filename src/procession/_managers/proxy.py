"""Proxies: objects that stand for others in a manager's process.

Promises: each thread has its own connection; a proxy keeps its object alive. It can be passed on to other processes, and into the manager
itself, where it speaks to the object directly; there, too, arguments and results are copies. Nested proxies find the key under which
this process has connected.
Not here: the proxies of particular types (`proxies.py`), the way to the server (`line.py`).
"""

from __future__ import annotations

import sys

from procession._channels.pickling import get_spawning_popen
from procession._managers.dialling import listener_client
from procession._managers.line import key_for, lines_to
from procession._managers.protocol import PROXY, RETURN, Token, to_error
from procession._managers.server import server_of
from procession._runtime import Finalizer, register_after_fork, state
from procession.errors import ManagerDied

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from procession._managers.line import Lines
    from procession._managers.server import Server

__all__ = ["AutoProxy", "BaseProxy", "MakeProxyType", "RebuildProxy", "forwarding", "referent_of"]


class BaseProxy:
    """The base of all proxies.

    Every call raises `ManagerDied` if the manager is gone, `RemoteError` with the remote traceback if something but the method itself failed,
    and otherwise what the method raised.
    """

    _exposed_: Iterable[str] | None = None
    _method_to_typeid_: dict[str, str] | None = None
    _proxytypes_: dict[str, Any] = {}  # noqa: RUF012 - for returned proxies where no manager is known: typeid -> type

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
        self._client: Callable[..., Any] = listener_client[serializer][1]
        self._lines: Lines = lines_to(token.address)
        self._server: Server | None = server_of(token.id)
        if authkey is None:
            authkey = key_for(token.address) if manager is None else manager._authkey
        self._authkey: bytes = authkey
        self._close: Finalizer | None = None
        if incref:
            self._incref()
        register_after_fork(self, BaseProxy._after_fork)

    # ── calls ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def _callmethod(self, methodname: str, args: Any = (), kwds: Any = None) -> Any:
        """Call a method of the object: its result, a copy or a proxy; raises what it raised."""
        server = self._server
        if server is not None and server.is_here:
            answer = server.answer_here(self._id, methodname, args, kwds or {})
        else:
            line = self._lines.line or self._lines.open(self._client, self._authkey)
            answer = line.ask(self._id, methodname, args, kwds)
        if answer[0] == RETURN:
            return answer[1]
        if answer[0] == PROXY:
            return self._returned_proxy(*answer[1])
        try:
            raise to_error(*answer)
        finally:
            del answer  # an exception must not refer to the frame that refers to it

    def _returned_proxy(self, exposed: Any, token: Token) -> Any:
        token.address = self._token.address
        entry = self._manager._registry.get(token.typeid) if self._manager is not None else None
        proxytype = self._proxytypes_.get(token.typeid, AutoProxy) if entry is None else entry.proxytype
        proxy = proxytype(token, self._serializer, manager=self._manager, authkey=self._authkey, exposed=exposed)
        self._lines.release(self._client, self._authkey, token.id)  # the reference that the server gave us
        return proxy

    def _getvalue(self) -> Any:
        """A copy of the object."""
        return self._callmethod("#GETVALUE")

    # ── references ───────────────────────────────────────────────────────────────────────────────────────────────────
    def _incref(self) -> None:
        if self._server is not None:
            self._server.incref(None, self._id)
            self._close = Finalizer(self, _release_here, args=(self._server, self._id))
            return
        self._lines.request(self._client, self._authkey, "incref", (self._id,))
        alive = self._manager and self._manager._state
        self._close = Finalizer(
            self, _release, args=(self._lines, self._client, self._authkey, self._id, alive), exitpriority=10
        )

    def _after_fork(self) -> None:
        self._manager = None
        self._server = None
        try:
            self._incref()
        except ManagerDied:
            self._close = None  # the next call says so

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


def _release(lines: Lines, client: Callable[..., Any], authkey: bytes, ident: str, alive: Any) -> None:
    """Tell the server that a proxy is gone, if there still is one."""
    if alive is None or alive.value == "started":
        lines.release(client, authkey, ident)


def _release_here(server: Server, ident: str) -> None:
    server.decref(None, ident)


def RebuildProxy(func: Any, token: Token, serializer: str, kwds: dict[str, Any]) -> Any:  # noqa: N802
    """The proxy that arrived in a pickle."""
    kwds = {name: value for name, value in kwds.items() if name != "manager_owned"}
    return func(token, serializer, incref=kwds.pop("incref", True), **kwds)


def referent_of(obj: Any) -> Any:
    """In a server: the object behind one of its own proxies; anything else as it is."""
    server = getattr(obj, "_server", None) if isinstance(obj, BaseProxy) else None
    return obj if server is None else server.shelf.find(obj._id).obj


def make_proxy_type(name: str, exposed: Iterable[str], cache: dict[Any, Any] | None = None, module: str = "") -> Any:
    """A proxy class with a method for each exposed name."""
    exposed = tuple(exposed)
    known: dict[Any, Any] = state.extra.setdefault("proxy_types", {}) if cache is None else cache
    found = known.get((name, exposed))
    if found is None:
        methods = {method: forwarding(method) for method in exposed}
        about = {"_exposed_": exposed, "__module__": module or sys._getframe(1).f_globals.get("__name__", __name__)}
        found = known[name, exposed] = type(name, (BaseProxy,), {**methods, **about})
    return found


def forwarding(method: str) -> Callable[..., Any]:
    """A method of a proxy that calls the one of the same name."""

    def forward(self: BaseProxy, /, *args: Any, **kwds: Any) -> Any:
        return self._callmethod(method, args, kwds)

    forward.__name__ = method
    forward.__qualname__ = f"BaseProxy.{method}"
    forward.__doc__ = f"Call `{method}` of the object."
    return forward


MakeProxyType = make_proxy_type


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
        authkey = key_for(token.address) if manager is None else manager._authkey
    if exposed is None:
        exposed = _exposed_methods(token, serializer, authkey)
    cls = make_proxy_type(f"AutoProxy[{token.typeid}]", sorted(exposed), module=__name__)
    proxy = cls(token, serializer, manager=manager, authkey=authkey, incref=incref)
    proxy._isauto = True
    return proxy


def _exposed_methods(token: Token, serializer: str, authkey: bytes) -> Iterable[str]:
    server = server_of(token.id)
    if server is not None:
        return server.get_methods(None, token)
    found: Iterable[str] = lines_to(token.address).request(listener_client[serializer][1], authkey, "get_methods", (token,))
    return found
