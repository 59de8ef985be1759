"""Print the requirements of the named parts of pyproject.toml, one a line: build, run, or an extra.

So that make installs what the package declares, and nothing is declared twice.
"""

import sys
import tomllib
from pathlib import Path


def requirements(parts: list[str]) -> list[str]:
    """The requirement lines of `parts`, in order."""
    declared = tomllib.loads(Path("pyproject.toml").read_text())
    known = {
        "build": declared["build-system"]["requires"],
        "run": declared["project"]["dependencies"],
        **declared["project"]["optional-dependencies"],
    }
    return [line for part in parts for line in known[part]]


if __name__ == "__main__":
    print(*requirements(sys.argv[1:]), sep="\n")
