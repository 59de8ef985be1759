"""A start method of its own, as loky has one: it starts interpreters itself and pickles with a pickler of its own. Prints what it finds."""

import os
import pickle
import subprocess
import sys
import threading
from multiprocessing import (
    Lock,
    Queue,
    SimpleQueue,
    connection,
    context,
    process,
    queues,
    resource_tracker,
    shared_memory,
)


class Popen:
    method = "own"

    def __init__(self, process_obj):
        self.fds, self.returncode = [resource_tracker._resource_tracker.getfd()], None
        context.set_spawning_popen(self)
        try:
            pickled = pickle.dumps((self.fds[0], process_obj))
        finally:
            context.set_spawning_popen(None)
        reader, writer = os.pipe()
        self.child = subprocess.Popen([sys.executable, __file__, str(reader)], pass_fds=[reader, *self.fds])
        self.pid, self.sentinel = self.child.pid, os.pidfd_open(self.child.pid)
        os.close(reader)
        with open(writer, "wb") as file:
            file.write(pickled)

    def duplicate_for_child(self, fd):
        self.fds.append(fd)
        return fd

    def poll(self, flag=os.WNOHANG):
        return self.child.poll()

    def wait(self, timeout=None):
        connection.wait([self.sentinel], timeout)
        return self.poll()

    def close(self):
        os.close(self.sentinel)


class OwnProcess(process.BaseProcess):
    _start_method = "own"
    _Popen = staticmethod(Popen)


class OwnContext(context.BaseContext):
    _name = "own"
    Process = OwnProcess


class FedQueue(queues.Queue):
    """Sends with a thread of its own."""

    def _start_thread(self):
        self._thread = threading.Thread(
            target=self._feed, args=(self._buffer, self._notempty, self._send_bytes), daemon=True
        )
        self._thread.start()
        self._close = lambda: self._finalize_close(self._buffer, self._notempty)
        self._jointhread = self._thread.join

    @staticmethod
    def _feed(buffer, notempty, send_bytes):
        while True:
            with notempty:
                while not buffer:
                    notempty.wait()
                obj = buffer.popleft()
            if obj is queues._sentinel:
                return
            send_bytes(pickle.dumps(("fed", obj)))

    def __getstate__(self):
        context.assert_spawning(self)
        return self._maxsize, self._reader, self._writer, self._sem, self._opid

    def __setstate__(self, state):
        self._maxsize, self._reader, self._writer, self._sem, self._opid = state
        self._reset()


def work(lock, queue, fed, answers):
    with lock:
        answers.put((process.current_process().name, queue.get(timeout=20)))
    answers.put([fed.get(timeout=20), fed.get(timeout=20)])
    segment = shared_memory.SharedMemory(create=True, size=16)  # the program's tracker has to see to it
    answers.put(segment.name)
    segment.close()


def main():
    context._concrete_contexts["own"] = OwnContext()
    own = context.get_context("own")
    lock, queue, fed, answers = Lock(), Queue(), FedQueue(2, ctx=own), SimpleQueue()
    fed.put(1)
    fed.put(2)
    print("full", fed.full())
    child = own.Process(target=work, args=(lock, queue, fed, answers), name="Own-1")
    child.start()
    queue.put("hello")
    for _ in range(2):
        print(answers.get())
    name = answers.get()
    print(os.path.exists(f"/dev/shm/{name}"))
    child.join(20)
    print(child.exitcode, child.is_alive(), fed.full())
    fed.close()
    fed.join_thread()
    print(name)


def be_a_child(reader):
    with open(reader, "rb") as file:
        process.current_process()._inheriting = True
        resource_tracker._resource_tracker._fd, child = pickle.load(file)
        del process.current_process()._inheriting
    sys.exit(child._bootstrap())


if __name__ == "__main__":
    if len(sys.argv) == 2:
        be_a_child(int(sys.argv[1]))
    main()
