"""What the memory of normal patches remembers, and how far things are from it."""

from itertools import combinations
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from unblot.models.detector import Batch
from unblot.models.memory import Memory, Reservoir, balance, coreset, nearest
from unblot.models.places import Places
from unblot.models.teacher import PACKAGED


def test_nearest_is_exact() -> None:
    torch.manual_seed(0)
    rows, memory = torch.randn(50, 7), torch.randn(357, 7)
    distance, position = nearest(rows, memory, 3)
    expected = torch.cdist(rows, memory).topk(3, largest=False)
    torch.testing.assert_close(distance, expected.values)
    assert torch.equal(position, expected.indices)


def test_nearest_keeps_its_digits_where_features_are_large() -> None:
    memory = 1000 + torch.arange(200.0)[:, None] * torch.tensor([[1.0, 0.0]])
    distance, _ = nearest(memory[:5] + 0.01, memory, 1)
    torch.testing.assert_close(distance[:, 0], torch.full((5,), 0.01 * 2**0.5), rtol=2e-2, atol=0)


def test_nearest_takes_all_of_a_small_memory() -> None:
    distance, position = nearest(torch.zeros(2, 3), torch.eye(3)[:2], 5)
    assert distance.shape == (2, 2)
    assert {*position[0].tolist()} == {0, 1}


def test_coreset_covers_better_than_chance() -> None:
    torch.manual_seed(0)
    rows = torch.cat([torch.randn(2000, 8) * 0.1, torch.randn(20, 8) + 5])[torch.randperm(2020)]
    chosen = coreset(rows, 60)
    assert len(torch.unique(chosen)) == 60
    gap = nearest(rows, rows[chosen], 1)[0].max()
    assert gap < nearest(rows, rows[:60], 1)[0].max()
    assert coreset(rows, 5000).tolist() == list(range(2020))


def test_reservoir_is_fair_and_bounded() -> None:
    torch.manual_seed(0)
    reservoir = Reservoir(500)
    for part in torch.arange(5000.0).view(50, 100):
        reservoir.add(part[:, None], part.long())
    rows, groups = reservoir.take()
    assert len(rows) == 500
    assert torch.equal(rows[:, 0].long(), groups)
    assert len(torch.unique(groups)) == 500
    assert 2200 < groups.float().mean() < 2800  # 6 standard errors are 390


def test_balance_makes_channels_of_any_size_alike() -> None:
    torch.manual_seed(0)
    rows = torch.randn(4000, 6)
    plain, large = rows, rows * torch.tensor([1.0, 3, 10, 1, 3, 10]) + 7
    a, b = (torch.pdist(((x - c) @ m)[:200]) for x in (plain, large) for c, m in [balance(x, [4, 2])])
    torch.testing.assert_close(a, b, rtol=0.02, atol=0)


def test_balance_halves_the_spread_of_axes_and_orders_them() -> None:
    torch.manual_seed(0)
    shared = torch.randn(4000, 1)
    rows = torch.cat([shared + 0.05 * torch.randn(4000, 3), torch.randn(4000, 1)], 1)  # three channels say the same
    centre, axes = balance(rows, [4])
    spread = ((rows - centre) @ axes).std(0)
    assert (spread[:-1] >= spread[1:] - 1e-6).all()
    before = torch.linalg.eigvalsh(torch.corrcoef(rows.T)).flip(0).sqrt()
    assert spread[0] / spread[1] < 0.8 * before[0] / before[1]


def test_balance_bears_constant_channels_and_few_rows() -> None:
    rows = torch.zeros(3, 8)
    rows[:, 0] = torch.arange(3.0)
    centre, axes = balance(rows, [4, 4])
    assert ((rows - centre) @ axes).isfinite().all()
    centre, axes = balance(torch.zeros(3, 8), [4, 4])
    assert axes.isfinite().all()


