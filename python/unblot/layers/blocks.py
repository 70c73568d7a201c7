"""Building blocks that detectors share: the residual block, upsampling, the networks of DCGAN, freezing.

Sources: residual structures in encoder and decoder and the DCGAN discriminator are named in the paper's section 1.1;
the DCGAN networks are those of Radford et al., arXiv 1511.06434, its generator as :class:`Decoder`, its discriminator
with a vector instead of a logit as :class:`Encoder`. Networks return float32 whatever precision they computed in, so
that losses are always taken in float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "Decoder",
    "Discriminator",
    "Encoder",
    "PairDiscriminator",
    "Res",
    "ThinConv",
    "Up",
    "adam",
    "bce",
    "dcgan_init",
    "frozen",
    "parameter_count",
    "pyramid",
    "through",
]


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
        widths, side = pyramid(size, width)
        self.features = _halvings(channels, widths)
        self.classifier = nn.Conv2d(widths[-1], 1, side)
        self.apply(dcgan_init)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of "real", shape (N,), and the feature f, shape (N, C', S, S); both float32."""
        feature = self.features(images)
        logits = self.classifier(feature).flatten()
        return logits.float(), feature.float()


class Encoder(nn.Module):
    """The layers of :class:`Discriminator`, ending in a vector: ``latent`` values instead of one.

    The last convolution covers all of its input, so it is a linear layer, and written as one because that is faster.

    Args:
        channels: of the images, 1 or 3.
        size: height and width of the images, a multiple of 16.
        latent: length of the vector.
        width: channels after the first convolution.
    """

    def __init__(self, channels: int, size: int, latent: int, width: int = 64) -> None:
        super().__init__()
        widths, side = pyramid(size, width)
        self.features = _halvings(channels, widths)
        self.latent = nn.Linear(widths[-1] * side**2, latent, bias=False)
        self.apply(dcgan_init)
        nn.init.normal_(self.latent.weight, 0.0, 0.02)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, size, size) to vectors (N, latent), float32, without bound."""
        # Channels last, as :class:`Decoder`; for images that lie so in memory this is no copy.
        return self.latent(self.features(images).permute(0, 2, 3, 1).flatten(1)).float()  # type: ignore[no-any-return]


class Decoder(nn.Module):
    """DCGAN generator, the mirror image of :class:`Encoder`: a vector to an image.

    A linear layer (which is what a transposed convolution of a single pixel is) makes the first square, transposed
    convolutions 4×4 with stride 2 double it; BN and ReLU after all but the last, then tanh.

    Args:
        channels: of the images, 1 or 3.
        size: height and width of the images, a multiple of 16.
        latent: length of the vector.
        width: channels before the last convolution; doubled towards the vector up to eight times.
    """

    def __init__(self, channels: int, size: int, latent: int, width: int = 64) -> None:
        super().__init__()
        widths, side = pyramid(size, width)
        a = widths[-1]
        self.first, self.side = nn.Linear(latent, side**2 * a, bias=False), side
        layers: list[nn.Module] = [nn.BatchNorm2d(a), nn.ReLU(True)]
        for b in reversed(widths[:-1]):
            layers += [nn.ConvTranspose2d(a, b, 4, 2, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(True)]
            a = b
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(a, channels, 4, 2, padding=1))
        self.apply(dcgan_init)
        nn.init.normal_(self.first.weight, 0.0, 0.02)

    def forward(self, latent: Tensor) -> Tensor:
        """Vectors (N, latent) to images (N, C, size, size), float32, in [-1, 1]."""
        square = self.first(latent).unflatten(1, (self.side, self.side, -1)).permute(0, 3, 1, 2)
        return torch.tanh(self.layers(square).float())


class PairDiscriminator(nn.Module):
    """Discriminator of BiGAN (arXiv 1605.09782): does a pair of image and vector come from the encoder?

    The image goes through the layers of :class:`Discriminator`, the vector through a linear one; both together through
    another, whose activation is the feature f, and a last one gives the logit.

    Args:
        channels: of the images, 1 or 3.
        size: height and width of the images, a multiple of 16.
        latent: length of the vector.
        width: channels after the first convolution; the linear layers have 8 and 16 times as many.
        dropout: share of the activations that train mode drops after every layer.
    """

    def __init__(self, channels: int, size: int, latent: int, width: int = 64, dropout: float = 0.0) -> None:
        super().__init__()
        widths, side = pyramid(size, width)
        self.image = _halvings(channels, widths, dropout)
        self.vector = nn.Sequential(nn.Linear(latent, 8 * width), nn.LeakyReLU(0.2, inplace=True), nn.Dropout(dropout))
        self.pair = nn.Sequential(
            nn.Linear(widths[-1] * side**2 + 8 * width, 16 * width),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Dropout(dropout),
        )
        self.classifier = nn.Linear(16 * width, 1)
        self.apply(dcgan_init)

    def forward(self, images: Tensor, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, C, size, size) and vectors (N, latent) to logits, shape (N,), and f, shape (N, 16 * width)."""
        both = torch.cat([self.image(images).flatten(1), self.vector(latent)], dim=1)
        feature = self.pair(both)
        return self.classifier(feature).flatten().float(), feature.float()


