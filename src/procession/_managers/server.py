"""The server of a manager: holds objects, answers requests about them.

    caller --accept_connection--> calls methods --silent--> lobby
                                     |   ^
                             #channel|   |silent
                                     v   |
                                    channel

Promises: a client proves that it knows the key before anything it sends is unpickled. One client's blocked call holds up no other.
Whoever errs is told so, and everybody is served on. All calls of a client's thread run in one thread here once they concern an object
that may care (a recursive lock, an object of the user's).
Not here: starting it in a process (`base_manager.py`), waiting for clients (`lobby.py`), the objects (`shelf.py`).
"""

from __future__ import annotations

import queue
import sys
import threading
import traceback
from functools import partial

from procession import _native
from procession._channels.pipe import Connection
from procession._managers import peers
from procession._managers.attendants import Attendants
from procession._managers.caller import Caller
from procession._managers.channel import Channel
from procession._managers.dialling import listener_client
from procession._managers.lobby import Lobby
from procession._managers.protocol import (
    ERROR,
    GREETING,
    PROXY,
    RETURN,
    TRACEBACK,
    UNSERIALIZABLE,
    VIEWS,
    Token,
    encode,
    send_message,
)
from procession._managers.shelf import Shelf, server_mark
from procession._os import creation
from procession._processes.logs import info
from procession._runtime import state
from procession.errors import ShutDown

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from procession._managers.registry import Entry
    from procession._managers.shelf import Held

__all__ = ["Server", "server_of"]

LINGER = 0.05  # seconds that a thread waits for its caller's next request when there are more callers than threads


