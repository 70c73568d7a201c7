"""A backbone from scratch: it learns to mark blots on the user's own normal images, and stands still from then on.

No weights come from elsewhere. What marks blots must know how things around belong together, so what it marks them by
is a description of normal images (features of a network trained on a made-up task, as in CutPaste, Li et al., arXiv
2104.04015, here with the patent's corruption). It looks at a filter bank, not at pixels: a network that sees
pixels soon knows by heart how blots are made, and its features were of less use (``docs/research-log``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from unblot.backbones.filters import FilterBank, check_strides
from unblot.layers.marking import Marker, changed, disguised, focal_loss

__all__ = ["SCRATCH", "BlotNet"]

SCRATCH = "scratch"  # its name as a backbone
WIDTH, DROPOUT = 128, 0.1  # of each marking network
FULL, AUGMENT = 0.05, 0.2  # as for ``feature_mask``


class BlotNet(nn.Module):
    """Marking networks for several strides on a filter bank's features; what they mark by is what a backbone gives.

    Args:
        strides: of the feature maps, powers of two from 4, ascending.

    Attributes:
        channels: features at each stride.
        below: strides of the filter bank's features that they look at.

    Raises:
        ValueError: another stride.

    Example:
        >>> net = BlotNet((8, 16)).eval()
        >>> bank = FilterBank(net.below)
        >>> [tuple(f.shape) for f in net(*bank(torch.zeros(1, 3, 64, 64)))], net.below, net.channels
        ([(1, 128, 8, 8), (1, 128, 4, 4)], (4, 8, 16), [128, 128])
    """

    def __init__(self, strides: Sequence[int]) -> None:
        super().__init__()
        check_strides(strides, f"the backbone {SCRATCH!r}")
        self.strides = tuple(strides)
        self.below = tuple(2**k for k in range(2, max(strides).bit_length()))
        looked_at = list(zip(self.below, FilterBank(self.below).channels, strict=True))
        self.markers = nn.ModuleList(Marker(looked_at, stride, WIDTH, DROPOUT) for stride in strides)
        self.channels: list[int] = [WIDTH] * len(strides)

    def forward(self, *looked_at: Tensor) -> list[Tensor]:
        """Features of the filter bank at the strides ``below`` to features (N, channels, H / s, W / s) for each stride
        s.
        """
        return [marker.hidden(looked_at) for marker in self._markers()]

    def loss(self, clean: Tensor, noisy: Tensor, bank: Callable[[Tensor], Sequence[Tensor]]) -> Tensor:
        """How badly the blots are marked, the sum over strides; images float (N, C, H, W) in [-1, 1]."""
        clean, noisy = disguised(clean, noisy, soften=True, augment=AUGMENT)
        looked_at = bank(noisy)
        marked = ((marker(looked_at), changed(clean, noisy, marker.stride, FULL)) for marker in self._markers())
        return torch.stack([focal_loss(logits, target) for logits, target in marked]).sum()

    def _markers(self) -> list[Marker]:
        return [m for m in self.markers if isinstance(m, Marker)]
