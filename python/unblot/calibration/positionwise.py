"""What an anomaly map shows where nothing is wrong, place by place.

Images of one camera have places that always look a little odd to a network: the edge of a part, a corner, the border
where a convolution sees padding. Left as it is, such a place decides the image's score. Sources: statistics of normal
patches for each place are PaDiM's (Defard et al., arXiv 2011.08785), there of features, here of the finished map.

Held-out images show only what a few more captures look like, and it is along the sides of the image that the next one
differs most: the part lies a little further in, a neighbour or a clamp comes into view. Then the map is raised all
along that side, where a defect raises it in a spot. So what a whole side shows is taken off.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["PositionwiseNormalizer"]

SIDES = 2  # rows and columns at each side of a map that are a side, where a map has four times as many
FEW = 0.2  # of a side's places may show less than what counts as the whole side's
FOLDS = 20  # in which groups are left out
DOUBT = 8  # held-out images that weigh as much as what all places have in common


class PositionwiseNormalizer(nn.Module):
    """Maps in units of how far they reach on held-out normal images, place by place.

    A value x becomes (x - m - s) / d. m is the mean of the normal maps at this place. s is what this image's map shows
    all along a side: of the values x - m in each of the two outermost rows and columns, the one that four fifths
    exceed, where it is above 0; 0 inside, and the larger of both where two sides meet. d² is half the mean square by
    which the normal maps exceed m + s here, half the same over all places: a place that is restless among normals must
    show more, but how much more is not left to a few images alone. For the same reason few images move m and d from
    what all places have in common by n / (n + 8) only, n being their number, and d is 2 % of the mean of all at least.
    Where images show their parts at random places, all places are alike, and little changes.

    Args:
        size: height and width of the maps.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, size, size))
        self.register_buffer("reach", torch.ones(1, size, size))
        self.register_buffer("evened", torch.zeros(()))  # 1 once fitted

    mean: Tensor
    reach: Tensor
    evened: Tensor

    def fit(self, maps: Tensor) -> None:
        """Learn from the maps of held-out normal images, float, shape (N, 1, size, size), N at least 1."""
        self.mean, self.reach = _learnt(maps)
        self.evened = torch.ones_like(self.evened)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps, float, shape (N, 1, size, size), in those units; as they are before :meth:`fit`."""
        excess = maps - self.mean
        return (excess - self.evened * _along_sides(excess)) / self.reach

    def leave_group_out(self, maps: Tensor, groups: Tensor) -> Tensor:
        """The maps that :meth:`fit` was given, each in units learnt from those of other groups: a map that was learnt
        from, or whose like was, stands out less than a new one.

        Args:
            maps: float, shape (N, 1, size, size).
            groups: int64, shape (N,); where all are one, each map counts as a group.
        """
        if len(maps) < 2:
            return self.forward(maps)
        numbers = torch.unique(groups, return_inverse=True)[1]
        if not numbers.any():
            numbers = torch.arange(len(maps))
        count = int(numbers.max()) + 1
        fold = (numbers * min(count, FOLDS) // count).to(maps.device)
        found = torch.empty_like(maps)
        for own in (fold == number for number in fold.unique()):
            mean, reach = _learnt(maps[~own])
            found[own] = _evened(maps[own] - mean) / reach
        return found


def _along_sides(excess: Tensor) -> Tensor:
    """What maps, shape (N, 1, S, S), show all along their sides, at least 0; 0 inside. A map needs a size of 4."""
    size = excess.shape[-1]
    place = torch.arange(size, device=excess.device)
    side = place[torch.minimum(place, place.flip(0)) < min(SIDES, size // 4)]
    few = int(FEW * (size - 1))
    rows, columns = excess.new_zeros(2, *excess.shape[:-1])
    rows[..., side] = excess[..., side, :].sort(-1).values[..., few]
    columns[..., side] = excess[..., side].sort(-2).values[..., few, :]
    return torch.maximum(rows[..., :, None], columns[..., None, :]).clamp_min(0)


def _evened(excess: Tensor) -> Tensor:
    return excess - _along_sides(excess)


def _learnt(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and reach at each place, shape (1, size, size)."""
    share = len(maps) / (len(maps) + DOUBT)
    everywhere = maps.mean()
    mean = torch.lerp(everywhere, maps.mean(0), share)
    above = _evened(maps - mean).clamp_min(0).square().mean(0)
    reach = torch.lerp(above.mean(), above, share / 2).sqrt()
    reach = torch.maximum(reach, 0.02 * everywhere.abs()).clamp_min(1e-6)
    return mean, reach
