"""The native types that people get as they are: quick calls, attributes, collection, pickling, subclasses."""

from __future__ import annotations

import gc
import pickle
import weakref
from typing import Any

import pytest

import procession as mp
from procession import _native, synchronize

MAKERS = [mp.Lock, mp.RLock, mp.Semaphore, mp.BoundedSemaphore, mp.Event]
every_kind = pytest.mark.parametrize("make", MAKERS, ids=["Lock", "RLock", "Semaphore", "BoundedSemaphore", "Event"])


@every_kind
def test_the_methods_are_the_exact_types_own_so_that_the_interpreter_calls_them_directly(make: Any) -> None:
    made = make()
    method = "set" if isinstance(made, synchronize.Event) else "acquire"
    own = vars(type(made))[method]
    assert type(own) is type(str.join)
    assert own.__objclass__ is type(made)


@every_kind
def test_the_door_has_the_class_of_what_a_context_makes(make: Any) -> None:
    made = make()
    assert getattr(synchronize, type(made).__name__) is type(made)


def test_a_bounded_semaphore_is_a_semaphore() -> None:
    assert isinstance(mp.BoundedSemaphore(), synchronize.Semaphore)
    assert not isinstance(mp.Semaphore(), synchronize.BoundedSemaphore)


@every_kind
def test_attributes_travel_with_the_object(make: Any) -> None:
    made = make()
    made.name = "index"
    arrived = pickle.loads(pickle.dumps(made))
    assert type(arrived) is type(made)
    assert arrived.handle == made.handle
    assert arrived.name == "index"


@every_kind
def test_pickling_gives_an_object_without_attributes_none(make: Any) -> None:
    made = make()
    arrived = pickle.loads(pickle.dumps(made))
    assert not gc.is_tracked(made)
    assert not gc.is_tracked(arrived)


@every_kind
def test_the_collector_sees_an_object_from_its_first_attribute_on(make: Any) -> None:
    for give in (lambda made: setattr(made, "me", made), lambda made: made.__dict__.update(me=made)):
        made = make()
        assert not gc.is_tracked(made)
        give(made)
        assert gc.is_tracked(made)
        alive = weakref.ref(made)
        del made
        gc.collect()
        assert alive() is None


@every_kind
def test_a_subclass_has_arguments_of_its_own_and_passes_ctx_on(make: Any) -> None:
    kind = type(make())

    class Sub(kind):  # type: ignore[misc, valid-type]
        def __new__(cls, *_args: object, **_kwargs: object) -> Any:
            return kind.__new__(cls)

        def __init__(self, colour: str) -> None:
            super().__init__(ctx=mp.get_context("spawn"))
            self.colour = colour

    made = Sub("red")
    assert made.colour == "red"
    assert isinstance(made, kind)
    made.me = made
    alive = weakref.ref(made)
    del made
    gc.collect()
    assert alive() is None


@every_kind
def test_wrong_arguments_are_refused(make: Any) -> None:
    kind = type(make())
    for wrong in (lambda: kind(1, 2, 3), lambda: kind(colour="red")):
        with pytest.raises(TypeError, match="argument"):
            wrong()


@every_kind
def test_one_that_is_gone_is_gone_from_the_arena(make: Any) -> None:
    kept = [make() for _ in range(100)]  # makes room in the ledger of this process
    kept.clear()
    gc.collect()
    make()  # the first object of all makes this process a ledger, which stays
    gc.collect()
    before = _native.arena_in_use()
    kept = [make() for _ in range(100)]
    assert _native.arena_in_use() > before
    kept.clear()
    gc.collect()
    assert _native.arena_in_use() <= before
