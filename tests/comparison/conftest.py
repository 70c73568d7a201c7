"""A grid of trainings of about a second, on digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from unblot.comparison import Training, plan
from unblot.data import DataConfig
from unblot.training import TrainConfig


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Networks this small are fastest on one thread."""
    torch.set_num_threads(1)


@pytest.fixture
def data() -> DataConfig:
    return DataConfig("digits", size=8, normal=("0", "1"), abnormal=("2",), limit=24)


@pytest.fixture
def config() -> TrainConfig:
    return TrainConfig("dae", epochs=2, batch_size=8, device="cpu")


@pytest.fixture
def grid(data: DataConfig, config: TrainConfig) -> Callable[..., list[Training]]:
    def make(**changes: Any) -> list[Training]:
        plain: dict[str, Any] = {"models": ["dae"], "corruptions": {"none": "none"}, "seeds": [0]}
        settings = plain | {"options": {"dae": {"width": 4, "latent": 4}}} | changes
        return plan(settings.pop("data", data), settings.pop("config", config), **settings)

    return make
