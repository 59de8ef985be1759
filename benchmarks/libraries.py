"""Who is measured: this package, the standard library, and the rivals, each behind the same few calls.

Promises: a library that lacks something raises `Lacking`, which the table shows as "-"; nothing is emulated.
Not here: what is measured (`workloads/`).
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import platform
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["LIBRARIES", "Lacking", "Library"]


class Lacking(Exception):
    """The library has nothing of the kind."""


class Library:
    """A library with the standard library's shape; the others override what they have."""

    has = frozenset({"module", "queue", "pool", "startup"})

    def __init__(self, name: str, module: str, distribution: str | None = None) -> None:
        self.name = name
        self.module_name = module
        self.distribution = distribution

    @property
    def is_installed(self) -> bool:
        return importlib.util.find_spec(self.module_name.split(".")[0]) is not None

    @property
    def version(self) -> str:
        return importlib.metadata.version(self.distribution) if self.distribution else platform.python_version()

    @property
    def module(self) -> Any:
        return importlib.import_module(self.module_name)

    @property
    def beside(self) -> Any:
        """The module whose processes, pipes and barriers a measurement of this library uses."""
        return self.module

    def queue(self, kind: str = "Queue") -> Any:
        return getattr(self.module, kind)()

    def process(self, *args: Any, **options: Any) -> Any:
        return self.beside.Process(*args, **options)

    def pool(self, processes: int, method: str = "fork") -> contextlib.AbstractContextManager[Any]:
        """A pool with `apply`, `submit_all`, `map`, `stream`, `stream_unordered`, `starmap`."""
        return StandardPool(self.module.get_context(method).Pool(processes))


class Sleeping(Library):
    """This package as if it knew plain futex waits alone: nobody spins. For `crowded`; measured only where it is named."""

    is_installed = False

    @property
    def module(self) -> Any:
        module = super().module
        importlib.import_module("procession._native").forbid_spinning(True)  # and in all that is forked
        return module


class StandardPool:
    """The calls of a pool, on a `Pool` of the standard library's shape."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool

    def __enter__(self) -> StandardPool:
        self.pool.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.pool.__exit__(*error)

    def apply(self, function: Callable[..., Any], argument: Any) -> Any:
        return self.pool.apply(function, (argument,))

    def submit_all(self, function: Callable[..., Any], arguments: Iterable[Any]) -> list[Any]:
        results = [self.pool.apply_async(function, (argument,)) for argument in arguments]
        return [result.get() for result in results]

    def map(self, function: Callable[..., Any], arguments: Iterable[Any], chunksize: int | None = None) -> list[Any]:
        return self.pool.map(function, arguments, chunksize)

    def starmap(self, function: Callable[..., Any], arguments: Iterable[Any]) -> list[Any]:
        return self.pool.starmap(function, arguments)

    def stream(self, function: Callable[..., Any], arguments: Iterable[Any]) -> Iterator[Any]:
        return self.pool.imap(function, arguments)

    def stream_unordered(self, function: Callable[..., Any], arguments: Iterable[Any]) -> Iterator[Any]:
        return self.pool.imap_unordered(function, arguments)


class Executor:
    """The calls of a pool, on an executor of concurrent.futures' shape."""

    def __init__(self, executor: Any) -> None:
        self.executor = executor

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *error: object) -> None:
        self.executor.shutdown()

    def apply(self, function: Callable[..., Any], argument: Any) -> Any:
        return self.executor.submit(function, argument).result()

    def submit_all(self, function: Callable[..., Any], arguments: Iterable[Any]) -> list[Any]:
        futures = [self.executor.submit(function, argument) for argument in arguments]
        return [future.result() for future in futures]

    def map(self, function: Callable[..., Any], arguments: Iterable[Any], chunksize: int | None = None) -> list[Any]:
        if chunksize is None:
            raise Lacking
        return list(self.executor.map(function, arguments, chunksize=chunksize))

    def starmap(self, function: Callable[..., Any], arguments: Iterable[Any]) -> list[Any]:
        raise Lacking

    def stream(self, function: Callable[..., Any], arguments: Iterable[Any]) -> Iterator[Any]:
        return self.executor.map(function, arguments)

    def stream_unordered(self, function: Callable[..., Any], arguments: Iterable[Any]) -> Iterator[Any]:
        from concurrent.futures import as_completed

        for future in as_completed([self.executor.submit(function, argument) for argument in arguments]):
            yield future.result()


class Futures(Library):
    """concurrent.futures of the standard library."""

    has = frozenset({"pool", "startup"})

    def pool(self, processes: int, method: str = "fork") -> Any:
        import multiprocessing

        return Executor(self.module.ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context(method)))


class Loky(Library):
    has = frozenset({"pool"})

    def pool(self, processes: int, method: str = "fork") -> Any:
        return Executor(self.module.ProcessPoolExecutor(processes))  # its own start method, always


class Pebble(Library):
    has = frozenset({"pool"})

    def pool(self, processes: int, method: str = "fork") -> Any:
        return PebblePool(self.module.ProcessPool(max_workers=processes))


