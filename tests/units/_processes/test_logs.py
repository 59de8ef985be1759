"""The package's logger, and whose name records carry."""

from __future__ import annotations

import pytest

from tests.units._processes.conftest import Run

pytestmark = pytest.mark.slow

SESSION = """
import logging, sys, procession as mp
from procession import util
{before}
def child():
    mp.get_logger().info("from the child")
    logging.getLogger("mine").warning("by another logger")
if __name__ == "__main__":
    logger = mp.log_to_stderr()
    logging.basicConfig(format="%(processName)s: %(message)s")
    logger.warning("doomed")
    logger.setLevel(logging.INFO)
    process = mp.get_context(sys.argv[1]).Process(target=child, name="the-child")
    process.start(); process.join()
"""


@pytest.mark.parametrize("before", ["", "if __name__ == '__main__': mp.install()"], ids=["by itself", "installed"])
def test_the_documented_session_shows_the_names_of_processes(run: Run, method: str, before: str) -> None:
    done = run("session.py", method, files={"session.py": SESSION.format(before=before)})
    lines = done.stderr.splitlines()
    assert lines[0] == "[WARNING/MainProcess] doomed"
    assert "[INFO/the-child] child process calling self.run()" in lines
    assert "[INFO/the-child] from the child" in lines
    assert "[INFO/the-child] process exiting with exitcode 0" in lines
    assert [line for line in lines if line.endswith("by another logger")] in (
        ["the-child: by another logger"],
        ["by another logger"],  # a fresh child has no basicConfig
    )


def test_importing_the_package_does_not_import_what_it_may_not_need(run: Run) -> None:
    done = run("-c", "import sys, procession; procession.Process; print(*sorted(sys.modules))")
    loaded = set(done.stdout.split())
    assert "procession._processes.process" in loaded
    assert not loaded & {
        "logging",
        "subprocess",
        "socket",
        "tempfile",
        "pickle",
        "inspect",
        "traceback",
        "multiprocessing",
    }
