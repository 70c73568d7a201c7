"""``ganomaly``: encoder, decoder, encoder; what the two encoders see differently is the anomaly.

Source: Akçay, Atapour-Abarghouei and Breckon, "GANomaly: Semi-supervised anomaly detection via adversarial training",
ACCV 2018, arXiv 1805.06725.

Where the authors' public code (samet-akcay/ganomaly) differs, and what we do:

- it gives the discriminator fresh random weights whenever its loss falls below 1e-5; the paper knows nothing of that.
  Here the loop's log warns of a collapse (:mod:`unblot.training.monitor`);
- it never leaves train mode, so that a score depends on the batch; here the networks score in eval mode;
- it keeps the epoch that is best on the test set, and stretches the test scores to [0, 1] by their own extremes;
- it scores with the mean square of the difference of the two codes where the paper prints the L1 norm: both are
  offered;
- its adversarial and its encoder loss are mean squares where the paper prints L2 norms. Here we follow the code: the
  published weights belong to these;
- it computes the discriminator's features of the same images twice; here one pass serves both steps;
- at 128 px and above its channels go on doubling; ours stop at eight times the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from unblot.detectors.contract import Batch, Detector, Phase, Scores, Step
from unblot.detectors.options import Options, option
from unblot.layers.blocks import Decoder, Discriminator, Encoder, adam, bce, through

__all__ = ["GANomaly", "GANomalyOptions", "Generator"]

LAMBDA_ADV, LAMBDA_CON, LAMBDA_ENC = 1.0, 50.0, 1.0  # weights of the losses, as printed in the paper


@dataclass(frozen=True)
class GANomalyOptions(Options):
    """What a user may set of ``ganomaly``."""

    width: int = option(64, "channels after the first convolution of each network", at_least=1)
    latent: int = option(100, "length of the codes", at_least=1)
    score_form: str = option("norm", "norm scores as the paper prints it, mean as public code", one_of=("norm", "mean"))


class Generator(nn.Module):
    """Encoder G_E, decoder G_D, and the second encoder E, which belongs to the generator's step.

    Args:
        channels: of the images, 1 or 3.
        size: height and width of the images, a multiple of 16.
        latent: length of the codes.
        width: channels after the first convolution.
    """

    def __init__(self, channels: int, size: int, latent: int, width: int) -> None:
        super().__init__()
        self.encoder = Encoder(channels, size, latent, width)
        self.decoder = Decoder(channels, size, latent, width)
        self.second = Encoder(channels, size, latent, width)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images (N, C, size, size) to x̂ of the same shape, in [-1, 1], z and ẑ, both (N, latent); all float32."""
        code = self.encoder(images)
        restored = self.decoder(code)
        return restored, code, self.second(restored)


class GANomaly(Detector):
    """The encoder-decoder-encoder GAN.

    With z = G_E(x̃), x̂ = G_D(z) and ẑ = E(x̂), x̃ the corrupted and x the clean image, the generator (all three)
    minimises

    .. code-block:: text

        LAMBDA_ADV · mean (f(x) - f(x̂))²  +  LAMBDA_CON · mean |x - x̂|  +  LAMBDA_ENC · mean (z - ẑ)²

    where f is the discriminator's activation before its last convolution (equations 1 to 4), and the discriminator

    .. code-block:: text

        (-log D(x) - log(1 - D(x̂))) / 2

    The generator's step comes first, as in the authors' code, so that one pass of the discriminator over x and x̂
    serves both steps. Adam, betas 0.5 and 0.999. Without corruption x̃ is x, the paper's own training.

    Score, for an image as it is (equation 5):

    - ``score_form="norm"``: ‖z - ẑ‖₁, as printed. The default, because it is what the paper says;
    - ``score_form="mean"``: mean (z - ẑ)², as in the authors' code.

    A difference of codes has no place in the image, so the anomaly map is that of the restoration, |x - x̂| averaged
    over the channels; the score is not made from it.

    Parameters at the default, RGB, 32×32: generator 3.21 million, discriminator 0.66 million; 64×64: 10.73 and 2.77.

    Args:
        channels: 1 or 3.
        size: a multiple of 16. The networks halve the image until 4×4 is left, or an odd square.
        options: those of :class:`GANomalyOptions`.

    Raises:
        ValueError: an option out of its range.

    Example:
        >>> import torch
        >>> detector = GANomaly(channels=1, size=32, width=8).eval()
        >>> detector.score(torch.zeros(2, 1, 32, 32)).image.shape
        torch.Size([2])
    """

    name = "ganomaly"
    summary = "compares the codes of an image and of its restoration, by an encoder-decoder-encoder GAN"
    options_type = GANomalyOptions
    size_multiple = 16
    size_min = 16

    def __init__(self, *, channels: int, size: int, **options: Any) -> None:
        chosen = GANomalyOptions.of(options)
        super().__init__(channels=channels, size=size, options=chosen)
        self.score_form = chosen.score_form
        self.generator = Generator(channels, size, chosen.latent, chosen.width)
        self.discriminator = Discriminator(channels, size, chosen.width)

    def phases(self, lr: float) -> Sequence[Phase]:
        """One phase; an Adam for each network."""
        return [Phase("train", {"generator": adam(self.generator, lr), "discriminator": adam(self.discriminator, lr)})]

    def training_step(self, phase: str, batch: Batch) -> Iterator[Step]:  # noqa: ARG002  (there is one phase)
        """The generator's step, then the discriminator's; both from one pass of either network."""
        restored, code, code_restored = self.generator(batch.noisy)
        shown = restored.detach().requires_grad_()
        real, target = self.discriminator(batch.clean)
        fake, feature = self.discriminator(shown)
        adversarial = {"adversarial": LAMBDA_ADV * F.mse_loss(feature, target.detach())}
        yield Step(
            "generator",
            losses={
                **through(adversarial, shown, restored),
                "contextual": LAMBDA_CON * F.l1_loss(restored, batch.clean),
                "encoder": LAMBDA_ENC * F.mse_loss(code_restored, code),
            },
        )
        yield Step(
            "discriminator",
            losses={"discriminator": (bce(real, 1.0) + bce(fake, 0.0)) / 2},
            logs={"d_real": real.detach().sigmoid().mean(), "d_fake": fake.detach().sigmoid().mean()},
        )

    def score(self, images: Tensor) -> Scores:
        """The distance of the codes; the map is the absolute residual averaged over the channels."""
        restored, code, code_restored = self.generator(images)
        difference = code - code_restored
        image = difference.abs().sum(1) if self.score_form == "norm" else difference.square().mean(1)
        return Scores(image, (images - restored).abs().mean(1, keepdim=True))

    def restore(self, images: Tensor) -> Tensor:
        """The decoder's image of the code."""
        return self.generator.decoder(self.generator.encoder(images))  # type: ignore[no-any-return]
