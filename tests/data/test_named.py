"""The named data sets, on generated stand-ins where they are not bundled."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unblot.data import DATA_SETS, DataConfig, fashion_mnist, find_images, load_data
from unblot.data.cifar10 import CLASSES
from unblot.errors import UserError

Picture = Callable[..., Path]


def test_digits_leave_one_class_out() -> None:
    splits = load_data(DataConfig("digits", abnormal=("3",), size=8))
    normals = len(splits.train) + len(splits.held_out) + int((splits.test.labels == 0).sum())
    assert normals + int((splits.test.labels == 1).sum()) == 1797
    assert {i.kind for i in splits.test.items if i.label == 1} == {"3"}
    assert {i.kind for i in splits.train.items} == set("012456789")
    assert splits.train.channels == 1
    assert max(int(splits.train[i]["image"].max()) for i in range(50)) == 255
    assert "who wrote which digit is not known" in splits.describe()
    assert splits.warnings == []


def test_digits_default_and_choice_of_normals() -> None:
    assert {s.item.kind for s in find_images(DataConfig("digits")).pool if s.item.label} == {"0"}
    some = find_images(DataConfig("digits", normal=("1", "7"), abnormal=("4",))).pool
    assert Counter((s.item.kind, s.item.label) for s in some).keys() == {("1", 0), ("7", 0), ("4", 1)}
    rest = find_images(DataConfig("digits", normal=("1",))).pool
    assert {s.item.kind for s in rest if s.item.label} == set("023456789")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"abnormal": ("ten",)}, "no class named 'ten'.*classes: 0, 1, 2"),
        ({"normal": ("1",), "abnormal": ("1",)}, "class 1 is given as normal and as abnormal"),
        ({"abnormal": tuple("0123456789")}, "at least one class must be normal"),
        ({"masks": ("m",)}, "masks belongs to folders"),
    ],
)
def test_wrong_digits_are_named(values: dict[str, tuple[str, ...]], said: str) -> None:
    with pytest.raises(UserError, match=said):
        load_data(DataConfig("digits", **values))  # type: ignore[arg-type]


@pytest.fixture
def cifar(tmp_path: Path, picture: Picture) -> Path:
    for kind in CLASSES:
        for i in range(5):
            picture(tmp_path / f"cifar/train/{kind}/a{i}.png", (32, 32, 3))
        picture(tmp_path / f"cifar/test/{kind}/b.png", (32, 32, 3))
    return tmp_path / "cifar"


@pytest.mark.parametrize("name", ["automobile", "car"])
def test_cifar10_folders_are_pooled_and_split_six_to_one(cifar: Path, name: str) -> None:
    splits = load_data(DataConfig("cifar10", root=str(cifar), abnormal=(name,)))
    assert len(splits.train) + len(splits.held_out) == 45
    assert Counter(splits.test.labels.tolist()) == {0: 9, 1: 6}
    assert {i.kind for i in splits.test.items if i.label} == {"automobile"}
    assert splits.train.channels == 3
    assert splits.warnings == []


def test_cifar10_split_follows_from_its_seed(cifar: Path) -> None:
    def test_names(seed: int) -> list[str]:
        config = DataConfig("cifar10", root=str(cifar), abnormal=("ship",), split_seed=seed)
        return [i.name for i in load_data(config).test.items]

    assert test_names(0) == test_names(0) != test_names(1)


class FakeCIFAR10:
    """Stands in for torchvision's class: the attributes that the loader reads."""

    def __init__(self, root: str, train: bool, download: bool) -> None:
        if Path(root).name == "offline":
            raise RuntimeError("no route to host")
        self.targets = [i % 10 for i in range(50 if train else 10)]
        rng = np.random.default_rng(train)
        self.data = rng.integers(0, 256, (len(self.targets), 32, 32, 3), dtype=np.uint8)


