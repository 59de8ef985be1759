"""The other end of shared memory: a program for the standard library of any Python from 3.8 on.

    python memory_peer.py make           makes a block and a list, prints their names, waits for a line, prints what is in them
    python memory_peer.py use NAME NAME  attaches to a block and to a list, prints what is in them, writes, without tracking them
    python memory_peer.py serve KEY      a SharedMemoryManager's server; prints its address; ends with its standard input
    python memory_peer.py ask KEY ADDRESS    a client of such a server: makes a block and a list, prints their names, waits for a line
A key is hexadecimal.
"""

import sys
from multiprocessing import managers, resource_tracker, shared_memory

from memory_items import ITEMS, OTHERS  # its neighbour: this runs as a script


def make():
    block = shared_memory.SharedMemory(create=True, size=100)
    block.buf[:5] = b"hello"
    items = shared_memory.ShareableList(ITEMS)
    print(repr((block.name, items.shm.name)), flush=True)
    sys.stdin.readline()
    print(repr((bytes(block.buf[:5]), list(items), items.format)), flush=True)
    for each in (block, items.shm):
        each.close()
        each.unlink()


def use(block_name, list_name):
    block = shared_memory.SharedMemory(block_name)
    items = shared_memory.ShareableList(name=list_name)
    for each in (block, items.shm):
        resource_tracker.unregister(each._name, "shared_memory")  # or it would remove what is not its own
    print(repr((bytes(block.buf[:5]), list(items), items.format)), flush=True)
    block.buf[:5] = b"peer!"
    for index, item in enumerate(OTHERS):
        items[index] = item


def serve(key):
    with managers.SharedMemoryManager(authkey=bytes.fromhex(key)) as manager:
        print(repr(manager.address), flush=True)
        sys.stdin.read()


def ask(key, address):
    manager = managers.SharedMemoryManager(address, bytes.fromhex(key))
    manager.connect()
    block, items = manager.SharedMemory(10), manager.ShareableList(ITEMS)
    for each in (block, items.shm):
        resource_tracker.unregister(each._name, "shared_memory")  # the server sees to it
    print(repr((block.name, items.shm.name)), flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    {"make": make, "use": use, "serve": serve, "ask": ask}[sys.argv[1]](*sys.argv[2:])
