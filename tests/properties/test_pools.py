"""Pools beside the builtin map: any function, iterable, chunk size and method gives what `map` gives, or raises what it raises."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import procession as mp
from procession.pool import Pool, ThreadPool
from tests.properties import examples

METHODS = ["map", "map_async", "imap", "imap_unordered", "starmap", "starmap_async", "apply", "apply_async"]
VALUES = (
    st.integers(-9, 9)
    | st.text(max_size=4)
    | st.none()
    | st.lists(st.integers(), max_size=3)
    | st.sampled_from([b"x" * 70_000])
)
CHUNKS = st.none() | st.integers(1, 9)


class Wrong(Exception):
    """Keeps its argument on its way."""


def twice(value: Any) -> Any:
    return [value, value]


def fails_for_text(value: Any) -> Any:
    if isinstance(value, str):
        raise Wrong(value)
    return value


def divided(value: Any) -> Any:
    return 12 // value


FUNCTIONS = [twice, fails_for_text, divided, type, lambda value: (value, 1)]


@pytest.fixture(scope="module", params=["fork", "spawn", "threads"])
def pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    made = ThreadPool(3) if request.param == "threads" else mp.get_context(request.param).Pool(3)
    with made:
        yield made
        made.close()
        made.join()


def outcome(results: Any) -> tuple[list[Any], Any]:
    """(what came before an exception, the exception as text)."""
    found = []
    try:
        for result in results:
            found.append(result)
    except Exception as error:
        return found, (type(error), error.args)
    return found, None


def as_iterable(kind: str, values: list[Any]) -> Any:
    return {"list": values, "tuple": tuple(values), "iterator": iter(values), "generator": (value for value in values)}[
        kind
    ]


def call(pool: Any, method: str, function: Any, values: Any, chunksize: int | None) -> Any:
    """What the method gives, as an iterable, lazily."""
    if method.startswith("apply"):
        for value in values:
            given = getattr(pool, method)(function, (value,))
            yield given.get(30) if method == "apply_async" else given
        return
    if method.startswith("starmap"):
        values = ((value,) for value in values)
    given = getattr(pool, method)(function, values, chunksize or 1 if method.startswith("imap") else chunksize)
    yield from given.get(30) if method.endswith("async") else given


@pytest.mark.slow
@pytest.mark.deadline(60)
@pytest.mark.parametrize("method", METHODS)
@examples(16)
@given(
    function=st.sampled_from(FUNCTIONS),
    values=st.lists(VALUES, max_size=20) | st.lists(st.integers(1, 9), max_size=20),
    kind=st.sampled_from(["list", "tuple", "iterator", "generator"]),
    chunksize=CHUNKS,
)
def test_a_pool_gives_what_map_gives(
    pool: Pool, method: str, function: Any, values: list[Any], kind: str, chunksize: int | None
) -> None:
    found, raised = outcome(call(pool, method, function, as_iterable(kind, values), chunksize))
    expected, error = outcome(map(function, values))
    if method == "imap_unordered":
        failures = [outcome(map(function, [value]))[1] for value in values]
        assert raised in [failure for failure in failures if failure] if error else raised is None
        if not error:
            assert sorted(map(repr, found)) == sorted(map(repr, expected))
        return
    if error and method in {"map", "map_async", "starmap", "starmap_async"}:
        failures = [outcome(map(function, [value]))[1] for value in values]
        assert found == []
        assert raised in failures  # the first to be known
        return
    assert raised == error
    if not (error and method == "imap" and chunksize and chunksize > 1):  # of a chunk that fails, nothing is given
        assert found == expected


@pytest.mark.slow
@pytest.mark.deadline(60)
@examples(12)
@given(
    values=st.lists(st.integers(), max_size=12),
    fail_at=st.integers(0, 14),
    chunksize=CHUNKS,
    method=st.sampled_from(METHODS[:4]),
)
def test_an_iterable_that_raises_raises_for_whoever_asks(
    pool: Pool, values: list[int], fail_at: int, chunksize: int | None, method: str
) -> None:
    def items() -> Iterator[int]:
        yield from itertools.islice(values, fail_at)
        if fail_at < len(values):
            raise Wrong("half-way")

    found, raised = outcome(call(pool, method, twice, items(), chunksize))
    if fail_at < len(values):
        assert raised == (Wrong, ("half-way",))
        assert all(pair == [pair[0], pair[0]] for pair in found)
    else:
        assert raised is None
        assert sorted(found) == sorted([value, value] for value in values)
