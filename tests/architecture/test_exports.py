"""Exports are explicit, true and complete."""

from __future__ import annotations

import ast

import pytest

from tests.architecture.sources import MODULES, ROOT, Module

# The names that the specification gives to the package itself (the sections of spec/multiprocessing.rst and newer.md).
DOCUMENTED = {
    "Array", "AuthenticationError", "Barrier", "BoundedSemaphore", "BufferTooShort", "Condition", "Event", "JoinableQueue",
    "Lock", "Manager", "Pipe", "Pool", "Process", "ProcessError", "Queue", "RLock", "RawArray", "RawValue", "Semaphore",
    "SimpleQueue", "TimeoutError", "Value", "active_children", "allow_connection_pickling", "cpu_count", "current_process",
    "freeze_support", "get_all_start_methods", "get_context", "get_logger", "get_start_method", "log_to_stderr",
    "parent_process", "reducer", "set_executable", "set_forkserver_preload", "set_start_method",
}  # fmt: skip


def exports(module: Module) -> list[str] | None:
    """The literal value of `__all__`; None without one."""
    for node in module.tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            assert isinstance(node, ast.Assign | ast.AnnAssign)
            assert node.value is not None
            value = ast.literal_eval(node.value)
            return list(value)
    return None


def defined(module: Module) -> set[str]:
    """Every name that the module binds at its top, for type checkers too."""
    found: set[str] = set()
    waiting: list[ast.stmt] = list(module.tree.body)
    while waiting:
        node = waiting.pop()
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                found |= {(alias.asname or alias.name).partition(".")[0] for alias in names}
            case ast.Assign(targets=targets):
                found |= {one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
            case ast.If() | ast.Try() | ast.With():
                waiting += [*node.body, *getattr(node, "orelse", []), *getattr(node, "finalbody", [])]
            case _:
                pass
    return found


@pytest.mark.parametrize(
    "module",
    [
        one
        for one in MODULES
        if one.path.suffix == ".py" and one.name != "__main__" and not (one.is_package and one.floor)
    ],
    ids=lambda one: one.full_name,
)
def test_module_says_what_it_exports(module: Module) -> None:
    names = exports(module)
    assert names is not None, f"{module.at(1)}: no __all__"
    assert len(names) == len(set(names)), "a name stands twice"
    missing = set(names) - defined(module)
    assert not missing, f"__all__ names what the module does not have: {sorted(missing)}"


def test_package_exports_every_documented_name() -> None:
    package = next((module for module in MODULES if module.name == ""), None)
    if package is None:
        pytest.skip("there is no package yet")
    assert not DOCUMENTED - set(exports(package) or ())


def test_package_is_marked_as_typed() -> None:
    assert (ROOT / "src" / "procession" / "py.typed").exists()
