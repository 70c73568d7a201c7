"""Anomaly maps beyond a batch: small copies of all of them on disk, and the range of their values.

A report shows up to a thousand maps, and which ones is known only when all images are scored. So each map is shrunk to
the size that it could be shown at and put into a temporary file, from where the chosen ones are read back.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unblot.errors import UserError
from unblot.evaluation.values import Values

__all__ = ["MapRange", "MapStore", "shrunk"]

QUANTILE = 0.999  # of the pixels: a few hot ones do not darken the rest
EVERY = 3  # row and column that the quantile is taken from


def shrunk(values: NDArray[np.float32], longest: int) -> NDArray[np.float32]:
    """An anomaly map (H, W) averaged down until no side is longer than ``longest``."""
    image = Image.fromarray(values)
    if max(image.size) > longest:
        image.thumbnail((longest, longest), Image.Resampling.BOX)
    return np.asarray(image)


class MapRange:
    """Lowest value and 99.9 % quantile of maps that are seen once: one scale for all of them.

    Example:
        >>> seen = MapRange()
        >>> seen.add(np.linspace(0, 1, 9000, dtype=np.float32).reshape(1, 90, 100))
        >>> low, high = seen.bounds()
        >>> low, round(high, 1)
        (0.0, 1.0)
    """

    def __init__(self) -> None:
        self._low = np.inf
        self._values = Values()

    def add(self, maps: NDArray[np.float32]) -> None:
        """Take maps of shape (N, H, W) into account; the quantile looks at every ninth pixel."""
        if maps.size:
            self._low = min(self._low, float(maps.min()))
            self._values.add(maps[:, ::EVERY, ::EVERY])

    def bounds(self) -> tuple[float, float]:
        """(lowest, high); (0, 1) where nothing was seen."""
        if not np.isfinite(self._low):
            return 0.0, 1.0
        return self._low, max(self._low, self._values.quantile(QUANTILE))


class MapStore:
    """Shrunken copies of ``count`` maps in a temporary file that ends with this object.

    Args:
        count: of maps.
        longest: height and width that they are kept at, at most.
    """

    def __init__(self, count: int, longest: int) -> None:
        self.count, self.side = count, longest
        self._shapes: dict[int, tuple[int, ...]] = {}
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as this object)
        self._range = MapRange()

    def __len__(self) -> int:
        return self.count

    def add(self, index: Iterable[int], maps: NDArray[np.float32]) -> None:
        """Keep maps (N, H, W) under their numbers.

        Raises:
            UserError: the disk of temporary files is full.
        """
        self._range.add(maps)
        try:
            for i, values in zip(index, maps, strict=True):
                small = shrunk(values, self.side)
                self._shapes[i] = small.shape
                self._file.seek(i * self.side**2 * 4)
                self._file.write(small.tobytes())
        except OSError as error:
            raise UserError(
                f"no room for maps in the folder of temporary files {tempfile.gettempdir()} ({error.strerror}); make "
                "room there, or name another folder in TMPDIR"
            ) from error

    def __getitem__(self, index: int) -> NDArray[np.float32]:
        """One map that was added, no side longer than ``side``."""
        shape = self._shapes[range(self.count)[index]]
        self._file.seek(range(self.count)[index] * self.side**2 * 4)
        return np.frombuffer(self._file.read(shape[0] * shape[1] * 4), np.float32).reshape(shape)

    def bounds(self) -> tuple[float, float]:
        """(lowest, high) of all maps at full size: see :class:`MapRange`."""
        return self._range.bounds()
