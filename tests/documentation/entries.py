"""What is known about each code block of the specification: how it is run, and what it must print.

Promises: a block is named by its section and its number there, and by a digest of its text: a changed specification is noticed. Output
that the documentation shows is read from there (`shown_by`, or the session itself); what stands here is what its sentences and comments
say, or what a scaffold of ours prints.
Not here: how a run is made (`running.py`), the scaffolds (`scaffolds.py`).
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, field
from enum import Enum, auto

from tests.documentation import scaffolds

METHODS = ("fork", "spawn", "forkserver")


class How(Enum):
    """What is done with a block."""

    RUN = auto()  # as a file, or typed if it is a session
    SERVER = auto()  # run while its clients run
    CLIENT = auto()  # run with its server: see there
    OUTPUT = auto()  # what another block prints: see there
    ABSENT = auto()  # referred to, and not part of the specification


@dataclass(frozen=True)
class Entry:
    """One block. Of `lines`, `pattern` and `shown_by`, a script has one; a session shows its answers itself."""

    block: str
    digest: str
    how: How = How.RUN
    lines: str = ""  # the output
    pattern: str | dict[str, str] = ""  # what all of the output matches; by start method, if they differ
    shown_by: str = ""  # the block that shows the output
    amend: tuple[tuple[str, str], ...] = ()  # where the shown output is out of date: see `reason`
    any_order: bool = False  # may the lines come in any order?
    as_values: bool = False  # are the lines Python values, to be compared as such?
    more_lines: bool = False  # of a session: may lines come between those that are shown? see `reason`
    errors: dict[str, tuple[str, int]] = field(
        default_factory=dict
    )  # by method: a pattern of lines of stderr, how often
    exitcodes: dict[str, int] = field(default_factory=dict)  # by method, if it is not 0
    scaffold: str = "{code}"
    before: str = ""  # typed before a session
    replace: tuple[tuple[str, str], ...] = ()  # patterns and what is put there; {method} and {port} are filled in
    chooses: bool = False  # does it choose its start method by itself?
    last: str | None = None  # what a session's last line answers, where that is not what is shown: see `reason`
    clients: tuple[tuple[str, str | None], ...] = ()  # of a server: blocks, and their `last`
    reason: str = ""

    def prepare(self, source: str, method: str, port: int) -> str:
        """The text to run."""
        for pattern, replacement in self.replace:
            source, count = re.subn(pattern, replacement.format(method=method, port=port), source)
            assert count, f"{self.block}: there is no {pattern!r} to replace"
        if source.startswith(">>>"):
            return self.before + source
        at = re.search(r"^( *)\{code\}$", self.scaffold, re.MULTILINE)
        assert at, f"{self.block}: the scaffold has no line {{code}}"
        return self.scaffold[: at.start()] + textwrap.indent(source, at[1]) + self.scaffold[at.end() :]

    def printed(self, shown: str) -> str:
        """The expected output, from that which the documentation shows."""
        for old, new in self.amend:
            assert old in shown, f"{self.block}: {old!r} is not shown"
            shown = shown.replace(old, new)
        return shown


# A loaded machine is "very slow". The timeouts that are to run out stay: those before `except`, and that of the last line.
PATIENT = (r"timeout=1\b(?!\)\)\s*(except|# raises))", "timeout=30")
OWN_METHOD = (r"'spawn'", "'{method}'")
PORT = (r"\b(50000|6000)\b", "{port}")
HOST = (r"foo\.bar\.org", "127.0.0.1")
LIST = "[42, None, 'hello']\n"
WORLDS = "".join(f"hello world {number}\n" for number in range(10))
TOLD = "".join(f"{(number, f'Process-{child}')}\n" for child in range(1, 5) for number in range(10))
SQUARES = "[0, 1, 4, 9, 16, 25, 36, 49, 64, 81]\n"
POOL_TALK = (
    re.escape(SQUARES)
    + r"(?:(?:0|1|4|9|16|25|36|49|64|81)\n){10}400\n\d+\n\[\d+, \d+, \d+, \d+\]\n"
    + r"We lacked patience and got a multiprocessing\.TimeoutError\n"
    + r"For the moment, the pool remains available for more work\nNow the pool is closed and no longer available\n"
)
PIDS = (
    r"main line\nmodule name: __main__\nparent process: \d+\nprocess id: (\d+)\nfunction f\nmodule name: %s\n"
    r"parent process: %s\nprocess id: (?!\1\n)\d+\nhello bob\n"
)
PIDS_BY_METHOD = {
    "fork": PIDS % ("__main__", r"\1"),
    "spawn": PIDS % ("__mp_main__", r"\1"),
    "forkserver": PIDS % ("__mp_main__", r"(?!\1\n)\d+"),  # the server's
}
MANAGER = ">>> from multiprocessing import Manager\n>>> manager = Manager()\n"
NO_LOCK = (r"^NameError: name 'lock' is not defined\b", 10)
UNGUARDED = (r"^RuntimeError: ", 1)
CALLED = "((1, 2), {'key': 3})\n"

ENTRIES = (
    Entry("Introduction/1", "23b7fa582b", shown_by="Introduction/2"),
    Entry("Introduction/2", "0d234b4106", How.OUTPUT),
    Entry("The Process class/1", "e8070e02de", lines="hello bob\n"),
    Entry("The Process class/2", "204d403892", pattern=PIDS_BY_METHOD),
    Entry("Contexts and start methods/1", "d507216208", lines="hello\n", replace=(OWN_METHOD,), chooses=True),
    Entry("Contexts and start methods/2", "7e03a5551d", lines="hello\n", replace=(OWN_METHOD,), chooses=True),
    Entry("Exchanging objects between processes/1", "29deacfc89", lines=LIST),
    Entry("Exchanging objects between processes/2", "5368f95491", lines=LIST),
    Entry("Synchronization between processes/1", "9b3fc79b82", lines=WORLDS, any_order=True),
    Entry("Sharing state between processes/1", "f8a7b01c8b", shown_by="Sharing state between processes/2"),
    Entry("Sharing state between processes/2", "cbf3888b75", How.OUTPUT),
    Entry(
        "Sharing state between processes/3", "4db6f8d127", shown_by="Sharing state between processes/4", as_values=True
    ),
    Entry("Sharing state between processes/4", "cbb9fca6eb", How.OUTPUT),
    Entry("Using a pool of workers/1", "7c8f01f8fe", pattern=POOL_TALK, replace=(PATIENT,)),
    Entry(
        "Using a pool of workers/2",
        "331a211f46",
        last="[1, 4, 9]\n",
        reason="shown as what does not work: here a function that workers cannot import goes to them by value",
    ),
    Entry("Process and exceptions/1", "2ef08062b1"),
    Entry("Miscellaneous/1", "4e88df4811", lines="hello world!\n"),
    Entry(
        "Miscellaneous/2",
        "5f5f181511",
        scaffold=scaffolds.EXECUTABLE,
        replace=((r"sys\.exec_prefix", "os.getcwd()"),),
        pattern={"fork": "started\nFalse\n", "spawn": "started\nTrue\n", "forkserver": "started\nTrue\n"},
    ),
    Entry("Connection Objects/1", "489ab3d944"),
    Entry("Shared ctypes Objects/1", "38afe8703c", scaffold=scaffolds.ONE_INCREMENT, lines="42\n"),
    Entry("Shared ctypes Objects/2", "a6ae793c8d", scaffold=scaffolds.MANY_INCREMENTS, lines="2000\n"),
    Entry(
        "The multiprocessing.sharedctypes module/1",
        "a76fae5f12",
        shown_by="The multiprocessing.sharedctypes module/2",
        amend=(("HELLO WORLD", "b'HELLO WORLD'"),),
        reason="the shown output is Python 2's: the value is bytes, as its constructor's argument is",
    ),
    Entry("The multiprocessing.sharedctypes module/2", "4289b7f5be", How.OUTPUT),
    Entry("Managers/1", "17b268e4c1", How.SERVER, replace=(PORT,), clients=(("Managers/2", None),)),
    Entry("Managers/2", "fc09cdcc50", How.CLIENT, replace=(PORT,)),
    Entry("Managers/3", "769369f47d", before=">>> import multiprocessing\n"),
    Entry("Customized managers/1", "25dc34e3f3", lines="7\n56\n"),
    Entry(
        "Using a remote manager/1",
        "0710a7b540",
        How.SERVER,
        replace=(PORT,),
        clients=(("Using a remote manager/2", None), ("Using a remote manager/3", None)),
    ),
    Entry("Using a remote manager/2", "442c81bcc2", How.CLIENT, replace=(PORT, HOST)),
    Entry("Using a remote manager/3", "6de1e06a76", How.CLIENT, replace=(PORT, HOST)),
    Entry(
        "Using a remote manager/4",
        "3cda8c8d2e",
        How.SERVER,
        replace=(PORT,),
        clients=(("Using a remote manager/3", "'local hello'\n"),),
    ),
    Entry("Proxy Objects/1", "4e8bfcd9ba"),
    Entry("Proxy Objects/2", "c449259f67", before=MANAGER),
    Entry("Proxy Objects/3", "3764670cc5", before=MANAGER),
    Entry("Proxy Objects/4", "34cd216fbf", scaffold=scaffolds.MANAGED, lines="[{'a': 1, 'b': 2}]\n"),
    Entry("Proxy Objects/5", "c7baf3f9c7", before=MANAGER),
    Entry("Proxy Objects/6", "94f39daf38", scaffold=scaffolds.CALLED, lines=CALLED),
    Entry("Proxy Objects/7", "f42e91c25c", scaffold=scaffolds.CALLED, lines=CALLED),
    Entry("Proxy Objects/8", "efbd3613e3", before=MANAGER),
    Entry(
        "Process Pools/1",
        "84914da4ae",
        lines=f"100\n{SQUARES}0\n1\n4\n",
        replace=(PATIENT,),
        errors=dict.fromkeys(METHODS, (r"^(\w+\.)*TimeoutError\b", 1)),
        exitcodes=dict.fromkeys(METHODS, 1),
    ),
    Entry(
        "Listeners and Clients/1",
        "1af4c91ebe",
        How.SERVER,
        replace=(PORT,),
        pattern=r"connection accepted from \('127\.0\.0\.1', \d+\)\n",
        clients=(("Listeners and Clients/2", None),),
    ),
    Entry(
        "Listeners and Clients/2",
        "4c103fb76c",
        How.CLIENT,
        replace=(PORT,),
        lines="[2.25, None, 'junk', <class 'float'>]\nb'hello'\n8\narray('i', [42, 1729, 0, 0, 0])\n",
        reason="its comments show what Python 2 prints for a type and for bytes",
    ),
    Entry("Listeners and Clients/3", "d8ca93107d", lines=TOLD, any_order=True),
    Entry(
        "Logging/1",
        "6bc722044a",
        more_lines=True,
        reason="the package logs other steps too, as the standard library's does",
    ),
    Entry(
        "All start methods/1",
        "e8fefd9d0f",
        scaffold="{code}\n    print(len(obj))\n",
        lines="1000000\n",
        reason="shown as what hangs: here a message is sent when `put` returns, and nothing waits for its reader",
    ),
    Entry(
        "All start methods/2",
        "1355422748",
        replace=((r"\.\.\. do .*", "with lock: print(1 + lock.acquire(block=False), 'done')"),),
        pattern={"fork": "(1 done\n){10}", "spawn": "", "forkserver": ""},
        errors={"spawn": NO_LOCK, "forkserver": NO_LOCK},
        reason="shown as what only fork allows",
    ),
    Entry(
        "All start methods/3",
        "17249442b2",
        replace=((r"\.\.\. do .*", "with l: print(1 + l.acquire(block=False), 'done')"),),
        pattern="(1 done\n){10}",
    ),
    Entry(
        "All start methods/4",
        "59569a72e7",
        scaffold=scaffolds.CLOSED_STDIN,
        lines="child reads ''\nexit code 0\n",
        reason="what a child's beginning once did; here done to the parent, whose children have to begin all the same",
    ),
    Entry("All start methods/5", "dea4bcd589", scaffold=scaffolds.CLOSED_STDIN, lines="child reads ''\nexit code 0\n"),
    Entry("All start methods/6", "3e626ef912", scaffold=scaffolds.CACHE, lines="child []\nparent ['parent']\n"),
    Entry(
        "The *spawn* and *forkserver* start methods/1",
        "39fc2117d6",
        pattern={"fork": "hello\n", "spawn": "", "forkserver": ""},
        errors={"spawn": UNGUARDED, "forkserver": UNGUARDED},
        exitcodes={"spawn": 1, "forkserver": 1},
    ),
    Entry(
        "The *spawn* and *forkserver* start methods/2",
        "7168c35739",
        lines="hello\n",
        replace=(OWN_METHOD,),
        chooses=True,
    ),
    Entry("Examples/1", "6a9252df6b", How.ABSENT),
    Entry("Examples/2", "b7c72ad962", How.ABSENT),
    Entry("Examples/3", "9320cad86c", How.ABSENT),
)
