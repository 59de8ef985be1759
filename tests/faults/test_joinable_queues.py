"""A consumer of a JoinableQueue is killed before task_done(): whoever joins is told, and nobody waits for ever."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

import procession as mp
from procession import testing
from procession.errors import OwnerDied

METHODS = ("fork", "spawn", "forkserver")


def take(queue: Any, count: int, done: int, ready: Any) -> None:
    for _ in range(count):
        queue.get()
    for _ in range(done):
        queue.task_done()
    ready.set()
    mp.Event().wait()


def work(queue: Any) -> None:
    while True:
        queue.get()
        queue.task_done()


def start_consumer(queue: Any, count: int, done: int, method: str = "fork") -> Any:
    ready = mp.Event()
    consumer = mp.get_context(method).Process(target=take, args=(queue, count, done, ready), name="consumer")
    consumer.start()
    assert ready.wait(30)
    return consumer


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_join_is_told_of_messages_that_a_killed_consumer_had_taken(method: str) -> None:
    queue = mp.JoinableQueue()
    for number in range(5):
        queue.put(number)
    consumer = start_consumer(queue, count=4, done=1, method=method)
    consumer.kill()
    consumer.join()
    with pytest.raises(OwnerDied, match=r"3 messages of a JoinableQueue was held by consumer .*SIGKILL") as told:
        queue.join()
    assert told.value.pid == consumer.pid
    queue.get()
    queue.task_done()
    with pytest.raises(OwnerDied):
        queue.join()
    assert queue.recover() == 3
    queue.join()
    assert queue.recover() == 0


def test_join_that_sleeps_is_told_at_once() -> None:
    queue = mp.JoinableQueue()
    queue.put(1)
    consumer = start_consumer(queue, count=1, done=0)

    def join() -> str:
        try:
            queue.join()
        except OwnerDied as error:
            return str(error)
        return "joined"

    with mp.pool.ThreadPool(1) as pool:
        result = pool.apply_async(join)
        while not any(reason == "queue.join" for reason in reasons()):
            os.sched_yield()
        consumer.kill()
        assert "1 message of a JoinableQueue" in result.get(30)
    consumer.join()


def reasons() -> list[str]:
    from procession import _native

    return [_native.WAIT_REASONS[row[2]] for row in _native.waits()]


def test_what_another_process_reports_is_set_off() -> None:
    queue = mp.JoinableQueue()
    for number in range(3):
        queue.put(number)
    consumer = start_consumer(queue, count=3, done=0)
    for _ in range(2):
        queue.task_done()
    consumer.kill()
    consumer.join()
    with pytest.raises(OwnerDied, match="1 message of"):
        queue.join()
    queue.task_done()
    queue.join()


def test_a_consumer_that_exits_leaves_its_messages_to_others() -> None:
    queue = mp.JoinableQueue()
    queue.put(1)
    consumer = mp.get_context("fork").Process(target=queue.get)
    consumer.start()
    consumer.join()
    assert queue._shared.join(timeout=0) is False
    queue.task_done()
    queue.join()


def test_a_consumer_that_is_replaced_again_and_again_loses_one_message_each_time() -> None:
    queue = mp.JoinableQueue()
    lost = 0
    for _ in range(20):
        queue.put(1)
        consumer = start_consumer(queue, count=1, done=0)
        consumer.kill()
        consumer.join()
        lost += queue.recover()
    assert lost == 20
    queue.join()


@pytest.mark.slow
def test_a_storm_of_kills_ends_with_everything_done_or_reported(storm_factor: int) -> None:
    queue = mp.JoinableQueue()
    messages = 3000 * storm_factor
    for number in range(messages):
        queue.put(number)
    points = [
        point for point in testing.fault_points() if point.startswith(("queue.get", "queue.hands", "queue.task_done"))
    ]
    reported = 0
    for turn in range(200 * storm_factor):
        target = testing.Faulty(work, points[turn % len(points)], "SIGKILL", at=1 + turn % 7)
        consumer = mp.get_context("fork").Process(target=target, args=(queue,))
        consumer.start()
        consumer.join(0.01)  # it may pass that point rarely
        consumer.kill()
        consumer.join()
        assert consumer.exitcode == -signal.SIGKILL
        reported += queue.recover()
    left = queue.qsize()
    for _ in range(left):
        queue.get()
        queue.task_done()
    queue.join()
    assert reported <= 200 * storm_factor
