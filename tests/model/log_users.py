"""Who uses the log (`log.py`) in the models, and the audit of what they have put and got."""

from __future__ import annotations

from dataclasses import replace

from .log import STEPS
from .log_words import CONSUMERS, EMPTY, REGISTERS, STRANGE, message
from .machine import Model, Program, Step, View
from .section import ENTER, HOLDERS, LOCKS


def producer(puts: int = 1, *, mortal: bool = True) -> Program:
    """Puts so many messages."""
    return Program(ENTER, ("queue.put.entered",), {"puts": puts}, mortal=mortal)


def consumer(gets: int = 1, *, mortal: bool = True) -> Program:
    """Tries so many gets; a log without a message is no reason to wait here."""
    return Program(ENTER, ("queue.get.entered",), {"lock": CONSUMERS, "gets": gets}, mortal=mortal)


def auditor() -> Program:
    """When all others are gone: puts a message, and gets all that is there."""
    registers = {"puts": 1, "gets": 99, "audits": 1}
    return Program(ENTER, ("queue.put.entered",), registers, mortal=False, last=True)


def log_model(
    name: str, *programs: Program, slots: int = 2, segments: int = 3, broken: dict[str, Step] | None = None
) -> Model:
    """A log of small dirty segments. With two slots every put but the first has to grow it."""
    words = LOCKS | {"tail": 0, "nput": 0, "head": 0, "ngot": 0, "growing": 0, "retiring": 0}
    for segment in range(1, segments + 1):
        words |= {f"next[{segment}]": 0, f"from[{segment}]": 0, f"entered[{segment}]": 1}
    for place in range(slots * segments):
        words |= {f"length[{place}]": STRANGE + 1, f"front[{place}]": 98, f"back[{place}]": 99}
    words["length[0]"] = EMPTY
    shape = {"slots": slots, "segments": segments}
    return Model(
        name=name,
        steps=STEPS | (broken or {}),
        programs=tuple(replace(one, registers={**shape, **one.registers}) for one in programs),
        words=words,
        facts=HOLDERS | {f"used[{segment}]": int(segment == 1) for segment in range(1, segments + 1)},
        registers=REGISTERS,
        judged=("put", "hand", "got", "slots", "segments"),
        check_end=account_of_messages,
    )


def account_of_messages(view: View) -> str | None:
    """Every message whose put returned was got once, in order, or died in a hand; nothing else was got."""
    everybody = range(len(view.processes))
    received = {me: _digits(view.register(me, "got")) for me in everybody}
    in_hand = [view.register(me, "hand") for me in everybody if view.is_dead(me) and view.register(me, "hand")]
    seen = sorted([one for many in received.values() for one in many] + in_hand)
    must = [message(me, number) for me in everybody for number in range(view.register(me, "put"))]
    may = [message(me, view.register(me, "put")) for me in everybody if view.is_dead(me)]
    if len(seen) != len(set(seen)):
        return f"a message was got twice: {seen}"
    if not set(must) <= set(seen) <= {*must, *may}:
        return f"put {must} (perhaps {may}), got {seen}"
    for many in received.values():
        for other in everybody:
            mine = [one for one in many if one // 10 == other + 1]
            if mine != sorted(mine):
                return f"out of order: {many}"
    return _account_of_counts(view, len(seen)) or _account_of_segments(view)


def _account_of_counts(view: View, messages: int) -> str | None:
    if view["nput"] != messages or view["ngot"] != messages:
        return f"{messages} messages, but nput is {view['nput']} and ngot is {view['ngot']}"
    return None


def _account_of_segments(view: View) -> str | None:
    """At the end one segment is left, that of head and tail."""
    slots = view.register(0, "slots")
    used = [segment for segment in range(1, view.register(0, "segments") + 1) if view[f"used[{segment}]"]]
    if used != [view["tail"] // slots + 1] or view["head"] != view["tail"]:
        return f"in use: segments {used}; head is {view['head']}, tail is {view['tail']}"
    return None


def _digits(got: int) -> list[int]:
    many: list[int] = []
    while got:
        many.append(got % 100)
        got //= 100
    return many[::-1]
