"""The main module of the program, as children see it: how to find it, import it under the name `__mp_main__`, and whether it is guarded.

Promises: what has to be skipped is skipped: `__main__` files of packages, directories and archives (they are guarded by their name),
IPython's launcher, standard input, `-c`, the interactive interpreter. A module that is the main module already is not run twice.
The name `__mp_main__` is known in every process, so that children can send objects of the main module's classes.
Not here: what else a child is told (`preparation.py`).
"""

from __future__ import annotations

import os
import sys
from types import ModuleType

from procession._runtime import state

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any

__all__ = ["import_from_name", "import_from_path", "is_importable", "may_be_unguarded", "where"]

NAME = "__mp_main__"


def where() -> dict[str, str]:
    """How a child finds the main module of this process: by name, by path, or (empty) not at all."""
    main = sys.modules.get("__main__")
    name = getattr(getattr(main, "__spec__", None), "name", None)
    if name is not None:
        return {"init_main_from_name": name}
    path = getattr(main, "__file__", None)
    if path is None or os.path.basename(path).startswith("<"):
        return {}
    if not os.path.isabs(path) and state.main.directory is not None:
        path = os.path.join(state.main.directory, path)
    return {"init_main_from_path": os.path.normpath(path)}


def is_importable() -> bool:
    """Can children import the functions of this program's main module?"""
    found = where()
    if "init_main_from_name" in found:
        return not _is_guarded_by_name(found["init_main_from_name"])
    return "init_main_from_path" in found and not _is_launcher(found["init_main_from_path"])


def _is_guarded_by_name(name: str) -> bool:
    return name == "__main__" or name.endswith(".__main__")


def _is_launcher(path: str) -> bool:
    return os.path.splitext(os.path.basename(path))[0] == "ipython"


def import_from_name(name: str) -> None:
    """Make the module `name` the main module of this child, under the name `__mp_main__`."""
    current = sys.modules["__main__"]
    if _is_guarded_by_name(name) or getattr(getattr(current, "__spec__", None), "name", None) == name:
        return
    import runpy  # noqa: PLC0415 - 2 ms that only programs run with -m pay

    module = ModuleType(NAME)
    with _replacing_main(module):
        vars(module).update(runpy.run_module(name, run_name=NAME, alter_sys=True))


def import_from_path(path: str) -> None:
    """Make the script `path` the main module of this child, under the name `__mp_main__`."""
    current = sys.modules["__main__"]
    if _is_launcher(path) or getattr(current, "__file__", None) == path:
        return
    module = ModuleType(NAME)
    source = _source(path)
    with _replacing_main(module):
        if source is None:
            import runpy  # noqa: PLC0415 - as above

            vars(module).update(runpy.run_path(path, run_name=NAME))
            return
        vars(module).update(__file__=path, __cached__=None, __package__="")
        exec(compile(source, path, "exec", dont_inherit=True), vars(module))  # noqa: S102 - the program itself


def _source(path: str) -> bytes | None:
    """The text of a plain script; None for anything that has to be looked at more closely (compiled, an archive, a directory)."""
    if os.path.isdir(path):
        return None
    with open(path, "rb") as file:
        source = file.read()
    return None if b"\0" in source else source


class _replacing_main:  # noqa: N801 - a context manager; contextlib costs every child 0.5 ms
    """From now on `module` is the main module, unless its import fails. The former one is kept: its functions need their globals."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._former = sys.modules["__main__"]

    def __enter__(self) -> None:
        sys.modules["__main__"] = sys.modules[NAME] = self._module

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            state.main.former.append(self._former)
        else:
            sys.modules["__main__"] = self._former
            sys.modules.pop(NAME, None)


def may_be_unguarded() -> bool:
    """Might a child that imports the main module come to this very start again?

    False where the running line of the main module stands below `if __name__ == ...`, or where no such line is running. It reads
    the text, so it can err; then the child's error is only told later.
    """
    if not is_importable():
        return False
    line, path = _running_line()
    if line is None or path is None:
        return False
    if (path, line) not in state.main.guarded:
        state.main.guarded[path, line] = _is_guarded(_lines(path), line)
    return not state.main.guarded[path, line]


def _lines(path: str) -> list[str]:
    """The text of a script; none if it cannot be read, so that nothing in it counts as guarded."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []


def _running_line() -> tuple[int | None, str | None]:
    """The line that the main module's own code is at in this thread, and its file."""
    names = vars(sys.modules["__main__"])
    frame: Any = sys._getframe()
    while frame is not None:
        if frame.f_globals is names and frame.f_code.co_name == "<module>":
            return frame.f_lineno, frame.f_code.co_filename
        frame = frame.f_back
    return None, None


def _is_guarded(lines: list[str], number: int) -> bool:
    """Does line `number` (from 1) stand in a block that begins with `if` and asks for `__name__`?"""
    depth = sys.maxsize
    for line in reversed(lines[:number]):
        text = line.lstrip()
        indent = len(line) - len(text)
        if not text or text.startswith("#") or indent >= depth:
            continue
        depth = indent
        if text.startswith(("if ", "if(", "elif ")) and "__name__" in text:
            return True
        if depth == 0:
            break
    return False


if "__main__" in sys.modules:  # an embedding program may have none
    sys.modules.setdefault(NAME, sys.modules["__main__"])  # for what children send: they say `__mp_main__.Class`
