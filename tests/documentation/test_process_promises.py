"""What the specification's sentences promise of processes, one check each, in its order."""

from __future__ import annotations

import os
import pickle
import select
import signal
from pathlib import Path
from typing import Any

import pytest

import procession as mp
from procession import connection


@pytest.fixture(params=["fork", "spawn", "forkserver"])
def context(request: pytest.FixtureRequest) -> Any:
    return mp.get_context(request.param)


def nothing() -> None:
    pass


@pytest.mark.slow
def test_a_process_is_started_once_and_joined_many_times(context: Any) -> None:
    process = context.Process(target=nothing)
    with pytest.raises(Exception, match="start"):  # joined before it was started
        process.join()
    assert (process.pid, process.exitcode, process.is_alive()) == (None, None, False)
    process.start()
    with pytest.raises(Exception, match="start"):
        process.start()
    assert process.join() is None
    assert process.join(0) is None
    assert (process.exitcode, process.is_alive()) == (0, False)


def test_a_process_cannot_join_itself() -> None:
    with pytest.raises(AssertionError):
        mp.current_process().join()


def test_a_group_is_refused_and_a_name_is_made() -> None:
    with pytest.raises(AssertionError):
        mp.Process(group=1)  # type: ignore[arg-type]
    first, second = mp.Process(), mp.Process()
    assert first.name.startswith("Process-")
    assert int(second.name.removeprefix("Process-")) == int(first.name.removeprefix("Process-")) + 1
    assert mp.Process(name="some name").name == "some name"
    first.name = second.name  # several may have the same
    assert first.name == second.name


def grandchild_name(context_name: str, answers: Any) -> None:
    answers.put(mp.get_context(context_name).Process().name)


@pytest.mark.slow
def test_a_child_of_a_child_is_numbered_below_it(context: Any) -> None:
    answers = context.SimpleQueue()
    process = context.Process(target=grandchild_name, args=(context.get_start_method(), answers))
    process.start()
    process.join()
    assert answers.get() == f"{process.name}:1"


def test_daemon_is_inherited_and_fixed_by_start() -> None:
    assert mp.Process().daemon is False
    assert mp.Process(daemon=True).daemon is True
    process = mp.Process(target=nothing)
    process.start()
    with pytest.raises(AssertionError):
        process.daemon = True
    process.join()


def has_daemonic_child() -> tuple[bool, str]:
    daemonic = mp.Process()
    try:
        daemonic.start()
    except AssertionError as error:
        return daemonic.daemon, str(error)
    return daemonic.daemon, ""


def test_a_daemonic_process_may_not_have_children() -> None:
    context = mp.get_context("fork")
    answers = context.SimpleQueue()
    process = context.Process(target=lambda: answers.put(has_daemonic_child()), daemon=True)
    process.start()
    process.join()
    inherited, message = answers.get()
    assert inherited is True
    assert "daemonic processes are not allowed to have children" in message


class Unfinished(mp.Process):
    def __init__(self) -> None:
        pass


def test_a_constructor_that_forgets_the_base_class_is_told() -> None:
    with pytest.raises((RuntimeError, AssertionError), match="__init__"):
        Unfinished().start()


def sleep() -> None:
    signal.pause()


@pytest.mark.slow
def test_signals_and_close_behave_as_described(context: Any) -> None:
    process = context.Process(target=sleep)
    process.start()
    with pytest.raises(ValueError, match="running"):
        process.close()
    assert process.join(0) is None
    assert process.exitcode is None
    process.kill()
    assert select.select([process.sentinel], [], [], 30)[0]
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert connection.wait([process.sentinel], 0) == [process.sentinel]
    process.close()
    for use in ("join", "terminate", "is_alive", "start", "kill"):
        with pytest.raises(ValueError, match="closed"):
            getattr(process, use)()
    for attribute in ("pid", "exitcode", "sentinel"):
        with pytest.raises(ValueError, match="closed"):
            getattr(process, attribute)


@pytest.mark.slow
def test_zombies_are_joined_by_starting_asking_and_listing() -> None:
    def is_zombie(pid: int) -> bool:
        path = Path(f"/proc/{pid}/stat")
        return path.exists() and path.read_text().rpartition(")")[2].split()[0] == "Z"

    for join in (lambda _: mp.active_children(), lambda process: process.is_alive(), lambda _: start_and_join()):
        process = mp.Process(target=nothing)
        process.start()
        connection.wait([process.sentinel])
        join(process)
        assert not is_zombie(process.pid or 0)
        assert process not in mp.active_children()
        process.join()


def start_and_join() -> None:
    process = mp.Process(target=nothing)
    process.start()
    process.join()


def report_family(answers: Any) -> None:
    parent = mp.parent_process()
    assert parent is not None
    answers.put((parent.pid, parent.name, bytes(mp.current_process().authkey), mp.current_process().name))


@pytest.mark.slow
def test_a_child_knows_its_parent_and_inherits_its_key(context: Any) -> None:
    assert mp.parent_process() is None
    answers = context.SimpleQueue()
    process = context.Process(target=report_family, args=(answers,), name="named")
    assert process.authkey == mp.current_process().authkey
    process.authkey = b"its own"
    process.start()
    process.join()
    assert answers.get() == (os.getpid(), "MainProcess", b"its own", "named")


def test_the_main_process_has_a_random_key_that_is_pickled_for_children_only(context: Any) -> None:
    assert len(mp.current_process().authkey) >= 16
    with pytest.raises(TypeError, match="security"):
        pickle.dumps(mp.current_process().authkey)
    answers = context.SimpleQueue()
    with pytest.raises(TypeError, match="security"):
        answers.put(mp.current_process().authkey)
    with pytest.raises(TypeError, match="security"):
        pickle.dumps(context.Process())  # it has the key


def put_key(key: Any, answers: Any) -> None:
    try:
        answers.put(key)
    except TypeError:
        answers.put((type(key).__name__, bytes(key), key == mp.current_process().authkey))


@pytest.mark.slow
def test_a_key_goes_to_a_child_that_is_being_started_and_no_further(context: Any) -> None:
    key = mp.current_process().authkey
    answers = context.SimpleQueue()
    process = context.Process(target=put_key, args=(key, answers))
    process.start()
    process.join()
    assert answers.get() == (type(key).__name__, bytes(key), True)
