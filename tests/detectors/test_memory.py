"""The memory as a detector: near what it was shown, and what it says of images as if they had not been shown."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from unblot.backbones.scratch import SCRATCH
from unblot.detectors import Batch, LeaveGroupOut, create
from unblot.detectors.memory import Memory
from unblot.layers.bank import Bank


def smooth(n: int, seed: int = 0) -> Tensor:
    """Gray images in [-1, 1], shape (n, 1, 64, 64): random 8 × 8 fields, enlarged."""
    coarse = torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return F.interpolate(coarse, 64, mode="bilinear")


@torch.no_grad()
def shown(images: Tensor, groups: Tensor, **options: object) -> Memory:
    """A memory of filter energies, by default, that has seen images of these groups."""
    torch.manual_seed(0)
    memory = create("memory", channels=1, size=64, **{"backbone": "filters", "coreset_size": 50, **options}).eval()
    assert isinstance(memory, Memory)
    for part, own in zip(images.split(3), groups.split(3), strict=True):
        list(memory.training_step("remember", Batch(part, part, torch.arange(len(part)), own)))
    memory.finish_phase("remember")
    return memory


@torch.no_grad()
def calibrated(memory: Memory, held_out: Tensor, groups: Tensor) -> LeaveGroupOut | None:
    return memory.calibrate(held_out.split(2) if len(held_out) else (), [], groups)


def test_what_is_remembered_is_near_and_what_is_not_is_far() -> None:
    known = smooth(8)
    memory = shown(known, torch.arange(8) // 2)
    with torch.no_grad():
        near, far = memory.score(known).image, memory.score(known.sign()).image
    assert near.max() < far.min()


def test_left_out_distances_of_training_images_are_those_of_a_memory_without_the_group() -> None:
    images, groups = smooth(9), torch.arange(9) // 3
    memory = shown(images, groups, strides=[8, 32], coreset_size=5000)
    own = groups == 1
    with torch.no_grad():
        found = memory._looked_at(memory.backbone(images), groups)
        for bank in memory.memory._banks():
            assert isinstance(bank, Bank)
            others = bank.groups != 1
            bank.centre, bank.axes, entries, typical = bank._apart(1)  # group 1 is fold 1
            bank.memory, bank.typical, bank.groups = entries[others], typical[others], bank.groups[others]
        expected = memory._looked_at(memory.backbone(images))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one[own], other[own])
        assert not torch.allclose(one[~own], other[~own]), "each without its own"


def test_both_held_out_and_kept_training_images_are_scored_as_new_ones() -> None:
    images, held_out = smooth(24), smooth(5, seed=1)
    groups = torch.tensor([7, 7, 7, 2, 2, 2, 4, 4, 4, *range(10, 25)])
    memory = shown(images, groups, coreset_size=5000)
    left_out = calibrated(memory, held_out, torch.tensor([0, 0, 1, 1, 2]))
    assert left_out is not None
    assert left_out.held_out.shape == (5,)
    assert left_out.training.shape == (24,)
    assert left_out.groups.tolist() == groups.tolist(), "in the order of the scores"
    with torch.no_grad():
        assert (left_out.training > memory.score(images).image).all(), "without its like an image stands out more"
        assert not torch.isclose(left_out.held_out, memory.score(held_out).image).any(), "by the places of others"
    assert len(memory._kept) == 0, "the features are needed no longer"
    banks = [bank for bank in memory.memory._banks() if isinstance(bank, Bank)]
    assert [len(bank.apart_memory) for bank in banks] == [0, 0, 0], "nor what left-out distances take"


def test_held_out_groups_are_none_of_the_training() -> None:
    images, held_out = smooth(6), smooth(3, seed=1)
    numbers = torch.arange(3)
    one, other = (
        calibrated(shown(images, torch.arange(6) // 2, coreset_size=5000), held_out, groups)
        for groups in (numbers, numbers + 100)
    )
    assert one is not None
    assert other is not None
    torch.testing.assert_close(one.held_out, other.held_out)
    torch.testing.assert_close(one.training, other.training)


def test_without_held_out_images_training_images_are_enough() -> None:
    memory = shown(smooth(6), torch.arange(6) // 2)
    left_out = calibrated(memory, smooth(0), torch.zeros(0, dtype=torch.int64))
    assert left_out is not None
    assert len(left_out.held_out) == 0
    assert len(left_out.training) == 6
    assert left_out.training.isfinite().all()


def test_of_a_single_group_no_training_image_is_scored() -> None:
    memory = shown(smooth(6), torch.full((6,), 3))
    left_out = calibrated(memory, smooth(4, seed=1), torch.arange(4))
    assert left_out is not None
    assert len(left_out.training) == len(left_out.groups) == 0
    assert left_out.held_out.isfinite().all()
    again = shown(smooth(6), torch.full((6,), 3))
    assert calibrated(again, smooth(0), torch.zeros(0, dtype=torch.int64)) is None, "there is nothing to learn from"


def test_of_three_images_each_is_scored_by_the_others() -> None:
    images = smooth(3)
    memory = shown(images, torch.arange(3))
    left_out = calibrated(memory, smooth(0), torch.zeros(0, dtype=torch.int64))
    assert left_out is not None
    assert left_out.training.shape == (3,)
    assert left_out.training.isfinite().all()
    with torch.no_grad():
        assert memory.score(images).map.isfinite().all()


@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0])
def test_images_that_are_all_equal_give_finite_scores(value: float) -> None:
    images = torch.full((6, 1, 64, 64), value)
    memory = shown(images, torch.arange(6) // 2)
    left_out = calibrated(memory, images[:2], torch.arange(2))
    assert left_out is not None
    assert left_out.training.isfinite().all()
    with torch.no_grad():
        same, other = memory.score(images[:1]), memory.score(smooth(1))
    assert same.map.isfinite().all()
    assert other.map.isfinite().all()
    assert same.image < other.image


def test_a_backbone_that_has_learnt_on_the_images_says_nothing_of_them() -> None:
    memory = shown(smooth(6), torch.arange(6) // 2, backbone=SCRATCH)
    left_out = calibrated(memory, smooth(3, seed=1), torch.arange(3))
    assert left_out is not None
    assert len(left_out.held_out) == 3
    assert len(left_out.training) == 0


def test_the_same_draws_make_the_same_bits() -> None:
    found = []
    for _ in range(2):
        memory = shown(smooth(9), torch.arange(9) // 3)
        left_out = calibrated(memory, smooth(3, seed=1), torch.arange(3))
        assert left_out is not None
        with torch.no_grad():
            found.append([left_out.held_out, left_out.training, memory.score(smooth(2, seed=2)).map])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("strides", [[], [7]])
def test_strides_must_be_those_of_the_backbone(strides: list[int]) -> None:
    with pytest.raises(ValueError, match="stride"):
        create("memory", channels=1, size=64, backbone="filters", strides=strides)


def test_its_phase_keeps_and_shows_every_image_once() -> None:
    (phase,) = Memory(channels=1, size=64, backbone="filters").phases(1e-3)
    assert (phase.optimizers, phase.keeps, phase.images) == ({}, True, None)


def test_images_are_loaded_no_larger_than_its_backbone_looks_at_them() -> None:
    assert Memory.useful_size(512, {}) == 512
    assert Memory.useful_size(512, {"backbone": "filters"}) == 256
    assert Memory.useful_size(128, {"backbone": "filters"}) == 128
