"""What the API gained after the specification: the semantics of each item of its list of later additions, one check each."""

from __future__ import annotations

import itertools
import os
import queue
import signal
import subprocess
import sys
from collections.abc import Callable, MutableSet
from pathlib import Path
from typing import Any

import pytest

import procession as mp
from procession import connection, shared_memory

METHODS = ("fork", "spawn", "forkserver")
pytestmark = pytest.mark.slow


@pytest.fixture(params=METHODS)
def context(request: pytest.FixtureRequest) -> Any:
    return mp.get_context(request.param)


def ended(context: Any, function: Callable[..., object], *args: Any) -> int:
    process = context.Process(target=function, args=args, kwargs=None)
    process.start()
    process.join()
    return int(process.exitcode)


def run(source: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "program.py").write_text(source)
    return subprocess.run(
        [sys.executable, "program.py"], cwd=folder, capture_output=True, text=True, timeout=50, check=False
    )


def leave(code: Any) -> None:
    raise SystemExit(code)


def test_the_code_of_systemexit_is_the_exit_code(context: Any) -> None:
    for code, expected in ((None, 0), (0, 0), (7, 7), (True, 1), ("why", 1), ([], 1)):
        assert ended(context, leave, code) == expected


def test_what_systemexit_says_goes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    assert ended(mp.get_context("fork"), leave, "why it left") == 1
    assert capfd.readouterr().err == "why it left\n"


def wait_for_interrupt(ready: Any, catches: bool) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        ready.send("waiting")
        signal.pause()
    except KeyboardInterrupt:
        if not catches:
            raise
        ready.send("caught")
    finally:
        ready.send("finally")


@pytest.mark.parametrize("catches", [True, False])
def test_an_interrupted_process_runs_its_finally(context: Any, catches: bool) -> None:
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=wait_for_interrupt, args=(there, catches))
    process.start()
    with here, there:
        assert here.recv() == "waiting"
        process.interrupt()
        process.join()
        assert [here.recv() for _ in range(1 + catches)] == ["caught"] * catches + ["finally"]
    assert process.exitcode == 1 - catches


def test_locks_and_semaphores_tell_their_state() -> None:
    for kind in ("Lock", "RLock", "Semaphore", "BoundedSemaphore"):
        lock = getattr(mp, kind)()
        assert lock.locked() is False
        with lock:
            assert lock.locked() is True
    assert mp.Semaphore(3).get_value() == 3
    event = mp.Event()
    assert "unset" in repr(event)
    event.set()
    assert repr(event).endswith(" set>")
    with mp.Manager() as manager:
        proxy = manager.Lock()
        assert proxy.locked() is False
        proxy.acquire()
        assert proxy.locked() is True


def test_a_closed_simple_queue_is_not_used() -> None:
    simple = mp.SimpleQueue()
    simple.put(1)
    simple.close()
    for use in (lambda: simple.put(2), simple.get, simple.empty):
        with pytest.raises((ValueError, OSError), match="closed"):
            use()


def test_a_queue_that_is_shut_down_gives_what_it_has(context: Any) -> None:
    tasks = context.Queue()
    tasks.put(1)
    tasks.shutdown()
    with pytest.raises(mp.ShutDown):
        tasks.put(2)
    assert tasks.get() == 1
    with pytest.raises(mp.ShutDown):
        tasks.get()
    if sys.version_info >= (3, 13):
        assert issubclass(mp.ShutDown, queue.ShutDown)
    at_once = context.Queue()
    at_once.put(1)
    at_once.shutdown(immediate=True)
    with pytest.raises(mp.ShutDown):
        at_once.get()


@pytest.mark.parametrize("wrong", ["module", [1], None, b"x", ("a", "b")])
def test_the_fork_server_preloads_lists_of_names(wrong: Any) -> None:
    with pytest.raises(TypeError):
        mp.set_forkserver_preload(wrong)


def test_a_preload_that_fails_is_told_as_was_asked(tmp_path: Path) -> None:
    source = """
import procession as mp, sys
if __name__ == "__main__":
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(["no_such_module"], on_error=ON_ERROR)
    try:
        process = context.Process(target=print, args=("started",))
        process.start(); process.join()
    except Exception as error:
        print(type(error).__name__, getattr(error, "__notes__", None) is not None)
"""
    for on_error, printed in (("ignore", "started\n"), ("warn", "started\n")):
        done = run(source.replace("ON_ERROR", repr(on_error)), tmp_path)
        assert (done.stdout, "ImportWarning" in done.stderr) == (printed, on_error == "warn"), done
    done = run(source.replace("ON_ERROR", "'fail'"), tmp_path)
    assert "started" not in done.stdout
    assert done.stdout.endswith(" True\n"), done
    assert "no_such_module" in done.stderr
    with pytest.raises(ValueError, match="on_error"):
        mp.set_forkserver_preload([], on_error="shout")


def test_a_wrong_typecode_is_told_with_those_that_are_right() -> None:
    for make in (lambda: mp.Value("x"), lambda: mp.Array("x", 1), lambda: mp.RawValue("?"), lambda: mp.RawArray("", 1)):
        with pytest.raises(TypeError, match=r"(?s)b.*d.*i"):
            make()


