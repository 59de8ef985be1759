"""The ratios as a picture: a bar for each workload, logarithmic, the goal as a mark."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.catalogue import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.report import Row

__all__ = ["draw"]

AHEAD, BEHIND, GOAL, TEXT = "#2f6f9f", "#c0562f", "#444444", "#333333"


def draw(rows: Sequence[Row], path: str) -> None:
    """Write the picture of all rows that have a ratio, as SVG. Needs matplotlib."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "procession"
    shown = [(row.workload, ratio) for row in rows if (ratio := row.ratio)][::-1]
    names, ratios = [name for name, _ in shown], [ratio for _, ratio in shown]
    figure, axes = pyplot.subplots(figsize=(8, 0.22 * len(shown) + 1.2))
    places = range(len(shown))
    widths = [ratio - 1 for ratio in ratios]
    axes.barh(places, widths, left=1, color=[AHEAD if ratio >= 1 else BEHIND for ratio in ratios], height=0.7)
    for place, (name, ratio) in enumerate(shown):
        goal, behind = WORKLOADS[name].goal, max(ratio, 1)
        if goal is not None and goal.kind == "times":
            axes.plot([goal.bound, goal.bound], [place - 0.42, place + 0.42], color=GOAL, linewidth=1.5)
            if behind <= goal.bound < behind * 2:  # the mark would strike the label out
                behind = goal.bound
        axes.text(behind * 1.06, place, f"{ratio:.3g}x", va="center", fontsize=7, color=TEXT)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}x")
    axes.set_xlim(min([0.5, *ratios]) / 1.2, max([1.0, *ratios]) * 2.2)
    axes.axvline(1, color=TEXT, linewidth=0.8)
    axes.set_yticks(places, names, fontsize=7)
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.set_xlabel("times better than the standard library's multiprocessing (mark: the goal)", fontsize=8, color=TEXT)
    axes.tick_params(axis="x", labelsize=7)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
