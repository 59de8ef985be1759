"""The readers can fail: each rule is shown a module that breaks it, and one that does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture import test_floors, test_platform, test_sizes, test_state, test_waits
from tests.architecture.sources import Module

DOWN = "from procession import errors\nfrom procession._runtime import state\n"
UP = "from procession._pools.pool import Pool\n"
DOOR = "from procession import queues\n"
LATE = "def f():\n    from procession._runtime import state\n"
BY_NAME = 'import importlib\nx = importlib.import_module("procession._pools.pool")\n'
TYPES = f"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    {UP}"
RELATIVE = "from .._pools import pool\n"


def module(tmp_path: Path, source: str, name: str = "_channels.sample") -> Module:
    path = tmp_path / "sample.py"
    path.write_text(source)
    return Module(path, name, is_package=False)


def test_modules_that_keep_the_rules_pass(tmp_path: Path) -> None:
    good = module(tmp_path, f'"""Sample."""\n\n{DOWN}\n__all__ = ["state"]\n')
    test_floors.test_module_imports_downhill_only(good)
    test_floors.test_module_imports_nothing_of_ours_inside_a_function(good)
    test_state.test_only_runtime_holds_mutable_state(good)
    test_platform.test_platform_words_stand_only_in_os(good)
    test_waits.test_nothing_waits_outside_the_floors_that_wait(good)


@pytest.mark.parametrize(
    "source", [UP, DOOR, BY_NAME, TYPES, RELATIVE], ids=["up", "door", "by_name", "types", "relative"]
)
def test_import_uphill_is_found(tmp_path: Path, source: str) -> None:
    with pytest.raises(AssertionError):
        test_floors.test_module_imports_downhill_only(module(tmp_path, source))


def test_import_inside_a_function_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        test_floors.test_module_imports_nothing_of_ours_inside_a_function(module(tmp_path, LATE))


@pytest.mark.parametrize(
    "source",
    [
        "x = 0\ndef f():\n    global x\n    x = 1\n",
        "import threading\nlock = threading.Lock()\n",
        "seen = {}\ndef f():\n    seen[1] = 2\n",
        "seen = []\ndef f():\n    seen.append(1)\n",
    ],
)
def test_state_outside_runtime_is_found(tmp_path: Path, source: str) -> None:
    with pytest.raises(AssertionError):
        test_state.test_only_runtime_holds_mutable_state(module(tmp_path, source))


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos.fork()\n",
        "from os import fork\n",
        "import fcntl\n",
        'p = "/proc/self"\n',
        "import sys\nx = sys.platform\n",
    ],
)
def test_platform_word_is_found(tmp_path: Path, source: str) -> None:
    with pytest.raises(AssertionError):
        test_platform.test_platform_words_stand_only_in_os(module(tmp_path, source))


def test_sleep_and_swallowed_error_are_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        test_waits.test_nothing_waits_outside_the_floors_that_wait(module(tmp_path, "import time\ntime.sleep(1)\n"))
    with pytest.raises(AssertionError):
        test_waits.test_no_error_is_swallowed(module(tmp_path, "try:\n    f()\nexcept Exception:\n    pass\n"))


def test_long_function_and_working_door_are_found(tmp_path: Path) -> None:
    long = module(tmp_path, "def f():\n" + "    g()\n" * 50, name="queues")
    with pytest.raises(AssertionError):
        test_sizes.test_functions_have_at_most_40_lines(long)
    with pytest.raises(AssertionError):
        test_sizes.test_door_holds_re_exports_and_thin_adapters_only(long)
