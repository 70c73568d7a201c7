"""The picture of a watched series: scores over the threshold, and the evidence that they are no longer the same."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from unblot.evaluation.drift import Watch

__all__ = ["drift_png"]

_STYLE: dict[Any, Any] = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
_BLUE, _RED, _GRAY = "#3b82c4", "#b3261e", "#8a8f98"


def drift_png(scores: NDArray[np.float64], threshold: float, found: Watch) -> bytes:
    """A PNG of 9 × 5 inches.

    Args:
        scores: float64, shape (N,), as they came.
        threshold: images above it are called abnormal.
        found: what was seen of them.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(9, 5), layout="constrained")
        upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 2))
        at = np.arange(1, len(scores) + 1)
        upper.scatter(at, scores, s=4, color=np.where(scores > threshold, _RED, _BLUE), linewidths=0)
        upper.axhline(threshold, color=_GRAY, linewidth=0.8)
        upper.set(ylabel="score; line: threshold")
        lower.plot(at, np.maximum(found.evidence, 1e-2), color=_BLUE, linewidth=1)
        lower.axhline(found.every, color=_GRAY, linewidth=0.8)
        lower.set(yscale="log", ylabel="evidence; line: alarm", xlabel="image")
        if found.alarm is not None and found.start is not None:
            for axes in (upper, lower):
                axes.axvline(found.start + 1, color=_RED, linewidth=0.8, linestyle=":")
                axes.axvline(found.alarm + 1, color=_RED, linewidth=0.8)
            upper.set_title("scores changed at the dotted line; the alarm came at the other", fontsize=9)
        out = BytesIO()
        figure.savefig(out, dpi=100, metadata={"Software": "unblot, plot"})
    return out.getvalue()
