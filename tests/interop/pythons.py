"""The Pythons of this machine whose standard library can stand at the other end."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys

OLDEST, NEWEST = 8, 14  # minor versions: 3.8 is the first that reads pickle protocol 5


def interpreters() -> dict[str, str]:
    """Version -> path; the running one at least."""
    found = {f"3.{sys.version_info[1]}": sys.executable}
    for minor in range(OLDEST, NEWEST + 1):
        folder = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
        for path in [
            shutil.which(f"python3.{minor}"),
            *glob.glob(f"{folder}/versions/3.{minor}.*/bin/python3.{minor}"),
        ]:
            if path and works(path, minor):
                found.setdefault(f"3.{minor}", path)
    return found


def works(path: str, minor: int) -> bool:
    """Does this Python run, and is it of that version? (A pyenv shim may be there without its version.)"""
    check = f"import sys, multiprocessing.connection; sys.exit(sys.version_info[:2] != (3, {minor}))"
    return subprocess.run([path, "-I", "-c", check], capture_output=True, check=False, timeout=60).returncode == 0
