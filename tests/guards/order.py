"""Runs the tests in random order; the seed is printed and can be given again.

Promises: the same seed and the same tests give the same order. The tests of one file stay together, so that
fixtures of a module are made once.
"""

from __future__ import annotations

import random
from itertools import groupby

import pytest

SEED = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--order-seed", type=int, default=None, help="repeat the order of that run")


def pytest_configure(config: pytest.Config) -> None:
    seed = config.getoption("--order-seed")
    config.stash[SEED] = random.SystemRandom().randrange(2**32) if seed is None else seed


def pytest_report_header(config: pytest.Config) -> str:
    return f"random order: --order-seed={config.stash[SEED]}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    shuffle = random.Random(config.stash[SEED]).shuffle
    files = [list(tests) for _, tests in groupby(items, key=lambda item: item.path)]
    shuffle(files)
    for tests in files:
        shuffle(tests)
    items[:] = [test for tests in files for test in tests]
