"""Holds results against exceptions.toml: what may fail is listed with its reason, and the list may only shrink.

Promises: a test that fails and is not listed fails the run; so does a listed test that passes, and an entry that
matches no test at all. A skip for a reason that the list does not know is a failure: the suite skips what a target
lacks. So are processes that a class leaves behind, and a name that the target lacks and the list does not.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from tests.conformance.jobs import Result

EXCEPTIONS = Path(__file__).with_name("exceptions.toml")
BAD = ("fail", "error", "hang", "crash")


@dataclass(frozen=True)
class Entry:
    """One entry: which tests, under which start methods and Pythons (empty: all), and why."""

    tests: tuple[str, ...]
    methods: tuple[str, ...]
    pythons: tuple[str, ...]
    reason: str

    def applies(self, method: str, python: str) -> bool:
        return method in (self.methods or (method,)) and python in (self.pythons or (python,))

    def names(self, test: str) -> bool:
        return any(fnmatchcase(test, pattern) for pattern in self.tests)


@dataclass(frozen=True)
class Exceptions:
    """The parsed list, for one start method and Python."""

    never_run: list[Entry]
    failing: list[Entry]
    skips: list[str]
    lacking: list[str]

    @classmethod
    def load(cls, method: str, python: str, path: Path = EXCEPTIONS) -> Exceptions:
        """Read the list. An entry without a reason is an error."""
        parsed = tomllib.loads(path.read_text())
        unknown = set(parsed) - {"never_run", "failing", "skips", "lacking"}
        if unknown:
            raise ValueError(f"{path.name}: unknown tables {sorted(unknown)}")
        never_run, failing = (
            [entry for item in parsed.get(kind, []) if (entry := parse(item)).applies(method, python)]
            for kind in ("never_run", "failing")
        )
        return cls(never_run, failing, parsed.get("skips", []), parsed.get("lacking", []))

    def is_never_run(self, test: str) -> bool:
        return any(entry.names(test) for entry in self.never_run)

    def knows_skip(self, reason: str) -> bool:
        return any(re.search(known, reason) for known in self.skips)

    def reason(self, test: str) -> str | None:
        return next((entry.reason for entry in self.failing if entry.names(test)), None)


def parse(item: Mapping[str, object]) -> Entry:
    def words(key: str) -> tuple[str, ...]:
        value = item.get(key, [])
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise ValueError(f"exceptions.toml: {key} must be a list of strings in {dict(item)}")
        return tuple(value)

    reason = item.get("reason")
    if not isinstance(reason, str) or not reason.strip():
        raise ValueError(f"exceptions.toml: no reason in {dict(item)}")
    if unknown := set(item) - {"tests", "methods", "pythons", "reason"}:
        raise ValueError(f"exceptions.toml: unknown keys {sorted(unknown)} in {dict(item)}")
    return Entry(words("tests"), words("methods"), words("pythons"), reason)


def complaints(results: Mapping[str, Result], exceptions: Exceptions, whole: bool) -> list[str]:
    """Every reason to fail the run, a sentence each; `whole`: all tests of the start method were run."""
    said = []
    for test, result in sorted(results.items()):
        listed = exceptions.reason(test)
        if result.status in BAD and listed is None:
            said.append(f"{test}: {result.status}\n    {last_line(result.detail)}")
        elif result.status == "ok" and listed is not None:
            said.append(f"{test}: passes, but exceptions.toml lists it ({listed}): take it from the list")
        elif result.status == "skip" and not exceptions.knows_skip(result.detail):
            said.append(f"{test}: skipped for a reason that is not listed: {result.detail}")
    if whole:
        said += [
            f"exceptions.toml: {pattern!r} matches no test: take it from the list"
            for entry in exceptions.failing
            for pattern in entry.tests
            if not any(fnmatchcase(test, pattern) for test in results)
        ]
    return said


def complaints_beside(
    lacking: Iterable[str], left_behind: Mapping[str, list[str]], exceptions: Exceptions
) -> list[str]:
    """The reasons that no single test tells: names that are missing, processes that are left."""
    missing = [name for name in lacking if name.partition(":")[0] not in exceptions.lacking]
    return [
        *(f"procession lacks {name}, which the suite reads at import" for name in missing),
        *(f"{name} left processes behind: {what}" for name, what in sorted(left_behind.items())),
    ]


def last_line(detail: str) -> str:
    """The line that says most: the last one of a traceback."""
    lines = [line for line in detail.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def counts(results: Iterable[Result]) -> dict[str, int]:
    """How many of each status."""
    found = dict.fromkeys(("ok", "fail", "error", "hang", "crash", "skip"), 0)
    for result in results:
        found[result.status] += 1
    return found
