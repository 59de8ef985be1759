"""Names the tests that are slow and do not say so, so that `-m "not slow"` stays a quick round.

A note at the end, not a failure: on a loaded machine any test can take long once.
"""

from __future__ import annotations

import pytest

SLOW = 0.25  # seconds, of the test itself


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    late = [
        (report.duration, report.nodeid)
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        if report.duration > SLOW and "slow" not in report.keywords
    ]
    if late:
        terminalreporter.section(f"slower than {SLOW} s and not marked slow")
        for duration, name in sorted(set(late), reverse=True)[:20]:
            terminalreporter.write_line(f"{duration:6.2f} s  {name}")
