"""Categories of MVTec AD that repositories hold."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import PurePosixPath

from research.suite.placing import Placed, Recipe, as_it_lies
from research.suite.source import Source

__all__ = ["RECIPES"]


def _metal_nuts(source: Source) -> Iterator[Placed]:
    """Every fifth normal nut is for testing, for the repository has the normal nuts of the training part alone."""
    for i, path in enumerate(source.paths("cam/data/metal_nut/good/", ".png")):
        yield Placed(f"{'test' if i % 5 == 4 else 'train'}/good/{PurePosixPath(path).name}", source.read(path))
    for kind in ("bent", "scratch"):
        for path in source.paths(f"cam/data/metal_nut/{kind}/", ".png"):
            yield Placed(f"test/{kind}/{PurePosixPath(path).name}", source.read(path))


def _screws(source: Source) -> Iterator[Placed]:
    """As published; the repository has the defective images of all kinds in one folder."""
    for path in source.paths("data/screw/train/good/", ".png"):
        yield Placed(f"train/good/{PurePosixPath(path).name}", source.read(path))
    for path in source.paths("data/screw/test/0/", ".png"):
        yield Placed(f"test/good/{PurePosixPath(path).name}", source.read(path))
    for path in source.paths("data/screw/test/1/", ".png"):
        name = PurePosixPath(path).stem.replace("(", "-").replace(")", "")
        yield Placed(f"test/defect/{name}.png", source.read(path))


RECIPES = [
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
        partial(as_it_lies, folder="dataset/bottle"),
        "masks, which the repository does not have",
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
]
