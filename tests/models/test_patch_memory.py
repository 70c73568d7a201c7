"""Banks of several strides: each has its own, their maps are added with the outer ones half."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from unblot.models.patch_memory import PatchMemory

CHANNELS = {8: 3, 16: 4, 32: 5}


def features(count: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(count, c, 64 // s, 64 // s, generator=generator) for s, c in CHANNELS.items()]


def made(entries: int = 2000, top: float = 0.02) -> PatchMemory:
    return PatchMemory(CHANNELS, 64, entries=entries, neighbours=2, top=top)


def remembering(groups: Tensor, seed: int = 0) -> PatchMemory:
    torch.manual_seed(0)
    memory = made()
    memory.add(features(len(groups), seed), groups)
    memory.finish()
    return memory


@pytest.mark.parametrize(
    ("strides", "weights"), [([8], [1]), ([8, 16], [1 / 3, 2 / 3]), ([8, 16, 32], [0.25, 0.5, 0.25])]
)
def test_outer_strides_count_half(strides: list[int], weights: list[float]) -> None:
    memory = PatchMemory(dict.fromkeys(strides, 2), 64, entries=10, neighbours=1, top=0)
    assert memory.weights == pytest.approx(weights)


def test_each_stride_has_its_bank_and_its_places() -> None:
    memory = remembering(torch.arange(4))
    assert [bank.memory.shape[1] for bank in memory._banks()] == [3, 4, 5]
    assert [bank.memory.shape[0] for bank in memory._banks()] == [4 * 64, 4 * 16, 4 * 4]
    distances = memory.distances(features(2, seed=1))
    assert [d.shape for d in distances] == [(2, 1, 8, 8), (2, 1, 4, 4), (2, 1, 2, 2)]
    expected = sum(
        weight * F.interpolate(each, (8, 8), mode="bilinear")
        for weight, each in zip((0.25, 0.5, 0.25), distances, strict=True)
    )
    torch.testing.assert_close(memory(distances), expected)


def test_distances_without_a_group_are_those_of_a_memory_without_its_entries() -> None:
    groups = torch.tensor([0, 0, 1, 1, 2, 2])
    memory, seen = remembering(groups), features(6)
    found = memory.distances(seen, groups)
    for group in range(3):
        other = made()
        for mine, theirs in zip(other._banks(), memory._banks(), strict=True):
            kept = theirs.groups != group
            mine.centre, mine.axes = theirs.centre, theirs.axes
            mine.memory, mine.typical, mine.groups = theirs.memory[kept], theirs.typical[kept], theirs.groups[kept]
        own = groups == group
        expected = other.distances([f[own] for f in seen])
        for one, two in zip(found, expected, strict=True):
            torch.testing.assert_close(one[own], two)
    again = memory.distances(seen, groups + 10)  # of groups that were never seen
    for one, two in zip(again, memory.distances(seen), strict=True):
        torch.testing.assert_close(one, two)


def test_fitted_maps_are_measured_by_other_groups_and_new_ones_by_all() -> None:
    memory = remembering(torch.arange(4))
    distances = memory.distances(features(8, seed=1))
    maps = memory.fit(distances, torch.arange(8))
    assert maps.shape == (8, 1, 8, 8)
    by_stride = [p.left_out(d, torch.arange(8)) for p, d in zip(memory._places(), distances, strict=True)]
    torch.testing.assert_close(maps, memory._sum(by_stride))
    assert maps.mean() > memory(distances).mean(), "what was learnt from stands out less"


@pytest.mark.parametrize(("groups", "one"), [([3, 3, 3], True), ([3, 3, 4], False)])
def test_whether_all_is_of_one_group(groups: list[int], one: bool) -> None:
    assert remembering(torch.tensor(groups)).one_group is one


def test_the_score_is_the_mean_of_the_largest_share() -> None:
    maps = torch.arange(64.0).view(1, 1, 8, 8)
    assert made(top=0).pooled(maps).item() == 63
    assert made(top=0.05).pooled(maps).item() == pytest.approx(62)
    assert made(top=1).pooled(maps).item() == pytest.approx(31.5)
