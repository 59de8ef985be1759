"""Objects become bytes and come back, the interpreter's pickle module only when it is needed."""

from __future__ import annotations

import functools
import io
import pickle
import subprocess
import sys
from typing import Any

import pytest

from procession import _native
from procession._channels import pickling
from procession._runtime import state


class Point:
    def __init__(self, x: int, y: int) -> None:
        self.x, self.y = x, y

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and (self.x, self.y) == (other.x, other.y)

    __hash__ = None  # type: ignore[assignment]

    def length(self) -> float:
        return float((self.x**2 + self.y**2) ** 0.5)


def again(obj: Any) -> Any:
    return _native.loads(_native.dumps(obj))


@pytest.mark.parametrize(
    "obj",
    [
        Point(3, 4),
        {1: [Point(0, 1)]},
        Point(3, 4).length,
        [].append,
        "a,b".split,
        len,
        list.append,
        {1, 2},
        2**100,
        Exception("x"),
    ],
    ids=repr,
)
def test_what_the_codec_cannot_say_goes_through_pickle(obj: Any) -> None:
    back = again(obj)
    assert type(back) is type(obj)
    if callable(obj) and hasattr(obj, "__name__"):
        assert back.__name__ == obj.__name__
    elif not isinstance(obj, Exception):
        assert back == obj


def test_partials_and_bound_methods_work_after_the_journey() -> None:
    assert again(functools.partial(max, 3))(2) == 3
    assert again(Point(3, 4).length)() == 5.0


def test_a_registered_reduction_is_used() -> None:
    class Local:
        pass

    pickling.ForkingPickler.register(Local, lambda obj: (Point, (1, 2)))
    try:
        assert again(Local()) == Point(1, 2)
        assert pickling.ForkingPickler.loads(pickling.ForkingPickler.dumps([Local()])) == [Point(1, 2)]
        file = io.BytesIO()
        pickling.dump(Local(), file)
        assert pickle.loads(file.getvalue()) == Point(1, 2)
    finally:
        del state.reducers[Local]
    with pytest.raises((pickle.PicklingError, AttributeError)):
        _native.dumps(Local())


def test_what_is_registered_later_with_copyreg_is_used() -> None:
    import copyreg

    class Local:
        pass

    copyreg.pickle(Local, lambda obj: (Point, (5, 6)))
    try:
        assert again(Local()) == Point(5, 6)
    finally:
        del copyreg.dispatch_table[Local]


@pytest.mark.parametrize("padding", [0, 1 << 20], ids=["short", "long"])
def test_names_of_the_standard_librarys_modules_are_read_as_ours(padding: int) -> None:
    named = (
        b"\x80\x02]q\x00(X"
        + padding.to_bytes(4, "little")
        + b"x" * padding
        + b"cmultiprocessing.connection\nClient\ne."
    )
    client = pickling.ForkingPickler.loads(named)[1]
    assert client.__module__ == "procession._channels.listener"


def test_options_of_pickle_loads_are_passed_on() -> None:
    buffers: list[Any] = []
    pickled = pickle.dumps(pickle.PickleBuffer(b"outside"), protocol=5, buffer_callback=buffers.append)
    assert bytes(pickling.ForkingPickler.loads(pickled, buffers=buffers)) == b"outside"


def test_pickle_is_not_imported_before_it_is_needed() -> None:
    script = (
        "import sys; before = 'pickle' in sys.modules\n"
        "import procession._channels.pipe, procession._channels.queue\n"
        "a, b = procession._channels.pipe.Pipe(False); b.send([1, {'x': 2.5}]); assert a.recv()\n"
        "assert before or 'pickle' not in sys.modules\n"
        "b.send(int); assert a.recv() is int and 'pickle' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-I", "-c", script], check=True, timeout=60)


def test_only_what_is_being_started_takes_objects_that_must_be_inherited() -> None:
    with pytest.raises(RuntimeError, match="inheritance"):
        pickling.assert_spawning([])
    pickling.set_spawning_popen("something")
    try:
        pickling.assert_spawning([])
        assert pickling.get_spawning_popen() == "something"
    finally:
        pickling.set_spawning_popen(None)
