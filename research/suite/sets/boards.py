"""Bare circuit boards of DeepPCB: binary photographs of 640 px, of each crop one with and one without defects.

The first five digits of a name are the board.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import PurePosixPath

from research.suite.placing import Placed, Recipe, spread
from research.suite.source import Source

__all__ = ["RECIPES"]


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


_DEEPPCB = ("tangsanli5201/DeepPCB", "08e98c4db5922613fb97176eb3d6497d48260cb1")
_TESTED = {
    "a": ("12000", "12300", "44000", "92000"),
    "b": ("00041", "50600", "77000", "90100"),
    "c": ("12100", "13000", "20085", "50600"),
}

RECIPES = [
    *(
        Recipe(
            f"boards-{name}",
            "bare circuit boards",
            *_DEEPPCB,
            f"by board: {', '.join(tested)} for testing, the seven others for training",
            partial(_boards, tested=tested),
            "all but 120 crops of a training board and 45 of a test board, at even distances",
            r"b(\d{5})-",
        )
        for name, tested in _TESTED.items()
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
]
