"""A teacher from scratch: it learns to mark blots on the user's own normal images, and stands still from then on.

No weights come from elsewhere. What marks blots must know how the pixels around belong together, so the features on its
way up are a description of normal images (the encoder of a network trained on a made-up task, as in CutPaste, Li et
al., arXiv 2104.04015, here the patent's corruption and the mask network of ``mask``).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unblot.models.marking import changed, disguised, focal_loss
from unblot.models.unet import UNet

__all__ = ["SCRATCH", "BlotNet"]

SCRATCH = "scratch"  # its name as a teacher
WIDTH = 16  # channels of the U-Net at stride 2
FULL, AUGMENT = 0.05, 0.2  # as for ``mask``


class BlotNet(nn.Module):
    """A U-Net that marks blots at several strides; its features there are what a teacher gives.

    Args:
        strides: of the feature maps, powers of two from 2, ascending.

    Attributes:
        channels: features at each stride.

    Raises:
        ValueError: another stride.

    Example:
        >>> net = BlotNet((8, 16)).eval()
        >>> [tuple(f.shape) for f in net(torch.zeros(1, 3, 64, 64))], net.channels
        ([(1, 64, 8, 8), (1, 128, 4, 4)], [64, 128])
    """

    def __init__(self, strides: Sequence[int]) -> None:
        super().__init__()
        if not strides or any(s < 2 or s & (s - 1) for s in strides):
            raise ValueError(f"strides of the teacher {SCRATCH!r} must be powers of two from 2, got {list(strides)}")
        self.strides = tuple(strides)
        self.unet = UNet(3, dict.fromkeys(strides, 1), WIDTH, depth=max(strides).bit_length())
        self.channels: list[int] = [head.in_channels for head in self.unet.heads.values()]  # type: ignore[misc]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images, float (N, 3, H, W) in [-1, 1], to features (N, channels, H / s, W / s) for each stride s."""
        found = self.unet.features(images)
        return [found[s].float() for s in self.strides]

    def loss(self, clean: Tensor, noisy: Tensor) -> Tensor:
        """How badly the blots are marked, the mean over strides; images float (N, 3, H, W) in [-1, 1]."""
        clean, noisy = disguised(clean, noisy, soften=True, augment=AUGMENT)
        marked = zip(self.unet(noisy), self.strides, strict=True)
        return torch.stack([focal_loss(m, changed(clean, noisy, s, FULL)) for m, s in marked]).mean()
