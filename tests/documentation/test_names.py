"""Every name that the specification describes is in its place and takes the arguments that are described, and the later ones too."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from typing import Any

import pytest

import procession as mp
from tests.documentation import specification
from tests.documentation.specification import Name

MISSING = specification.missing()
NAMES = [] if MISSING else specification.names(specification.text())

# Where our signature differs from the described one, and why.
EXCEPTIONS = {
    "SimpleQueue.put(item)": "the standard library calls it obj, as Queue.put does, and programs say obj=",
    "Connection.send_bytes(buffer[, offset[, size]])": "the standard library calls it buf, and programs say buf=",
    "Connection.recv_bytes_into(buffer[, offset])": "the standard library calls it buf, and programs say buf=",
    "set_executable()": "described without the argument that its text is about",
    "BaseManager.shutdown()": "there once the manager has started a server, as described: an instance's attribute",
    "Process(group=None, target=None, name=None, args=(), kwargs={}, *, daemon=None)": "kwargs defaults to None, since 3.14",
}

# What the API gained later: place, and the arguments that it takes.
LATER = """
SimpleQueue.close()
Queue.shutdown(immediate=False)
JoinableQueue.shutdown(immediate=False)
Process.interrupt()
Process.ident
Lock.locked()
RLock.locked()
Semaphore.locked()
BoundedSemaphore.locked()
Semaphore.get_value()
BoundedSemaphore.get_value()
set_start_method(method, force=False)
set_forkserver_preload(module_names, *, on_error='ignore')
log_to_stderr(level=None)
connection.deliver_challenge(connection, authkey, digest_name='sha256')
managers.BaseManager(shutdown_timeout=1.0)
managers.SyncManager.set([sequence])
managers.SyncManager.Pool()
managers.SyncManager.JoinableQueue([maxsize])
managers.SharedMemoryManager([address[, authkey]])
shared_memory.SharedMemory(name=None, create=False, size=0)
shared_memory.SharedMemory([name[, create[, size[, track]]]])
shared_memory.ShareableList([sequence[, name]])
pool.Pool.imap(func, iterable, chunksize=1, buffersize=None)
pool.Pool.imap_unordered(func, iterable, chunksize=1, buffersize=None)
pool.ThreadPool([processes[, initializer[, initargs]]])
reduction.ForkingPickler.register(type, reduce)
util.Finalize(obj, callback[, args[, kwargs[, exitpriority]]])
util.register_after_fork(obj, func)
dummy.Process()
dummy.Pool()
dummy.Manager()
""".strip().splitlines()
SUBSCRIPTABLE = (
    "queues.SimpleQueue",
    "queues.Queue",
    "queues.JoinableQueue",
    "pool.AsyncResult",
    "shared_memory.ShareableList",
    "managers.ValueProxy",
    "managers.ListProxy",
    "managers.DictProxy",
)
FACTORIES = ("Lock", "RLock", "Semaphore", "BoundedSemaphore", "Queue", "SimpleQueue", "JoinableQueue")


def resolve(path: str) -> Any:
    """What a dotted name under `procession` means; of what a factory makes, the thing itself."""
    parts = path.split(".")
    found: Any = mp
    for index, part in enumerate(parts):
        if found is mp and part in FACTORIES and index < len(parts) - 1:
            found = getattr(mp, part)()
        elif hasattr(found, part) or not inspect.ismodule(found):
            found = getattr(found, part)
        else:
            found = importlib.import_module(f"{found.__name__}.{part}")
    return found


def described(signature: str) -> list[tuple[str, str | None, bool]]:
    """(name, default as text or None, required) of each described argument; those after `*` too."""
    inner = signature.strip().removeprefix("(").removesuffix(")")
    required_part = inner.partition("[")[0].rstrip(", ")
    required = {each.strip() for each in split_arguments(required_part)}
    arguments = split_arguments(re.sub(r"[\[\]]", "", inner))
    found = []
    for argument in arguments:
        name, _, default = argument.strip().partition("=")
        if name and not name.startswith("*"):
            found.append((name, default or None, argument.strip() in required and not default))
    return found


def split_arguments(text: str) -> list[str]:
    return [each for each in re.split(r",(?![^(){}]*[)}])", text) if each.strip()]


def check(what: Any, arguments: list[tuple[str, str | None, bool]], bound: bool) -> None:
    """It can be called with the required arguments alone, by position, and with all of them by their names; defaults are alike."""
    signature = inspect.signature(what)
    first = [object()] if bound else []
    signature.bind(*first, *[name for name, _, required in arguments if required])
    signature.bind(*first, **{name: name for name, _, _ in arguments})
    for name, default, _ in arguments:
        if default is not None and name in signature.parameters:
            assert signature.parameters[name].default == ast.literal_eval(default), name


def is_method_of_class(place: str, what: Any) -> bool:
    owner = resolve(place.rpartition(".")[0]) if "." in place else None
    return inspect.isclass(owner) and (inspect.isfunction(what) or inspect.ismethoddescriptor(what))


@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
@pytest.mark.parametrize("name", NAMES, ids=lambda name: f"{name.path}{name.signature}")
def test_a_described_name_is_there_and_takes_what_is_described(name: Name) -> None:
    place = name.path.removeprefix("multiprocessing").lstrip(".")
    short = f"{name.owner}.{name.name}{name.signature}" if name.owner else f"{name.name}{name.signature}"
    if short.endswith("shutdown()"):
        assert not hasattr(resolve(place.rpartition(".")[0]), "shutdown")
        return
    what = resolve(place)
    if name.kind == "exception":
        assert issubclass(what, mp.ProcessError)
        return
    if name.kind in ("attribute", "data") or not name.signature:
        return
    arguments = [each for each in described(name.signature) if each[0] not in ("mapping", "sequence")]
    try:
        check(what, arguments, is_method_of_class(place, what))
    except (AssertionError, TypeError):
        assert short in EXCEPTIONS, f"{short}: {inspect.signature(what)}"
    else:
        assert short not in EXCEPTIONS or short == "set_executable()", f"{short} is as described: it is no exception"


@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
def test_every_exception_is_described() -> None:
    paths = [(f"{name.owner}." if name.owner else "") + name.name + name.signature for name in NAMES]
    assert [each for each in EXCEPTIONS if each not in paths] == []


@pytest.mark.parametrize("later", LATER)
def test_what_came_later_is_there_too(later: str) -> None:
    place, brackets, arguments = later.partition("(")
    what = resolve(place)
    if brackets:
        check(what, described(brackets + arguments), is_method_of_class(place, what))


@pytest.mark.parametrize("place", SUBSCRIPTABLE)
def test_a_generic_class_takes_a_type(place: str) -> None:
    assert resolve(place)[int]


def test_no_analogue_of_what_threading_has_alone() -> None:
    for name in ("active_count", "enumerate", "settrace", "setprofile", "Timer", "local"):
        assert not hasattr(mp, name)


def test_a_context_has_the_api_of_the_package() -> None:
    own = {
        "install",
        "get_all_start_methods",
        "memory_limit",
        "memory_used",
        "set_memory_limit",
    }  # not a start method's
    errors = {
        name for name in mp.__all__ if inspect.isclass(getattr(mp, name)) and issubclass(getattr(mp, name), Exception)
    }
    for method in ("fork", "spawn", "forkserver"):
        context = mp.get_context(method)
        assert [name for name in mp.__all__ if name not in own | errors and not hasattr(context, name)] == []
        for name in ("ProcessError", "BufferTooShort", "TimeoutError", "AuthenticationError"):
            assert getattr(context, name) is getattr(mp, name)


def test_dummy_has_the_api_over_threads() -> None:
    from procession import dummy

    names = set(mp.dummy.__all__) | {
        "Process",
        "Lock",
        "Queue",
        "Pipe",
        "Pool",
        "Manager",
        "Value",
        "Array",
        "Barrier",
        "Event",
    }
    assert [name for name in names if not hasattr(dummy, name)] == []
