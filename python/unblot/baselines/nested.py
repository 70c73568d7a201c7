"""``nested``: the fully nested encoder-decoder GAN.

Source: Zhang Xuewu, "A fully-nested encoder-decoder framework for anomaly detection", 2022, DOI
10.19322/j.cnki.issn.1006-4710.2022.01.012, "the paper" below. It shows its generator in a figure and gives no widths;
what fills the gaps is said in :class:`Generator`.

Where public code of this family (GANomaly, Skip-GANomaly and what descends from them) differs, we follow the papers:

- there the discriminator also minimises the latent loss; equation 11 gives it the adversarial loss alone, and so do we;
- there a noise tensor is drawn once and never refreshed; our corruption is drawn anew for every image and epoch;
- there the learning rate's schedule is constant by mistake; ours decays (:mod:`unblot.training.loop`);
- there BatchNorm may carry eps 0.8 (the position of momentum); ours keeps 1e-5;
- there the networks stay in train mode in testing, so that a score depends on its batch; ours score in eval mode.
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
from unblot.layers.blocks import Discriminator, Res, Up, adam, bce, frozen

__all__ = ["Generator", "Nested", "NestedOptions"]

WIDTHS = (32, 64, 128, 256, 512)
DEPTH = len(WIDTHS) - 1
# Printed in the paper (section 2.2.1): weights of the losses (equation 12), and λ of the score (equation 3).
LAMBDA_ADV, LAMBDA_CON, LAMBDA_LAT = 1.0, 20.0, 1.0
SCORE_WEIGHT = 0.9


class Generator(nn.Module):
    """One shared encoder, four nested decoder branches (the paper's figure 2, equations 1 and 2).

    A triangle of nodes X[i][j], row i at 1/2^i of the resolution. Column 0 is the encoder: the stem X[0][0] and the
    scales z1..z4 = X[1][0]..X[4][0]. Every further node fuses all earlier nodes of its row with the one below::

        X[i][j] = Res(concat(X[i][0], ..., X[i][j-1], Up(X[i+1][j-1])))

    Branch k ends in X[0][k]; the outermost X[0][4] feeds the head (conv3 + tanh). Up brings the row below to the width
    of its own row. With the default widths 32, 64, 128, 256, 512 and RGB that makes 9.49 million parameters and 0.50
    GMAC at 32×32.

    Args:
        channels: of the images, 1 or 3.
        width: multiplies the widths.
        stem_skip: False leaves X[0][0] out of row 0's later nodes. That skip never leaves full resolution, so the
            identity can pass through it, defects included.
    """

    def __init__(self, channels: int, width: float = 1.0, stem_skip: bool = True) -> None:
        super().__init__()
        widths = [max(1, round(width * w)) for w in WIDTHS]
        self.stem_skip = stem_skip
        self.encoder = nn.ModuleList(
            [Res(channels, widths[0])] + [Res(widths[i], widths[i + 1], stride=2) for i in range(DEPTH)]
        )
        self.up = nn.ModuleDict()
        self.node = nn.ModuleDict()
        for j in range(1, DEPTH + 1):
            for i in range(DEPTH + 1 - j):
                self.up[f"{i}{j}"] = Up(widths[i + 1], widths[i])
                skips = j if stem_skip or i > 0 else j - 1
                self.node[f"{i}{j}"] = Res((skips + 1) * widths[i], widths[i])
        self.head = nn.Conv2d(widths[0], channels, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Restored images, float32, shape of ``images`` (N, C, H, W), in [-1, 1]; 16 divides H and W."""
        rows: list[list[Tensor]] = []
        x = images
        for down in self.encoder:
            x = down(x)
            rows.append([x])
        for j in range(1, DEPTH + 1):
            for i in range(DEPTH + 1 - j):
                skips = rows[i] if self.stem_skip or i > 0 else rows[i][1:]
                below = self.up[f"{i}{j}"](rows[i + 1][j - 1])
                rows[i].append(self.node[f"{i}{j}"](torch.cat([*skips, below], dim=1)))
        return torch.tanh(self.head(rows[0][DEPTH]).float())


@dataclass(frozen=True)
class NestedOptions(Options):
    """What a user may set of ``nested``."""

    width: float = option(1.0, "multiplies the channels of both networks", above=0)
    stem_skip: bool = option(True, "whether the generator has its skip at full resolution")
    score_form: str = option("norm", "norm scores as the paper prints it, mean as public code", one_of=("norm", "mean"))


class Nested(Detector):
    """The paper's detector: nested generator, DCGAN discriminator, three losses.

    Training (section 1.3). The discriminator minimises the negative of equation 7, -log D(x) - log(1 - D(x̂)). The
    generator sees the corrupted image and minimises equation 12 against the clean image x::

        LAMBDA_ADV · (-log D(x̂))  +  LAMBDA_CON · smoothL1(x, x̂)  +  LAMBDA_LAT · smoothL1(f(x), f(x̂))

    (equations 8 to 10; the adversarial term in its non-saturating form, for log(1 - D(x̂)) has no gradient where the
    discriminator wins). f is the discriminator's activation before its last convolution. Adam, betas 0.5 and 0.999.

    Score (equations 3 to 5): A = SCORE_WEIGHT · R + (1 - SCORE_WEIGHT) · L for the image x as it is and its restoration
    x̂, with

    - ``score_form="norm"``: R = ‖x - x̂‖₁, L = ‖f(x) - f(x̂)‖₂, as printed. The default, because it is what the paper
      says;
    - ``score_form="mean"``: R = mean |x - x̂|, L = mean (f(x) - f(x̂))², as the public baselines compute it.

    The two rank images differently: R grows with the number of pixels in the first, so that R outweighs L far more
    there. The anomaly map is |x - x̂|, averaged over the channels.

    Parameters at the default, RGB, 32×32: generator 9.49 million, discriminator 0.66 million.

    Args:
        channels: 1 or 3.
        size: a multiple of 16.
        options: those of :class:`NestedOptions`.

    Raises:
        ValueError: an option out of its range.

    Example:
        >>> detector = Nested(channels=1, size=32, width=0.25).eval()
        >>> detector.score(torch.zeros(2, 1, 32, 32)).map.shape
        torch.Size([2, 1, 32, 32])
    """

    name = "nested"
    summary = "restores with a nested encoder-decoder GAN, the paper's detector"
    options_type = NestedOptions
    size_multiple = 2**DEPTH
    size_min = 2**DEPTH

    def __init__(self, *, channels: int, size: int, **options: Any) -> None:
        chosen = NestedOptions.of(options)
        super().__init__(channels=channels, size=size, options=chosen)
        self.score_form = chosen.score_form
        self.generator = Generator(channels, chosen.width, chosen.stem_skip)
        self.discriminator = Discriminator(channels, size, max(1, round(64 * chosen.width)))

    def phases(self, lr: float) -> Sequence[Phase]:
        """One phase; an Adam for each network."""
        return [Phase("train", {"discriminator": adam(self.discriminator, lr), "generator": adam(self.generator, lr)})]

    def training_step(self, phase: str, batch: Batch) -> Iterator[Step]:  # noqa: ARG002  (there is one phase)
        """The discriminator's step, then the generator's on the same restored images."""
        clean, restored = batch.clean, self.generator(batch.noisy)

        real, _ = self.discriminator(clean)
        fake, _ = self.discriminator(restored.detach())
        yield Step(
            "discriminator",
            losses={"discriminator": bce(real, 1.0) + bce(fake, 0.0)},
            logs={"d_real": real.detach().sigmoid().mean(), "d_fake": fake.detach().sigmoid().mean()},
        )

        with frozen(self.discriminator):
            with torch.no_grad():
                _, target = self.discriminator(clean)
            fake, feature = self.discriminator(restored)
        yield Step(
            "generator",
            losses={
                "adversarial": LAMBDA_ADV * bce(fake, 1.0),
                "contextual": LAMBDA_CON * F.smooth_l1_loss(restored, clean),
                "latent": LAMBDA_LAT * F.smooth_l1_loss(feature, target),
            },
        )

    def score(self, images: Tensor) -> Scores:
        """Equations 3 to 5; the map is the absolute residual averaged over the channels."""
        restored = self.generator(images)
        residual = (images - restored).abs()
        _, feature = self.discriminator(images)
        _, feature_restored = self.discriminator(restored)
        difference = (feature - feature_restored).flatten(1)
        if self.score_form == "norm":
            r, latent = residual.flatten(1).sum(1), difference.norm(dim=1)
        else:
            r, latent = residual.flatten(1).mean(1), difference.square().mean(1)
        image = SCORE_WEIGHT * r + (1 - SCORE_WEIGHT) * latent
        return Scores(image, residual.mean(1, keepdim=True))

    def restore(self, images: Tensor) -> Tensor:
        """The generator's output."""
        return self.generator(images)  # type: ignore[no-any-return]
