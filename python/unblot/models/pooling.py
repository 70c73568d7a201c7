"""From an anomaly map to one number an image."""

from __future__ import annotations

from torch import Tensor

__all__ = ["top_mean"]


def top_mean(maps: Tensor, share: float) -> Tensor:
    """Mean of the largest values of each map: between the maximum (noisy) and the mean (dilutes a small defect).

    Args:
        maps: float, shape (N, 1, H, W).
        share: of the pixels that are averaged, in [0, 1]; at least one pixel is.

    Returns:
        float, shape (N,).

    Example:
        >>> import torch
        >>> top_mean(torch.arange(8.0).view(1, 1, 2, 4), 0.25)
        tensor([6.5000])
    """
    flat = maps.flatten(1)
    return flat.topk(max(1, round(share * flat.shape[1])), dim=1).values.mean(1)
