"""What a user would otherwise take: each does the nearest job it can, and says here what it leaves out.

All cover 15 % of each image, as ``workloads.SPEC`` does. But for the vectorised torch form, none keeps boxes apart or
tells where they lie; none comes out the same in another batch. The two torch forms make all four noise kinds; the
others do less.
"""

from __future__ import annotations

import importlib.util
import math
import os
import random
from collections.abc import Callable
from itertools import count
from typing import NamedTuple

import torch
from benches.workloads import AREA, SPEC, batch
from torch import Tensor

RATIO = (0.3, 3.3)
_LOG_RATIO = (math.log(RATIO[0]), math.log(RATIO[1]))


def torch_loop(images: Tensor) -> Callable[[], None]:
    """Pure torch as one writes it first: a Python loop over images and boxes, one of four noise kinds each, in place.

    Left out: boxes may overlap, which makes less of the area and less work.
    """

    def work() -> None:
        for image in images:
            _blot(image)

    return work


def _blot(image: Tensor) -> None:
    """Blot one image (C, H, W) with values in [0, 1]."""
    _, height, width = image.shape
    cuts = sorted(random.random() for _ in range(random.randint(0, 3)))
    for start, end in zip([0.0, *cuts], [*cuts, 1.0], strict=True):
        area = AREA * height * width * (end - start)
        ratio = math.exp(random.uniform(*_LOG_RATIO))
        h = min(max(round(math.sqrt(area * ratio)), 1), height)
        w = min(max(round(area / h), 1), width)
        y, x = random.randint(0, height - h), random.randint(0, width - w)
        box = image[:, y : y + h, x : x + w]
        kind = random.randrange(4)
        if kind == 0:
            box.copy_((0.5 + 0.2 * torch.randn(box.shape)).clamp_(0, 1))
        elif kind == 1:
            u = torch.rand(1, h, w)
            box.copy_(torch.where(u < 0.25, 1.0, torch.where(u < 0.5, 0.0, 0.5)))
        elif kind == 2:
            box.copy_((torch.poisson(torch.full(box.shape, 15.0)) / 30).clamp_(0, 1))
        else:
            size = torch.empty(box.shape).exponential_() - torch.empty(box.shape).exponential_()
            box.copy_((0.5 + 0.15 * size).clamp_(0, 1))


def torch_vectorised(images: Tensor) -> Callable[[], object]:
    """Pure torch without a loop: all pixels of all boxes as one list (``unblot.corruption.backends.torch``), in place.

    Same boxes as the core, drawn by it; nothing left out but the same bits in any batch.
    """
    from unblot.corruption.backends.torch import corrupt_torch

    seeds = count()
    return lambda: corrupt_torch(images, SPEC, seed=next(seeds), out=images)


def torchvision_erasing(images: Tensor) -> Callable[[], None]:
    """torchvision v2 ``RandomErasing(value="random")``, in place, image by image: a batch would get one box for all.

    Left out: one box an image, standard normal noise alone, neither clipped nor scaled.
    """
    from torchvision.transforms import v2

    erase = v2.RandomErasing(p=1.0, scale=(AREA, AREA), ratio=RATIO, value="random", inplace=True)

    def work() -> None:
        for image in images:
            erase(image)

    return work


def kornia_erasing(images: Tensor) -> Callable[[], object]:
    """kornia ``RandomErasing(value=0.5)`` on the whole batch, out of place: it has no other way.

    Left out: one box an image, a constant instead of noise.
    """
    from kornia.augmentation import RandomErasing

    erase = RandomErasing(scale=(AREA, AREA), ratio=RATIO, value=0.5, p=1.0)
    return lambda: erase(images)


def albumentations_erasing(images: Tensor) -> Callable[[], object]:
    """albumentations ``Erasing(fill="random")`` on uint8 HWC, a Python loop over images, each result a new array.

    Left out: one box an image, uniform noise alone.
    """
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # it would ask the internet for its newest version
    from albumentations import Erasing

    erase = Erasing(scale=(AREA, AREA), ratio=RATIO, fill="random", p=1.0)
    pixels = list(images.numpy())
    return lambda: [erase(image=image)["image"] for image in pixels]


def albumentations_dropout(images: Tensor) -> Callable[[], object]:
    """albumentations ``CoarseDropout(fill="random")`` on uint8 HWC, image by image: one to four boxes.

    Left out: uniform noise alone; boxes of varying sides that may overlap, so that 15 % holds on average at most.
    """
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    from albumentations import CoarseDropout

    # 2.5 boxes on average, each with 6 % of the area.
    side = math.sqrt(AREA / 2.5)
    sides = (0.5 * side, 1.5 * side)
    drop = CoarseDropout(num_holes_range=(1, 4), hole_height_range=sides, hole_width_range=sides, fill="random", p=1.0)
    pixels = list(images.numpy())
    return lambda: [drop(image=image)["image"] for image in pixels]


class Peer(NamedTuple):
    """One way to do the job.

    Attributes:
        name: as it stands in tables.
        module: the package that it needs.
        prepare: takes a batch, float32 NCHW or uint8 NHWC, and returns what is timed.
        dtype: pixel type that it is measured with.
    """

    name: str
    module: str
    prepare: Callable[[Tensor], Callable[[], object]]
    dtype: torch.dtype = torch.float32

    @property
    def installed(self) -> bool:
        """Whether the package is there."""
        return importlib.util.find_spec(self.module) is not None

    @property
    def says(self) -> str:
        """What it does and what it leaves out, in one line."""
        return " ".join((self.prepare.__doc__ or "").split())

    def on(self, shape: tuple[int, ...]) -> Callable[[], object]:
        """What is timed, on a batch of this shape."""
        return self.prepare(batch(shape, self.dtype))


PEERS = (
    Peer("torch, loop over boxes", "torch", torch_loop),
    Peer("torch, vectorised", "torch", torch_vectorised),
    Peer("torchvision RandomErasing", "torchvision", torchvision_erasing),
    Peer("kornia RandomErasing", "kornia", kornia_erasing),
    Peer("albumentations Erasing", "albumentations", albumentations_erasing, torch.uint8),
    Peer("albumentations CoarseDropout", "albumentations", albumentations_dropout, torch.uint8),
)
