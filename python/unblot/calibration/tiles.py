"""One number for a frame from the scores of its tiles: the worst one, in units of what normal frames show there.

A tile full of ballast scores higher than one of bare sky on every normal frame, and would decide the frame's score. So
the score x of a tile becomes (x - m) / d: m is the mean at its place over normal frames, d² half the mean square by
which they exceed it there, half the same over all places, as for a map (:mod:`unblot.calibration.positionwise`). Few
frames move both from what all places have in common by n / (n + 8) only. Frames of another grid, and all where frames
have several, take what all places have in common.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["TilePlaces", "worst_left_out"]

DOUBT = 8  # normal frames that weigh as much as what all places have in common
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class TilePlaces:
    """What tiles of normal frames score at each place.

    Attributes:
        shape: rows and columns of tiles; None where frames have several grids.
        mean: of each place, row by row; the last is that of all.
        reach: how far normal tiles exceed it, in the same order.

    Example:
        >>> normal = [np.array([1.0, 5.0]), np.array([1.2, 5.4])]
        >>> places = TilePlaces.of(normal, (1, 2))
        >>> places.worst(np.array([9.0, 5.0]), (1, 2)) > places.worst(np.array([1.0, 6.0]), (1, 2))
        True
    """

    shape: tuple[int, int] | None
    mean: tuple[float, ...]
    reach: tuple[float, ...]

    @classmethod
    def of(cls, frames: Sequence[Scores], shape: tuple[int, int] | None) -> TilePlaces:
        """Learn from the scores of the tiles of normal frames.

        Args:
            frames: of each frame one score for each tile, row by row.
            shape: rows and columns of tiles, of all frames; None where they differ.
        """
        every = np.concatenate(frames)
        means, reaches = [float(every.mean())], [float(_reach(every, every.mean()))]
        if shape is not None:
            grid = np.stack(frames)
            share = len(grid) / (len(grid) + DOUBT)
            mean = means[0] + share * (grid.mean(0) - means[0])
            excess = np.square(np.maximum(grid - mean, 0)).mean(0)
            reach = np.sqrt(excess.mean() + share / 2 * (excess - excess.mean()))
            means, reaches = [*mean.tolist(), *means], [*reach.tolist(), *reaches]
        least = max(0.02 * abs(means[-1]), 1e-6)
        return cls(shape, tuple(means), tuple(max(value, least) for value in reaches))

    def worst(self, scores: NDArray[np.floating], shape: tuple[int, int]) -> float:
        """The score of a frame from those of its tiles, shape (K,), and its grid."""
        if shape == self.shape:
            return float(((scores - self.mean[:-1]) / self.reach[:-1]).max())
        return float((scores.max() - self.mean[-1]) / self.reach[-1])

    def to_dict(self) -> dict[str, Any]:
        """JSON values by field name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TilePlaces:
        """The inverse of :meth:`to_dict`.

        Raises:
            KeyError: a field is missing.
            ValueError: numbers that no training writes.
        """
        shape = None if values["shape"] is None else (int(values["shape"][0]), int(values["shape"][1]))
        mean, reach = (tuple(map(float, values[name])) for name in ("mean", "reach"))
        count = 1 + (0 if shape is None else shape[0] * shape[1])
        if len(mean) != count or len(reach) != count or not (np.isfinite([*mean, *reach]).all() and min(reach) > 0):
            raise ValueError(f"tiles must hold {count} finite means and as many positive reaches")
        return cls(shape, mean, reach)


def worst_left_out(frames: Sequence[Scores], shape: tuple[int, int] | None, groups: Sequence[int]) -> Scores:
    """The scores of normal frames, each by what frames of other groups show; where all are of one group, by others.

    Args:
        frames: as for :meth:`TilePlaces.of`.
        shape: of the grid, or None.
        groups: of each frame.
    """
    if len(frames) < 2:
        return np.array([TilePlaces.of(frames, shape).worst(frame, shape or (0, 0)) for frame in frames])
    numbers = list(groups) if len(set(groups)) > 1 else list(range(len(frames)))
    known = {
        own: TilePlaces.of([f for f, number in zip(frames, numbers, strict=True) if number != own], shape)
        for own in set(numbers)
    }
    return np.array(
        [known[own].worst(frame, shape or (0, 0)) for frame, own in zip(frames, numbers, strict=True)], np.float64
    )


def _reach(values: Scores, mean: float) -> float:
    return float(np.sqrt(np.square(np.maximum(values - mean, 0)).mean()))
