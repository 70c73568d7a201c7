"""From an anomaly map to one number an image, and how well such numbers tell two sets apart."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["auroc", "spread", "top_mean"]


def top_mean(maps: Tensor, share: float | Tensor) -> Tensor:
    """Mean of the largest values of each map: between the maximum (noisy) and the mean (dilutes a small defect).

    Args:
        maps: float, shape (N, 1, H, W).
        share: of the pixels that are averaged, in [0, 1]; at least one pixel is. A tensor of one number is taken
            without looking at it, so that an exported graph holds it.

    Returns:
        float, shape (N,).

    Example:
        >>> import torch
        >>> top_mean(torch.arange(8.0).view(1, 1, 2, 4), 0.25)
        tensor([6.5000])
    """
    flat = maps.flatten(1)
    if isinstance(share, Tensor):
        count = (share * flat.shape[1]).round().clamp_min(1)
        ranked = flat.sort(dim=1, descending=True).values
        return (ranked * (torch.arange(flat.shape[1], device=flat.device) < count)).sum(1) / count
    return flat.topk(max(1, round(share * flat.shape[1])), dim=1).values.mean(1)


def auroc(below: Tensor, above: Tensor) -> Tensor:
    """Probability that a value of ``above`` exceeds one of ``below``; a tie counts half.

    Args:
        below: float, shape (n,).
        above: float, shape (m,).

    Example:
        >>> import torch
        >>> auroc(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0]))
        tensor(0.8750)
    """
    order = above[:, None] - below[None]
    return ((order > 0).float() + (order == 0).float() / 2).mean()


def spread(values: Tensor) -> tuple[Tensor, Tensor]:
    """Median, and the root of the mean square by which the values above it exceed it.

    The latter is 2 % of the former at least, and never 0: a few values that are alike say little of how far others
    will reach.

    Example:
        >>> import torch
        >>> spread(torch.tensor([0.0, 1.0, 1.0, 4.0]))
        (tensor(1.), tensor(3.))
    """
    middle = values.median()
    above = values[values > middle] - middle
    reach = above.square().mean().sqrt() if len(above) else torch.zeros_like(middle)
    return middle, torch.maximum(reach, 0.02 * middle.abs()).clamp_min(1e-6)
