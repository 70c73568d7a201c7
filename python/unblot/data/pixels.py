"""From a file or an array to uint8 pixels of one size.

Images are turned upright (EXIF), taken to 8 bits, to grayscale or RGB (what is transparent is laid over black), and
fitted to a square (:mod:`unblot.data.fitting`). What of more than 8 bits becomes 255, and how images are fitted, says a
:class:`unblot.data.reading.Reading`. Masks: a pixel is marked when anything nonzero falls into it, so a thin scratch
survives; in a lossy file from half of 255.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile
from tqdm import tqdm

from unblot.data.deep import colour_values, gray_values, is_deep
from unblot.data.fitting import STRETCH, fitted, fitted_mask
from unblot.data.listing import CLOSED
from unblot.data.reading import Facts, Reading
from unblot.errors import UserError

__all__ = [
    "Look",
    "decode",
    "decode_mask",
    "highest",
    "in_threads",
    "lossy",
    "probe",
    "read",
    "read_frame",
    "read_mask",
    "whole",
]

_GRAY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N")
_PAGED = ("APNG", "AVIF", "DCX", "FLI", "GIF", "PNG", "TIFF", "WEBP")  # formats of which a file may hold several images
_COLOUR = 16  # of 255: channels that differ by more are a colour
_SEEN = 64  # side at which colours are looked for
_AS_IS = Reading()
_T = TypeVar("_T")
_R = TypeVar("_R")


class Look(NamedTuple):
    """What the header of an image says.

    Attributes:
        gray: it holds one channel.
        size: upright (width, height).
        deep: it holds more than 8 bits per value.
    """

    gray: bool
    size: tuple[int, int]
    deep: bool = False


def probe(image: Path | NDArray[np.uint8]) -> Look:
    """Reads only the header of a file.

    Raises:
        UserError: the file cannot be read.
    """
    if isinstance(image, np.ndarray):
        return Look(image.ndim == 2, (image.shape[1], image.shape[0]))
    with _opened(image) as opened:
        return Look(_is_gray(opened), _upright_size(opened), is_deep(opened))


def decode(
    image: Path | NDArray[np.uint8], *, channels: int, size: int, reading: Reading | None = None
) -> NDArray[np.uint8]:
    """Pixels of a file or of a uint8 array (H, W) or (H, W, 3), as uint8 of shape (channels, size, size).

    Args:
        image: the file or the pixels.
        channels: 1 or 3.
        size: height and width of the result.
        reading: how the run reads images; None takes 65535 of a 16-bit file for white and stretches.

    Raises:
        UserError: the file cannot be read, or holds pixels whose range is not known (float, 32-bit).
    """
    return read(image, channels=channels, size=size, reading=reading)[0]


def read(
    image: Path | NDArray[np.uint8], *, channels: int, size: int, reading: Reading | None = None
) -> tuple[NDArray[np.uint8], Facts]:
    """Like :func:`decode`, and what reading the image showed."""
    reading = reading or _AS_IS
    full, facts = _read(image, channels, reading)
    return _array(fitted(full, reading.fit, size)).transpose(2, 0, 1).copy(), facts


def read_frame(
    image: Path | NDArray[np.uint8], *, channels: int, size: int, reading: Reading
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Facts]:
    """What :func:`read` and :func:`whole` give of an image that is decoded once: pixels of shape (channels, size, size)
    and (H, W, channels), and what reading showed.
    """
    full, facts = _read(image, channels, reading)
    return _array(fitted(full, reading.fit, size)).transpose(2, 0, 1).copy(), _array(full), facts


def whole(image: Path | NDArray[np.uint8], *, channels: int, reading: Reading | None = None) -> NDArray[np.uint8]:
    """Like :func:`decode`, but at the image's own size and as cameras give it, uint8 of shape (H, W, channels).

    Example:
        >>> whole(np.zeros((4, 6, 3), np.uint8), channels=1).shape
        (4, 6, 1)
    """
    return _array(_read(image, channels, reading or _AS_IS)[0])


def _read(image: Path | NDArray[np.uint8], channels: int, reading: Reading) -> tuple[Image.Image, Facts]:
    """The image upright, in 8 bits, opaque, grayscale or RGB, at its own size; and what reading it showed."""
    mode = "L" if channels == 1 else "RGB"
    if isinstance(image, np.ndarray):
        opened = Image.fromarray(image)
        return opened.convert(mode), Facts(*opened.size, gray=image.ndim == 2, coloured=_coloured(opened))
    with _opened(image) as opened:
        gray, pages, deep, clipped = _is_gray(opened), _pages(opened), is_deep(opened), False
        if deep:
            values = _values(opened, image)
            clipped = bool(_brightest(values) > reading.white)
            upright = _eight_bit(values, reading.white)
        else:
            ImageOps.exif_transpose(opened, in_place=True)
            upright = opened
        flat, transparent = _flat(upright, reading)
        facts = Facts(*flat.size, deep, gray, not gray and _coloured(flat), transparent, pages, clipped)
        return flat.convert(mode), facts


def highest(image: Path | NDArray[np.uint8]) -> int:
    """The highest value of a file that holds more than 8 bits per value, 0 for other images; alpha does not count.

    Raises:
        UserError: the file cannot be read.
    """
    if isinstance(image, np.ndarray):
        return 0
    with _opened(image) as opened:
        if not is_deep(opened):
            return 0
        return _brightest(_values(opened, image))


def decode_mask(mask: Path, size: int, fit: str = STRETCH) -> NDArray[np.bool_]:
    """A defect mask as bool of shape (size, size), fitted as its image is; any marked pixel marks the output pixel that
    it falls into.

    Raises:
        UserError: the file cannot be read.
    """
    return fitted_mask(read_mask(mask), fit, size)


def read_mask(mask: Path) -> NDArray[np.bool_]:
    """A defect mask as bool of shape (H, W).

    Raises:
        UserError: the file cannot be read.
    """
    with _opened(mask) as opened:
        blurred = _lossy(opened, mask)
        ImageOps.exif_transpose(opened, in_place=True)
        values = np.asarray(opened if opened.mode in (*_GRAY, "F") else opened.convert("L"))
    values = values[..., 0] if values.ndim == 3 else values
    found: NDArray[np.bool_] = values > 127 if blurred else values != 0
    return found


def lossy(path: Path) -> bool:
    """Whether a file's format changes pixels when it is written, so that what was 0 need not be 0 in it.

    Raises:
        UserError: the file cannot be read.
    """
    with _opened(path) as opened:
        return _lossy(opened, path)


def in_threads(
    function: Callable[[_T], _R],
    values: Sequence[_T],
    *,
    what: str,
    progress: bool | None = None,
    threads: int | None = None,
) -> Iterator[_R]:
    """Results of ``function`` in order, computed by threads (Pillow releases the GIL while it decodes).

    A few results are worked out ahead of what is asked for, however many values there are, so that a slow reader is not
    buried in decoded images.

    ``progress``: None shows a bar where stderr is a terminal and there is much to do, True always, False never.
    ``threads``: None takes as many as there are processors; of few, each takes one value at a time.
    """
    hidden = not progress if progress is not None else (None if len(values) > 1000 else True)
    one_by_one, threads = threads is not None, threads or min(32, os.cpu_count() or 1)
    # Small images cost less than a hand-over to a thread.
    step = 1 if one_by_one else max(1, min(16, len(values) // (8 * threads)))
    chunks = (values[i : i + step] for i in range(0, len(values), step))
    ahead: deque[Future[list[_R]]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        with tqdm(total=len(values), desc=what, unit="img", disable=hidden) as bar:
            for chunk in chunks:
                ahead.append(pool.submit(lambda part: [function(value) for value in part], chunk))
                if len(ahead) > threads + 2:
                    results = ahead.popleft().result()
                    yield from results
                    bar.update(len(results))
            while ahead:
                results = ahead.popleft().result()
                yield from results
                bar.update(len(results))
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        # From an open file: Pillow maps an uncompressed TIFF into memory if given a path, and garbles a turned one.
        with path.open("rb") as file, Image.open(file) as image:
            if image.format in CLOSED:
                raise UserError(f"{path} is a {image.format} file, which is not read as an image; save it as PNG")
            yield image
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise UserError(
            f"{path} says that it is larger than an image can be here ({error}); nothing of it was decoded. Make it "
            "smaller, or move it out of the folder"
        ) from error
    except Exception as error:  # Pillow's decoders raise many kinds: OSError, SyntaxError, struct.error, ValueError, …
        raise UserError(
            f"{path} cannot be read as an image ({error}); repair it or move it out of the folder"
        ) from error


def _is_gray(image: Image.Image) -> bool:
    return image.mode in _GRAY or "LA;16" in str(getattr(image, "tile", ""))  # Pillow calls the latter RGBA


def _upright_size(image: Image.Image) -> tuple[int, int]:
    size = image.size
    if isinstance(image, TiffImageFile):  # some versions of Pillow have turned its size already, others have not
        size = (image.tag_v2[ExifTags.Base.ImageWidth], image.tag_v2[ExifTags.Base.ImageLength])
    # Asking a PNG without a leading EXIF block would decode its pixels.
    exif = image.getexif() if image.format != "PNG" or "exif" in image.info else {}
    return size[::-1] if exif.get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8) else size


def _pages(image: Image.Image) -> int:
    return int(getattr(image, "n_frames", 1)) if image.format in _PAGED else 1


def _lossy(image: Image.Image, path: Path) -> bool:
    if image.format == "WEBP":
        with path.open("rb") as file:
            return b"VP8L" not in file.read(64)
    return image.format in ("JPEG", "MPO", "AVIF") or image.info.get("compression") == "jpeg"


def _values(image: Image.Image, path: Path) -> NDArray[np.uint16]:
    """All bits of a file of more than 8 bits per value."""
    return gray_values(image, path) if image.mode == "F" or image.mode.startswith("I") else colour_values(path)


def _brightest(values: NDArray[np.uint16]) -> int:
    """The highest value but for alpha, the last of 2 or 4 channels."""
    colours = values[..., :-1] if values.ndim == 3 and values.shape[2] in (2, 4) else values
    return int(colours.max(initial=0))


def _eight_bit(values: NDArray[np.uint16], white: int) -> Image.Image:
    """Values from 0 to ``white`` (alpha: to 65535) rounded to 8 bits; what lies above is white."""

    def scaled(part: NDArray[np.uint16], top: int) -> NDArray[np.uint8]:
        return np.minimum((part.astype(np.uint32) * 255 + top // 2) // top, 255).astype(np.uint8)

    if values.ndim == 3 and values.shape[2] in (2, 4):
        parts = [scaled(values[..., :-1], white), scaled(values[..., -1:], 65535)]
        if values.shape[2] == 2:
            parts.insert(0, np.repeat(parts.pop(0), 3, axis=2))
        return Image.fromarray(np.concatenate(parts, axis=2))
    return Image.fromarray(scaled(values, white))


def _flat(image: Image.Image, reading: Reading) -> tuple[Image.Image, bool]:
    """The image without transparency, and whether some of it was transparent."""
    if not image.has_transparency_data:
        return image, False
    full = image.convert("RGBA")
    lowest = full.getchannel("A").getextrema()[0]
    if not isinstance(lowest, int | float) or lowest == 255 or reading.alpha == "drop":
        return image, lowest != 255
    return Image.alpha_composite(Image.new("RGBA", full.size, (0, 0, 0, 255)), full).convert("RGB"), True


def _coloured(image: Image.Image) -> bool:
    """Whether pixels have colours; some of them are looked at."""
    if image.mode in _GRAY:
        return False
    small = (min(image.width, _SEEN), min(image.height, _SEEN))
    some = np.asarray(image.resize(small, Image.Resampling.NEAREST).convert("RGB"))
    return bool(np.ptp(some, axis=2).max(initial=0) > _COLOUR)


def _array(image: Image.Image) -> NDArray[np.uint8]:
    """Shape (H, W, channels)."""
    return np.array(image).reshape(image.height, image.width, -1)
