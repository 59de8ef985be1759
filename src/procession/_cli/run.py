"""`python -m procession PROGRAM [ARGS]`: runs a program that was written for the standard library's module.

Promises: the program sees what it would see if Python ran it: `sys.argv`, `sys.path[0]`, `__main__`, `__file__`, `__spec__`; its exit code
is its own. A program is a script, a directory or a zip file with a `__main__`, `-m MODULE`, `-c CODE`, or standard input.
Not here: what `multiprocessing` means (`drop_in.py`).
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import io
import os
import sys
import types

from procession._cli.drop_in import install

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main", "run_code", "run_module", "run_path"]

USAGE = """usage: python -m procession PROGRAM [ARGS...]
       python -m procession -m MODULE [ARGS...]
       python -m procession -c CODE [ARGS...]
       python -m procession [- [ARGS...]]

Runs a Python program with procession in place of multiprocessing.
PROGRAM is a script, or a directory or zip file with a __main__.
Without one, or with -, it is read from standard input; a terminal is asked line by line."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments (default: those of this process) name; 2 if they name nothing."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] in (["-h"], ["--help"]):
        print(USAGE)
        return 0
    if arguments[:1] in (["-m"], ["-c"]) and len(arguments) < 2:
        print(USAGE, file=sys.stderr)
        return 2
    if arguments and arguments[0].startswith("-") and arguments[0] not in ("-", "-m", "-c"):
        print(f"procession: unknown option {arguments[0]}\n{USAGE}", file=sys.stderr)
        return 2
    install()
    if not arguments or arguments[0] == "-":
        run_standard_input(arguments or [""])
    elif arguments[0] == "-c":
        run_code(arguments[1], ["-c", *arguments[2:]])
    elif arguments[0] == "-m":
        run_module(arguments[1], arguments[1:])
    else:
        return _run_existing(arguments)
    return 0


def _run_existing(arguments: list[str]) -> int:
    if not os.path.exists(arguments[0]):
        print(f"procession: can't open file {arguments[0]!r}: there is no such file", file=sys.stderr)
        return 2
    run_path(arguments[0], arguments)
    return 0


def run_code(code: str, argv: list[str]) -> None:
    """Run source text as the main program."""
    sys.path[0] = ""
    _execute(compile(code, "<string>", "exec"), _new_main(), argv)


def run_standard_input(argv: list[str]) -> None:
    """Run what standard input has as the main program; if it is a terminal, line by line."""
    sys.path[0] = ""
    if not sys.stdin.isatty():
        _execute(compile(sys.stdin.buffer.read(), "<stdin>", "exec"), _new_main(), argv)
        return
    import code  # noqa: PLC0415 - 10 ms that only a session at a terminal pays

    sys.argv[:] = argv
    code.interact(local=_new_main().__dict__, exitmsg="")


def run_module(name: str, argv: list[str]) -> None:
    """Run a module, or a package's `__main__`, as the main program; ImportError says what is missing."""
    sys.path[0] = os.getcwd()
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.submodule_search_locations is not None:
        spec = importlib.util.find_spec(name + ".__main__")
    _run_spec(spec, name, argv)


def run_path(path: str, argv: list[str]) -> None:
    """Run a script, a directory or a zip file as the main program."""
    if os.path.isdir(path) or not _is_script(path):
        sys.path[0] = path
        _run_spec(importlib.machinery.PathFinder.find_spec("__main__", [path]), path, argv)
        return
    sys.path[0] = os.path.dirname(os.path.realpath(path))
    main_module = _new_main()
    main_module.__file__ = path
    main_module.__dict__["__cached__"] = None
    main_module.__loader__ = importlib.machinery.SourceFileLoader("__main__", path)
    with io.open_code(os.path.abspath(path)) as file:
        code = compile(file.read(), path, "exec")
    _execute(code, main_module, argv)


def _is_script(path: str) -> bool:
    """A zip file ends with its directory; anything else is taken for source text."""
    with open(path, "rb") as file:
        if file.read(4) == b"PK\x03\x04":
            return False
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 65_557))  # the directory's end record, with the longest comment
        return b"PK\x05\x06" not in file.read()


def _run_spec(spec: importlib.machinery.ModuleSpec | None, name: str, argv: list[str]) -> None:
    code = getattr(spec.loader, "get_code", lambda _name: None)(spec.name) if spec is not None else None
    if spec is None or code is None:
        raise ImportError(f"procession: {name!r} is not a program: no module to run was found there", name=name)
    main_module = _new_main()
    main_module.__spec__ = spec
    main_module.__loader__ = spec.loader
    main_module.__package__ = spec.parent
    main_module.__file__ = spec.origin
    main_module.__dict__["__cached__"] = spec.cached
    _execute(code, main_module, [spec.origin or name, *argv[1:]])


def _new_main() -> types.ModuleType:
    module = types.ModuleType("__main__")
    module.__dict__["__builtins__"] = sys.modules["builtins"]
    module.__dict__["__annotations__"] = {}
    sys.modules["__main__"] = module  # for good: exit handlers and children look for it there
    return module


def _execute(code: types.CodeType, module: types.ModuleType, argv: list[str]) -> None:
    sys.argv[:] = argv
    exec(code, module.__dict__)  # noqa: S102 - this is what running a program means
