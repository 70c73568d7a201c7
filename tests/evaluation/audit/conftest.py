"""Parts to photograph: smooth random surfaces, seen under another exposure, shifted a little, with noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from unblot.data import ImageSet, Item, Source, Splits

Photograph = Callable[[int, int], NDArray[np.uint8]]
SIZE = 32


@pytest.fixture(scope="session")
def photograph() -> Photograph:
    """Photograph number ``n`` of a part, uint8 (32, 32): another exposure, a shift by up to a pixel, noise."""

    def take(part: int, n: int) -> NDArray[np.uint8]:
        coarse = torch.from_numpy(np.random.default_rng(part).uniform(0, 1, (1, 1, 10, 10)))
        surface = F.interpolate(coarse, size=(SIZE + 2, SIZE + 2), mode="bicubic")[0, 0].clamp(0, 1).numpy()
        rng = np.random.default_rng([part, n])
        y, x = rng.integers(0, 3, 2)
        seen = surface[y : y + SIZE, x : x + SIZE] * rng.uniform(0.4, 0.9) + rng.normal(0, 0.01, (SIZE, SIZE))
        return (seen.clip(0, 1) * 255).astype(np.uint8)

    return take


def image_set(sources: list[Source]) -> ImageSet:
    return ImageSet(sources, channels=1, size=SIZE)


def source(name: str, image: NDArray[np.uint8], *, label: int = 0, kind: str = "good", group: str = "") -> Source:
    return Source(Item(name, label, kind, group or name), image)


def splits_of(train: list[Source], test: list[Source]) -> Splits:
    """Every tenth training image is held out."""
    held_out = train[::10]
    return Splits("parts", image_set([s for s in train if s not in held_out]), image_set(held_out), image_set(test))
