"""The other end: a program for the standard library of any Python from 3.8 on, which takes its orders as arguments.

    python peer.py listen KEY      prints its address, accepts one connection, sends back what it receives until the end
    python peer.py call KEY ADDRESS    connects, and does the same
A key is hexadecimal, `none` for no key. Ends with code 3 if the key was not accepted, or not proved.
"""

import sys
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Listener


def echo(connection):
    while True:
        try:
            received = connection.recv()
        except EOFError:
            return
        if received == "bytes follow":
            connection.send_bytes(connection.recv_bytes())
        elif received == "a connection, please":
            connection.send([type(connection).__name__, sys.version_info[:2]])
        else:
            connection.send(received)


def main():
    role, key = sys.argv[1:3]
    key = None if key == "none" else bytes.fromhex(key)
    try:
        if role == "call":
            with Client(sys.argv[3], authkey=key) as connection:
                echo(connection)
        else:
            with Listener(family=sys.argv[3], authkey=key) as listener:
                print(repr(listener.address), flush=True)
                with listener.accept() as connection:
                    echo(connection)
    except AuthenticationError:
        sys.exit(3)


if __name__ == "__main__":
    main()