class PebblePool(Executor):
    def __exit__(self, *error: object) -> None:
        self.executor.close()
        self.executor.join()

    def apply(self, function: Callable[..., Any], argument: Any) -> Any:
        return self.executor.schedule(function, (argument,)).result()

    def submit_all(self, function: Callable[..., Any], arguments: Iterable[Any]) -> list[Any]:
        futures = [self.executor.schedule(function, (argument,)) for argument in arguments]
        return [future.result() for future in futures]

    def map(self, function: Callable[..., Any], arguments: Iterable[Any], chunksize: int | None = None) -> list[Any]:
        if chunksize is None:
            raise Lacking
        return list(self.executor.map(function, arguments, chunksize=chunksize).result())

    def stream(self, function: Callable[..., Any], arguments: Iterable[Any]) -> Iterator[Any]:
        return self.executor.map(function, arguments).result()

    def stream_unordered(self, function: Callable[..., Any], arguments: Iterable[Any]) -> Iterator[Any]:
        raise Lacking


class Joblib(Library):
    has = frozenset({"pool"})

    @contextlib.contextmanager
    def pool(self, processes: int, method: str = "fork") -> Iterator[Any]:
        with self.module.Parallel(n_jobs=processes) as parallel:
            yield JoblibPool(parallel, self.module.delayed)


class JoblibPool(Executor):
    def __init__(self, parallel: Any, delayed: Any) -> None:
        self.parallel, self.delayed = parallel, delayed

    def apply(self, function: Callable[..., Any], argument: Any) -> Any:
        return self.parallel([self.delayed(function)(argument)])[0]

    def submit_all(self, function: Callable[..., Any], arguments: Iterable[Any]) -> list[Any]:
        raise Lacking

    def map(self, function: Callable[..., Any], arguments: Iterable[Any], chunksize: int | None = None) -> list[Any]:
        return self.parallel(self.delayed(function)(argument) for argument in arguments)

    def stream(self, function: Callable[..., Any], arguments: Iterable[Any]) -> Iterator[Any]:
        raise Lacking

    stream_unordered = stream


class Mpire(Library):
    has = frozenset({"pool"})

    def pool(self, processes: int, method: str = "fork") -> Any:
        return MpirePool(self.module.WorkerPool(n_jobs=processes, start_method=method, keep_alive=True))


class MpirePool(StandardPool):
    def map(self, function: Callable[..., Any], arguments: Iterable[Any], chunksize: int | None = None) -> list[Any]:
        return self.pool.map(function, arguments, chunk_size=chunksize, concatenate_numpy_output=False)

    def starmap(self, function: Callable[..., Any], arguments: Iterable[Any]) -> list[Any]:
        return self.pool.map(function, arguments)


class Aiomultiprocess(Library):
    has = frozenset({"pool"})

    @contextlib.contextmanager
    def pool(self, processes: int, method: str = "fork") -> Iterator[Any]:
        import asyncio

        self.module.set_start_method(method)
        with asyncio.Runner() as runner:

            async def begin() -> Any:
                return self.module.Pool(processes)

            async def end() -> None:
                pool.close()
                await pool.join()

            pool = runner.run(begin())
            try:
                yield AsyncPool(pool, runner)
            finally:
                runner.run(end())


async def awaited(function: Callable[..., Any], argument: Any) -> Any:
    return function(argument)


class AsyncPool(Executor):
    def __init__(self, pool: Any, runner: Any) -> None:
        self.pool, self.runner = pool, runner

    def apply(self, function: Callable[..., Any], argument: Any) -> Any:
        return self.runner.run(self._apply(function, argument))

    async def _apply(self, function: Callable[..., Any], argument: Any) -> Any:
        return await self.pool.apply(awaited, (function, argument))

    def submit_all(self, function: Callable[..., Any], arguments: Iterable[Any]) -> list[Any]:
        return self.map(function, arguments, 1)

    def map(self, function: Callable[..., Any], arguments: Iterable[Any], chunksize: int | None = None) -> list[Any]:
        if chunksize is None:
            raise Lacking
        return self.runner.run(self._map(function, arguments))

    async def _map(self, function: Callable[..., Any], arguments: Iterable[Any]) -> list[Any]:
        return list(await self.pool.starmap(awaited, [(function, argument) for argument in arguments]))

    def stream(self, function: Callable[..., Any], arguments: Iterable[Any]) -> Iterator[Any]:
        raise Lacking

    stream_unordered = stream


class FasterFifo(Library):
    has = frozenset({"queue"})

    def queue(self, kind: str = "Queue") -> Any:
        if kind != "Queue":
            raise Lacking
        return self.module.Queue(max_size_bytes=64 << 20)

    @property
    def beside(self) -> Any:
        import multiprocessing

        return multiprocessing


LIBRARIES = {
    library.name: library
    for library in (
        Library("procession", "procession", "procession"),
        Sleeping("procession-sleeping", "procession", "procession"),
        Library("stdlib", "multiprocessing"),
        Library("billiard", "billiard", "billiard"),
        Library("multiprocess", "multiprocess", "multiprocess"),
        Futures("concurrent.futures", "concurrent.futures"),
        Loky("loky", "loky", "loky"),
        Joblib("joblib", "joblib", "joblib"),
        Pebble("pebble", "pebble", "Pebble"),
        Mpire("mpire", "mpire", "mpire"),
        Aiomultiprocess("aiomultiprocess", "aiomultiprocess", "aiomultiprocess"),
        FasterFifo("faster-fifo", "faster_fifo", "faster-fifo"),
    )
}
