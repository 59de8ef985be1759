"""A copy of `parent_process()` that arrived in another process closed a descriptor there that was not its own."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

import procession as mp


def pickle_parent(outcome: Any) -> None:
    try:
        pickle.dumps(mp.parent_process())
    except TypeError as error:
        outcome.put(str(error))
    else:
        outcome.put("")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_parent_process_cannot_be_sent(method: str) -> None:
    context = mp.get_context(method)
    outcome = context.SimpleQueue()
    child = context.Process(target=pickle_parent, args=(outcome,))
    child.start()
    assert "cannot be pickled" in outcome.get()
    child.join()
    child.close()
