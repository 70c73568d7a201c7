"""What several have in common that mark blots: targets, loss, variation, the network that marks on features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Marker", "changed", "disguised", "focal_loss", "softened", "varied"]


def changed(clean: Tensor, noisy: Tensor, stride: int, full: float) -> Tensor:
    """How much the pixels of each cell were changed.

    Args:
        clean: float, shape (N, C, H, W), in [-1, 1].
        noisy: same shape and range.
        stride: height and width of a cell in pixels.
        full: mean change of a cell's pixels, as a share of the value range, that counts as 1; above 0.

    Returns:
        float, shape (N, 1, H / stride, W / stride), in [0, 1]. A pixel's change is that of its most changed channel.
    """
    change = (noisy - clean).abs_().amax(1, keepdim=True) / 2  # of the value range, which is 2 wide
    return (F.avg_pool2d(change, stride) / full).clamp_max(1)


def focal_loss(logits: Tensor, target: Tensor, gamma: float = 2.0) -> Tensor:
    """Focal loss for targets between 0 and 1 (Li et al., arXiv 2006.04388): cross-entropy times |p - target| ** gamma.

    For targets of 0 and 1 it is that of Lin et al. (arXiv 1708.02002).

    Args:
        logits: float, any shape.
        target: in [0, 1], same shape.
        gamma: 0 is cross-entropy; the higher, the less what is nearly right counts.

    Returns:
        The mean, a scalar.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return ((logits.sigmoid() - target).abs() ** gamma * entropy).mean()


def disguised(
    clean: Tensor, noisy: Tensor, *, soften: bool, augment: float, mirror: bool = True
) -> tuple[Tensor, Tensor]:
    """A pair changed against learning the blots by heart: see :func:`softened` and :func:`varied`.

    Args:
        clean: float, shape (N, C, H, W), in [-1, 1].
        noisy: same shape and range.
        soften: fade and blur blots.
        augment: strength of the variation, in [0, 1); 0 leaves out mirroring too.
        mirror: whether half of the images are mirrored: not where they are compared with what is remembered.

    Returns:
        ``clean`` and ``noisy``, in [-1, 1].
    """
    if soften:
        noisy = softened(clean, noisy)
    return varied(clean, noisy, augment, mirror=mirror) if augment else (clean, noisy)


def softened(clean: Tensor, noisy: Tensor) -> Tensor:
    """Fade the blots of half of the images, to 15 % at least, and blur those of half of them.

    What is blurred is the difference to the clean image, over 3, 5 or 7 pixels: noise becomes a stain, a sharp edge a
    soft one. Draws from torch's generator.

    Args:
        clean: float, shape (N, C, H, W), in [-1, 1].
        noisy: same shape and range.

    Returns:
        Blotted images, same shape and range.
    """
    n, blot = len(clean), noisy - clean
    fade = torch.where(torch.rand(n) < 0.5, 0.15 + 0.85 * torch.rand(n), 1.0)
    blur = torch.where(torch.rand(n) < 0.5, torch.randint(1, 4, (n,)), 0)
    for radius in (1, 2, 3):
        chosen = (blur == radius).nonzero()[:, 0].to(clean.device)
        blot[chosen] = F.avg_pool2d(blot[chosen], 2 * radius + 1, 1, radius)
    # In place: on a CPU fresh memory for large images took a quarter of a training step.
    return blot.mul_(fade.to(clean).view(-1, 1, 1, 1)).add_(clean).clamp_(-1, 1)


def varied(clean: Tensor, noisy: Tensor, strength: float, *, mirror: bool = True) -> tuple[Tensor, Tensor]:
    """Mirror, brighten and darken images, both of a pair alike.

    Contrast around the image's mean is multiplied by 1 - strength to 1 + strength, ``strength`` of the value range at
    most is added; half of the images are mirrored left to right. Draws from torch's generator.

    Args:
        clean: float, shape (N, C, H, W), in [-1, 1].
        noisy: same shape and range.
        strength: in [0, 1).
        mirror: False leaves the mirroring out.

    Returns:
        ``clean`` and ``noisy``, varied, in [-1, 1].
    """
    n = len(clean)
    gain, offset = ((strength * (2 * torch.rand(n, 1, 1, 1) - 1)).to(clean) for _ in range(2))
    mean = clean.mean((1, 2, 3), keepdim=True)
    mirrored = (torch.rand(n) < 0.5).nonzero()[:, 0].to(clean.device)
    clean, noisy = ((x - mean).mul_(1 + gain).add_(mean).add_(2 * offset).clamp_(-1, 1) for x in (clean, noisy))
    for x in (clean, noisy) if mirror else ():
        x[mirrored] = x[mirrored].flip(3)
    return clean, noisy


class Marker(nn.Module):
    """From features at several strides, or several at one, to the logits of one mask.

    Each stride's features are standardised, mapped to ``width`` channels and brought to the mask's stride, by averages
    or bilinearly; their sum passes through a 3 × 3 and a 1 × 1 convolution.

    Args:
        layers: stride and channels of each tensor of features.
        stride: of the mask.
        width: channels in between.
        dropout: share of the features' channels that train mode leaves out.
    """

    def __init__(self, layers: Sequence[tuple[int, int]], stride: int, width: int, dropout: float) -> None:
        super().__init__()
        self.strides, self.stride = [own for own, _ in layers], stride
        self.maps = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(count, affine=False), nn.Dropout2d(dropout), nn.Conv2d(count, width, 1))
            for _, count in layers
        )
        self.body = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, 1, 1),
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Features (N, channels, H / s, W / s) of strides s to logits (N, 1, H / stride, W / stride), float32."""
        return self.body[-1](self.hidden(features)).float()  # type: ignore[no-any-return]

    def hidden(self, features: Sequence[Tensor]) -> Tensor:
        """What the logits are made of, (N, width, H / stride, W / stride)."""
        each = [self._at_stride(m(f), s) for m, f, s in zip(self.maps, features, self.strides, strict=True)]
        return self.body[:-1](torch.stack(each).sum(0))  # type: ignore[no-any-return]

    def _at_stride(self, features: Tensor, stride: int) -> Tensor:
        if stride <= self.stride:
            return F.avg_pool2d(features, self.stride // stride)
        return F.interpolate(features, scale_factor=stride // self.stride, mode="bilinear")
