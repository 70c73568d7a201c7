"""Images decoded once, whatever is asked of them: pixels, a digest of the pixels, what reading them showed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from unblot.data.items import Source
from unblot.data.pixels import in_threads, read
from unblot.data.reading import Facts, Reading

__all__ = ["CACHE_BYTES", "Decoded", "Decoder", "decode_one"]

CACHE_BYTES = 2 << 30


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
    digest = blake2b(pixels.tobytes(), digest_size=16).digest()
    return Decoded(digest, facts, int(low.min()), int(high.max()), int((high.astype(int) - low).max()), pixels)


class Decoder:
    """Decodes images of one data set, each once; keeps pixels as long as memory is to hold them.

    Args:
        channels: 1 or 3.
        size: height and width in pixels.
        reading: how images are read.
        cache_bytes: most memory that the pixels may take.
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
        self._room = cache_bytes // (channels * size * size)
        self._progress = progress

    def add(self, sources: Iterable[Source]) -> None:
        """Decode those that are not known yet.

        Raises:
            UserError: an image that cannot be read.
        """
        new = [s for s in sources if s.item.name not in self.known]
        for source, found in zip(new, self._decoded(new), strict=True):
            kept = found.pixels if len(self.known) < self._room else None
            self.known[source.item.name] = Decoded(
                found.digest, found.facts, found.low, found.high, found.contrast, kept
            )

    def of(self, sources: Sequence[Source]) -> list[Decoded]:
        """What was decoded, in the order of ``sources``."""
        return [self.known[s.item.name] for s in sources]

    def take(self, sources: Sequence[Source]) -> list[Decoded]:
        """What was decoded, in the order of ``sources``, and no longer kept here."""
        return [self.known.pop(s.item.name) for s in sources]

    def _decoded(self, sources: Sequence[Source]) -> Iterable[Decoded]:
        return in_threads(self._one, sources, what="decoding", progress=self._progress)
