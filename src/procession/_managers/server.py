"""The server of a manager: holds objects, answers requests about them.

    client --accept_connection--> calls methods --silent--> reactor
                                     |   ^
                             #channel|   |silent
                                     v   |
                                    channel

Promises: a client proves that it knows the key before anything it sends is unpickled. One client's blocked call holds up no other.
Whoever errs is told so. All calls of a client's thread run in one thread here once they concern an object of the user's that a thread
may own: one that can be acquired or entered.
Not here: starting it in a process (`base_manager.py`), waiting for clients (`reactor.py`), serving one (`service.py`), the objects
(`objects.py`).
"""

from __future__ import annotations

import queue
import sys
import threading
import traceback
from functools import partial

from procession import _native
from procession._managers import stdlib_names
from procession._managers.channel import Channel
from procession._managers.clients import ServedClient
from procession._managers.connecting import listener_client
from procession._managers.objects import ObjectTable, server_mark
from procession._managers.protocol import (
    ERROR,
    GREETING,
    PROXY,
    RETURN,
    TRACEBACK,
    VIEWS,
    Token,
    send_message,
)
from procession._managers.reactor import Reactor
from procession._managers.service import Service
from procession._managers.threads import ServerThreads
from procession._os import creation
from procession._processes.logs import info
from procession._runtime import state
from procession.errors import OwnerDied, ShutDown

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from procession._managers.objects import Referent
    from procession._managers.registry import Entry

__all__ = ["Server", "server_of"]


