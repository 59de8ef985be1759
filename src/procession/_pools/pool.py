"""`Pool` and `ThreadPool`: the documented API over a crew and a dispatcher.

Promises: an argument that is wrong, or cannot be pickled, is an error of that call. The death of a worker is an error of the task that it
ran, and of nothing else. Leaving the `with` block terminates the pool; results that nobody has by then are `ResultsDiscarded`.
Not here: the work.
"""

from __future__ import annotations

import functools
import itertools
import os
import warnings

from procession._os.cpus import usable_cpus
from procession._pools.books import Block
from procession._pools.crew import ProcessCrew
from procession._pools.dispatch import Dispatcher
from procession._pools.feeding import Feed
from procession._pools.jobs import PoolState, advance_pool
from procession._pools.pacing import PacedMap, PacedResult
from procession._pools.results import AsyncResult, IMapIterator, IMapUnorderedIterator, MapResult
from procession._pools.threads import ThreadCrew
from procession._pools.words import Call
from procession._runtime import Finalizer, state

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, Self

__all__ = ["Pool", "ThreadPool"]

CHUNKS_PER_WORKER = (
    64  # of a map with the default chunk size: a chunk costs some 5 us, and the last one is 1.6 % of a worker's share
)
EXIT_PRIORITY = 15  # before queues are flushed at exit, as in the standard library


