"""The children of the start method fork, under the standard library's module name."""

from procession._processes.start_fork import Popen

__all__ = ["Popen"]
