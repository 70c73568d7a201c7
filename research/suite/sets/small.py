"""Sets of small images: digits, clothes, cars, patches of concrete, thermal frames."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from research.suite.placing import Placed, Recipe, png, spread
from research.suite.source import Source

__all__ = ["RECIPES"]


def _images_of_digits() -> tuple[NDArray[np.uint8], list[int]]:
    from sklearn.datasets import load_digits

    found = load_digits()
    return (found.images * (255 / 16)).round().astype(np.uint8), found.target.tolist()


def _digits(_: Source, normal: int) -> Iterator[Placed]:
    """Every third image of the normal digit and 20 of each other are for testing."""
    images, labels = _images_of_digits()
    for digit in range(10):
        where = [i for i, label in enumerate(labels) if label == digit]
        if digit == normal:
            for n, i in enumerate(where):
                yield Placed(f"{'test' if n % 3 == 2 else 'train'}/good/{i:04d}.png", png(images[i]))
        else:
            for i in spread(where, 20):
                yield Placed(f"test/{digit}/{i:04d}.png", png(images[i]))


def _digits_without_0(_: Source) -> Iterator[Placed]:
    """Every fifth image of the digits 1 to 9 and all zeros are for testing, as of the built-in set ``digits``."""
    images, labels = _images_of_digits()
    for i, label in enumerate(labels):
        place = "test/0" if label == 0 else "test/good" if i % 5 == 4 else "train/good"
        yield Placed(f"{place}/{label}-{i:04d}.png", png(images[i]))


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
                yield Placed(f"test/person/p{i // 10:02d}-{i:03d}.png", png(pixels))


_FEWER = "all but 600 training images, 200 normal test images and 33 of each other class, at even distances"

RECIPES = [
    Recipe(
        "digits-without-0",
        "scikit-learn's digits, 8 px, all but 0 are normal",
        "",
        "",
        "every fifth image of the digits 1 to 9 and all zeros for testing",
        _digits_without_0,
    ),
    *(
        Recipe(
            f"digits-{normal}",
            f"scikit-learn's digits, 8 px, {normal} is normal",
            "",
            "",
            "every third image of the normal digit and 20 of each other for testing",
            partial(_digits, normal=normal),
        )
        for normal in (3, 8)
    ),
    *(
        Recipe(
            f"fashion-{name}",
            f"Fashion-MNIST, 28 px, {name}s are normal",
            "Sentdex/nnfs_book",
            "6c459c9ebadcccb2b4967da1cce1b57ed32e2791",
            "as published",
            partial(_fashion, normal=normal),
            _FEWER,
        )
        for normal, name in ((7, "sneaker"), (6, "shirt"))
    ),
    Recipe(
        "cifar-automobile",
        "CIFAR-10, 32 px, automobiles are normal",
        "cyizhuo/CIFAR-10-dataset",
        "a828d74fc38cd82a82ecfdeca6522873baf96efa",
        "as published",
        partial(_cifar, normal="automobile"),
        _FEWER,
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
        group=r"([pt]\d+)-",
    ),
]
