"""Large frames cut into tiles without a change of scale, and what is found on the tiles laid over the frame again.

Tiles of one side lie at even distances, the first and the last at the ends of the frame, so that neighbours overlap by
the share that is asked for at least. What of a tile lies beyond a small frame is the frame mirrored at its edge, as
where images are padded (:mod:`unblot.data.fitting`). Maps have a cell for each 4 × 4 pixels of the frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unblot.data.fitting import Box, mirrored
from unblot.errors import UserError

__all__ = ["CELL", "OVERLAP", "TILE", "FrameMap", "Grid", "Tiling", "cells"]

CELL = 4  # pixels of a frame that a cell of its map is wide and high
TILE, OVERLAP = 512, 0.25
SMALLEST, MOST_OVERLAP = 32, 0.75


@dataclass(frozen=True)
class Grid:
    """The tiles of one frame, row by row.

    Attributes:
        rows: the top of each row of tiles, in pixels.
        columns: the left end of each column.
        tile: side of a tile.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    tile: int

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns."""
        return len(self.rows), len(self.columns)

    @cached_property
    def boxes(self) -> list[Box]:
        """Where each tile lies; its right and lower end may lie beyond a frame that is smaller or no multiple of 4."""
        side = self.tile
        return [Box(left, top, left + side, top + side) for top in self.rows for left in self.columns]


@dataclass(frozen=True)
class Tiling:
    """How frames are cut.

    Args:
        tile: side of a tile in pixels of the frame, a multiple of 4, at least 32.
        overlap: least share of its side by which a tile overlaps its neighbour, 0 to 0.75.

    Raises:
        UserError: a value out of its range.

    Example:
        >>> Tiling(512, 0.25).grid(2048, 1024).shape
        (3, 5)
    """

    tile: int = TILE
    overlap: float = OVERLAP

    def __post_init__(self) -> None:
        if self.tile < SMALLEST or self.tile % CELL:
            raise UserError(f"tile must be a multiple of {CELL} pixels, at least {SMALLEST}; got {self.tile}")
        if not 0 <= self.overlap <= MOST_OVERLAP:
            raise UserError(f"overlap is a share of a tile from 0 to {MOST_OVERLAP}; got {self.overlap}")

    def grid(self, width: int, height: int) -> Grid:
        """The tiles of a frame."""
        return Grid(self._starts(height), self._starts(width), self.tile)

    def _starts(self, length: int) -> tuple[int, ...]:
        room = -(-length // CELL) * CELL - self.tile
        if room <= 0:
            return (0,)
        steps = math.ceil(room / (self.tile * (1 - self.overlap)))
        return tuple(round(step * room / steps / CELL) * CELL for step in range(steps + 1))

    def cut(self, pixels: NDArray[np.uint8], box: Box, size: int) -> NDArray[np.uint8]:
        """A tile of a frame, uint8 of shape (H, W, C), as uint8 of shape (C, size, size)."""
        height, width = pixels.shape[:2]
        if box.right <= width and box.bottom <= height:
            part = pixels[box.rows, box.columns]
        else:
            rows, columns = mirrored(-box.top, height, self.tile), mirrored(-box.left, width, self.tile)
            part = pixels[rows][:, columns]
        if size != self.tile:
            planes = (Image.fromarray(np.ascontiguousarray(part[..., c])) for c in range(part.shape[2]))
            small = [np.asarray(plane.resize((size, size), Image.Resampling.BILINEAR)) for plane in planes]
            return np.stack(small)
        return np.ascontiguousarray(part.transpose(2, 0, 1))


class FrameMap:
    """The map of a frame, from those of its tiles: where tiles overlap, each counts the more the farther its end is.

    So no seam shows, and what a network makes of the end of its image counts little.

    Args:
        width: of the frame in pixels.
        height: of the frame in pixels.
        tile: side of a tile.

    Example:
        >>> whole = FrameMap(64, 32, 32)
        >>> for box in Tiling(32, 0).grid(64, 32).boxes:
        ...     whole.add(box, np.ones((32, 32), np.float32))
        >>> whole.values().shape, float(whole.values().min())
        ((8, 16), 1.0)
    """

    def __init__(self, width: int, height: int, tile: int) -> None:
        self._shape, self._side = _cells_of(width, height), tile // CELL
        room = tuple(max(side, self._side) for side in self._shape)
        self._sum, self._weight = np.zeros(room, np.float32), np.zeros(room, np.float32)
        place = np.arange(self._side) + 0.5
        ramp = np.minimum(place, self._side - place)
        self._window = np.outer(ramp, ramp).astype(np.float32)

    def add(self, box: Box, values: NDArray[np.float32]) -> None:
        """Lay the map of a tile, float32 of shape (size, size), over its place."""
        side = (self._side, self._side)
        if values.shape != side:
            values = np.asarray(Image.fromarray(values).resize(side, Image.Resampling.BOX))
        top, left = box.top // CELL, box.left // CELL
        rows, columns = slice(top, top + self._side), slice(left, left + self._side)
        self._sum[rows, columns] += values * self._window
        self._weight[rows, columns] += self._window

    def values(self) -> NDArray[np.float32]:
        """The map, float32, a cell for each 4 × 4 pixels; all tiles must have been added."""
        high, wide = self._shape
        found: NDArray[np.float32] = self._sum[:high, :wide] / self._weight[:high, :wide]
        return found


def cells(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask of a frame, bool of shape (H, W), at the cells of its map; any marked pixel marks its cell.

    Example:
        >>> cells(np.eye(8, dtype=bool)).tolist()
        [[True, False], [False, True]]
    """
    height, width = mask.shape
    high, wide = _cells_of(width, height)
    whole = np.zeros((high * CELL, wide * CELL), np.bool_)
    whole[:height, :width] = mask
    found: NDArray[np.bool_] = whole.reshape(high, CELL, wide, CELL).max(axis=(1, 3))
    return found


def _cells_of(width: int, height: int) -> tuple[int, int]:
    """Rows and columns of a frame's map."""
    return -(-height // CELL), -(-width // CELL)
