"""`python -m tests.interop.huge [VERSION …]`: a message of 2 GiB + 1 byte to and from the standard library of each Python.

Needs 5 GiB of memory and about half a minute for each. Ends with code 0 if all came back as they went.
"""

from __future__ import annotations

import sys
import time

from procession.connection import Client, Listener
from tests.interop.test_connections import KEY, PYTHONS, in_hex, start, their_listener

SIZE = (2 << 30) + 1


def there_and_back(connection: object) -> bool:
    message = bytes(SIZE)
    connection.send("bytes follow")  # type: ignore[attr-defined]
    connection.send_bytes(message)  # type: ignore[attr-defined]
    return bool(connection.recv_bytes() == message)  # type: ignore[attr-defined]


def with_their_listener(python: str) -> bool:
    with their_listener(python, KEY) as (address, _peer), Client(address, authkey=KEY) as connection:
        return there_and_back(connection)


def with_our_listener(python: str) -> bool:
    with (
        Listener(authkey=KEY, family="AF_UNIX") as listener,
        start(python, "call", in_hex(KEY), str(listener.address)),
        listener.accept() as connection,
    ):
        return there_and_back(connection)


def main() -> int:
    passed = True
    for python in sys.argv[1:] or PYTHONS:
        for check in (with_their_listener, with_our_listener):
            began = time.monotonic()
            came_back = check(python)
            passed &= came_back
            print(
                f"{python} {check.__name__}: {'ok' if came_back else 'CHANGED'}, {time.monotonic() - began:.1f} s",
                flush=True,
            )
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
