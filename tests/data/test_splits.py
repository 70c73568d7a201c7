"""No group on two sides, every image once, shares as near as groups allow, the same by seed."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unblot.data.splits import draw_limit, split_by_group
from unblot.errors import UserError

images = st.lists(
    st.tuples(st.integers(0, 30).map(str), st.integers(0, 9).map(lambda n: n == 0)), min_size=1, max_size=80
)
shares = st.floats(0.02, 0.9)


@settings(deadline=None, max_examples=300)
@given(images, shares, st.none() | shares, st.integers(0, 5))
def test_a_split_uses_every_image_once_and_divides_no_group(
    drawn: list[tuple[str, bool]], held_out: float, test: float | None, seed: int
) -> None:
    groups, abnormal = [g for g, _ in drawn], [bad for _, bad in drawn]
    marked = {g for g, bad in drawn if bad}
    clean = set(groups) - marked
    try:
        parts = split_by_group(groups, abnormal, held_out=held_out, test=test, seed=seed)
    except UserError:
        assert len(clean) < 3
        return
    sides = [parts.train, parts.held_out, parts.test]
    assert sorted(i for side in sides for i in side) == list(range(len(groups)))
    of_side = [{groups[i] for i in side} for side in sides]
    assert sum(map(len, of_side)) == len(set(groups))
    assert parts.train and parts.held_out
    assert marked <= of_side[2]
    if test is None:
        assert of_side[2] == marked
    else:
        assert any(not abnormal[i] for i in parts.test)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(1, 9), min_size=6, max_size=40), st.floats(0.05, 0.5), st.floats(0.05, 0.5))
def test_shares_are_off_by_at_most_one_group(sizes: list[int], held_out: float, test: float) -> None:
    groups = [str(g) for g, n in enumerate(sizes) for _ in range(n)]
    parts = split_by_group(groups, [False] * len(groups), held_out=held_out, test=test, seed=3)
    rest = len(groups) - len(parts.test)
    assert abs(len(parts.test) - test * len(groups)) <= max(sizes)
    assert abs(len(parts.held_out) - held_out * rest) <= max(sizes)


def test_shares_are_exact_where_every_image_is_its_own_group() -> None:
    groups = [f"{i}.png" for i in range(1000)]
    parts = split_by_group(groups, [False] * 1000, held_out=0.1, test=0.25, seed=0)
    assert [len(parts.train), len(parts.held_out), len(parts.test)] == [675, 75, 250]


def test_normals_beside_an_abnormal_image_count_towards_the_test_share() -> None:
    groups = ["bad"] * 10 + [f"{i}" for i in range(90)]
    abnormal = [True] + [False] * 99
    parts = split_by_group(groups, abnormal, held_out=0.1, test=0.2, seed=0)
    assert set(range(10)) <= set(parts.test)
    assert sum(not abnormal[i] for i in parts.test) == round(0.2 * 99)


def test_the_split_follows_from_the_seed_and_not_from_the_order_of_files() -> None:
    groups = [str(i // 3) for i in range(120)]
    shuffled = random.Random(1).sample(groups, len(groups))

    def test_groups(given_groups: list[str], seed: int) -> set[str]:
        parts = split_by_group(given_groups, [False] * 120, held_out=0.2, test=0.2, seed=seed)
        return {given_groups[i] for i in parts.test}

    assert test_groups(groups, 0) == test_groups(groups, 0) == test_groups(shuffled, 0)
    assert test_groups(groups, 0) != test_groups(groups, 1)


def test_every_group_is_equally_likely_to_be_drawn() -> None:
    groups = [str(i) for i in range(20)]
    drawn = Counter(
        i for seed in range(400) for i in split_by_group(groups, [False] * 20, held_out=0.1, test=0.5, seed=seed).test
    )
    assert all(150 < drawn[i] < 250 for i in range(20))  # 200 ± 5 standard deviations of a fair draw


@pytest.mark.parametrize("groups", [["a"] * 9, ["a"] * 5 + ["b"] * 4])
def test_too_few_groups_are_refused(groups: list[str]) -> None:
    with pytest.raises(UserError, match="need one each"):
        split_by_group(groups, [False] * 9, held_out=0.1, test=0.2, seed=0)


def test_without_normal_images_nothing_can_be_split() -> None:
    with pytest.raises(UserError, match="form 0 group"):
        split_by_group(["a", "b"], [True, True], held_out=0.1, test=None, seed=0)


def test_a_limit_takes_whole_groups_and_cuts_the_last() -> None:
    groups = [str(i // 4) for i in range(40)]
    kept = draw_limit(groups, 10, seed=0)
    assert len(kept) == 10
    assert kept == sorted(kept)
    assert sorted(Counter(groups[i] for i in kept).values()) == [2, 4, 4]
    assert kept == draw_limit(groups, 10, seed=0) != draw_limit(groups, 10, seed=1)
    assert draw_limit(groups, 99, seed=0) == list(range(40))
