"""``f_anogan``: a Wasserstein GAN of normal images, then an encoder that inverts its generator.

Source: Schlegl et al., "f-AnoGAN: Fast unsupervised anomaly detection with generative adversarial networks", Medical
Image Analysis 54, 2019; its GAN is that of Gulrajani et al., "Improved training of Wasserstein GANs", arXiv 1704.00028.
The networks are the residual ones of the authors' code (tSchlegl/f-AnoGAN), for more sizes than its 64 px.

Where public code differs (the authors', in TensorFlow; A03ki/f-AnoGAN, in PyTorch), and what we do:

- each step of the critic there takes images of its own, so that an epoch has a step of the generator for every five
  batches; here a batch serves all five steps of the critic, each with new noise, and the generator's after them;
- the authors train the encoder with RMSprop and the generator with 1e-4; here all three use Adam and the run's rate,
  betas 0 and 0.9 for the GAN (as theirs) and 0.5 and 0.999 for the encoder;
- A03ki's critic has BatchNorm (with eps 0.8, the position of momentum) and dropout. The gradient penalty is a bound for
  each image, which BatchNorm breaks by mixing them; ours has layer normalisation, as the authors' has;
- A03ki's generator is a small plain one and its encoder ends in tanh; the authors' encoder has no bound, as here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unblot.detectors.contract import Batch, Detector, Phase, Scores, Step
from unblot.detectors.options import Options, option
from unblot.layers.blocks import adam, frozen, pyramid

__all__ = ["Critic", "Encoder", "FAnoGAN", "FAnoGANOptions", "Generator", "PreActivation", "gradient_penalty"]

N_CRITIC, LAMBDA_GP = 5, 10.0  # of Gulrajani et al.: critic's steps for one of the generator, weight of the penalty
KAPPA = 1.0  # of Schlegl et al.: weight of the feature term, in training and score


@dataclass(frozen=True)
class FAnoGANOptions(Options):
    """What a user may set of ``f_anogan``."""

    width: int = option(64, "channels of the widest resolution", at_least=1)
    latent: int = option(128, "length of the latent vector", at_least=1)


class PreActivation(nn.Module):
    """Residual block of the Wasserstein GAN: norm-ReLU-conv3-norm-ReLU-conv3 + shortcut.

    Down is a 2×2 mean after the second convolution, up a nearest-neighbour doubling before the first. The shortcut is a
    1×1 convolution where channels change, resampled in the same way.

    Args:
        channels_in: channels of the input.
        channels_out: channels of the output.
        resample: "down" halves the resolution, "up" doubles it.
        norm: "batch", or "layer", which treats each image by itself.
    """

    def __init__(self, channels_in: int, channels_out: int, resample: str, norm: str) -> None:
        super().__init__()
        double, halve = nn.Upsample(scale_factor=2), nn.AvgPool2d(2)
        up, middle = resample == "up", channels_out if resample == "up" else channels_in
        # The second normalisation or bias takes up what a bias of the first convolution would add.
        first = nn.Conv2d(channels_in, middle, 3, padding=1, bias=False)
        second = nn.Conv2d(middle, channels_out, 3, padding=1)
        point = nn.Conv2d(channels_in, channels_out, 1)
        for conv in (first, second):
            nn.init.kaiming_uniform_(conv.weight, nonlinearity="relu")
        before = [_norm(norm, channels_in), nn.ReLU()]
        between = [_norm(norm, middle), nn.ReLU()]
        if up:
            self.body = nn.Sequential(*before, double, first, *between, second)
            # A 1×1 convolution and a doubling commute: the small image is the cheaper one to convolve.
            self.shortcut = nn.Sequential(point, double)
        else:
            self.body = nn.Sequential(*before, first, *between, second, halve)
            self.shortcut = nn.Sequential(halve, point)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) to (N, channels_out, H / 2, W / 2) or (N, channels_out, 2 H, 2 W)."""
        return self.body(x) + self.shortcut(x)  # type: ignore[no-any-return]


