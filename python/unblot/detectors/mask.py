"""``mask``: one network restores, a second one sees the image beside its restoration and marks what does not belong.

Sources: the two networks and the focal loss of the mask are the idea of DRAEM (Zavrtanik et al., arXiv 2108.07610); the
corruption is the patent's, grown by pasted patches and irregular shapes, and its exact mask is the target. Trained from
scratch on normal images alone. What such a network learns by heart are the synthetic blots, so ``unblot train`` keeps
the epoch that tells held-out normal images best from the same images with a corruption family left out of training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from unblot.backbones.folding import FusedInference
from unblot.calibration.pooling import top_mean
from unblot.detectors.contract import Batch, Detector, Phase, Recommended, Scores, Step
from unblot.detectors.options import Options, option
from unblot.layers.marking import changed, disguised, focal_loss
from unblot.layers.unet import UNet

__all__ = ["MaskDetector", "MaskOptions"]

# Values that trials settled on (docs/research-log, 2026-11-27, results).
STRIDES = (4, 8, 16)  # of the masks
FOCAL = 5.0  # weight of the masks' loss
FULL = 0.05  # change, as a share of the value range, that makes a mask 1
AUGMENT = 0.2  # strength of the variation of brightness and contrast
DROPOUT = 0.1  # share of the second network's feature maps that a training step leaves out
TOP = 0.01  # share of the map whose mean is the score


@dataclass(frozen=True)
class MaskOptions(Options):
    """What a user may set of ``mask``."""

    width: int = option(16, "channels of both networks at half resolution", at_least=1)


class MaskDetector(Detector):
    """Restoration and mask, trained together.

    The mask is coarse and soft: at each of ``STRIDES`` the second network says how much the pixels of a cell were
    changed, 0 for not at all, 1 for ``FULL`` of the value range or more on average. It sees the restoration without
    passing gradients on to it. Losses: restoration |x - x̂| (weight 1), focal loss of the masks (weight ``FOCAL``,
    averaged over strides).

    Against learning the blots by heart: half of the blots are faded and half are blurred (so no hard edge gives them
    away), images are mirrored and their brightness and contrast varied, feature maps dropped, weights decayed.

    The anomaly map is the mean of the masks, the score the mean of its largest ``TOP`` share.

    Args:
        channels: 1 or 3.
        size: a multiple of 32, at least 64.
        options: those of :class:`MaskOptions`.

    Raises:
        ValueError: an option out of its range.
    """

    name = "mask"
    summary = "restores pixels, and marks what its restoration changed; trained from scratch"
    options_type = MaskOptions
    size_multiple = 32
    size_min = 64
    recommended = Recommended(size=128, corruption="mixed", batch_size=16, lr=1e-3, samples_seen=20_000)

    def __init__(self, *, channels: int, size: int, **options: Any) -> None:
        chosen = MaskOptions.of(options)
        super().__init__(channels=channels, size=size, options=chosen)
        # Outputs at stride 2 carry 2 × 2 pixels each: full resolution without a convolution there.
        self.restorer = UNet(channels, {2: 4 * channels}, chosen.width, depth=5)
        self.marker = UNet(2 * channels, dict.fromkeys(STRIDES, 1), chosen.width, depth=5, dropout=DROPOUT)
        self._restorer, self._marker = FusedInference(self.restorer), FusedInference(self.marker)

    def phases(self, lr: float) -> Sequence[Phase]:
        """One phase: AdamW for both U-Nets, whose best judged epoch stays."""
        networks = [*self.restorer.parameters(), *self.marker.parameters()]
        return [Phase("train", {"networks": torch.optim.AdamW(networks, lr, weight_decay=1e-2)}, judged=self)]

    def training_step(self, phase: str, batch: Batch) -> Iterator[Step]:  # noqa: ARG002  (there is one phase)
        """One step of both networks."""
        clean, noisy = disguised(batch.clean, batch.noisy, soften=True, augment=AUGMENT)
        restored = self.restore(noisy)
        masks = self._masks(noisy, restored.detach())
        wanted = [changed(clean, noisy, stride, FULL) for stride in STRIDES]
        each = [focal_loss(m, w) for m, w in zip(masks, wanted, strict=True)]
        yield Step(
            "networks",
            {"restoration": F.l1_loss(restored, clean), "mask": FOCAL * torch.stack(each).mean()},
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
        fine = [s // min(STRIDES) for s in STRIDES]
        coarse = torch.stack(
            [
                F.interpolate(m, scale_factor=f, mode="bilinear") if f > 1 else m
                for m, f in zip(masks, fine, strict=True)
            ]
        ).mean(0)
        return Scores(top_mean(self.within(coarse), TOP), F.interpolate(coarse, images.shape[-2:], mode="bilinear"))
