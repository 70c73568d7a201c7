"""Folders are read as laid out, and whatever is wrong with them is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from unblot.data import DataConfig, Splits, find_images, load_data
from unblot.errors import UserError

Picture = Callable[..., Path]


def labels(splits: Splits) -> Counter[tuple[str, int]]:
    return Counter((i.kind, i.label) for i in splits.test.items)


@pytest.fixture
def mvtec(tmp_path: Path, picture: Picture, mask: Picture) -> Path:
    root = tmp_path / "bottle caps"
    for i in range(20):
        picture(root / f"train/good/{i:03d}.png")
    for i in range(4):
        picture(root / f"test/good/{i:03d}.png")
        picture(root / f"test/dent/{i:03d}.png")
        mask(root / f"ground_truth/dent/{i:03d}_mask.png")
    picture(root / "test/scratch/000.png")
    mask(root / "ground_truth/scratch/000_mask.png")
    return root


@pytest.fixture
def plain(tmp_path: Path, picture: Picture) -> Path:
    root = tmp_path / "plain"
    for i in range(30):
        picture(root / f"fine/part{i // 3}_view{i % 3}.png")
    for i in range(4):
        picture(root / f"faulty/dent/part{90 + i}_view0.png")
        picture(root / f"faulty/part{95 + i}_view0.png")
    return root


def test_mvtec_keeps_its_test_part(mvtec: Path) -> None:
    splits = load_data(DataConfig(str(mvtec), size=8, held_out=0.2))
    assert [len(splits.train), len(splits.held_out)] == [16, 4]
    assert labels(splits) == {("good", 0): 4, ("dent", 1): 4, ("scratch", 1): 1}
    assert all(i.name.startswith("train/good/") for i in splits.train.items + splits.held_out.items)
    assert {i.name for i in splits.test.items if i.kind == "scratch"} == {"test/scratch/000.png"}
    for i, item in enumerate(splits.test.items):
        marked = splits.test.mask(i)
        assert marked is not None
        assert marked.any() == (item.label == 1)
    assert splits.warnings == []


def test_mvtec_without_a_test_folder_takes_test_normals_from_training(tmp_path: Path, picture: Picture) -> None:
    for i in range(20):
        picture(tmp_path / f"train/good/{i}.png")
    splits = load_data(DataConfig(str(tmp_path), size=8))
    assert len(splits.test) == 4
    assert "no folder test" in splits.describe()


def test_mvtec_groups_on_both_sides_are_said(mvtec: Path) -> None:
    splits = load_data(DataConfig(str(mvtec), size=8, group=r"(\d+)\.png"))
    assert any("4 groups have images in the training and in the test folder" in w for w in splits.warnings)


def test_an_abnormal_image_without_mask_is_said(mvtec: Path) -> None:
    (mvtec / "ground_truth/dent/002_mask.png").unlink()
    splits = load_data(DataConfig(str(mvtec), size=8))
    assert splits.warnings == [
        "1 of 5 abnormal images have no mask and are left out of the pixel metrics: test/dent/002.png"
    ]
    bare = [i.name for i in splits.test.items].index("test/dent/002.png")
    assert splits.test.mask(bare) is None


def test_a_mask_that_does_not_fit_is_named(mvtec: Path, mask: Picture) -> None:
    mask(mvtec / "ground_truth/dent/001_mask.png", (8, 9))
    with pytest.raises(UserError, match=r"001_mask\.png is 9 x 8 .* test/dent/001\.png 8 x 8"):
        load_data(DataConfig(str(mvtec), size=8))


def test_a_folder_that_is_no_mvtec_says_what_it_holds_and_what_to_do(tmp_path: Path, picture: Picture) -> None:
    picture(tmp_path / "ok/1.png")
    with pytest.raises(UserError, match=r"no folder train/good \(it holds: ok\).*--normal DIR --abnormal DIR"):
        load_data(DataConfig(str(tmp_path)))


def test_images_directly_in_test_have_no_kind(mvtec: Path, picture: Picture) -> None:
    picture(mvtec / "test/loose.png")
    with pytest.raises(UserError, match=r"loose\.png lies in no folder of test/"):
        load_data(DataConfig(str(mvtec)))


@pytest.mark.parametrize(
    ("content", "said"), [(None, "it is empty"), ("notes.txt", r"1 \.txt file"), (".hidden.png", "1 hidden file")]
)
def test_a_folder_without_images_is_named(mvtec: Path, content: str | None, said: str) -> None:
    for path in (mvtec / "train/good").iterdir():
        path.unlink()
    if content:
        (mvtec / "train/good" / content).write_bytes(b"x")
    with pytest.raises(UserError, match=rf"no images in .*good \({said}\); accepted: \.bmp, \.jpeg"):
        load_data(DataConfig(str(mvtec)))


def test_an_unreadable_image_stops_with_its_name(mvtec: Path) -> None:
    (mvtec / "train/good/007.png").write_bytes(b"not a picture")
    with pytest.raises(UserError, match=r"007\.png cannot be read"):
        load_data(DataConfig(str(mvtec)))


def test_plain_folders_are_split_by_part(plain: Path) -> None:
    splits = load_data(DataConfig(str(plain), normal=("fine",), abnormal=("faulty",), size=8, group=r"part(\d+)"))
    assert labels(splits) == {("normal", 0): 6, ("dent", 1): 4, ("faulty", 1): 4}
    assert [len(splits.train), len(splits.held_out)] == [21, 3]
    assert {i.name.split("/")[0] for i in splits.train.items} == {"fine"}
    sides = [{i.group for i in part.items} for part in (splits.train, splits.held_out, splits.test)]
    assert len(set().union(*sides)) == sum(map(len, sides)) == 18


def test_normal_views_of_a_faulty_part_go_to_test(plain: Path, picture: Picture) -> None:
    for i in range(3):
        picture(plain / f"faulty/part{i}_view9.png")
    splits = load_data(DataConfig(str(plain), normal=("fine",), abnormal=("faulty",), size=8, group=r"part(\d+)"))
    tested = {i.group for i in splits.test.items if i.label == 0}
    assert tested == {"0", "1", "2"}
    assert any("9 of 30 normal images are for testing instead of 6" in w for w in splits.warnings)


def test_normal_images_alone_are_enough_to_start(plain: Path) -> None:
    splits = load_data(DataConfig(str(plain), normal=("fine",), size=8))
    assert labels(splits) == {("normal", 0): 6}


def test_folders_outside_the_data_folder_have_names_relative_to_what_holds_them(
    plain: Path, tmp_path: Path, picture: Picture
) -> None:
    for i in range(9):
        picture(tmp_path / f"elsewhere/ok/{i}.png")
    config = DataConfig(str(plain), normal=(str(tmp_path / "elsewhere/ok"),), abnormal=("faulty",), size=8)
    names = [i.name for part in (load_data(config).train, load_data(config).test) for i in part.items]
    assert {n.split("/")[0] for n in names} == {"elsewhere", "plain"}


@pytest.mark.parametrize("shared", [True, False])
def test_masks_of_plain_folders_are_found_by_relative_path(
    tmp_path: Path, picture: Picture, mask: Picture, shared: bool
) -> None:
    for i in range(9):
        picture(tmp_path / f"ok/{i}.png")
    for kind, shape in (("a", (8, 8)), ("b", (6, 6))):
        picture(tmp_path / f"bad/{kind}/deep/1.jpg", shape)
        mask(tmp_path / f"masks/{kind}/deep/1_mask.png", shape)
    masks = ("masks",) if shared else ("masks/a", "masks/b")
    found = find_images(DataConfig(str(tmp_path), normal=("ok",), abnormal=("bad/a", "bad/b"), masks=masks))
    assert [s.mask and s.mask.parts[-3] for s in found.pool if s.item.label] == ["a", "b"]


def plain_config(root: Path, **changed: object) -> DataConfig:
    return DataConfig.from_dict({"data": str(root), "normal": ["fine"], "abnormal": ["faulty"], **changed})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"normal": []}, "none of normal images"),
        ({"abnormal": ["fualty"]}, "fualty does not exist"),
        ({"normal": ["fine", "faulty"]}, "must not overlap"),
        ({"masks": ["fine"]}, "no mask in fine belongs to an abnormal image"),
        ({"abnormal": ["faulty/dent"], "masks": ["fine", "faulty"]}, "2 folders of masks for 1 folders"),
        ({"group": r"serial(\d+)"}, r"group .* does not match '(fine|faulty)/"),
        ({"group": r"part\d+_(view\d)", "group_gap": 2}, "it is 'view0'"),
        ({"group": r"(view)"}, "need one each"),
        ({"normal": [], "abnormal": [], "masks": ["x"]}, "masks belongs to folders"),
    ],
)
def test_wrong_plain_folders_are_named(plain: Path, changed: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        load_data(plain_config(plain, **changed))


def test_a_data_set_that_does_not_exist_suggests_one() -> None:
    with pytest.raises(UserError, match=r"named 'digit' \(did you mean 'digits'\?\); give a folder, or one of"):
        load_data(DataConfig("digit"))
