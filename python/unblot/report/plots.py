"""Curves, histogram and picture strips of the report, each as text that stands inside one HTML file.

Curves are drawn by matplotlib's object interface, so that no state of ``pyplot`` is touched and no display is needed,
and come out as inline SVG whose ink follows the colour of the page's text (``currentColor``): readable on light and on
dark. Pictures come out as PNG data URIs. The histogram is the paper's figure 6, on raw scores, since a threshold in use
knows no minimum or maximum.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

__all__ = ["histogram", "png_uri", "pr", "roc"]

NORMAL, ABNORMAL = "#3b82c4", "#e0763a"
_INK = "#010203"  # stands for the page's own text colour until the SVG is finished
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "legend.frameon": False,
}


def _svg(name: str, width: float, height: float, draw: Callable[[Axes], None]) -> str:
    """What ``draw`` puts on axes of ``width`` × ``height`` inches, as an ``<svg>`` element.

    Prolog, metadata and name spaces are left out: they name addresses outside the page, which HTML does not need. What
    the page needs to move the mark of the threshold is left in: the group "<name>-area" has the size of the axes, whose
    limits are the attributes ``data-x`` and ``data-y``.
    """
    out = io.StringIO()
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(width, height))
        axes = figure.add_subplot()
        draw(axes)
        axes.patch.set_gid(f"{name}-area")
        limits = " ".join(f'data-{a}="{low:.17g} {high:.17g}"' for a, (low, high) in _limits(axes))
        figure.savefig(out, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None})
    text = out.getvalue()
    text = re.sub(r'<metadata>.*?</metadata>| xmlns(:xlink)?="[^"]*"', "", text[text.index("<svg") :], flags=re.DOTALL)
    return text.replace(_INK, "currentColor").replace("<svg", f'<svg id="{name}-plot" {limits}', 1)


def _limits(axes: Axes) -> tuple[tuple[str, tuple[float, float]], ...]:
    return ("x", axes.get_xlim()), ("y", axes.get_ylim())


def roc(labels: NDArray[np.int64], scores: NDArray[np.float64], threshold: float) -> str:
    """Receiver operating characteristic as SVG text; a dot marks ``threshold``.

    Args:
        labels: shape (N,), 0 normal and 1 abnormal, both present.
        scores: shape (N,), larger is more anomalous.
        threshold: images above it are called abnormal.
    """
    from sklearn.metrics import roc_curve

    false_alarms, hits, _ = roc_curve(labels, scores)
    flagged = scores > threshold

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=_INK, alpha=0.35, linewidth=0.8, linestyle="--", label="guessing")
        axes.plot(false_alarms, hits, color=ABNORMAL, linewidth=1.8)
        at = flagged[labels == 0].mean(), flagged[labels == 1].mean()
        axes.plot(*at, "o", color=_INK, label="at the threshold", clip_on=False, gid="roc-mark")
        axes.set(xlabel="false alarms among normal images", ylabel="abnormal images found", xlim=(0, 1), ylim=(0, 1.02))
        axes.legend(loc="lower right")

    return _svg("roc", 4.2, 3.4, draw)


def pr(labels: NDArray[np.int64], scores: NDArray[np.float64], threshold: float) -> str:
    """Precision over recall as SVG text, arguments as for :func:`roc`; guessing gives the share of abnormal images."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(labels, scores, drop_intermediate=True)
    flagged = scores > threshold

    def draw(axes: Axes) -> None:
        axes.axhline(labels.mean(), color=_INK, alpha=0.35, linewidth=0.8, linestyle="--", label="guessing")
        axes.plot(recall, precision, color=ABNORMAL, linewidth=1.8)
        if flagged.any():
            at = flagged[labels == 1].mean(), labels[flagged].mean()
            axes.plot(*at, "o", color=_INK, label="at the threshold", clip_on=False, gid="pr-mark")
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
        axes.legend(loc="lower left")

    return _svg("pr", 4.2, 3.4, draw)


def histogram(labels: NDArray[np.int64], scores: NDArray[np.float64], threshold: float) -> str:
    """Scores of normal and abnormal images with the threshold, as SVG text (the paper's figure 6, unscaled).

    Arguments as for :func:`roc`, but one class may be absent.
    """
    edges = np.histogram_bin_edges(np.append(scores, threshold), bins=40).tolist()

    def draw(axes: Axes) -> None:
        for label, name, colour in ((0, "normal", NORMAL), (1, "abnormal", ABNORMAL)):
            if (chosen := scores[labels == label]).size:
                axes.hist(chosen, bins=edges, color=colour, alpha=0.6, label=f"{name} ({chosen.size})")
        line = axes.axvline(threshold, color=_INK, linewidth=1.2, linestyle="--", label="threshold")
        line.set_gid("histogram-mark")
        axes.set(xlabel="anomaly score", ylabel="test images")
        axes.legend(loc="upper right")

    return _svg("histogram", 8.6, 2.4, draw)


def png_uri(pixels: NDArray[np.uint8], longest: int = 192) -> str:
    """A picture as a PNG data URI, shrunk so that no side is longer than ``longest`` pixels.

    Args:
        pixels: shape (H, W), (H, W, 1) or (H, W, 3).
        longest: in pixels.
    """
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((longest, longest), Image.Resampling.BOX)
    out = io.BytesIO()
    image.save(out, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode("ascii")
