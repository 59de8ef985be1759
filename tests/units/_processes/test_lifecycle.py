"""The table of a process object's life is complete, and is what the objects do."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import procession as mp
from procession._processes.lifecycle import EVENTS, NEXT, REFUSALS, Lifecycle, after
from procession.errors import InternalError


@pytest.mark.parametrize(("state", "event"), list(itertools.product(Lifecycle, EVENTS)), ids=str)
def test_every_event_in_every_state_either_leads_on_or_is_refused_with_a_reason(state: Lifecycle, event: str) -> None:
    assert ((state, event) in NEXT) != ((state, event) in REFUSALS)
    if (state, event) in NEXT:
        assert after(state, event) is NEXT[state, event]
        return
    kind, sentence = REFUSALS[state, event]
    assert issubclass(kind, AssertionError | ValueError | InternalError)
    with pytest.raises(kind) as raised:
        after(state, event)
    assert str(raised.value) == sentence


def test_the_table_knows_no_other_events_and_ends_closed() -> None:
    assert {event for _state, event in (*NEXT, *REFUSALS)} == set(EVENTS)
    reached = {Lifecycle.INITIAL}
    for _ in Lifecycle:
        reached |= {then for (now, _event), then in NEXT.items() if now in reached}
    assert reached == set(Lifecycle)
    assert {then for (now, _event), then in NEXT.items() if now is Lifecycle.CLOSED} == {Lifecycle.CLOSED}


@pytest.mark.parametrize("call", ["join", "terminate", "kill", "interrupt", "sentinel"])
def test_a_process_that_was_not_started_cannot_be_waited_for_or_signalled(call: str) -> None:
    process = mp.Process(target=print)
    with pytest.raises((AssertionError, ValueError), match=r"start\(\)"):
        getattr(process, call)()
    assert (process.is_alive(), process.exitcode, process.pid) == (False, None, None)


def test_a_process_is_started_once(ctx: Any) -> None:
    process = ctx.Process(target=int)
    process.start()
    with pytest.raises(AssertionError, match="cannot start a process twice"):
        process.start()
    process.join()
    with pytest.raises(AssertionError, match="cannot start a process twice"):
        process.start()
    process.join()
    assert process.exitcode == 0


def test_a_closed_process_says_so_to_every_question_but_its_name() -> None:
    process = mp.Process(target=int, name="done")
    process.start()
    process.join()
    process.close()
    process.close()
    for call in ("start", "join", "is_alive", "terminate", "kill", "interrupt", "exitcode", "pid", "ident", "sentinel"):
        with pytest.raises(ValueError, match="process object is closed"):
            getattr(process, call)()
    assert process.name == "done"
    assert repr(process) == f"<Process name='done' parent={process._parent_pid} closed>"


def test_a_running_process_cannot_be_closed(ctx: Any) -> None:
    receiver, sender = ctx.Pipe(duplex=False)
    with receiver, sender:
        process = ctx.Process(target=receiver.recv)
        process.start()
        with pytest.raises(ValueError, match="still running"):
            process.close()
        sender.send(None)
        process.join()
        process.close()


def test_a_subclass_that_forgets_the_base_constructor_is_told_so() -> None:
    class Forgetful(mp.Process):
        def __init__(self) -> None:
            pass

    with pytest.raises(RuntimeError, match=r"Process.__init__\(\) was not called"):
        Forgetful().start()


def test_the_current_process_is_alive_and_cannot_be_started_joined_or_ended() -> None:
    current = mp.current_process()
    assert current.is_alive()
    assert current.exitcode is None
    for call, sentence in (("start", "can only start"), ("join", "can only join"), ("terminate", "can only signal")):
        with pytest.raises(AssertionError, match=sentence):
            getattr(current, call)()
    current.close()
    assert current.is_alive()