def test_cifar10_from_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchvision.datasets.CIFAR10", FakeCIFAR10)
    splits = load_data(DataConfig("cifar10", root=str(tmp_path), abnormal=("dog",), size=32))
    assert Counter(splits.test.labels.tolist()) == {0: 9, 1: 6}
    name = splits.test.items[0].name
    source = FakeCIFAR10("", train=name.startswith("train"), download=True)
    assert (splits.test[0]["image"].numpy() == source.data[int(name[-5:])].transpose(2, 0, 1)).all()
    with pytest.raises(UserError, match=r"no route to host.*Without internet"):
        load_data(DataConfig("cifar10", root=str(tmp_path / "offline"), abnormal=("dog",)))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "--abnormal CLASS, one of airplane, automobile"),
        ({"abnormal": ("brid",)}, r"no class named 'brid' \(did you mean 'bird'\?\)"),
        ({"abnormal": ("bird",), "root": None}, "needs --root DIR"),
        ({"abnormal": ("bird",), "normal": ("frog",)}, r"no images in .*frog \(it is empty\)"),
    ],
)
def test_wrong_cifar10_is_named(cifar: Path, values: dict[str, object], said: str) -> None:
    for path in (cifar / "train/frog").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=said):
        load_data(DataConfig.from_dict({"data": "cifar10", "root": str(cifar), **values}))


def write_idx(path: Path, values: np.ndarray) -> None:
    """The idx format as its authors describe it: magic number, sizes, bytes."""
    head = bytes((0, 0, 8, values.ndim)) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    data = head + values.astype(np.uint8).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def write_fashion(folder: Path, suffix: str = ".gz") -> None:
    rng = np.random.default_rng(0)
    for prefix, count in (("train", 50), ("t10k", 10)):
        write_idx(folder / f"{prefix}-images-idx3-ubyte{suffix}", rng.integers(0, 256, (count, 28, 28)))
        write_idx(folder / f"{prefix}-labels-idx1-ubyte{suffix}", np.arange(count) % 10)


@pytest.mark.parametrize(("below", "suffix"), [("", ".gz"), ("raw", ""), ("FashionMNIST/raw", ".gz")])
def test_fashion_mnist_is_found_and_split_five_to_one(tmp_path: Path, below: str, suffix: str) -> None:
    write_fashion(tmp_path / below, suffix)
    splits = load_data(DataConfig("fashion-mnist", root=str(tmp_path), abnormal=("boot",), size=28))
    assert len(splits.train) + len(splits.held_out) == 45
    assert Counter(splits.test.labels.tolist()) == {0: 9, 1: 6}
    assert {i.kind for i in splits.test.items if i.label} == {"ankle-boot"}
    assert splits.train.channels == 1
    pixels = np.random.default_rng(0).integers(0, 256, (50, 28, 28))  # the training part comes first
    names = {item.name: n for n, item in enumerate(splits.train.items)}
    name = next(name for name in names if name.startswith("train/"))
    assert (splits.train[names[name]]["image"].numpy()[0] == pixels[int(name[-5:])]).all()
    assert name.split("/")[1] == fashion_mnist.CLASSES[int(name[-5:]) % 10]


def test_fashion_mnist_is_downloaded_where_it_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(root: str, download: bool) -> None:
        if Path(root).name == "offline":
            raise RuntimeError("no route to host")
        write_fashion(Path(root) / "FashionMNIST/raw")

    monkeypatch.setattr("torchvision.datasets.FashionMNIST", download)
    config = DataConfig("fashion-mnist", root=str(tmp_path), abnormal=("bag",))
    assert Counter(load_data(config).test.labels.tolist()) == {0: 9, 1: 6}
    with pytest.raises(UserError, match=r"no route to host.*dataset-fashion-mnist"):
        load_data(DataConfig("fashion-mnist", root=str(tmp_path / "offline"), abnormal=("bag",)))


def test_wrong_fashion_mnist_is_named(tmp_path: Path) -> None:
    write_fashion(tmp_path)
    images = tmp_path / "train-images-idx3-ubyte.gz"
    whole = images.read_bytes()
    config = DataConfig("fashion-mnist", root=str(tmp_path), abnormal=("bag",))
    for broken in (whole[:500], b"", gzip.compress(b"<html>"), gzip.compress(gzip.decompress(whole)[:-1])):
        images.write_bytes(broken)
        with pytest.raises(UserError, match=r"train-images-idx3-ubyte\.gz is no idx file.*get the file again"):
            load_data(config)
    images.write_bytes(whole)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", np.arange(9))
    with pytest.raises(UserError, match="10 images and 9 labels"):
        load_data(config)
    with pytest.raises(UserError, match="needs --root DIR: the folder that holds its four files"):
        load_data(DataConfig("fashion-mnist", abnormal=("bag",)))
    with pytest.raises(UserError, match="--abnormal CLASS, one of t-shirt"):
        load_data(DataConfig("fashion-mnist", root=str(tmp_path)))


