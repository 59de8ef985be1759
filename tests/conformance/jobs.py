"""Runs the classes of the suite, each in a session of its own with a time limit, several at once.

Promises: a test that hangs is named, its processes leave their tracebacks and are killed, and the rest of its class
runs in a new process. A crash is the failure of the test that was running. Nothing of a class outlives it: every
process of its session is killed at its end, and counted.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HEAVY = (
    "Pool",
    "Condition",
    "Barrier",
    "Process",
    "Manager",
    "Queue",
    "CmdLine",
    "Listener",
    "Shared",
)
RESTARTS = 40  # of one class after a hang or a crash: each costs a time limit


@dataclass(frozen=True)
class Limits:
    """Seconds: the standard library's slowest test takes 16 alone, its slowest class 60."""

    test: float = 60.0
    class_: float = 300.0


@dataclass
class Result:
    """What became of one test: ok, skip, fail, error, hang or crash."""

    status: str
    seconds: float = 0.0
    detail: str = ""


@dataclass
class Class:
    """A class of the suite, the tests of it that are still to run, and what the others gave."""

    module: str
    name: str
    waiting: list[str]
    results: dict[str, Result] = field(default_factory=dict)
    restarts: int = 0
    left_behind: list[str] = field(default_factory=list)

    @property
    def weight(self) -> int:
        """Long ones first, so that the last to end is short."""
        return len(self.waiting) * (10 if any(word in self.name for word in HEAVY) else 1)


class Job:
    """One process that runs tests of one class."""

    def __init__(self, program: Path, case: Class, folder: Path) -> None:
        self.case, self.folder = case, folder
        self.events, self.log = folder / "events", folder / "log"
        self.read, self.running, self.ended = 0, "", False
        self.began = self.test_began = time.monotonic()
        (folder / "tmp").mkdir()
        driver = program.parent.parent / "driver" / "driver.py"
        command: list[str | Path] = [program, driver, "run", case.module, case.name, self.events, *case.waiting]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder / "tmp",
                env=environment(folder / "tmp"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.pidfd = os.pidfd_open(self.process.pid)

    def collect(self) -> None:
        """Take over what the process has written since the last time."""
        try:
            with self.events.open("rb") as file:
                file.seek(self.read)
                lines = file.read()
        except FileNotFoundError:
            return
        self.read += len(lines)
        for line in lines.splitlines():
            self.take(json.loads(line))

    def take(self, event: dict[str, str]) -> None:
        results = self.case.results
        match event["event"]:
            case "start":
                self.running, self.test_began = event["test"], time.monotonic()
            case "result":
                seconds = float(event["seconds"])
                results[event["test"]] = Result(event["status"], seconds, event["detail"])
                self.case.waiting.remove(event["test"])
                self.running, self.test_began = "", time.monotonic()
            case "fixture":
                self.take_fixture(event["test"], Result(event["status"], 0.0, event["detail"]))
            case "end":
                self.ended = True

    def take_fixture(self, name: str, result: Result) -> None:
        """A set-up that fails or skips, does so for all that still waits; a tear-down stands for itself."""
        if name.startswith("setUp"):
            for test in self.case.waiting:
                self.case.results[test] = result
            self.case.waiting.clear()
        elif result.status != "skip":
            self.case.results[name] = result

    def is_late(self, limits: Limits) -> bool:
        now = time.monotonic()
        return now > min(self.test_began + limits.test, self.began + limits.class_)

    def finish(self, late: bool) -> None:
        """End the session; whatever ran when the process died or was late, has failed."""
        if late:
            end_session(self.process.pid, signal.SIGABRT)  # faulthandler writes the tracebacks
            select.select([self.pidfd], [], [], 3)
        code = self.process.poll()
        left = end_session(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.pidfd)
        self.collect()
        if self.ended and not late and code == 0:
            self.case.left_behind += left
        else:
            self.blame("hang" if late else "crash", code)
        shutil.rmtree(self.folder, ignore_errors=True)

    def blame(self, status: str, code: int | None) -> None:
        log = self.log.read_bytes()[-12000:].decode(errors="replace")
        detail = f"{status}, exit code {code}\n{log}"
        name = self.running or ("exit" if self.ended or not self.case.waiting else self.case.waiting[0])
        self.case.results[name] = Result(status, time.monotonic() - self.test_began, detail)
        if name in self.case.waiting:
            self.case.waiting.remove(name)
        self.case.restarts += 1
        if self.case.restarts > RESTARTS:
            for test in self.case.waiting:
                self.case.results[test] = Result(status, 0.0, f"not run: {RESTARTS} tests before it did not end")
            self.case.waiting.clear()


def environment(temporary: Path) -> dict[str, str]:
    """Ours without PYTHON*: PYTHONUNBUFFERED, for one, hides flushes that are missing."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**kept, "TMPDIR": str(temporary)}


def session_of(pid: int) -> tuple[int, str]:
    """The session of a process, and its state; (0, "") when it is gone."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0, ""
    return int(words[3]), words[0]


def end_session(session: int, signum: int) -> list[str]:
    """Signal every living process of `session`; what they were."""
    ended = []
    for name in os.listdir("/proc"):
        if name.isdigit() and (found := session_of(int(name)))[0] == session and found[1] not in "ZX":
            try:
                command = Path(f"/proc/{name}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                os.kill(int(name), signum)
                ended.append(command[:200])
            except (OSError, ProcessLookupError):
                continue
    return ended


def list_classes(program: Path, method: str) -> list[Class]:
    """All classes of the suite for `method`, as the target's own interpreter finds them."""
    folder = Path(tempfile.mkdtemp(prefix="pc-"))
    try:
        driver = program.parent.parent / "driver" / "driver.py"
        command: list[str | Path] = [program, driver, "list", method, folder / "found"]
        done = subprocess.run(
            command,
            env=environment(folder),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"the suite cannot be imported on the target:\n{done.stdout[-8000:]}")
        lines = map(json.loads, (folder / "found").read_text().splitlines())
        return [Class(line["module"], line["class"], line["tests"]) for line in lines if "class" in line]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(program: Path, classes: list[Class], workers: int, limits: Limits) -> Iterator[Class]:
    """Run `classes`, `workers` at once; each is given out when all its tests have a result."""
    waiting = deque(sorted(classes, key=lambda case: -case.weight))
    jobs: dict[int, Job] = {}
    poller = select.poll()
    try:
        while waiting or jobs:
            while waiting and len(jobs) < workers:
                job = Job(program, waiting.popleft(), Path(tempfile.mkdtemp(prefix="pc-")))
                jobs[job.pidfd] = job
                poller.register(job.pidfd, select.POLLIN)
            dead = {pidfd for pidfd, _ in poller.poll(500)}
            for pidfd, job in list(jobs.items()):
                job.collect()
                late = pidfd not in dead and job.is_late(limits)
                if not late and pidfd not in dead:
                    continue
                poller.unregister(pidfd)
                del jobs[pidfd]
                job.finish(late)
                if job.case.waiting:
                    waiting.appendleft(job.case)
                else:
                    yield job.case
    finally:
        for job in jobs.values():
            end_session(job.process.pid, signal.SIGKILL)
            job.process.wait()
