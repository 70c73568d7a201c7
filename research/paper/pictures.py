"""The paper's figures 6 and 7 for our trainings: histograms of scores, and what a generator restores.

The paper stretches scores to [0, 1] by the extremes of the test set (equation 6), and so do the histograms here.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from unblot.data import ImageSet, load_data
from unblot.data.cifar10 import CLASSES
from unblot.data.own import mark
from unblot.detectors import to_signed
from unblot.evaluation import PROTOCOLS
from unblot.training import load_run

__all__ = ["histograms", "restorations", "stretched"]

_STYLE = {"font.size": 7, "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False}
_COLOURS = {"0": ("normal", "#3b82c4"), "1": ("left out", "#e0763a")}
BINS, COLUMNS, SHOWN = 40, 5, 6
_META = {"Software": "unblot, plot"}


def stretched(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores moved to [0, 1] by their own extremes, shape (N,); the paper's equation 6.

    Example:
        >>> stretched(np.array([2.0, 4.0, 3.0])).tolist()
        [0.0, 1.0, 0.5]
    """
    low, high = float(scores.min()), float(scores.max())
    return (scores - low) / (high - low) if high > low else np.zeros_like(scores)


def _run(folder: Path, model: str, name: str) -> Path:
    return next(folder.glob(f"runs/{name}-{model}-*-seed0"))


def histograms(folder: Path, model: str, out: Path) -> None:
    """Figure 6: a panel for each left-out class, clean and published, as a PNG.

    Args:
        folder: of a finished ``unblot compare`` over the classes of CIFAR-10.
        model: whose.
        out: the PNG.
    """
    with matplotlib.rc_context(_STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(9, 6.4), layout="constrained")
        grid = figure.subplots(2 * len(CLASSES) // COLUMNS, COLUMNS)
        for row, axes in enumerate(grid):
            protocol = PROTOCOLS[("clean", "published")[row // 2]]
            for column, ax in enumerate(axes):
                name = CLASSES[row % 2 * COLUMNS + column]
                path = _run(folder, model, name) / protocol.name / "scores.csv"
                with path.open(encoding="utf-8", newline="") as file:
                    rows = list(csv.DictReader(file))
                values = stretched(np.array([float(r["score"]) for r in rows]))
                labels = np.array([r["label"] for r in rows])
                for label, (said, colour) in _COLOURS.items():
                    ax.hist(
                        values[labels == label], BINS, range=(0, 1), density=True, alpha=0.6, color=colour, label=said
                    )
                ax.set(title=f"{name}, {protocol.name}", yticks=[])
        grid[0][0].legend(frameon=False)
        figure.suptitle(f"Scores of {model}, stretched to [0, 1]; lower two rows: {PROTOCOLS['published'].label}")
        figure.savefig(out, dpi=100, metadata=_META)


def restorations(folder: Path, model: str, names: Sequence[str], root: Path, out: Path) -> None:
    """Figure 7: test images, what the generator made of them, and the difference, as a PNG.

    Args:
        folder: of a finished ``unblot compare``.
        model: whose.
        names: left-out classes, a block each; the first images of the test set of both kinds are shown.
        root: where the images lie.
        out: the PNG.
    """
    with matplotlib.rc_context(_STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(9, 2.6 * len(names)), layout="constrained")
        blocks = figure.subfigures(len(names), squeeze=False)[:, 0]
        for block, name in zip(blocks, names, strict=True):
            run = load_run(_run(folder, model, name))
            assert run.data_config is not None
            test = load_data(replace(run.data_config, root=str(root)), progress=False).test
            picked = _first(test)
            clean = to_signed(torch.stack([test[i]["image"] for i in picked]))
            with torch.no_grad():
                restored = run.detector.restore(clean)
            assert restored is not None, f"{model} restores nothing"
            rows = [(clean + 1) / 2, (restored + 1) / 2, (clean - restored).abs()]
            block.suptitle(f"{name} left out: {SHOWN} normal images, {SHOWN} of the left-out class")
            for axes, shown, said in zip(
                block.subplots(3, 2 * SHOWN), rows, ("test", "restored", "difference"), strict=True
            ):
                for ax, image in zip(axes, shown, strict=True):
                    ax.imshow(image.clamp(0, 1).permute(1, 2, 0).numpy())
                    ax.set(xticks=[], yticks=[])
                axes[0].set_ylabel(said)
        figure.savefig(out, dpi=90)
    with Image.open(out) as drawn:  # photographs: 128 colours are a quarter of the bytes
        small = drawn.convert("RGB").quantize(128)
    small.save(out, optimize=True, pnginfo=mark("plot"))


def _first(test: ImageSet) -> list[int]:
    """Places of the first images of each kind."""
    return [int(i) for kind in (0, 1) for i in np.flatnonzero(test.labels == kind)[:SHOWN]]
