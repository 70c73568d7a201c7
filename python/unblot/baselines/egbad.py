"""``egbad``: a bidirectional GAN whose encoder finds at once what AnoGAN searches for.

Source: Zenati, Foo, Lecouat, Manek and Chandrasekhar, "Efficient GAN-based anomaly detection", ICLR 2018 workshop,
arXiv 1802.06222; its GAN is the BiGAN of Donahue et al., arXiv 1605.09782. The networks are those of DCGAN, for more
sizes than the 28 px of the paper, and the discriminator has the paper's dropout.

Where the authors' public code (houssamzenati/Efficient-GAN-Anomaly-Detection) differs, and what we do:

- its cross-entropy score takes the discriminator's answer to the restoration, (G(E(x)), E(x)), where the paper writes
  the image itself, (x, E(x)): ours is the paper's;
- it scores with moving averages of the weights; ours with the weights of the last step;
- its learning rate for images is 1e-5, with batches of 100; ours is what the run asks for;
- it trains encoder and generator on other images than the discriminator; here all learn from the same batch, and one
  pass of each network serves both steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unblot.detectors.contract import Batch, Detector, Phase, Scores, Step
from unblot.detectors.options import Options, option
from unblot.layers.blocks import Decoder, Encoder, PairDiscriminator, adam, bce, through

__all__ = ["EGBAD", "EgbadOptions"]

# As printed in the paper: the discriminator's dropout in training, and α of the score.
DROPOUT, SCORE_WEIGHT = 0.5, 0.9


@dataclass(frozen=True)
class EgbadOptions(Options):
    """What a user may set of ``egbad``."""

    width: int = option(64, "channels after the first convolution of each network", at_least=1)
    latent: int = option(200, "length of the latent vector", at_least=1)
    score_form: str = option("feature", "the discriminator's term of the score", one_of=("feature", "cross_entropy"))


class EGBAD(Detector):
    """Encoder E, generator G and a discriminator D of pairs: (x, E(x)) or (G(z), z)?

    With z from N(0, 1), x the clean and x̃ the corrupted image, all means over the batch:

    .. code-block:: text

        encoder and generator:  -log(1 - D(x, E(x̃)))  -  log D(G(z), z)
        discriminator:          -log D(x, E(x̃))  -  log(1 - D(G(z), z))

    (the authors' form, in which both sides' losses do not saturate). The corruption goes to the encoder alone: D sees
    the clean image beside the code, so the encoder has to find the code of what lies under a blot; the generator makes
    clean images from noise and never sees one. Without corruption x̃ is x, the paper's own training. Adam, betas 0.5
    and 0.999.

    Score: A = SCORE_WEIGHT · L_G + (1 - SCORE_WEIGHT) · L_D for an image as it is, x̂ = G(E(x)), L_G = ‖x - x̂‖₁ and

    - ``score_form="feature"``: L_D = ‖f(x, E(x)) - f(x̂, E(x))‖₁, f the activation before D's last layer. The
      default; the paper uses both;
    - ``score_form="cross_entropy"``: L_D = -log D(x, E(x)).

    The anomaly map is |x - x̂| averaged over the channels. No loss compares x̂ with x: that E and G invert each other
    is what D enforces in the long run, and after a few epochs x̂ may look like another normal image.

    Parameters at the default, RGB, 32×32: encoder 1.48 million, generator 1.48, discriminator 5.48; 64×64: 4.40, 4.40
    and 11.78.

    Args:
        channels: 1 or 3.
        size: a multiple of 16. The networks halve the image until 4×4 is left, or an odd square.
        options: those of :class:`EgbadOptions`.

    Raises:
        ValueError: an option out of its range.

    Example:
        >>> detector = EGBAD(channels=1, size=32, width=8).eval()
        >>> detector.score(torch.zeros(2, 1, 32, 32)).map.shape
        torch.Size([2, 1, 32, 32])
    """

    name = "egbad"
    summary = "restores with a bidirectional GAN, whose encoder finds what anogan searches for"
    options_type = EgbadOptions
    size_multiple = 16
    size_min = 16

    def __init__(self, *, channels: int, size: int, **options: Any) -> None:
        chosen = EgbadOptions.of(options)
        super().__init__(channels=channels, size=size, options=chosen)
        self.latent, self.score_form = chosen.latent, chosen.score_form
        self.encoder = Encoder(channels, size, chosen.latent, chosen.width)
        self.generator = Decoder(channels, size, chosen.latent, chosen.width)
        self.discriminator = PairDiscriminator(channels, size, chosen.latent, chosen.width, DROPOUT)

    def phases(self, lr: float) -> Sequence[Phase]:
        """One phase; an Adam for encoder and generator, another for the discriminator."""
        both = nn.ModuleList([self.encoder, self.generator])
        return [Phase("train", {"generator": adam(both, lr), "discriminator": adam(self.discriminator, lr)})]

    def training_step(self, phase: str, batch: Batch) -> Iterator[Step]:  # noqa: ARG002  (there is one phase)
        """Encoder's and generator's step, then the discriminator's; both from one pass of each network."""
        noise = torch.randn(len(batch.clean), self.latent, device=batch.clean.device)
        code, made = self.encoder(batch.noisy), self.generator(noise)
        shown_code, shown_made = code.detach().requires_grad_(), made.detach().requires_grad_()
        real, _ = self.discriminator(batch.clean, shown_code)
        fake, _ = self.discriminator(shown_made, noise)
        yield Step(
            "generator",
            losses={
                **through({"encoder": bce(real, 0.0)}, shown_code, code),
                **through({"generator": bce(fake, 1.0)}, shown_made, made),
            },
        )
        yield Step(
            "discriminator",
            losses={"discriminator": bce(real, 1.0) + bce(fake, 0.0)},
            logs={"d_real": real.detach().sigmoid().mean(), "d_fake": fake.detach().sigmoid().mean()},
        )

    def score(self, images: Tensor) -> Scores:
        """Residual and the discriminator's term; the map is the absolute residual averaged over the channels."""
        code = self.encoder(images)
        restored = self.generator(code)
        residual = (images - restored).abs()
        logits, feature = self.discriminator(images, code)
        if self.score_form == "feature":
            _, feature_restored = self.discriminator(restored, code)
            term = (feature - feature_restored).abs().sum(1)
        else:
            term = nn.functional.softplus(-logits)
        image = SCORE_WEIGHT * residual.flatten(1).sum(1) + (1 - SCORE_WEIGHT) * term
        return Scores(image, residual.mean(1, keepdim=True))

    def restore(self, images: Tensor) -> Tensor:
        """The generator's image of the code."""
        return self.generator(self.encoder(images))  # type: ignore[no-any-return]
