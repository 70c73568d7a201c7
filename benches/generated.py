"""Images that are made, not read: for timings alone."""

from __future__ import annotations

import numpy as np

from unblot.data import ImageSet, Item, Source

__all__ = ["image_set"]


def image_set(count: int, size: int, seed: int) -> ImageSet:
    """Smooth images with grain."""
    draw = np.random.default_rng(seed)
    sources = []
    for number in range(count):
        coarse = draw.integers(60, 190, (size // 16, size // 16, 3), np.uint8)
        fine = coarse.repeat(16, 0).repeat(16, 1).astype(np.int16) + draw.integers(-20, 20, (size, size, 1))
        sources.append(Source(Item(f"{number}.png", 0, "good", str(number)), fine.clip(0, 255).astype(np.uint8)))
    return ImageSet(sources, channels=3, size=size, progress=False)
