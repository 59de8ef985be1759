"""The children of the start method forkserver, under the standard library's module name."""

from procession._processes.start_forkserver import Popen

__all__ = ["Popen"]
