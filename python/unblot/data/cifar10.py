"""CIFAR-10 with one or more classes left out as abnormal.

The 54 000 images of nine normal classes (training and test part together) are split into 45 000 for training and 9 000
for test, which the 6 000 images of the tenth class join. Images come from PNG class folders (``root/train/<class>``,
``root/test/<class>``) where they lie, else torchvision downloads the set into ``root``.
"""

from __future__ import annotations

from pathlib import Path

from unblot.data.classes import choose_classes
from unblot.data.config import DataConfig
from unblot.data.folders import list_images
from unblot.data.items import Found, Item, Source
from unblot.errors import UserError

__all__ = ["CLASSES", "find"]

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_ALIASES = {"plane": "airplane", "car": "automobile"}


def find(config: DataConfig) -> Found:
    """All images of the chosen classes; one sixth of the normals is for testing."""
    if not config.abnormal and not config.normal:
        raise UserError(f"cifar10 needs to know which class is abnormal: --abnormal CLASS, one of {', '.join(CLASSES)}")
    normal, abnormal = choose_classes(CLASSES, config.normal, config.abnormal, aliases=_ALIASES)
    if config.root is None:
        raise UserError("cifar10 needs --root DIR: where its PNG class folders lie, or where it is to be downloaded")
    root = Path(config.root)
    label = {**dict.fromkeys(normal, 0), **dict.fromkeys(abnormal, 1)}
    pool = _from_folders(root, label) if (root / "train").is_dir() else _from_torchvision(root, label)
    notes = ["training and test part are pooled and split anew, one sixth of the normals for testing"]
    return Found("cifar10", pool, test_share=1 / 6, ungrouped="which show one object is not known", notes=notes)


def _from_folders(root: Path, label: dict[str, int]) -> list[Source]:
    pool = []
    for part in ("train", "test"):
        for kind, value in label.items():
            for path in list_images(root / part / kind):
                name = path.relative_to(root).as_posix()
                pool.append(Source(Item(name, value, kind, group=name), path))
    return pool


def _from_torchvision(root: Path, label: dict[str, int]) -> list[Source]:
    from torchvision.datasets import CIFAR10

    pool = []
    for part in ("train", "test"):
        try:
            data = CIFAR10(str(root), train=part == "train", download=True)
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"CIFAR-10 could not be downloaded into {root} ({error}). Without internet, give as --root a folder "
                "with PNG class folders train/<class> and test/<class>, as github.com/cyizhuo/CIFAR-10-dataset has them"
            ) from error
        for index, (image, target) in enumerate(zip(data.data, data.targets, strict=True)):
            kind = CLASSES[target]
            if kind in label:
                name = f"{part}/{kind}/{index:05d}"
                pool.append(Source(Item(name, label[kind], kind, group=name), image))
    return pool
