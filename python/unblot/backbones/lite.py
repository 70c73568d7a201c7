"""EfficientNet-Lite0 as a network of features, so that reading a run need not load timm's thousand architectures.

Source: Tan and Le, "EfficientNet" (arXiv 1905.11946), in Google's Lite variant: no squeeze and excitation, ReLU6,
TensorFlow's "same" padding. Parameters and buffers are named as timm names them, in its order, so that weights of
either fit both; a test compares the features of the two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["CHANNELS", "LICENCE", "LITE0", "MEAN", "STD", "STRIDES", "TAG", "Lite0"]

LITE0 = "tf_efficientnet_lite0"
TAG, LICENCE = "in1k", "apache-2.0"  # what timm's data say of its weights
MEAN = STD = (0.5, 0.5, 0.5)
_EPSILON = 1e-3
# Kernel, stride, expansion, channels and number of blocks of each stage.
_STAGES = (
    *((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3)),
    *((5, 1, 6, 112, 3), (5, 2, 6, 192, 4), (3, 1, 6, 320, 1)),
)
_OUT = {2: 0, 4: 1, 8: 2, 16: 4, 32: 5}  # the stage whose features are those of a stride
STRIDES = tuple(_OUT)
CHANNELS = tuple(_STAGES[stage][3] for stage in _OUT.values())


class Lite0(nn.Module):
    """Features of images at several strides.

    The last stage, which prepares the decision between ImageNet's classes, is left out of them: what the stage before
    it gives at the same stride tells defects from normals better (``docs/research-log``).

    Args:
        strides: ascending, of :data:`STRIDES`; None builds the whole classifier, which only holds weights.

    Example:
        >>> import torch
        >>> network = Lite0((8, 16)).eval()
        >>> [tuple(features.shape) for features in network(torch.zeros(1, 3, 64, 64))]
        [(1, 40, 8, 8), (1, 112, 4, 4)]
    """

    def __init__(self, strides: Sequence[int] | None) -> None:
        super().__init__()
        self.out = [_OUT[stride] for stride in strides or ()]
        self.conv_stem = _Same(3, 32, 3, stride=2)
        self.bn1 = nn.BatchNorm2d(32, eps=_EPSILON)
        stages, channels = [], 32
        for kernel, stride, expansion, out, count in _STAGES:
            blocks: list[nn.Module] = []
            for number in range(count):
                blocks.append(_block(channels, out, kernel, stride if number == 0 else 1, expansion))
                channels = out
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*(stages if strides is None else [*stages[:-1], nn.Identity()]))
        if strides is None:
            self.conv_head = nn.Conv2d(channels, 1280, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(1280, eps=_EPSILON)
            self.classifier = nn.Linear(1280, 1000)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.out_channels * math.prod(module.kernel_size) // module.groups
                nn.init.normal_(module.weight, 0, math.sqrt(2 / fan_out))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features of standardised images (N, 3, H, W): of each stride s a tensor (N, C, H / s, W / s)."""
        x = F.relu6(self.bn1(self.conv_stem(images)))
        found = []
        for number in range(max(self.out) + 1):
            x = self.blocks[number](x)
            if number in self.out:
                found.append(x)
        return found


class _Same(nn.Conv2d):
    """A convolution that pads as TensorFlow's "same": where the padding is odd, the end gets more."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, groups: int = 1) -> None:
        super().__init__(channels, out, kernel, stride, 0 if stride > 1 else kernel // 2, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride[0] > 1:
            (top, bottom), (left, right) = (self._missing(side) for side in x.shape[2:])
            x = F.pad(x, (left, right, top, bottom))
        return super().forward(x)

    def _missing(self, side: int) -> tuple[int, int]:
        stride, kernel = self.stride[0], self.kernel_size[0]
        lacks = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
        return lacks // 2, lacks - lacks // 2


def _block(channels: int, out: int, kernel: int, stride: int, expansion: int) -> nn.Module:
    if expansion == 1:
        return _Separable(channels, out, kernel, stride)
    return _Inverted(channels, out, kernel, stride, expansion)


class _Separable(nn.Module):
    """A convolution of each channel for itself, then one across channels."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = _Same(channels, channels, kernel, stride, groups=channels)
        self.bn1 = nn.BatchNorm2d(channels, eps=_EPSILON)
        self.conv_pw = nn.Conv2d(channels, out, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out, eps=_EPSILON)
        self.skips = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn2(self.conv_pw(F.relu6(self.bn1(self.conv_dw(x)))))
        return x + y if self.skips else y


class _Inverted(nn.Module):
    """An inverted residual: more channels, a convolution of each for itself, fewer channels."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.conv_pw = nn.Conv2d(channels, wide, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide, eps=_EPSILON)
        self.conv_dw = _Same(wide, wide, kernel, stride, groups=wide)
        self.bn2 = nn.BatchNorm2d(wide, eps=_EPSILON)
        self.conv_pwl = nn.Conv2d(wide, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out, eps=_EPSILON)
        self.skips = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = F.relu6(self.bn1(self.conv_pw(x)))
        y = F.relu6(self.bn2(self.conv_dw(y)))
        y = self.bn3(self.conv_pwl(y))
        return x + y if self.skips else y