class Pool:
    """Workers that run calls: `processes` of them (default: the usable CPUs), each replaced after `maxtasksperchild` tasks.

    `initializer(*initargs)` runs first in each worker; before it, numpy's global random generator gets a seed of its own, if it
    was loaded (forked workers would all draw the same numbers), as Python itself does for `random`. Workers may have pools of
    their own. ValueError for less than one process, TypeError for an initializer that cannot be called.
    """

    _crew: Any

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: Any = None,
    ) -> None:
        self._pid = os.getpid()
        self._state = PoolState.TERMINATE  # until all is there: __del__ must not warn of a pool that never was
        processes = usable_cpus() if processes is None else processes
        if processes < 1:
            raise ValueError("Number of processes must be at least 1")
        limit: Any = maxtasksperchild
        if limit is not None and not (isinstance(limit, int) and limit > 0):
            raise ValueError("maxtasksperchild must be a positive int or None")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._ctx = context
        self._processes = processes
        self._maxtasksperchild = maxtasksperchild
        self._crew = self._make_crew(processes, initializer, tuple(initargs), maxtasksperchild)
        self._dispatcher = Dispatcher(self._crew)
        self._terminate = Finalizer(self, _terminate, (self._crew, self._dispatcher), exitpriority=EXIT_PRIORITY)
        self._state = PoolState.RUN

    def _make_crew(
        self, size: int, initializer: Callable[..., object] | None, initargs: tuple[Any, ...], maxtasks: int | None
    ) -> Any:
        if self._ctx is None:
            self._ctx = state.default_context.get_context()
        return ProcessCrew(size, functools.partial(self.Process, self._ctx), (initializer, initargs, maxtasks))

    @staticmethod
    def Process(ctx: Any, *args: Any, **kwds: Any) -> Any:  # noqa: N802 - a documented hook of subclasses
        """The process object of a worker."""
        return ctx.Process(*args, **kwds)

    # ── calls ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def apply(self, func: Callable[..., Any], args: Iterable[Any] = (), kwds: dict[str, Any] | None = None) -> Any:
        """`func(*args, **kwds)` in a worker: its result, or what it raised."""
        return self._call(func, args, kwds).get()

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] = (),
        kwds: dict[str, Any] | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult[Any]:
        """As `apply`, but at once: an `AsyncResult`. One of the callbacks is called with the result or the exception."""
        result = self._call(func, args, kwds, callback, error_callback)
        self._dispatcher.attend_lightly()
        return result

    def _call(
        self,
        func: Callable[..., Any],
        args: Iterable[Any],
        kwds: dict[str, Any] | None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult[Any]:
        self._check_running()
        dispatcher = self._dispatcher
        result: AsyncResult[Any] = AsyncResult(dispatcher, func, callback, error_callback, self)
        call, payload = (Call.ARGS_KWDS, (tuple(args), kwds)) if kwds else (Call.ARGS, tuple(args))
        result.call, result.func, result.payload = call, self._crew.prepare(func), payload
        if callback is None and error_callback is None:
            dispatcher.submit(result)
            return result
        dispatcher.attend(job_needs_answers=True)
        try:
            dispatcher.submit(result)
        except BaseException:
            dispatcher.unattend()
            raise
        return result

    def map(self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int | None = None) -> list[Any]:
        """`[func(item) for item in iterable]`, in chunks of `chunksize` items."""
        return self._map_and_wait(func, iterable, Call.MAP, chunksize)

    def starmap(
        self, func: Callable[..., Any], iterable: Iterable[Iterable[Any]], chunksize: int | None = None
    ) -> list[Any]:
        """`[func(*item) for item in iterable]`, in chunks of `chunksize` items."""
        return self._map_and_wait(func, iterable, Call.STARMAP, chunksize)

    def map_async(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> MapResult[Any]:
        """As `map`, but at once: an `AsyncResult`."""
        chunks = self._chunks_of(iterable, chunksize)
        result = self._map(func, chunks, Call.MAP, callback, error_callback)
        self._dispatcher.attend_lightly()
        return result

    def starmap_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> MapResult[Any]:
        """As `starmap`, but at once: an `AsyncResult`."""
        chunks = self._chunks_of(iterable, chunksize)
        result = self._map(func, chunks, Call.STARMAP, callback, error_callback)
        self._dispatcher.attend_lightly()
        return result

    def _chunks_of(self, iterable: Iterable[Any], chunksize: int | None) -> list[Sequence[Any]]:
        self._check_running()
        items: Sequence[Any] = iterable if hasattr(iterable, "__len__") else list(iterable)  # type: ignore[assignment]
        return _chunks(items, self._chunksize(len(items), chunksize))

    def _map_and_wait(
        self, func: Callable[..., Any], iterable: Iterable[Any], call: int, chunksize: int | None
    ) -> list[Any]:
        chunks = self._chunks_of(iterable, chunksize)
        ahead = self._crew.ahead(chunks, len(chunks)) if chunks else None
        if ahead is None:
            return self._map(func, chunks, call).get()
        result: PacedResult[Any] = PacedResult(self._dispatcher, func, len(chunks), self)
        block = Block(result, 0, call, self._crew.prepare(func), chunks)
        PacedMap(self._dispatcher, result, block, ahead).run()
        return result.get()

    def _map(
        self,
        func: Callable[..., Any],
        chunks: list[Sequence[Any]],
        call: int,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> MapResult[Any]:
        dispatcher = self._dispatcher
        if callback is not None or error_callback is not None:
            dispatcher.attend(job_needs_answers=True)
        result: MapResult[Any] = MapResult(dispatcher, func, len(chunks), callback, error_callback, self)
        if chunks:
            try:
                ref = self._crew.prepare(func)
                dispatcher.submit_block(Block(result, 0, call, ref, chunks))
            except BaseException:
                if result.has_callbacks:
                    dispatcher.unattend()
                raise
        return result

    def _chunksize(self, length: int, chunksize: int | None) -> int:
        if chunksize is not None:
            return _checked_chunksize(chunksize)
        return max(1, -(-length // (self._processes * CHUNKS_PER_WORKER)))

    def imap(
        self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int = 1, buffersize: int | None = None
    ) -> IMapIterator[Any]:
        """An iterator over `func(item)` in the order of the items; at most `buffersize` tasks ahead of the reader (None: no limit)."""
        return self._imap(IMapIterator, func, iterable, chunksize, buffersize)

    def imap_unordered(
        self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int = 1, buffersize: int | None = None
    ) -> IMapIterator[Any]:
        """As `imap`, in the order in which the results come."""
        return self._imap(IMapUnorderedIterator, func, iterable, chunksize, buffersize)

    def _imap(
        self,
        make: type[IMapIterator[Any]],
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int,
        buffersize: int | None,
    ) -> IMapIterator[Any]:
        self._check_running()
        chunksize = _checked_chunksize(chunksize)
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        ref = self._crew.prepare(func)
        results = make(self._dispatcher, func, self, chunksize)
        feed = Feed(
            self._dispatcher,
            results,
            iterable,
            ref,
            chunksize,
            buffersize,
        )
        if buffersize is None:
            results.set_feed(None, feed.feed_from_callback)
            self._dispatcher.attend_feed(feed)
        else:
            results.set_feed(feed.feed)
            feed.feed()
            self._dispatcher.attend_lightly()
        return results

    # ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def close(self) -> None:
        """Take no more tasks; the workers leave when all are done."""
        if self._state is PoolState.RUN:
            self._state = advance_pool(self._state, "close")
            self._dispatcher.close()

    def terminate(self) -> None:
        """End the workers at once; results that are not there yet are `ResultsDiscarded`."""
        self._state = advance_pool(self._state, "terminate")
        self._terminate()

    def join(self) -> None:
        """Wait for the workers to leave. ValueError before `close()` or `terminate()`."""
        if self._state is PoolState.RUN:
            raise ValueError("Pool is still running")
        if self._dispatcher.in_callback():
            raise RuntimeError("join() in a callback of the pool would wait for this callback: call it elsewhere")
        if self._state is PoolState.CLOSE:
            self._dispatcher.wait_all()
            self._crew.finish()
        self._crew.join()
        self._dispatcher.join_attendant()

    def _check_running(self) -> None:
        if self._pid != os.getpid():
            raise RuntimeError(
                f"this pool belongs to process {self._pid}, and cannot be used in process {os.getpid()}: make one here"
            )
        if self._state is not PoolState.RUN:
            raise ValueError("Pool not running")

    def __enter__(self) -> Self:
        self._check_running()
        return self

    def __exit__(self, *args: object) -> None:
        self.terminate()

    def __del__(self) -> None:
        if self._state is PoolState.RUN and self._pid == os.getpid():
            warnings.warn(f"unclosed running multiprocessing pool {self!r}", ResourceWarning, source=self, stacklevel=2)

    def __reduce__(self) -> Any:
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")

    def __repr__(self) -> str:
        cls = type(self)
        return f"<{cls.__module__}.{cls.__qualname__} state={self._state.name} pool_size={len(self._pool)}>"

    # ── names that others use ────────────────────────────────────────────────────────────────────────────────────────
    @property
    def _pool(self) -> list[Any]:
        workers: list[Any] = self._crew.workers
        return workers

    @property
    def _cache(self) -> dict[int, Any]:
        return self._dispatcher.books.tasks

    def _repopulate_pool(self) -> None:
        self._dispatcher.look_after()
        self._crew.fill()


class ThreadPool(Pool):
    """A pool whose workers are threads of this process."""

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
    ) -> None:
        super().__init__(processes, initializer, initargs)

    def _make_crew(
        self, size: int, initializer: Callable[..., object] | None, initargs: tuple[Any, ...], maxtasks: int | None
    ) -> Any:
        return ThreadCrew(size, initializer, initargs)


def _terminate(crew: Any, dispatcher: Dispatcher) -> None:
    crew.stop()
    dispatcher.discard()


def _checked_chunksize(chunksize: int) -> int:
    if chunksize < 1:
        raise ValueError(f"Chunksize must be 1+, not {chunksize:n}")
    return chunksize


def _chunks(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """The items in tuples of `size` (a range in ranges), whatever kind of collection they are in."""
    if type(items) is range and size > 1:
        return [items[start : start + size] for start in range(0, len(items), size)]
    if isinstance(items, (list, tuple)):
        return [tuple(items[start : start + size]) for start in range(0, len(items), size)]
    source = iter(items)
    return list(iter(lambda: tuple(itertools.islice(source, size)), ()))
