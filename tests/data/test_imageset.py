"""Samples are what the training loop and the scoring path expect, cached or not."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from unblot.data import ImageSet, Item, Source, load_paths
from unblot.errors import UserError

Picture = Callable[..., Path]


@pytest.fixture
def sources(tmp_path: Path, picture: Picture, mask: Picture) -> list[Source]:
    """Four images of mixed sizes in two groups; the last is abnormal and has a mask."""
    shapes = [(8, 8), (20, 10, 3), (64, 64), (9, 31)]
    return [
        Source(
            Item(f"{i}.png", int(i == 3), "dent" if i == 3 else "good", group="BA"[i % 2]),
            picture(tmp_path / f"{i}.png", shape),
            mask(tmp_path / "masks" / f"{i}.png", shape[:2]) if i == 3 else None,
        )
        for i, shape in enumerate(shapes)
    ]


@pytest.mark.parametrize("channels", [1, 3])
def test_lazy_and_cached_give_the_same_bytes(sources: list[Source], channels: int) -> None:
    cached = ImageSet(sources, channels=channels, size=16)
    lazy = ImageSet(sources, channels=channels, size=16, cache_bytes=0)
    for i in range(4):
        assert torch.equal(cached[i]["image"], lazy[i]["image"])
    assert cached.digests() == lazy.digests()
    assert len(set(cached.digests())) == 4


def test_a_sample_has_image_index_and_group(sources: list[Source]) -> None:
    images = ImageSet(sources, channels=3, size=16)
    sample = images[2]
    assert sample["image"].shape == (3, 16, 16)
    assert sample["image"].dtype == torch.uint8
    assert [images[i]["index"] for i in range(4)] == [0, 1, 2, 3]
    assert images[-1]["index"] == 3
    groups = [images[i]["group"] for i in range(4)]
    assert groups == [1, 0, 1, 0]
    assert images.labels.tolist() == [0, 0, 0, 1]
    with pytest.raises(IndexError):
        images[4]


def test_a_sample_is_a_copy(sources: list[Source]) -> None:
    images = ImageSet(sources, channels=1, size=16)
    before = images[0]["image"].clone()
    images[0]["image"].zero_()
    assert torch.equal(images[0]["image"], before)


def test_masks_are_known_for_marked_and_for_normal_images(sources: list[Source]) -> None:
    images = ImageSet(sources, channels=1, size=16)
    assert images.has_masks
    normal, marked = images.mask(0), images.mask(3)
    assert normal is not None
    assert not normal.any()
    assert marked is not None
    assert marked[0, 0]
    assert not marked[15, 15]
    assert not ImageSet(sources[:3], channels=1, size=16).has_masks
    assert ImageSet(sources[:3], channels=1, size=16).mask(0) is None


@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
def test_a_data_loader_with_workers_reads_all(sources: list[Source], cache_bytes: int) -> None:
    images = ImageSet(sources, channels=1, size=16, cache_bytes=cache_bytes)
    batches = list(DataLoader(images, batch_size=3, num_workers=1))
    assert [i for batch in batches for i in batch["index"].tolist()] == [0, 1, 2, 3]
    assert torch.equal(batches[0]["image"][1], images[1]["image"])


def test_a_set_can_be_pickled_for_spawned_workers(sources: list[Source]) -> None:
    images = ImageSet(sources, channels=1, size=16)
    again = pickle.loads(pickle.dumps(images))
    assert torch.equal(again[1]["image"], images[1]["image"])


def test_paths_with_spaces_and_other_alphabets_work(tmp_path: Path, picture: Picture) -> None:
    folder = tmp_path / "Prüf teile 検査"
    a, b = picture(folder / "Kratzer №1.PNG"), picture(folder / "дальше" / "zwei.jpg")
    images = load_paths([folder], channels=1, size=8)
    assert [i.name for i in images.items] == [a.as_posix(), b.as_posix()]
    assert set(images.labels.tolist()) == {-1}


def test_paths_may_be_files_of_any_suffix_and_are_taken_once(tmp_path: Path, picture: Picture) -> None:
    odd = picture(tmp_path / "x.png").rename(tmp_path / "x.odd")
    other = picture(tmp_path / "in" / "y.png")
    images = load_paths([odd, tmp_path / "in", other], channels=3, size=8)
    assert [i.name for i in images.items] == [odd.as_posix(), other.as_posix()]


def test_a_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such file or folder: .*nowhere\.png"):
        load_paths([tmp_path / "nowhere.png"], channels=1, size=8)


@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
def test_an_unreadable_image_is_named(sources: list[Source], cache_bytes: int) -> None:
    bad = sources[1].image
    assert isinstance(bad, Path)
    bad.write_bytes(b"\x89PNG but no more")
    with pytest.raises(UserError, match=r"1\.png cannot be read"):
        ImageSet(sources, channels=1, size=8, cache_bytes=cache_bytes)[1]


def test_no_images_make_an_empty_set() -> None:
    images = ImageSet([], channels=1, size=8)
    assert len(images) == 0
    assert images.labels.dtype == np.int64
    assert images.describe() == "no images"
