"""A file has one noun and at most 400 lines; a function fits a screen; a door holds no work."""

from __future__ import annotations

import ast

import pytest

from tests.architecture.sources import MODULES, ROOT, Module

FILE_LINES = 400
FUNCTION_LINES = 40
DOOR_LINES = 60  # of docstring, imports and assignments beside `__all__`
ADAPTER_LINES = 8
DOORS_THAT_WORK = ("testing",)  # doors of our own, which are no re-exports


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function without its docstring."""
    body = function.body
    text = ast.get_docstring(function, clean=False)
    first = body[0]
    skipped = (first.end_lineno or 0) - first.lineno + 1 if text is not None else 0
    return (function.end_lineno or 0) - function.lineno + 1 - skipped


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.full_name)
def test_file_has_at_most_400_lines(module: Module) -> None:
    assert len(module.text.splitlines()) <= FILE_LINES


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.full_name)
def test_functions_have_at_most_40_lines(module: Module) -> None:
    long = [
        f"{module.at(node.lineno)}: {node.name} has {lines_of(node)} lines"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and lines_of(node) > FUNCTION_LINES
    ]
    assert not long, "\n".join(long)


def test_files_of_the_core_have_at_most_400_lines() -> None:
    files = [path for folder in ("native", "native/face") for path in (ROOT / folder).glob("*.[ch]")]
    long = {path.name: lines for path in files if (lines := len(path.read_text().splitlines())) > FILE_LINES}
    assert not long


@pytest.mark.parametrize(
    "module", [one for one in MODULES if one.is_door and one.name not in DOORS_THAT_WORK], ids=lambda one: one.full_name
)
def test_door_holds_re_exports_and_thin_adapters_only(module: Module) -> None:
    """Names that only existing programs need may be adapted here: a few lines each."""
    allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.FunctionDef, ast.ClassDef)
    wrong = [
        module.at(node.lineno)
        for node in module.tree.body[1:]
        if not isinstance(node, allowed)
        and not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
    ]
    wrong += [
        f"{module.at(node.lineno)}: {node.name}"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and lines_of(node) > ADAPTER_LINES
    ]
    assert not wrong, f"more than re-exports and adapters of {ADAPTER_LINES} lines: {wrong}"
    exported = sum(
        (node.end_lineno or 0) - node.lineno + 1
        for node in module.tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    assert len(module.text.splitlines()) - exported <= DOOR_LINES


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.full_name)
def test_module_says_what_it_is(module: Module) -> None:
    assert ast.get_docstring(module.tree), f"{module.at(1)}: no docstring"
