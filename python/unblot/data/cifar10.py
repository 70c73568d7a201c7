"""CIFAR-10 with one or more classes left out as abnormal.

The 54 000 images of nine normal classes (training and test part together) are split into 45 000 for training and 9 000
for test, which the 6 000 images of the tenth class join. Images come from PNG class folders (``root/train/<class>``,
``root/test/<class>``) where they lie, else torchvision downloads the set into ``root``.
"""

from __future__ import annotations

from pathlib import Path

from unblot.data.classes import found_classes, leave_out, sources_of_arrays
from unblot.data.config import DataConfig
from unblot.data.items import Found, Item, Source
from unblot.data.listing import list_images
from unblot.errors import UserError

__all__ = ["CLASSES", "find"]

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_ALIASES = {"plane": "airplane", "car": "automobile"}
_ROOT = "where its PNG class folders lie, or where it is to be downloaded"


def find(config: DataConfig) -> Found:
    """All images of the chosen classes; one sixth of the normals is for testing."""
    root, label = leave_out(config, CLASSES, aliases=_ALIASES, root=_ROOT)
    return found_classes(
        "cifar10", _from_folders(root, label) if (root / "train").is_dir() else _from_torchvision(root, label)
    )


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
        pool += sources_of_arrays(part, data.data, data.targets, CLASSES, label)
    return pool
