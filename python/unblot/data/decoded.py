"""Images decoded once, whatever is asked of them: pixels, a digest of the pixels, what reading them showed.

Pixels that are kept lie in one array for each part of a data set, which becomes the part's own: a copy would double the
memory, and what many small arrays leave behind is not given back to the system.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from unblot.data.items import Source
from unblot.data.pixels import in_threads, read
from unblot.data.reading import Facts, Reading

__all__ = ["CACHE_BYTES", "ONCE_BYTES", "Decoded", "Decoder", "decode_one", "digest_of", "in_one_array"]

CACHE_BYTES = 2 << 30
ONCE_BYTES = 2**29  # where each image is needed about once


@dataclass(frozen=True, slots=True)
class Decoded:
    """One decoded image.

    Attributes:
        digest: a hash of its pixels; equal where two images are the same bit for bit at the loaded size.
        facts: what reading it showed.
        low, high: smallest and largest value of its pixels.
        contrast: largest difference of two values in one channel; 0 where all pixels are alike.
        pixels: uint8, shape (channels, size, size); None where memory does not hold all.
    """

    digest: bytes
    facts: Facts
    low: int
    high: int
    contrast: int
    pixels: NDArray[np.uint8] | None


def decode_one(source: Source, *, channels: int, size: int, reading: Reading | None) -> Decoded:
    """Decode an image, with its pixels.

    Raises:
        UserError: it cannot be read.
    """
    pixels, facts = read(source.image, channels=channels, size=size, reading=reading)
    flat = pixels.reshape(channels, -1)
    low, high = flat.min(axis=1), flat.max(axis=1)
    return Decoded(
        digest_of(pixels), facts, int(low.min()), int(high.max()), int((high.astype(int) - low).max()), pixels
    )


def digest_of(pixels: NDArray[np.uint8]) -> bytes:
    """The hash of an image's pixels as they are loaded."""
    return blake2b(pixels.tobytes(), digest_size=16).digest()


def in_one_array(images: Sequence[Decoded]) -> NDArray[np.uint8] | None:
    """The array of shape (N, channels, size, size) whose rows the pixels of N images are, in order; None where there is
    none.
    """
    first = images[0].pixels if images else None
    if first is None or not isinstance(block := first.base, np.ndarray) or block.shape != (len(images), *first.shape):
        return None
    starts = [-1 if d.pixels is None else d.pixels.ctypes.data for d in images]
    return block if starts == [row.ctypes.data for row in block] else None


class Decoder:
    """Decodes images of one data set, each once; keeps the pixels of the parts that memory is to hold whole.

    Args:
        channels: 1 or 3.
        size: height and width in pixels.
        reading: how images are read.
        cache_bytes: most memory that the pixels of all parts may take.
        progress: None shows a progress bar where stderr is a terminal and there are many images, True always, False
            never.

    Attributes:
        known: what was decoded, by the image's name.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        reading: Reading | None,
        *,
        cache_bytes: int = CACHE_BYTES,
        progress: bool | None = None,
    ) -> None:
        self.known: dict[str, Decoded] = {}
        self._one = partial(decode_one, channels=channels, size=size, reading=reading)
        self._shape = (channels, size, size)
        self._room = cache_bytes // (channels * size * size)
        self._progress = progress

    def add(self, *parts: Iterable[Source]) -> None:
        """Decode those images that are not known yet. Pixels are kept part by part: a part's where there is room for
        all of them after the parts before it.

        Raises:
            UserError: an image that cannot be read.
        """
        new: list[Source] = []
        rows: list[NDArray[np.uint8] | None] = []
        for part in parts:
            unknown = [s for s in part if s.item.name not in self.known]
            new += unknown
            if len(unknown) <= self._room:
                self._room -= len(unknown)
                rows += list(np.empty((len(unknown), *self._shape), np.uint8))
            else:
                rows += [None] * len(unknown)
        for source, row, found in zip(new, rows, self._decoded(new), strict=True):
            if row is not None and found.pixels is not None:
                row[...] = found.pixels
            self.known[source.item.name] = replace(found, pixels=row)

    def of(self, sources: Sequence[Source]) -> list[Decoded]:
        """What was decoded, in the order of ``sources``."""
        return [self.known[s.item.name] for s in sources]

    def take(self, sources: Sequence[Source]) -> list[Decoded]:
        """What was decoded, in the order of ``sources``, and no longer kept here."""
        return [self.known.pop(s.item.name) for s in sources]

    def _decoded(self, sources: Sequence[Source]) -> Iterable[Decoded]:
        return in_threads(self._one, sources, what="decoding", progress=self._progress)
