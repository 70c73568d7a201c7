"""Features without any weights: a bank of oriented filters applied twice, as in a scattering transform.

Sources: wavelet scattering (Bruna and Mallat, arXiv 1203.1513): the modulus of oriented band-pass filters at several
scales, and of the same filters applied to these moduli, averaged over cells. What a stride's features hold: the local
energy by orientation and scale, the structure of that energy (where edges stand, how regularly), how much is brighter
and darker than its surroundings, and the brightness. Energies are logarithms, so that contrast becomes an offset.
Whoever compares them scales them by what they are on normal images (:class:`unblot.detectors.memory.Memory` does).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["FILTERS", "FilterBank", "check_strides"]

FILTERS = "filters"  # its name as a backbone
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
        top = max(self.strides).bit_length() - 1
        scales = _shrunk(images.mean(1, keepdim=True), top)
        # By the scale at which they are made; each shrunk as far as the coarsest stride.
        first = [_shrunk(self._energy(x), top - j) for j, x in enumerate(scales)]
        second = {
            (j, k): _shrunk(self._energy(first[j][k - j]), top - k) for j in range(top - 1) for k in range(j + 1, top)
        }
        # Squares: a spot is strong and its surroundings weak, while plain sums of both would be alike.
        apart = [x - _around(x) for x in scales]
        sides = [[_shrunk(side.relu().square(), top - j) for side in (x, -x)] for j, x in enumerate(apart)]
        rgb = _shrunk(images.expand(-1, 3, -1, -1), top)
        found = []
        for last in (s.bit_length() - 1 for s in self.strides):
            features = [rgb[last]]
            for j in range(last + 1):
                lighter, darker = (side[last - j].sqrt() for side in sides[j])
                features += [torch.log(y + FLOOR) for y in (first[j][last - j], lighter, darker)]
            for (j, k), energy in second.items():
                if k < last:  # relative to what it stands on
                    ground = torch.log(first[j][last - j] + 10 * FLOOR).repeat_interleave(ORIENTATIONS, 1)
                    features.append(torch.log(energy[last - k] + FLOOR) - ground)
            found.append(torch.cat(features, 1))
        return found

    def _energy(self, x: Tensor) -> Tensor:
        """Modulus of every channel under every orientation, (N, C, H, W) to (N, C · orientations, H, W)."""
        n, c, h, w = x.shape
        padded = F.pad(x.reshape(n * c, 1, h, w), (SIDE // 2,) * 4, mode="replicate")
        even, odd = F.conv2d(padded, self.kernel).view(n, c, ORIENTATIONS, 2, h, w).unbind(3)
        energy = even.square().addcmul_(odd, odd)
        # The root of energy + 1e-8, written so because optimizers of ONNX graphs leave out a summand of 1e-8.
        return energy.mul_(1e4).add_(1e-4).sqrt_().mul(1e-2).flatten(1, 2)


def _shrunk(x: Tensor, times: int) -> list[Tensor]:
    """(N, C, H, W), and its means over 2 × 2 places, over 4 × 4, and so on, so many times."""
    found = [x]
    for _ in range(times):
        if x.shape[-2] % 2 or x.shape[-1] % 2:
            x = F.avg_pool2d(x, 2)
        else:  # the same in a fifth of the time on a CPU
            rows = x[..., ::2, :] + x[..., 1::2, :]
            x = (rows[..., ::2] + rows[..., 1::2]).mul(0.25)
        found.append(x)
    return found


def _around(x: Tensor) -> Tensor:
    """Mean over the 5 × 5 places around each that are within the image, (N, 1, H, W)."""
    return _sum_around(x) / _sum_around(x.new_ones(1, 1, *x.shape[-2:]))


def _sum_around(x: Tensor) -> Tensor:
    """Sum over them; row by row and column by column, which on a CPU takes a fraction of the time of a pooling."""
    for dim, pad in ((2, (0, 0, 2, 2)), (3, (2, 2, 0, 0))):
        wide, size = F.pad(x, pad), x.shape[dim]
        first, *others = (wide.narrow(dim, i, size) for i in range(5))
        x = sum(others, start=first)
    return x


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
