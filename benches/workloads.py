"""What is measured: batches of four sizes, corruptions of 15 % of the area, and tiles of photographs in files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional

import unblot
from unblot.corruption.presets import named
from unblot.corruption.spec import Spec

#: Shape (N, C, H, W) of a batch by the side of its images.
SIZES = {32: (128, 3, 32, 32), 128: (64, 3, 128, 128), 224: (64, 3, 224, 224), 1024: (4, 3, 1024, 1024)}

AREA = 0.15
#: One to four boxes that cover 15 % together, each with one of the four kinds.
SPEC = unblot.BoxNoise(scale=AREA)
KINDS = {
    "gaussian": unblot.BoxNoise(scale=AREA, noise=unblot.Gaussian()),
    "salt_pepper": unblot.BoxNoise(scale=AREA, noise=unblot.SaltPepper()),
    "poisson": unblot.BoxNoise(scale=AREA, noise=unblot.Poisson()),
    "laplace": unblot.BoxNoise(scale=AREA, noise=unblot.Laplace()),
}
#: The same area in one to four patches, scars or blobs, and the corruption that detectors of defects train with.
BLOTS = {
    "paste": unblot.BoxNoise(scale=AREA, noise=unblot.Paste()),
    "scar": unblot.BoxNoise(scale=AREA, noise=unblot.Gaussian(), shapes="scar"),
    "blob": unblot.BoxNoise(scale=AREA, noise=unblot.Gaussian(), shapes="blob"),
    "mixed": cast(Spec, named("mixed")),
}
DTYPES = {"float32": torch.float32, "uint8": torch.uint8, "float16": torch.float16, "bfloat16": torch.bfloat16}


def batch(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    """A batch (N, C, H, W) of random pixels; uint8 lies in memory as cameras and decoders give it, NHWC."""
    values = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    if dtype == torch.uint8:
        return (values * 255).byte().permute(0, 2, 3, 1).contiguous()
    return values.to(dtype)


def layout(images: Tensor) -> str:
    """The layout of what :func:`batch` makes."""
    return "NHWC" if images.dtype == torch.uint8 else "NCHW"


def corrupter(
    images: Tensor, spec: Spec = SPEC, *, threads: int = 1, out: Tensor | None = None
) -> Callable[[], unblot.Corrupted]:
    """A call of ``unblot.corrupt``, in place unless ``out`` is given; each call draws other boxes."""
    seeds, target, axes = count(), images if out is None else out, layout(images)
    return lambda: unblot.corrupt(images, spec, seed=next(seeds), layout=axes, out=target, threads=threads)


def copier(images: Tensor) -> Callable[[], None]:
    """``np.copyto`` of the batch into memory of its own."""
    plain = images.view(torch.int16) if images.element_size() == 2 else images
    source = plain.numpy()
    target = np.empty_like(source)
    return lambda: np.copyto(target, source)


class Tiles(Dataset[tuple[Tensor, int]]):
    """Square tiles of scikit-learn's two photographs (427 × 640), written once as files and decoded at each access.

    Args:
        folder: where the files go.
        side: side of a tile in pixels.
        suffix: ".jpg" or ".png".
        length: number of tiles, evenly spread over both photographs.
    """

    def __init__(self, folder: Path, side: int, suffix: str, length: int = 256) -> None:
        from sklearn.datasets import load_sample_images

        self.files = [folder / f"{side}-{i}{suffix}" for i in range(length)]
        for file, tile in zip(self.files, _cut(load_sample_images().images, side, length), strict=True):
            Image.fromarray(tile).save(file, quality=95)  # quality is for JPEG, PNG takes no notice

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with Image.open(self.files[index]) as image:
            return functional.pil_to_tensor(image), index


class Photographs(Dataset[tuple[Tensor, int]]):
    """scikit-learn's two photographs (640 × 427, JPEG), decoded and resized at each access, as training sets often are.

    Args:
        side: side of the square images that come out, in pixels.
        length: how often they are read in an epoch.
    """

    def __init__(self, side: int, length: int = 128) -> None:
        from sklearn.datasets import load_sample_images

        self.files = load_sample_images().filenames
        self.side = side
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with Image.open(self.files[index % len(self.files)]) as image:
            return functional.pil_to_tensor(image.resize((self.side, self.side), Image.Resampling.BILINEAR)), index


def _cut(photographs: list[Any], side: int, length: int) -> Iterator[Any]:
    rng = np.random.default_rng(0)
    for i in range(length):
        photograph = photographs[i % len(photographs)]
        y, x = (rng.integers(0, n - side + 1) for n in photograph.shape[:2])
        yield photograph[y : y + side, x : x + side]
