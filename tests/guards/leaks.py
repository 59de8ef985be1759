"""Fails a test that leaves a process, a thread or a descriptor behind.

Promises: looks after all fixtures of the test are gone, and gives what is ending two seconds to end. What a fixture of
a wider scope opens is not charged to the test that happened to come first. Processes left are killed, so that one
test's leak is no other's. `@pytest.mark.leaves("descriptors", reason="...")` excuses a test, with its reason.
What the package keeps for a process's lifetime (the arena, the fork server) is opened once before the first test.
"""

from __future__ import annotations

import gc
import os
import sys
import time
import traceback
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

import pytest

from tests.guards import proc

GRACE = 2.0
KINDS = ("processes", "threads", "descriptors")


@dataclass
class Holdings:
    """What this process has at one moment."""

    processes: dict[int, str] = field(default_factory=dict)
    threads: dict[int, str] = field(default_factory=dict)
    descriptors: dict[int, str] = field(default_factory=dict)

    @classmethod
    def now(cls) -> Holdings:
        found = {pid: "" for pid in proc.children() if not proc.is_zombie(pid)}
        return cls(found, proc.threads(), proc.descriptors())

    def beyond(self, known: Holdings) -> Holdings:
        """What is here and not in `known`; a descriptor is the same only if it refers to the same thing."""
        return Holdings(
            {pid: proc.describe(pid) for pid in self.processes if pid not in known.processes},
            {tid: name for tid, name in self.threads.items() if tid not in known.threads},
            {fd: to for fd, to in self.descriptors.items() if known.descriptors.get(fd) != to},
        )

    def add(self, more: Holdings) -> None:
        for kind in KINDS:
            getattr(self, kind).update(getattr(more, kind))

    def excuse(self, kinds: set[str]) -> None:
        for kind in kinds:
            getattr(self, kind).clear()

    def __bool__(self) -> bool:
        return any(getattr(self, kind) for kind in KINDS)

    def __str__(self) -> str:
        return "; ".join(f"{kind}: {getattr(self, kind)}" for kind in KINDS if getattr(self, kind))


BASELINE = pytest.StashKey[Holdings]()
FAILED = pytest.StashKey[bool]()
WARM_UP = pytest.StashKey[str]()
WARM = "done"


def still_here(baseline: Holdings, excused: set[str]) -> Holdings:
    """What is left beyond `baseline` after GRACE seconds at most; asks again as soon as something may have ended."""
    deadline, pause = time.monotonic() + GRACE, 0.001
    while True:
        left = Holdings.now().beyond(baseline)
        left.excuse(excused)
        if not left or time.monotonic() > deadline:
            return left
        gc.collect()
        # Threads and descriptors have nothing to wait on: ask again, less and less often.
        proc.wait_ended(set(left.processes), pause) if left.processes else time.sleep(pause)
        pause = min(pause * 2, 0.1)


def reap_orphans(baseline: Holdings, config: pytest.Config) -> None:
    """Collect dead grandchildren, ours since `adopt_orphans`, and children that nobody joined."""
    if config.stash.get(WARM_UP, None) == WARM:
        sys.modules["procession"].active_children()
    proc.reap({pid for pid in proc.children() if pid not in baseline.processes and proc.is_zombie(pid)})


@pytest.fixture(scope="session", autouse=True)
def _what_the_package_keeps(pytestconfig: pytest.Config) -> None:
    """Open what is opened once for a process, so that the first test to need it is not blamed."""
    try:
        import procession as mp
        from procession import resource_tracker, util

        mp.Lock()
        for method in ("forkserver", "fork"):  # the server; what ties daemons to this process
            first = mp.get_context(method).Process(target=os.getpid, daemon=True)
            first.start()
            first.join()
            first.close()
        resource_tracker.ensure_running()  # of named shared memory
        util.get_temp_dir()  # which is locked as long as this process lives
    except Exception:  # the tests of the package fail by themselves; those that only read it still run
        pytestconfig.stash[WARM_UP] = traceback.format_exc()
    else:
        pytestconfig.stash[WARM_UP] = WARM


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    failed = terminalreporter.config.stash.get(WARM_UP, WARM)
    if failed != WARM:
        terminalreporter.section("procession does not start a process here")
        terminalreporter.write_line(failed)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    if proc.SUPPORTED:
        item.stash[BASELINE] = Holdings.now()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest) -> Iterator[None]:
    if fixturedef.scope == "function" or not proc.SUPPORTED:
        return (yield)
    before = Holdings.now()
    try:
        return (yield)
    finally:
        opened = Holdings.now().beyond(before)
        for item in request.session.items:
            if BASELINE in item.stash:
                item.stash[BASELINE].add(opened)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    result = yield
    baseline = item.stash.get(BASELINE, None)
    if baseline is None:
        return result
    excused = {mark.args[0] for mark in item.iter_markers("leaves")}
    left = still_here(baseline, excused)
    del item.stash[BASELINE]
    proc.kill(set(left.processes))
    reap_orphans(baseline, item.config)
    if left and not item.stash.get(FAILED, False):
        pytest.fail(f"the test left behind: {left}", pytrace=False)
    return result
