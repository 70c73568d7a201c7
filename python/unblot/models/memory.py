"""``memory``: patch features of normal images are remembered; what lies far from all of them is anomalous.

Sources: PatchCore (Roth et al., arXiv 2106.08265) and what :mod:`unblot.models.patch_memory` and
:mod:`unblot.models.bank` say of where this differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from unblot.models.detector import Batch, Detector, LeftOut, Phase, Recommended, Scores, Step, register
from unblot.models.kept import KeptFeatures
from unblot.models.patch_memory import PatchMemory
from unblot.models.teacher import LEARN, PACKAGED, Teacher

__all__ = ["Memory"]


@register
class Memory(Detector):
    """Distances to remembered patch features of normal images (:class:`PatchMemory`).

    Nothing is trained and corruption has no effect, but for a teacher from scratch. Its figures depend on ImageNet
    weights (:class:`Teacher`).

    Args:
        channels: 1 or 3.
        size: a multiple of 32, at least 64.
        teacher: a timm model, "filters" or "scratch" (:class:`Teacher`).
        strides: of the features that are remembered, ascending.
        entries: patches that are remembered of each stride.
        neighbours: nearest entries whose distances are averaged.
        top: share of the patches, the most anomalous ones, whose mean is the image's score; 0 takes the largest alone.

    Raises:
        ValueError: an option out of its range.
        UserError: the teacher cannot be had.
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
        teacher: str = PACKAGED,
        strides: Sequence[int] = (8, 16, 32),
        entries: int = 2_000,
        neighbours: int = 3,
        top: float = 0.02,
    ) -> None:
        options = {
            "teacher": teacher,
            "strides": list(strides),
            "entries": entries,
            "neighbours": neighbours,
            "top": top,
        }
        super().__init__(channels=channels, size=size, options=options)
        check_memory(entries, neighbours, top)
        self.teacher = Teacher(teacher, strides)
        self.memory = PatchMemory(
            dict(zip(strides, self.teacher.channels, strict=True)),
            size,
            entries=entries,
            neighbours=neighbours,
            top=top,
        )
        self._kept = KeptFeatures()

    @classmethod
    def useful_size(cls, size: int, options: Mapping[str, Any]) -> int:
        """The teacher's."""
        return Teacher.useful_size(size, options.get("teacher", PACKAGED))

    def start(self) -> None:
        """Load the teacher's weights."""
        self.teacher.load_pretrained()

    def expect(self, images: int) -> None:
        """Take the fastest engine that pays for so many."""
        self.teacher.expect(images, self.size)

    def phases(self, lr: float) -> Sequence[Phase]:
        """One pass over the normal images; before it the teacher's own phase, if it has one."""
        return [*self.teacher.phases(lr), Phase("remember", {}, keeps=True)]

    def training_step(self, phase: str, batch: Batch) -> Iterator[Step]:
        """Remember the patches of the clean images; takes no step but for the teacher."""
        if phase == LEARN:
            return self.teacher.training_step(batch)
        features = self.teacher(batch.clean)
        self.memory.add(features, batch.group)
        if not self.teacher.learns:  # it has learnt on the very images
            self._kept.add(features, batch.group)
        return iter(())

    def finish_phase(self, phase: str) -> None:
        """Balance the features, choose the entries and find their typical distances."""
        if phase != LEARN:
            self.memory.finish()

    def calibrate(self, held_out: Iterable[Tensor], blotted: Iterable[Tensor], groups: Tensor) -> LeftOut | None:  # noqa: ARG002
        """Learn what normal images look like, from those held out and from training images, each of which is looked at
        as if its group had not been trained on.
        """
        device = self._device
        if self.memory.one_group:  # nothing would be left to look at them by
            self._kept.clear()
        known = self._kept.groups
        found = [self._looked_at([f.to(device) for f in kept], own.to(device)) for kept, own in self._kept.batches()]
        apart, at = groups + self.memory.groups_end, 0  # no held-out image is of a training group
        for images in held_out:
            found.append(self._looked_at(self.teacher(images), apart[at : at + len(images)].to(device)))
            at += len(images)
        self._kept.clear()
        if not found:
            return None
        scores = self._learn([torch.cat(each) for each in zip(*found, strict=True)], torch.cat([known, apart]))
        return LeftOut(scores[len(known) :], scores[: len(known)], known)

    def score(self, images: Tensor) -> Scores:
        """Mean of the largest patch distances; the map is all of them, enlarged."""
        score, coarse = self._judged(self._looked_at(self.teacher(images)))
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


def check_memory(entries: int, neighbours: int, top: float) -> None:
    """Refuse options that no memory can have."""
    if entries < 1 or neighbours < 1 or not 0 <= top <= 1:
        raise ValueError(
            f"entries and neighbours must be 1 or more and top in 0..1; got entries={entries}, "
            f"neighbours={neighbours}, top={top}"
        )
