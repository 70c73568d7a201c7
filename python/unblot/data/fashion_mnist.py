"""Fashion-MNIST (70 000 grayscale images of 28 x 28, ten classes) with one or more classes left out as abnormal.

Split as CIFAR-10 is: the images of the normal classes, training and test part together, five to one. The four files
``{train,t10k}-{images-idx3,labels-idx1}-ubyte``, packed (``.gz``) or not, are looked for in ``root``, ``root/raw`` and
``root/FashionMNIST/raw``: so lie those of Debian's package ``dataset-fashion-mnist`` (in
/usr/share/datasets/fashion-mnist), of github.com/zalandoresearch/fashion-mnist (in data/fashion) and of torchvision.
Where they do not lie, torchvision downloads them into ``root``.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unblot.data.classes import found_classes, leave_out, sources_of_arrays
from unblot.data.config import DataConfig
from unblot.data.items import Found
from unblot.errors import UserError

__all__ = ["CLASSES", "find"]

CLASSES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle-boot",
)
_ALIASES = {"tshirt": "t-shirt", "t-shirt/top": "t-shirt", "boot": "ankle-boot", "ankle boot": "ankle-boot"}
_ROOT = "the folder that holds its four files, such as train-images-idx3-ubyte.gz, or where they are to be downloaded"
_PARTS = {"train": "train", "test": "t10k"}
_KINDS = {"images": (3, "images-idx3-ubyte"), "labels": (1, "labels-idx1-ubyte")}


def find(config: DataConfig) -> Found:
    """All images of the chosen classes; one sixth of the normals is for testing."""
    root, label = leave_out(config, CLASSES, aliases=_ALIASES, root=_ROOT)
    folder = _folder(root) or _download(root)
    pool = []
    for part, prefix in _PARTS.items():
        images, targets = (_read_idx(_file(folder, prefix, kind), _KINDS[kind][0]) for kind in _KINDS)
        if len(images) != len(targets) or targets.max(initial=0) >= len(CLASSES):
            raise UserError(
                f"{folder} does not hold Fashion-MNIST: {len(images)} images and {len(targets)} labels, the largest "
                f"{targets.max(initial=0)}, in its part {prefix!r}; get the four files again"
            )
        pool += sources_of_arrays(part, images, targets, CLASSES, label)
    return found_classes("fashion-mnist", pool)


def _folder(root: Path) -> Path | None:
    """Where all four files lie, if they do."""
    wanted = [(prefix, kind) for prefix in _PARTS.values() for kind in _KINDS]
    for folder in (root, root / "raw", root / "FashionMNIST" / "raw"):
        if all(any(path.is_file() for path in _names(folder, *one)) for one in wanted):
            return folder
    return None


def _names(folder: Path, prefix: str, kind: str) -> list[Path]:
    name = f"{prefix}-{_KINDS[kind][1]}"
    return [folder / name, folder / f"{name}.gz"]


def _file(folder: Path, prefix: str, kind: str) -> Path:
    return next(path for path in _names(folder, prefix, kind) if path.is_file())


def _download(root: Path) -> Path:
    from torchvision.datasets import FashionMNIST

    try:
        FashionMNIST(str(root), download=True)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"Fashion-MNIST is not in {root} and could not be downloaded into it ({error}). Without internet, give as "
            "--root the folder that holds the four files *-ubyte.gz: Debian's package dataset-fashion-mnist puts them "
            "into /usr/share/datasets/fashion-mnist, github.com/zalandoresearch/fashion-mnist has them in data/fashion"
        ) from error
    return root / "FashionMNIST" / "raw"


def _read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """An array of bytes in the idx format: 0, 0, 8 (for uint8), the number of dimensions, each as a big-endian uint32.

    Read here and not by torchvision, which knows the files only below FashionMNIST/raw and unpacks them on the disk.

    Raises:
        UserError: the file cannot be read or is cut short.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        start = 4 + 4 * dimensions
        if data[:4] != bytes((0, 0, 8, dimensions)) or len(data) < start:
            raise ValueError(f"its first bytes are {data[:4]!r}")
        return np.frombuffer(data, np.uint8, offset=start).reshape(np.frombuffer(data, ">u4", dimensions, 4))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(f"{path} is no idx file of {dimensions} dimensions ({error}); get the file again") from error
