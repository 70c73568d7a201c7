"""Building blocks that detectors share: the residual block, upsampling, the DCGAN discriminator, freezing.

Sources: residual structures in encoder and decoder and the DCGAN discriminator are named in the paper's section 1.1;
    the
discriminator is that of Radford et al., arXiv 1511.06434. Networks return float32 whatever precision they computed in,
so that losses are always taken in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["Discriminator", "Res", "Up", "dcgan_init", "frozen", "parameter_count"]


class Res(nn.Module):
    """Residual block: conv3-BN-ReLU-conv3-BN + shortcut, ReLU.

    The shortcut is the identity, or 1×1 convolution + BN where channels or resolution change.

    Args:
        channels_in: channels of the input.
        channels_out: channels of the output.
        stride: of the first convolution and the shortcut; 2 halves the resolution.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) to (N, channels_out, H / stride, W / stride)."""
        return torch.relu(self.body(x) + self.shortcut(x))


class Up(nn.Sequential):
    """Double the resolution: transposed convolution 2×2 with stride 2, BN, ReLU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(
            nn.ConvTranspose2d(channels_in, channels_out, 2, 2, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        )


class Discriminator(nn.Module):
    """DCGAN discriminator for square images of any size that is a multiple of 16.

    Convolutions 4×4 with stride 2 halve the image until it is 4×4 (or odd: 48 ends at 3×3, 80 at 5×5), BN on all but
    the first, LeakyReLU(0.2); channels double from ``width`` up to eight times it. One convolution over the remaining
    square gives the logit.

    The feature f of the latent loss and the score (paper, equations 5 and 10) is the activation before that last
    convolution.

    Args:
        channels: of the images, 1 or 3.
        size: height and width of the images, a multiple of 16.
        width: channels after the first convolution; DCGAN's 64 by default.
    """

    def __init__(self, channels: int, size: int, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        a, b, side = channels, width, size
        while side > 4 and side % 2 == 0:
            layers.append(nn.Conv2d(a, b, 4, 2, padding=1, bias=not layers))
            if len(layers) > 1:
                layers.append(nn.BatchNorm2d(b))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
            a, b, side = b, min(2 * b, 8 * width), side // 2
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Conv2d(a, 1, side)
        self.apply(dcgan_init)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of "real", shape (N,), and the feature f, shape (N, C', S, S); both float32."""
        feature = self.features(images)
        logits = self.classifier(feature).flatten()
        return logits.float(), feature.float()


def dcgan_init(module: nn.Module) -> None:
    """Initial weights of DCGAN (its section 3): convolutions N(0, 0.02), BN scales N(1, 0.02)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Gradients flow through ``network`` to its input, but none is computed or kept for its parameters.

    A generator's step goes through the discriminator: without this, half of its backward pass would compute
    discriminator gradients that nobody uses. Only the forward pass has to stand inside.
    """
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)


def parameter_count(network: nn.Module) -> int:
    """Number of trainable and frozen parameters (buffers such as BN statistics are not counted)."""
    return sum(parameter.numel() for parameter in network.parameters())