class Server:
    """Serves the objects of one manager on `address`."""

    public: tuple[str, ...] = (
        "shutdown", "create", "accept_connection", "get_methods", "debug_info", "number_of_objects", "dummy", "incref", "decref",
    )  # fmt: skip

    def __init__(self, registry: dict[str, Entry], address: Any, authkey: bytes, serializer: str) -> None:
        if not isinstance(authkey, bytes):
            raise TypeError(f"Authkey {authkey!r} is type {type(authkey)!s}, not bytes")
        self.registry = registry
        self.authkey: bytes = bytes(authkey)
        listener, _client = listener_client[serializer]
        self.listener: Any = listener(address=address, backlog=128)
        self.address: Any = self.listener.address
        self.objects: ObjectTable = ObjectTable()
        self.mutex: Any = self.objects.mutex
        self.stop_event: threading.Event = threading.Event()
        self.threads: ServerThreads = ServerThreads(lambda client: Service(self, client).run())
        self.watched: int | None = None  # a descriptor: when it becomes readable, the server ends
        self.is_here = True  # in the process that serves, not in those forked from it

    # ── serving ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def serve_forever(self) -> None:
        """Serve until a client asks to shut down, then raise SystemExit."""
        _servers()[self.objects.mark] = self
        reactor = Reactor(self.listener, self.authkey, self.threads.serve)
        self.reactor: Reactor = reactor
        if self.watched is not None:
            reactor.watch(self.watched, self.stop_event.set)
        waiting = threading.Thread(target=reactor.run, name="procession-reactor", daemon=True)
        waiting.start()
        import hmac  # noqa: F401, PLC0415 - while the first client is on its way: the handshake needs it

        info("manager serving at %r", self.address)
        try:
            self.stop_event.wait()
        except (KeyboardInterrupt, SystemExit):
            pass  # asked to end: as by shutdown
        finally:
            self.stop_event.set()
            reactor.close()
            waiting.join()
            self.listener.close()
            self.threads.close()
            _servers().pop(self.objects.mark, None)
            info("manager exiting with exitcode 0")
            sys.exit(0)

    def part_with(self, client: ServedClient) -> None:
        """Close a client's connection; nobody holds the references that depended on it any more."""
        client.connection.close()
        self.objects.release(client.lent)
        if client.holder is not None:
            self.objects.release_all(*client.holder)
        elif (
            client.process is not None
        ):  # what it had asked for when it died may have been done after its death was seen
            self.objects.orphan_locks(*client.process)

    # ── calls of proxies ─────────────────────────────────────────────────────────────────────────────────────────────
    def answer(self, client: ServedClient, request: Any) -> tuple[str, Any]:
        """The answer to a request."""
        function: Any = None
        args: Any = ()
        kwds: Any = {}
        try:
            if len(request) == 3:
                ident, method, args = request
            else:
                ident, method, args, kwds = request
            function = self.objects.referents[ident].calls[method]
        except (KeyError, TypeError, ValueError, AttributeError):
            pass  # the first call of this method, or something is wrong: looked at anew
        if function is None:
            return self._answer_anew(client, request)
        try:
            result = function(*args, **kwds)
        except Exception as error:  # noqa: BLE001 - raised again in the client
            return raised(error, client.is_ours)
        return (RETURN, list(result) if type(result) in VIEWS else result)

    def _answer_anew(self, client: ServedClient, request: Any) -> tuple[str, Any]:
        try:
            ident, method, args, kwds = request if len(request) == 4 else (*request, {})
            client.is_ours |= len(request) == 3
            if ident is None:
                return (RETURN, self._grant(client, method, args, kwds))
            referent = self.objects.find(ident)
            client.is_bound |= referent.may_be_owned
            if method not in referent.exposed:
                return (RETURN, _fall_back(referent, method))
            function = getattr(referent.obj, method)
        except Exception:  # noqa: BLE001 - told to the client
            return (TRACEBACK, traceback.format_exc())
        typeid = referent.method_to_typeid.get(method)
        if referent.is_steady and typeid is None:
            referent.calls[method] = function
        return self._call(client, typeid, partial(function, *args, **kwds))

    def _call(self, client: ServedClient, typeid: str | None, function: Callable[[], Any]) -> tuple[str, Any]:
        """The answer to a call of an exposed method, whose result stays here if it has a typeid."""
        try:
            result = function()
        except Exception as error:  # noqa: BLE001 - raised again in the client
            return raised(error, client.is_ours)
        except BaseException:  # noqa: BLE001 - it would end this thread, and must not end the client
            return (TRACEBACK, traceback.format_exc())
        if typeid is None:
            return (RETURN, list(result) if type(result) in VIEWS else result)
        try:
            ident, exposed = self.create(None, typeid, result)
        except Exception:  # noqa: BLE001 - told to the client
            return (TRACEBACK, traceback.format_exc())
        client.lend(ident)
        return (PROXY, (exposed, Token(typeid, self.address, ident)))

    def answer_here(self, ident: str, method: str, args: Any, kwds: Any) -> tuple[str, Any]:
        """The answer to a call by a proxy in this very process: everything is copied, as if it had come from afar."""
        client = ServedClient(None)
        client.is_ours = True
        answer: tuple[str, Any] = copied(self._answer_anew(client, copied((ident, method, args, kwds))))
        return answer

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def _grant(self, client: ServedClient, request: Any, args: Any, kwds: Any) -> Any:
        """The result of a request to the server itself."""
        if request == "accept_connection":
            client.name = str(*args)
            threading.current_thread().name = client.name
        elif request == "#channel":
            client.channel = Channel(*args)
            return True
        elif request == "#hold":
            client.holder = tuple(args)
            self.objects.hold(*client.holder)
            return True
        elif request == "#identify":
            client.is_ours = True
            client.process, thread = tuple(args[:3]), args[3]
            client.owner = state.serving.owner = (args[0], thread)
            return True
        if request not in self.public:
            raise ValueError(f"{request!r} is no request to a manager")
        result = getattr(self, request)(client.connection, *args, **kwds)
        if request == "create":
            client.lend(result[0])
        elif request == "decref" and len(args) == 1:
            client.return_lent(*args)
        return result

    def accept_connection(self, connection: Any, name: str) -> str | None:
        """A thread of a client wants to make calls on this connection."""
        return f"{GREETING} {self.objects.mark} {_native.arena_uuid().hex() if _native.arena_fd() >= 0 else ''}"

    def create(self, connection: Any, typeid: str, /, *args: Any, **kwds: Any) -> tuple[str, tuple[str, ...]]:
        """Make an object of a registered type, with one reference for the client: (its name, its exposed methods)."""
        entry = self.registry.get(typeid)
        if entry is None:
            known = ", ".join(sorted(self.registry)) or "none"
            raise LookupError(f"typeid {typeid!r} is not registered with this manager's server; registered: {known}")
        if entry.callable is not None:
            return self.objects.put(typeid, entry, entry.callable(*args, **kwds))
        if kwds or len(args) != 1:
            raise ValueError(
                f"typeid {typeid!r} was registered without a callable: it is given one object, not {len(args) + len(kwds)}"
            )
        return self.objects.put(typeid, entry, args[0])

    def incref(self, connection: Any, ident: str, holder: str = "", was_received: bool | None = None) -> None:
        """One more proxy refers to an object."""
        if was_received is None:  # a client of the standard library's module does not say
            was_received = self.objects.find(ident).in_transit > 0
        self.objects.incref(ident, holder, was_received)

    def decref(self, connection: Any, ident: str, holder: str = "", sent: int = 0) -> None:
        """One proxy less; without any, the object goes."""
        self.objects.decref(ident, holder, sent)

    def get_methods(self, connection: Any, token: Token) -> set[str]:
        """The exposed methods of an object."""
        return set(self.objects.find(token.id).exposed)

    def number_of_objects(self, connection: Any) -> int:
        """How many objects there are to which proxies refer."""
        return self.objects.count()

    def debug_info(self, connection: Any) -> str:
        """Two lines for each object."""
        return self.objects.describe()

    def dummy(self, connection: Any) -> None:
        """Answer: there is a server."""

    def shutdown(self, connection: Any) -> None:
        """End the server, when the client has been told that it will."""
        send_message(connection, (RETURN, None))
        self.stop_event.set()
        sys.exit(0)


