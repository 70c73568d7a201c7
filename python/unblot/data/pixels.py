"""From a file or an array to uint8 pixels of one size.

Images are turned upright (EXIF), taken to 8 bits, to grayscale or RGB (transparency is dropped), and resized to a
square by Pillow's bilinear filter, which averages over the area when it shrinks; the aspect ratio is not kept. 16-bit
grayscale is scaled from its full range, 65535 to 255. Masks: a pixel is marked when anything nonzero falls into it, so
a thin scratch survives.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile
from tqdm import tqdm

from unblot.errors import UserError

__all__ = ["ARCHIVES", "SUFFIXES", "decode", "decode_mask", "in_threads", "probe"]

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")

ARCHIVES = (".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zip", ".zst")

_GRAY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N")
_T = TypeVar("_T")
_R = TypeVar("_R")


def probe(image: Path | NDArray[np.uint8]) -> tuple[bool, tuple[int, int]]:
    """Whether an image is grayscale, and its upright (width, height); reads only the header of a file."""
    if isinstance(image, np.ndarray):
        return image.ndim == 2, (image.shape[1], image.shape[0])
    with _opened(image) as opened:
        size = opened.size
        if isinstance(opened, TiffImageFile):  # some versions of Pillow have turned its size already, others have not
            size = (opened.tag_v2[ExifTags.Base.ImageWidth], opened.tag_v2[ExifTags.Base.ImageLength])
        # Asking a PNG without a leading EXIF block would decode its pixels.
        exif = opened.getexif() if opened.format != "PNG" or "exif" in opened.info else {}
        turned = exif.get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        return opened.mode in _GRAY, size[::-1] if turned else size


def decode(image: Path | NDArray[np.uint8], *, channels: int, size: int) -> NDArray[np.uint8]:
    """Pixels of a file or of a uint8 array (H, W) or (H, W, 3), as uint8 of shape (channels, size, size).

    Raises:
        UserError: the file cannot be read, or holds pixels whose range is not known (float, 32-bit).
    """
    if isinstance(image, np.ndarray):
        return _fit(Image.fromarray(image), channels, size)
    with _opened(image) as opened:
        ImageOps.exif_transpose(opened, in_place=True)
        return _fit(_eight_bit(opened, image), channels, size)


def decode_mask(mask: Path, size: int) -> NDArray[np.bool_]:
    """A defect mask as bool of shape (size, size); any nonzero pixel marks the output pixel that it falls into.

    Raises:
        UserError: the file cannot be read.
    """
    with _opened(mask) as opened:
        ImageOps.exif_transpose(opened, in_place=True)
        values = np.asarray(opened if opened.mode in (*_GRAY, "F") else opened.convert("L"))
    values = values[..., 0] if values.ndim == 3 else values
    marked = Image.fromarray((values != 0).astype(np.float32))
    return np.asarray(marked.resize((size, size), Image.Resampling.BOX)) > 0


def in_threads(
    function: Callable[[_T], _R], values: Sequence[_T], *, what: str, progress: bool | None = None
) -> Iterator[_R]:
    """Results of ``function`` in order, computed by threads (Pillow releases the GIL while it decodes).

    A few results are worked out ahead of what is asked for, however many values there are, so that a slow reader is not
    buried in decoded images.

    ``progress``: None shows a bar where stderr is a terminal and there is much to do, True always, False never.
    """
    hidden = not progress if progress is not None else (None if len(values) > 1000 else True)
    threads = min(32, os.cpu_count() or 1)
    step = max(1, min(16, len(values) // (8 * threads)))  # small images cost less than a hand-over to a thread
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


def _eight_bit(image: Image.Image, path: Path) -> Image.Image:
    """Grayscale of more than 8 bits scaled to 8; other images as they are."""
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise UserError(
            f"{path} holds {'float' if image.mode == 'F' else '32-bit'} pixels, whose range is not known; "
            "save it with 8 or 16 bits per channel"
        )
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))


def _fit(image: Image.Image, channels: int, size: int) -> NDArray[np.uint8]:
    image = image.convert("L" if channels == 1 else "RGB").resize((size, size), Image.Resampling.BILINEAR)
    return np.array(image).reshape(size, size, channels).transpose(2, 0, 1).copy()
