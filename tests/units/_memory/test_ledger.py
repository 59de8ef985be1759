"""Who removes a segment, and when: programs that end, are killed, and attach to each other's."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from typing import Any

import pytest

from procession._os.segments import ROOT
from procession.shared_memory import SharedMemory

Run = Callable[..., tuple[list[str], str]]
There = Callable[..., set[str]]
MAKE = "block = SharedMemory(create=True, size=10); print(block.name, flush=True);"
KEEPER = "keeper = resource_tracker._resource_tracker; keeper.ensure_running(); print(keeper._pid, flush=True);"

pytestmark = pytest.mark.slow


def leaked(count: int) -> str:
    return f"resource_tracker: There appear to be {count} leaked shared_memory objects to clean up at shutdown"


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_segments_of_a_killed_program_are_removed_and_reported(start: Any, there: There, signum: int) -> None:
    with start(MAKE + MAKE + "input()") as program:
        names = {program.line(), program.line()}
        assert names <= there()
        assert leaked(2) in program.kill(signum)
        assert not there()


def test_a_program_that_unlinks_leaves_nothing_and_says_nothing(run: Run, there: There) -> None:
    assert run(MAKE + "block.close(); block.unlink()")[1] == ""
    assert not there()


def test_a_program_that_forgets_is_told_and_cleaned_up_after(run: Run, there: There) -> None:
    (name,), errors = run(MAKE)
    assert leaked(1) in errors
    assert repr("/" + name) in errors
    assert "unlink()" in errors
    assert not there()


def test_who_makes_errors_of_warnings_is_told_all_the_same(run: Run, there: There) -> None:
    assert leaked(1) in run(MAKE, options=("-W", "error"))[1]
    assert run(MAKE, options=("-W", "ignore"))[1] == ""
    assert not there()


def test_attaching_never_unlinks_and_gives_no_warning(run: Run) -> None:
    mine = SharedMemory(create=True, size=10)
    assert run("block = SharedMemory(sys.argv[1]); block.buf[0] = 7", mine.name) == ([], "")
    assert run("block = SharedMemory(sys.argv[1], track=False)", mine.name) == ([], "")
    assert (
        run("block = SharedMemory(sys.argv[1]); own = SharedMemory(create=True, size=1); own.unlink()", mine.name)[1]
        == ""
    )
    again = SharedMemory(mine.name)
    assert again.buf[0] == 7
    again.close()
    mine.close()
    mine.unlink()


def test_a_killed_program_takes_nothing_with_it_that_it_had_attached_to(start: Any) -> None:
    mine = SharedMemory(create=True, size=10)
    with start(MAKE + "other = SharedMemory(sys.argv[1]); print(flush=True); input()", mine.name) as program:
        program.line()
        program.line()
        assert leaked(1) in program.kill()
    SharedMemory(mine.name).close()
    mine.close()
    mine.unlink()


def test_who_asks_to_track_what_it_attaches_to_has_it_removed(run: Run, there: There) -> None:
    mine = SharedMemory(create=True, size=10)
    assert leaked(1) in run("block = SharedMemory(sys.argv[1], track=True)", mine.name)[1]
    assert not there()
    mine.close()
    with pytest.raises(FileNotFoundError):
        mine.unlink()


def test_what_is_not_tracked_stays(run: Run) -> None:
    (name,), errors = run("block = SharedMemory(create=True, size=10, track=False); print(block.name)")
    assert errors == ""
    SharedMemory(name).unlink()
    (name,), errors = run(MAKE + "resource_tracker.unregister(block._name, 'shared_memory')")
    assert errors == ""
    SharedMemory(name).unlink()


def test_what_another_program_has_unlinked_is_no_leak(start: Any) -> None:
    with start(MAKE + "input()") as program:
        block = SharedMemory(program.line())
        block.unlink()
        block.close()
        program.go_on()
        assert program.end() == ""


def test_a_later_segment_of_the_same_name_is_left_alone(start: Any) -> None:
    with start(MAKE + "input()") as program:
        name = program.line()
        path = f"{ROOT}/{name}"
        os.rename(path, path + ".old")
        with open(path, "wb") as file:
            file.write(b"somebody else's")
        os.unlink(path + ".old")
        assert "Errno 2" in program.kill()
        with open(path, "rb") as file:
            assert file.read() == b"somebody else's"
        os.unlink(path)


IN_CHILD = """
def make(sender):
    block = SharedMemory(create=True, size=10)
    block.buf[0] = 42
    sender.send(block.name)

