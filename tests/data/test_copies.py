"""Equal pixels are one group and are counted; training images that show nothing are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from unblot.data import DataConfig, Splits, load_data
from unblot.data.copies import joined

Picture = Callable[..., Path]


def copies(root: Path, parts: int, each: int, folder: str = "fine") -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(parts)
    for part in range(parts):
        image = Image.fromarray(rng.integers(0, 256, (16, 16), dtype=np.uint8))
        for copy in range(each):
            image.save(root / folder / f"{copy}-{part}.{('png', 'bmp', 'tif')[copy % 3]}")


def of_one_part(splits: Splits) -> bool:
    """Whether all copies of a part stand on one side."""
    sides = [{i.name.split("-")[1][0] for i in part.items} for part in (splits.train, splits.held_out, splits.test)]
    return sum(map(len, sides)) == len(set().union(*sides))


@pytest.mark.parametrize("seed", range(4))
def test_copies_in_any_format_stand_on_one_side(tmp_path: Path, seed: int) -> None:
    copies(tmp_path, parts=6, each=4)
    splits = load_data(DataConfig(str(tmp_path), normal=("fine",), size=16, split_seed=seed))
    assert of_one_part(splits)
    assert len({*splits.train.groups.tolist()}) == len(splits.train) // 4
    assert any("18 of 24 images are copies of others" in w and "--group" in w for w in splits.warnings)


def test_copies_join_the_groups_of_a_rule(tmp_path: Path) -> None:
    copies(tmp_path, parts=6, each=2)
    rule = DataConfig(str(tmp_path), normal=("fine",), size=16, group=r"fine/(.*)")
    assert of_one_part(load_data(rule))


def test_a_limit_looks_at_the_images_that_are_used(tmp_path: Path) -> None:
    copies(tmp_path, parts=9, each=2)
    splits = load_data(DataConfig(str(tmp_path), normal=("fine",), size=16, limit=6))
    assert of_one_part(splits)
    assert len(splits.train) == 6


def test_too_few_groups_are_left_apart_with_a_word(tmp_path: Path) -> None:
    copies(tmp_path, parts=2, each=5)
    splits = load_data(DataConfig(str(tmp_path), normal=("fine",), size=16))
    assert any("8 of 10 images are copies" in w and "too few groups" in w for w in splits.warnings)


def test_group_none_keeps_copies_apart_as_asked_for(tmp_path: Path) -> None:
    copies(tmp_path, parts=6, each=4)
    splits = load_data(DataConfig(str(tmp_path), normal=("fine",), size=16, group="none"))
    assert {len({i.group for i in part.items}) - len(part) for part in (splits.train, splits.test)} == {0}
    assert any("18 of 24 images are copies" in w for w in splits.warnings)


def test_one_image_with_two_labels_is_said(tmp_path: Path, picture: Picture) -> None:
    copies(tmp_path, parts=8, each=1)
    image = Image.open(tmp_path / "fine/0-3.png")
    (tmp_path / "bad").mkdir()
    image.save(tmp_path / "bad/x-9.bmp")
    splits = load_data(DataConfig(str(tmp_path), normal=("fine",), abnormal=("bad",), size=16))
    assert any("among the normal and among the abnormal" in w for w in splits.warnings)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from([b"1", b"2", b"3", b"4"])), max_size=20))
def test_joined_groups_are_the_connected_ones(images: list[tuple[str, bytes]]) -> None:
    groups, digests = [g for g, _ in images], [d for _, d in images]
    found = joined(groups, digests)
    for i, (group, digest) in enumerate(images):
        for j in range(i):
            if groups[j] == group or digests[j] == digest:
                assert found[i] == found[j]
    assert joined(found, digests) == found
    assert set(found) <= set(groups)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([50], "training images are the same"),
        (range(10, 200, 19), "training images are blank"),
    ],
)
def test_images_without_variation_are_said(tmp_path: Path, values: list[int], said: str) -> None:
    for i in range(10):
        path = tmp_path / f"train/good/{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), values[i % len(values)], np.uint8)).save(path)
    assert any(said in w for w in load_data(DataConfig(str(tmp_path), size=8)).warnings)