@pytest.fixture
def tiles(tmp_path: Path, picture: Picture, mask: Picture) -> Path:
    """Twelve captures of six exposures, defect-free; two further captures with a blowhole, one with a crack."""
    root = tmp_path / "tiles"
    for tile in range(15):
        kind = "Free" if tile < 12 else "Blowhole" if tile < 14 else "Crack"
        for exposure in range(1, 7):
            stem = root / f"MT_{kind}/Imgs/exp{exposure}_num_{10_000 * tile + 30 * exposure}"
            picture(stem.with_suffix(".jpg"), (20, 30))
            mask(stem.with_suffix(".png"), (20, 30))
    return root


def test_magnetic_tile_is_split_by_capture_with_masks(tiles: Path) -> None:
    splits = load_data(DataConfig("magnetic-tile", root=str(tiles), size=16))
    assert Counter(i.kind for i in splits.test.items) == {"Free": 12, "Blowhole": 12, "Crack": 6}
    for part in (splits.train, splits.held_out, splits.test):
        assert set(Counter(i.group for i in part.items).values()) == {6}
    assert splits.test.has_masks
    marked = [splits.test.mask(i) for i in range(len(splits.test))]
    assert [m is not None and bool(m.any()) for m in marked] == [i.label == 1 for i in splits.test.items]
    assert all(i.name.endswith(".jpg") for i in splits.train.items)
    assert "15 by" in splits.describe()


def test_magnetic_tile_takes_the_users_grouping_and_kinds(tiles: Path) -> None:
    config = DataConfig("magnetic-tile", root=str(tiles), size=16, abnormal=("Crack",), group=r"num_\d+")
    splits = load_data(config)
    assert {i.kind for i in splits.test.items if i.label} == {"Crack"}
    assert len({i.group for i in splits.train.items}) == len(splits.train)
    with pytest.raises(UserError, match="need one each"):  # a gap this wide joins all captures
        load_data(DataConfig("magnetic-tile", root=str(tiles), size=16, group_gap=9_850))


def test_magnetic_tile_split_at_random_says_what_that_does(tiles: Path) -> None:
    splits = load_data(DataConfig("magnetic-tile", root=str(tiles), size=16, group="none"))
    assert {i.group for i in splits.train.items} == {i.name for i in splits.train.items}
    normals = [i for i in splits.test.items if i.label == 0]
    said = next(w for w in splits.warnings if "show a part that is also in training" in w)
    assert f" of {len(normals)} normal test images" in said
    assert not load_data(DataConfig("magnetic-tile", root=str(tiles), size=16)).warnings


def test_masks_of_defect_free_tiles_are_spare(tiles: Path) -> None:
    spare = find_images(DataConfig("magnetic-tile", root=str(tiles))).spare_masks
    assert len(spare) == 72
    assert all("MT_Free" in str(mask) and mask.suffix == ".png" for mask in spare)


def test_wrong_magnetic_tile_is_named(tiles: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs --root DIR"):
        load_data(DataConfig("magnetic-tile"))
    with pytest.raises(UserError, match="does not hold the magnetic tile set: MT_Free"):
        load_data(DataConfig("magnetic-tile", root=str(tmp_path / "nowhere")))
    with pytest.raises(UserError, match=r"no class named 'crack' \(did you mean 'Crack'\?\)"):
        load_data(DataConfig("magnetic-tile", root=str(tiles), abnormal=("crack",)))
    next((tiles / "MT_Crack/Imgs").glob("exp3*.png")).unlink()
    with pytest.raises(UserError, match=r"exp3_num_140090\.jpg has no mask exp3_num_140090\.png"):
        load_data(DataConfig("magnetic-tile", root=str(tiles)))


def test_every_named_data_set_is_tested_here() -> None:
    assert set(DATA_SETS) == {"cifar10", "digits", "fashion-mnist", "magnetic-tile"}


def test_digits_are_those_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.datasets import load_digits

    from unblot.data import digits as own

    wanted = load_digits()
    for found in (own._digits(), (monkeypatch.setattr(own, "find_spec", lambda _: None), own._digits())[1]):
        assert np.array_equal(found[0], wanted.images)
        assert np.array_equal(found[1], wanted.target)
