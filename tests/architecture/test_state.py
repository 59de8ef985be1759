"""Rule 2: process-wide mutable state lives in `_runtime`, nowhere else."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.sources import MODULES, Module

OWNERS = ("_runtime",)
MUTABLE_CALLS = {
    "dict", "list", "set", "bytearray", "deque", "defaultdict", "OrderedDict", "Counter", "WeakSet", "WeakKeyDictionary",
    "WeakValueDictionary", "count", "cycle", "local", "Lock", "RLock", "Condition", "Event", "Queue", "SimpleQueue",
    "allocate_lock", "ContextVar",
}  # fmt: skip
MUTABLE_DISPLAYS = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
MUTATORS = {
    "append", "extend", "insert", "remove", "pop", "popleft", "appendleft", "clear", "update", "add", "discard",
    "setdefault", "popitem",
}  # fmt: skip


def at_top(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, those inside `if`, `try`, `with` and loops too."""
    for statement in body:
        yield statement
        for name in ("body", "orelse", "finalbody"):
            if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield from at_top(getattr(statement, name, []))


def module_level_names(module: Module) -> dict[str, ast.expr]:
    """Name -> value of every assignment at module level."""
    found: dict[str, ast.expr] = {}
    for statement in at_top(module.tree.body):
        if isinstance(statement, ast.Assign):
            found |= {target.id: statement.value for target in statement.targets if isinstance(target, ast.Name)}
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
            found[statement.target.id] = statement.value
    return found


def called(node: ast.expr) -> str:
    """The last name of what a call calls."""
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def changes(tree: ast.AST, name: str) -> list[int]:
    """The lines inside functions in which something changes the container `name`."""
    return [
        node.lineno  # type: ignore[attr-defined]  # every node that changes something has one
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if changes_it(node, name)
    ]


def changes_it(node: ast.AST, name: str) -> bool:
    def is_it(value: ast.expr) -> bool:
        return isinstance(value, ast.Name) and value.id == name

    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in MUTATORS and is_it(node.func.value)
    if isinstance(node, ast.Subscript):
        return isinstance(node.ctx, ast.Store | ast.Del) and is_it(node.value)
    return isinstance(node, ast.AugAssign) and is_it(node.target)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.full_name)
def test_only_runtime_holds_mutable_state(module: Module) -> None:
    if module.name in OWNERS:
        return
    wrong = [
        f"{module.at(node.lineno)}: global {', '.join(node.names)}"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Global)
    ]
    for name, value in module_level_names(module).items():
        if called(value) in MUTABLE_CALLS:
            wrong.append(f"{module.at(value.lineno)}: {name} = {called(value)}(...)")
        elif isinstance(value, MUTABLE_DISPLAYS) and (lines := changes(module.tree, name)):
            wrong.append(f"{module.at(value.lineno)}: {name} is a table that line {lines[0]} changes")
    assert not wrong, "\n".join(wrong)


def test_what_counts_as_state_is_found() -> None:
    """The reader itself: each of these is state, and none of the others."""
    source = "a = []\nb = {}\nC = {1: 2}\ndef f():\n    a.append(1)\n    b[1] = 2\n    C.get(1)\n"
    tree = ast.parse(source)
    assert [bool(changes(tree, name)) for name in "abC"] == [True, True, False]
