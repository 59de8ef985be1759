"""Run a program on procession and, unchanged, on the standard library's multiprocessing; compare what they found.

    demo.py PROGRAM [ARGS]    PROGRAM takes --out FILE and writes its summary there as JSON, with its `seconds`

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
    """Both runs, the comparison, both times."""
    program = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        ours = run("procession", [sys.executable, "-m", "procession", *program], Path(folder, "ours"))
        theirs = run("multiprocessing", [sys.executable, *program], Path(folder, "theirs"))
    seconds = [found.pop("seconds") for found in (ours, theirs)]
    different = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
    print("---")
    if different:
        sys.exit(f"the indexes differ in: {', '.join(different)}")
    print(f"the indexes are equal: {ours['files']} files, {ours['identifiers']} identifiers, {ours['digest']}")
    print(f"procession {seconds[0]:.2f} s, multiprocessing {seconds[1]:.2f} s")


if __name__ == "__main__":
    main()