if __name__ == '__main__':
    context = mp.get_context(sys.argv[1])
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=make, args=(sender,))
    child.start()
    child.join()
    name = receiver.recv()
    print(name, flush=True)
    input()
    block = SharedMemory(name)
    print(block.buf[0])
    block.unlink()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_segment_lives_as_long_as_the_program_whoever_made_it(start: Any, there: There, method: str) -> None:
    with start(IN_CHILD, method) as program:
        name = program.line()
        assert name in there(name)
        program.go_on()
        assert program.line() == "42"
        assert program.end() == ""
    assert not there(name)


OUTLIVED = """
def live():
    print(os.getpid(), flush=True)
    os.read(os.pipe()[0], 1)

if __name__ == '__main__':
    child = mp.get_context(sys.argv[1]).Process(target=live)
    child.start()
    input()
    block = SharedMemory(create=True, size=10)
    print(block.name, flush=True)
    input()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_segment_goes_with_the_last_process_of_the_program(start: Any, there: There, method: str) -> None:
    with start(OUTLIVED, method) as program:
        child = int(program.line())
        program.go_on()
        name = program.line()
        program.process.kill()
        program.process.wait()
        assert name in there()
        os.kill(child, signal.SIGKILL)
        assert leaked(1) in program.end()
    assert not there()


def test_what_a_program_killed_with_its_keeper_has_left_goes_with_the_next_start(
    start: Any, run: Run, there: There
) -> None:
    with start(MAKE + KEEPER + "input()") as program:
        name, keeper = program.line(), int(program.line())
        os.kill(keeper, signal.SIGKILL)
        assert program.kill() == ""
        assert name in there()
    assert run(MAKE + "block.unlink()")[1] == ""
    assert not there()


def test_a_living_program_without_a_keeper_loses_nothing(start: Any, run: Run, there: There) -> None:
    with start(MAKE + KEEPER + "input();" + MAKE + "input()") as program:
        name, keeper = program.line(), int(program.line())
        os.kill(keeper, signal.SIGKILL)
        assert run(MAKE + "block.unlink()")[1] == ""
        assert name in there()
        program.go_on()  # makes another segment, and so starts another keeper
        assert program.line() in there()
        assert leaked(2) in program.kill()
    assert not there()


def test_a_keeper_hears_nothing_but_its_programs_end(start: Any, there: There) -> None:
    with start(MAKE + KEEPER + "input()") as program:
        program.line()
        keeper = int(program.line())
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            os.kill(keeper, signum)
        assert leaked(1) in program.kill()
    assert not there()


def test_a_child_forked_by_hand_belongs_to_the_program(run: Run, there: There) -> None:
    code = (
        MAKE
        + """
if os.fork() == 0:
    own = SharedMemory(create=True, size=5)
    print(own.name, flush=True)
    os._exit(0)
os.wait()
"""
    )
    names, errors = run(code)
    assert len(names) == 2
    assert leaked(2) in errors
    assert not there()


def test_a_program_that_closes_all_descriptors_keeps_its_segments(run: Run, there: There) -> None:
    lines, errors = run(MAKE + "os.closerange(3, 100); print(SharedMemory(block.name).size);" + MAKE)
    assert lines[1] == "10"
    assert leaked(2) in errors
    assert not there()


STORM = """
import random
while True:
    block = SharedMemory(create=True, size=random.choice((1, 5000)))
    print(flush=True)
    if random.random() < 0.8:
        block.close()
        block.unlink()
"""


@pytest.mark.stress
def test_nothing_is_left_whenever_a_program_is_killed(start: Any, there: There, storm_factor: int) -> None:
    for rounds in range(8 * storm_factor):
        with start(STORM) as program:
            for _ in range(1 + rounds % 5):
                program.line()
            errors = program.kill()
            assert re.sub(r"resource_tracker|UserWarning|_say|leaked|Errno 2", "", errors) != errors or errors == ""
        assert not there()
