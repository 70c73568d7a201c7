"""What a map shows at each place of normal images."""

from __future__ import annotations

import pytest
import torch

from unblot.calibration.positionwise import DOUBT, FOLDS, PositionwiseNormalizer, _along_sides


def maps(n: int, edge: float = 0.0, seed: int = 0) -> torch.Tensor:
    """Noise of deviation 1 about 5, by ``edge`` higher and three times as restless in the first column."""
    made = torch.randn(n, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) + 5
    made[..., 0] = 3 * (made[..., 0] - 5) + 5 + edge
    return made


def test_nothing_changes_before_it_is_fitted() -> None:
    made = maps(3)
    torch.testing.assert_close(PositionwiseNormalizer(8)(made), made)


def raised(made: torch.Tensor, by: float) -> torch.Tensor:
    """The same, by that much higher along the last row, but for one place of eight."""
    made = made.clone()
    made[..., -1, :7] += by
    return made


def test_what_a_whole_side_shows_is_taken_off() -> None:
    places = PositionwiseNormalizer(8)
    places.fit(maps(50))
    new = maps(200, seed=1)
    plain, along = places(new).flatten(1).amax(1), places(raised(new, 30)).flatten(1).amax(1)
    assert along.mean() < 1.5 * plain.mean(), "a side that came into view is no defect"
    spot = new.clone()
    spot[..., -1, 3:5] += 30
    assert (places(spot).flatten(1).argmax(1) >= 7 * 8 + 3).all(), "a spot at the side is one"
    assert places(spot).flatten(1).amax(1).mean() > 5 * plain.mean()


def test_a_side_is_two_rows_or_columns_and_what_four_fifths_exceed() -> None:
    excess = torch.zeros(1, 1, 8, 8)
    excess[..., 1, :] = torch.arange(8.0)
    excess[..., :, 7] += 5
    excess[..., 4, :] += 3
    taken = _along_sides(excess)
    assert torch.equal(taken[0, 0, 1, :6], torch.ones(6)), "the second lowest of eight"
    assert torch.equal(taken[0, 0, :, 7], torch.full((8,), 5.0))
    assert taken[0, 0, 4, 2] == 0, "no side"
    assert torch.equal(_along_sides(-excess), torch.zeros_like(excess)), "a quiet side stays quiet"
    assert torch.equal(_along_sides(excess.mT), taken.mT)


@pytest.mark.parametrize(("size", "inside"), [(1, 1), (2, 2), (3, 3), (4, 2), (7, 5), (8, 4), (32, 28)])
def test_a_small_map_has_few_sides_or_none(size: int, inside: int) -> None:
    whole = torch.full((2, 1, size, size), 3.0)
    assert (_along_sides(whole) == 0).sum() == 2 * inside**2
    places = PositionwiseNormalizer(size)
    places.fit(torch.rand(5, 1, size, size))
    assert places.reach.isfinite().all()
    assert places(whole).amax() > 1, "an image that is odd all over still is"


def test_a_side_that_is_often_raised_is_no_reason_to_doubt_a_spot_there() -> None:
    often, never, made = PositionwiseNormalizer(8), PositionwiseNormalizer(8), maps(400)
    never.fit(made)
    made[::2] = raised(made[::2], 30)
    often.fit(made)
    assert often.reach[0, -1, :7].mean() < 12, "half of them are 15 above their mean"
    assert never.reach[0, -1, :7].mean() < often.reach[0, -1, :7].mean()


def test_a_place_that_always_shows_something_no_longer_stands_out() -> None:
    places = PositionwiseNormalizer(8)
    places.fit(maps(200, edge=10))
    found = places(maps(200, edge=10, seed=1))
    assert abs(found[..., 0].mean() - found[..., 1:].mean()) < 1, "it was 10 higher"
    defect = maps(200, edge=10, seed=2)
    defect[:, :, 4, 4] += 8
    assert (places(defect).flatten(1).argmax(1) == 4 * 8 + 4).float().mean() > 0.95


def test_a_restless_place_must_show_more_but_not_as_much_more_as_it_is_restless() -> None:
    places = PositionwiseNormalizer(8)
    places.fit(maps(1000))
    ratio = places.reach[0, :, 0].mean() / places.reach[0, :, 1:].mean()
    assert 1.2 < ratio < 2.5


def test_few_images_say_little_of_single_places() -> None:
    places = PositionwiseNormalizer(8)
    few = maps(2, edge=10)
    places.fit(few)
    torch.testing.assert_close(places.mean, few.mean() + (few.mean(0) - few.mean()) * 2 / (2 + DOUBT))
    one = PositionwiseNormalizer(8)
    one.fit(torch.full((1, 1, 8, 8), 7.0))
    assert torch.isfinite(one(maps(4))).all()
    assert torch.allclose(one.reach, torch.tensor(0.14)), "2 % of the mean"


def test_left_out_maps_are_measured_by_other_groups() -> None:
    made = maps(6, edge=10)
    places = PositionwiseNormalizer(8)
    places.fit(made)
    groups = torch.tensor([7, 2, 7, 4, 4, 9])
    found = places.leave_group_out(made, groups)
    for i in range(6):
        others = PositionwiseNormalizer(8)
        others.fit(made[groups != groups[i]])
        torch.testing.assert_close(found[i : i + 1], others(made[i : i + 1]))
    together = places.leave_group_out(made, torch.zeros(6, dtype=torch.int64))
    torch.testing.assert_close(together, places.leave_group_out(made, torch.arange(6)))
    one = maps(1)
    places.fit(one)
    torch.testing.assert_close(places.leave_group_out(one, torch.zeros(1, dtype=torch.int64)), places(one))


def test_left_out_maps_reach_as_far_as_new_ones_do() -> None:
    reached: list[list[float]] = []
    for seed in range(30):
        seen, new, places = maps(12, seed=seed), maps(40, seed=100 + seed), PositionwiseNormalizer(8)
        places.fit(seen)
        left_out = places.leave_group_out(seen, torch.arange(12))
        reached.append([m.flatten(1).amax(1).mean().item() for m in (places(seen), left_out, places(new))])
    learnt, left_out, new_ones = torch.tensor(reached).mean(0).tolist()
    assert learnt < 0.9 * new_ones, "what was learnt from hides itself"
    assert left_out == pytest.approx(new_ones, rel=0.05)


def test_of_groups_that_are_alike_inside_each_is_new() -> None:
    """Four photographs of each part: with the others of its part left in, a photograph is no news."""
    groups = torch.arange(10).repeat_interleave(4)
    parts = maps(10)[groups] * 2 + 0.1 * maps(40, seed=1)
    places = PositionwiseNormalizer(8)
    places.fit(parts)
    by_group, by_image = (
        places.leave_group_out(parts, g).flatten(1).amax(1).mean() for g in (groups, torch.arange(40))
    )
    fresh = places(maps(40, seed=2) * 2 + 0.1 * maps(40, seed=3)).flatten(1).amax(1).mean()
    assert by_image < 0.9 * fresh
    assert by_group == pytest.approx(fresh.item(), rel=0.1)


def test_many_groups_are_left_out_by_the_fold() -> None:
    made = maps(2 * FOLDS + 3)
    places = PositionwiseNormalizer(8)
    places.fit(made)
    found = places.leave_group_out(made, torch.arange(len(made)))
    assert found.isfinite().all()
    assert not torch.equal(found, places(made))
    backwards = places.leave_group_out(made.flip(0), torch.arange(len(made)).flip(0)).flip(0)
    torch.testing.assert_close(backwards, found)
