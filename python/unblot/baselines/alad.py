"""``alad``: a bidirectional GAN with three discriminators; anomalies are sought in the features of one of them.

Source: Zenati et al., "Adversarially learned anomaly detection", ICDM 2018, arXiv 1812.02288. It builds on ALICE, Li et
al., arXiv 1709.01215 (cycle consistency by discriminators), and on spectral normalisation, Miyato et al., arXiv
1802.05957.

Where the authors' code differs (houssamzenati/Adversarially-Learned-Anomaly-Detection, TensorFlow), and what we do:

- there the two images of a pair stand one below the other in D_xx, so that no convolution sees a pixel and its
  restoration together but at the seam; here they are stacked as channels;
- there the weights are averaged (0.999) for scoring; here they are taken as they are, as the paper's formulas have it;
- there initial weights come from N(0, 0.01); here convolutions have DCGAN's N(0, 0.02), linear layers PyTorch's;
- there early stopping looks at held-out images; here each run lasts its epochs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from unblot.detectors.contract import Batch, Detector, Phase, Scores, Step
from unblot.detectors.options import Options, option
from unblot.layers.blocks import Decoder, Discriminator, Encoder, adam, bce, dcgan_init, frozen, pyramid

__all__ = ["ALAD", "AladOptions", "ImageLatentDiscriminator", "ImagePairDiscriminator", "LatentPairDiscriminator"]

DROPOUT = 0.2


class ImageLatentDiscriminator(nn.Module):
    """D_xz: tells pairs (x, E(x)) from pairs (G(z), z).

    The image goes through the layers of a DCGAN discriminator, z through two layers of ``8 * width``, both through one
    of ``16 * width`` (the authors' 512 and 1024 for CIFAR-10), with dropout after each of these three.
    """

    def __init__(self, channels: int, size: int, latent: int, width: int) -> None:
        super().__init__()
        image, (widths, side) = Discriminator(channels, size, width).features, pyramid(size, width)
        vector = nn.Sequential(*_dense(latent, 8 * width), *_dense(8 * width, 8 * width))
        pair = nn.Sequential(*_dense(widths[-1] * side**2 + 8 * width, 16 * width))
        self.hidden = nn.ModuleDict({"image": image, "vector": vector, "pair": pair})
        self.classifier = nn.Linear(16 * width, 1)

    def forward(self, images: Tensor, z: Tensor) -> Tensor:
        """Logits of (x, E(x)), shape (N,), float32."""
        image, vector = self.hidden["image"](images), self.hidden["vector"](z)
        pair = self.hidden["pair"](torch.cat([image.flatten(1), vector], dim=1))
        return self.classifier(pair).flatten().float()  # type: ignore[no-any-return]


class ImagePairDiscriminator(nn.Module):
    """D_xx: tells pairs (x, x) from pairs (x, x̂).

    Two convolutions 5×5 with stride 2, ``width`` and ``2 * width`` channels and dropout, then a linear layer. The
    feature of the score is what that layer sees.
    """

    def __init__(self, channels: int, size: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in ((2 * channels, width), (width, 2 * width)):
            layers += [nn.Conv2d(a, b, 5, 2, padding=2), nn.LeakyReLU(0.2), nn.Dropout(DROPOUT)]
        self.hidden = nn.Sequential(*layers).apply(dcgan_init)
        self.classifier = nn.Linear(2 * width * (size // 4) ** 2, 1)

    def forward(self, images: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of (x, x), shape (N,), and the feature, shape (N, 2 width, size / 4, size / 4); both float32."""
        feature = self.hidden(torch.cat([images, others], dim=1))
        return self.classifier(feature.flatten(1)).flatten().float(), feature.float()


class LatentPairDiscriminator(nn.Module):
    """D_zz: tells pairs (z, z) from pairs (z, E(G(z))). Layers of 64 and 32 with dropout, then a linear one."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.hidden = nn.Sequential(*_dense(2 * latent, 64), *_dense(64, 32))
        self.classifier = nn.Linear(32, 1)

    def forward(self, z: Tensor, other: Tensor) -> Tensor:
        """Logits of (z, z), shape (N,), float32."""
        return self.classifier(self.hidden(torch.cat([z, other], dim=1))).flatten().float()  # type: ignore[no-any-return]


@dataclass(frozen=True)
class AladOptions(Options):
    """What a user may set of ``alad``."""

    width: int = option(64, "channels of all networks at half resolution", at_least=1)
    latent: int = option(100, "length of the latent vector", at_least=1)


class ALAD(Detector):
    """Bidirectional GAN with cycle consistency, three discriminators, spectral normalisation.

    Encoder E and generator G learn together; z from N(0, 1), x̃ the corrupted image, ẑ = E(x̃), x̂ = G(ẑ), all terms
    means with weight 1 as in the paper, D the probability of the first pair::

        discriminators:      -log D_xz(x, ẑ)  - log(1 - D_xz(G(z), z))
                             -log D_xx(x, x)  - log(1 - D_xx(x, x̂))
                             -log D_zz(z, z)  - log(1 - D_zz(z, E(G(z))))
        generator, encoder:  -log(1 - D_xz(x, ẑ))  - log D_xz(G(z), z)  - log D_xx(x, x̂)  - log D_zz(z, E(G(z)))

    The last line is the paper's min-max problem in its non-saturating form, as the authors' code has it. The
    corruption enters at the encoder alone: it sees x̃, and every discriminator sees the clean x beside what came of it,
    so that the cycle restores. Without corruption x̃ is x.

    Score: A = ‖f(x, x) - f(x, x̂)‖₁, f the last hidden layer of D_xx, for the image as it is. The anomaly map is |x - x̂|
    averaged over the channels, the authors' plain alternative to that score; the score is not its mean.

    The log shows ``reconstruction``, the mean of (x - x̂)², which nothing minimises directly; ``d_real`` and ``d_fake``
    are those of D_xz, the others stand beside them.

    Spectral normalisation is on all hidden layers of the discriminators and of the encoder, as in the authors' code.

    Parameters at the default, RGB, 32×32: encoder 1.07 million, generator 1.07, D_xz 5.69, D_xx 0.22, D_zz 0.01;
    64×64: 3.58, 3.58, 11.99, 0.25, 0.01.

    Args:
        channels: 1 or 3.
        size: a multiple of 16. The networks halve the image until 4×4 is left, or an odd square.
        options: those of :class:`AladOptions`. Of the authors' networks D_xx and D_zz have a width of 64, the others
            of 128.

    Raises:
        ValueError: an option out of its range.

    Example:
        >>> detector = ALAD(channels=1, size=32, width=8).eval()
        >>> detector.score(torch.zeros(2, 1, 32, 32)).map.shape
        torch.Size([2, 1, 32, 32])
    """

    name = "alad"
    summary = "compares features of an image and its restoration, by a bidirectional GAN with cycles"
    options_type = AladOptions
    size_multiple = 16
    size_min = 16

    def __init__(self, *, channels: int, size: int, **options: Any) -> None:
        chosen = AladOptions.of(options)
        super().__init__(channels=channels, size=size, options=chosen)
        self.latent = chosen.latent
        self.encoder = Encoder(channels, size, chosen.latent, chosen.width)
        self.generator = Decoder(channels, size, chosen.latent, chosen.width)
        self.d_xz = ImageLatentDiscriminator(channels, size, chosen.latent, chosen.width)
        self.d_xx = ImagePairDiscriminator(channels, size, chosen.width)
        self.d_zz = LatentPairDiscriminator(chosen.latent)
        for network in (self.encoder.features, self.d_xz.hidden, self.d_xx.hidden, self.d_zz.hidden):
            _normalise(network)

    def phases(self, lr: float) -> Sequence[Phase]:
        """One phase: an Adam for the discriminators, one for generator and encoder, betas 0.5 and 0.999."""
        sides = {"discriminators": [self.d_xz, self.d_xx, self.d_zz], "generator": [self.encoder, self.generator]}
        return [Phase("train", {side: adam(nn.ModuleList(networks), lr) for side, networks in sides.items()})]

    def training_step(self, phase: str, batch: Batch) -> Iterator[Step]:  # noqa: ARG002  (there is one phase)
        """The discriminators' step, then that of generator and encoder on the same images and latents."""
        x, z = batch.clean, torch.randn(len(batch.clean), self.latent, device=batch.clean.device)
        found = self.encoder(batch.noisy)
        # In one pass, so that BatchNorm learns the statistics of what it normalised.
        restored, made = self.generator(torch.cat([found, z])).chunk(2)
        again = self.encoder(made)

        xz = self.d_xz(x, found.detach()), self.d_xz(made.detach(), z)
        xx = self.d_xx(x, x)[0], self.d_xx(x, restored.detach())[0]
        zz = self.d_zz(z, z), self.d_zz(z, again.detach())
        pairs = {"xz": xz, "xx": xx, "zz": zz}
        logs: dict[str, Tensor] = {}
        for name, (real, fake) in pairs.items():
            of = "" if name == "xz" else f"_{name}"
            logs |= {f"d_real{of}": real.detach().sigmoid().mean(), f"d_fake{of}": fake.detach().sigmoid().mean()}
        yield Step(
            "discriminators",
            losses={name: bce(real, 1.0) + bce(fake, 0.0) for name, (real, fake) in pairs.items()},
            logs=logs,
        )

        with frozen(self.d_xz), frozen(self.d_xx), frozen(self.d_zz):
            fool_xz = bce(self.d_xz(x, found), 0.0) + bce(self.d_xz(made, z), 1.0)
            fool_xx = bce(self.d_xx(x, restored)[0], 1.0)
            fool_zz = bce(self.d_zz(z, again), 1.0)
        yield Step(
            "generator",
            losses={"fool_xz": fool_xz, "fool_xx": fool_xx, "fool_zz": fool_zz},
            logs={"reconstruction": F.mse_loss(restored.detach(), x)},
        )

    def score(self, images: Tensor) -> Scores:
        """L1 distance of the features; the map is the absolute residual averaged over the channels."""
        restored = self.restore(images)
        _, feature = self.d_xx(images, images)
        _, feature_restored = self.d_xx(images, restored)
        image = (feature - feature_restored).abs().flatten(1).sum(1)
        return Scores(image, (images - restored).abs().mean(1, keepdim=True))

    def restore(self, images: Tensor) -> Tensor:
        """What the generator makes of the encoder's z."""
        return self.generator(self.encoder(images))  # type: ignore[no-any-return]


def _dense(a: int, b: int) -> list[nn.Module]:
    return [nn.Linear(a, b), nn.LeakyReLU(0.2), nn.Dropout(DROPOUT)]


def _normalise(network: nn.Module) -> None:
    """Give every convolution and linear layer of ``network`` spectral normalisation."""
    for layer in list(network.modules()):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            spectral_norm(layer)
