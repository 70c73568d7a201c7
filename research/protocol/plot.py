"""The plot of a protocol study: how far the test mode alone moves AUROC."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from unblot.evaluation import NOT_REACHABLE

__all__ = ["plot_protocol_study"]

_STYLE: dict[Any, Any] = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
_BARS = (
    ("AUROC, last epoch", "#3b82c4"),
    ("AUROC, best epoch on the test set (not reachable in use)", "#1d4e7a"),
    ("untrained network", "#c9a227"),
    ("mean colour, no network", "#8a8f98"),
)


def plot_protocol_study(study: Mapping[str, Any], path: Path) -> None:
    """Write the AUROC of a study (``unblot.comparison.protocol_study``) as a PNG of 8 × 4 inches.

    Four groups, one for each way to score; in each the last and the best epoch and the two controls.
    """
    groups: dict[str, list[float]] = {}
    for row in study["rows"]:
        bn = "batch statistics" if row["batch_statistics"] else "running statistics"
        heading = f"{bn},\nbatches {'ordered by class' if row['class_order'] else 'mixed'}"
        bars = groups.setdefault(heading, [0.0] * len(_BARS))
        bars[int(row["best_epoch"])] = row["auroc"] or 0.0
        bars[2:] = [row["untrained_auroc"] or 0.0, row["mean_colour_auroc"] or 0.0]
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(8, 4), layout="constrained")
        axes = figure.add_subplot()
        width = 0.8 / len(_BARS)
        for n, (name, colour) in enumerate(_BARS):
            at = [group + (n - (len(_BARS) - 1) / 2) * width for group in range(len(groups))]
            drawn = axes.bar(at, [bars[n] for bars in groups.values()], width, color=colour, label=name)
            axes.bar_label(drawn, fmt="%.2f", fontsize=7)
        axes.axhline(0.5, color="black", linewidth=0.8, linestyle="--", label="guessing")
        if study["paper"] is not None:
            axes.axhline(study["paper"], color="#b8541a", linewidth=0.8, label=f"the paper prints {study['paper']:.3f}")
        headings = [f"{h}\n{'(clean)' if n == 0 else f'({NOT_REACHABLE})'}" for n, h in enumerate(groups)]
        axes.set_xticks(range(len(groups)), headings)
        axes.set(ylabel="AUROC", ylim=(0, 1.08))
        left_out = f", abnormal: {', '.join(study['data']['abnormal'])}" if study["data"]["abnormal"] else ""
        what = f"{study['training']['model']} on {study['data']['data']}{left_out}"
        axes.set_title(f"{what}: the test mode alone changed")
        figure.legend(loc="outside lower center", ncols=2)
        figure.savefig(path, dpi=144, metadata={"Software": "unblot, plot"})
