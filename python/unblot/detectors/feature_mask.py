"""``feature_mask``: a small network on a frozen backbone's features marks blots.

Sources: a network trained on synthetic masks as in DRAEM (Zavrtanik et al., arXiv 2108.07610), but on features of a
frozen network, as the segmentation network of DeSTSeg (Zhang et al., arXiv 2211.11317) and the discriminator of
SimpleNet (Liu et al., arXiv 2303.15140) are. What marks blots in pixels soon knows them by heart; on features, which it
cannot change, it learns less of how they were made and more of what does not belong. The corruption is the patent's,
grown by pasted patches and irregular shapes; nothing is restored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from unblot.backbones.filters import FILTERS
from unblot.backbones.frozen import Backbone
from unblot.calibration.pooling import top_mean
from unblot.calibration.positionwise import PositionwiseNormalizer
from unblot.detectors._backbone_options import BackboneOptions
from unblot.detectors._backbone_phase import LEARN, backbone_phases, backbone_step
from unblot.detectors.contract import Batch, Detector, LeaveGroupOut, Phase, Recommended, Scores, Step
from unblot.detectors.options import Options, option
from unblot.layers.marking import Marker, changed, disguised, focal_loss

__all__ = ["FeatureMask", "FeatureMaskOptions"]

# Values that trials settled on (docs/research-log, 2026-11-27, detection).
MIDDLE, ALL = (8, 16), (4, 8, 16, 32)  # strides of the features: of a network's, of the filter bank's
FULL = 0.05  # change, as a share of the value range, that makes a mask 1
AUGMENT = 0.2  # strength of the variation of brightness and contrast
DROPOUT = 0.1  # share of the backbone's channels that a training step leaves out
TOP = 0.005  # share of the map whose mean is the score


@dataclass(frozen=True)
class FeatureMaskOptions(BackboneOptions):
    """What a user may set of ``feature_mask``."""

    width: int = option(128, "channels of the marking network", at_least=1)
    stride: int = option(
        8,
        "side of a mask's cell in pixels: 8 or 16, with filters also 4 or 32; a transformer's is its patch",
        at_least=1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stride not in self.strides:
            raise ValueError(f"stride must be one of {list(self.strides)} for {self.backbone}; got {self.stride}")

    @property
    def strides(self) -> tuple[int, ...]:
        """Of the features that are looked at."""
        return ALL if self.backbone == FILTERS else MIDDLE


class FeatureMask(Detector):
    """The backbone's features of a blotted image, and where the blots are.

    The mask is coarse and soft: in each cell of ``stride`` pixels it says how much the pixels were changed, 0 for not
    at all, 1 for ``FULL`` of the value range or more on average. The loss is the focal one. Against learning blots by
    heart, images are varied and blots softened as for ``mask``. The anomaly map is the mask's logit, measured by what
    held-out normal images have at each place (:class:`PositionwiseNormalizer`) and enlarged; the score the mean of its
    largest ``TOP`` share. Its figures depend on the weights of the backbone (:class:`Backbone`); "filters" has none.

    Args:
        channels: 1 or 3.
        size: a multiple of 32, or of a transformer's patch, at least 64.
        options: those of :class:`FeatureMaskOptions`.

    Raises:
        ValueError: an option out of its range.
        UserError: the backbone cannot be had.
    """

    name = "feature_mask"
    summary = "marks corrupted regions on the features of a frozen network"
    options_type = FeatureMaskOptions
    size_multiple = 32
    size_min = 64
    recommended = Recommended(size=64, largest=512, corruption="mixed", batch_size=16, lr=1e-3, samples_seen=10_000)

    def __init__(self, *, channels: int, size: int, **options: Any) -> None:
        chosen = FeatureMaskOptions.of(options)
        super().__init__(channels=channels, size=size, options=chosen)
        self.backbone = Backbone(chosen.backbone, chosen.strides, chosen.blocks, chosen.weights)
        looked_at = list(zip(self.backbone.strides, self.backbone.channels, strict=True))
        self.stride = self.backbone.strides[0] if self.backbone.blocks else chosen.stride
        self.marker = Marker(looked_at, self.stride, chosen.width, DROPOUT)
        self.normalizer = PositionwiseNormalizer(size // self.stride)

    @classmethod
    def multiple_for(cls, options: Options) -> int:
        """The backbone's."""
        assert isinstance(options, BackboneOptions)
        return Backbone.size_multiple(options.backbone)

    @classmethod
    def useful_size(cls, size: int, options: Mapping[str, Any]) -> int:
        """The backbone's."""
        return Backbone.useful_size(size, FeatureMaskOptions.of(options).backbone)

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
        clean, noisy = disguised(batch.clean, batch.noisy, soften=True, augment=AUGMENT)
        yield Step("marker", {"mask": focal_loss(self._logits(noisy), changed(clean, noisy, self.stride, FULL))})

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
        return LeaveGroupOut(top_mean(self.within(self.normalizer.leave_group_out(logits, groups)), TOP))

    def score(self, images: Tensor) -> Scores:
        """Mean of the largest standardised logits."""
        coarse = self.normalizer(self._logits(images))
        return Scores(top_mean(self.within(coarse), TOP), F.interpolate(coarse, images.shape[-2:], mode="bilinear"))
