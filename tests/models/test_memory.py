"""``memory``: what was remembered is near, and normal images are judged by what other groups show."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from unblot.models.detector import Batch
from unblot.models.memory import Memory


def smooth(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.interpolate(torch.rand(count, 1, 8, 8, generator=generator) * 2 - 1, 64, mode="bilinear")


def remembering(images: Tensor, groups: Tensor, **options: Any) -> Memory:
    """A memory of the filter bank that has seen images."""
    torch.manual_seed(0)
    memory = Memory(channels=1, size=64, **{"teacher": "filters", "entries": 40, **options}).eval()
    with torch.no_grad():
        list(memory.training_step("remember", Batch(images, images, images, torch.arange(len(images)), groups)))
        memory.finish_phase("remember")
    return memory


def calibrated(memory: Memory, held_out: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    with torch.no_grad():
        found = memory.calibrate(held_out, [], torch.arange(sum(map(len, held_out))))
    assert found is not None
    return found.held_out, found.training, found.groups


def test_what_is_remembered_is_near_and_what_is_not_is_far() -> None:
    known = smooth(8)
    memory = remembering(known, torch.arange(8) // 2)
    with torch.no_grad():
        near, far = memory.score(known).image, memory.score(known.sign()).image
    assert near.max() < far.min()


def test_its_phase_keeps_and_shows_every_image_once() -> None:
    (phase,) = Memory(channels=1, size=64, teacher="filters").phases(1e-3)
    assert (phase.optimizers, phase.keeps, phase.images) == ({}, True, None)


def test_training_images_are_looked_at_without_their_groups_entries() -> None:
    images, groups, held_out = smooth(6), torch.tensor([0, 0, 1, 1, 2, 2]), smooth(3, seed=1)
    memory = remembering(images, groups, entries=1000, strides=[8, 32])
    with torch.no_grad():
        features = memory.teacher(images)
        expected = memory.memory.distances([f.half().float() for f in features], groups)
        learnt = [torch.cat([a, b]) for a, b in zip(expected, memory._looked_at(memory.teacher(held_out)), strict=True)]
        held, training, found = calibrated(memory, [held_out[:2], held_out[2:]])
        apart = torch.cat([groups, torch.arange(3) + 3])  # no held-out image is of a training group
        scores = memory.memory.pooled(memory.memory.fit(learnt, apart))
    assert torch.equal(found, groups)
    torch.testing.assert_close(torch.cat([training, held]), scores, rtol=1e-3, atol=1e-3)
    with torch.no_grad():
        assert (training > memory.score(images).image).all(), "what is remembered lies at no distance"


def test_a_calibration_forgets_what_was_kept() -> None:
    memory = remembering(smooth(6), torch.arange(6))
    assert len(memory._kept) == 6
    _, training, _ = calibrated(memory, [smooth(2, seed=1)])
    assert len(training) == 6
    assert len(memory._kept) == 0
    assert len(calibrated(memory, [smooth(2, seed=1)])[1]) == 0


def test_without_held_out_images_training_images_tell_alone() -> None:
    memory = remembering(smooth(6), torch.arange(6))
    held, training, _ = calibrated(memory, [])
    assert (len(held), len(training)) == (0, 6)
    assert training.isfinite().all()
    with torch.no_grad():
        assert memory.calibrate([], [], torch.arange(0)) is None, "nothing is left to tell"


def test_of_a_single_group_no_training_image_can_be_left_out() -> None:
    memory = remembering(smooth(4), torch.zeros(4, dtype=torch.int64))
    assert memory.memory.one_group
    held, training, groups = calibrated(memory, [smooth(3, seed=1)])
    assert (len(held), len(training), len(groups)) == (3, 0, 0)
    one = remembering(smooth(4), torch.zeros(4, dtype=torch.int64))
    with torch.no_grad():
        assert one.calibrate([], [], torch.arange(0)) is None


def test_a_teacher_that_learnt_from_the_training_images_scores_none_of_them() -> None:
    memory = remembering(smooth(4), torch.arange(4), teacher="scratch")
    held, training, _ = calibrated(memory, [smooth(3, seed=1)])
    assert (len(held), len(training)) == (3, 0)


@pytest.mark.parametrize("count", [1, 2])
def test_images_that_are_few_or_all_alike_give_numbers(count: int) -> None:
    for images in (smooth(count), torch.zeros(count, 1, 64, 64)):
        memory = remembering(images, torch.arange(count))
        with torch.no_grad():
            memory.calibrate([images[:1]], [], torch.arange(1))
            found = memory.score(torch.cat([images, smooth(2, seed=3)]))
        assert found.image.isfinite().all()
        assert found.map.isfinite().all()


def test_the_map_is_the_sum_of_the_strides_and_the_score_its_largest_share() -> None:
    images = smooth(4)
    memory = remembering(images, torch.arange(4), strides=[8, 16], top=0)
    calibrated(memory, [smooth(3, seed=1)])
    with torch.no_grad():
        found, coarse = memory.score(images), memory.memory(memory.memory.distances(memory.teacher(images)))
    torch.testing.assert_close(found.map, F.interpolate(coarse, 64, mode="bilinear"))
    torch.testing.assert_close(found.image, coarse.flatten(1).amax(1))


@pytest.mark.parametrize("wrong", [{"entries": 0}, {"neighbours": 0}, {"top": 1.5}, {"top": -0.1}])
def test_options_that_no_memory_can_have_are_named(wrong: dict[str, Any]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"entries and neighbours must be 1 or more and top in 0..1.*{name}={value}"):
        Memory(channels=1, size=64, teacher="filters", **wrong)


def test_images_are_loaded_no_larger_than_its_teacher_looks_at_them() -> None:
    assert Memory.useful_size(512, {}) == 512
    assert Memory.useful_size(512, {"teacher": "filters"}) == 256
    assert Memory.useful_size(128, {"teacher": "filters"}) == 128