def test_imap_takes_no_more_than_its_buffer(context: Any) -> None:
    taken = 0

    def numbers() -> Any:
        nonlocal taken
        for number in itertools.count():
            taken += 1
            yield number

    with context.Pool(2) as workers:
        results = workers.imap(abs, numbers(), buffersize=4)
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        assert taken <= 3 + 4 + 1
        workers.close()
        workers.terminate()
        workers.join()
    with context.Pool(2) as workers:
        some = workers.imap_unordered(abs, range(1000), 2, 3)
        next(some)
        workers.close()
        workers.join()  # though most of it is not consumed
    with context.Pool(1) as workers:
        for wrong in (0, -1, 1.5):
            with pytest.raises((ValueError, TypeError)):
                workers.imap(abs, [], buffersize=wrong)


@pytest.mark.parametrize("name", ["with space", "with\nnewline", "with:colon"])
def test_any_file_name_serves_for_shared_memory(name: str) -> None:
    unique = f"{name} {os.getpid()}"
    block = shared_memory.SharedMemory(unique, create=True, size=10)
    try:
        other = shared_memory.SharedMemory(unique, track=False)
        block.buf[0] = 7
        assert other.buf[0] == 7
        other.close()
    finally:
        block.close()
        block.unlink()


def answer(address: Any) -> None:
    with connection.Client(address, authkey=b"") as client:
        client.send("authenticated")


def test_an_empty_key_does_authenticate() -> None:
    with connection.Listener(authkey=b"") as listener:
        process = mp.get_context("fork").Process(target=answer, args=(listener.address,))
        process.start()
        with listener.accept() as accepted:
            assert accepted.recv() == "authenticated"
        process.join()


def say_at_exit(file: str) -> None:
    import atexit

    atexit.register(Path(file).write_text, "atexit ran")


def test_exit_handlers_of_children_run(context: Any, tmp_path: Path) -> None:
    file = tmp_path / "said"
    assert ended(context, say_at_exit, str(file)) == 0
    assert file.read_text() == "atexit ran"


def test_proxies_have_the_later_methods() -> None:
    with mp.Manager() as manager:
        numbers = manager.list([1, 2])
        assert numbers.copy() == [1, 2]
        numbers.clear()
        assert len(numbers) == 0
        table = manager.dict(a=1, b=2)
        assert list(reversed(table)) == ["b", "a"]
        assert table | {"c": 3} == {"a": 1, "b": 2, "c": 3}
        assert {"a": 0, "z": 0} | table == {"a": 1, "z": 0, "b": 2}
        same = table
        table |= {"d": 4}
        assert table is same
        assert table["d"] == 4
        assert table.fromkeys(["x"], 5) == {"x": 5}


def test_a_set_is_shared_with_every_operator() -> None:
    with mp.Manager() as manager:
        shared = manager.set([1, 2, 3])
        assert isinstance(shared, MutableSet)
        assert (2 in shared, len(shared), sorted(shared)) == (True, 3, [1, 2, 3])
        assert (shared | {4}, shared & {1, 9}, shared - {1}, shared ^ {1, 4}) == ({1, 2, 3, 4}, {1}, {2, 3}, {2, 3, 4})
        assert ({4} | shared, {1, 9} & shared, {1, 9} - shared, {1, 4} ^ shared) == ({1, 2, 3, 4}, {1}, {9}, {2, 3, 4})
        assert (shared >= {1}, shared > {1, 2, 3}, shared <= {1, 2, 3, 4}, shared < {1}) == (True, False, True, False)
        same = shared
        shared |= {4}
        shared &= {2, 3, 4}
        shared -= {4}
        shared ^= {2, 5}
        assert shared is same
        assert shared.copy() == {3, 5}
        shared.add(6)
        shared.discard(3)
        shared.update({7}, [8])
        assert shared.union([9]) == {5, 6, 7, 8, 9}
        assert shared.isdisjoint({1}) is True


def test_a_queue_of_a_manager_is_shut_down() -> None:
    with mp.Manager() as manager:
        shared = manager.Queue()
        shared.put(1)
        if sys.version_info < (3, 13):
            pytest.skip("queue.Queue has no shutdown before Python 3.13")
        shared.shutdown()
        with pytest.raises(queue.ShutDown):
            shared.put(2)
        assert shared.get() == 1


def test_usable_cpus_are_the_default_size_of_a_pool(tmp_path: Path) -> None:
    source = (
        "import os, procession as mp\nif __name__ == '__main__':\n"
        "    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "    with mp.Pool() as pool: print(len(pool._pool))\n"
    )
    assert run(source, tmp_path).stdout == "1\n"


def test_the_default_method_is_listed_first() -> None:
    expected = "forkserver" if sys.version_info >= (3, 14) else "fork"
    assert mp.get_all_start_methods()[0] == expected
    assert sorted(mp.get_all_start_methods()) == sorted(METHODS)
