"""``dae``: a plain convolutional denoising autoencoder, the patent's baseline.

Source: the patent compares its corruption with the "traditional denoising autoencoder" (Vincent et al., ICML 2008):
it learns to restore an image from a noisy one with the squared error. It names no layers; ours are the plainest that
work: strided convolutions down to a bottleneck, transposed ones up, no skip. What does not fit through is not copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unblot.detectors.contract import Batch, Detector, Phase, Scores, Step
from unblot.detectors.options import Options, option
from unblot.layers.blocks import Up, adam

__all__ = ["Autoencoder", "DaeOptions", "DenoisingAutoencoder"]

DEPTH = 3


class Autoencoder(nn.Module):
    """Three halvings, a bottleneck at 1/8 of the resolution, three doublings.

    A halving is conv3 with stride 2, BN, ReLU; a doubling is :class:`Up`; the head is conv3 + tanh.

    Args:
        channels: of the images, 1 or 3.
        width: channels after the first halving, doubled at each further one.
        latent: channels of the bottleneck; an image keeps ``latent · (size / 8)²`` values of its ``channels · size²``.
    """

    def __init__(self, channels: int, width: int = 32, latent: int = 16) -> None:
        super().__init__()
        widths = [width * 2**i for i in range(DEPTH)]
        layers: list[nn.Module] = []
        for a, b in zip([channels, *widths], widths, strict=False):
            layers += [nn.Conv2d(a, b, 3, 2, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True)]
        self.encoder = nn.Sequential(*layers, nn.Conv2d(widths[-1], latent, 1))
        ups = zip([latent, *reversed(widths)], reversed(widths), strict=False)
        self.decoder = nn.Sequential(*(Up(a, b) for a, b in ups), nn.Conv2d(widths[0], channels, 3, padding=1))

    def forward(self, images: Tensor) -> Tensor:
        """Restored images, float32, shape of ``images`` (N, C, H, W), in [-1, 1]; 8 divides H and W."""
        return torch.tanh(self.decoder(self.encoder(images)).float())


@dataclass(frozen=True)
class DaeOptions(Options):
    """What a user may set of ``dae``."""

    width: int = option(32, "channels after the first convolution", at_least=1)
    latent: int = option(16, "channels of the bottleneck", at_least=1)


class DenoisingAutoencoder(Detector):
    """Convolutional denoising autoencoder.

    The loss is the mean of (x̂ - x)² against the clean image x. The score is the same for an image as it is and its
    restoration. The anomaly map is (x - x̂)² averaged over the channels; the score is its mean. 0.15 million parameters
    at the default, RGB.

    Args:
        channels: 1 or 3.
        size: a multiple of 8.
        options: those of :class:`DaeOptions`.

    Raises:
        ValueError: an option out of its range.

    Example:
        >>> detector = DenoisingAutoencoder(channels=1, size=16).eval()
        >>> detector.score(torch.zeros(2, 1, 16, 16)).image.shape
        torch.Size([2])
    """

    name = "dae"
    summary = "restores pixels with a plain denoising autoencoder"
    options_type = DaeOptions
    size_multiple = 2**DEPTH
    size_min = 2**DEPTH

    def __init__(self, *, channels: int, size: int, **options: Any) -> None:
        chosen = DaeOptions.of(options)
        super().__init__(channels=channels, size=size, options=chosen)
        self.autoencoder = Autoencoder(channels, chosen.width, chosen.latent)

    def phases(self, lr: float) -> Sequence[Phase]:
        """One phase, one Adam (betas 0.5 and 0.999, as for the GANs beside it)."""
        return [Phase("train", {"autoencoder": adam(self.autoencoder, lr)})]

    def training_step(self, phase: str, batch: Batch) -> Iterator[Step]:  # noqa: ARG002  (there is one phase)
        """One step: the squared error of the restoration."""
        yield Step("autoencoder", {"reconstruction": F.mse_loss(self.autoencoder(batch.noisy), batch.clean)})

    def score(self, images: Tensor) -> Scores:
        """Mean squared residual; the map is the squared residual averaged over the channels."""
        residual = (images - self.autoencoder(images)).square().mean(1, keepdim=True)
        return Scores(self.within(residual).flatten(1).mean(1), residual)

    def restore(self, images: Tensor) -> Tensor:
        """The autoencoder's output."""
        return self.autoencoder(images)  # type: ignore[no-any-return]
