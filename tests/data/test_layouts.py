"""What lies in a folder is used, or counted by reason; names that are hints are asked about."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unblot.data import DataConfig, Found, find_images, load_data, load_paths
from unblot.data.listing import Passed, list_images
from unblot.errors import UserError

Picture = Callable[..., Path]
links = pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")


def several(picture: Picture, folder: Path, number: int = 6) -> None:
    for i in range(number):
        picture(folder / f"{i}.png")


def found(root: Path, **more: tuple[str, ...]) -> Found:
    return find_images(DataConfig(str(root), **more))  # type: ignore[arg-type]


def kinds(data: Found) -> Counter[tuple[str, int]]:
    return Counter((s.item.kind, s.item.label) for s in data.test or [])


@links
def test_folders_that_are_links_are_read_once(tmp_path: Path, picture: Picture) -> None:
    several(picture, tmp_path / "share")
    several(picture, tmp_path / "data/cam1")
    (tmp_path / "data/cam2").symlink_to(tmp_path / "share", target_is_directory=True)
    (tmp_path / "data/cam3").symlink_to(tmp_path / "share", target_is_directory=True)
    (tmp_path / "data/cam1/up").symlink_to(tmp_path / "data", target_is_directory=True)
    (tmp_path / "data/nowhere.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "data/round").symlink_to(tmp_path / "data/round")
    passed = Passed()
    images = list_images(tmp_path / "data", passed)
    assert Counter(p.parts[-2] for p in images) == {"cam1": 6, "cam2": 6} or Counter(p.parts[-2] for p in images) == {
        "cam1": 6,
        "cam3": 6,
    }
    assert passed == {"link(s) to a folder that is read already": 2, "dead link(s)": 2}
    assert passed.lost


def test_what_is_no_image_is_counted_by_reason(tmp_path: Path, picture: Picture) -> None:
    several(picture, tmp_path)
    for name in ("a.txt", "b.TXT", "table.csv", "README", ".hidden.png", "Thumbs.db", ".DS_Store", "x.zip"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    passed = Passed()
    assert len(list_images(tmp_path, passed)) == 6
    assert str(passed) == (
        "1 .csv file, 2 .txt files, 1 archive, not opened, 1 empty folder, 1 file without suffix, 1 hidden file"
    )
    assert passed.lost  # the archive


@pytest.mark.parametrize("suffix", ["JPG", "jfif", "jp2", "gif", "tga", "pcx", "pnm", "dib", "sgi", "avif", "mpo"])
def test_whatever_pillow_opens_is_an_image(tmp_path: Path, suffix: str) -> None:
    Image.new("RGB", (16, 16), (200, 10, 10)).save(
        tmp_path / f"x.{suffix}", format={"dib": "DIB", "mpo": "JPEG", "pnm": "PPM"}.get(suffix)
    )
    assert load_paths([tmp_path], channels=3, size=8)[0]["image"].shape == (3, 8, 8)


def test_names_count_without_capitals(tmp_path: Path, picture: Picture) -> None:
    for folder in ("Train/Good", "TEST/GOOD", "TEST/Hole"):
        several(picture, tmp_path / folder)
    picture(tmp_path / "GroundTruth/hole/3_MASK.png")
    data = found(tmp_path)
    assert len(data.pool) == 6
    assert kinds(data) == {("good", 0): 6, ("Hole", 1): 6}
    assert [s.item.name for s in data.test or [] if s.mask] == ["TEST/Hole/3.png"]


def test_a_name_close_to_good_is_normal_and_asked_about(tmp_path: Path, picture: Picture) -> None:
    for folder in ("train/good", "train/good_cam2", "train/crack", "test/OK", "test/not good", "val/good"):
        several(picture, tmp_path / folder)
    data = found(tmp_path)
    assert Counter(s.item.name.split("/")[1] for s in data.pool) == {"good": 6, "good_cam2": 6}
    assert kinds(data) == {("OK", 0): 6, ("not good", 1): 6}
    assert ["train/good_cam2 is taken" in w for w in data.warnings] == [True, False]
    assert "test/OK is taken for normal images by name" in data.warnings[1]
    assert dict(data.passed) == {
        "image(s) in train/crack (no part of the layout)": 6,
        "image(s) in val (no part of the layout)": 6,
    }
    assert any(w.startswith("left out: 6 images in train/crack") for w in load_data(DataConfig(str(tmp_path))).warnings)


def test_opposite_names_of_plain_folders_are_asked_about(tmp_path: Path, picture: Picture) -> None:
    for folder in ("bad", "fine", "mixed/good", "mixed/hole"):
        several(picture, tmp_path / folder)
    swapped = found(tmp_path, normal=("bad",), abnormal=("fine",))
    assert [w.split(" was given")[0] for w in swapped.warnings] == ["bad", "fine"]
    (inner,) = found(tmp_path, normal=("fine",), abnormal=("mixed",)).warnings
    assert inner.startswith("mixed/good was given as abnormal, but sounds like normal images")


def test_empty_folders_are_passed_over_with_a_note(tmp_path: Path, picture: Picture) -> None:
    for folder in ("train/good", "test/good", "test/hole"):
        several(picture, tmp_path / folder, 12)
    for folder in ("test/crack", "ground_truth/crack", "notes"):
        (tmp_path / folder).mkdir(parents=True)
    splits = load_data(DataConfig(str(tmp_path)))
    assert "note      left out: 3 empty folders" in splits.describe()
    assert splits.warnings == []


def test_a_test_folder_without_images_is_no_test_folder(tmp_path: Path, picture: Picture) -> None:
    several(picture, tmp_path / "train/good", 12)
    (tmp_path / "test/good").mkdir(parents=True)
    splits = load_data(DataConfig(str(tmp_path)))
    assert len(splits.test) == 2
    assert "no images in test: its normal images are taken from train/good" in splits.describe()


def test_an_empty_folder_of_several_is_no_error_but_all_are(tmp_path: Path, picture: Picture) -> None:
    several(picture, tmp_path / "fine")
    several(picture, tmp_path / "scratch")
    (tmp_path / "crack").mkdir()
    data = found(tmp_path, normal=("fine", "crack"), abnormal=("scratch", "crack"))
    assert len(data.pool) == 12
    with pytest.raises(UserError, match=r"no images in .*crack \(it is empty\)"):
        found(tmp_path, normal=("crack",), abnormal=("scratch",))


def mvtec(root: Path, picture: Picture) -> Path:
    for folder in ("train/good", "test/good", "test/hole"):
        several(picture, root / folder)
    return root


def test_masks_that_fit_no_image_are_named_with_the_rule(tmp_path: Path, picture: Picture) -> None:
    mvtec(tmp_path, picture)
    for name in ("mask_0.png", "0_gt.png", "1_label.bmp", "2.png", "2_mask.png", "99_mask.png"):
        picture(tmp_path / "ground_truth/hole" / name)
    data = found(tmp_path)
    assert sorted(s.mask.name for s in data.test or [] if s.mask) == ["0_gt.png", "1_label.bmp", "2_mask.png"]
    said = "\n".join(data.warnings)
    assert "2 masks belong to no image and are not used: hole/99_mask.png, hole/mask_0.png" in said
    assert "its name optionally ending in _mask, _gt, _label or _seg" in said
    assert "1 images have a second mask, which is not used: hole/2.png" in said
    assert "masks     3 of 6 abnormal images have one" in load_data(DataConfig(str(tmp_path))).describe()


@pytest.mark.parametrize("layout", ["mvtec", "plain"])
def test_masks_beside_their_images_are_no_images(tmp_path: Path, picture: Picture, layout: str) -> None:
    mvtec(tmp_path, picture)
    for folder in ("test/hole", "train/good"):
        picture(tmp_path / folder / "1_mask.png")
    picture(tmp_path / "test/hole/alone_mask.png")  # no image of that name: an image
    names = {"normal": ("train/good",), "abnormal": ("test/hole",)} if layout == "plain" else {}
    data = found(tmp_path, **names)
    everything = data.pool + (data.test or [])
    assert not [s for s in everything if s.item.name.endswith("/1_mask.png")]
    assert [s.item.name for s in everything if s.mask] == ["test/hole/1.png"]
    assert [s for s in everything if s.item.name.endswith("alone_mask.png")]
    assert any(w.startswith("2 files lie beside images and are named as their masks") for w in data.warnings)


@pytest.mark.parametrize(("suffix", "options"), [("jpg", {"quality": 60}), ("webp", {"quality": 60})])
def test_masks_in_a_lossy_format_are_said_and_marked_from_half(
    tmp_path: Path, picture: Picture, suffix: str, options: dict[str, int]
) -> None:
    for folder in ("train/good", "test/good", "test/hole"):
        for i in range(6):
            picture(tmp_path / folder / f"{i}.png", (32, 32))
    values = np.zeros((32, 32), np.uint8)
    values[3:13, 5:17] = 255
    (tmp_path / "ground_truth/hole").mkdir(parents=True)
    Image.fromarray(values).save(tmp_path / f"ground_truth/hole/0_mask.{suffix}", **options)
    splits = load_data(DataConfig(str(tmp_path), size=32))
    assert any("1 masks are in a lossy format" in w for w in splits.warnings)
    mask = splits.test.mask([i.name for i in splits.test.items].index("test/hole/0.png"))
    assert mask is not None
    assert (mask != (values > 0)).mean() < 0.02


@links
@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="the administrator may open every folder")
def test_a_folder_that_cannot_be_opened_is_counted(tmp_path: Path, picture: Picture) -> None:
    several(picture, tmp_path / "a")
    several(picture, tmp_path / "b")
    (tmp_path / "b").chmod(0)
    passed = Passed()
    assert len(list_images(tmp_path, passed)) == 6
    assert "1 folder that cannot be opened" in str(passed)
