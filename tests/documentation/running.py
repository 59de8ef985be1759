"""Runs an example as its reader would: as a script, typed into an interactive interpreter, or as a server and its clients.

Promises: each run has a directory, a process group and a deadline of its own; it is over when nothing that it started holds its
output any more, so a process that is left behind fails it. A script's import is changed and nothing else, or nothing at all and
`python -m procession` runs it. What is typed is typed to a real `python -i`, and what comes back is cut at the prompts.
Not here: what is expected (`entries.py`).
"""

from __future__ import annotations

import codeop
import doctest
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

DEADLINE = 60.0
PROMPT = "\x01next\x02"
WAYS = tuple(os.environ.get("PROCESSION_DOCS_WAYS", "import install").split())  # or `standard`: the baseline
GUARD = re.compile(r"^if __name__ == ['\"]__main__['\"]:\n", re.MULTILINE)


@dataclass
class Outcome:
    """What a run printed."""

    stdout: str = ""
    stderr: str = ""
    exitcode: int | None = None
    turns: list[tuple[str, str, str]] = field(default_factory=list)  # typed, what came, what should (of a session)
    clients: list[Outcome] = field(default_factory=list)
    problem: str = ""  # why there is no result: it hung, or left a process behind

    def __str__(self) -> str:
        turns = "".join(f">>> {typed}{came}" for typed, came, _ in self.turns)
        parts = [self.problem, f"exit code {self.exitcode}", self.stdout, self.stderr, turns, *map(str, self.clients)]
        return "\n".join(part for part in parts if part)


def change_import(source: str) -> str:
    """The same program, with `procession` where it imported `multiprocessing`."""
    source = re.sub(r"\bfrom multiprocessing\b", "from procession", source)
    source = re.sub(r"\bimport multiprocessing as\b", "import procession as", source)
    return re.sub(r"\bimport multiprocessing(?!\.)\b", "import procession as multiprocessing", source)


def choose_method(source: str, method: str, way: str = "import") -> str:
    """The program with the start method chosen where the documentation says to: first in the guarded part."""
    module = "multiprocessing" if way == "standard" else "procession"
    chosen = f"__import__({module!r}).set_start_method({method!r}, force=True)\n"
    guarded, found = GUARD.subn(lambda match: match[0] + "    " + chosen, source)
    return guarded if found else chosen + source


def free_port() -> int:
    """A port that nobody listens on, and that the system gives to nobody who asks for any: it gives higher ones."""
    while True:
        try:
            with socket.create_server(("127.0.0.1", random.randrange(12000, 32000))) as server:
                return int(server.getsockname()[1])
        except OSError:
            continue


def run_script(source: str, method: str, way: str, chooses: bool = False) -> Outcome:
    """Run it as a file: with its import changed, or unmodified under `python -m procession`."""
    with tempfile.TemporaryDirectory(prefix="procession-docs-") as folder:
        text = source if chooses else choose_method(source, method, way)
        return _finish(_start_script(text, way, folder), DEADLINE)


def run_session(source: str, method: str, way: str) -> Outcome:
    """Type it, and note what comes back before the next prompt."""
    with tempfile.TemporaryDirectory(prefix="procession-docs-") as folder:
        return _Typist(source, method, way, folder).finish()


def run_pair(server: str, clients: list[str], method: str, way: str) -> Outcome:
    """Start the server; run each client, again as long as the server is not there yet; end the server as ^C does."""
    with tempfile.TemporaryDirectory(prefix="procession-docs-") as folder:
        typed = server.startswith(">>>")
        if typed:
            typist = _Typist(server, method, way, folder)
        else:
            process = _start_script(choose_method(server, method, way), way, folder)
        run = run_session if clients[0].startswith(">>>") else run_script
        outcomes = []
        deadline = time.monotonic() + DEADLINE
        for client in clients:
            outcome = run(client, method, way)
            while "ConnectionRefusedError" in str(outcome) and time.monotonic() < deadline:
                outcome = run(client, method, way)
            outcomes.append(outcome)
        if typed:
            typist.process.send_signal(signal.SIGINT)
        served = typist.finish() if typed else _finish(process, DEADLINE)
        served.clients = outcomes
        return served


def _start_script(source: str, way: str, folder: str) -> subprocess.Popen[str]:
    Path(folder, "example.py").write_text(change_import(source) if way == "import" else source)
    return _start(["-m", "procession", "example.py"] if way == "install" else ["example.py"], folder)


def _start(arguments: list[str], folder: str, merged: bool = False) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if merged else subprocess.PIPE,
        text=True,
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        start_new_session=True,
    )


def _finish(process: subprocess.Popen[str], timeout: float) -> Outcome:
    """Wait until nobody holds the output any more; whoever does at the deadline is killed."""
    with process:
        try:
            stdout, stderr = process.communicate(timeout=timeout)
            return Outcome(stdout, stderr or "", process.returncode)
        except subprocess.TimeoutExpired:
            ended = process.poll() is not None
            os.killpg(process.pid, signal.SIGKILL)
            stdout, stderr = process.communicate()
            problem = "left processes behind" if ended else f"did not end within {timeout} s"
            return Outcome(stdout, stderr or "", process.returncode, problem=problem)


class _Typist:
    """An interactive interpreter, and whoever types to it."""

    def __init__(self, source: str, method: str, way: str, folder: str) -> None:
        examples = doctest.DocTestParser().get_examples(source)
        module = "multiprocessing" if way == "standard" else "procession"
        begin = f"import {module} as mp, sys; " + ("mp.install(); " if way == "install" else "")
        begin += f"mp.set_start_method({method!r}); del mp; sys.ps1, sys.ps2 = {PROMPT!r}, ''; del sys"
        self.process = _start(["-q", "-i", "-c", begin], folder, merged=True)
        self.turns: list[tuple[str, str, str]] = []
        self._waiting = [example for example in examples if example.source.strip()]
        self._way = way
        self._type_all()

    def _type_all(self) -> None:
        """Type up to the last line, and that one too, without waiting for its answer."""
        self._read_answer()
        for example in self._waiting[:-1]:
            self._type(example.source)
            self.turns.append((example.source, self._read_answer(), example.want))
        self._type(self._waiting[-1].source)

    def _type(self, source: str) -> None:
        source = change_import(source) if self._way == "import" else source
        assert self.process.stdin is not None
        complete = codeop.compile_command(source.rstrip("\n"), symbol="single") is not None
        self.process.stdin.write(source if complete else source + "\n")  # a compound statement ends with an empty line
        self.process.stdin.flush()

    def _read_answer(self) -> str:
        assert self.process.stdout is not None
        answer = ""
        while not answer.endswith(PROMPT):
            character = self.process.stdout.read(1)
            if not character:
                break
            answer += character
        return answer.removesuffix(PROMPT)

    def finish(self) -> Outcome:
        """The last answer, and what came after it when the input ended."""
        done = _finish(self.process, DEADLINE)
        answer, _, after = done.stdout.partition(PROMPT)
        last = self._waiting[-1]
        self.turns.append((last.source, answer, last.want))
        return Outcome(after.replace(PROMPT, ""), "", done.exitcode, self.turns, problem=done.problem)
