"""A detector whose score is known, and images to score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unblot.data import ImageSet, Item, Source, Splits
from unblot.detectors.contract import Batch, Detector, Phase, Scores, Step


class Brightness(Detector):
    """Scores an image by its mean brightness; in train mode BatchNorm would make that depend on the batch."""

    name = "brightness"

    def __init__(self, *, channels: int = 1, size: int = 8, poison: float | None = None) -> None:
        super().__init__(channels=channels, size=size)
        self.norm = nn.BatchNorm2d(channels)
        self.poison = poison

    def phases(self, lr: float) -> Sequence[Phase]:
        return [Phase("none", {})]

    def training_step(self, phase: str, batch: Batch) -> Iterator[Step]:
        yield from ()

    def score(self, images: Tensor) -> Scores:
        anomaly_map = self.norm(images).mean(dim=1, keepdim=True)
        if self.poison is not None:
            anomaly_map = torch.where(anomaly_map > 0, self.poison, anomaly_map)
        return Scores(anomaly_map.mean(dim=(1, 2, 3)), anomaly_map)


@pytest.fixture
def brightness() -> Callable[..., Brightness]:
    return Brightness


@pytest.fixture
def gray() -> Callable[..., ImageSet]:
    """An image set of even images from (gray value, label, kind)."""

    def build(*values: tuple[int, int, str], size: int = 8) -> ImageSet:
        sources = [
            Source(Item(f"{kind}/ä {i}.png", label, kind, group=str(i)), np.full((size, size), value, np.uint8))
            for i, (value, label, kind) in enumerate(values)
        ]
        return ImageSet(sources, channels=1, size=size)

    return build


@pytest.fixture
def splits(gray: Callable[..., ImageSet]) -> Splits:
    """Dark normal images; bright "dent" images, and "stain" images no brighter than normal ones."""
    normal = [(v, 0, "good") for v in (10, 20, 30, 40)]
    bad = [(200, 1, "dent"), (210, 1, "dent"), (15, 1, "stain"), (35, 1, "stain")]
    return Splits("made up", gray(*normal), gray(*normal), gray(*normal, *bad), warnings=["a warning"])
