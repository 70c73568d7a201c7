"""``mask``: one network restores, a second one sees the image beside its restoration and marks what does not belong.

Sources: the two networks and the focal loss of the mask are the idea of DRAEM (Zavrtanik et al., arXiv 2108.07610); the
corruption is the patent's, grown by pasted patches and irregular shapes, and its exact mask is the target. Trained from
scratch on normal images alone. What such a network learns by heart are the synthetic blots, so ``unblot train`` keeps
the epoch that tells held-out normal images best from the same images with a corruption family left out of training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from unblot.models.blocks import Discriminator, frozen
from unblot.models.detector import Batch, Detector, Phase, Recommended, Scores, Step, register
from unblot.models.pooling import top_mean
from unblot.models.unet import UNet

__all__ = ["MaskDetector", "focal_loss"]


def focal_loss(logits: Tensor, target: Tensor, gamma: float = 2.0) -> Tensor:
    """Binary focal loss (Lin et al., arXiv 1708.02002): cross-entropy, weighted by (1 - p of the truth) ** gamma.

    Args:
        logits: float, any shape.
        target: 0 or 1, same shape.
        gamma: 0 is cross-entropy; the higher, the less what is already right counts.

    Returns:
        The mean, a scalar.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return ((1 - (-entropy).exp()) ** gamma * entropy).mean()


@register
class MaskDetector(Detector):
    """Restoration and mask, trained together.

    Losses: restoration |x - x̂| (weight 1), mask focal (weight ``focal``); with ``adversarial`` above 0 a DCGAN
    discriminator judges the restorations, whose non-saturating loss enters with that weight. The mask network sees the
    restoration without passing gradients on to it. The anomaly map is the mask's probability, averaged over ``smooth``
    × ``smooth`` pixels; the score is the mean of its largest ``top`` share.

    Args:
        channels: 1 or 3.
        size: a multiple of 32, at least 64.
        width: of both U-Nets (:class:`UNet`).
        focal: weight of the mask's loss.
        adversarial: weight of the discriminator's opinion; 0 trains without a discriminator.
        smooth: odd, in pixels.
        top: share of the map whose mean is the score.

    Raises:
        ValueError: an option out of its range.
    """

    name = "mask"
    size_multiple = 32
    size_min = 64
    recommended = Recommended(size=128, corruption="mixed", batch_size=16, lr=1e-3, presentations=20_000)

    def __init__(
        self,
        *,
        channels: int,
        size: int,
        width: int = 24,
        focal: float = 5.0,
        adversarial: float = 0.0,
        smooth: int = 5,
        top: float = 0.005,
    ) -> None:
        options = {"width": width, "focal": focal, "adversarial": adversarial, "smooth": smooth, "top": top}
        super().__init__(channels=channels, size=size, options=options)
        if not (width >= 1 and focal > 0 and adversarial >= 0 and smooth >= 1 and smooth % 2 and 0 <= top <= 1):
            raise ValueError(
                "width must be 1 or more, focal above 0, adversarial 0 or more, smooth odd, top in 0..1; "
                f"got {options!r}"
            )
        # Outputs at stride 2 carry 2 × 2 pixels each: full resolution without a convolution there.
        self.restorer = UNet(channels, {2: 4 * channels}, width, depth=5)
        self.marker = UNet(2 * channels, {2: 4}, width, depth=5)
        self.discriminator = Discriminator(channels, size) if adversarial else None
        self.focal, self.adversarial, self.smooth, self.top = focal, adversarial, smooth, top

    def phases(self, lr: float) -> Sequence[Phase]:
        """One phase: AdamW for both U-Nets, Adam for the discriminator if there is one."""
        networks = [*self.restorer.parameters(), *self.marker.parameters()]
        optimizers: dict[str, torch.optim.Optimizer] = {"networks": torch.optim.AdamW(networks, lr, weight_decay=1e-4)}
        if self.discriminator is not None:
            optimizers["discriminator"] = torch.optim.Adam(self.discriminator.parameters(), lr, betas=(0.5, 0.999))
        return [Phase("train", optimizers, judged=self)]

    def training_step(self, phase: str, batch: Batch) -> Iterator[Step]:  # noqa: ARG002  (there is one phase)
        """The discriminator's step, if there is one, then that of both networks."""
        restored = self.restore(batch.noisy)
        logits = self._logits(batch.noisy, restored.detach())
        losses = {
            "restoration": F.l1_loss(restored, batch.clean),
            "mask": self.focal * focal_loss(logits, batch.mask),
        }
        if self.discriminator is not None:
            yield from self._judge(batch.clean, restored.detach())
            with frozen(self.discriminator):
                opinion = self.discriminator(restored)[0]
            losses["adversarial"] = self.adversarial * F.softplus(-opinion).mean()
        yield Step("networks", losses)

    def _judge(self, real: Tensor, fake: Tensor) -> Iterator[Step]:
        assert self.discriminator is not None
        on_real, on_fake = self.discriminator(real)[0], self.discriminator(fake)[0]
        yield Step(
            "discriminator",
            {"discriminator": (F.softplus(-on_real).mean() + F.softplus(on_fake).mean()) / 2},
            {"d_real": on_real.sigmoid().mean(), "d_fake": on_fake.sigmoid().mean()},
        )

    def restore(self, images: Tensor) -> Tensor:
        """Restored images."""
        return torch.tanh(F.pixel_shuffle(self.restorer(images)[0], 2))

    def _logits(self, images: Tensor, restored: Tensor) -> Tensor:
        return F.pixel_shuffle(self.marker(torch.cat([images, restored], 1))[0], 2)

    def score(self, images: Tensor) -> Scores:
        """Mean of the largest values of the smoothed mask."""
        marked = self._logits(images, self.restore(images)).sigmoid()
        marked = F.avg_pool2d(marked, self.smooth, 1, self.smooth // 2, count_include_pad=False)
        return Scores(top_mean(marked, self.top), marked)
