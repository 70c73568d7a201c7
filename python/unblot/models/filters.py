"""Features without any weights: a bank of oriented filters applied twice, as in a scattering transform.

Sources: wavelet scattering (Bruna and Mallat, arXiv 1203.1513): the modulus of oriented band-pass filters at several
scales, and of the same filters applied to these moduli, averaged over cells. What a stride's features hold: the local
energy by orientation and scale, the structure of that energy (where edges stand, how regularly), how much is brighter
and darker than its surroundings, and the brightness. Energies are logarithms, so that contrast becomes an offset.
Whoever compares them scales them by what they are on normal images (:class:`unblot.models.memory.Memory` does).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["FILTERS", "FilterBank", "check_strides"]

FILTERS = "filters"  # its name as a teacher
ORIENTATIONS = 6
SIDE, WAVELENGTH, SIGMA = 7, 4.0, 1.8  # of the filters, in pixels of their scale
FLOOR = 2e-3  # below it, in units of half the value range, energy is as good as none


class FilterBank(nn.Module):
    """A fixed network: log energies of oriented filters at several scales and strides.

    Scale j works on the image shrunk 2 ** j times. A stride s looks at scales up to log2(s), in second order at those
    below it. Nothing is trained.

    Args:
        strides: of the feature maps, powers of two from 4, ascending.

    Attributes:
        channels: features at each stride.

    Raises:
        ValueError: another stride.

    Example:
        >>> bank = FilterBank((8,))
        >>> [tuple(f.shape) for f in bank(torch.zeros(1, 3, 64, 64))], bank.channels
        ([(1, 143, 8, 8)], [143])
    """

    def __init__(self, strides: Sequence[int]) -> None:
        super().__init__()
        check_strides(strides, "the filter bank")
        self.strides = tuple(strides)
        self.register_buffer("kernel", _gabor(), persistent=False)
        self.channels = [_count(s.bit_length() - 1) for s in strides]

    kernel: Tensor

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images, float (N, 1 or 3, H, W) in [-1, 1], to features (N, channels, H / s, W / s) for each stride s."""
        gray = images.mean(1, keepdim=True)
        scales = [gray]
        for _ in range(max(self.strides).bit_length() - 1):
            scales.append(F.avg_pool2d(scales[-1], 2))
        first = [self._energy(x) for x in scales]
        second = {}
        for j, energy in enumerate(first[:-2]):
            shrunk = energy
            for k in range(j + 1, len(first) - 1):
                shrunk = F.avg_pool2d(shrunk, 2)
                second[j, k] = self._energy(shrunk)
        return [self._at(s, images, scales, first, second) for s in self.strides]

    def _at(
        self,
        stride: int,
        images: Tensor,
        scales: Sequence[Tensor],
        first: Sequence[Tensor],
        second: dict[tuple[int, int], Tensor],
    ) -> Tensor:
        last = stride.bit_length() - 1
        size = (images.shape[-2] // stride, images.shape[-1] // stride)
        cells = [F.adaptive_avg_pool2d(energy, size) for energy in first[: last + 1]]
        found = [F.adaptive_avg_pool2d(images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images, size)]
        for x, cell in zip(scales, cells, strict=False):
            # Squares: a spot is strong and its surroundings weak, while plain sums of both would be alike.
            apart = x - F.avg_pool2d(x, 5, 1, 2, count_include_pad=False)
            sides = [F.adaptive_avg_pool2d(side.relu().square(), size).sqrt() for side in (apart, -apart)]
            found += [torch.log(y + FLOOR) for y in (cell, *sides)]
        for (j, k), energy in second.items():
            if k < last:  # relative to what it stands on
                ground = torch.log(cells[j] + 10 * FLOOR).repeat_interleave(ORIENTATIONS, 1)
                found.append(torch.log(F.adaptive_avg_pool2d(energy, size) + FLOOR) - ground)
        return torch.cat(found, 1)

    def _energy(self, x: Tensor) -> Tensor:
        """Modulus of every channel under every orientation, (N, C, H, W) to (N, C · orientations, H, W)."""
        n, c, h, w = x.shape
        padded = F.pad(x.reshape(n * c, 1, h, w), (SIDE // 2,) * 4, mode="replicate")
        parts = F.conv2d(padded, self.kernel).view(n, c, ORIENTATIONS, 2, h, w)
        # The root of energy + 1e-8, written so because optimizers of ONNX graphs leave out a summand of 1e-8.
        return parts.square().sum(3).mul(1e4).add(1e-4).sqrt().mul(1e-2).flatten(1, 2)


def check_strides(strides: Sequence[int], whose: str) -> None:
    """Refuse strides that the filter bank does not have: none, or others than powers of two from 4."""
    if not strides or any(s < 4 or s & (s - 1) for s in strides):
        raise ValueError(f"strides of {whose} must be powers of two from 4, got {list(strides)}")


def _gabor() -> Tensor:
    """Even and odd filters of all orientations, (2 · orientations, 1, side, side); the mean of each is 0."""
    at = torch.arange(SIDE, dtype=torch.float32) - SIDE // 2
    y, x = torch.meshgrid(at, at, indexing="ij")
    bell = torch.exp(-(x * x + y * y) / (2 * SIGMA**2))
    found = []
    for k in range(ORIENTATIONS):
        angle = math.pi * k / ORIENTATIONS
        phase = 2 * math.pi / WAVELENGTH * (x * math.cos(angle) + y * math.sin(angle))
        even, odd = bell * phase.cos(), bell * phase.sin()
        even = even - bell * (even.sum() / bell.sum())
        found += [f / even.abs().sum() for f in (even, odd)]
    return torch.stack(found)[:, None]


def _count(last: int) -> int:
    """Features at stride 2 ** last."""
    return 3 + (last + 1) * (ORIENTATIONS + 2) + last * (last - 1) // 2 * ORIENTATIONS**2
