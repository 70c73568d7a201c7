"""The graph that is exported, from bytes to score and anomaly map.

It takes uint8 (N, H, W, C) of any H and W and does all that a run does with the pixels of a file: resize to the
training size, scale to [-1, 1], score. The resize gives Pillow's own bytes: its bilinear filter (a triangle, as wide as
the shrinking factor, so that it averages) is a matrix of 22-bit fixed-point coefficients for each side, applied along
the width, then along the height, each result rounded and clipped to a byte (Pillow's ``src/libImaging/Resample.c``).
Two products in float64 give those integers exactly. Tall images are the exception: some versions of Pillow take the
height first, and then a byte may differ by one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unblot.detectors import Detector

__all__ = ["Graph", "resize"]

BITS = 22  # of a fixed-point coefficient (Pillow's PRECISION_BITS)


class Graph(nn.Module):
    """What is exported: uint8 (N, H, W, C) to scores (N,) and maps (N, size, size), float32.

    Args:
        detector: in eval mode.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Resize, scale, score."""
        pixels = resize(images.permute(0, 3, 1, 2), self.detector.size)
        scores = self.detector.score(pixels.float() / 127.5 - 1)
        return scores.image.float(), scores.map.float()[:, 0]


def resize(images: Tensor, size: int) -> Tensor:
    """Bytes (N, C, H, W) to (N, C, size, size) as Pillow's bilinear resize gives them, as float64 whole numbers.

    Example:
        >>> resize(torch.tensor([[[[0, 255]]]], dtype=torch.uint8), 1)
        tensor([[[[128.]]]], dtype=torch.float64)
    """
    height, width = images.shape[2:]
    across = _rounded(images.double() @ _coefficients(width, size, images.device).T)
    return _rounded(_coefficients(height, size, images.device) @ across)


def _coefficients(old: int, new: int, device: torch.device) -> Tensor:
    """Pillow's coefficients as whole numbers in float64, shape (new, old); rows sum to about 2 ** BITS."""
    scale = torch.ones((), dtype=torch.float64, device=device) * old / new
    center = (torch.arange(new, dtype=torch.float64, device=device) + 0.5) * scale
    place = torch.arange(old, dtype=torch.float64, device=device) + 0.5
    weights = (1 - ((place - center[:, None]) / scale.clamp_min(1.0)).abs()).clamp_min(0.0)
    fixed: Tensor = weights / weights.sum(1, keepdim=True) * 2**BITS
    return (fixed + 0.5).floor()


def _rounded(sums: Tensor) -> Tensor:
    halved: Tensor = (sums + 2 ** (BITS - 1)) / 2**BITS
    return halved.floor().clamp(0, 255)
