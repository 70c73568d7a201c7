"""Distances of an image's patches to remembered normal ones, stride by stride, as one anomaly map.

PatchCore (Roth et al., arXiv 2106.08265) joins strides into one vector; here each has a :class:`Bank` of its own, for
joined features are ruled by the coarse stride with its many channels, which hides small defects. PatchCore re-weighs
the image score by the density around the nearest entry; the normalisation by other groups takes that place here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unblot.calibration.pooling import top_mean
from unblot.calibration.positionwise import PositionwiseNormalizer
from unblot.layers.bank import Bank
from unblot.layers.residual import Residual

__all__ = ["PatchMemory"]


class PatchMemory(nn.Module):
    """Banks of several strides, their distances measured by what normal images have at each place, and added.

    Features are averaged over 3 × 3 neighbours. The finest of several strides, whose patches see least around them, and
    the coarsest of three or more, whose patches say least of where, count half. Features of one stride, as the blocks
    of a transformer give them, count alike.

    Args:
        layers: stride and channels of each tensor of features, the finest first.
        size: height and width of the images in pixels.
        bank: makes what remembers features of so many channels.
        top: share of the map, the most anomalous part, whose mean is the image's score.
    """

    def __init__(
        self, layers: Sequence[tuple[int, int]], size: int, bank: Callable[[int], Bank | Residual], *, top: float
    ) -> None:
        super().__init__()
        self.banks = nn.ModuleList(bank(channels) for _, channels in layers)
        self.normalizers = nn.ModuleList(PositionwiseNormalizer(size // stride) for stride, _ in layers)
        weights = [1.0] * len(layers)
        strides = {stride for stride, _ in layers}
        if len(strides) > 1:
            weights[0] = 0.5
        if len(strides) > 2:
            weights[-1] = 0.5
        self.weights, self.top = [w / sum(weights) for w in weights], top
        self.groups_end = 0  # above the numbers of all groups that were seen

    def add(self, features: Sequence[Tensor], groups: Tensor) -> None:
        """See features of normal images, each of shape (N, C, H / s, W / s), and their groups, shape (N,)."""
        self.groups_end = max(self.groups_end, int(groups.max()) + 1)
        for bank, patches in zip(self._banks(), _patches(features), strict=True):
            bank.add(patches, groups)

    def finish(self) -> None:
        """Choose what is remembered."""
        for bank in self._banks():
            bank.finish()

    def forget(self) -> None:
        """Drop what left-out distances take."""
        for bank in self._banks():
            bank.forget()

    @property
    def too_few_groups(self) -> bool:
        """Whether what was seen is of so few groups that no image can be scored as if its own had not been among it."""
        return any(len(torch.unique(bank.groups)) < bank.groups_min for bank in self._banks())

    def distances(self, features: Sequence[Tensor], without: Tensor | None = None) -> list[Tensor]:
        """Distances at each stride, shape (N, 1, H / s, W / s); with ``without``, groups of shape (N,), to
        what is not of an image's group.
        """
        return [bank(patches, without) for bank, patches in zip(self._banks(), _patches(features), strict=True)]

    def fit(self, distances: Sequence[Tensor], groups: Tensor) -> Tensor:
        """Learn what distances normal images have at each place.

        Args:
            distances: of normal images, as if their groups were not remembered.
            groups: shape (N,).

        Returns:
            The images' maps, shape (N, 1, h, w), each measured by the places of other groups.
        """
        for places, each in zip(self._places(), distances, strict=True):
            places.fit(each)
        return self._sum([p.leave_group_out(each, groups) for p, each in zip(self._places(), distances, strict=True)])

    def forward(self, distances: Sequence[Tensor]) -> Tensor:
        """Anomaly maps, shape (N, 1, h, w) at the finest stride."""
        return self._sum([places(each) for places, each in zip(self._places(), distances, strict=True)])

    def pooled(self, maps: Tensor) -> Tensor:
        """Image scores, shape (N,)."""
        return top_mean(maps, self.top)

    def _banks(self) -> Iterator[Bank | Residual]:
        return (bank for bank in self.banks if isinstance(bank, Bank | Residual))

    def _places(self) -> Iterator[PositionwiseNormalizer]:
        return (places for places in self.normalizers if isinstance(places, PositionwiseNormalizer))

    def _sum(self, maps: Sequence[Tensor]) -> Tensor:
        fine = maps[0].shape[-2:]
        weighted = [w * m for w, m in zip(self.weights, maps, strict=True)]
        return torch.stack(
            [m if m.shape[-2:] == fine else F.interpolate(m, fine, mode="bilinear") for m in weighted]
        ).sum(0)


def _patches(features: Sequence[Tensor]) -> list[Tensor]:
    return [F.avg_pool2d(f.float(), 3, 1, 1, count_include_pad=False) for f in features]
