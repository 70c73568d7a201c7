"""How an image of any shape becomes the square that a detector sees, and how its map goes back over the image.

``stretch`` squeezes the image to the square. ``pad`` keeps its shape: the longer side fills the square, and the margins
beside the shorter one are filled with the image mirrored at its edge, so that no edge is made that the image does not
have. ``crop`` keeps its shape too: the shorter side fills the square, and what lies beyond the square in the middle is
cut away. All is whole numbers, so that an exported graph does the same (:mod:`unblot.deploy.graph`). ``tile`` cuts the
image into squares (:mod:`unblot.data.tiling`); where it is looked at as a whole, it is stretched.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = [
    "CROP",
    "FITS",
    "PAD",
    "STRETCH",
    "TILE",
    "Box",
    "fitted",
    "fitted_mask",
    "inside",
    "mirrored",
    "over_image",
    "seen",
    "side_of",
]

STRETCH, PAD, CROP, TILE = "stretch", "pad", "crop", "tile"
FITS = (STRETCH, PAD, CROP, TILE)


class Box(NamedTuple):
    """Whole pixels from ``left`` to before ``right`` and from ``top`` to before ``bottom``."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """In pixels."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """In pixels."""
        return self.bottom - self.top

    @property
    def rows(self) -> slice:
        """Its rows of an array."""
        return slice(self.top, self.bottom)

    @property
    def columns(self) -> slice:
        """Its columns of an array."""
        return slice(self.left, self.right)


def seen(fit: str, width: int, height: int) -> Box:
    """Which part of an image a detector sees.

    Example:
        >>> seen("crop", 300, 100), seen("pad", 300, 100)
        (Box(left=100, top=0, right=200, bottom=100), Box(left=0, top=0, right=300, bottom=100))
    """
    if fit != CROP:
        return Box(0, 0, width, height)
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return Box(left, top, left + side, top + side)


def side_of(fit: str, width: int, height: int) -> float:
    """The side in pixels of a square that shows an image with all its pixels: one with as many where it is stretched,
    else one on its longer side (pad) or its shorter one (crop).

    Example:
        >>> [side_of(fit, 400, 100) for fit in ("stretch", "pad", "crop")]
        [200.0, 400, 100]
    """
    if fit in (PAD, CROP):
        return max(width, height) if fit == PAD else min(width, height)
    return float((width * height) ** 0.5)


def inside(fit: str, width: int, height: int, size: int) -> Box:
    """Which part of the square of side ``size`` shows the image; the rest is filled.

    Example:
        >>> inside("pad", 300, 100, 64)
        Box(left=0, top=21, right=64, bottom=42)
    """
    if fit != PAD:
        return Box(0, 0, size, size)
    longer = max(width, height)
    wide, high = (max(1, (2 * side * size + longer) // (2 * longer)) for side in (width, height))
    left, top = (size - wide) // 2, (size - high) // 2
    return Box(left, top, left + wide, top + high)


def fitted(image: Image.Image, fit: str, size: int) -> Image.Image:
    """The square that a detector sees, by Pillow's bilinear filter, which averages over the area when it shrinks."""
    part, place = seen(fit, *image.size), inside(fit, *image.size, size)
    if part != (0, 0, *image.size):
        image = image.crop(part)
    image = image.resize((place.width, place.height), Image.Resampling.BILINEAR)
    if (place.width, place.height) == (size, size):
        return image
    pixels = np.asarray(image)
    rows, columns = mirrored(place.top, place.height, size), mirrored(place.left, place.width, size)
    return Image.fromarray(pixels[rows][:, columns])


def fitted_mask(mask: NDArray[np.bool_], fit: str, size: int) -> NDArray[np.bool_]:
    """A mask, bool of shape (H, W), as its image goes: shape (size, size); any marked pixel marks the one that it falls
    into. What is filled is not marked.
    """
    height, width = mask.shape
    part, place = seen(fit, width, height), inside(fit, width, height, size)
    marked = Image.fromarray(mask[part.rows, part.columns].astype(np.float32))
    found = np.zeros((size, size), np.bool_)
    small = marked.resize((place.width, place.height), Image.Resampling.BOX)
    found[place.rows, place.columns] = np.asarray(small) > 0
    return found


def over_image(values: NDArray[np.float32], fit: str, width: int, height: int) -> NDArray[np.float32]:
    """A map of the square, float of shape (size, size), as it lies over the whole image.

    Args:
        values: the map.
        fit: how the image was fitted.
        width: of the image.
        height: of the image.

    Returns:
        The map as it is where images are stretched or tiled. Else of the image's shape, at the scale of the square:
        without what was filled, and NaN where the image was cut away. Enlarged to the image's size, it lies over it.

    Example:
        >>> over_image(np.ones((4, 4), np.float32), "pad", 20, 10).shape
        (2, 4)
        >>> over_image(np.ones((2, 2), np.float32), "crop", 20, 10).tolist()
        [[nan, 1.0, 1.0, nan], [nan, 1.0, 1.0, nan]]
    """
    size = len(values)
    if fit == PAD:
        place = inside(fit, width, height, size)
        return values[place.rows, place.columns]
    if fit != CROP or width == height:
        return values
    part = seen(fit, width, height)
    shape = (round(height * size / part.height), round(width * size / part.width))
    top, left = (round(at * size / part.width) for at in (part.top, part.left))
    top, left = min(top, shape[0] - size), min(left, shape[1] - size)
    whole = np.full(shape, np.nan, np.float32)
    whole[top : top + size, left : left + size] = values
    return whole


def mirrored(start: int, length: int, size: int) -> NDArray[np.int64]:
    """Which of ``length`` pixels stands at each of ``size`` places, where the first stands at ``start``: beyond both
    ends they go on mirrored, as often as it takes.
    """
    turn = (np.arange(size) - start) % (2 * length)
    return np.minimum(turn, 2 * length - 1 - turn)
