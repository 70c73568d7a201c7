"""Frames that are scored tile by tile: what is found on the tiles becomes one score and one map of the frame.

A frame's score is that of its worst tile, in units of what normal frames show at its place
(:class:`unblot.calibration.tiles.TilePlaces`); before a threshold was taken, the highest score as it is. Its map is the
tiles' maps blended (:class:`unblot.data.tiling.FrameMap`). Knows no torch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unblot.calibration.tiles import TilePlaces
from unblot.data.tiling import FrameMap, Grid

__all__ = ["FrameScore", "at_once"]

PIXELS = 1 << 21  # of the tiles that are scored at a time: those of 8 tiles of 512 px


def at_once(batch_size: int, size: int) -> int:
    """How many tiles of this size are scored at a time, at most ``batch_size``: memory is that of a few large images.

    Example:
        >>> at_once(64, 512), at_once(64, 64), at_once(4, 512)
        (8, 64, 4)
    """
    return min(batch_size, max(1, PIXELS // size**2))


class FrameScore:
    """The scores and maps of a frame's tiles, as they come.

    Args:
        grid: its tiles.
        width: of the frame in pixels.
        height: of the frame in pixels.

    Attributes:
        scores: of each tile, float64; NaN where it is not known yet.
    """

    def __init__(self, grid: Grid, width: int, height: int) -> None:
        self.grid = grid
        self.scores = np.full(len(grid), np.nan)
        self._map = FrameMap(width, height, grid.tile)
        self._left = len(grid)

    def add(self, place: int, score: float, anomaly_map: NDArray[np.float32]) -> None:
        """The score and the map, shape (size, size), of the tile with this number."""
        self.scores[place] = score
        self._map.add(self.grid.boxes[place], anomaly_map)
        self._left -= 1

    @property
    def whole(self) -> bool:
        """Whether all tiles are there."""
        return self._left == 0

    def score(self, places: TilePlaces | None) -> float:
        """The score of the frame."""
        return float(self.scores.max()) if places is None else places.worst(self.scores, self.grid.shape)

    def map(self) -> NDArray[np.float32]:
        """The map of the frame, float32, a cell for each 4 × 4 pixels."""
        return self._map.values()
