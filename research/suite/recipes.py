"""One recipe for each set: where it comes from, what is dropped, how it is divided."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath

import numpy as np

from research.suite.placing import Placed, Recipe, is_marked, mask_png, png, smaller, spread
from research.suite.source import Source
from unblot.data.groups import find_groups
from unblot.data.magnetic_tile import GROUP, GROUP_GAP
from unblot.data.splits import split_by_group

__all__ = ["RECIPES"]


def _divide(groups: list[str], bad: list[bool], test: float, seed: int) -> set[int]:
    """Positions of the test images, by the library's own rule: no group stands on both sides."""
    return set(split_by_group(groups, bad, held_out=0.1, test=test, seed=seed).test)


def _magnetic_tile(source: Source, seed: int) -> Iterator[Placed]:
    images = source.paths("MT_", ".jpg")
    kinds = [path.split("/")[0].removeprefix("MT_").lower() for path in images]
    groups = find_groups(images, GROUP, GROUP_GAP)
    test = _divide(groups, [kind != "free" for kind in kinds], 0.2, seed)
    for i, (path, kind, group) in enumerate(zip(images, kinds, groups, strict=True)):
        name = f"c{group.split('-')[0]}_{PurePosixPath(path).stem}"
        folder = "good" if kind == "free" else kind
        yield Placed(f"{'test' if i in test else 'train'}/{folder}/{name}.jpg", source.read(path))
        if kind != "free":
            mask = mask_png([source.read(path[:-4] + ".png")])
            yield Placed(f"ground_truth/{folder}/{name}_mask.png", mask)


def _pairs(source: Source) -> list[str]:
    """Crops without defects of which the same crop with defects is there, too."""
    defective = set(source.paths("PCBData/", "_test.jpg"))
    return [path for path in source.paths("PCBData/", "_temp.jpg") if path.replace("_temp", "_test") in defective]


def _boards(source: Source, tested: tuple[str, ...]) -> Iterator[Placed]:
    """Whole boards for testing: at most 45 crops of each, with and without defects; at most 120 crops of the others."""
    crops: dict[str, list[str]] = defaultdict(list)
    for path in _pairs(source):
        crops[path.split("/")[-2]].append(path)
    for board, paths in crops.items():
        for path in spread(paths, 45 if board in tested else 120):
            name = f"b{board}-{PurePosixPath(path).name.removeprefix(board)[:3]}"
            yield Placed(f"{'test' if board in tested else 'train'}/good/{name}.jpg", source.read(path))
            if board in tested:
                yield Placed(f"test/defect/{name}.jpg", source.read(path.replace("_temp", "_test")))


def _board_crops(source: Source) -> Iterator[Placed]:
    """Every eighth block of ten crops for testing; 180 crops of them, with and without defects."""
    blocks: dict[str, list[str]] = defaultdict(list)
    for path in _pairs(source):
        board, number = path.split("/")[-2], PurePosixPath(path).name[5:8]
        blocks[f"b{board}-{number[:2]}"].append(path)
    test = [path for block in sorted(blocks)[3::8] for path in blocks[block]]
    kept = spread(test, 180)
    for block, paths in blocks.items():
        for path in paths:
            name = f"{block}-{PurePosixPath(path).name[7]}"
            if path not in test:
                yield Placed(f"train/good/{name}.jpg", source.read(path))
            elif path in kept:
                yield Placed(f"test/good/{name}.jpg", source.read(path))
                yield Placed(f"test/defect/{name}.jpg", source.read(path.replace("_temp", "_test")))


def _solar_cells(source: Source) -> Iterator[Placed]:
    """Cells come in the order of their modules, so whole ranges are for testing."""
    table = source.read("src/elpv_dataset/data/labels.csv").decode().split("\n")
    for row in table:
        if not row.strip():
            continue
        path, probability, _ = row.split()
        number = int(re.sub(r"\D", "", PurePosixPath(path).stem))
        label = float(probability)
        test = any(low <= number <= high for low, high in ((361, 540), (721, 900), (1555, 1794), (2145, 2216)))
        near = 1555 - 18 <= number < 1555 or 1794 < number <= 1794 + 18
        if 0 < label < 1 or near or (label == 1 and not test):
            continue
        kind = "good" if label == 0 else "defect"
        name = f"m{number // 60:02d}-{PurePosixPath(path).stem}"
        yield Placed(f"{'test' if test else 'train'}/{kind}/{name}.png", source.read(f"src/elpv_dataset/data/{path}"))


