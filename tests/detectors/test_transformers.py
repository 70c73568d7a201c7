"""Detectors on a transformer's features: several tensors on one grid of patches, of 16 and of 14 px."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from tests.networks import Walk, blotted
from torch import Tensor

from unblot.data import native_size
from unblot.detectors import Batch, Detector, create, to_signed
from unblot.detectors.feature_dae import FeatureDenoisingAutoencoder
from unblot.detectors.feature_mask import FeatureMask
from unblot.detectors.memory import Memory
from unblot.detectors.registry import useful_size
from unblot.errors import UserError

SMALL = {"backbone": "vit_tiny_patch16_224", "blocks": [0, 1]}
FOURTEEN = {"backbone": "eva02_tiny_patch14_224", "blocks": [0, 1]}


def made(name: str, size: int, **options: Any) -> Detector:
    torch.manual_seed(0)
    return create(name, channels=1, size=size, **options).eval()


def normals(n: int, size: int) -> Batch:
    coarse = torch.rand(n, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    images = to_signed((torch.nn.functional.interpolate(coarse, size, mode="bicubic").clamp(0, 1) * 255).byte())
    return Batch(images, images, torch.arange(n), torch.arange(n))


@pytest.mark.parametrize(("size", "options", "grid"), [(64, SMALL, 4), (70, FOURTEEN, 5)])
def test_a_memory_has_a_bank_for_each_block(size: int, options: dict[str, Any], grid: int) -> None:
    memory = made("memory", size, coreset_size=20, **options)
    assert isinstance(memory, Memory)
    assert memory.memory.weights == [0.5, 0.5], "no block is the finest"
    batch = normals(6, size)
    with torch.no_grad():
        list(memory.training_step("remember", batch))
        memory.finish_phase("remember")
        left_out = memory.calibrate([batch.clean[:3]], [], torch.arange(3))
        assert [bank.memory.shape for bank in memory.memory._banks()] == [(20, 192)] * 2
        scores = memory.score(batch.clean)
    assert left_out is not None and len(left_out.training) == 6
    assert [places.mean.shape[-1] for places in memory.memory._places()] == [grid] * 2
    assert scores.map.shape == (6, 1, size, size)
    assert scores.image.isfinite().all()


@pytest.mark.parametrize(("size", "options"), [(64, SMALL), (70, FOURTEEN)])
def test_auto_marks_patches(size: int, options: dict[str, Any]) -> None:
    auto = made("auto", size, coreset_size=20, steps=8, **options)
    batch = normals(6, size)
    with torch.no_grad():
        list(auto.training_step("remember", batch))
        auto.finish_phase("remember")
    noisy = batch.clean.clone()
    noisy[:, :, :20, :20] = 1.0
    steps: list[Mapping[str, Tensor]] = []
    while not steps:
        steps = [
            step.losses for step in auto.training_step("mark", Batch(noisy, batch.clean, batch.index, batch.group))
        ]
    assert all(loss.requires_grad and loss.isfinite() for loss in steps[0].values())
    with torch.no_grad():
        auto.calibrate([batch.clean], [], batch.group)
        scores = auto.score(noisy)
    assert scores.map.shape == noisy.shape
    assert scores.image.isfinite().all()


def test_a_feature_masks_cells_are_the_patches(walk: Walk) -> None:
    detector = made("feature_mask", 64, width=8, **SMALL)
    assert isinstance(detector, FeatureMask)
    assert detector.stride == 16
    (taken,) = walk(detector, "train", blotted(4, seed=0))
    assert taken.changed == {"marker"}
    with torch.no_grad():
        assert detector.eval()._logits(torch.zeros(1, 1, 64, 64)).shape == (1, 1, 4, 4)


@pytest.mark.parametrize(("size", "options", "grid"), [(64, SMALL, 4), (224, FOURTEEN, 16)])
def test_a_feature_dae_restores_every_block_on_the_patches(
    size: int, options: dict[str, Any], grid: int, walk: Walk
) -> None:
    detector = made("feature_dae", size, width=4, **options)
    assert isinstance(detector, FeatureDenoisingAutoencoder)
    (taken,) = walk(detector, "train", normals(2, size))
    assert set(taken.losses) == {"block_0", "block_1"}
    assert taken.changed == {"student"}
    with torch.no_grad():
        coarse = detector.eval()._coarse(torch.zeros(1, 1, size, size))
    assert coarse.shape == (1, 1, grid, grid)


@pytest.mark.parametrize("name", ["auto", "memory", "feature_mask", "feature_dae"])
@pytest.mark.parametrize("options", [SMALL, FOURTEEN], ids=["16", "14"])
def test_the_sizes_that_suit_images_suit_the_patches(name: str, options: dict[str, Any]) -> None:
    for side in (8, 100, 300, 1_000):
        size = useful_size(name, native_size(side), options)
        assert create(name, channels=1, size=size, **options).size == size
        assert size >= 224


def test_a_size_between_patches_is_refused_with_those_beside_it() -> None:
    with pytest.raises(ValueError, match=r"multiple of 14, at least 70; got size=100. Nearest accepted: 98 or 112"):
        made("memory", 100, **FOURTEEN)
    with pytest.raises(ValueError, match=r"multiple of 224.*got size=98. Nearest accepted: 224 or 448"):
        made("feature_dae", 98, **FOURTEEN)


def test_strides_of_a_transformer_cannot_be_chosen() -> None:
    with pytest.raises(UserError, match=r"by block, all at stride 16.*blocks=\[5, 8, 11\]"):
        made("memory", 64, backbone="vit_tiny_patch16_224", strides=[8, 16])
