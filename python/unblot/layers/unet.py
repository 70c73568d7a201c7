"""The U-Net that several detectors are built of (Ronneberger et al., arXiv 1505.04597), with residual blocks."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from unblot.layers.blocks import Res, Up

__all__ = ["UNet"]


class UNet(nn.Module):
    """From an image to feature maps at several strides.

    The stem halves the resolution, each further level halves it again. The way up joins what the way down had at each
    level and ends at the finest stride asked for; 1×1 convolutions give the outputs.

    Args:
        channels: of the input.
        heads: output channels by stride, strides powers of two from 2.
        width: channels after the stem; they double at each level, up to eight times as many.
        depth: halvings in all; the coarsest level has stride 2 ** depth, which must exceed every stride of ``heads``.
        dropout: share of the feature maps that train mode leaves out, of the coarsest level and of each joined one.
    """

    def __init__(
        self, channels: int, heads: Mapping[int, int], width: int, depth: int, *, dropout: float = 0.0
    ) -> None:
        super().__init__()
        levels = {2 ** (i + 1): width * min(2**i, 8) for i in range(depth)}  # channels by stride
        if not heads or any(stride not in levels or stride == 2**depth for stride in heads):
            raise ValueError(f"heads must have strides among {list(levels)[:-1]}, got {list(heads)}")
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 5, 2, padding=2, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        self.down = nn.ModuleList(Res(a, b, 2) for a, b in pairwise(levels.values()))
        self.way_up = [stride for stride in reversed(levels) if min(heads) <= stride < 2**depth]
        self.up = nn.ModuleList(Up(levels[2 * stride], levels[stride]) for stride in self.way_up)
        self.join = nn.ModuleList(Res(2 * levels[stride], levels[stride]) for stride in self.way_up)
        self.dropout = nn.Dropout2d(dropout)
        self.heads = nn.ModuleDict({str(s): nn.Conv2d(levels[s], out, 1) for s, out in heads.items()})

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images, shape (N, C, H, W), to float32 outputs (N, heads[s], H / s, W / s), in the order of ``heads``."""
        passed = [self.stem(images)]
        for level in self.down:
            passed.append(level(passed[-1]))
        x, found = self.dropout(passed.pop()), {}
        for stride, up, join in zip(self.way_up, self.up, self.join, strict=True):
            x = join(self.dropout(torch.cat([up(x), passed[stride.bit_length() - 2]], 1)))
            found[stride] = x
        return [head(found[int(stride)]).float() for stride, head in self.heads.items()]
