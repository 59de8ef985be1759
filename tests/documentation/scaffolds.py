"""What stands round a fragment of the specification, so that it is a program that prints what can be checked. `{code}` is the fragment."""

from __future__ import annotations

ONE_INCREMENT = """from multiprocessing import Value
if __name__ == '__main__':
    counter = Value('i', 41)
    {code}
    print(counter.value)
"""
MANY_INCREMENTS = """from multiprocessing import Process, Value
def count(counter):
    for _ in range(500):
        {code}
if __name__ == '__main__':
    counter = Value('i', 0)
    processes = [Process(target=count, args=(counter,)) for _ in range(4)]
    for process in processes: process.start()
    for process in processes: process.join()
    print(counter.value)
"""
EXECUTABLE = """import os, stat, sys
from multiprocessing import Process, set_executable
def hello():
    print('started')
if __name__ == '__main__':
    with open('pythonw.exe', 'w') as file:
        file.write(f'#!/bin/sh\\necho used >> used\\nexec {sys.executable} "$@"\\n')
    os.chmod('pythonw.exe', stat.S_IRWXU)
    {code}
    process = Process(target=hello)
    process.start()
    process.join()
    print(os.path.exists('used'))
"""
MANAGED = """from multiprocessing import Manager
if __name__ == '__main__':
    with Manager() as manager:
        {code}
        print(lproxy)
"""
CALLED = """from multiprocessing.managers import BaseManager
class Referent:
    def method(self, *args, **kwds):
        return args, kwds
class MyManager(BaseManager):
    pass
MyManager.register('Referent', Referent)
if __name__ == '__main__':
    with MyManager() as manager:
        proxy, obj, methodname, args, kwds = manager.Referent(), Referent(), 'method', (1, 2), {'key': 3}
        result = (
            {code}
        )
        print(result)
"""
CLOSED_STDIN = """import os, sys
from multiprocessing import Process
def child():
    print('child reads', repr(sys.stdin.read()))
if __name__ == '__main__':
    {code}
    process = Process(target=child)
    process.start()
    process.join()
    print('exit code', process.exitcode)
"""
CACHE = """import os
from multiprocessing import Process
class File:
    def __init__(self):
        self._pid, self._cache = os.getpid(), ['parent']
    {code}
def child(file):
    print('child', file.cache)
if __name__ == '__main__':
    file = File()
    process = Process(target=child, args=(file,))
    process.start()
    process.join()
    print('parent', file.cache)
"""
