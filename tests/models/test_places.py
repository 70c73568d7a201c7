"""What a map shows at each place of normal images."""

from __future__ import annotations

import pytest
import torch

from unblot.models.places import DOUBT, FOLDS, Places, _inside


def maps(n: int, edge: float = 0.0, seed: int = 0) -> torch.Tensor:
    """Noise of deviation 1 about 5, by ``edge`` higher and three times as restless in the first column."""
    made = torch.randn(n, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) + 5
    made[..., 0] = 3 * (made[..., 0] - 5) + 5 + edge
    return made


def test_nothing_changes_before_it_is_fitted() -> None:
    made = maps(3)
    torch.testing.assert_close(Places(8)(made), made)


def test_the_border_counts_less() -> None:
    full, less = Places(8, border=1.0), Places(8, border=0.6)
    for places in (full, less):
        places.fit(maps(50))
    side = torch.tensor([0.6, 0.8, 1, 1, 1, 1, 0.8, 0.6])
    for by in ("__call__", "left_out"):
        counted, whole = (getattr(places, by)(maps(50)) for places in (less, full))
        torch.testing.assert_close(counted, whole * side[:, None] * side)
    assert torch.equal(_inside(8, 1.0), torch.ones(1, 8, 8))


@pytest.mark.parametrize(("size", "middle"), [(1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0)])
def test_a_small_map_has_its_middle_in_full(size: int, middle: float) -> None:
    places = Places(size)
    places.fit(torch.rand(5, 1, size, size))
    share = _inside(size, places.border)
    assert share.max() == middle
    assert share.isfinite().all()
    assert places.reach.isfinite().all()
    if size > 2:
        assert share[0, 0, 0] < share[0, 0, 1] < 1


@pytest.mark.parametrize("border", [0.0, -1.0, 1.1, float("nan")])
def test_a_border_out_of_its_range_is_refused(border: float) -> None:
    with pytest.raises(ValueError, match=r"border must be in 0\.\.1"):
        Places(8, border)


def test_a_place_that_always_shows_something_no_longer_stands_out() -> None:
    places = Places(8)
    places.fit(maps(200, edge=10))
    found = places(maps(200, edge=10, seed=1))
    assert abs(found[..., 0].mean() - found[..., 1:].mean()) < 1, "it was 10 higher"
    defect = maps(200, edge=10, seed=2)
    defect[:, :, 4, 4] += 8
    assert (places(defect).flatten(1).argmax(1) == 4 * 8 + 4).float().mean() > 0.95


def test_a_restless_place_must_show_more_but_not_as_much_more_as_it_is_restless() -> None:
    places = Places(8, border=1.0)  # what is learnt alone
    places.fit(maps(1000))
    ratio = places.reach[0, :, 0].mean() / places.reach[0, :, 1:].mean()
    assert 1.2 < ratio < 2.5


def test_few_images_say_little_of_single_places() -> None:
    places = Places(8)
    few = maps(2, edge=10)
    places.fit(few)
    torch.testing.assert_close(places.mean, few.mean() + (few.mean(0) - few.mean()) * 2 / (2 + DOUBT))
    one = Places(8, border=1.0)
    one.fit(torch.full((1, 1, 8, 8), 7.0))
    assert torch.isfinite(one(maps(4))).all()
    assert torch.allclose(one.reach, torch.tensor(0.14)), "2 % of the mean"


def test_left_out_maps_are_measured_by_the_others() -> None:
    made = maps(4, edge=10)
    places = Places(8)
    places.fit(made)
    found = places.left_out(made)
    for i in range(4):
        others = Places(8)
        others.fit(torch.cat([made[:i], made[i + 1 :]]))
        torch.testing.assert_close(found[i : i + 1], others(made[i : i + 1]))
    one = maps(1)
    places.fit(one)
    torch.testing.assert_close(places.left_out(one), places(one))


def test_left_out_maps_reach_as_far_as_new_ones_do() -> None:
    reached: list[list[float]] = []
    for seed in range(30):
        seen, new, places = maps(12, seed=seed), maps(40, seed=100 + seed), Places(8)
        places.fit(seen)
        reached.append([m.flatten(1).amax(1).mean().item() for m in (places(seen), places.left_out(seen), places(new))])
    learnt, left_out, new_ones = torch.tensor(reached).mean(0).tolist()
    assert learnt < 0.9 * new_ones, "what was learnt from hides itself"
    assert left_out == pytest.approx(new_ones, rel=0.05)


def test_many_maps_are_left_out_by_the_fold() -> None:
    made = maps(2 * FOLDS + 3)
    places = Places(8)
    places.fit(made)
    assert places.left_out(made).isfinite().all()
    assert not torch.equal(places.left_out(made), places(made))
