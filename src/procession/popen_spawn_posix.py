"""The children of the start method spawn, under the standard library's module name."""

from procession._processes.start_spawn import Popen

__all__ = ["Popen"]
