"""Images that are made, not read: for timings alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unblot.data import ImageSet, Item, Source

__all__ = ["image", "image_set"]


def image(size: int, seed: int) -> NDArray[np.uint8]:
    """A smooth image with grain, shape (size, size, 3)."""
    return _drawn(np.random.default_rng(seed), size)


def image_set(count: int, size: int, seed: int) -> ImageSet:
    """Such images in memory, each its own group."""
    draw = np.random.default_rng(seed)
    sources = [Source(Item(f"{number}.png", 0, "good", str(number)), _drawn(draw, size)) for number in range(count)]
    return ImageSet(sources, channels=3, size=size, progress=False)


def _drawn(draw: np.random.Generator, size: int) -> NDArray[np.uint8]:
    coarse = draw.integers(60, 190, (size // 16, size // 16, 3), np.uint8)
    fine = coarse.repeat(16, 0).repeat(16, 1).astype(np.int16) + draw.integers(-20, 20, (size, size, 1))
    return fine.clip(0, 255).astype(np.uint8)
