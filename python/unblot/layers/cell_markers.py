"""Small networks that mark corrupted cells of an image by a frozen network's features and by distances to a memory.

Sources: a network trained on synthetic masks as in DRAEM (Zavrtanik et al., arXiv 2108.07610), on features of a frozen
network as the discriminator of SimpleNet (Liu et al., arXiv 2303.15140), cell by cell. What marks corruption in pixels
soon knows it by heart; on features, which it cannot change, it learns less of how it was made and more of what does not
belong. Besides features it sees how far each cell lies from what a memory holds of other groups.

Several networks are trained, each without a share of the groups. So there is for every training image one network that
never saw its group: what tells how a new normal image would be scored.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unblot.layers.marking import focal_loss

__all__ = ["CellMarkers", "Cells", "cells"]

PER_IMAGE = 192  # cells of a corrupted image that are learnt from, half of them corrupted where there are enough
CORRUPTED = 0.05  # from which target on a cell is a corrupted one
BATCH = 1024  # cells of a training step, for each network
LEAST = 1e-3  # distance that still has a logarithm


def cells(features: Sequence[Tensor], distances: Sequence[Tensor]) -> Tensor:
    """What is known of each cell: its features, then its log distances.

    Args:
        features: float, shape (N, C, H / s, W / s) for each stride s, the finest first.
        distances: shape (N, 1, H / s, W / s) each.

    Returns:
        float, shape (N, K, h, w) at the finest stride; coarser ones are enlarged.
    """
    size = features[0].shape[-2:]
    each = [*(f.float() for f in features), *(d.clamp_min(LEAST).log() for d in distances)]
    return torch.cat([x if x.shape[-2:] == size else F.interpolate(x, size, mode="bilinear") for x in each], 1)


class Cells:
    """A draw of cells of corrupted images, in half precision."""

    def __init__(self) -> None:
        self._rows: list[Tensor] = []
        self._targets: list[Tensor] = []
        self._folds: list[Tensor] = []

    def add(self, known: Tensor, target: Tensor, folds: Tensor) -> None:
        """Draw cells of images, from torch's generator.

        Args:
            known: of :func:`cells`, shape (N, K, h, w).
            target: how much each cell was changed, in [0, 1], shape (N, 1, h, w).
            folds: which network must not see an image, int64, shape (N,).
        """
        for one, wanted, fold in zip(known.flatten(2).transpose(1, 2), target.flatten(1), folds, strict=True):
            order = torch.randperm(len(wanted)).to(wanted.device)
            corrupted = wanted[order] > CORRUPTED
            bad, good = order[corrupted][: PER_IMAGE // 2], order[~corrupted]
            chosen = torch.cat([bad, good[: PER_IMAGE - len(bad)]])
            self._rows.append(one[chosen].half())
            self._targets.append(wanted[chosen])
            self._folds.append(fold.expand(len(chosen)).to(wanted.device))

    def taken(self) -> tuple[Tensor, Tensor, Tensor]:
        """All rows, shape (n, K), their targets and folds, (n,)."""
        if len(self._rows) > 1:  # else each step would copy all that were ever drawn
            self._rows, self._targets, self._folds = ([torch.cat(x)] for x in (self._rows, self._targets, self._folds))
        return self._rows[0], self._targets[0], self._folds[0]


class CellMarkers(nn.Module):
    """Networks from what is known of a cell to the logit of its mask.

    Args:
        known: numbers for each cell (:func:`cells`).
        networks: how many.
        width: channels of the two hidden layers.
        dropout: share of the numbers that a training step leaves out.
    """

    def __init__(self, known: int, networks: int, width: int, dropout: float) -> None:
        super().__init__()
        self.networks = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm1d(known, affine=False),
                nn.Dropout(dropout),
                nn.Linear(known, width),
                nn.BatchNorm1d(width),
                nn.ReLU(inplace=True),
                nn.Linear(width, width),
                nn.BatchNorm1d(width),
                nn.ReLU(inplace=True),
                nn.Linear(width, 1),
            )
            for _ in range(networks)
        )

    def folds(self, groups: Tensor) -> Tensor:
        """The network that does not see images of a group."""
        return groups % len(self.networks)

    def losses(self, drawn: Cells) -> dict[str, Tensor]:
        """The focal loss of each network on a draw of cells that it may see."""
        rows, targets, folds = drawn.taken()
        found = {}
        for number, network in enumerate(self.networks):
            seen = (folds != number).nonzero()[:, 0]
            if len(seen) == 0:  # all images are of one group
                seen = torch.arange(len(rows), device=rows.device)
            chosen = seen[torch.randint(len(seen), (BATCH,)).to(seen.device)]
            found[f"mask_{number}"] = focal_loss(network(rows[chosen].float())[:, 0], targets[chosen])
        return found

    def forward(self, known: Tensor, without: Tensor | None = None) -> Tensor:
        """Logits of each network, shape (N, networks, h, w); with ``without``, groups of shape (N,), of the one network
        that did not see an image's group, (N, 1, h, w).
        """
        n, _, height, wide = known.shape
        rows = known.permute(0, 2, 3, 1).flatten(0, 2)
        each = torch.stack([network(rows)[:, 0].float() for network in self.networks]).view(-1, n, height, wide)
        if without is None:
            return each.transpose(0, 1)
        return each[self.folds(without), torch.arange(n, device=known.device)][:, None]
