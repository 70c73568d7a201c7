"""``anogan``: a DCGAN of normal images; a test image is sought in its latent space.

Source: Schlegl et al., "Unsupervised anomaly detection with generative adversarial networks to guide marker discovery",
IPMI 2017, arXiv 1703.05921; its GAN is DCGAN, Radford et al., arXiv 1511.06434.

Where public code differs (the authors published none; Zenati et al. keep one beside ALAD, in TensorFlow), and what we
do:

- there the score takes norms and a moving average of the weights, and z from N(0, 1) with a start drawn anew for each
  batch; here sums, the weights themselves and uniform z, as in the paper, and a start that is part of the detector;
- there the rate of the search is 0.001, with which Adam moves z by at most 0.5 in 500 steps; ours was chosen on
  held-out digits;
- other repositories search with one loss for a batch and BatchNorm in train mode, so that an image's score depends on
  its neighbours; here each image has its own sum, and the networks are in eval mode.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from unblot.detectors.contract import Batch, Detector, Phase, Scores, Step
from unblot.detectors.options import Options, option
from unblot.layers.blocks import Decoder, Discriminator, adam, bce, frozen

__all__ = ["AnoGAN", "AnoGANOptions"]

LAMBDA_CORRUPTED = 1.0  # weight of the corrupted images' loss, which is ours: as much as each of the other two
SCORE_WEIGHT = 0.1  # λ of the paper
# The paper gives no rate of the search. Held-out digits (16×16) chose: 500 steps ended at a loss of 22.6 with 0.03 and
# 22.4 with 0.1, of 25.9 with 0.01 and 58 with 0.001.
SEARCH_LR = 0.05


@dataclass(frozen=True)
class AnoGANOptions(Options):
    """What a user may set of ``anogan``."""

    width: int = option(64, "channels of both networks at half resolution", at_least=1)
    latent: int = option(100, "length of the latent vector", at_least=1)
    search_steps: int = option(500, "gradient steps of each search", at_least=1)
    restarts: int = option(1, "searches for each image, of which the best counts", at_least=1)


class AnoGAN(Detector):
    """DCGAN and latent search.

    Training. Discriminator and generator alternate; z is uniform in [-1, 1]::

        discriminator:  -log D(x) - log(1 - D(G(z)))  -  LAMBDA_CORRUPTED · log(1 - D(x̃))
        generator:      -log D(G(z))

    The last term is ours. AnoGAN has no network that takes an image and restores one, so there is no input to corrupt:
    with corrupted images as the real ones the generator would learn to draw blots. Neither the paper nor the patent
    says what to do here. We show the corrupted images x̃ to the discriminator as further images that are not normal; its
    features, on which the search and the score rest, then learn to tell blots from normal texture. Images that the
    corruption left as they were do not count. Without corruption this is the paper's training.

    Score. For the image x, Adam moves z for ``search_steps`` steps down the loss::

        (1 - SCORE_WEIGHT) · Σ|x - G(z)|  +  SCORE_WEIGHT · Σ|f(x) - f(G(z))|

    (the paper's residual and discrimination loss, f the discriminator's activation before its last convolution; sums
    over all values, for each image by itself). The score is that loss at the last z, the map is |x - G(z)| averaged
    over the channels. The search starts at the same z for every image, drawn once with the weights and kept with them:
    so the same image has the same score whatever it is scored with (but for rounding, since matrix products add up
    differently in larger batches). With ``restarts`` above 1 there are as many starts, and the best end counts.

    Scoring is slow, for each image costs ``search_steps`` passes forward and backward: at the default, RGB, 32×32, one
    CPU core scores 0.7 images/s.

    Parameters at the default, RGB, 32×32: generator 1.07 million, discriminator 0.66; 64×64: 3.58 and 2.77.

    Args:
        channels: 1 or 3.
        size: a multiple of 16. The networks halve the image until 4×4 is left, or an odd square.
        options: those of :class:`AnoGANOptions`.

    Raises:
        ValueError: an option out of its range.

    Example:
        >>> detector = AnoGAN(channels=1, size=32, width=8, search_steps=2).eval()
        >>> detector.score(torch.zeros(2, 1, 32, 32)).map.shape
        torch.Size([2, 1, 32, 32])
    """

    name = "anogan"
    summary = "searches a GAN's latent space for the nearest normal image; slow"
    options_type = AnoGANOptions
    no_graph = (
        "its score is the end of a search that takes hundreds of gradient steps for each image. f_anogan finds the "
        "nearest image with an encoder and can be exported"
    )
    size_multiple = 16
    size_min = 16

    def __init__(self, *, channels: int, size: int, **options: Any) -> None:
        chosen = AnoGANOptions.of(options)
        super().__init__(channels=channels, size=size, options=chosen)
        self.latent, self.search_steps = chosen.latent, chosen.search_steps
        self.generator = Decoder(channels, size, chosen.latent, chosen.width)
        self.discriminator = Discriminator(channels, size, chosen.width)
        self.starts: Tensor
        self.register_buffer("starts", _uniform(chosen.restarts, chosen.latent))

    def phases(self, lr: float) -> Sequence[Phase]:
        """One phase; an Adam for each network."""
        networks = {"discriminator": self.discriminator, "generator": self.generator}
        return [Phase("train", {name: adam(network, lr) for name, network in networks.items()})]

    def training_step(self, phase: str, batch: Batch) -> Iterator[Step]:  # noqa: ARG002  (there is one phase)
        """The discriminator's step, then the generator's on the same generated images."""
        clean, made = batch.clean, self.generator(_uniform(len(batch.clean), self.latent, batch.clean.device))

        real, _ = self.discriminator(clean)
        fake, _ = self.discriminator(made.detach())
        losses = {"discriminator": bce(real, 1.0) + bce(fake, 0.0)}
        changed = (batch.noisy != clean).flatten(1).any(1)
        if changed.any():
            noisy, _ = self.discriminator(batch.noisy)
            losses["corrupted"] = LAMBDA_CORRUPTED * (F.softplus(noisy) * changed).mean()
        yield Step(
            "discriminator",
            losses=losses,
            logs={"d_real": real.detach().sigmoid().mean(), "d_fake": fake.detach().sigmoid().mean()},
        )

        with frozen(self.discriminator):
            fake, _ = self.discriminator(made)
        yield Step("generator", losses={"adversarial": bce(fake, 1.0)})

    def score(self, images: Tensor) -> Scores:
        """The search's loss at its end; the map is the absolute residual averaged over the channels."""
        loss, nearest = self._search(images)
        return Scores(loss, (images - nearest).abs().mean(1, keepdim=True))

    def restore(self, images: Tensor) -> Tensor:
        """The nearest image that the search finds: a search of its own."""
        return self._search(images)[1]

    def _search(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The least loss of each image, shape (N,), and the generated image that has it."""
        with torch.enable_grad(), frozen(self.generator), frozen(self.discriminator):
            _, target = self.discriminator(images)
            ends = [self._descend(images, target, start) for start in self.starts]
        losses, found = (torch.stack(part) for part in zip(*ends, strict=True))
        best = losses.argmin(0)
        each = torch.arange(len(images), device=images.device)
        return losses[best, each], found[best, each]

    def _descend(self, images: Tensor, target: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and generated image after all steps from one start."""
        z = start.repeat(len(images), 1).requires_grad_()
        optimizer = torch.optim.Adam([z], SEARCH_LR)
        for _ in range(self.search_steps):
            loss, _ = self._distance(images, target, z)
            (z.grad,) = torch.autograd.grad(loss.sum(), z)
            optimizer.step()
        with torch.no_grad():
            return self._distance(images, target, z)

    def _distance(self, images: Tensor, target: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """The search's loss, shape (N,), and G(z)."""
        made = self.generator(z)
        _, feature = self.discriminator(made)
        residual = (images - made).abs().flatten(1).sum(1)
        discrimination = (target - feature).abs().flatten(1).sum(1)
        return (1 - SCORE_WEIGHT) * residual + SCORE_WEIGHT * discrimination, made


def _uniform(n: int, latent: int, device: torch.device | None = None) -> Tensor:
    return torch.rand(n, latent, device=device) * 2 - 1
