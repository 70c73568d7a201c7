"""What the benches of other people's detectors share: the command line, the splits, and how test images are judged."""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from unblot.data import DataConfig, ImageSet, Splits, load_data
from unblot.evaluation.metrics import image_metrics, pixel_metrics

__all__ = ["figures", "options", "splits_of"]


def options(prog: str, description: str | None) -> argparse.ArgumentParser:
    """A parser of what they all take: data, root, size and split."""
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("data", help="a data set or folder, as for unblot train")
    parser.add_argument("--root", default=None)
    parser.add_argument("--size", type=int, default=128, help="of the images in pixels")
    parser.add_argument("--split-seed", type=int, default=0)
    parser.add_argument("--group", default=None, metavar="REGEX", help="what tells captures apart, as for unblot train")
    return parser


def splits_of(given: argparse.Namespace) -> Splits:
    """The images that our detectors have with these options."""
    return load_data(
        DataConfig(given.data, root=given.root, size=given.size, split_seed=given.split_seed, group=given.group)
    )


def figures(test: ImageSet, scores: NDArray[np.float32], maps: NDArray[np.float32]) -> str:
    """Figures of the test images as text, from scores, shape (N,), and maps, (N, S, S)."""
    images = image_metrics(test.labels, scores, float(np.inf))
    pixels = pixel_metrics(maps, map(test.mask, range(len(test)))) if test.has_masks else None
    return f"AUROC {images['auroc']:.3f}, AUPRC {images['auprc']:.3f}, of pixels {pixels}"
