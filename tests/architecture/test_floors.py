"""Rule 1: import downhill only, and never inside a function. Late loading has one place."""

from __future__ import annotations

import pytest

from tests.architecture.sources import FLOORS, MODULES, PACKAGE, Module

# Names of the interpreter's own module: to import one would be to run on what we replace.
FORBIDDEN = ("multiprocessing", "_multiprocessing", "_posixshmem")
LATE_LOADERS = ("", "__main__")  # and what they load late is the roof; `_context` loads by its table of names


def floor_of(full_name: str) -> str | None:
    """The floor of a module of ours by its full name; None for a door or the package itself."""
    first = full_name.removeprefix(PACKAGE).lstrip(".").partition(".")[0]
    return first if first in FLOORS else None


def may_import(module: Module, full_name: str) -> bool:
    other = floor_of(full_name)
    if other is None:
        return module.floor is None  # a door or the package itself: only doors and entrances may
    return module.floor is None or FLOORS.index(other) <= FLOORS.index(module.floor)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.full_name)
def test_module_imports_downhill_only(module: Module) -> None:
    wrong = [
        f"{module.at(one.line)}: {module.full_name} imports {one.module}"
        for one in module.imports
        if one.ours and not may_import(module, one.module)
    ]
    wrong += [
        f"{module.at(line)}: {module.full_name} names {name} in a string, to load it late"
        for name, line in module.named_modules
        if not may_import(module, name)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.full_name)
def test_module_imports_nothing_of_ours_inside_a_function(module: Module) -> None:
    if module.name in LATE_LOADERS:
        return
    wrong = [module.at(one.line) for one in module.imports if one.ours and one.in_function]
    assert not wrong, f"imports of our own modules inside functions: {wrong}"


def test_standard_librarys_module_is_imported_nowhere() -> None:
    wrong = [
        f"{module.at(one.line)}: {one.module}"
        for module in MODULES
        for one in module.imports
        if one.module.partition(".")[0] in FORBIDDEN
    ]
    assert not wrong, "\n".join(wrong)


def test_imports_at_run_time_have_no_cycle() -> None:
    graph = {
        module.full_name: {
            one.module
            for one in module.imports
            if one.ours and not one.in_function and not one.for_types_only and one.module != PACKAGE
        }
        for module in MODULES
        if module.path.suffix == ".py"
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for other in sorted(graph.get(name, ())):
                visit(other, (*path, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


def test_every_module_is_a_floor_a_door_or_an_entrance() -> None:
    """A private name at the top that is no floor would escape every rule."""
    strays = [
        module.full_name
        for module in MODULES
        if module.is_door and any(part.startswith("_") for part in module.name.split("."))
    ]
    assert not strays, f"neither floors nor doors: {strays}"