def copied(obj: Any) -> Any:
    """A copy, as another process would get it."""
    return _native.loads(_native.dumps(obj))


def _fall_back(referent: Referent, method: str) -> Any:
    """What every proxy may ask for, exposed or not."""
    if method == "#GETVALUE":
        return referent.obj
    if method == "__str__":
        return str(referent.obj)
    if method == "__repr__":
        return repr(referent.obj)
    raise AttributeError(
        f"method {method!r} of {type(referent.obj)!r} object is not exposed to proxies of typeid {referent.typeid!r}; "
        f"exposed are: {', '.join(sorted(referent.exposed))}"
    )


ORDINARY = (
    queue.Empty,
    queue.Full,
    ShutDown,
    OwnerDied,
)  # what programs catch all the time: nobody looks for where they come from


def raised(error: Exception, to_ours: bool) -> tuple[str, Any]:
    """The answer to a call that raised: the exception, with a note that holds its traceback here if that says anything."""
    if not to_ours and not stdlib_names.has_counterpart(type(error)):
        return (TRACEBACK, "".join(traceback.format_exception(error)))
    inner = error.__traceback__ and error.__traceback__.tb_next
    if inner is not None and not isinstance(error, ORDINARY) and NOTE not in str(getattr(error, "__notes__", "")):
        error.add_note(f"{NOTE}\n{''.join(traceback.format_tb(inner))}")
    error.__traceback__ = None  # it refers to frames that refer to it
    return (ERROR, error)


NOTE = "Where it was raised in the manager's process:"


def _servers() -> dict[str, Server]:
    found: dict[str, Server] = state.extra.setdefault("manager_servers", {})
    return found


def server_of(ident: Any) -> Server | None:
    """The server in this process that holds the object of this name, if there is one."""
    servers = state.extra.get("manager_servers")
    return servers.get(server_mark(ident)) if servers else None


def _leave() -> None:
    """In a forked child: its copies of objects are not those of the server."""
    for server in state.extra.pop("manager_servers", {}).values():
        server.is_here = False


creation.in_forked_children(_leave)
