"""The page of failures names tests and scenarios that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.faults.scenarios import Scenario

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "what-happens-when.md").read_text()
NAMED = sorted(set(re.findall(r"`((?:tests/[\w/]+/)?test_\w+\.py)(?:::(test_\w+))?`", PAGE)))
SCENARIOS = {name for row in re.findall(r"matrix: (.*?) \|", PAGE) for name in re.findall(r"`(\w+)`", row)}


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_a_named_test_exists(file: str, test: str) -> None:
    path = ROOT / (file if "/" in file else f"tests/faults/pool/{file}")
    assert f"def {test}(" in path.read_text() if test else path.is_file()


def test_every_row_of_ours_names_a_test() -> None:
    ours = PAGE[: PAGE.index("## The same with other pools")]
    rows = [row for row in ours.splitlines() if row.startswith("| ") and not row.startswith("| what happens")]
    assert len(rows) > 50
    assert [row for row in rows if not re.search(r"`[\w/]*test_\w+\.py|matrix: `|the same \|", row)] == []


def test_the_named_scenarios_are_in_the_matrix() -> None:
    assert len(SCENARIOS) > 15
    assert set(Scenario.all) >= SCENARIOS
