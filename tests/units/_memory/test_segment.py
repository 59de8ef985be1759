"""`SharedMemory` in one program: names, sizes, views, errors."""

from __future__ import annotations

import gc
import os
import pickle
import stat
from collections.abc import Callable, Iterator

import pytest

import procession as mp
from procession._os.segments import ROOT
from procession.shared_memory import SharedMemory


@pytest.fixture
def block() -> Iterator[SharedMemory]:
    made = SharedMemory(create=True, size=100)
    yield made
    made.close()
    if os.path.exists(f"{ROOT}/{made.name}"):
        made.unlink()


def test_a_new_block_is_zeroed_private_and_has_the_size_asked_for(block: SharedMemory) -> None:
    assert bytes(block.buf) == bytes(100)
    assert block.size == len(block.buf) == 100
    found = os.stat(f"{ROOT}/{block.name}")
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert found.st_size == 100


def test_whoever_attaches_by_name_sees_the_same_memory(block: SharedMemory) -> None:
    other = SharedMemory(block.name)
    other.buf[:5] = b"hello"
    assert bytes(block.buf[:5]) == b"hello"
    other.close()


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_a_block_is_passed_to_a_child(block: SharedMemory, method: str) -> None:
    process = mp.get_context(method).Process(target=_write, args=(block,))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert bytes(block.buf[:5]) == b"child"


def _write(block: SharedMemory) -> None:
    block.buf[:5] = b"child"


def test_any_file_name_will_do(name: str) -> None:
    made = SharedMemory(name, create=True, size=1)
    assert made.name == name
    attached = SharedMemory(name)
    attached.unlink()
    with pytest.raises(FileNotFoundError):
        made.unlink()


@pytest.mark.parametrize("wrong", ["", ".", "..", "a/b", "x" * 256, "/"])
def test_a_name_that_no_segment_can_have_is_refused_with_the_reason(wrong: str) -> None:
    for create in (True, False):
        with pytest.raises(OSError, match="a segment's name has 1 to 255 bytes") as caught:
            SharedMemory(wrong, create=create, size=1)
        assert caught.value.filename == "/" + wrong


def test_a_name_with_a_null_character_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="null"):
        SharedMemory("a\0b", create=True, size=1)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({}, ValueError, "create=True"),
        ({"create": True}, ValueError, "different from zero"),
        ({"create": True, "size": -1}, ValueError, "positive"),
        ({"create": True, "size": 1.5}, TypeError, "integer"),
        ({"name": 5, "create": True, "size": 1}, TypeError, "string, not int"),
        ({"name": "procession-test-nobody-has-this"}, FileNotFoundError, "procession-test-nobody-has-this"),
        ({"create": True, "size": 1 << 60}, OSError, "left: enlarge it"),
    ],
)
def test_what_cannot_be_had_is_said_and_leaves_nothing(
    arguments: dict[str, object], error: type[Exception], text: str, there: Callable[[], set[str]]
) -> None:
    with pytest.raises(error, match=text):
        SharedMemory(**arguments)  # type: ignore[arg-type]  # that is the test
    assert not there()


def test_a_name_in_use_is_not_taken_over(block: SharedMemory) -> None:
    block.buf[0] = 7
    with pytest.raises(FileExistsError, match=block.name):
        SharedMemory(block.name, create=True, size=5)
    assert SharedMemory(block.name).buf[0] == 7


def test_what_is_no_segment_is_not_attached_to(name: str) -> None:
    os.mkfifo(f"{ROOT}/{name}")
    with pytest.raises(OSError, match="no shared memory"):
        SharedMemory(name)
    os.unlink(f"{ROOT}/{name}")
    os.symlink("/etc/passwd", f"{ROOT}/{name}")
    with pytest.raises(OSError, match="symbolic"):
        SharedMemory(name)


def test_an_empty_segment_is_not_attached_to(name: str) -> None:
    with open(f"{ROOT}/{name}", "wb"):
        pass
    with pytest.raises(ValueError, match="is empty"):
        SharedMemory(name)


def test_closing_is_refused_while_a_view_is_in_use_and_changes_nothing(block: SharedMemory) -> None:
    view = block.buf[:3]
    with pytest.raises(BufferError, match="in use"):
        block.close()
    block.buf[0] = 9
    assert view[0] == 9
    view.release()
    block.close()
    block.close()
    assert block.buf is None


def test_a_view_outlives_the_object_without_a_word(capfd: pytest.CaptureFixture[str], block: SharedMemory) -> None:
    other = SharedMemory(block.name)
    view, whole = other.buf[:3], SharedMemory(block.name).buf
    del other
    gc.collect()
    view[0] = 3
    assert block.buf[0] == whole[0] == 3
    assert capfd.readouterr().err == ""


def test_a_block_keeps_no_descriptor_that_python_does_not_need() -> None:
    before = len(os.listdir("/proc/self/fd"))
    made = SharedMemory(create=True, size=1)
    assert len(os.listdir("/proc/self/fd")) - before <= 1
    made.close()
    assert len(os.listdir("/proc/self/fd")) == before
    made.unlink()


def test_a_pickle_attaches_and_fails_when_the_block_is_gone(block: SharedMemory) -> None:
    pickled = pickle.dumps(block)
    assert pickle.loads(pickled).size == 100
    block.unlink()
    with pytest.raises(FileNotFoundError):
        pickle.loads(pickled)


class Optional(SharedMemory):
    _flags = os.O_CREAT | os.O_RDWR


def test_the_flags_of_a_subclass_may_make_or_attach(name: str) -> None:
    made = Optional(name, size=10)
    attached = Optional(name, size=20)
    assert (made.size, attached.size) == (10, 10)
    made.unlink()
