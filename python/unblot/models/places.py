"""What an anomaly map shows where nothing is wrong, place by place.

Images of one camera have places that always look a little odd to a network: the edge of a part, a corner, the border
where a convolution sees padding. Left as it is, such a place decides the image's score. Sources: statistics of normal
patches for each place are PaDiM's (Defard et al., arXiv 2011.08785), there of features, here of the finished map.

Held-out images show only what a few more captures look like, and it is at the border of the image that the next one
differs most: a part lies a little otherwise, a neighbour or a clamp comes into view. So what a map shows at the border
counts less, by a share that nothing is learnt for. anomalib's PatchCore has the like without saying so: its average
over 3 × 3 patches counts those beyond the image as zeros, which leaves two thirds of a feature at the border.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["BORDER", "Places"]

BORDER = 0.6  # what a map counts at the border of the image, 1 inside
FOLDS = 20  # in which images are left out
DOUBT = 8  # held-out images that weigh as much as what all places have in common


class Places(nn.Module):
    """Maps in units of how far they reach on held-out normal images, place by place.

    A value x becomes (x - m) / d. m is the mean of the normal maps at this place; d² is half the mean square by which
    they exceed m here, half the same over all places: a place that is restless among normals must show more, but how
    much more is not left to a few images alone. For the same reason few images move m and d from what all places have
    in common by n / (n + 8) only, n being their number, and d is 2 % of the mean of all at least. Where images show
    their parts at random places, all places are alike but for the border, and little changes.

    d is then divided by what the place counts: ``border`` in the outermost row and column of each side, the mean of
    ``border`` and 1 in the second, at a corner the product of both sides' shares. A map so small that all of it is
    border has its middle at 1 all the same.

    Args:
        size: height and width of the maps.
        border: what the outermost places count, in (0, 1]; 1 for as much as those inside, where parts are cropped to
            their outline, say, and defects lie at their edges.

    Raises:
        ValueError: ``border`` out of its range.
    """

    def __init__(self, size: int, border: float = BORDER) -> None:
        super().__init__()
        if not 0 < border <= 1:
            raise ValueError(f"border must be in 0..1 (above 0), 1 to count borders in full; got {border!r}")
        self.border = border
        self.register_buffer("mean", torch.zeros(1, size, size))
        self.register_buffer("reach", torch.ones(1, size, size))

    mean: Tensor
    reach: Tensor

    def fit(self, maps: Tensor) -> None:
        """Learn from the maps of held-out normal images, float, shape (N, 1, size, size), N at least 1."""
        self.mean, self.reach = _learnt(maps, self.border)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps, float, shape (N, 1, size, size), in those units; as they are before :meth:`fit`."""
        return (maps - self.mean) / self.reach

    def left_out(self, maps: Tensor) -> Tensor:
        """The maps that :meth:`fit` was given, each in units learnt from others: a map that was learnt from stands out
        less than one that was not. Neighbours in the list, often of one group, are left out together.
        """
        if len(maps) < 2:
            return self.forward(maps)
        found, end = [], 0
        for own in maps.chunk(FOLDS):
            start, end = end, end + len(own)
            mean, reach = _learnt(torch.cat([maps[:start], maps[end:]]), self.border)
            found.append((own - mean) / reach)
        return torch.cat(found)


def _inside(size: int, border: float) -> Tensor:
    """What each place counts, shape (1, size, size)."""
    place = torch.arange(size)
    distance = torch.minimum(place, place.flip(0))
    side = (border + (1 - border) / 2 * distance).clamp_max(1.0)
    share = side[:, None] * side
    return (share / share.max())[None]


def _learnt(maps: Tensor, border: float) -> tuple[Tensor, Tensor]:
    """Mean and reach at each place, shape (1, size, size)."""
    share = len(maps) / (len(maps) + DOUBT)
    everywhere = maps.mean()
    mean = torch.lerp(everywhere, maps.mean(0), share)
    above = (maps - mean).clamp_min(0).square().mean(0)
    reach = torch.lerp(above.mean(), above, share / 2).sqrt()
    reach = torch.maximum(reach, 0.02 * everywhere.abs()).clamp_min(1e-6)
    return mean, reach / _inside(maps.shape[-1], border).to(maps)
