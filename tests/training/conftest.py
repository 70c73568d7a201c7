"""Small images and small detectors for the tests of the loop."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unblot.data import ImageSet, Splits
from unblot.data.items import Item, Source
from unblot.detectors import Detector, registry
from unblot.training import TrainConfig
from unblot.training.checkpoint import write


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Networks this small are fastest on one thread."""
    torch.set_num_threads(1)


def image_set(n: int, *, channels: int = 1, size: int = 16, seed: int = 0) -> ImageSet:
    """Smooth images: random 4×4 fields, enlarged."""
    coarse = np.random.default_rng(seed).integers(0, 256, (n, 4, 4), dtype=np.uint8)
    fine = coarse.repeat(size // 4, axis=1).repeat(size // 4, axis=2)
    sources = [Source(Item(f"{i}.png", 0, "good", f"part {i // 2}"), pixels) for i, pixels in enumerate(fine)]
    return ImageSet(sources, channels=channels, size=size)


@pytest.fixture
def make_splits() -> Callable[..., Splits]:
    """Splits of so many training and held-out images."""

    def make(train: int = 20, held_out: int = 10, **shape: int) -> Splits:
        first, second, third = (image_set(n, seed=seed, **shape) for seed, n in enumerate((train, held_out, 4)))
        return Splits("tiny", first, second, third)

    return make


@pytest.fixture
def splits(make_splits: Callable[..., Splits]) -> Splits:
    """20 training images, 10 held out, grayscale, 16×16."""
    return make_splits()


@pytest.fixture
def make_config() -> Callable[..., TrainConfig]:
    """Settings of a run of about a second."""

    def make(model: str = "dae", **settings: Any) -> TrainConfig:
        options = {"dae": {"width": 4, "latent": 4}, "nested": {"width": 0.125}}.get(model, {})
        plain: dict[str, Any] = {"model_options": options, "epochs": 3, "batch_size": 8, "device": "cpu"}
        return TrainConfig(model, **(plain | settings))

    return make


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[Detector]], type[Detector]]:
    """Make a detector known for one test."""

    def register(cls: type[Detector]) -> type[Detector]:
        monkeypatch.setitem(registry._FROM_ELSEWHERE, cls.name, cls)
        return cls

    return register


@pytest.fixture
def checkpoints(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """The bytes of every checkpoint that is written, in order."""
    written: list[bytes] = []

    def remember(path: Path, *args: Any) -> None:
        write(path, *args)
        written.append(path.read_bytes())

    monkeypatch.setattr("unblot.training.loop.write", remember)
    yield written
