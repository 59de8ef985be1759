"""No memory left, for whatever reason: a clear error where it was asked for, never SIGBUS, and everything usable afterwards."""

from __future__ import annotations

import os
import queue as stdlib_queue
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

import procession as mp
from procession import testing

MIB = 1 << 20


@pytest.fixture
def _limited() -> Iterator[None]:
    before = mp.memory_limit()
    mp.set_memory_limit(mp.memory_used() + 8 * MIB)
    yield
    mp.set_memory_limit(before)


def for_ever(call: Callable[[], object]) -> None:
    while True:
        call()


@pytest.mark.usefixtures("_limited")
@pytest.mark.parametrize("size", [100, 10_000, 1_000_000])
def test_a_queue_without_reader_is_a_memory_error_and_goes_on_when_there_is_room(size: int) -> None:
    queue, message = mp.Queue(), b"x" * size
    with pytest.raises(MemoryError, match="set_memory_limit"):
        for_ever(lambda: queue.put(message))
    count = queue.qsize()
    assert count * size > 4 * MIB
    for _ in range(count):
        assert queue.get() == message
    assert queue.empty()
    for _ in range(count // 2):
        queue.put(message)
    assert queue.get_many(count // 2) == [message] * (count // 2)


@pytest.mark.usefixtures("_limited")
def test_a_bounded_queue_is_full_before_memory_is() -> None:
    queue = mp.Queue(4)
    for _ in range(4):
        queue.put(b"x" * MIB)
    with pytest.raises(stdlib_queue.Full):
        queue.put(b"x" * MIB, timeout=0)


@pytest.mark.usefixtures("_limited")
@pytest.mark.parametrize("make", ["Lock", "Event", "Queue", "Value", "Barrier"])
def test_objects_that_do_not_fit_are_a_memory_error_and_others_go_on(make: str) -> None:
    arguments = {"Value": ("i", 0), "Barrier": (2,)}.get(make, ())
    lock, made = mp.Lock(), []
    with pytest.raises(MemoryError):
        for_ever(lambda: made.append(getattr(mp, make)(*arguments)))
    with lock:
        assert lock.locked()
    del made[len(made) // 2 :]
    made.append(getattr(mp, make)(*arguments))


@pytest.mark.usefixtures("_limited")
def test_a_limit_holds_in_all_processes_at_once() -> None:
    def fill() -> int:
        queue, count = mp.Queue(), 0
        try:
            while True:
                queue.put(b"x" * MIB)
                count += 1
        except MemoryError:
            return count

    assert 4 <= testing.run_isolated(fill).check() <= 8


def test_a_limit_is_a_number_of_bytes() -> None:
    with pytest.raises(TypeError, match="must be an int"):
        mp.set_memory_limit("1G")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must not be negative"):
        mp.set_memory_limit(-1)
    assert 0 < mp.memory_used() <= mp.memory_limit()


def run(program: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "limit"), [("33554432", 32 * MIB), ("512K", MIB // 2), ("64M", 64 * MIB), ("3G", 3 << 30)]
)
def test_the_environment_sets_the_limit(text: str, limit: int) -> None:
    assert int(run("import procession; print(procession.memory_limit())", PROCESSION_MEMORY_LIMIT=text)) == limit


@pytest.mark.slow
@pytest.mark.parametrize("text", ["", "much", "5X", "-1"])
def test_what_is_no_number_of_bytes_in_the_environment_is_left_aside(text: str) -> None:
    assert int(run("import procession; print(procession.memory_limit())", PROCESSION_MEMORY_LIMIT=text)) > 64 * MIB


FILL = """
import resource, sys
import procession as mp
resource.setrlimit(resource.{limit}, ({bytes}, {bytes}))
try:
    queue, count = mp.Queue(), 0
    while count < 400:
        queue.put(b"x" * (1 << 20))
        count += 1
except MemoryError:
    for _ in range(count):
        assert len(queue.get()) == 1 << 20
    queue.put("usable")
    assert queue.get() == "usable"
print(count)
"""


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["RLIMIT_FSIZE", "RLIMIT_AS"])
def test_a_limit_of_the_system_is_a_memory_error_and_no_signal(limit: str) -> None:
    assert int(run(FILL.format(limit=limit, bytes=300 * MIB))) < 400


@pytest.mark.slow
def test_a_system_without_any_room_is_a_memory_error_at_the_first_object() -> None:
    program = (
        "import resource, procession\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: procession.Lock()\n"
        "except (MemoryError, OSError) as error: print(type(error).__name__, error)"
    )
    assert run(program).startswith(("MemoryError", "OSError"))


@pytest.mark.slow
def test_a_full_dev_shm_concerns_named_segments_alone() -> None:
    program = (
        "import procession as mp\n"
        "from procession import shared_memory\n"
        "queue = mp.Queue()\n"
        "try: shared_memory.SharedMemory(create=True, size=8 << 20)\n"
        "except OSError as error: print(type(error).__name__)\n"
        "for _ in range(8): queue.put(bytes(1 << 20))\n"
        "assert len(queue.get()) == 1 << 20\n"
    )
    mount = 'mount -t tmpfs -o size=1m none /dev/shm && exec "$0" -c "$1"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, sys.executable, program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"no mounts of our own here: {done.stderr.strip()}")
    assert (done.returncode, done.stdout) == (0, "OSError\n"), done.stderr
