"""The measuring process: `python -m benchmarks.one WORKLOAD LIBRARY SCALE` prints one figure and ends.

Promises: light, since what a workload spawns imports this file again.
"""

from __future__ import annotations

import sys

__all__ = ["EMPTY", "LACKING", "nothing"]

LACKING = 77  # exit status: the library has nothing of the kind
EMPTY = "empty"  # a measurement that only imports: its CPU time is taken off the others'


def nothing(number: int) -> int:
    """What a process does whose start is measured."""
    return number


def main(workload: str, library: str, scale: float) -> None:
    import json

    from benchmarks.catalogue import WORKLOADS
    from benchmarks.libraries import LIBRARIES, Lacking
    from benchmarks.workloads import load
    from benchmarks.workloads.growth import SERIES

    load()
    known = {**WORKLOADS, **SERIES}
    try:
        figure = (
            (LIBRARIES[library].module is None, 1)
            if workload == EMPTY
            else known[workload].run(LIBRARIES[library], scale)
        )
    except Lacking:
        sys.exit(LACKING)
    print(json.dumps(figure))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
