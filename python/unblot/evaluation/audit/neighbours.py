"""Images as vectors without any trained network, and their nearest neighbours.

The vector says where in the image edges run in which direction, cell by cell, each cell normalised by its own contrast:
a histogram of oriented gradients (Dalal and Triggs, 2005). Another exposure changes gradients by a factor, which the
normalisation takes out; a shift by less than a cell moves little weight from a cell to its neighbour.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import pi

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unblot.data import ImageSet

__all__ = ["describe", "draw", "gradient_histograms", "nearest", "stack"]

CELLS, DIRECTIONS = 8, 8
_SMALLEST = 4 * CELLS  # pixels; a cell of fewer than 4 x 4 has no gradients to speak of
_LARGEST = 32 * CELLS  # finer gradients are noise and cost memory
_CHUNK = 256  # queries whose distances are found together
_DESCRIBED = 32  # images whose gradients are in memory at a time


def draw(count: int, most: int, seed: int = 0) -> NDArray[np.int64]:
    """Positions of at most ``most`` of ``count`` images, drawn by ``seed``, ascending.

    Example:
        >>> draw(3, 5).tolist(), len(draw(100, 5))
        ([0, 1, 2], 5)
    """
    chosen = np.random.default_rng(seed).permutation(count)[:most]
    return np.sort(chosen).astype(np.int64)


def stack(images: ImageSet, chosen: Sequence[int] | NDArray[np.int64]) -> Tensor:
    """Images as one uint8 tensor (n, C, size, size)."""
    shape = (len(chosen), images.channels, images.size, images.size)
    out = torch.empty(shape, dtype=torch.uint8)
    for row, index in zip(out, chosen, strict=True):
        row.copy_(images[int(index)]["image"])
    return out


def describe(images: ImageSet, chosen: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
    """Gradient histograms of the chosen images, shape (n, 512), chunk by chunk."""
    chunks = [chosen[i : i + _DESCRIBED] for i in range(0, len(chosen), _DESCRIBED)]
    vectors = [gradient_histograms(stack(images, chunk)) for chunk in chunks]
    return np.concatenate(vectors) if vectors else np.empty((0, CELLS * CELLS * DIRECTIONS), np.float32)


def gradient_histograms(images: Tensor) -> NDArray[np.float32]:
    """Vectors of length 1, shape (N, 512): 8 x 8 cells of 8 directions; all zero for a constant image.

    Args:
        images: uint8, shape (N, C, H, W).
    """
    x = images.float().mean(1, keepdim=True)
    if min(x.shape[-2:]) < _SMALLEST:
        x = F.interpolate(x, size=(_SMALLEST, _SMALLEST), mode="bilinear", align_corners=False)
    if min(x.shape[-2:]) > _LARGEST:
        x = F.interpolate(x, size=(_LARGEST, _LARGEST), mode="area")
    dx = x[..., 1:-1, 2:] - x[..., 1:-1, :-2]
    dy = x[..., 2:, 1:-1] - x[..., :-2, 1:-1]
    # An edge and its reverse have one direction; it is shared between the two bins that it lies between.
    angle = (torch.atan2(dy, dx) % pi) * (DIRECTIONS / pi)
    away = (angle - torch.arange(DIRECTIONS)[:, None, None]).abs()
    away = torch.minimum(away, DIRECTIONS - away)
    cells = F.adaptive_avg_pool2d((1 - away).relu() * torch.hypot(dx, dy), CELLS)
    # A cell without contrast holds noise alone: half of the image's mean contrast keeps it from being blown up.
    contrast = cells.norm(dim=1, keepdim=True)
    vectors = (cells / (contrast + 0.5 * contrast.mean((2, 3), keepdim=True)).clamp_min(1e-6)).flatten(1)
    return np.asarray(F.normalize(vectors, dim=1, eps=1e-6).numpy(), dtype=np.float32)


def nearest(
    queries: NDArray[np.float32],
    references: NDArray[np.float32],
    k: int,
    *,
    apart: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The k nearest references of every query, by Euclidean distance, nearest first.

    Args:
        queries: shape (n, D).
        references: shape (m, D), m ≥ k.
        k: number of neighbours.
        apart: a number for each query and each reference; equal numbers are never neighbours (distance infinite).

    Returns:
        Distances and positions in ``references``, both of shape (n, k).

    Example:
        >>> points = np.array([[0.0], [1.0], [3.0]], np.float32)
        >>> nearest(points, points, 1, apart=(np.arange(3), np.arange(3)))[1].ravel().tolist()
        [1, 0, 1]
    """
    square = (references.astype(np.float64) ** 2).sum(1)
    distances, positions = [], []
    for start in range(0, len(queries), _CHUNK):
        part = queries[start : start + _CHUNK]
        squared = (part.astype(np.float64) ** 2).sum(1)[:, None] + square - 2.0 * (part @ references.T)
        if apart is not None:
            squared[apart[0][start : start + _CHUNK, None] == apart[1]] = np.inf
        near = np.argpartition(squared, k - 1, axis=1)[:, :k]
        found = np.take_along_axis(squared, near, axis=1)
        order = np.argsort(found, axis=1, kind="stable")
        distances.append(np.sqrt(np.maximum(np.take_along_axis(found, order, axis=1), 0.0)))
        positions.append(np.take_along_axis(near, order, axis=1))
    empty: tuple[NDArray[np.float64], NDArray[np.int64]] = np.empty((0, k)), np.empty((0, k), np.int64)
    return (np.concatenate(distances), np.concatenate(positions).astype(np.int64)) if distances else empty
