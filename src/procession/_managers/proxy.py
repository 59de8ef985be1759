"""Proxies: objects that stand for others in a manager's process.

Promises: each thread has its own connection; a proxy keeps its object alive. It can be passed on to other processes, and into the manager
itself, where it speaks to the object directly; there, too, arguments and results are copies. Nested proxies find the key under which
this process has connected.
Not here: the proxies of particular types (`proxies.py`), the way to the server (`remote.py`).
"""

from __future__ import annotations

import sys

from procession._channels.pickling import get_spawning_popen
from procession._managers.protocol import PROXY, RETURN, Token, to_error
from procession._managers.remote import remote_server
from procession._managers.server import server_of
from procession._os import creation
from procession._runtime import Finalizer, register_after_fork, state
from procession.errors import ManagerDied

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeVar

    from procession._managers.remote import RemoteServer
    from procession._managers.server import Server

    P = TypeVar("P", bound="BaseProxy")

__all__ = ["AutoProxy", "BaseProxy", "MakeProxyType", "RebuildProxy", "exposing", "make_proxy_type", "referent_of"]


class Reference:
    """What the end of a proxy needs to know about it."""

    __slots__ = ("_forks", "pickles")

    def __init__(self) -> None:
        self.pickles = 0
        self._forks = _forks()

    @property
    def sent(self) -> int:
        """How many processes may take a reference though the proxy is gone: those that it was pickled for, and forked children."""
        return self.pickles + _forks() - self._forks


def _forks() -> int:
    """How many times this process was forked."""
    count: int = state.extra.get("forks", 0)
    return count


def _count_fork() -> None:
    state.extra["forks"] = _forks() + 1


creation.before_forks(_count_fork)


class BaseProxy:
    """The base of all proxies.

    Every call raises what the method raised, `RemoteError` with the remote traceback if something round it failed, and `ManagerDied` if the
    manager is gone.
    """

    _exposed_: Any = None  # the names of the methods that may be called; None: those of the object
    _method_to_typeid_: Any = None  # method -> the typeid of what it returns, as a proxy
    _proxytypes_: Any = {}  # typeid -> the type of such proxies, where no manager is known  # noqa: RUF012

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
        key = manager._authkey if authkey is None and manager is not None else authkey
        self._remote: RemoteServer = remote_server(token.address, serializer, key)
        self._server: Server | None = server_of(token.id)  # if the object is in this very process
        self._authkey: bytes = self._remote.authkey if key is None else key
        self._reference = Reference()
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
            session = self._remote.sessions.mine or self._remote.session()
            answer = session.ask(self._id, methodname, args, kwds)
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
        if self._server is None:
            self._remote.decref(token.id, is_lent=True)
        else:
            self._server.objects.decref(token.id)
        return proxy

    def _getvalue(self) -> Any:
        """A copy of the object."""
        return self._callmethod("#GETVALUE")

    # ── references ───────────────────────────────────────────────────────────────────────────────────────────────────
    def _incref(self, was_received: bool = False) -> None:
        if self._server is not None:
            self._server.objects.incref(self._id, was_received=was_received)
            self._close = Finalizer(self, _release_here, args=(self._server, self._id))
            return
        self._remote.incref(self._id, was_received)
        life = self._manager and self._manager._state
        self._close = Finalizer(self, _release, args=(self._remote, self._id, self._reference, life), exitpriority=10)

    def _after_fork(self) -> None:
        self._manager = None
        self._server = None
        self._reference = Reference()
        try:
            self._incref(was_received=True)
        except ManagerDied:
            self._close = None  # the next call says so

    def __reduce__(self) -> tuple[Any, ...]:
        kwds: dict[str, Any] = {}
        if self._server is None:
            self._reference.pickles += 1
        else:
            self._server.objects.send(self._id)
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


def _release(remote: RemoteServer, ident: str, reference: Reference, life: Any) -> None:
    """Tell the server that a proxy is gone, unless the manager has shut it down."""
    if life is None or life.value == "started":
        remote.decref(ident, reference.sent)


def _release_here(server: Server, ident: str) -> None:
    server.objects.decref(ident)


def RebuildProxy(func: Any, token: Token, serializer: str, kwds: dict[str, Any]) -> Any:  # noqa: N802
    """The proxy that arrived in a pickle."""
    kwds = {name: value for name, value in kwds.items() if name != "manager_owned"}
    takes_reference = kwds.pop("incref", True)
    proxy: BaseProxy = func(token, serializer, incref=False, **kwds)
    if takes_reference:
        proxy._incref(was_received=True)
    return proxy


def referent_of(obj: Any) -> Any:
    """In a server: the object behind one of its own proxies; anything else as it is."""
    server = getattr(obj, "_server", None) if isinstance(obj, BaseProxy) else None
    return obj if server is None else server.objects.find(obj._id).obj


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


def exposing(*names: str) -> Callable[[type[P]], type[P]]:
    """Gives a proxy class a method for each name, and exposes them."""

    def complete(cls: type[P]) -> type[P]:
        for name in names:
            setattr(cls, name, forwarding(name))
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
    if authkey is None and manager is not None:
        authkey = manager._authkey
    if exposed is None:
        exposed = _exposed_methods(token, serializer, authkey)
    cls = make_proxy_type(f"AutoProxy[{token.typeid}]", sorted(exposed), module=__name__)
    proxy = cls(token, serializer, manager=manager, authkey=authkey, incref=incref)
    proxy._isauto = True
    return proxy


def _exposed_methods(token: Token, serializer: str, authkey: bytes | None) -> Iterable[str]:
    server = server_of(token.id)
    if server is not None:
        return server.objects.find(token.id).exposed
    found: Iterable[str] = remote_server(token.address, serializer, authkey).request("get_methods", (token,))
    return found
