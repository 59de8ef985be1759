"""Rule 4, as far as a syntax tree shows it: what waits for other processes waits in the core or in `_os`, where every
wait has a reason, a deadline and a row in the wait table; nothing sleeps and asks again.

Rules 6 and 10 too: no error is swallowed, and no test sleeps to let something happen.
"""

from __future__ import annotations

import ast
import re

import pytest

from tests.architecture.sources import MODULES, ROOT, Module

# Waits of other libraries: nobody sees who waits, and a dead partner wakes nobody.
WAITS = {("time", "sleep"), ("select", "select"), ("select", "poll"), ("signal", "pause"), ("signal", "sigwait")}
WAITING_FLOORS = ("_os", "_native")


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.full_name)
def test_nothing_waits_outside_the_floors_that_wait(module: Module) -> None:
    if module.floor in WAITING_FLOORS:
        return
    wrong = [
        f"{module.at(node.lineno)}: {node.value.id}.{node.attr}"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and (node.value.id, node.attr) in WAITS
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.full_name)
def test_no_error_is_swallowed(module: Module) -> None:
    broad = {"", "Exception", "BaseException"}
    wrong = [
        module.at(node.lineno)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler)
        and (ast.unparse(node.type) if node.type else "") in broad
        and all(isinstance(part, ast.Pass | ast.Continue) for part in node.body)
    ]
    assert not wrong, f"errors swallowed: {wrong}"


# A sleep as what a process does (to be killed in it) stands in a string or a function that a process runs; see the marker.
ALLOWED_SLEEP = re.compile(r"#\s*sleeps:\s*\S+")


def test_no_test_sleeps_to_let_something_happen() -> None:
    wrong = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if "guards" in path.parts:
            continue
        lines = path.read_text().splitlines()
        for node in ast.walk(ast.parse("\n".join(lines), str(path))):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) not in ("time.sleep", "sleep"):
                continue
            if not ALLOWED_SLEEP.search(lines[node.lineno - 1]):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not wrong, (
        "tests wait for what they expect, with a deadline; a process that sleeps to be killed says so "
        f"with `# sleeps: <why>`: {wrong}"
    )
