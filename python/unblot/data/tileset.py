"""The tiles of a set of frames as a torch data set: what a detector is trained on and scores where frames are cut."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from unblot.data.items import Item
from unblot.data.tiling import Grid, Tiling

if TYPE_CHECKING:
    from unblot.data.imageset import ImageSet

__all__ = ["TileSet"]

KEPT = 2  # whole frames in memory


class TileSet(Dataset[dict[str, Any]]):
    """Tiles of frames, frame by frame and in each row by row. Only a few whole frames are in memory at a time.

    Args:
        frames: the frames.
        tiling: how they are cut.

    Attributes:
        frames, tiling: as given.
        grids: the tiles of each frame.
        frame: number of each tile's frame, int64, shape (N,), ascending.
        place: number of each tile in its frame, int64, shape (N,).
        channels, size: of a tile, as a detector sees it.
    """

    def __init__(self, frames: ImageSet, tiling: Tiling) -> None:
        self.frames, self.tiling = frames, tiling
        self.channels, self.size = frames.channels, frames.size
        self.grids: list[Grid] = [tiling.grid(f.width, f.height) for f in frames.facts(False)]
        counts = [len(grid) for grid in self.grids]
        self.frame = np.repeat(np.arange(len(counts)), counts)
        self.place = np.concatenate([np.arange(count) for count in counts] or [np.zeros(0, np.int64)])
        self._whole: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``image``: uint8 tensor (channels, size, size); ``index`` of the tile, ``group`` of its frame: int."""
        index = range(len(self))[index]
        frame = int(self.frame[index])
        box = self.grids[frame].boxes[int(self.place[index])]
        image = torch.from_numpy(self.tiling.cut(self._frame(frame), box, self.size))
        return {"image": image, "index": index, "group": int(self.frames.groups[frame])}

    @property
    def groups(self) -> NDArray[np.int64]:
        """Number of the group of each tile's frame; shape (N,)."""
        return self.frames.groups[self.frame]

    @property
    def labels(self) -> NDArray[np.int64]:
        """The label of each tile's frame; shape (N,)."""
        return self.frames.labels[self.frame]

    @property
    def items(self) -> list[Item]:
        """The item of each tile's frame."""
        return [self.frames.items[frame] for frame in self.frame]

    def _frame(self, number: int) -> NDArray[np.uint8]:
        if number not in self._whole:
            self._whole[number] = self.frames.whole(number)
            if len(self._whole) > KEPT:
                self._whole.popitem(last=False)
        return self._whole[number]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_whole": OrderedDict()}  # a process that loads reads its own frames