def _fashion(source: Source, normal: int) -> Iterator[Placed]:
    """One class is normal: 600 of its training images; 200 of its test images and 33 of each other class."""
    for part, limit, others in (("train", 600, 0), ("test", 200, 33)):
        for kind in range(10):
            folder = "good" if kind == normal else str(kind)
            paths = source.paths(f"fashion_mnist_images/{part}/{kind}/", ".png")
            for path in spread(paths, limit if kind == normal else others):
                yield Placed(f"{part}/{folder}/{PurePosixPath(path).name}", source.read(path))


def _cifar(source: Source, normal: str) -> Iterator[Placed]:
    """One class is normal: 600 of its training images; 200 of its test images and 33 of each other class."""
    for part, limit, others in (("train", 600, 0), ("test", 200, 33)):
        kinds: dict[str, list[str]] = defaultdict(list)
        for path in source.paths(f"{part}/", ".png"):
            kinds[path.split("/")[1]].append(path)
        for kind, paths in kinds.items():
            folder = "good" if kind == normal else kind
            for path in spread(paths, limit if kind == normal else others):
                yield Placed(f"{part}/{folder}/{PurePosixPath(path).name}", source.read(path))


def _digits(source: Source, normal: int) -> Iterator[Placed]:
    """scikit-learn's digits, 8 x 8: every third image of the normal digit and 20 of each other are for testing."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images, labels = (found.images * 255 / 16).round().astype(np.uint8), found.target
    for digit in range(10):
        where = np.flatnonzero(labels == digit).tolist()
        if digit == normal:
            for n, i in enumerate(where):
                yield Placed(f"{'test' if n % 3 == 2 else 'train'}/good/{i:04d}.png", png(images[i]))
        else:
            for i in spread(where, 20):
                yield Placed(f"test/{digit}/{i:04d}.png", png(images[i]))


def _concrete(source: Source) -> Iterator[Placed]:
    """The first 250 photographs without cracks are for training, the last 100 for testing."""
    for i, path in enumerate(source.paths("dataset/Negative/", ".jpg")):
        yield Placed(f"{'train' if i < 250 else 'test'}/good/{PurePosixPath(path).name}", source.read(path))
    for path in source.paths("dataset/Positive/", ".jpg"):
        yield Placed(f"test/crack/{PurePosixPath(path).name}", source.read(path))


def _commutators(source: Source) -> Iterator[Placed]:
    """Commutators 1 to 28 for training, the others for testing; an image that was there before is left out."""
    seen: set[bytes] = set()
    for path in source.paths("data/kos", ".jpg"):
        part, number = path.split("/")[1], int(path.split("/")[1].removeprefix("kos"))
        label = source.read(path[:-4] + "_label.bmp")
        data, mask = source.read(path), mask_png([label])
        if data in seen:
            continue
        seen.add(data)
        name, bad = f"{part}-{PurePosixPath(path).stem}", is_marked(mask)
        if number > 28 or not bad:
            kind = "defect" if bad else "good"
            yield Placed(f"{'test' if number > 28 else 'train'}/{kind}/{name}.jpg", data)
            if bad:
                yield Placed(f"ground_truth/defect/{name}_mask.png", mask)


def _castings(source: Source) -> Iterator[Placed]:
    """As published, at even distances; the publisher's turned and mirrored copies of one part lie on both sides."""
    for part, kind, limit in (("train", "ok", 500), ("test", "ok", 200), ("test", "def", 250)):
        for path in spread(source.paths(f"data/{part}/{kind}_front/", ".jpeg"), limit):
            folder = "good" if kind == "ok" else "defect"
            yield Placed(f"{part}/{folder}/{PurePosixPath(path).name}", source.read(path))


_SPINDLE = re.compile(r"data/01_(\d{12})_(\d{6})_(\d{3})_crop_2\.jpg")
_SPINDLE_TEST = ("277500_315", "395000_270", "462500_045", "490000_180", "585000_090", "635000_270")


