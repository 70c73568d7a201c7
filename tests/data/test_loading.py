"""What load_data says and finds beside the split: channels, sizes, limit, repeats; and the configuration itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unblot.data import DataConfig, ImageSet, Item, Reading, Source, exact_repeats, find_images, load_data, load_found
from unblot.data.decoded import Decoder, in_one_array
from unblot.errors import UserError

Picture = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, picture: Picture) -> Path:
    for i in range(20):
        picture(tmp_path / f"ok/{i:02d}.png", (8, 8 + i % 2))
        if i < 5:
            picture(tmp_path / f"bad/{i:02d}.png", (8, 8, 3))
    return tmp_path


def config(folder: Path, **changed: Any) -> DataConfig:
    return DataConfig(str(folder), normal=("ok",), abnormal=("bad",), size=8, **changed)


def test_channels_follow_the_training_images(folder: Path, picture: Picture) -> None:
    assert load_data(config(folder)).test.channels == 1  # the abnormal images are RGB, what is learnt is not
    assert load_data(config(folder, channels=3)).train.channels == 3
    for path in (folder / "ok").iterdir():
        picture(path, (8, 8, 3))
    assert load_data(config(folder)).train.channels == 3


def test_the_description_says_what_was_understood(folder: Path) -> None:
    said = load_data(config(folder, limit=7)).describe()
    for part in (
        "train     7 images in 7 groups: 7 normal",
        "held-out  2 images",
        "4 normal, 5 bad (abnormal)",
        "8 x 8 to 9 x 8 (2 sizes) (width x height), resized to 8 x 8, grayscale (found); the aspect ratio is not kept",
        "each image is its own",
        "limit: 7 of 14 training images",
    ):
        assert part in said


def test_a_limit_leaves_the_other_parts_alone(folder: Path) -> None:
    full, cut = load_data(config(folder)), load_data(config(folder, limit=3))
    assert len(cut.train) == 3
    assert set(cut.train.items) < set(full.train.items)
    assert [cut.held_out.items, cut.test.items] == [full.held_out.items, full.test.items]
    assert load_data(config(folder, limit=99)).train.items == full.train.items


def test_a_test_limit_keeps_the_shares_of_the_labels(folder: Path) -> None:
    full = load_data(config(folder, test=0.5))  # 10 normal, 5 abnormal
    cut = load_data(config(folder, test=0.5, test_limit=6))
    assert [full.test.labels.tolist().count(label) for label in (0, 1)] == [10, 5]
    assert [cut.test.labels.tolist().count(label) for label in (0, 1)] == [4, 2]
    assert [i for i in full.test.items if i in cut.test.items] == cut.test.items
    assert [cut.train.items, cut.held_out.items] == [full.train.items, full.held_out.items]
    assert "test limit: 6 of 15 test images" in cut.describe()
    assert load_data(config(folder, test=0.5, test_limit=6)).test.items == cut.test.items
    assert load_data(config(folder, test=0.5, test_limit=15)).test.items == full.test.items


def test_a_test_limit_leaves_an_image_of_each_label(folder: Path) -> None:
    for name in ("00", "01", "02", "03"):
        (folder / f"bad/{name}.png").unlink()  # 10 normal, 1 abnormal
    cut = load_data(config(folder, test=0.5, test_limit=2))
    assert sorted(cut.test.labels.tolist()) == [0, 1]


def test_exact_repeats_are_found_and_named(folder: Path) -> None:
    shutil.copy(folder / "ok/03.png", folder / "bad/copy of 03.png")
    for seed in range(20):
        splits = load_data(config(folder, split_seed=seed, group="none"))  # which keeps copies apart
        if "ok/03.png" in {i.name for i in splits.train.items + splits.held_out.items}:
            break
    said = [w for w in splits.warnings if "also in training" in w]
    assert said == [
        "1 of 10 test images are also in training, pixel for pixel at 8 x 8: bad/copy of 03.png = ok/03.png"
    ]
    assert said[0] in splits.describe()


def test_without_repeats_nothing_is_said(folder: Path) -> None:
    splits = load_data(config(folder, channels=3))
    assert [w for w in splits.warnings if "colours" not in w] == []
    assert exact_repeats([splits.train], splits.train) == [(i.name, i.name) for i in splits.train.items]


def test_a_split_keeps_every_image_once(folder: Path) -> None:
    splits = load_data(config(folder))
    names = [i.name for part in (splits.train, splits.held_out, splits.test) for i in part.items]
    assert sorted(names) == sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.png"))


IMAGE = 3 * 8 * 8


@pytest.mark.parametrize(
    ("images", "training", "judging"),
    [(99, (14, 2, 9), (14, 2, 9)), (24, (14, 2, 0), (0, 2, 9)), (13, (0, 2, 9), (0, 2, 9)), (1, (0, 0, 0), (0, 0, 0))],
)
def test_all_parts_together_are_kept_in_so_much_memory(
    folder: Path, images: int, training: tuple[int, ...], judging: tuple[int, ...]
) -> None:
    """Those that are not are the same; the part that is needed comes first."""
    plain = load_found(find_images(config(folder)), config(folder, channels=3), cache_bytes=0)
    for reading, kept in ((None, training), (Reading(), judging)):
        splits = load_found(
            find_images(config(folder)), config(folder, channels=3), reading=reading, cache_bytes=images * IMAGE
        )
        parts = (splits.train, splits.held_out, splits.test)
        assert tuple(part.kept_bytes // IMAGE for part in parts) == kept
        for one, other in zip(parts, (plain.train, plain.held_out, plain.test), strict=True):
            assert one.items == other.items
            assert all(torch.equal(one[i]["image"], other[i]["image"]) for i in range(len(one)))
            assert one.digests() == other.digests()


def test_an_array_that_images_were_decoded_into_is_taken_as_it_is() -> None:
    decoder = Decoder(1, 8, None, cache_bytes=5 * 64)
    sources = [Source(Item(str(i), 0, "good", str(i)), np.full((8, 8), i, np.uint8)) for i in range(5)]
    decoder.add(sources[:3], sources[3:])
    one, other = decoder.of(sources[:3]), decoder.of(sources[3:])
    block = in_one_array(one)
    assert block is not None
    assert [row.max() for row in block] == [0, 1, 2]
    images = ImageSet(sources[:3], channels=1, size=8, decoded=one)
    block[0] = 9
    assert images[0]["image"].max() == 9, "no copy"
    assert in_one_array(other) is not None
    for mixed in (one[::-1], one[:2], [*one[:2], other[0]], [], [replace(one[0], pixels=None)]):
        assert in_one_array(mixed) is None


def test_a_configuration_survives_json() -> None:
    asked = DataConfig("x", normal=("a",), abnormal=("b", "c"), group=r"(\d+)", group_gap=3, limit=5, channels=1)
    assert DataConfig.from_dict(json.loads(json.dumps(asked.to_dict()))) == asked
    assert DataConfig(normal="a").normal == ("a",)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"data": ""}, "data is empty"),
        ({"size": 0}, "size must be at least 1"),
        ({"channels": 2}, "channels must be 1 .* or 3"),
        ({"held_out": -0.1}, "held_out is a share from 0"),
        ({"held_out": 1}, "held_out is a share from 0"),
        ({"test": float("nan")}, "test is a share between 0 and 1"),
        ({"limit": 0}, "limit must be at least 1"),
        ({"test_limit": 1}, "test_limit must be at least 2"),
        ({"group": "part("}, r"group is not a regular expression: 'part\('"),
        ({"group_gap": -1}, "group_gap must not be negative"),
        ({"sizes": 3}, "unknown data setting sizes; known: data, root"),
    ],
)
def test_wrong_settings_are_named(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        DataConfig.from_dict(values)


def test_groups_are_numbered_within_a_set(folder: Path) -> None:
    sources = [Source(Item(str(i), 0, "good", g), folder / f"ok/{i:02d}.png") for i, g in enumerate("zaz")]
    images = ImageSet(sources, channels=1, size=8)
    assert [images[i]["group"] for i in range(3)] == [1, 0, 1]