def pyramid(size: int, width: int) -> tuple[list[int], int]:
    """Channels after each halving of the DCGAN networks, and the side of the square that is left.

    An image is halved until it is 4×4, or odd. Channels double from ``width`` up to eight times it.

    Example:
        >>> pyramid(64, width=64), pyramid(48, width=8)
        (([64, 128, 256, 512], 4), ([8, 16, 32, 64], 3))
    """
    widths: list[int] = []
    while size > 4 and size % 2 == 0:
        widths.append(min(width * 2 ** len(widths), 8 * width))
        size //= 2
    return widths, size


class ThinConv(nn.Conv2d):
    """Convolution 4×4 with stride 2 and padding 1 of few channels, as a DCGAN network's first layer.

    It computes what ``nn.Conv2d`` does, as a convolution 2×2 of four times as many channels (each 2×2 pixels side by
    side): with three channels the gradient of the image takes a third of the time that way on a CPU.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 4, 2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) to (N, channels_out, H / 2, W / 2)."""
        return F.conv2d(F.pixel_unshuffle(F.pad(x, (1, 1, 1, 1)), 2), F.pixel_unshuffle(self.weight, 2), self.bias)


def _halvings(channels: int, widths: list[int], dropout: float = 0.0) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in zip([channels, *widths], widths, strict=False):
        if layers:
            layers += [nn.Conv2d(a, b, 4, 2, padding=1, bias=False), nn.BatchNorm2d(b)]
        else:
            layers.append(ThinConv(a, b))
        layers.append(nn.LeakyReLU(0.2, inplace=True))
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)


def bce(logits: Tensor, target: float) -> Tensor:
    """Mean binary cross-entropy of logits, any shape, with the same target (0 or 1) for all; a scalar."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def adam(network: nn.Module, lr: float, betas: tuple[float, float] = (0.5, 0.999)) -> torch.optim.Adam:
    """Adam for all parameters of a network, with the betas of the DCGAN family unless told otherwise.

    Fused: one pass over weights, gradients and moments instead of a dozen. It takes for granted that they lie alike in
    memory, and steps wrongly without a word where they do not; so the weights stay contiguous, as checkpoints restore
    the moments, and no network is put into ``torch.channels_last``.
    """
    return torch.optim.Adam(network.parameters(), lr, betas=betas, fused=True)


def through(losses: Mapping[str, Tensor], given: Tensor, made: Tensor) -> dict[str, Tensor]:
    """``losses``, functions of ``given``, as losses on ``made``, of which ``given`` is a detached copy.

    They keep their values, and their sum has the gradient that it has in ``given`` (as a graph it hangs on the first).
    The gradient is taken here, through what lies between and for nothing in there, and the graph is kept. So one pass
    of a discriminator over restored images serves the generator's step and then its own.

    Args:
        losses: scalars by name, at least one.
        given: a leaf that requires a gradient.
        made: same shape, with the graph that the gradient shall go on through.

    Example:
        >>> made = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> given = made.detach().requires_grad_()
        >>> through({"squares": given.square().sum()}, given, made)["squares"].backward()
        >>> made.grad
        tensor([2., 4.])
    """
    with torch.autocast(given.device.type, enabled=False):
        (gradient,) = torch.autograd.grad(torch.stack([*losses.values()]).sum(), given, retain_graph=True)
        change = (gradient * made).sum()
    passed = {name: loss.detach() for name, loss in losses.items()}
    first = next(iter(passed))
    passed[first] = passed[first] + (change - change.detach())
    return passed


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