def _ball_screws(source: Source) -> Iterator[Placed]:
    """Whole places on the spindle for testing; pitting is known by its label file."""
    pitted = {PurePosixPath(path).stem for path in source.paths("label/", ".json")}
    for path in source.paths("data/", ".jpg"):
        if not (found := _SPINDLE.fullmatch(path)):
            continue
        time, position, angle = found.groups()
        test, bad = f"{position}_{angle}" in _SPINDLE_TEST, PurePosixPath(path).stem in pitted
        if test or not bad:
            name = f"p{position}-{angle}-{time}"
            yield Placed(f"{'test' if test else 'train'}/{'pitting' if bad else 'good'}/{name}.jpg", source.read(path))


def _mvtec(source: Source, folder: str) -> Iterator[Placed]:
    """A category of MVTec AD as published, with its masks where the repository has them."""
    for path in source.paths(f"{folder}/", ".png"):
        yield Placed(path.removeprefix(f"{folder}/"), source.read(path))


def _metal_nuts(source: Source) -> Iterator[Placed]:
    """Every fifth normal nut is for testing, for the repository has the normal nuts of the training part alone."""
    for i, path in enumerate(source.paths("cam/data/metal_nut/good/", ".png")):
        yield Placed(f"{'test' if i % 5 == 4 else 'train'}/good/{PurePosixPath(path).name}", source.read(path))
    for kind in ("bent", "scratch"):
        for path in source.paths(f"cam/data/metal_nut/{kind}/", ".png"):
            yield Placed(f"test/{kind}/{PurePosixPath(path).name}", source.read(path))


def _small_pills(source: Source) -> Iterator[Placed]:
    """Every third normal pill is for testing, and 25 of each kind of defect."""
    folder = "3-DefectDetectionAndClassification/Images_PillDataset/images_128"
    for i, path in enumerate(source.paths(f"{folder}/normal/", ".jpg")):
        yield Placed(f"{'test' if i % 3 == 2 else 'train'}/good/{PurePosixPath(path).name}", source.read(path))
    for kind in ("chip", "dirt", "discoloration", "text"):
        for path in spread(source.paths(f"{folder}/{kind}/", ".jpg"), 25):
            yield Placed(f"test/{kind}/{PurePosixPath(path).name}", source.read(path))


def _capsules(source: Source) -> Iterator[Placed]:
    """As the repository divides them; its part for calibration is left out."""
    folder = "3-ObjectDetection/Data/Crops"
    for part, kind in (("train", "good"), ("test", "good"), ("test", "bad")):
        for path in source.paths(f"{folder}/{part}/{kind}/", ".png"):
            yield Placed(f"{part}/{kind}/{PurePosixPath(path).name}", source.read(path))


def _bridges(source: Source) -> Iterator[Placed]:
    """Patches of 16 x 16 pixels: 600 for training, 200 without and 200 with a crack for testing."""
    folder = "Bridge_Crack_Image/DBCC_Training_Data_Set"
    for part, kind, limit in (("train", "no", 600), ("val", "no", 200), ("val", "crack", 200)):
        for path in spread(source.paths(f"{folder}/{part}/{kind}", ".jpeg"), limit):
            place = "train/good" if part == "train" else "test/good" if kind == "no" else "test/crack"
            yield Placed(f"{place}/{PurePosixPath(path).name}", source.read(path))


def _thermal(source: Source) -> Iterator[Placed]:
    """Frames of 32 x 24 temperatures in the order of their recording; 15 to 40 degrees become 0 to 255."""
    for kind in ("empty", "person"):
        rows = source.read(f"dataset/{kind}/data_{kind}.csv").decode().split()
        for i, row in enumerate(rows):
            frame = np.array(row.strip(",").split(","), float).reshape(24, 32)
            pixels = ((frame - 15) * (255 / 25)).round().clip(0, 255).astype(np.uint8)
            if kind == "empty":
                part = "train" if i < 150 else "test"
                yield Placed(f"{part}/good/t{i // 10:02d}-{i:03d}.png", png(pixels))
            else:
                yield Placed(f"test/person/t{i // 10:02d}-{i:03d}.png", png(pixels))


