"""What a test expects of an exploration, said in one line."""

from __future__ import annotations

from .explorer import Report


def expect_promises_kept(report: Report) -> None:
    """Nothing was found; otherwise the test fails with the trace."""
    assert report.finding is None, f"{report.model}: {report.finding}"


def expect_backstop_only_after(report: Report, deaths: frozenset[str]) -> None:
    """Only sleepers were left behind, only by a death, and by a death at exactly these steps."""
    assert report.finding is not None, f"{report.model}: no death needs the backstop, but {sorted(deaths)} should"
    assert report.finding.kind != "broken invariant", f"{report.model}: {report.finding}"
    assert not report.hangs_without_death, f"{report.model}: {report.finding}"
    assert report.hang_points == deaths, f"{report.model}: {sorted(report.hang_points ^ deaths)}\n{report.finding}"


def expect_found(report: Report, kind: str, words: str = "") -> None:
    """The explorer sees what is broken."""
    assert report.finding is not None, f"{report.model}: nothing found in {report.states} states"
    assert report.finding.kind == kind, f"{report.model}: {report.finding}"
    assert words in report.finding.message, f"{report.model}: {report.finding}"
