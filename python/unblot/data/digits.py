"""scikit-learn's handwritten digits (1797 images of 8 x 8, bundled), one or more classes left out as abnormal."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unblot.data.classes import choose_classes
from unblot.data.config import DataConfig
from unblot.data.items import Found, Item, Source

__all__ = ["CLASSES", "find"]

CLASSES = tuple(str(d) for d in range(10))


def find(config: DataConfig) -> Found:
    """Classes "0".."9"; "0" is abnormal unless classes are given. Values 0..16 become 0..255."""
    images, targets = _digits()
    default = () if config.normal else ("0",)
    normal, abnormal = choose_classes(CLASSES, config.normal, config.abnormal or default)
    pixels = np.round(images * (255 / 16)).astype(np.uint8)
    pool = []
    for index, (image, target) in enumerate(zip(pixels, targets.tolist(), strict=True)):
        kind = str(target)
        if kind in normal or kind in abnormal:
            name = f"{kind}/{index:04d}"
            pool.append(Source(Item(name, int(kind in abnormal), kind, group=name), image))
    return Found("digits", pool, ungrouped="who wrote which digit is not known")


def _digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What ``sklearn.datasets.load_digits`` gives: images (1797, 8, 8) and classes.

    Read from scikit-learn's file without importing it, which takes two seconds (it imports pandas where that is
    installed).
    """
    package = find_spec("sklearn")
    file = Path(package.origin).parent / "datasets/data/digits.csv.gz" if package and package.origin else None
    if file is None or not file.is_file():
        from sklearn.datasets import load_digits

        digits = load_digits()
        return digits.images, digits.target
    with gzip.open(file, "rt", encoding="ascii") as lines:
        rows = np.loadtxt(lines, delimiter=",")
    return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1].astype(np.int64)