def _screws(source: Source) -> Iterator[Placed]:
    """As published; the repository has the defective images of all kinds in one folder."""
    for path in source.paths("data/screw/train/good/", ".png"):
        yield Placed(f"train/good/{PurePosixPath(path).name}", source.read(path))
    for path in source.paths("data/screw/test/0/", ".png"):
        yield Placed(f"test/good/{PurePosixPath(path).name}", source.read(path))
    for path in source.paths("data/screw/test/1/", ".png"):
        name = PurePosixPath(path).stem.replace("(", "-").replace(")", "")
        yield Placed(f"test/defect/{name}.png", source.read(path))


_TILES = "captures (numbers within 200 joined) by the library's own draw, a fifth of the normal images and all defects"
_DEEPPCB = ("tangsanli5201/DeepPCB", "08e98c4db5922613fb97176eb3d6497d48260cb1")
_ELPV = ("zae-bayern/elpv-dataset", "411fd729dad19511883306aa85e52f1962cba581")
_FASHION = ("Sentdex/nnfs_book", "6c459c9ebadcccb2b4967da1cce1b57ed32e2791")
_CIFAR = ("cyizhuo/CIFAR-10-dataset", "a828d74fc38cd82a82ecfdeca6522873baf96efa")
_BOARD = r"b(\d{5})-"

