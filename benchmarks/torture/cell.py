"""One scenario with one library, in a process of its own: `python -m benchmarks.torture.cell SCENARIO LIBRARY`."""

from __future__ import annotations

import os
import signal
import sys
import time

from benchmarks.torture.pools import ADAPTERS, Lacking
from benchmarks.torture.primitives import PRIMITIVES, context
from benchmarks.torture.scenarios import SCENARIOS, say


def main() -> None:
    name, library = sys.argv[1:3]
    os.environ["TORTURE_LIBRARY"] = library
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job begins with Ctrl-C ignored
    try:
        if name in PRIMITIVES:
            PRIMITIVES[name][1](context(library))
        else:
            SCENARIOS[name][1](ADAPTERS[library])
    except (Lacking, NotImplementedError):
        say("the task", "n/a", time.monotonic())


if __name__ == "__main__":
    main()
