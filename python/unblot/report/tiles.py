"""Pictures of test images for the report: which images are shown, and pictures so small that the page stays small.

A page of 1 000 images is to stay below 10 MB. Pictures are stored as bytes inside the page, which makes four thirds of
them, so all pictures together get 6 MB. They are tried without loss first, then with less and less quality until they
fit: small images (CIFAR-10's 32 × 32) usually stay exact, photographs become the thumbnails that such a page can hold.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

__all__ = [
    "BUDGET",
    "LEVELS",
    "MOST",
    "as_image",
    "chosen",
    "encode",
    "fitting",
    "longest_of",
    "picture_uri",
]

MOST = 1000  # images that are shown
BUDGET = 6_000_000  # bytes of all pictures together, before they become text
EACH = 24_000  # bytes of the pictures of one image where there are few
MANY = 250  # images above which large pictures cannot fit and are not tried
LEVELS = ((256, None), (256, 85), (192, 80), (160, 75), (128, 70), (96, 60), (64, 50), (48, 40))
"""Longest side in pixels, and quality from 1 to 100 (None: without loss), best first."""


def chosen(scores: NDArray[np.float64], labels: NDArray[np.int64], threshold: float, most: int = MOST) -> list[int]:
    """Positions of the images to show, the most anomalous first; all of them where there are at most ``most``.

    Else every image called wrong comes first, then those whose score lies nearest to the threshold, with a tenth of the
    places for the highest and the lowest scores.

    Args:
        scores: shape (N,), larger is more anomalous.
        labels: shape (N,), 0 normal, 1 abnormal.
        threshold: images above it are called abnormal.
        most: how many.

    Example:
        >>> chosen(np.array([0.1, 0.9, 0.5]), np.array([0, 1, 0]), 0.6)
        [1, 2, 0]
    """
    order = np.argsort(-scores, kind="stable")
    if len(order) > most:
        ends = max(1, most // 20)
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        wrong = (scores > threshold) != (labels == 1)
        distance = np.abs(rank - np.count_nonzero(scores > threshold))
        first = np.lexsort((distance, ~wrong, (rank >= ends) & (rank < len(order) - ends)))
        kept = np.zeros(len(order), dtype=np.bool_)
        kept[first[:most]] = True
        order = order[kept[order]]
    return [int(i) for i in order]


def longest_of(images: int) -> int:
    """The longest side in pixels that pictures of so many images could have at best."""
    return LEVELS[0][0] if images <= MANY else LEVELS[3][0]


def as_image(pixels: NDArray[np.uint8] | NDArray[np.bool_], longest: int = LEVELS[0][0]) -> Image.Image:
    """Pixels of shape (1, H, W), (3, H, W) or (H, W) as a picture no side of which is longer than ``longest``."""
    if pixels.dtype == np.bool_:
        image = Image.fromarray(pixels.astype(np.uint8) * 255)
    elif pixels.ndim == 3:
        image = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    else:
        image = Image.fromarray(pixels)
    return _shrunk(image, longest)


def encode(image: Image.Image, longest: int, quality: int | None) -> tuple[str, bytes]:
    """A picture as a file's type and bytes: WebP, or PNG and JPEG where Pillow was built without it.

    Args:
        image: mode L or RGB.
        longest: no side becomes longer than this, in pixels.
        quality: 1 to 100; None: without loss.
    """
    out = io.BytesIO()
    image = _shrunk(image, longest)
    if features.check("webp"):
        kind = "webp"
        image.save(out, format="WEBP", lossless=quality is None, quality=quality or 60, method=4)
    elif quality is None:
        kind = "png"
        image.save(out, format="PNG", optimize=True)
    else:
        kind = "jpeg"
        image.save(out, format="JPEG", quality=quality, optimize=True)
    return f"image/{kind}", out.getvalue()


def picture_uri(kind: str, data: bytes) -> str:
    """A picture as a data URI."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def fitting(strips: Sequence[Sequence[Image.Image]], budget: int | None = None) -> list[list[str]]:
    """All pictures as data URIs, at the best level at which they fit together.

    Args:
        strips: the pictures of each image.
        budget: bytes before they become text; None: :data:`BUDGET`, or less for few images.

    Returns:
        One list for each image. At the lowest level they are taken as large as they come.
    """
    budget = min(BUDGET, EACH * len(strips)) if budget is None else budget
    some = strips[:: max(1, len(strips) // 24)]
    for level in LEVELS:
        last = level == LEVELS[-1]
        if not last and _size(some, level) * len(strips) > 1.1 * budget * len(some):
            continue  # a few tell that all of them would not fit
        encoded = [[encode(image, *level) for image in strip] for strip in strips]
        if last or sum(len(data) for strip in encoded for _, data in strip) <= budget:
            break
    return [[picture_uri(kind, data) for kind, data in strip] for strip in encoded]


def _size(strips: Sequence[Sequence[Image.Image]], level: tuple[int, int | None]) -> int:
    return sum(len(encode(image, *level)[1]) for strip in strips for image in strip)


def _shrunk(image: Image.Image, longest: int) -> Image.Image:
    if max(image.size) <= longest:
        return image
    image = image.copy()
    image.thumbnail((longest, longest), Image.Resampling.BOX)
    return image
