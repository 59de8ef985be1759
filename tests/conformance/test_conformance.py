"""CPython's own test suite passes on this package, but for what exceptions.toml lists."""

from __future__ import annotations

import sys

import pytest

from tests.conformance import prefix
from tests.conformance.run import complaints, run_suite, summary


@pytest.mark.conformance
@pytest.mark.slow
@pytest.mark.deadline(1200)
@pytest.mark.parametrize("method", prefix.METHODS)
def test_the_interpreters_own_suite_passes(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    interpreter = prefix.Interpreter.of(sys.executable)
    try:
        run = run_suite(interpreter, method)
    except prefix.SuiteMissing as missing:
        pytest.skip(str(missing))
    with capsys.disabled():
        print(f"\n{summary(run)}")
    assert not (said := complaints(run)), "\n".join(said)
