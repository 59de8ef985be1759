"""The server of a manager: holds objects, answers requests about them.

Promises: a client proves that it knows the key before anything it sends is unpickled. One client's blocked call holds up no other.
An object lives as long as a proxy refers to it, also from inside another object of the same server.
Not here: starting it in a process (`manager.py`).
"""

from __future__ import annotations

import sys
import threading
import traceback

from procession._channels import auth
from procession._managers.protocol import (
    ERROR,
    PROXY,
    RETURN,
    TRACEBACK,
    UNSERIALIZABLE,
    Token,
    listener_client,
    send_message,
)
from procession._managers.registry import Entry, public_methods
from procession._runtime import state

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Server"]


class Held:
    """An object that the server holds for its proxies."""

    __slots__ = ("exposed", "method_to_typeid", "obj", "refs")

    def __init__(self, obj: Any, exposed: set[str], method_to_typeid: dict[str, str] | None) -> None:
        self.obj: Any = obj
        self.exposed: set[str] = exposed
        self.method_to_typeid: dict[str, str] = method_to_typeid or {}
        self.refs: int = 0


class Server:
    """Serves the objects of one manager on `address`."""

    public: tuple[str, ...] = (
        "shutdown", "create", "accept_connection", "get_methods", "debug_info", "number_of_objects", "dummy", "incref", "decref",
    )  # fmt: skip

    def __init__(self, registry: dict[str, Entry], address: Any, authkey: bytes, serializer: str) -> None:
        if not isinstance(authkey, bytes):
            raise TypeError(f"Authkey {authkey!r} is type {type(authkey)!s}, not bytes")
        self.registry: dict[str, Entry] = registry
        self.authkey: bytes = bytes(authkey)
        listener, _client = listener_client[serializer]
        self.listener: Any = listener(address=address, backlog=128)
        self.address: Any = self.listener.address
        self._held: dict[str, Held] = {}
        self._idents: dict[int, str] = {}  # id(object) -> ident: one object has one name
        self._next_ident: int = 0
        self.mutex: Any = threading.RLock()
        self.stop_event: threading.Event = threading.Event()

    # ── serving ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def serve_forever(self) -> None:
        """Serve until a client asks to shut down, then raise SystemExit."""
        state.extra["manager_server"] = self
        accepter = threading.Thread(target=self._accept_for_ever, name="procession-manager", daemon=True)
        accepter.start()
        try:
            while not self.stop_event.is_set():
                self.stop_event.wait(1)
        except (KeyboardInterrupt, SystemExit):
            pass  # asked to end: as by shutdown
        finally:
            sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
            sys.exit(0)

    def _accept_for_ever(self) -> None:
        while True:
            try:
                connection = self.listener.accept()
            except OSError:
                if self.listener_is_closed():
                    return
                continue  # a client that was gone before it was accepted
            threading.Thread(target=self._handle_connection, args=(connection,), daemon=True).start()

    def listener_is_closed(self) -> bool:
        """Can no client come any more?"""
        try:
            return self.listener.address is None
        except OSError:
            return True

    def _handle_connection(self, connection: Any) -> None:
        try:
            self._handle_request(connection)
        except SystemExit:
            pass  # the client went away, in the middle or at the end
        finally:
            connection.close()

    def _handle_request(self, connection: Any) -> None:
        try:
            auth.deliver_challenge(connection, self.authkey)
            auth.answer_challenge(connection, self.authkey)
            _ident, name, args, kwds = connection.recv()
            if name not in self.public:
                raise ValueError(f"{name!r} is no request to a manager")
            func = getattr(self, name)
        except Exception:  # noqa: BLE001 - told to the client, if it still listens
            self._reply(connection, (TRACEBACK, traceback.format_exc()))
            return
        try:
            result = func(connection, *args, **kwds)
        except Exception:  # noqa: BLE001 - told to the client
            self._reply(connection, (TRACEBACK, traceback.format_exc()))
        else:
            self._reply(connection, (RETURN, result))

    @staticmethod
    def _reply(connection: Any, message: tuple[str, Any]) -> None:
        try:
            send_message(connection, message)
        except OSError:
            return  # nobody is there to be told
        except Exception:  # noqa: BLE001 - the result cannot be pickled: the client is told that instead
            try:
                send_message(connection, (UNSERIALIZABLE, traceback.format_exc()))
            except OSError:
                return

    # ── calls of proxies ─────────────────────────────────────────────────────────────────────────────────────────────
    def accept_connection(self, connection: Any, name: str) -> None:
        """A thread of a client wants to make calls on this connection."""
        threading.current_thread().name = name
        self._reply(connection, (RETURN, None))
        while not self.stop_event.is_set():
            try:
                ident, method, args, kwds = connection.recv()
            except (EOFError, OSError):
                sys.exit(0)  # the client is gone: ends this thread
            except Exception:  # noqa: BLE001 - it could not be unpickled: the client is told, and may go on
                self._reply(connection, (TRACEBACK, traceback.format_exc()))
                continue
            self._reply(connection, self._answer(connection, ident, method, args, kwds))
        sys.exit(0)

    def _answer(self, connection: Any, ident: str, method: str, args: Any, kwds: Any) -> tuple[str, Any]:
        try:
            held = self._held[ident]
            if method not in held.exposed:
                return self._fall_back(ident, held, method, args, kwds)
            function = getattr(held.obj, method)
        except Exception:  # noqa: BLE001 - told to the client
            return (TRACEBACK, traceback.format_exc())
        try:
            result = function(*args, **kwds)
        except Exception as error:  # noqa: BLE001 - raised again in the client
            return (ERROR, error)
        typeid = held.method_to_typeid.get(method)
        if not typeid:
            return (RETURN, result)
        try:
            made, exposed = self.create(connection, typeid, result)
        except Exception:  # noqa: BLE001 - told to the client
            return (TRACEBACK, traceback.format_exc())
        return (PROXY, (exposed, Token(typeid, self.address, made)))

    def _fall_back(self, ident: str, held: Held, method: str, args: Any, kwds: Any) -> tuple[str, Any]:
        """What every proxy may ask for, exposed or not."""
        if method == "#GETVALUE":
            return (RETURN, held.obj)
        if method == "__str__":
            return (RETURN, str(held.obj))
        if method == "__repr__":
            return (RETURN, repr(held.obj))
        kind = type(held.obj)
        raise AttributeError(f"method {method!r} of {kind!r} object is not in exposed={sorted(held.exposed)!r}")

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def create(self, connection: Any, typeid: str, /, *args: Any, **kwds: Any) -> tuple[str, tuple[str, ...]]:
        """Make an object of a registered type, with one reference for the client: (ident, its exposed methods)."""
        with self.mutex:
            entry = self.registry[typeid]
        obj = self._make(entry.callable, args, kwds)
        exposed = list(public_methods(obj) if entry.exposed is None else entry.exposed)
        if entry.method_to_typeid is not None:
            if not isinstance(entry.method_to_typeid, dict):
                raise TypeError(
                    f"Method_to_typeid {entry.method_to_typeid!r}: type {type(entry.method_to_typeid)!s}, not dict"
                )
            exposed += list(entry.method_to_typeid)
        with self.mutex:
            ident = self._idents.get(id(obj))
            if ident is None:
                self._next_ident += 1
                ident = self._idents[id(obj)] = f"{id(obj):x}-{self._next_ident:x}"
                self._held[ident] = Held(obj, set(exposed), entry.method_to_typeid)
            self._held[ident].refs += 1
        return ident, tuple(exposed)

    @staticmethod
    def _make(callable_: Callable[..., Any] | None, args: tuple[Any, ...], kwds: dict[str, Any]) -> Any:
        if callable_ is not None:
            return callable_(*args, **kwds)
        if kwds or len(args) != 1:
            raise ValueError("Without callable, must have one non-keyword argument")
        return args[0]

    def incref(self, connection: Any, ident: str) -> None:
        """One more proxy refers to an object."""
        with self.mutex:
            self._held[ident].refs += 1

    def decref(self, connection: Any, ident: str) -> None:
        """One proxy less; without any, the object goes."""
        with self.mutex:
            held = self._held[ident]
            held.refs -= 1
            if held.refs > 0:
                return
            del self._held[ident]
            del self._idents[id(held.obj)]
        del held  # outside the mutex: what the object's end does may come back here

    def local(self, ident: str) -> Held:
        """The object behind one of this server's own tokens."""
        return self._held[ident]

    def get_methods(self, connection: Any, token: Token) -> set[str]:
        """The exposed methods of an object."""
        return self._held[token.id].exposed

    def number_of_objects(self, connection: Any) -> int:
        """How many objects are held."""
        return len(self._held)

    def debug_info(self, connection: Any) -> str:
        """A line for each object."""
        with self.mutex:
            rows = sorted(self._held.items())
            return "\n".join(f"  {ident}:       refcount={held.refs}\n    {str(held.obj)[:75]}" for ident, held in rows)

    def dummy(self, connection: Any) -> None:
        """Answer: there is a server."""

    def shutdown(self, connection: Any) -> None:
        """End the server, when the client has been told that it will."""
        self._reply(connection, (RETURN, None))
        self.stop_event.set()
        sys.exit(0)
