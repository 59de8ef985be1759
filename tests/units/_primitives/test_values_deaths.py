"""Whoever is killed inside an access to a value harms nobody: the others are told, and go on."""

from __future__ import annotations

from typing import Any

import pytest

import procession as mp
from procession import _native
from procession.errors import OwnerDied

POINTS = ["value.access.taken", "value.access.before_give"]


def forked(target: Any, *args: Any) -> Any:
    process = mp.get_context("fork").Process(target=target, args=args)
    process.start()
    return process


def _die_at(point: str, access: Any) -> None:
    _native.fault_arm(point, "kill")
    access()


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("what", ["read", "write", "item", "store"])
def test_a_death_within_one_access_is_told(point: str, what: str) -> None:
    value, array = mp.Value("i", 5), mp.Array("i", [5, 5])
    accesses = {
        "read": lambda: value.value, "write": lambda: setattr(value, "value", 6),
        "item": lambda: array[1], "store": lambda: array.__setitem__(1, 6),
    }  # fmt: skip
    shared = value if what in {"read", "write"} else array
    victim = forked(_die_at, point, accesses[what])
    victim.join()
    assert victim.exitcode == -9
    with pytest.raises(OwnerDied) as told:
        accesses[what]()
    assert told.value.pid == victim.pid
    assert shared.get_lock().recover()
    written = what in {"write", "store"} and point.endswith("before_give")
    assert (value.value if shared is value else array[1]) == (6 if written else 5)


@pytest.mark.parametrize("point", POINTS)
def test_an_access_that_fails_lets_the_lock_go(point: str) -> None:
    value, array = mp.Value("i", 5), mp.Array("i", 2)
    for access in (lambda: value.value, lambda: setattr(value, "value", 6), lambda: array[0]):
        _native.fault_arm(point, "raise")
        try:
            with pytest.raises(RuntimeError, match="fault point"):
                access()
        finally:
            _native.fault_disarm_all()
    assert not value.get_lock().locked()
    assert not array.get_lock().locked()


def _add_until_killed(value: Any, done: Any, mine: int, skip: int) -> None:
    if skip:
        _native.fault_arm("value.access.*", "kill", skip)
    for _ in range(500):
        try:
            with value.get_lock():
                value.value += 1
        except OwnerDied:
            value.get_lock().recover()
            continue
        done[mine] += 1


@pytest.mark.stress
@pytest.mark.slow
def test_a_storm_of_deaths_loses_at_most_what_the_dead_were_doing(storm_factor: int) -> None:
    deaths = 20 * storm_factor
    value, done = mp.Value("q", 0), mp.RawArray("q", deaths + 2)
    lasting = [forked(_add_until_killed, value, done, number, 0) for number in (0, 1)]
    for number in range(2, deaths + 2, 2):
        victims = [forked(_add_until_killed, value, done, each, 17 * each) for each in (number, number + 1)]
        for victim in victims:
            victim.join()
            assert victim.exitcode in {0, -9}
    for process in lasting:
        process.join()
        assert process.exitcode == 0
    value.get_lock().recover()
    assert sum(done) <= value.value <= sum(done) + deaths
