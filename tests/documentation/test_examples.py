"""Every example of the specification runs, under each start method, and prints what the documentation says.

Each is run twice a start method: with its import changed, and unmodified by `python -m procession`. The runs go on side by side before
the first test, and the tests look at what came of them.
"""

from __future__ import annotations

import ast
import doctest
import re
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.documentation import running, specification
from tests.documentation.entries import ENTRIES, METHODS, Entry, How
from tests.documentation.running import Outcome
from tests.documentation.specification import Block

AT_ONCE = 8  # runs; most of them wait most of the time
MISSING = specification.missing()
BLOCKS = {} if MISSING else {block.name: block for block in specification.blocks(specification.text())}
KNOWN = {entry.block: entry for entry in ENTRIES}
RUNS = [
    (entry.block, method, way)
    for entry in ENTRIES
    if entry.how in (How.RUN, How.SERVER)
    for method in METHODS
    for way in running.WAYS
]
CHECKER = doctest.OutputChecker()
OPTIONS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


def start(block: str, method: str, way: str) -> Outcome:
    entry, port = KNOWN[block], running.free_port()
    source = entry.prepare(BLOCKS[block].source, method, port)
    if entry.how is How.SERVER:
        clients = [KNOWN[name].prepare(BLOCKS[name].source, method, port) for name, _ in entry.clients]
        return running.run_pair(source, clients, method, way)
    if BLOCKS[block].is_session:
        return running.run_session(source, method, way)
    return running.run_script(source, method, way, chooses=entry.chooses)


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest) -> dict[tuple[str, str, str], Outcome]:
    """What came of each run that a selected test asks for."""
    asked = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    runs = [tuple(each[name] for name in ("block", "method", "way")) for each in asked if {"block", "way"} <= set(each)]
    runs = [run for run in runs if run[0] in BLOCKS]
    with ThreadPoolExecutor(AT_ONCE) as executor:
        pending: dict[Any, Future[Outcome]] = {run: executor.submit(start, *run) for run in runs}
    return {run: future.result() for run, future in pending.items()}


@pytest.mark.slow
@pytest.mark.deadline(300)
@pytest.mark.parametrize(("block", "method", "way"), RUNS, ids=["-".join(run) for run in RUNS])
def test_an_example_prints_what_the_documentation_says(
    outcomes: dict[tuple[str, str, str], Outcome], block: str, method: str, way: str
) -> None:
    outcome = outcomes[block, method, way]
    check(KNOWN[block], BLOCKS[block], outcome, method)
    for (name, last), client in zip(KNOWN[block].clients, outcome.clients, strict=True):
        check(KNOWN[name], BLOCKS[name], client, method, last)


def check(entry: Entry, block: Block, outcome: Outcome, method: str, last: str | None = None) -> None:
    assert not outcome.problem, outcome
    assert outcome.exitcode == entry.exitcodes.get(method, 0), outcome
    if method in entry.errors:
        line, times = entry.errors[method]
        assert len(re.findall(line, outcome.stderr, re.MULTILINE)) == times, outcome
    else:
        assert outcome.stderr == "", outcome
    if block.is_session:
        check_turns(entry, outcome, entry.last if last is None else last)
    elif entry.pattern:
        pattern = entry.pattern if isinstance(entry.pattern, str) else entry.pattern[method]
        assert re.fullmatch(pattern, outcome.stdout), outcome
    else:
        wanted = entry.printed(BLOCKS[entry.shown_by].source) if entry.shown_by else entry.lines
        assert wanted, f"{entry.block}: nothing says what it prints"
        compare(entry, outcome.stdout.splitlines(), wanted.splitlines(), outcome)


def compare(entry: Entry, came: list[Any], wanted: list[Any], outcome: Outcome) -> None:
    if entry.as_values:
        came, wanted = [list(map(ast.literal_eval, lines)) for lines in (came, wanted)]
    if entry.any_order:
        came, wanted = sorted(came), sorted(wanted)
    assert came == wanted, outcome


def check_turns(entry: Entry, outcome: Outcome, last: str | None) -> None:
    """Each answer of a session is the one that is shown."""
    assert outcome.turns, outcome
    turns = [*outcome.turns[:-1], (*outcome.turns[-1][:2], outcome.turns[-1][2] if last is None else last)]
    for typed, came, wanted in turns:
        if entry.more_lines:
            came = "".join(line for line in came.splitlines(True) if matches_any(line, wanted))
        if "Traceback" in wanted:  # only the exception's line is said to be alike
            assert "Traceback (most recent call last):" in came, outcome
            came, wanted = came.splitlines(True)[-1], wanted.splitlines(True)[-1]
        assert CHECKER.check_output(wanted, came, OPTIONS), (
            f"typed {typed!r}: {CHECKER.output_difference(doctest.Example(typed, wanted), came, OPTIONS)}{outcome}"
        )


def matches_any(line: str, wanted: str) -> bool:
    return any(CHECKER.check_output(each, line, OPTIONS) for each in wanted.splitlines(True))


def test_every_block_of_the_specification_is_known_and_unchanged() -> None:
    unknown = [
        f"{block.name} (line {block.line}, digest {block.digest})"
        for block in BLOCKS.values()
        if block.name not in KNOWN
    ]
    assert not unknown, f"entries.py says nothing about {unknown}"
    gone = [entry.block for entry in ENTRIES if entry.block not in BLOCKS]
    assert not gone, f"entries.py speaks of blocks that the specification does not have: {gone}"
    changed = {name: block.digest for name, block in BLOCKS.items() if block.digest != KNOWN[name].digest}
    assert not changed, f"read these blocks again, see that their entries hold, and note the new digests: {changed}"
    assert len(KNOWN) == len(ENTRIES), "a block has two entries"


def test_every_block_is_used() -> None:
    used = {entry.shown_by for entry in ENTRIES} | {name for entry in ENTRIES for name, _ in entry.clients}
    idle = [entry.block for entry in ENTRIES if entry.how in (How.OUTPUT, How.CLIENT) and entry.block not in used]
    assert not idle, f"blocks that nothing checks: {idle}"
    runnable = [entry.block for entry in ENTRIES if entry.how is How.OUTPUT and BLOCKS[entry.block].is_session]
    assert not runnable


def test_what_is_only_referred_to_is_still_not_there() -> None:
    for entry in ENTRIES:
        if entry.how is How.ABSENT:
            assert BLOCKS[entry.block].included
            path = specification.folder() / BLOCKS[entry.block].source.strip()
            assert not path.exists(), f"{path} can be run now: give it an entry that does"
