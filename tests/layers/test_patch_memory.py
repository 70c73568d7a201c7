"""Banks of several strides as one map: what each counts, and by what places it is measured."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from unblot.layers.bank import Bank
from unblot.layers.patch_memory import PatchMemory
from unblot.layers.residual import Residual


def made(strides: dict[int, int] | None = None, top: float = 0.0) -> PatchMemory:
    """A memory of random features of eight images in four groups, of 32 px."""
    torch.manual_seed(0)
    strides = strides or {4: 3, 8: 5}
    memory = PatchMemory(list(strides.items()), 32, partial(Bank, coreset_size=30, num_neighbors=2), top=top)
    memory.add(features(8, strides), torch.arange(8) // 2)
    memory.finish()
    return memory


def features(n: int, strides: dict[int, int]) -> list[Tensor]:
    return [torch.randn(n, channels, 32 // stride, 32 // stride) for stride, channels in strides.items()]


@pytest.mark.parametrize(
    ("strides", "weights"), [([8], [1]), ([8, 16], [1 / 3, 2 / 3]), ([4, 8, 16], [0.25, 0.5, 0.25])]
)
def test_outer_strides_count_half(strides: list[int], weights: list[float]) -> None:
    memory = PatchMemory([(stride, 2) for stride in strides], 64, partial(Residual, variance=0.5), top=0.0)
    assert memory.weights == pytest.approx(weights)


def test_each_stride_has_its_own_bank_and_places() -> None:
    memory = made()
    assert [bank.memory.shape for bank in memory._banks()] == [(30, 3), (30, 5)]
    assert [places.mean.shape[-1] for places in memory._places()] == [8, 4]
    found = memory.distances(features(2, {4: 3, 8: 5}))
    assert [distance.shape for distance in found] == [(2, 1, 8, 8), (2, 1, 4, 4)]


def test_the_map_is_the_weighted_sum_of_what_the_places_leave() -> None:
    memory = made()
    normal = memory.distances(features(6, {4: 3, 8: 5}))
    memory.fit(normal, torch.arange(6))
    fine, coarse = memory.distances(features(2, {4: 3, 8: 5}))
    at_fine, at_coarse = memory._places()
    expected = (at_fine(fine) + 2 * F.interpolate(at_coarse(coarse), (8, 8), mode="bilinear")) / 3
    maps = memory([fine, coarse])
    torch.testing.assert_close(maps, expected)
    torch.testing.assert_close(memory.pooled(maps), expected.flatten(1).amax(1))


def test_images_that_were_fitted_are_measured_by_the_places_of_others() -> None:
    memory = made({4: 3})
    normal = memory.distances(features(6, {4: 3}))
    groups = torch.tensor([0, 0, 1, 1, 2, 2])
    found = memory.fit(normal, groups)
    (places,) = memory._places()
    for group in range(3):
        places.fit(normal[0][groups != group])
        torch.testing.assert_close(found[groups == group], places(normal[0][groups == group]))


def test_patches_are_averaged_over_neighbours_inside_the_image() -> None:
    memory = PatchMemory([(4, 1)], 32, partial(Bank, coreset_size=10, num_neighbors=1), top=0.0)
    memory.add([torch.zeros(1, 1, 8, 8)], torch.zeros(1, dtype=torch.int64))
    memory.finish()
    (bank,) = memory._banks()
    spot = torch.zeros(1, 1, 8, 8)
    spot[..., 0, 0] = 1.0
    (found,) = memory.distances([spot])
    (corner,) = bank(torch.full((1, 1, 1, 1), 1 / 4)).flatten()
    torch.testing.assert_close(found[0, 0, 0, 0], corner)  # of four places, for what lies outside is no zero
    assert found[0, 0, 2:, 2:].abs().max() == 0


@pytest.mark.parametrize(
    ("bank", "least"), [(partial(Bank, coreset_size=30, num_neighbors=2), 3), (partial(Residual, variance=0.9), 2)]
)
def test_too_few_groups_are_told_from_enough(bank: Callable[[int], Bank | Residual], least: int) -> None:
    """A memory of two images would score each by the other, whose usual distances are those to the image itself."""
    for count in range(1, 5):
        memory = PatchMemory([(4, 3)], 32, bank, top=0.0)
        memory.add(features(8, {4: 3}), torch.arange(8) % count)
        memory.finish()
        assert memory.too_few_groups == (count < least)
