"""Drop-in use: the name `multiprocessing`, and its submodules, mean this package.

Promises: after `install()` every `import multiprocessing…` in this program finds the doors of this package; children that it starts, by
whatever method, install it too, before they import the program. So do interpreters that packages start by their own means, as long as
they get this process's environment and run where the package is installed (`_procession-drop-in.pth`, which reads `INSTALLED`).
The standard library's package is not imported.
Not here: which names the doors have.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys

from procession._runtime import state

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

__all__ = ["install"]

ORIGINAL = "multiprocessing"
OURS = "procession"
INSTALLED = "PROCESSION_INSTALL"  # in the environment: interpreters that are started install it, too


class _Alias(importlib.abc.Loader):
    """Loads `multiprocessing.x` as the module object `procession.x`."""

    def __init__(self, ours: str) -> None:
        self._ours = ours

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._ours)
        self._true_spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._true_spec  # the import system had put the alias's there
        module.__loader__ = getattr(self._true_spec, "loader", None)
        sys.modules[ORIGINAL + module.__name__.removeprefix(OURS)] = module


class _Finder(importlib.abc.MetaPathFinder):
    """Answers for `multiprocessing` and everything below it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != ORIGINAL and not fullname.startswith(ORIGINAL + "."):
            return None
        ours = OURS + fullname.removeprefix(ORIGINAL)
        try:
            found = importlib.util.find_spec(ours)
        except ModuleNotFoundError:
            found = None
        if found is None:
            raise ModuleNotFoundError(f"procession has no module {ours!r} for {fullname!r}", name=fullname)
        is_package = found.submodule_search_locations is not None
        return importlib.machinery.ModuleSpec(fullname, _Alias(ours), is_package=is_package)


def install() -> None:
    """Make `multiprocessing` mean this package, from now on, in this program and its children. Idempotent.

    Raises RuntimeError if the standard library's `multiprocessing` is imported already: call this before other imports.
    """
    present = sys.modules.get(ORIGINAL)
    if present is not None and not present.__name__.startswith(OURS):
        raise RuntimeError(
            "procession.install() came too late: the standard library's multiprocessing is already imported. "
            "Call it before other imports, or run the program with `python -m procession PROGRAM`."
        )
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    sys.modules[ORIGINAL] = importlib.import_module(OURS)
    state.installed = True
    os.environ[INSTALLED] = "1"
