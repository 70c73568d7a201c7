"""Sessions: nearest neighbours that are also near in name."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from tests.evaluation.audit.conftest import Photograph, source, splits_of

from unblot.data import Splits, find_groups
from unblot.evaluation.audit.order import orders, sessions
from unblot.evaluation.audit.sample import Sample


def _splits(photograph: Photograph, name: Callable[[int, int], str]) -> Splits:
    """60 parts photographed four times each, split image by image."""
    pictures = [source(name(part, n), photograph(part, n)) for part in range(60) for n in range(4)]
    random.Random(0).shuffle(pictures)
    return splits_of(pictures[48:], pictures[:48])


@pytest.mark.parametrize(
    ("name", "order"),
    [
        (lambda part, n: f"cam{n}/shot {1000 * part + 17 * n}.png", r"the number in shot\ (\d+)"),
        (lambda part, n: f"{chr(97 + part // 26)}{chr(97 + part % 26)}{'wxyz'[n]}.png", "file order"),
    ],
)
def test_sessions_are_found_in_numbers_and_in_the_order_of_files(
    photograph: Photograph, name: Callable[[int, int], str], order: str
) -> None:
    found = sessions(Sample(_splits(photograph, name)))
    assert found is not None
    assert (found.level, found.figures["order"]) == ("fake", order)
    assert found.figures["share"] > 0.9 > 0.1 > found.figures["chance"]


def test_the_remedy_names_groups_that_are_the_sessions(photograph: Photograph) -> None:
    splits = _splits(photograph, lambda part, n: f"cam{n}/shot_{1000 * part + 17 * n}.png")
    found = sessions(Sample(splits))
    assert found is not None
    assert r"--group 'shot_(\d+)' --group-gap " in found.remedy
    names = [i.name for i in splits.train.items]
    gap = found.figures["gap"]
    assert 17 <= gap < 1000 - 51
    groups = find_groups(names, r"shot_(\d+)", gap)
    parts = [int(name.rpartition("_")[2][:-4]) // 1000 for name in names]
    assert len(set(groups)) == len(set(parts)) == len(set(zip(groups, parts, strict=True)))


def test_names_that_say_nothing_are_fine(photograph: Photograph) -> None:
    numbers = random.Random(1)
    found = sessions(Sample(_splits(photograph, lambda part, n: f"{numbers.randrange(10**8)}.png")))
    assert found is not None
    assert found.level == "fine"
    assert found.remedy == ""


def test_kinds_with_few_images_say_nothing(photograph: Photograph) -> None:
    pictures = [source(f"{part}.png", photograph(part, 0)) for part in range(50)]
    assert sessions(Sample(splits_of(pictures[5:], pictures[:5]))) is None


def test_numbers_of_names() -> None:
    def found(*names: str) -> list[tuple[str | None, list[float]]]:
        return [(o.pattern, o.keys.tolist()) for o in orders(names)]

    assert found("b10", "b9") == [(None, [1, 0]), (r"b(\d+)", [10, 9])]
    assert found("1x2", "3x4")[1:] == [(r"^\D*(\d+)", [1, 3]), (r"x(\d+)", [2, 4])]
    assert found("a1a2", "a1a3")[1:] == [(r"^(?:\D*\d+){1}\D*(\d+)", [2, 3])]  # a1 says nothing, a(\d+) finds it first
    assert found("a1", "b") == [(None, [0, 1])]
    assert found("a" + "9" * 40, "a" + "8" * 40) == [(None, [1, 0])]
