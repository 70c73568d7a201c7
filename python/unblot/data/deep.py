"""Files that hold more than 8 bits per value: all their bits, where Pillow itself keeps the upper 8 of a colour.

Pillow has no image of three 16-bit channels. It reads such a file value by value and keeps one byte of each; which one
follows from the name that it is given for the order of the bytes. So a file is read twice, for the upper and for the
lower bytes. Gray images of 16 bits are a mode of Pillow's own.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from unblot.errors import UserError

__all__ = ["colour_values", "gray_values", "is_deep"]

_PLANES = ("RGB;16", "RGBA;16", "RGBX;16")


def is_deep(image: Image.Image) -> bool:
    """Whether the file of a just opened image holds more than 8 bits per value; reads no pixels."""
    return image.mode == "F" or image.mode.startswith("I") or _wide_colour(image)


def gray_values(image: Image.Image, path: Path) -> NDArray[np.uint16]:
    """Values of a gray image of more than 8 bits, shape (H, W), upright.

    Raises:
        UserError: pixels whose range is not known (float, 32-bit).
    """
    ImageOps.exif_transpose(image, in_place=True)
    values = np.asarray(image)
    if image.mode == "F" or values.min(initial=0) < 0 or values.max(initial=0) > 65535:
        raise UserError(
            f"{path} holds {'float' if image.mode == 'F' else '32-bit'} pixels, whose range is not known; "
            "save it with 8 or 16 bits per channel"
        )
    return values.astype(np.uint16)


def colour_values(path: Path) -> NDArray[np.uint16]:
    """Values of a colour (or gray and alpha) file of more than 8 bits, shape (H, W, 2, 3 or 4), upright.

    Raises:
        UserError: a format whose lower bytes cannot be had.
    """
    with path.open("rb") as file, Image.open(file) as image:
        raw = _raw_mode(image)
        if image.format == "PPM":
            return _portable(image)
        if raw == "LA;16B":  # four bytes a pixel are four channels of 8 bits
            bytes_ = _read(image, "RGBA", "RGBA")
            return _word(bytes_[..., 0::2], bytes_[..., 1::2])
        if not raw.startswith(_PLANES) or image.format not in ("PNG", "TIFF"):
            raise UserError(
                f"{path} holds more than 8 bits per value in a way that cannot be read here ({image.format}, {raw}); "
                "save it as PNG or TIFF"
            )
        order = raw[-1] if raw[-1] != "N" else "L" if sys.byteorder == "little" else "B"
        upper = _read(image, image.mode, f"{raw[:-1]}{order}")
    with path.open("rb") as file, Image.open(file) as image:
        return _word(upper, _read(image, image.mode, f"{raw[:-1]}{'B' if order == 'L' else 'L'}"))


def _word(upper: NDArray[np.uint8], lower: NDArray[np.uint8]) -> NDArray[np.uint16]:
    return np.left_shift(upper, 8, dtype=np.uint16) | lower


def _wide_colour(image: Image.Image) -> bool:
    if image.format == "PPM":
        largest = _arguments(image)[-1]
        return image.mode == "RGB" and isinstance(largest, int) and largest > 255
    return ";16" in (raw := _raw_mode(image)) and not raw.startswith(("CMYK", "RGBa"))


def _arguments(image: Image.Image) -> Any:
    tile = getattr(image, "tile", None) or [("", (), 0, ("", 0))]
    return tile[0][3] if isinstance(tile[0][3], tuple) else (tile[0][3],)


def _raw_mode(image: Image.Image) -> str:
    arguments = _arguments(image)
    return arguments[0] if arguments and isinstance(arguments[0], str) else ""


def _read(image: Any, mode: str, raw: str) -> NDArray[np.uint8]:
    """The bytes of an image, upright, decoded as if the file had said ``mode`` and ``raw``."""
    image._mode = mode
    image.tile = [
        (name, extents, offset, (raw, *rest[1:]) if isinstance(rest, tuple) else raw)
        for name, extents, offset, rest in image.tile
    ]
    ImageOps.exif_transpose(image, in_place=True)
    return np.asarray(image)


def _portable(image: Any) -> NDArray[np.uint16]:
    """A PPM file as one gray row of thrice the width; Pillow scales to 65535 by what the file says is its largest."""
    width, height = image.size
    image._mode, image._size = "I", (3 * width, height)
    image.tile = [(name, (0, 0, 3 * width, height), at, ("I", *rest[1:])) for name, _, at, rest in image.tile]
    return np.asarray(image).reshape(height, width, 3).astype(np.uint16)