class Generator(nn.Module):
    """Images from noise: a linear layer, one residual block for each doubling, a convolution, tanh.

    Args:
        channels: of the images, 1 or 3.
        size: height and width of the images, a multiple of 16.
        latent: length of the noise vectors.
        width: channels before the head; doubled towards the noise up to eight times.
    """

    def __init__(self, channels: int, size: int, latent: int, width: int) -> None:
        super().__init__()
        widths, self.side = _pyramid(size, width)
        self.start = nn.Linear(latent, widths[-1] * self.side**2)
        self.blocks = nn.Sequential(*(PreActivation(a, b, "up", "batch") for b, a in reversed([*pairwise(widths)])))
        self.head = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, channels, 3, padding=1))

    def forward(self, z: Tensor) -> Tensor:
        """Noise (N, latent) to images (N, C, size, size), float32, in [-1, 1]."""
        start = self.start(z).unflatten(1, (-1, self.side, self.side))
        return torch.tanh(self.head(self.blocks(start)).float())


class Critic(nn.Module):
    """How real an image looks, without bound: a convolution, one residual block for each halving, a linear layer.

    Its feature f is what the linear layer sees. Layer normalisation: an image's value depends on that image alone.

    Args:
        channels: of the images, 1 or 3.
        size: height and width of the images, a multiple of 16.
        width: channels after the first convolution; doubled at each halving up to eight times.
    """

    def __init__(self, channels: int, size: int, width: int) -> None:
        super().__init__()
        widths, side = _pyramid(size, width)
        self.features = _halvings(channels, widths, "layer")
        self.value = nn.Linear(widths[-1] * side**2, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Values, shape (N,), and the feature f, shape (N, C', S, S); both float32."""
        feature = self.features(images)
        return self.value(feature.flatten(1)).flatten().float(), feature.float()


class Encoder(nn.Module):
    """The critic's layers with BatchNorm, ending in a noise vector.

    Args:
        channels: of the images, 1 or 3.
        size: height and width of the images, a multiple of 16.
        latent: length of the noise vectors.
        width: channels after the first convolution; doubled at each halving up to eight times.
    """

    def __init__(self, channels: int, size: int, latent: int, width: int) -> None:
        super().__init__()
        widths, side = _pyramid(size, width)
        self.features = _halvings(channels, widths, "batch")
        self.latent = nn.Linear(widths[-1] * side**2, latent)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, size, size) to noise vectors (N, latent), float32, without bound."""
        return self.latent(self.features(images).flatten(1)).float()  # type: ignore[no-any-return]


def gradient_penalty(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Mean of (‖∇ critic(x)‖₂ - 1)² at a random point x between each real image and its fake one.

    Computed in float32 under any precision: the gradient of a gradient in bfloat16 has too few digits to be a bound.

    Args:
        critic: gives values, shape (N,), and features; its parameters get a gradient through the penalty.
        real: images (N, C, H, W).
        fake: as many images; no gradient flows to either.

    Returns:
        A scalar with a graph.
    """
    with torch.autocast(real.device.type, enabled=False):
        real, fake = real.detach().float(), fake.detach().float()
        share = torch.rand(len(real), 1, 1, 1, device=real.device)
        between = (share * real + (1 - share) * fake).requires_grad_()
        value, _ = critic(between)
        (gradient,) = torch.autograd.grad(value.sum(), between, create_graph=True)
        penalty: Tensor = (gradient.flatten(1).norm(dim=1) - 1).square().mean()
        return penalty


class FAnoGAN(Detector):
    """Wasserstein GAN with gradient penalty, then the izi_f encoder (image to z to image, with features).

    Phase "gan". Each batch trains the critic ``N_CRITIC`` times, then the generator once, z from N(0, 1)::

        critic:     D(G(z)) - D(x)  +  LAMBDA_GP · (‖∇D‖₂ - 1)²        (means; ∇D at a random point between x and G(z))
        generator:  -D(G(z))

    Phase "encoder". Generator and critic stay as they are (eval mode); the encoder E sees the corrupted image x̃ and
    minimises, against the clean image x::

        mean (x - x̂)²  +  KAPPA · mean (f(x) - f(x̂))²          x̂ = G(E(x̃)), f: the critic's last layer but one

    The corruption enters there alone: the GAN has to learn what normal images look like, so its real images are clean
    ones. Without corruption x̃ is x, the paper's own training. Each phase lasts the epochs that the run asks for.

    Score: A = A_R + KAPPA · A_D, the two terms above for the image as it is. The anomaly map is |x - x̂| averaged over
    the channels. The log shows the critic's estimate of the Wasserstein distance. Its values are no probabilities, so
    ``d_real`` and ``d_fake`` are not logged and the loop does not look for a collapsed discriminator.

    Parameters at the default, RGB, 32×32: generator 3.56 million, critic 2.51 million, encoder 3.55 million; 64×64:
    8.54, 7.49 and 8.53 million.

    Args:
        channels: 1 or 3.
        size: a multiple of 16. The networks halve the image until 4×4 is left, or an odd square.
        options: those of :class:`FAnoGANOptions`.

    Raises:
        ValueError: an option out of its range.

    Example:
        >>> detector = FAnoGAN(channels=1, size=32, width=8).eval()
        >>> detector.score(torch.zeros(2, 1, 32, 32)).map.shape
        torch.Size([2, 1, 32, 32])
    """

    name = "f_anogan"
    summary = "restores with a Wasserstein GAN and an encoder that inverts it"
    options_type = FAnoGANOptions
    size_multiple = 16
    size_min = 16

    def __init__(self, *, channels: int, size: int, **options: Any) -> None:
        chosen = FAnoGANOptions.of(options)
        super().__init__(channels=channels, size=size, options=chosen)
        self.latent = chosen.latent
        self.generator = Generator(channels, size, chosen.latent, chosen.width)
        self.critic = Critic(channels, size, chosen.width)
        self.encoder = Encoder(channels, size, chosen.latent, chosen.width)

    def phases(self, lr: float) -> Sequence[Phase]:
        """The GAN (Adam, betas 0 and 0.9, as Gulrajani et al.), then the encoder (betas 0.5 and 0.999)."""
        networks = {"critic": self.critic, "generator": self.generator}
        gan = {name: adam(network, lr, betas=(0.0, 0.9)) for name, network in networks.items()}
        return [Phase("gan", gan), Phase("encoder", {"encoder": adam(self.encoder, lr)})]

    def training_step(self, phase: str, batch: Batch) -> Iterator[Step]:
        """The steps of one batch in either phase."""
        return self._gan(batch.clean) if phase == "gan" else self._invert(batch)

    def _gan(self, real: Tensor) -> Iterator[Step]:
        for _ in range(N_CRITIC):
            with torch.no_grad():
                fake = self.generator(self._noise(real))
            value_real, value_fake = self.critic(torch.cat([real, fake]))[0].chunk(2)
            distance = value_real.mean() - value_fake.mean()
            yield Step(
                "critic",
                losses={"critic": -distance, "penalty": LAMBDA_GP * gradient_penalty(self.critic, real, fake)},
                logs={"wasserstein": distance.detach()},
            )
        with frozen(self.critic):
            value, _ = self.critic(self.generator(self._noise(real)))
        yield Step("generator", losses={"adversarial": -value.mean()})

    def _invert(self, batch: Batch) -> Iterator[Step]:
        with frozen(self.generator), frozen(self.critic):
            restored = self.generator(self.encoder(batch.noisy))
            _, feature = self.critic(restored)
            with torch.no_grad():
                _, target = self.critic(batch.clean)
        yield Step(
            "encoder",
            losses={
                "reconstruction": F.mse_loss(restored, batch.clean),
                "feature": KAPPA * F.mse_loss(feature, target),
            },
        )

    def score(self, images: Tensor) -> Scores:
        """A_R + KAPPA · A_D; the map is the absolute residual averaged over the channels."""
        restored = self.restore(images)
        residual = images - restored
        feature = self.critic(images)[1] - self.critic(restored)[1]
        image = residual.square().flatten(1).mean(1) + KAPPA * feature.square().flatten(1).mean(1)
        return Scores(image, residual.abs().mean(1, keepdim=True))

    def restore(self, images: Tensor) -> Tensor:
        """The generator's image of what the encoder finds."""
        return self.generator(self.encoder(images))  # type: ignore[no-any-return]

    def _noise(self, like: Tensor) -> Tensor:
        return torch.randn(len(like), self.latent, device=like.device)


def _pyramid(size: int, width: int) -> tuple[list[int], int]:
    """Channels at full resolution and after each halving, and the side of the square that is left."""
    # DCGAN's networks begin with a halving: those of twice the size have full resolution as their first level.
    return pyramid(2 * size, width)


def _halvings(channels: int, widths: list[int], norm: str) -> nn.Sequential:
    blocks = (PreActivation(a, b, "down", norm) for a, b in pairwise(widths))
    return nn.Sequential(nn.Conv2d(channels, widths[0], 3, padding=1), *blocks)


def _norm(norm: str, channels: int) -> nn.Module:
    # One group of all channels is layer normalisation over (C, H, W).
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.GroupNorm(1, channels)
