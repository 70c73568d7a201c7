"""Parts: ball screws, castings, coffee capsules, pills."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from research.suite.placing import Placed, Recipe, spread
from research.suite.source import Source

__all__ = ["RECIPES"]


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


def _castings(source: Source) -> Iterator[Placed]:
    """As published, at even distances; the publisher's turned and mirrored copies of one part lie on both sides."""
    trained: set[bytes] = set()
    for part, kind, limit in (("train", "ok", 500), ("test", "ok", 200), ("test", "def", 250)):
        for path in spread(source.paths(f"data/{part}/{kind}_front/", ".jpeg"), limit):
            data = source.read(path)
            if part == "train":
                trained.add(data)
            elif data in trained:
                continue
            folder = "good" if kind == "ok" else "defect"
            yield Placed(f"{part}/{folder}/{PurePosixPath(path).name}", data)


def _capsules(source: Source) -> Iterator[Placed]:
    """As the repository divides them; its part for calibration is left out."""
    folder = "3-ObjectDetection/Data/Crops"
    for part, kind in (("train", "good"), ("test", "good"), ("test", "bad")):
        for path in source.paths(f"{folder}/{part}/{kind}/", ".png"):
            yield Placed(f"{part}/{kind}/{PurePosixPath(path).name}", source.read(path))


def _small_pills(source: Source) -> Iterator[Placed]:
    """Every third normal pill is for testing, and 25 of each kind of defect."""
    folder = "3-DefectDetectionAndClassification/Images_PillDataset/images_128"
    for i, path in enumerate(source.paths(f"{folder}/normal/", ".jpg")):
        yield Placed(f"{'test' if i % 3 == 2 else 'train'}/good/{PurePosixPath(path).name}", source.read(path))
    for kind in ("chip", "dirt", "discoloration", "text"):
        for path in spread(source.paths(f"{folder}/{kind}/", ".jpg"), 25):
            yield Placed(f"test/{kind}/{PurePosixPath(path).name}", source.read(path))


_WORKSHOP = "mathworks/AI-Workshop-for-Visual-Inspection"

RECIPES = [
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
        "castings",
        "cast impellers, 300 px",
        "nathanlfischer/casting-defect",
        "816824e3892855833ecafb5720ef22dc889afada",
        "as published, which has turned copies of one part on both sides",
        _castings,
        "all but 500 training images, 200 normal and 250 defective test images; test images that are training images",
    ),
    Recipe(
        "capsules",
        "coffee capsules, 256 px",
        _WORKSHOP,
        "c1123760a9fe35f10740be9f8d7fbfda7f77d867",
        "as the repository divides them",
        _capsules,
        "the part for calibration",
    ),
    Recipe(
        "small-pills",
        "white pills, 128 px",
        _WORKSHOP,
        "5f333fcc3c95e3b4f7f7bf8e66c15cafc9cd6bee",
        "every third normal image and 25 of each kind of defect for testing",
        _small_pills,
        "all but 25 images of each kind of defect, at even distances",
    ),
]
