"""The package as syntax trees: which modules there are, what each imports, and where it stands."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "procession"
# A floor may import what stands before it here, nothing else of ours.
FLOORS = (
    "errors", "_typing", "_runtime", "_native", "_os", "_memory", "_primitives", "_channels", "_processes", "_pools",
    "_managers", "_context", "_engines", "observe", "_cli",
)  # fmt: skip
# The one place of late loading, and the command line's entry: neither floors nor doors.
ENTRANCES = ("", "__main__")
MODULE = re.compile(rf"{PACKAGE}(\.\w+)+")


@dataclass(frozen=True)
class Import:
    """One import: the full name of the module, where, and when it happens."""

    module: str
    line: int
    in_function: bool
    for_types_only: bool

    @property
    def ours(self) -> bool:
        return self.module == PACKAGE or self.module.startswith(PACKAGE + ".")


@dataclass(frozen=True)
class Module:
    """One file of the package."""

    path: Path
    name: str  # below the package: "_channels.pipe"; "" for the package itself
    is_package: bool

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, str(self.path))

    @property
    def floor(self) -> str | None:
        """The floor it belongs to; None for a door and an entrance."""
        first = self.name.partition(".")[0]
        return first if first in FLOORS else None

    @property
    def is_door(self) -> bool:
        return self.floor is None and self.name not in ENTRANCES

    @property
    def full_name(self) -> str:
        return f"{PACKAGE}.{self.name}".rstrip(".")

    def at(self, line: int) -> str:
        """`src/procession/x.py:12`, for messages."""
        path = self.path.relative_to(ROOT) if self.path.is_relative_to(ROOT) else self.path
        return f"{path}:{line}"

    @cached_property
    def imports(self) -> list[Import]:
        return [found for node, inside, types in walk(self.tree) for found in self.read(node, inside, types)]

    def read(self, node: ast.AST, in_function: bool, types: bool) -> Iterator[Import]:
        """The imports that `node` itself makes; `from x import y` counts as x.y where that is a module."""
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, in_function, types)
        elif isinstance(node, ast.ImportFrom):
            base = self.resolve(node)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield Import(inner if is_module(inner) else base, node.lineno, in_function, types)

    def resolve(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.full_name.split(".")
        parts = parts[: len(parts) - node.level + (1 if self.is_package else 0)]
        return ".".join([*parts, *([node.module] if node.module else [])])

    @cached_property
    def named_modules(self) -> list[tuple[str, int]]:
        """Modules of ours named in strings: what a table of late loading, or importlib, will import."""
        found = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                name = f"{PACKAGE}.{node.value}" if node.value.startswith("_") else node.value
                if MODULE.fullmatch(name) and is_module(name) and name != f"{PACKAGE}.__main__":
                    found.append((name, node.lineno))
        return found


def walk(tree: ast.AST, in_function: bool = False, types: bool = False) -> Iterator[tuple[ast.AST, bool, bool]]:
    """Every node below `tree`, whether a function holds it, and whether only type checkers see it."""
    for child in ast.iter_child_nodes(tree):
        yield child, in_function, types
        inside = in_function or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for part in child.body:
                yield part, inside, True
                yield from walk(part, inside, True)
            for part in child.orelse:
                yield part, inside, types
                yield from walk(part, inside, types)
        else:
            yield from walk(child, inside, types)


def is_module(full_name: str) -> bool:
    """Is there a file for this module of ours?"""
    if full_name != PACKAGE and not full_name.startswith(PACKAGE + "."):
        return False
    if full_name.removeprefix(PACKAGE + ".") in FLOORS:
        return True  # though it may not be written yet
    path = ROOT.joinpath("src", *full_name.split("."))
    return path.with_suffix(".py").exists() or path.with_suffix(".pyi").exists() or (path / "__init__.py").exists()


def modules() -> list[Module]:
    """All Python files of the package, and the stubs of compiled modules."""
    folder = ROOT / "src" / PACKAGE
    found = []
    for path in sorted([*folder.rglob("*.py"), *folder.rglob("*.pyi")]):
        parts = path.relative_to(folder).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        found.append(Module(path, ".".join(parts[:-1] if is_package else parts), is_package))
    return found


MODULES = modules()
