"""Surfaces: tiles, concrete, solar cells, commutators, fabric, fibres."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from functools import partial
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from research.suite.placing import Placed, Recipe, as_it_lies, is_marked, mask_png, png
from research.suite.source import Source
from unblot.data.groups import find_groups
from unblot.data.magnetic_tile import GROUP, GROUP_GAP
from unblot.data.splits import split_by_group

__all__ = ["RECIPES"]


def _magnetic_tile(source: Source, seed: int) -> Iterator[Placed]:
    images = source.paths("MT_", ".jpg")
    kinds = [path.split("/")[0].removeprefix("MT_").lower() for path in images]
    groups = find_groups(images, GROUP, GROUP_GAP)
    bad = [kind != "free" for kind in kinds]
    test = set(split_by_group(groups, bad, held_out=0.1, test=0.2, seed=seed).test)
    for i, (path, kind, group) in enumerate(zip(images, kinds, groups, strict=True)):
        name = f"c{group.split('-')[0]}_{PurePosixPath(path).stem}"
        folder = "good" if kind == "free" else kind
        yield Placed(f"{'test' if i in test else 'train'}/{folder}/{name}.jpg", source.read(path))
        if kind != "free":
            mask = mask_png([source.read(path[:-4] + ".png")])
            yield Placed(f"ground_truth/{folder}/{name}_mask.png", mask)


def _concrete(source: Source) -> Iterator[Placed]:
    """The first 250 photographs without cracks are for training, the last 100 for testing."""
    for i, path in enumerate(source.paths("dataset/Negative/", ".jpg")):
        yield Placed(f"{'train' if i < 250 else 'test'}/good/{PurePosixPath(path).name}", source.read(path))
    for path in source.paths("dataset/Positive/", ".jpg"):
        yield Placed(f"test/crack/{PurePosixPath(path).name}", source.read(path))


# Ranges of cells; the cells of one module follow one another. Every second range is for testing.
_CELLS = [range(1, 361), range(361, 541), range(541, 721), range(721, 901), range(901, 1537), range(1555, 1795)]
_CELLS += [range(1813, 2145), range(2145, 2217), range(2217, 2625)]


def _solar_cells(source: Source) -> Iterator[Placed]:
    """Whole ranges for testing; a group is some 60 cells of a range, which is about a module."""
    for row in source.read("src/elpv_dataset/data/labels.csv").decode().split("\n"):
        if not row.strip():
            continue
        path, probability, _ = row.split()
        number, label = int(re.sub(r"\D", "", PurePosixPath(path).stem)), float(probability)
        found = [i for i, cells in enumerate(_CELLS) if number in cells]
        if not found or 0 < label < 1 or (label == 1 and not found[0] % 2):
            continue
        group = f"{found[0]}{(number - _CELLS[found[0]].start) // 60:02d}"
        part, kind = "test" if found[0] % 2 else "train", "defect" if label else "good"
        name = f"m{group}-{PurePosixPath(path).stem}"
        yield Placed(f"{part}/{kind}/{name}.png", source.read(f"src/elpv_dataset/data/{path}"))


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


_TRAINED = 0.6  # of the normal strips of each fabric
_STRIP = re.compile(r"\d{4}_\d{3}_\d{2}\.png")


def _folded(data: bytes) -> bytes:
    """A strip of 4096 x 256 pixels as four rows of 1024, one below the other."""
    strip = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    quarter = strip.shape[1] // 4
    return png(np.concatenate([strip[:, i * quarter : (i + 1) * quarter] for i in range(4)]))


def _fabric(source: Source) -> Iterator[Placed]:
    """Of each of seven fabrics the first strips without defects are for training; folded."""
    for folder in sorted({path.rpartition("/")[0] for path in source.paths("dataset/NoDefect_images/", ".png")}):
        strips = [p for p in source.paths(f"{folder}/", ".png") if _STRIP.fullmatch(PurePosixPath(p).name)]
        for i, path in enumerate(strips):
            name = f"f{PurePosixPath(path).stem[-2:]}-{PurePosixPath(path).stem}"
            part = "train" if i < round(_TRAINED * len(strips)) else "test"
            yield Placed(f"{part}/good/{name}.png", _folded(source.read(path)))
    for path in source.paths("dataset/Defect_images/", ".png"):
        stem = PurePosixPath(path).stem
        masks = source.paths(f"dataset/Mask_images/{stem}_mask", ".png")
        if not masks or not _STRIP.fullmatch(f"{stem}.png"):
            continue
        name = f"f{stem[-2:]}-{stem}"
        yield Placed(f"test/defect/{name}.png", _folded(source.read(path)))
        yield Placed(f"ground_truth/defect/{name}_mask.png", _folded(mask_png([source.read(m) for m in masks])))


_TILES = "captures (numbers within 200 joined) by the library's own draw, a fifth of the normal images and all defects"

RECIPES = [
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
    Recipe(
        "concrete",
        "concrete with and without cracks",
        "Smalleaves123/CrackCV",
        "66b19abb5d28d764d39f1d5a0b678fb793bbbed9",
        "the last 100 photographs without cracks and all with cracks for testing",
        _concrete,
    ),
    Recipe(
        "solar-cells",
        "electroluminescence images of solar cells",
        "zae-bayern/elpv-dataset",
        "411fd729dad19511883306aa85e52f1962cba581",
        "cells 361-540, 721-900, 1555-1794, 2145-2216 for testing, which are whole modules, more or less",
        _solar_cells,
        "cells of uncertain label, 18 cells on either side of the third range",
        r"m(\d+)-",
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
        "fabric",
        "seven fabrics of AITEX, strips folded to 1024 x 1024",
        "sadanalog/defect-detection-using-cnn",
        "2dc12b16fdd1447bf8d2b5db1c46e8abe9a531bb",
        "of each fabric the first 60 % of the strips without defects for training, so each fabric is on both sides",
        _fabric,
        "images without a mask or with a name of another form",
    ),
    Recipe(
        "fibres",
        "automated fibre placement",
        "idinyte/SimpleNet_SDU",
        "fe0b8eaab10f81b70d819a390295266333700e17",
        "as the repository has it, in a folder called toothbrush after the code that it was made for",
        partial(as_it_lies, folder="dataset/toothbrush"),
    ),
]
