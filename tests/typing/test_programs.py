"""The programs that the type checkers read (`make lint`) also run, and what these are told of proxies is what there is."""

from __future__ import annotations

import ast
import collections.abc
import subprocess
import sys
from pathlib import Path

import pytest

import procession
from procession import managers

HERE = Path(__file__).parent
STUB = Path(procession.__file__).parent / "_managers" / "exposed.pyi"
CONTAINERS = {
    "ListMethods": (managers.BaseListProxy, {"__iadd__", "__iter__"}),  # by ListProxy; by index
    "DictMethods": (managers.DictProxy, set()),
    "SetMethods": (managers.SetProxy, set()),
    "ArrayMethods": (managers.ArrayProxy, {"__iter__"}),
    "PoolMethods": (managers.BasePoolProxy, set()),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["managers", "program"])
def test_a_program_that_is_checked_runs(name: str) -> None:
    done = subprocess.run(
        [sys.executable, HERE / f"{name}.py"], capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", sorted(CONTAINERS))
def test_what_type_checkers_see_of_a_proxy_is_there(name: str) -> None:
    proxy, otherwise = CONTAINERS[name]
    assert declared(name) - otherwise <= set(dir(proxy))


@pytest.mark.parametrize("name", sorted(CONTAINERS))
def test_what_a_proxy_exposes_is_seen_by_type_checkers(name: str) -> None:
    proxy, _ = CONTAINERS[name]
    inherited = {method for base in bases(name) for method in dir(getattr(collections.abc, base, object))}
    operators = {"__rand__", "__rsub__", "__rxor__", "__ror__", "__ior__"}  # a checker finds them otherwise
    assert set(proxy._exposed_) - operators <= declared(name) | inherited | set(vars(object))


def class_in_stub(name: str) -> ast.ClassDef:
    (found,) = (
        node for node in ast.parse(STUB.read_text()).body if isinstance(node, ast.ClassDef) and node.name == name
    )
    return found


def declared(name: str) -> set[str]:
    return {node.name for node in class_in_stub(name).body if isinstance(node, ast.FunctionDef)}


def bases(name: str) -> list[str]:
    return [
        base.value.id
        for base in class_in_stub(name).bases
        if isinstance(base, ast.Subscript) and isinstance(base.value, ast.Name)
    ]
