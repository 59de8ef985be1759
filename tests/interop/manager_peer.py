"""The other end: a manager's server or client of the standard library of any Python from 3.8 on.

    python manager_peer.py serve KEY FAMILY     prints its address; serves until it is asked to shut down
    python manager_peer.py call KEY ADDRESS     checks the manager there, and prints `all is well`
A key is hexadecimal, an address a Python literal.
"""

import ast
import multiprocessing
import os
import sys
from multiprocessing.managers import ListProxy, RemoteError, SyncManager

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import manager_checks


def main():
    role, key, where = sys.argv[1:]
    multiprocessing.current_process().authkey = bytes.fromhex(key)  # nested proxies use this one
    manager_class = manager_checks.define(SyncManager, ListProxy)
    if role == "serve":
        address = ("127.0.0.1", 0) if where == "AF_INET" else None
        server = manager_class(address=address, authkey=bytes.fromhex(key)).get_server()
        print(repr(server.address), flush=True)
        server.serve_forever()
    manager = manager_class(address=ast.literal_eval(where), authkey=bytes.fromhex(key))
    manager.connect()
    manager_checks.check(manager, RemoteError)
    print("all is well")


if __name__ == "__main__":
    main()
