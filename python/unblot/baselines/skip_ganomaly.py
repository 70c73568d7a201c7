"""``skip_ganomaly``: a U-Net that restores, a discriminator that also gives the features of the score.

Source: Akçay, Atapour-Abarghouei and Breckon, "Skip-GANomaly: Skip connected and adversarially trained encoder-decoder
anomaly detection", IJCNN 2019, arXiv 1901.08954. The generator is the U-Net of pix2pix (Isola et al., arXiv 1611.07004)
without dropout, as in the authors' code.

Where the authors' public code (samet-akcay/skip-ganomaly) differs, and what we do:

- its discriminator also minimises the latent loss, so that it learns to give original and restoration the same
  features; equation 1 gives it the adversarial loss alone, and so do we;
- it adds a noise tensor to the input that is allocated and, as the training calls it, never filled; our corruption is
  drawn anew for every image and epoch;
- its learning rate's schedule multiplies by 1 for all of the default epochs; ours decays (:mod:`unblot.training.loop`);
- its contextual loss has the default weight 50, the paper's is 40;
- its feature f has 100 values, from a convolution that the paper does not name, with a last convolution 3×3 of one
  pixel after it; ours is the activation before DCGAN's last convolution, as for the detectors beside it;
- it scores with mean squares of both differences where the paper prints norms: both are offered;
- it sets the discriminator back when its loss falls below 1e-5, never leaves train mode and keeps the epoch that is
  best on the test set; ours does none of that.
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
from unblot.layers.blocks import Discriminator, ThinConv, adam, bce, dcgan_init, through

__all__ = ["Generator", "SkipGANomaly", "SkipGANomalyOptions"]

# As printed in the paper: weights of the losses (equation 4) and of the residual in the score (equation 5).
LAMBDA_ADV, LAMBDA_CON, LAMBDA_LAT = 1.0, 40.0, 1.0
SCORE_WEIGHT = 0.9


@dataclass(frozen=True)
class SkipGANomalyOptions(Options):
    """What a user may set of ``skip_ganomaly``."""

    width: int = option(64, "channels after the first convolution of both networks", at_least=1)
    score_form: str = option("norm", "norm scores as the paper prints it, mean as public code", one_of=("norm", "mean"))


class Generator(nn.Module):
    """U-Net that halves the image until its side is odd (1×1 for powers of two) and doubles it again.

    Down: LeakyReLU(0.2), convolution 4×4 with stride 2, BN (no LeakyReLU before the first, no BN after the first and
    the last). Up: ReLU, transposed convolution 4×4 with stride 2, BN, then what the way down had at that resolution
    beside it; the last goes to the image, then tanh.

    Args:
        channels: of the images, 1 or 3.
        size: height and width of the images, a multiple of 16.
        width: channels after the first convolution; they double up to eight times as many.
    """

    def __init__(self, channels: int, size: int, width: int) -> None:
        super().__init__()
        halvings = (size & -size).bit_length() - 1  # as often as 2 divides the size
        widths = [width * min(2**i, 8) for i in range(halvings)]
        self.down = nn.ModuleList([ThinConv(channels, width)])
        for i, (a, b) in enumerate(pairwise(widths), start=2):
            norm = [nn.BatchNorm2d(b)] if i < halvings else []
            conv = nn.Conv2d(a, b, 4, 2, padding=1, bias=i == halvings)
            self.down.append(nn.Sequential(nn.LeakyReLU(0.2), conv, *norm))
        self.up = nn.ModuleList()
        for i, (a, b) in enumerate(pairwise(reversed(widths))):
            conv_up = nn.ConvTranspose2d(a if i == 0 else 2 * a, b, 4, 2, padding=1, bias=False)
            self.up.append(nn.Sequential(nn.ReLU(), conv_up, nn.BatchNorm2d(b)))
        self.head = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(2 * width, channels, 4, 2, padding=1))
        self.apply(dcgan_init)

    def forward(self, images: Tensor) -> Tensor:
        """Restored images, float32, shape of ``images`` (N, C, size, size), in [-1, 1]."""
        passed = [images]
        for down in self.down:
            passed.append(down(passed[-1]))
        x = passed.pop()
        for up in self.up:
            x = torch.cat([passed.pop(), up(x)], dim=1)
        return torch.tanh(self.head(x).float())


class SkipGANomaly(Detector):
    """U-Net and DCGAN discriminator.

    With x̂ the restoration of the corrupted image x̃ and x the clean image, the generator minimises

    .. code-block:: text

        LAMBDA_ADV · (-log D(x̂))  +  LAMBDA_CON · mean |x - x̂|  +  LAMBDA_LAT · mean (f(x) - f(x̂))²

    (equations 1 to 4; the adversarial term in its non-saturating form, the L2 norm of the latent term as the authors'
    code has it), the discriminator (-log D(x) - log(1 - D(x̂))) / 2. f is its activation before the last convolution.
    The generator's step comes first, as in the authors' code, so that one pass of the discriminator over x and x̂
    serves both steps. Adam, betas 0.5 and 0.999. Without corruption x̃ is x, the paper's own training; then the
    outermost skip makes the identity easy to learn, defects included, and the corruption is what keeps the generator
    from it.

    Score (equations 5 and 6): A = SCORE_WEIGHT · R + (1 - SCORE_WEIGHT) · L for an image as it is, with

    - ``score_form="norm"``: R = ‖x - x̂‖₁, L = ‖f(x) - f(x̂)‖₂, as printed. The default, because it is what the paper
      says;
    - ``score_form="mean"``: R = mean (x - x̂)², L = mean (f(x) - f(x̂))², as in the authors' code.

    The paper stretches the scores to [0, 1] by the extremes of the test set, which changes no order and is left out.
    The anomaly map is |x - x̂| averaged over the channels.

    Parameters at the default, RGB, 32×32: generator 16.66 million, discriminator 0.66; 64×64: 29.25 and 2.77.

    Args:
        channels: 1 or 3.
        size: a multiple of 16.
        options: those of :class:`SkipGANomalyOptions`.

    Raises:
        ValueError: an option out of its range.

    Example:
        >>> detector = SkipGANomaly(channels=1, size=32, width=8).eval()
        >>> detector.score(torch.zeros(2, 1, 32, 32)).map.shape
        torch.Size([2, 1, 32, 32])
    """

    name = "skip_ganomaly"
    summary = "restores with a U-Net that is trained against a discriminator"
    options_type = SkipGANomalyOptions
    size_multiple = 16
    size_min = 16

    def __init__(self, *, channels: int, size: int, **options: Any) -> None:
        chosen = SkipGANomalyOptions.of(options)
        super().__init__(channels=channels, size=size, options=chosen)
        self.score_form = chosen.score_form
        self.generator = Generator(channels, size, chosen.width)
        self.discriminator = Discriminator(channels, size, chosen.width)

    def phases(self, lr: float) -> Sequence[Phase]:
        """One phase; an Adam for each network."""
        return [Phase("train", {"generator": adam(self.generator, lr), "discriminator": adam(self.discriminator, lr)})]

    def training_step(self, phase: str, batch: Batch) -> Iterator[Step]:  # noqa: ARG002  (there is one phase)
        """The generator's step, then the discriminator's; both from one pass of either network."""
        restored = self.generator(batch.noisy)
        shown = restored.detach().requires_grad_()
        real, target = self.discriminator(batch.clean)
        fake, feature = self.discriminator(shown)
        judged = {
            "adversarial": LAMBDA_ADV * bce(fake, 1.0),
            "latent": LAMBDA_LAT * F.mse_loss(feature, target.detach()),
        }
        yield Step(
            "generator",
            losses={
                **through(judged, shown, restored),
                "contextual": LAMBDA_CON * F.l1_loss(restored, batch.clean),
            },
        )
        yield Step(
            "discriminator",
            losses={"discriminator": (bce(real, 1.0) + bce(fake, 0.0)) / 2},
            logs={"d_real": real.detach().sigmoid().mean(), "d_fake": fake.detach().sigmoid().mean()},
        )

    def score(self, images: Tensor) -> Scores:
        """Equations 5 and 6; the map is the absolute residual averaged over the channels."""
        restored = self.generator(images)
        residual = images - restored
        latent = (self.discriminator(images)[1] - self.discriminator(restored)[1]).flatten(1)
        if self.score_form == "norm":
            r, d = residual.abs().flatten(1).sum(1), latent.norm(dim=1)
        else:
            r, d = residual.square().flatten(1).mean(1), latent.square().mean(1)
        image = SCORE_WEIGHT * r + (1 - SCORE_WEIGHT) * d
        return Scores(image, residual.abs().mean(1, keepdim=True))

    def restore(self, images: Tensor) -> Tensor:
        """The generator's output."""
        return self.generator(images)  # type: ignore[no-any-return]
