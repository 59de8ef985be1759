"""Run a program on procession and, unchanged, on the standard library's multiprocessing; compare what they found.

    demo.py PROGRAM [ARGS]    PROGRAM takes --out FILE and writes its summary there as JSON, with its `seconds`

Each runs twice, in turns, and the better time counts: the first run of all reads the files from a cold disk.
Ends with 1 if either fails or the summaries differ.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path


def run(title: str, command: list[str], out: Path) -> dict[str, object]:
    """Run the program; its summary."""
    print(f"--- {title}: {' '.join(['python', *command[1:]])}", flush=True)
    done = subprocess.run([*command, "--out", str(out)], check=False)
    if done.returncode != 0:
        sys.exit(f"the program ended with {done.returncode} on {title}")
    found: dict[str, object] = json.loads(out.read_text())
    return found


def main() -> None:
    """All runs, the comparison, both times."""
    program = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "found.json")
        both = {"procession": ["-m", "procession", *program], "multiprocessing": program}
        found = [{title: run(title, [sys.executable, *how], out) for title, how in both.items()} for _ in range(2)]
    times = {title: min(float(str(turn[title].pop("seconds"))) for turn in found) for title in both}
    ours = found[0]["procession"]
    different = sorted(
        key for turn in found for each in turn.values() for key in each if each.get(key) != ours.get(key)
    )
    print("---")
    if different:
        sys.exit(f"the indexes differ in: {', '.join(different)}")
    print(f"the indexes are equal: {ours['files']} files, {ours['identifiers']} identifiers, {ours['digest']}")
    print(", ".join(f"{title} {seconds:.2f} s" for title, seconds in times.items()))


if __name__ == "__main__":
    main()
