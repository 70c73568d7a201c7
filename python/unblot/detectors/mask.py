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

from unblot.backbones.folding import FusedInference
from unblot.calibration.pooling import top_mean
from unblot.detectors.contract import Batch, Detector, Phase, Recommended, Scores, Step
from unblot.layers.blocks import Discriminator, frozen
from unblot.layers.marking import changed, disguised, focal_loss
from unblot.layers.unet import UNet

__all__ = ["MaskDetector"]


class MaskDetector(Detector):
    """Restoration and mask, trained together.

    The mask is coarse and soft: at each of ``strides`` the second network says how much the pixels of a cell were
    changed, 0 for not at all, 1 for ``full`` of the value range or more on average. It sees the restoration without
    passing gradients on to it. Losses: restoration |x - x̂| (weight 1), focal loss of the masks (weight ``focal``,
    averaged over strides); with ``adversarial`` above 0 a DCGAN discriminator judges the restorations, whose
    non-saturating loss enters with that weight.

    Against learning the blots by heart: half of the blots are faded and half are blurred (so no hard edge gives them
    away), images are mirrored and their brightness and contrast varied, feature maps dropped, weights decayed.

    The anomaly map is the mean of the masks, the score the mean of its largest ``top`` share.

    Args:
        channels: 1 or 3.
        size: a multiple of 32, at least 64.
        width: of both U-Nets (:class:`UNet`).
        strides: of the masks, among 2, 4, 8, 16.
        focal: weight of the masks' loss.
        adversarial: weight of the discriminator's opinion; 0 trains without a discriminator.
        full: change, as a share of the value range, that makes a mask 1.
        augment: strength of the variation of brightness and contrast; 0 leaves out mirroring too.
        soften: fade and blur blots.
        dropout: share of the second network's feature maps that a training step leaves out.
        top: share of the map whose mean is the score.

    Raises:
        ValueError: an option out of its range.
    """

    name = "mask"
    size_multiple = 32
    size_min = 64
    recommended = Recommended(size=128, corruption="mixed", batch_size=16, lr=1e-3, samples_seen=20_000)

    def __init__(
        self,
        *,
        channels: int,
        size: int,
        width: int = 16,
        strides: Sequence[int] = (4, 8, 16),
        focal: float = 5.0,
        adversarial: float = 0.0,
        full: float = 0.05,
        augment: float = 0.2,
        soften: bool = True,
        dropout: float = 0.1,
        top: float = 0.01,
    ) -> None:
        options = {
            "width": width,
            "strides": list(strides),
            "focal": focal,
            "adversarial": adversarial,
            "full": full,
            "augment": augment,
            "soften": soften,
            "dropout": dropout,
            "top": top,
        }
        super().__init__(channels=channels, size=size, options=options)
        if not (width >= 1 and focal > 0 and adversarial >= 0 and full > 0 and 0 <= augment < 1):
            raise ValueError(
                "width must be 1 or more, focal and full above 0, adversarial 0 or more, augment in 0..1 (below 1); "
                f"got {options!r}"
            )
        if not (0 <= dropout < 1 and 0 <= top <= 1):
            raise ValueError(f"dropout must be in 0..1 (below 1) and top in 0..1, got {options!r}")
        # Outputs at stride 2 carry 2 × 2 pixels each: full resolution without a convolution there.
        self.restorer = UNet(channels, {2: 4 * channels}, width, depth=5)
        self.marker = UNet(2 * channels, dict.fromkeys(strides, 1), width, depth=5, dropout=dropout)
        self._restorer, self._marker = FusedInference(self.restorer), FusedInference(self.marker)
        self.discriminator = Discriminator(channels, size) if adversarial else None
        self.strides, self.focal, self.adversarial, self.full = tuple(strides), focal, adversarial, full
        self.augment, self.soften, self.top = augment, soften, top

    def phases(self, lr: float) -> Sequence[Phase]:
        """One phase: AdamW for both U-Nets, Adam for the discriminator if there is one."""
        networks = [*self.restorer.parameters(), *self.marker.parameters()]
        optimizers: dict[str, torch.optim.Optimizer] = {"networks": torch.optim.AdamW(networks, lr, weight_decay=1e-2)}
        if self.discriminator is not None:
            optimizers["discriminator"] = torch.optim.Adam(self.discriminator.parameters(), lr, betas=(0.5, 0.999))
        return [Phase("train", optimizers, judged=self)]

    def training_step(self, phase: str, batch: Batch) -> Iterator[Step]:  # noqa: ARG002  (there is one phase)
        """The discriminator's step, if there is one, then that of both networks."""
        clean, noisy = disguised(batch.clean, batch.noisy, soften=self.soften, augment=self.augment)
        restored = self.restore(noisy)
        masks = self._masks(noisy, restored.detach())
        wanted = [changed(clean, noisy, stride, self.full) for stride in self.strides]
        losses = {
            "restoration": F.l1_loss(restored, clean),
            "mask": self.focal * torch.stack([focal_loss(m, w) for m, w in zip(masks, wanted, strict=True)]).mean(),
        }
        if self.discriminator is not None:
            yield from self._judge(clean, restored.detach())
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
        return torch.tanh(F.pixel_shuffle(self._restorer(images)[0], 2))

    def _masks(self, images: Tensor, restored: Tensor) -> list[Tensor]:
        """Logits of the masks, by stride."""
        return self._marker(torch.cat([images, restored], 1))  # type: ignore[no-any-return]

    def score(self, images: Tensor) -> Scores:
        """Mean of the largest values of the mean mask, taken at the finest stride."""
        masks = [m.sigmoid() for m in self._masks(images, self.restore(images))]
        fine = [s // min(self.strides) for s in self.strides]
        coarse = torch.stack(
            [
                F.interpolate(m, scale_factor=f, mode="bilinear") if f > 1 else m
                for m, f in zip(masks, fine, strict=True)
            ]
        ).mean(0)
        return Scores(top_mean(coarse, self.top), F.interpolate(coarse, images.shape[-2:], mode="bilinear"))
