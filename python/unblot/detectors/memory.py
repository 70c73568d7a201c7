"""``memory``: patch features of normal images are remembered; what lies far from all of them is anomalous.

Sources: PatchCore (Roth et al., arXiv 2106.08265) and what :mod:`unblot.layers.patch_memory` and
:mod:`unblot.layers.bank` say of where this differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from unblot.backbones.frozen import Backbone
from unblot.backbones.kept import KeptFeatures
from unblot.detectors._backbone_options import BackboneOptions
from unblot.detectors._backbone_phase import LEARN, backbone_phases, backbone_step
from unblot.detectors.contract import Batch, Detector, LeaveGroupOut, Phase, Recommended, Scores, Step
from unblot.detectors.options import Options, option
from unblot.errors import UserError
from unblot.layers.bank import Bank
from unblot.layers.patch_memory import PatchMemory
from unblot.layers.residual import Residual

__all__ = ["Memory", "MemoryOptions", "PatchOptions"]

STRIDES = (8, 16, 32)
TOP = 0.02  # share of the map whose mean is the image's score; that of all figures in docs/results.md


@dataclass(frozen=True)
class PatchOptions(BackboneOptions):
    """What a user may set of every detector that compares patches."""

    strides: tuple[int, ...] = option(STRIDES, "strides of the features, but for a transformer's", at_least=1)


@dataclass(frozen=True)
class MemoryOptions(PatchOptions):
    """What a user may set of ``memory``."""

    coreset_size: int = option(2_000, "patches that are remembered of each stride or block", at_least=1)
    num_neighbors: int = option(3, "nearest remembered patches whose distances are averaged", at_least=1)


class Memory(Detector):
    """Distances to remembered patch features of normal images (:class:`PatchMemory`).

    Nothing is trained and corruption has no effect, but for a backbone from scratch. Its figures depend on the weights
    of the backbone (:class:`Backbone`).

    Args:
        channels: 1 or 3.
        size: a multiple of 32, or of a transformer's patch, at least 64.
        options: those of :class:`MemoryOptions`.

    Raises:
        ValueError: an option out of its range.
        UserError: the backbone cannot be had.
    """

    name = "memory"
    summary = "remembers patches of normal images; what lies far from all of them is anomalous"
    options_type: ClassVar[type[PatchOptions]] = MemoryOptions
    size_multiple = 32
    size_min = 64
    recommended = Recommended(size=64, largest=512, corruption="none", batch_size=16, once=True)

    def __init__(self, *, channels: int, size: int, **options: Any) -> None:
        chosen = self.options_type.of(options)
        super().__init__(channels=channels, size=size, options=chosen)
        self.backbone = Backbone(chosen.backbone, chosen.strides, chosen.blocks, chosen.weights)
        if self.backbone.blocks and chosen.strides != STRIDES:
            raise UserError(
                f"{chosen.backbone} gives features by block, all at stride {self.backbone.strides[0]}; leave out "
                f"strides and choose blocks, such as blocks={list(self.backbone.blocks)}"
            )
        self.memory = PatchMemory(self._layers(), size, self._bank(chosen), top=TOP)
        self._kept = KeptFeatures()

    def _bank(self, options: Any) -> Callable[[int], Bank | Residual]:
        """Makes what remembers features of so many channels."""
        return partial(Bank, coreset_size=options.coreset_size, num_neighbors=options.num_neighbors)

    def _layers(self) -> list[tuple[int, int]]:
        """Stride and channels of each tensor of :meth:`_features`."""
        return list(zip(self.backbone.strides, self.backbone.channels, strict=True))

    def _features(self, images: Tensor) -> list[Tensor]:
        """What is compared of images."""
        return self.backbone(images)  # type: ignore[no-any-return]

    @classmethod
    def multiple_for(cls, options: Options) -> int:
        """The backbone's."""
        assert isinstance(options, BackboneOptions)
        return Backbone.size_multiple(options.backbone)

    @classmethod
    def useful_size(cls, size: int, options: Mapping[str, Any]) -> int:
        """The backbone's."""
        return Backbone.useful_size(size, cls.options_type.of(options).backbone)

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
        features = self._features(batch.clean)
        self.memory.add(features, batch.group)
        if not self.backbone.learns:  # it has learnt on the very images
            self._kept.add(features, batch.group, batch.index)
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
        if self.memory.too_few_groups:  # too little would be left to look at them by
            self._kept.clear()
        known, index = self._kept.groups, self._kept.index
        apart = groups + self.memory.groups_end  # no held-out image is of a training group

        def looked_at() -> Iterator[list[Tensor]]:
            for kept, own in self._kept.batches():
                yield self._looked_at([f.to(device) for f in kept], own.to(device))
            at = 0
            for images in held_out:
                yield self._looked_at(self._features(images), apart[at : at + len(images)].to(device))
                at += len(images)

        found = joined(looked_at(), len(known) + len(groups))
        self._kept.clear()
        self.memory.forget()
        if not found:
            return None
        scores = self._learn(found, torch.cat([known, apart]))
        return LeaveGroupOut(scores[len(known) :], scores[: len(known)], known, index)

    def score(self, images: Tensor) -> Scores:
        """Mean of the largest patch distances; the map is all of them, enlarged."""
        score, coarse = self._judged(self._looked_at(self._features(images)))
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
        return self.memory.pooled(self.within(self.memory.fit(looked_at, groups)))

    def _judged(self, looked_at: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Scores, shape (N,), and coarse maps, (N, 1, h, w)."""
        maps = self.memory(looked_at)
        return self.memory.pooled(self.within(maps)), maps


def joined(batches: Iterable[Sequence[Tensor]], count: int) -> list[Tensor]:
    """What batches of ``count`` images in all give, each tensor joined over them; empty where there is no batch.

    Written into one array at once: many small results between large passing ones keep a process from using the memory
    of the latter again, some MiB for each batch.

    Example:
        >>> joined([[torch.ones(2, 1), torch.zeros(2)], [torch.ones(1, 1), torch.ones(1)]], 3)[1]
        tensor([0., 0., 1.])
    """
    whole: list[Tensor] = []
    at = 0
    for batch in batches:
        if not whole:
            whole = [each.new_empty(count, *each.shape[1:]) for each in batch]
        for every, each in zip(whole, batch, strict=True):
            every[at : at + len(each)] = each
        at += len(batch[0])
    assert not whole or at == count, f"{at} of {count} images"
    return whole
