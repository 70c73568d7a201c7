"""How much of a patch lies outside the subspace that normal patches span.

Source: SubspaceAD (Lendering et al., arXiv 2602.23013): principal components of the patch features of a few normal
images, as many as hold 99 % of their variance; a patch is anomalous by the length of what these components do not
explain. Nothing is searched and nothing is remembered but a mean and some axes, so one image is enough to begin with.

Left-out distances are exact: moments add up, so the subspace without a fold of groups is that of all moments less its
own. Up to 20 groups are folds of their own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unblot.layers.bank import patch_rows

__all__ = ["Residual", "principal"]

FOLDS = 20  # of groups, each of which can be looked at as if nothing had been learnt from it


class Residual(nn.Module):
    """The principal subspace of normal patches, and how far others lie from it, in units of what it leaves of normal
    ones.

    Args:
        channels: of the features.
        variance: share of the variance of normal patches that the subspace holds, above 0 and below 1.

    Example:
        >>> line = torch.linspace(-1, 1, 8).view(1, 1, 1, 8) * torch.tensor([1.0, 2.0]).view(1, 2, 1, 1)
        >>> residual = Residual(2, variance=0.99)
        >>> residual.add(line, torch.zeros(1, dtype=torch.int64))
        >>> residual.finish()
        >>> beside = line + torch.tensor([2.0, -1.0]).view(1, 2, 1, 1)  # at a right angle to the line
        >>> bool(residual(beside).min() > 1e3 * residual(line).max())
        True
    """

    def __init__(self, channels: int, *, variance: float) -> None:
        super().__init__()
        self.variance = variance
        # What training fills; buffers of a checkpoint may change their shape.
        self.register_buffer("centre", torch.zeros(channels))
        self.register_buffer("axes", torch.zeros(channels, 0))
        self.register_buffer("usual", torch.ones(()))  # length of what the axes leave of normal patches, on average
        self._moments: dict[int, list[Tensor]] = {}  # by fold: count, sum, sum of outer products
        self._apart: dict[int, tuple[Tensor, Tensor, Tensor]] = {}  # by fold: what the others have found
        self._groups: set[int] = set()
        self._end = 0  # above the numbers of all groups that were seen

    groups_min = 2  # for left-out distances

    centre: Tensor
    axes: Tensor
    usual: Tensor

    @property
    def groups(self) -> Tensor:
        """The groups that were seen, int64, ascending; none once they are forgotten."""
        return torch.tensor(sorted(self._groups), dtype=torch.int64)

    def add(self, patches: Tensor, groups: Tensor) -> None:
        """See patches, shape (N, channels, H, W), of images of these groups, shape (N,)."""
        self._end = max(self._end, int(groups.max()) + 1)
        self._groups |= set(groups.tolist())
        for fold in sorted(set((groups % FOLDS).tolist())):
            rows = patch_rows(patches[groups % FOLDS == fold]).double().cpu()
            new = [torch.tensor(float(len(rows)), dtype=torch.float64), rows.sum(0), rows.T @ rows]
            known = self._moments.get(fold)
            self._moments[fold] = new if known is None else [a + b for a, b in zip(known, new, strict=True)]

    def finish(self) -> None:
        """Find the subspace, for each fold of groups, too."""
        whole = self._without(None)
        self.centre, self.axes, self.usual = (each.to(self.centre) for each in whole)
        self._apart = {fold: self._without(fold) for fold in self._moments} if len(self._moments) > 1 else {}

    def forget(self) -> None:
        """Drop what left-out distances take: from here on none can be had."""
        self._moments, self._apart, self._groups = {}, {}, set()

    def forward(self, patches: Tensor, without: Tensor | None = None) -> Tensor:
        """Patches, shape (N, channels, H, W), to lengths of what the subspace does not explain, shape (N, 1, H, W).

        With ``without``, groups of shape (N,), by the subspace of the other folds of groups, where there are such. For
        a group that was never seen it is the plain one.
        """
        if without is None:
            return _lengths(patches, self.centre, self.axes, self.usual)
        found = patches.new_empty(len(patches), 1, *patches.shape[2:])
        fold = torch.where(without < self._end, without % FOLDS, FOLDS)
        for number in sorted(set(fold.tolist())):
            own = fold == number
            space = self._apart.get(number, (self.centre, self.axes, self.usual))
            found[own] = _lengths(patches[own], *(each.to(patches) for each in space))
        return found

    def _without(self, fold: int | None) -> tuple[Tensor, Tensor, Tensor]:
        """Centre, axes and usual length of all moments but those of a fold."""
        kept = [moments for number, moments in self._moments.items() if number != fold]
        count, total, outer = (torch.stack(each).sum(0) for each in zip(*kept, strict=True))
        centre = total / count
        axes, left = principal(outer / count - centre.outer(centre), self.variance)
        return centre, axes, left.sqrt()


def principal(covariance: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """The fewest principal axes that hold a share of the variance.

    Args:
        covariance: float64, shape (width, width).
        share: above 0 and below 1.

    Returns:
        Axes, shape (width, count), those of large variance first, and the variance that they leave, above 0.

    Example:
        >>> axes, left = principal(torch.diag(torch.tensor([1.0, 90.0, 9.0])), 0.95)
        >>> axes.shape, float(left)
        (torch.Size([3, 2]), 1.0)
    """
    variance, axes = torch.linalg.eigh(covariance)
    variance = variance.clamp_min(0).flip(0)
    held = variance.cumsum(0)
    count = min(int((held < share * held[-1]).sum()) + 1, len(variance))
    # Laid out as a checkpoint gives it back: a matrix product's last bit depends on that.
    kept = axes.flip(1)[:, :count].contiguous()
    return kept, (held[-1] - held[count - 1]).clamp_min(1e-6 * held[-1]).clamp_min(1e-12)


def _lengths(patches: Tensor, centre: Tensor, axes: Tensor, usual: Tensor) -> Tensor:
    rows = patches.permute(0, 2, 3, 1) - centre
    left = rows - (rows @ axes) @ axes.T
    found: Tensor = torch.linalg.vector_norm(left, dim=-1) / usual
    return found[:, None]