class Server:
    """Serves the objects of one manager on `address`."""

    public: tuple[str, ...] = (
        "shutdown", "create", "accept_connection", "get_methods", "debug_info", "number_of_objects", "dummy", "incref", "decref",
    )  # fmt: skip

    def __init__(self, registry: dict[str, Entry], address: Any, authkey: bytes, serializer: str) -> None:
        if not isinstance(authkey, bytes):
            raise TypeError(f"Authkey {authkey!r} is type {type(authkey)!s}, not bytes")
        self.registry = registry
        self.authkey = bytes(authkey)
        listener, _client = listener_client[serializer]
        self.listener = listener(address=address, backlog=128)
        self.address = self.listener.address
        self.shelf = Shelf()
        self.mutex = self.shelf.mutex
        self.stop_event = threading.Event()
        self.attendants = Attendants(self._serve)
        self.watched: int | None = None  # a descriptor: when it becomes readable, the server ends
        self.is_here = True  # in the process that serves, not in those forked from it

    # ── serving ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def serve_forever(self) -> None:
        """Serve until a client asks to shut down, then raise SystemExit."""
        _servers()[self.shelf.mark] = self
        lobby = self.lobby = Lobby(self.listener, self.authkey, self.attendants.call)
        if self.watched is not None:
            lobby.watch(self.watched, self.stop_event.set)
        waiting = threading.Thread(target=lobby.run, name="procession-lobby", daemon=True)
        waiting.start()
        info("manager serving at %r", self.address)
        try:
            self.stop_event.wait()
        except (KeyboardInterrupt, SystemExit):
            pass  # asked to end: as by shutdown
        finally:
            self.stop_event.set()
            lobby.close()
            waiting.join()
            self.listener.close()
            self.attendants.hang_up()
            _servers().pop(self.shelf.mark, None)
            info("manager exiting with exitcode 0")
            sys.exit(0)

    def _serve(self, caller: Caller) -> None:
        """Serve a caller until it says nothing, or is gone."""
        is_here = True
        try:
            while is_here and not self.stop_event.is_set():
                is_here = self._serve_once(caller)
        except (EOFError, OSError, SystemExit):
            pass  # it went away, in the middle or at the end; or it has asked to shut down
        finally:
            if is_here:
                caller.connection.close()
        if not is_here:
            self.lobby.park(caller)

    def _serve_once(self, caller: Caller) -> bool:
        """Answer the caller's next request. False: it says nothing, and this thread is needed elsewhere."""
        if not caller.is_bound and not self.attendants.may_stay() and not caller.connection.poll(LINGER):
            return False
        self._reply(caller, self._hear(caller, caller.connection))
        channel, caller.channel = caller.channel, None
        if channel is not None:
            channel.serve(partial(self.answer, caller))
        return True

    def _hear(self, caller: Caller, connection: Any) -> tuple[str, Any]:
        """The answer to the caller's next request."""
        if not isinstance(connection, Connection):
            return self.answer(caller, connection.recv())
        message = connection.recv_bytes()
        try:
            request = _native.loads(message)
        except Exception:  # noqa: BLE001 - it cannot be unpickled: the caller is told, and may go on
            return TRACEBACK, traceback.format_exc()
        return self.answer(caller, request)

    @staticmethod
    def _reply(caller: Caller, message: tuple[str, Any]) -> None:
        try:
            written = encode(message, caller.is_ours) if isinstance(caller.connection, Connection) else None
        except Exception:  # noqa: BLE001 - the result cannot be pickled: the caller is told that instead
            written = encode((UNSERIALIZABLE, traceback.format_exc()))
        if written is not None:
            caller.connection.send_bytes(written)
        else:
            caller.connection.send(message)

    # ── calls of proxies ─────────────────────────────────────────────────────────────────────────────────────────────
    def answer(self, caller: Caller, request: Any) -> tuple[str, Any]:
        """The answer to a request."""
        try:
            if len(request) == 3:
                ident, method, args = request
                kwds: dict[str, Any] = {}
            else:
                ident, method, args, kwds = request
            function = self.shelf.held[ident].calls[method]
        except Exception:  # noqa: BLE001 - the first call of this method, or something is wrong: looked at anew
            function = None
        if function is None:
            return self._answer_anew(caller, request)
        try:
            result = function(*args, **kwds)
        except Exception as error:  # noqa: BLE001 - raised again in the client
            return raised(error, caller.is_ours)
        return (RETURN, list(result) if type(result) in VIEWS else result)

    def _answer_anew(self, caller: Caller, request: Any) -> tuple[str, Any]:
        try:
            ident, method, args, kwds = request if len(request) == 4 else (*request, {})
            caller.is_ours |= len(request) == 3
            if ident is None:
                return (RETURN, self._grant(caller, method, args, kwds))
            held = self.shelf.find(ident)
            caller.is_bound |= not held.is_steady
            if method not in held.exposed:
                return (RETURN, _fall_back(held, method))
            function = getattr(held.obj, method)
        except Exception:  # noqa: BLE001 - told to the client
            return (TRACEBACK, traceback.format_exc())
        return self.call(held, method, function, args, kwds, to_ours=caller.is_ours)

    def call(  # noqa: PLR0913 - a call, taken apart
        self, held: Held, method: str, function: Callable[..., Any], args: Any, kwds: Any, *, to_ours: bool = True
    ) -> tuple[str, Any]:
        """The answer to a call of an exposed method."""
        typeid = held.method_to_typeid.get(method)
        if held.is_steady and typeid is None:
            held.calls[method] = function
        try:
            result = function(*args, **kwds)
        except Exception as error:  # noqa: BLE001 - raised again in the client
            return raised(error, to_ours)
        except BaseException:  # noqa: BLE001 - it would end this thread, and must not end the client
            return (TRACEBACK, traceback.format_exc())
        if typeid is None:
            return (RETURN, list(result) if type(result) in VIEWS else result)
        try:
            ident, exposed = self.create(None, typeid, result)
        except Exception:  # noqa: BLE001 - told to the client
            return (TRACEBACK, traceback.format_exc())
        return (PROXY, (exposed, Token(typeid, self.address, ident)))

    def answer_here(self, ident: str, method: str, args: Any, kwds: Any) -> tuple[str, Any]:
        """The answer to a call by a proxy in this very process: everything is copied, as if it had come from afar."""
        caller = Caller(None)
        caller.is_ours = True
        answer: tuple[str, Any] = copied(self._answer_anew(caller, copied((ident, method, args, kwds))))
        return answer

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def _grant(self, caller: Caller, request: Any, args: Any, kwds: Any) -> Any:
        """The result of a request to the server itself."""
        if request == "accept_connection":
            caller.name = str(*args)
            threading.current_thread().name = caller.name
        elif request == "#channel":
            caller.channel = Channel(*args)
            return True
        if request not in self.public:
            raise ValueError(f"{request!r} is no request to a manager")
        return getattr(self, request)(caller.connection, *args, **kwds)

    def accept_connection(self, connection: Any, name: str) -> str | None:
        """A thread of a client wants to make calls on this connection."""
        return f"{GREETING} {_native.arena_uuid().hex() if _native.arena_fd() >= 0 else ''}"

    def create(self, connection: Any, typeid: str, /, *args: Any, **kwds: Any) -> tuple[str, tuple[str, ...]]:
        """Make an object of a registered type, with one reference for the client: (its name, its exposed methods)."""
        entry = self.registry.get(typeid)
        if entry is None:
            known = ", ".join(sorted(self.registry)) or "none"
            raise LookupError(f"typeid {typeid!r} is not registered with this manager's server; registered: {known}")
        if entry.callable is not None:
            return self.shelf.put(typeid, entry, entry.callable(*args, **kwds))
        if kwds or len(args) != 1:
            raise ValueError(
                f"typeid {typeid!r} was registered without a callable: it is given one object, not {len(args) + len(kwds)}"
            )
        return self.shelf.put(typeid, entry, args[0])

    def incref(self, connection: Any, ident: str) -> None:
        """One more proxy refers to an object."""
        self.shelf.incref(ident)

    def decref(self, connection: Any, ident: str) -> None:
        """One proxy less; without any, the object goes."""
        self.shelf.decref(ident)

    def get_methods(self, connection: Any, token: Token) -> set[str]:
        """The exposed methods of an object."""
        return set(self.shelf.find(token.id).exposed)

    def number_of_objects(self, connection: Any) -> int:
        """How many objects are held."""
        return len(self.shelf.held)

    def debug_info(self, connection: Any) -> str:
        """Two lines for each object."""
        return self.shelf.describe()

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


def _fall_back(held: Held, method: str) -> Any:
    """What every proxy may ask for, exposed or not."""
    if method == "#GETVALUE":
        return held.obj
    if method == "__str__":
        return str(held.obj)
    if method == "__repr__":
        return repr(held.obj)
    raise AttributeError(
        f"method {method!r} of {type(held.obj)!r} object is not exposed to proxies of typeid {held.typeid!r}; "
        f"exposed are: {', '.join(sorted(held.exposed))}"
    )


ORDINARY = (queue.Empty, queue.Full, ShutDown)  # what programs catch all the time: nobody looks for where they come from


def raised(error: Exception, to_ours: bool) -> tuple[str, Any]:
    """The answer to a call that raised: the exception, with a note that holds its traceback here if that says anything."""
    if not to_ours and not peers.has_counterpart(type(error)):
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
