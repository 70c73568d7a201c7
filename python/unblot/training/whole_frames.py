"""Left-out scores of tiles as left-out scores of frames, and what normal tiles score at each place."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unblot.calibration.tiles import TilePlaces, worst_left_out
from unblot.data import ImageSet
from unblot.data.tileset import TileSet
from unblot.detectors import LeaveGroupOut

__all__ = ["of_frames"]


def of_frames(
    scores: LeaveGroupOut, held_out: TileSet, train: ImageSet | TileSet
) -> tuple[LeaveGroupOut, TilePlaces | None]:
    """One score for each frame, by what frames of other groups show at the places of its tiles.

    Args:
        scores: of tiles, some held out or of training.
        held_out: the tiles that were held out.
        train: the tiles of training; frames of which some have no score are left out.

    Returns:
        Scores of frames, and what is to be known of tiles to score others; none and None where no frame is whole.
    """
    assert isinstance(train, TileSet), "both parts are cut alike"
    parts = [(held_out, torch.arange(len(held_out)), scores.held_out), (train, scores.index, scores.training)]
    frames: list[NDArray[np.float64]] = []
    groups: list[int] = []
    counts: list[int] = []
    shapes: set[tuple[int, int]] = set()
    for number, (tiles, index, values) in enumerate(parts):
        found = _by_frame(tiles, index, values)
        frames += found.values()
        # No held-out frame is of a training group.
        groups += [2 * int(tiles.frames.groups[frame]) + number for frame in found]
        shapes |= {tiles.grids[frame].shape for frame in found}
        counts.append(len(found))
    if not frames:
        return LeaveGroupOut(torch.zeros(0)), None
    shape = shapes.pop() if len(shapes) == 1 else None
    worst = torch.from_numpy(worst_left_out(frames, shape, groups))
    first = counts[0]
    whole = LeaveGroupOut(worst[:first], worst[first:], torch.tensor(groups[first:], dtype=torch.int64))
    return whole, TilePlaces.of(frames, shape)


def _by_frame(tiles: TileSet, index: Tensor, values: Tensor) -> dict[int, NDArray[np.float64]]:
    """The scores of the tiles of each frame of which all are known; none where it is not said whose they are."""
    if len(index) != len(values):
        return {}
    every = np.full(len(tiles), np.nan)
    every[index.cpu().numpy()] = values.double().cpu().numpy()
    starts = np.searchsorted(tiles.frame, np.arange(len(tiles.grids) + 1))
    each = {n: every[starts[n] : starts[n + 1]] for n in range(len(tiles.grids))}
    return {n: own for n, own in each.items() if np.isfinite(own).all()}
