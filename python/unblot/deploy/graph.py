"""The graph that is exported, from bytes to score and anomaly map.

It takes uint8 (N, H, W, C) of any H and W and does all that a run does with the pixels of a file: fit to the square of
the training size (:mod:`unblot.data.fitting`), scale to [-1, 1], score. The resize gives Pillow's own bytes: its
bilinear filter (a triangle, as wide as the shrinking factor, so that it averages) is a matrix of 22-bit fixed-point
coefficients for each side, applied along the width, then along the height, each result rounded and clipped to a byte
(Pillow's ``src/libImaging/Resample.c``). Two products in float64 give those integers exactly. A crop is columns of
zeros in these matrices, a mirrored margin their rows again. Tall images are the exception: some versions of Pillow take
the height first, and then a byte may differ by one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unblot.data.fitting import CROP, PAD, STRETCH
from unblot.detectors import Detector

__all__ = ["Graph", "resize"]

BITS = 22  # of a fixed-point coefficient (Pillow's PRECISION_BITS)


class Graph(nn.Module):
    """What is exported: uint8 (N, H, W, C) to scores (N,) and maps (N, size, size), float32.

    Args:
        detector: in eval mode.
        fit: how images become squares.
    """

    def __init__(self, detector: Detector, fit: str = STRETCH) -> None:
        super().__init__()
        self.detector, self.fit = detector, fit

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Resize, scale, score."""
        pixels = resize(images.permute(0, 3, 1, 2), self.detector.size, self.fit)
        scores = self.detector.score(pixels.float() / 127.5 - 1)
        return scores.image.float(), scores.map.float()[:, 0]


def resize(images: Tensor, size: int, fit: str = STRETCH) -> Tensor:
    """Bytes (N, C, H, W) to (N, C, size, size) as :func:`unblot.data.fitting.fitted` gives them, as float64 whole
    numbers.

    Example:
        >>> resize(torch.tensor([[[[0, 255]]]], dtype=torch.uint8), 1)
        tensor([[[[128.]]]], dtype=torch.float64)
    """
    height, width = images.shape[2:]
    across = _rounded(images.double() @ _coefficients(width, height, size, fit, images.device).T)
    return _rounded(_coefficients(height, width, size, fit, images.device) @ across)


def _coefficients(old: int, other: int, size: int, fit: str, device: torch.device) -> Tensor:
    """Pillow's coefficients of one side as whole numbers in float64, shape (size, old); rows sum to about 2 ** BITS.

    Args:
        old: pixels of the image along this side.
        other: pixels along the other side.
        size: pixels of the square.
        fit: how the image becomes a square.
        device: of the result.
    """
    # Sides are tensors, for those of a graph are not known.
    one = torch.ones((), dtype=torch.int64, device=device)
    length, across = one * old, one * other
    kept, new = length, one * size
    if fit == CROP:
        kept = torch.minimum(length, across)
    if fit == PAD:
        longer = torch.maximum(length, across)
        new = ((2 * length * size + longer) // (2 * longer)).clamp_min(1)
    scale = kept.double() / new.double()
    turn = (torch.arange(size, device=device) - (size - new) // 2) % (2 * new)
    center = (torch.minimum(turn, 2 * new - 1 - turn).double() + 0.5) * scale
    place = (torch.arange(old, device=device) - (length - kept) // 2).double() + 0.5
    weights = (1 - ((place - center[:, None]) / scale.clamp_min(1.0)).abs()).clamp_min(0.0)
    if fit == CROP:
        weights = weights * ((place > 0) & (place < kept))
    fixed: Tensor = weights / weights.sum(1, keepdim=True) * 2**BITS
    return (fixed + 0.5).floor()


def _rounded(sums: Tensor) -> Tensor:
    halved: Tensor = (sums + 2 ** (BITS - 1)) / 2**BITS
    return halved.floor().clamp(0, 255)
