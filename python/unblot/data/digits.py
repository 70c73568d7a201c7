"""scikit-learn's handwritten digits (1797 images of 8 x 8, bundled), one or more classes left out as abnormal."""

from __future__ import annotations

import numpy as np

from unblot.data.classes import choose_classes
from unblot.data.config import DataConfig
from unblot.data.items import Found, Item, Source

__all__ = ["CLASSES", "find"]

CLASSES = tuple(str(d) for d in range(10))


def find(config: DataConfig) -> Found:
    """Classes "0".."9"; "0" is abnormal unless classes are given. Values 0..16 become 0..255."""
    from sklearn.datasets import load_digits  # takes a second to import, which other data sets need not wait for

    digits = load_digits()
    default = () if config.normal else ("0",)
    normal, abnormal = choose_classes(CLASSES, config.normal, config.abnormal or default)
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)
    pool = []
    for index, (image, target) in enumerate(zip(pixels, digits.target, strict=True)):
        kind = str(target)
        if kind in normal or kind in abnormal:
            name = f"{kind}/{index:04d}"
            pool.append(Source(Item(name, int(kind in abnormal), kind, group=name), image))
    return Found("digits", pool, ungrouped="who wrote which digit is not known")
