"""Sets of states behave as those of the module enum."""

from __future__ import annotations

import enum
import pickle
from typing import Any

import pytest

from procession._processes.states import States


class Ours(States):
    """A set."""

    FIRST = "first"
    SECOND = "second"


class Theirs(enum.Enum):
    """The same."""

    FIRST = "first"
    SECOND = "second"


@pytest.mark.parametrize("kind", [Ours, Theirs])
def test_members_have_names_and_values_and_an_order(kind: Any) -> None:
    assert [(member.name, member.value) for member in kind] == [("FIRST", "first"), ("SECOND", "second")]
    assert len(kind) == 2
    assert repr(kind.FIRST) == f"<{kind.__name__}.FIRST: 'first'>"
    assert str(kind.FIRST) == f"{kind.__name__}.FIRST"


@pytest.mark.parametrize("kind", [Ours, Theirs])
def test_there_is_one_object_for_each_member(kind: Any) -> None:
    assert kind("second") is kind.SECOND
    assert pickle.loads(pickle.dumps(kind.FIRST)) is kind.FIRST
    assert {kind.FIRST: 1}[kind.FIRST] == 1
    with pytest.raises(ValueError, match="'third' is not a valid"):
        kind("third")
