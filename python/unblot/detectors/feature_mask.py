"""``feature_mask``: a small network on a frozen backbone's features marks blots.

Sources: a network trained on synthetic masks as in DRAEM (Zavrtanik et al., arXiv 2108.07610), but on features of a
frozen network, as the segmentation network of DeSTSeg (Zhang et al., arXiv 2211.11317) and the discriminator of
SimpleNet (Liu et al., arXiv 2303.15140) are. What marks blots in pixels soon knows them by heart; on features, which it
cannot change, it learns less of how they were made and more of what does not belong. The corruption is the patent's,
grown by pasted patches and irregular shapes; nothing is restored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from unblot.backbones.filters import FILTERS
from unblot.backbones.frozen import PACKAGED, Backbone
from unblot.calibration.pooling import top_mean
from unblot.calibration.positionwise import PositionwiseNormalizer
from unblot.detectors._backbone_phase import LEARN, backbone_phases, backbone_step
from unblot.detectors.contract import Batch, Detector, LeaveGroupOut, Phase, Recommended, Scores, Step
from unblot.layers.marking import Marker, changed, disguised, focal_loss

__all__ = ["FeatureMask"]

MIDDLE, ALL = (8, 16), (4, 8, 16, 32)  # strides


class FeatureMask(Detector):
    """The backbone's features of a blotted image, and where the blots are.

    The mask is coarse and soft: in each cell of ``stride`` pixels it says how much the pixels were changed, 0 for not
    at all, 1 for ``full`` of the value range or more on average. The loss is the focal one. Against learning blots by
    heart, images are varied and blots softened as for ``mask``. The anomaly map is the mask's logit, measured by what
    held-out normal images have at each place (:class:`PositionwiseNormalizer`) and enlarged; the score the mean of its
    largest ``top`` share. Its figures depend on ImageNet weights (:class:`Backbone`), or, with the
    backbone "filters", on none.

    Args:
        channels: 1 or 3.
        size: a multiple of 32, at least 64.
        backbone: a timm model, "filters" or "scratch" (:class:`Backbone`).
        strides: of the features that are looked at, ascending; None: 4, 8, 16 and 32 of the filter bank, 8 and 16 of
            other backbones.
        stride: of the mask, one of ``strides``.
        width: channels of the marking network (:class:`Marker`).
        full: change, as a share of the value range, that makes a mask 1.
        augment: strength of the variation of brightness and contrast; 0 leaves out mirroring too.
        soften: fade and blur blots.
        dropout: share of the backbone's channels that a training step leaves out.
        top: share of the map whose mean is the score.

    Raises:
        ValueError: an option out of its range.
        UserError: the backbone cannot be had.
    """

    name = "feature_mask"
    size_multiple = 32
    size_min = 64
    recommended = Recommended(size=64, largest=512, corruption="mixed", batch_size=16, lr=1e-3, samples_seen=10_000)

    def __init__(
        self,
        *,
        channels: int,
        size: int,
        backbone: str = PACKAGED,
        strides: Sequence[int] | None = None,
        stride: int = 8,
        width: int = 128,
        full: float = 0.05,
        augment: float = 0.2,
        soften: bool = True,
        dropout: float = 0.1,
        top: float = 0.005,
    ) -> None:
        strides = (ALL if backbone == FILTERS else MIDDLE) if strides is None else strides
        options = {
            "backbone": backbone,
            "strides": list(strides),
            "stride": stride,
            "width": width,
            "full": full,
            "augment": augment,
            "soften": soften,
            "dropout": dropout,
            "top": top,
        }
        super().__init__(channels=channels, size=size, options=options)
        if stride not in strides:
            raise ValueError(f"stride must be one of strides {list(strides)}, got {stride}")
        if not (width >= 1 and full > 0 and 0 <= augment < 1):
            raise ValueError(f"width must be 1 or more, full above 0, augment in 0..1 (below 1); got {options!r}")
        if not (0 <= dropout < 1 and 0 <= top <= 1):
            raise ValueError(f"dropout must be in 0..1 (below 1) and top in 0..1, got {options!r}")
        self.backbone = Backbone(backbone, strides)
        self.marker = Marker(dict(zip(strides, self.backbone.channels, strict=True)), stride, width, dropout)
        self.stride, self.full, self.augment, self.soften, self.top = stride, full, augment, soften, top
        self.normalizer = PositionwiseNormalizer(size // stride)

    @classmethod
    def useful_size(cls, size: int, options: Mapping[str, Any]) -> int:
        """The backbone's."""
        return Backbone.useful_size(size, options.get("backbone", PACKAGED))

    def start(self) -> None:
        """Load the backbone's weights."""
        self.backbone.load_pretrained()

    def phases(self, lr: float) -> Sequence[Phase]:
        """AdamW for the marker, whose best judged epoch stays; before it the backbone's own phase, if it has one."""
        adam = torch.optim.AdamW(self.marker.parameters(), lr, weight_decay=1e-2)
        return [*backbone_phases(self.backbone, lr), Phase("train", {"marker": adam}, judged=self)]

    def training_step(self, phase: str, batch: Batch) -> Iterator[Step]:
        """One step a batch."""
        if phase == LEARN:
            yield from backbone_step(self.backbone, batch)
            return
        clean, noisy = disguised(batch.clean, batch.noisy, soften=self.soften, augment=self.augment)
        yield Step("marker", {"mask": focal_loss(self._logits(noisy), changed(clean, noisy, self.stride, self.full))})

    def _logits(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            features = self.backbone(images)
        return self.marker(features)  # type: ignore[no-any-return]

    def calibrate(self, held_out: Iterable[Tensor], blotted: Iterable[Tensor], groups: Tensor) -> LeaveGroupOut | None:  # noqa: ARG002
        """Learn what logits normal images have, place by place; scores each by the places of other groups."""
        found = [self._logits(images) for images in held_out]
        if not found:
            return None
        logits = torch.cat(found)
        self.normalizer.fit(logits)
        return LeaveGroupOut(top_mean(self.normalizer.leave_group_out(logits, groups), self.top))

    def score(self, images: Tensor) -> Scores:
        """Mean of the largest standardised logits."""
        coarse = self.normalizer(self._logits(images))
        return Scores(top_mean(coarse, self.top), F.interpolate(coarse, images.shape[-2:], mode="bilinear"))
