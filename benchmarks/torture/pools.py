"""One face for pools of many libraries: two workers; a call, several calls at once, an iterator of results.

Each is used as its documentation says, with the start method that it has by default on this Python. Not here: what they are put through.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

ADAPTERS: dict[str, Callable[..., Adapter]] = {}


class Lacking(Exception):
    """The library has nothing of that kind."""


class Adapter:
    """A pool of two workers."""

    pids: Callable[[], list[int]]

    def start(self, func: Callable[..., Any], *args: Any) -> Callable[[], Any]:
        """Submit a call; what is returned waits for its result."""
        raise NotImplementedError

    def call(self, func: Callable[..., Any], *args: Any) -> Any:
        return self.start(func, *args)()

    def iterate(self, func: Callable[..., Any], items: Iterable[Any]) -> Iterator[Any]:
        raise Lacking

    def close(self) -> None:
        """Take no more, wait for the workers to leave."""


def adapter(name: str) -> Callable[[Callable[..., Adapter]], Callable[..., Adapter]]:
    def register(make: Callable[..., Adapter]) -> Callable[..., Adapter]:
        ADAPTERS[name] = make
        return make

    return register


class LikePool(Adapter):
    """The API of multiprocessing.Pool."""

    def __init__(self, module: str, workers: int, **options: Any) -> None:
        self.pool = importlib.import_module(module).Pool(workers, **options)

    def start(self, func: Callable[..., Any], *args: Any) -> Callable[[], Any]:
        return self.pool.apply_async(func, args).get

    def iterate(self, func: Callable[..., Any], items: Iterable[Any]) -> Iterator[Any]:
        return self.pool.imap(func, items)

    def close(self) -> None:
        self.pool.close()
        self.pool.join()


for _name, _module in {
    "procession": "procession",
    "stdlib": "multiprocessing",
    "billiard": "billiard",
    "multiprocess": "multiprocess",
}.items():
    ADAPTERS[_name] = lambda workers=2, module=_module, **options: LikePool(module, workers, **options)


class LikeExecutor(Adapter):
    """The API of concurrent.futures."""

    def __init__(self, module: str, workers: int, **options: Any) -> None:
        self.pool = importlib.import_module(module).ProcessPoolExecutor(workers, **options)

    def start(self, func: Callable[..., Any], *args: Any) -> Callable[[], Any]:
        return self.pool.submit(func, *args).result

    def iterate(self, func: Callable[..., Any], items: Iterable[Any]) -> Iterator[Any]:
        return self.pool.map(func, items)

    def close(self) -> None:
        self.pool.shutdown()


for _name, _module in {"concurrent.futures": "concurrent.futures", "loky": "loky"}.items():
    ADAPTERS[_name] = lambda workers=2, module=_module, **options: LikeExecutor(module, workers, **options)


@adapter("joblib")
class Joblib(Adapter):
    """One Parallel at a time, over workers that are kept."""

    def __init__(self, workers: int = 2, **options: Any) -> None:
        if options:
            raise Lacking
        self.joblib = importlib.import_module("joblib")
        self.workers = workers

    def start(self, func: Callable[..., Any], *args: Any) -> Callable[[], Any]:
        return lambda: self.joblib.Parallel(self.workers)([self.joblib.delayed(func)(*args)])[0]

    def iterate(self, func: Callable[..., Any], items: Iterable[Any]) -> Iterator[Any]:
        return self.joblib.Parallel(self.workers, return_as="generator")(
            self.joblib.delayed(func)(item) for item in items
        )


@adapter("pebble")
class Pebble(Adapter):
    def __init__(self, workers: int = 2, **options: Any) -> None:
        self.pool = importlib.import_module("pebble").ProcessPool(workers, **options)

    def start(self, func: Callable[..., Any], *args: Any) -> Callable[[], Any]:
        return self.pool.schedule(func, args=args).result

    def iterate(self, func: Callable[..., Any], items: Iterable[Any]) -> Iterator[Any]:
        return self.pool.map(func, items).result()

    def close(self) -> None:
        self.pool.close()
        self.pool.join()


@adapter("mpire")
class Mpire(Adapter):
    def __init__(self, workers: int = 2, **options: Any) -> None:
        self.initializer = options.pop("initializer", None)
        self.pool = importlib.import_module("mpire").WorkerPool(workers, **options)

    def start(self, func: Callable[..., Any], *args: Any) -> Callable[[], Any]:
        return self.pool.apply_async(func, args, worker_init=self.initializer).get

    def iterate(self, func: Callable[..., Any], items: Iterable[Any]) -> Iterator[Any]:
        return self.pool.imap(func, items)

    def close(self) -> None:
        self.pool.stop_and_join()


async def _run(func: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    return func(*args)


@adapter("aiomultiprocess")
class Aio(Adapter):
    """Its calls are coroutines, run here on a loop of their own."""

    def __init__(self, workers: int = 2, **options: Any) -> None:
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.pool = importlib.import_module("aiomultiprocess").Pool(workers, **options)
        self.loop.run_until_complete(self.pool.__aenter__())

    def start(self, func: Callable[..., Any], *args: Any) -> Callable[[], Any]:
        task = self.loop.create_task(self.pool.apply(_run, (func, args)))
        return lambda: self.loop.run_until_complete(task)

    def close(self) -> None:
        async def end() -> None:
            self.pool.close()
            await self.pool.join()

        self.loop.run_until_complete(end())
