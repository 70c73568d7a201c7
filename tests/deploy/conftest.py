"""Runs with weights as they begin, written in a moment: an export must carry any weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from unblot.calibration import Calibration
from unblot.corruption.presets import named
from unblot.data import DataConfig
from unblot.detectors import create
from unblot.detectors.auto import Auto
from unblot.layers.bank import Bank
from unblot.layers.residual import Residual
from unblot.training import Position, Run, TrainConfig

TINY: dict[str, dict[str, Any]] = {
    "alad": {"width": 8, "latent": 8},
    "anogan": {"width": 8, "latent": 8, "search_steps": 2},
    "auto": {"coreset_size": 70},
    "dae": {"width": 4, "latent": 4},
    "egbad": {"width": 8, "latent": 8},
    "f_anogan": {"width": 8, "latent": 8},
    "feature_dae": {"width": 4},
    "feature_mask": {"width": 8},
    "ganomaly": {"width": 8},
    "mask": {"width": 4},
    "memory": {"coreset_size": 70},
    "nested": {"width": 0.125},
    "skip_ganomaly": {"width": 8},
    "subspace": {"strides": [8, 32]},
}


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Run]:
    """An untrained run of a detector by name, with what training would fill in filled by chance."""

    def make(model: str, *, channels: int = 3, size: int = 64, **more: Any) -> Run:
        torch.manual_seed(0)
        options = TINY.get(model, {}) | more
        detector = create(model, channels=channels, size=size, **options)
        for part in detector.modules():
            if isinstance(part, Bank):
                part.memory = torch.randn(70, part.memory.shape[1])
                part.typical = torch.rand(70) + 0.5
            if isinstance(part, Residual):
                part.axes = torch.linalg.qr(torch.randn(len(part.centre), 9)).Q
                part.usual = torch.tensor(3.0)
            if isinstance(part, Auto):
                part.scale = torch.rand_like(part.scale) + 0.5
        config = TrainConfig(model, model_options=options, device="cpu")
        spec, data = named("box"), DataConfig("digits", size=size)
        return Run(tmp_path, detector.eval(), config, spec, Position(finished=True), data, Calibration(0.5, 0.95, 9))

    return make


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of six smooth pictures of several sizes, tall and wide, in colour and gray."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i, (height, width) in enumerate([(90, 70), (64, 64), (40, 130), (33, 31), (200, 64), (128, 256)]):
        coarse = rng.integers(0, 256, (5, 6, 3), np.uint8)
        picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        (picture.convert("L") if i == 2 else picture).save(folder / f"{i}.png")
    return folder