def remembering(**options: object) -> Memory:
    """A memory of random weights that has seen eight smooth images."""
    torch.manual_seed(0)
    memory = Memory(channels=1, size=64, entries=40, **options).eval()  # type: ignore[arg-type]
    images = F.interpolate(torch.rand(8, 1, 8, 8) * 2 - 1, 64, mode="bilinear")
    with torch.no_grad():
        list(memory.training_step("remember", Batch(images, images, images, torch.arange(8), torch.arange(8) // 2)))
        memory.finish_phase("remember")
    return memory


def test_draws_are_of_other_patches_and_their_distances_are_averaged() -> None:
    memory, images = remembering(draws=3), torch.rand(2, 1, 64, 64) * 2 - 1
    with torch.no_grad():
        for banks, patches, found in zip(
            memory._banks(), memory.patches(images), memory._distances(images), strict=True
        ):
            each = torch.stack([bank(patches) for bank in banks])
            torch.testing.assert_close(found, each.mean(0))
            assert len(each) == 3
        fine = [bank.memory @ bank.axes.inverse() + bank.centre for bank in memory._banks()[0]]
    assert not any(torch.allclose(a, b, atol=1e-3) for a, b in combinations(fine, 2)), "40 of 512 patches"
    with pytest.raises(ValueError, match="entries, draws and neighbours must be 1 or more"):
        remembering(draws=0)
    usual = {teacher: Memory(channels=1, size=64, teacher=teacher) for teacher in (PACKAGED, "filters")}
    assert {teacher: {*map(len, made._banks())} for teacher, made in usual.items()} == {PACKAGED: {2}, "filters": {1}}


def test_large_images_are_remembered_at_half_their_size_too_and_that_counts_half(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Memory(channels=1, size=512, teacher="filters").scales == 2
    assert Memory(channels=1, size=480, teacher="filters").scales == 1
    memory, images = Memory(channels=1, size=128, levels=[8, 16], scales=2).eval(), torch.rand(2, 1, 128, 128) * 2 - 1
    with torch.no_grad():
        found, halved = memory.patches(images), memory.patches(F.avg_pool2d(images, 2))
    assert [patches.shape[-1] for patches in found] == [16, 8, 8, 4]
    for here, there in zip(found[2:], halved[:2], strict=True):
        torch.testing.assert_close(here, there)
    assert [places.mean.shape[-1] for places in memory._places()] == [16, 8, 8, 4]
    large, small = torch.zeros(2, 1, 16, 16), torch.zeros(2, 1, 8, 8)
    large[:, :, 3, 3], small[:, :, 6, 6] = 9.0, 6.0
    monkeypatch.setattr(memory, "_distances", lambda *_: [large, small, small, small[..., ::2, ::2]])
    memory.top = 0
    own: torch.Tensor = (large + 2 * F.interpolate(small, (16, 16), mode="bilinear")) / 3
    half: torch.Tensor = (small + 2 * F.interpolate(small[..., ::2, ::2], (8, 8), mode="bilinear")) / 3
    scores = memory.score(images)
    torch.testing.assert_close(scores.image, (2 * own.amax((1, 2, 3)) + half.amax((1, 2, 3))) / 3)
    fine = [F.interpolate(each, (128, 128), mode="bilinear") for each in (own, half)]
    torch.testing.assert_close(scores.map, (2 * fine[0] + fine[1]) / 3)
    for size, scales in ((96, 2), (64, 2), (64, 0)):
        with pytest.raises(ValueError, match=f"scales must be 1 or more, and size {size} a multiple"):
            Memory(channels=1, size=size, scales=scales)


def test_each_level_has_its_bank_and_the_finest_counts_half() -> None:
    memory = remembering(levels=[8, [16, 32]])
    assert [[bank.memory.shape[1] for bank in banks] for banks in memory._banks()] == [[40] * 2, [112 + 192] * 2]
    normal = torch.rand(4, 1, 64, 64) * 2 - 1
    with torch.no_grad():
        memory.calibrate([normal[:2], normal[2:]], [], torch.arange(4))
        fine, coarse = memory._distances(normal)
        assert fine.shape[-1] == 8
        assert coarse.shape[-1] == 4
        found = memory.score(normal)
        at_fine, at_coarse = (places for places in memory.places if isinstance(places, Places))
        expected = (0.5 * at_fine(fine) + F.interpolate(at_coarse(coarse), (8, 8), mode="bilinear")) / 1.5
        torch.testing.assert_close(found.image, expected.flatten(1).amax(1))  # 2 % of 64 patches is one
    torch.testing.assert_close(at_fine.mean.mean(), fine.mean())


@pytest.mark.parametrize(
    ("levels", "weights"), [([8], [1]), ([8, 16], [1 / 3, 2 / 3]), ([8, 16, 32], [0.25, 0.5, 0.25])]
)
def test_outer_levels_count_half(levels: list[int], weights: list[float]) -> None:
    assert Memory(channels=1, size=64, levels=levels).weights == pytest.approx(weights)


def test_what_is_remembered_is_near_and_what_is_not_is_far() -> None:
    memory = remembering()
    torch.manual_seed(0)
    known = F.interpolate(torch.rand(8, 1, 8, 8) * 2 - 1, 64, mode="bilinear")
    with torch.no_grad():
        near, far = memory.score(known).image, memory.score(known.sign()).image
    assert near.max() < far.min()


def test_mirrored_views_are_seen_alike() -> None:
    torch.manual_seed(0)
    images = torch.rand(2, 1, 64, 64) * 2 - 1
    for views, mirrored in ((2, (3,)), (4, (3,)), (4, (2,)), (4, (2, 3))):
        memory = Memory(channels=1, size=64, levels=[8, 16], views=views).eval()
        with torch.no_grad():
            for here, there in zip(memory.patches(images), memory.patches(images.flip(mirrored)), strict=True):
                torch.testing.assert_close(there, here.flip(mirrored), rtol=1e-3, atol=1e-4)
    plain = Memory(channels=1, size=64, levels=[8, 16]).eval()
    with torch.no_grad():
        here, there = plain.patches(images)[0], plain.patches(images.flip(3))[0]
        assert not torch.allclose(there, here.flip(3), rtol=1e-3, atol=1e-4), "a single view is not"
    with pytest.raises(ValueError, match=r"views must be 1, 2 .* or 4"):
        Memory(channels=1, size=64, views=3)


@pytest.mark.parametrize(
    ("size", "teacher", "views"), [(128, PACKAGED, 1), (256, PACKAGED, 4), (384, PACKAGED, 1), (256, "filters", 1)]
)
def test_images_of_middle_size_are_seen_mirrored(size: int, teacher: str, views: int) -> None:
    assert Memory(channels=1, size=size, teacher=teacher).views == views


def test_left_out_scores_are_those_of_a_memory_without_the_group() -> None:
    torch.manual_seed(0)
    images = F.interpolate(torch.rand(6, 1, 8, 8) * 2 - 1, 64, mode="bilinear")
    groups, held_out = torch.tensor([0, 0, 1, 1, 2, 2]), torch.rand(3, 1, 64, 64) * 2 - 1
    whole = Memory(channels=1, size=64, teacher="filters", levels=[8, 32], balanced=False, normalise=False).eval()
    without = Memory(channels=1, size=64, teacher="filters", levels=[8, 32], balanced=False, normalise=False).eval()
    with torch.no_grad():
        for memory, kept in ((whole, groups >= 0), (without, groups != 1)):
            some = images[kept]
            list(memory.training_step("remember", Batch(some, some, some, torch.arange(len(some)), groups[kept])))
            memory.finish_phase("remember")
        whole.calibrate([held_out], [], torch.arange(3))
        for places, learnt in zip(without.places, whole.places, strict=True):
            places.load_state_dict(learnt.state_dict())
        found = whole.score_left_out(images, groups)
        assert found is not None
        torch.testing.assert_close(found[2:4], without.score(images[2:4]).image)
        assert (found > whole.score(images).image).all(), "what is remembered lies at no distance"


def test_left_out_scores_take_two_groups_and_a_teacher_that_was_not_trained_on_them() -> None:
    images = torch.rand(2, 1, 64, 64) * 2 - 1
    memory = remembering()  # of the groups 0 to 3
    with torch.no_grad():
        assert memory.score_left_out(images, torch.tensor([0, 3])) is not None
        for banks in memory._banks():
            for bank in banks:
                bank.groups.fill_(3)
        assert memory.score_left_out(images, torch.tensor([0, 3])) is None
        learnt = remembering(teacher="scratch")
        assert learnt.score_left_out(images, torch.tensor([0, 3])) is None, "its teacher has seen them"


@pytest.mark.parametrize("levels", [[], [[]]])
def test_levels_must_be_strides(levels: Any) -> None:
    with pytest.raises(ValueError, match="levels must be strides"):
        Memory(channels=1, size=64, levels=levels)


def test_weights_belong_to_levels() -> None:
    with pytest.raises(ValueError, match="weights must be 2 numbers above 0"):
        Memory(channels=1, size=64, levels=[8, 16], weights=[1])
    assert Memory(channels=1, size=64, levels=[8, 16], weights=[1, 3]).weights == [0.25, 0.75]
    assert Memory(channels=1, size=64, levels=[16]).weights == [1]