_ALL = [
    *(
        Recipe(
            f"magnetic-tile-{seed}",
            "magnetic tiles",
            "abin24/Magnetic-tile-defect-datasets.",
            "cc4eb530b57b9cb7225bf76023873043ffd50655",
            f"{_TILES}, seed {seed}, are for testing",
            partial(_magnetic_tile, seed=seed),
            group=r"c(\d+)_",
        )
        for seed in range(3)
    ),
    *(
        Recipe(
            f"boards-{name}",
            "bare circuit boards",
            *_DEEPPCB,
            f"by board: {', '.join(tested)} for testing, the seven others for training",
            partial(_boards, tested=tested),
            "all but 120 crops of a training board and 45 of a test board, at even distances",
            _BOARD,
        )
        for name, tested in (
            ("a", ("12000", "12300", "44000", "92000")),
            ("b", ("00041", "50600", "77000", "90100")),
            ("c", ("12100", "13000", "20085", "50600")),
        )
    ),
    Recipe(
        "boards-crops",
        "bare circuit boards",
        *_DEEPPCB,
        "every eighth block of ten crops for testing, so each board is on both sides",
        _board_crops,
        "all but 180 test crops",
        r"(b\d{5}-\d\d)-",
    ),
    Recipe(
        "screws",
        "screws of MVTec AD",
        "dungdao1995/SkipGanomaly-MVTECAD",
        "4bb4ee6f77e374413bd3d499225e7057692c740e",
        "as published",
        _screws,
        "masks: the repository does not say which belongs to which image",
    ),
    Recipe(
        "bottles",
        "bottles of MVTec AD",
        "andymeneguzzo/Anomaly-Detection-Bottle-MVTec-AD",
        "fbc01f2ae316091b76bb4871dd8c3058c8baa0e9",
        "as published",
        partial(_mvtec, folder="dataset/bottle"),
        "masks: the repository has none",
    ),
    Recipe(
        "concrete",
        "concrete with and without cracks",
        "Smalleaves123/CrackCV",
        "66b19abb5d28d764d39f1d5a0b678fb793bbbed9",
        "the last 100 photographs without cracks and all with cracks for testing",
        _concrete,
    ),
    Recipe(
        "fibres",
        "automated fibre placement",
        "idinyte/SimpleNet_SDU",
        "fe0b8eaab10f81b70d819a390295266333700e17",
        "as the repository has it",
        partial(_mvtec, folder="dataset/toothbrush"),
        "nothing; the folder is called toothbrush after the code that it was made for",
    ),
    Recipe(
        "ball-screws",
        "ball screws of BSData, the cut crop_2",
        "2Obe/BSData",
        "7204b28a621733c01cd75899ed9ea27f6ea0b9e3",
        "six places on the spindle for testing, ten for training",
        _ball_screws,
        "the other cuts; photographs with pitting of places for training",
        r"p(\d+-\d+)-",
    ),
    Recipe(
        "commutators",
        "commutators of KolektorSDD",
        "songpeixuan22/Unet-Defect-Detection-in-kolektorSSD",
        "50cf572a15d12bcd951dd2bdcbcf5356cc52d6bd",
        "commutators 1 to 28 for training, the others for testing",
        _commutators,
        "repeated images; defective images of the commutators for training",
        r"(kos\d+)-",
    ),
    Recipe(
        "castings",
        "cast impellers, 300 px",
        "nathanlfischer/casting-defect",
        "816824e3892855833ecafb5720ef22dc889afada",
        "as published, which has turned copies of one part on both sides",
        _castings,
        "all but 500 training images, 200 normal and 250 defective test images, at even distances",
    ),
    Recipe(
        "metal-nuts",
        "metal nuts of MVTec AD",
        "stefan-bergstein/manuela-visual-inspection",
        "0ffaf9cb2ecffb07179be12be7ec4c7178655344",
        "every fifth normal image and all defects for testing",
        _metal_nuts,
        "masks, colours and flips, which the repository does not have",
    ),
    Recipe(
        "small-pills",
        "white pills with a printed word, 128 px",
        "mathworks/AI-Workshop-for-Visual-Inspection",
        "5f333fcc3c95e3b4f7f7bf8e66c15cafc9cd6bee",
        "every third normal image and 25 of each kind of defect for testing",
        _small_pills,
        "all but 25 images of each kind of defect, at even distances",
    ),
    Recipe(
        "capsules",
        "coffee capsules, 256 px",
        "mathworks/AI-Workshop-for-Visual-Inspection",
        "c1123760a9fe35f10740be9f8d7fbfda7f77d867",
        "as the repository divides them",
        _capsules,
        "the part for calibration",
    ),
    Recipe(
        "bridge-cracks",
        "concrete of bridges, 16 px",
        "Charmve/Surface-Defect-Detection",
        "d46cc89217df5c3c4a02e899dc6efb145ab95dea",
        "as published",
        _bridges,
        "all but 600, 200 and 200 patches, at even distances",
    ),
    Recipe(
        "thermal",
        "rooms with and without a person, a thermal sensor of 32 x 24",
        "xjtluk/Embedded-Thermal-Based-Human-Presence-DetectionPresence-Detection",
        "45bfc175057773c5d3c92f082637a56f62630b05",
        "the last 70 frames of empty rooms and all with a person for testing",
        _thermal,
        group=r"(t\d+)-",
    ),
    Recipe(
        "solar-cells",
        "electroluminescence images of solar cells",
        *_ELPV,
        "cells 361-540, 721-900, 1555-1794, 2145-2216 (whole modules, more or less) for testing",
        _solar_cells,
        "cells of uncertain label, 18 cells on either side of the third range",
        r"m(\d+)-",
    ),
    *(
        Recipe(
            f"fashion-{name}",
            f"Fashion-MNIST, {name} is normal",
            *_FASHION,
            "as published",
            partial(_fashion, normal=normal),
            "all but 600 training images, 200 normal test images and 33 of each other class, at even distances",
        )
        for normal, name in ((7, "sneaker"), (6, "shirt"))
    ),
    *(
        Recipe(
            f"cifar-{normal}",
            f"CIFAR-10, {normal} is normal",
            *_CIFAR,
            "as published",
            partial(_cifar, normal=normal),
            "all but 600 training images, 200 normal test images and 33 of each other class, at even distances",
        )
        for normal in ("automobile",)
    ),
    *(
        Recipe(
            f"digits-{normal}",
            f"scikit-learn's digits, {normal} is normal",
            "",
            "",
            "every third image of the normal digit and 20 of each other for testing",
            partial(_digits, normal=normal),
        )
        for normal in (3, 8)
    ),
]


def _reduced(name: str, side: int) -> Recipe:
    whole = next(recipe for recipe in _ALL if recipe.name == name)
    return replace(
        whole,
        name=f"{name}-at-{side}",
        title=f"{whole.title}, longer side reduced to {side} px",
        place=lambda source: smaller(whole.place(source), side),
    )


_SMALL = [
    _reduced("magnetic-tile-0", 96),
    _reduced("solar-cells", 96),
    _reduced("castings", 64),
    _reduced("bottles", 64),
    _reduced("capsules", 128),
    _reduced("commutators", 128),
]

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (*_ALL, *_SMALL)}
