"""`Process` as a thread: what `procession.dummy` offers under that name.

Promises: the attributes and methods of a process that make sense for a thread; a thread cannot be terminated from outside.
Not here: the other names of `dummy`, which are those of `threading` and `queue`.
"""

from __future__ import annotations

import threading
import weakref

from procession._runtime import state

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

__all__ = ["Namespace", "ThreadProcess", "ThreadValue", "active_children", "current_process"]


class ThreadProcess(threading.Thread):
    """A thread with the interface of a process."""

    def __init__(
        self,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(group, target, name, tuple(args), kwargs or {})
        self._pid: int | None = None
        self._started_here = False
        self._parent = threading.current_thread()

    def start(self) -> None:
        """Start the thread. RuntimeError unless called by the thread that made it."""
        if self._parent is not threading.current_thread():
            raise RuntimeError("a process of procession.dummy can only be started by the thread that made it")
        _children(self._parent)[self] = None
        self._started_here = True
        super().start()

    @property
    def exitcode(self) -> int | None:
        """0 once the thread has ended, else None."""
        return 0 if self._started_here and not self.is_alive() else None


def _children(parent: threading.Thread) -> weakref.WeakKeyDictionary[ThreadProcess, None]:
    by_parent: weakref.WeakKeyDictionary[threading.Thread, weakref.WeakKeyDictionary[ThreadProcess, None]]
    by_parent = state.extra.setdefault("thread_children", weakref.WeakKeyDictionary())
    return by_parent.setdefault(parent, weakref.WeakKeyDictionary())


def current_process() -> threading.Thread:
    """The calling thread."""
    return threading.current_thread()


def active_children() -> list[ThreadProcess]:
    """The children of the calling thread that are alive."""
    children = _children(threading.current_thread())
    for child in list(children):
        if not child.is_alive():
            children.pop(child, None)
    return list(children)


class Namespace:
    """An object for attributes; its repr shows those that do not begin with an underscore."""

    def __init__(self, /, **attributes: Any) -> None:
        self.__dict__.update(attributes)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __repr__(self) -> str:
        public = sorted((name, value) for name, value in self.__dict__.items() if not name.startswith("_"))
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in public)})"


class ThreadValue:
    """A value of this process with the interface of a shared one."""

    def __init__(self, typecode: object, value: Any, lock: object = True) -> None:
        self._typecode = typecode
        self._value = value

    @property
    def value(self) -> Any:
        """The value."""
        return self._value

    @value.setter
    def value(self, value: Any) -> None:
        self._value = value

    def get(self) -> Any:
        """The value."""
        return self._value

    def set(self, value: Any) -> None:
        """Set the value."""
        self._value = value

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self._typecode!r}, {self._value!r})>"
