"""``memory``: patch features of normal images are remembered; what lies far from all of them is anomalous.

Sources: PatchCore (Roth et al., arXiv 2106.08265) and what :mod:`unblot.layers.patch_memory` and
:mod:`unblot.layers.bank` say of where this differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from unblot.backbones.frozen import PACKAGED, Backbone
from unblot.backbones.kept import KeptFeatures
from unblot.detectors._backbone_phase import LEARN, backbone_phases, backbone_step
from unblot.detectors.contract import Batch, Detector, LeaveGroupOut, Phase, Recommended, Scores, Step
from unblot.layers.patch_memory import PatchMemory

__all__ = ["Memory"]


class Memory(Detector):
    """Distances to remembered patch features of normal images (:class:`PatchMemory`).

    Nothing is trained and corruption has no effect, but for a backbone from scratch. Its figures depend on ImageNet
    weights (:class:`Backbone`).

    Args:
        channels: 1 or 3.
        size: a multiple of 32, at least 64.
        backbone: a timm model, "filters" or "scratch" (:class:`Backbone`).
        strides: of the features that are remembered, ascending.
        coreset_size: patches that are remembered of each stride.
        num_neighbors: nearest entries whose distances are averaged.
        top: share of the patches, the most anomalous ones, whose mean is the image's score; 0 takes the largest alone.

    Raises:
        ValueError: an option out of its range.
        UserError: the backbone cannot be had.
    """

    name = "memory"
    size_multiple = 32
    size_min = 64
    recommended = Recommended(size=64, largest=512, corruption="none", batch_size=16)

    def __init__(
        self,
        *,
        channels: int,
        size: int,
        backbone: str = PACKAGED,
        strides: Sequence[int] = (8, 16, 32),
        coreset_size: int = 2_000,
        num_neighbors: int = 3,
        top: float = 0.02,
    ) -> None:
        options = {
            "backbone": backbone,
            "strides": list(strides),
            "coreset_size": coreset_size,
            "num_neighbors": num_neighbors,
            "top": top,
        }
        super().__init__(channels=channels, size=size, options=options)
        if coreset_size < 1 or num_neighbors < 1 or not 0 <= top <= 1:
            raise ValueError(
                "coreset_size and num_neighbors must be 1 or more and top in 0..1; "
                f"got coreset_size={coreset_size}, num_neighbors={num_neighbors}, top={top}"
            )
        self.backbone = Backbone(backbone, strides)
        self.memory = PatchMemory(
            dict(zip(strides, self.backbone.channels, strict=True)),
            size,
            coreset_size=coreset_size,
            num_neighbors=num_neighbors,
            top=top,
        )
        self._kept = KeptFeatures()

    @classmethod
    def useful_size(cls, size: int, options: Mapping[str, Any]) -> int:
        """The backbone's."""
        return Backbone.useful_size(size, options.get("backbone", PACKAGED))

    def start(self) -> None:
        """Load the backbone's weights."""
        self.backbone.load_pretrained()

    def expect(self, images: int) -> None:
        """Take the fastest engine that pays for so many."""
        self.backbone.expect(images, self.size)

    def phases(self, lr: float) -> Sequence[Phase]:
        """One pass over the normal images; before it the backbone's own phase, if it has one."""
        return [*backbone_phases(self.backbone, lr), Phase("remember", {}, keeps=True)]

    def training_step(self, phase: str, batch: Batch) -> Iterator[Step]:
        """Remember the patches of the clean images; takes no step but for the backbone."""
        if phase == LEARN:
            return backbone_step(self.backbone, batch)
        features = self.backbone(batch.clean)
        self.memory.add(features, batch.group)
        if not self.backbone.learns:  # it has learnt on the very images
            self._kept.add(features, batch.group)
        return iter(())

    def finish_phase(self, phase: str) -> None:
        """Balance the features, choose the entries and find their typical distances."""
        if phase != LEARN:
            self.memory.finish()

    def calibrate(self, held_out: Iterable[Tensor], blotted: Iterable[Tensor], groups: Tensor) -> LeaveGroupOut | None:  # noqa: ARG002
        """Learn what normal images look like, from those held out and from training images, each of which is looked at
        as if its group had not been trained on.
        """
        device = self._device
        if self.memory.one_group:  # nothing would be left to look at them by
            self._kept.clear()
        known = self._kept.groups
        found = [self._looked_at([f.to(device) for f in kept], own.to(device)) for kept, own in self._kept.batches()]
        found += [self._looked_at(self.backbone(images)) for images in held_out]
        self._kept.clear()
        if not found:
            return None
        apart = groups + (int(known.max()) + 1 if len(known) else 0)  # no held-out image is of a training group
        scores = self._learn([torch.cat(each) for each in zip(*found, strict=True)], torch.cat([known, apart]))
        return LeaveGroupOut(scores[len(known) :], scores[: len(known)], known)

    def score(self, images: Tensor) -> Scores:
        """Mean of the largest patch distances; the map is all of them, enlarged."""
        score, coarse = self._judged(self._looked_at(self.backbone(images)))
        return Scores(score, F.interpolate(coarse, images.shape[-2:], mode="bilinear"))

    @property
    def _device(self) -> torch.device:
        return next(self.memory.buffers()).device

    def _looked_at(self, features: Sequence[Tensor], without: Tensor | None = None) -> list[Tensor]:
        """Coarse maps of images, not yet measured by places; with ``without``, groups of shape (N,), as if an image's
        group had not been trained on.
        """
        return self.memory.distances(features, without)

    def _learn(self, looked_at: Sequence[Tensor], groups: Tensor) -> Tensor:
        """Learn what such maps of normal images show; their scores, shape (N,), by what other groups show."""
        return self.memory.pooled(self.memory.fit(looked_at, groups))

    def _judged(self, looked_at: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Scores, shape (N,), and coarse maps, (N, 1, h, w)."""
        maps = self.memory(looked_at)
        return self.memory.pooled(maps), maps
