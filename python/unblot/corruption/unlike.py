"""Defects unlike any that the core draws: shading, blur and warping. For judging alone, never for training.

The core replaces pixels of a spot, by noise, a stain or a patch. Whoever is trained on that learns that way of being
wrong by heart, in whatever shape it comes. These change what is there by other mechanisms: light, focus and geometry.
They are soft at the border, from hardly visible to plain, and cover 0.4 to 6 % of the image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["MECHANISMS", "blur", "shade", "warp"]

AREA = (0.004, 0.06)
TRIES = 4  # places of which the one with the most detail is taken: blurring or bending a plain spot changes nothing


def shade(images: Tensor, keys: Sequence[int], seed: int = 0) -> Tensor:
    """A soft spot of each image brighter or darker, by 6 to 30 % of the value range.

    Args:
        images: uint8, shape (N, C, S, S).
        keys: one for each image; the same key and seed give the same defect, whatever stands beside it.
        seed: of all draws.

    Returns:
        Images, same shape and type.

    Example:
        >>> images = torch.full((1, 1, 64, 64), 100, dtype=torch.uint8)
        >>> changed = (shade(images, [0]) != images).float().mean().item()
        >>> 0.001 < changed < 0.3
        True
    """

    def one(image: Tensor, draw: torch.Generator) -> Tensor:
        sign = 1 if torch.rand((), generator=draw) < 0.5 else -1
        return image + sign * _between(0.06, 0.3, draw) * _spot(image, draw, soft=1.0)

    return _each(images, keys, seed, 1, one)


def blur(images: Tensor, keys: Sequence[int], seed: int = 0) -> Tensor:
    """A spot of each image out of focus: a Gaussian of 0.8 to 3 % of the image's size. See :func:`shade`."""

    def one(image: Tensor, draw: torch.Generator) -> Tensor:
        spot = _spot(image, draw, soft=0.4)
        return image + spot * (_gaussian(image, _between(0.008, 0.03, draw) * image.shape[-1]) - image)

    return _each(images, keys, seed, 2, one)


def warp(images: Tensor, keys: Sequence[int], seed: int = 0) -> Tensor:
    """A spot of each image bent, by some 1 to 4 % of the image's size. See :func:`shade`."""

    def one(image: Tensor, draw: torch.Generator) -> Tensor:
        spot, size, strength = _spot(image, draw, soft=0.8), image.shape[-1], _between(0.02, 0.08, draw)
        centres = torch.linspace(-1 + 1 / size, 1 - 1 / size, size)
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        move = [strength * spot * _waves(size, 10, draw) for _ in range(2)]
        grid = torch.stack([x + move[0], y + move[1]], -1)[None]
        return F.grid_sample(image[None], grid, mode="bilinear", padding_mode="reflection", align_corners=False)[0]

    return _each(images, keys, seed, 3, one)


MECHANISMS: dict[str, Callable[[Tensor, Sequence[int], int], Tensor]] = {"shade": shade, "blur": blur, "warp": warp}
"""By name."""


def _each(
    images: Tensor, keys: Sequence[int], seed: int, stream: int, one: Callable[[Tensor, torch.Generator], Tensor]
) -> Tensor:
    made = []
    for image, key in zip(images, keys, strict=True):
        draw = torch.Generator().manual_seed((seed * 1_000_003 + key) * 7 + stream)
        made.append((one(image.float() / 255, draw).clamp(0, 1) * 255).round().to(torch.uint8))
    return torch.stack(made)


def _between(low: float, high: float, draw: torch.Generator) -> float:
    return low + (high - low) * torch.rand((), generator=draw).item()


def _waves(size: int, coarse: int, draw: torch.Generator) -> Tensor:
    """A smooth random field, standard deviation about 1, shape (size, size)."""
    knots = torch.randn(1, 1, coarse, coarse, generator=draw)
    return F.interpolate(knots, (size, size), mode="bicubic", align_corners=False)[0, 0]


def _spot(image: Tensor, draw: torch.Generator, soft: float) -> Tensor:
    """Weights of an irregular spot, in [0, 1], shape (S, S); its border is ``soft`` radii wide."""
    size = image.shape[-1]
    radius = math.sqrt(math.exp(_between(math.log(AREA[0]), math.log(AREA[1]), draw)) / math.pi)
    places = radius + (1 - 2 * radius) * torch.rand(TRIES, 2, generator=draw)
    gray = image.mean(0, keepdim=True)[None]
    detail = _blurred_detail(gray, max(1, int(radius * size)))
    at = (places * size).long().clamp(0, size - 1)
    cy, cx = places[detail[at[:, 0], at[:, 1]].argmax()].tolist()
    stretch, angle = math.exp(_between(-0.5, 0.5, draw) * math.log(2.5)), _between(0, math.pi, draw)
    steps = (torch.arange(size) + 0.5) / size
    y, x = torch.meshgrid(steps - cy, steps - cx, indexing="ij")
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    distance = torch.hypot(along / stretch, across * stretch) / radius + 0.25 * _waves(size, 8, draw)
    return ((1 + soft / 2 - distance) / soft).clamp(0, 1)


def _blurred_detail(gray: Tensor, reach: int) -> Tensor:
    """How much neighbouring pixels differ within ``reach``, shape (S, S)."""
    rough = (gray - F.avg_pool2d(gray, 5, 1, 2, count_include_pad=False)).abs()
    wide = 2 * reach + 1  # the mean of a rectangle is the mean of its rows' means
    rows = F.avg_pool2d(rough, (1, wide), 1, (0, reach), count_include_pad=False)
    return F.avg_pool2d(rows, (wide, 1), 1, (reach, 0), count_include_pad=False)[0, 0]


def _gaussian(image: Tensor, sigma: float) -> Tensor:
    """The image convolved with a Gaussian; beyond its border it goes on as at the border."""
    reach = max(1, math.ceil(3 * sigma))
    weights = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    wide = F.pad(image[:, None], (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(wide, weights.view(1, 1, 1, -1)), weights.view(1, 1, -1, 1))[:, 0]
