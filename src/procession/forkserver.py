"""The fork server, under the standard library's module name."""

from __future__ import annotations

import sys

import procession
from procession import _context  # noqa: F401 - so that what a child is told finds the default context
from procession._processes.start_forkserver import run_server as _run_server
from procession._processes.start_forkserver import set_forkserver_preload, the_server
from procession._runtime import state as _state

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Final, NoReturn

__all__ = ["ensure_running", "get_inherited_fds", "main", "set_forkserver_preload"]


class ForkServer:
    """This process's fork server, with the standard library's names for what packages and tests ask it."""

    @property
    def _forkserver_pid(self) -> int | None:
        return the_server().pid

    def ensure_running(self) -> None:
        """Start the server if it is not running."""
        the_server().ensure_running()

    def get_inherited_fds(self) -> list[int] | None:
        """The descriptors that came with this process's start; None if no fork server started it."""
        return _state.received or None

    def set_forkserver_preload(self, modules_names: list[str], *, on_error: str = "ignore") -> None:
        """What the server imports before it forks."""
        set_forkserver_preload(modules_names, on_error=on_error)

    def _stop(self) -> None:
        the_server().stop()


_forkserver = ForkServer()
ensure_running: Final = _forkserver.ensure_running
get_inherited_fds: Final = _forkserver.get_inherited_fds


def _install() -> None:
    procession.install()


def main(control: int, client: int, contents: int) -> NoReturn:
    """In a fresh interpreter: be the fork server."""
    sys.exit(_run_server(control, client, contents, _install))
