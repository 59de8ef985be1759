"""One Ctrl-C ends a whole program from any state: one short traceback, `finally` and `atexit` run, nobody is left.

Each program runs in a session of its own on a pseudo terminal, and gets the Ctrl-C from there, as the whole foreground group does.
"""

from __future__ import annotations

import os
import pty
import select
import sys
import time

import pytest

from tests.guards import proc

PATIENCE = 30.0  # seconds; a machine under load; the promise is one second on an idle one
METHODS = ("fork", "forkserver", "spawn")
PRELUDE = """
import atexit, os, sys, threading, time
import procession as mp

METHOD = {method!r}


def sleep(*_):
    time.sleep(1000)  # sleeps: until it is interrupted


def start(target, *args):
    # a child that has begun
    begun = mp.Event()
    mp.Process(target=target, args=(*args, begun)).start()
    begun.wait()


def hold(lock, begun):
    with lock:
        begun.set()
        time.sleep(1000)  # sleeps: until it is interrupted


def tell(go):
    go.set()
    time.sleep(1000)  # sleeps: until it is interrupted


def main():
    mp.set_start_method(METHOD)
    atexit.register(print, "atexit ran", flush=True)
    try:
        run()
    finally:
        print("finally ran", flush=True)


def ready():
    print("ready", flush=True)

"""
STATES = {
    "lock": "lock = mp.Lock(); lock.acquire(); ready(); lock.acquire()",
    "rlock of another": "lock = mp.RLock(); start(hold, lock); ready(); lock.acquire()",
    "semaphore": "ready(); mp.Semaphore(0).acquire()",
    "event": "ready(); mp.Event().wait()",
    "condition": "c = mp.Condition(); c.acquire(); ready(); c.wait()",
    "barrier": "ready(); mp.Barrier(2).wait()",
    "queue.get": "ready(); mp.Queue().get()",
    "queue.put": "q = mp.Queue(1); q.put(1); ready(); q.put(2)",
    "queue.join": "q = mp.JoinableQueue(); q.put(1); ready(); q.join()",
    "simple queue": "ready(); mp.SimpleQueue().get()",
    "pipe": "a, b = mp.Pipe(); ready(); a.recv()",
    "connection.wait": "a, b = mp.Pipe(); ready(); mp.connection.wait([a, mp.Queue()])",
    "join": "p = mp.Process(target=sleep); p.start(); ready(); p.join()",
    "join of a daemon": "p = mp.Process(target=sleep, daemon=True); p.start(); ready(); p.join()",
    "listener": "l = mp.connection.Listener(); ready(); l.accept()",
    "manager": "with mp.Manager() as m: q = m.Queue(); ready(); q.get()",
    "pool.map": "with mp.Pool(2) as pool: ready(); pool.map(sleep, range(8))",
    "pool result": "with mp.Pool(2) as pool: r = pool.apply_async(sleep); ready(); r.get()",
    "pool.imap": "with mp.Pool(2) as pool: ready(); list(pool.imap(sleep, range(8)))",
    "pool.join": "pool = mp.Pool(2); pool.apply_async(sleep); pool.close(); ready(); pool.join()",
    "atexit": "start(tell); ready()",
    "computing": "ready()\n    while True: pass",
}


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, program: str) -> None:
        self.output = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(sys.executable, [sys.executable, program])

    def read_until(self, text: bytes) -> None:
        deadline = time.monotonic() + PATIENCE
        while text not in self.output:
            assert self.read(deadline), f"{text!r} never came:\n{self.output.decode()}"

    def read(self, deadline: float) -> bool:
        """False: nothing more comes."""
        ready, _, _ = select.select([self.fd], [], [], max(0.0, deadline - time.monotonic()))
        try:
            read = os.read(self.fd, 65536) if ready else b""
        except OSError:  # EIO: nobody has the terminal open any more
            read = b""
        self.output += read
        return bool(read)

    def until_asleep(self) -> None:
        """Until the program has slept for a while: a Ctrl-C in the middle of an import may be swallowed by the interpreter."""
        deadline, looks = time.monotonic() + PATIENCE, 0
        while looks < 30:
            assert time.monotonic() < deadline, f"it never sleeps:\n{self.output.decode()}"
            with open(f"/proc/{self.pid}/stat") as file:
                looks = looks + 1 if file.read().rpartition(")")[2].split()[0] == "S" else 0
            self.read(time.monotonic() + 0.002)

    def press_ctrl_c(self) -> None:
        os.write(self.fd, b"\x03")

    def wait(self) -> int:
        """The exit code."""
        deadline = time.monotonic() + PATIENCE
        while self.read(deadline):
            pass
        assert not proc.wait_ended({self.pid}, max(0.0, deadline - time.monotonic())), (
            f"it does not end:\n{self.output.decode()}"
        )
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def close(self) -> None:
        os.close(self.fd)


def interrupt(terminal: Terminal, state: str) -> int:
    """Press Ctrl-C once the program is where it was to be; its exit code."""
    terminal.read_until(b"ready")
    if state == "atexit":
        terminal.read_until(b"atexit ran")
    if state != "computing":
        terminal.until_asleep()
    terminal.press_ctrl_c()
    return terminal.wait()


@pytest.mark.slow
@pytest.mark.stress
@pytest.mark.parametrize("state", STATES)
def test_one_press_ends_the_whole_program(tmp_path: object, state: str, storm_factor: int) -> None:
    alone = not any(word in STATES[state] for word in ("start", "Pool", "Manager"))
    terminals = {}
    for method in METHODS[:1] if alone and storm_factor == 1 else METHODS:  # side by side: they mostly sleep
        program = f"{tmp_path}/{method}.py"
        with open(program, "w") as file:
            file.write(PRELUDE.format(method=method))
            file.write(f"\ndef run():\n    {STATES[state]}\n\n\nif __name__ == '__main__':\n    main()\n")
        terminals[method] = Terminal(program)
    try:
        codes = {method: interrupt(terminal, state) for method, terminal in terminals.items()}
    finally:
        proc.kill(proc.children() & {terminal.pid for terminal in terminals.values()})
        for terminal in terminals.values():
            terminal.close()
    for method, terminal in terminals.items():
        said = f"{method}:\n" + terminal.output.decode().replace("\r\n", "\n")
        assert "finally ran" in said
        assert "atexit ran" in said
        assert codes[method] != 0 or state == "atexit", said
        assert said.count("Traceback") <= 2, said
        assert len(said.splitlines()) <= 61, said


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_children_that_are_being_born_say_nothing_of_an_interrupted_start(tmp_path: object, method: str) -> None:
    program = f"{tmp_path}/program.py"
    with open(program, "w") as file:
        file.write(PRELUDE.format(method=method))
        file.write("\ndef run():\n    ready()\n    for _ in range(8): mp.Process(target=sleep).start()\n    sleep()\n")
        file.write("\n\nif __name__ == '__main__':\n    main()\n")
    for moment in range(4):
        terminal = Terminal(program)
        try:
            terminal.read_until(b"ready")
            terminal.read(time.monotonic() + 0.02 * moment)
            terminal.press_ctrl_c()
            assert terminal.wait() != 0
        finally:
            proc.kill(proc.children() & {terminal.pid})
            terminal.close()
        said = terminal.output.decode().replace("\r\n", "\n")
        assert "atexit ran" in said
        # Of children that had begun, and the program's; one whose start was interrupted may be killed while it tells.
        assert said.count("Traceback") <= said.count("Process Process-") + 1, said
