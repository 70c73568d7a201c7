"""``auto``, the default: a memory of normal patches, and networks that mark what does not belong, on one backbone.

A memory is right where a defect looks like nothing that was seen. It is blind where every patch is ordinary and only
its surroundings are wrong. Networks that have learnt to mark corrupted cells are right there, and know little of
textures that no corruption resembles. Both look at the same features of one pass, and the networks see the memory's
distances, too. Their scores are made comparable on left-out normal images and combined so that one part that is sure
is enough, and both count where both are in doubt. ``docs/default.md`` tells how this was chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from unblot.backbones.frozen import PACKAGED, packaged
from unblot.backbones.scratch import SCRATCH
from unblot.calibration.pooling import spread, top_mean
from unblot.calibration.positionwise import PositionwiseNormalizer
from unblot.detectors._backbone_options import MEANING
from unblot.detectors.contract import Batch, Phase, Recommended, Step
from unblot.detectors.memory import Memory, MemoryOptions
from unblot.detectors.options import option, option_from
from unblot.layers.cell_markers import CellMarkers, Cells, cells
from unblot.layers.marking import changed, disguised

__all__ = ["Auto", "AutoOptions"]

MARK = "mark"
NETWORKS, WIDTH, DROPOUT = 3, 64, 0.1
ROUNDS = 10  # of the marking phase, between which the learning rate falls
EACH = 2.25  # corrupted images that are made for a step, of 256 px or less; of larger ones fewer
SIDE = 256
FULL, AUGMENT = 0.05, 0.2  # as for ``feature_mask``
TOP = 0.005  # share of the marks' map that makes their score
TRUST = (1.0, 0.6)  # in the memory and in the marks, which are wrong more often


def usual_backbone() -> str:
    """The one whose weights come with the extra ``unblot[train]``, or "scratch" where they are not installed."""
    return PACKAGED if packaged() else SCRATCH


@dataclass(frozen=True)
class AutoOptions(MemoryOptions):
    """What a user may set of ``auto``."""

    backbone: str = option_from(usual_backbone, MEANING)
    steps: int = option(400, "training steps of each marking network; 400 learn from 900 corrupted images", at_least=1)


class Auto(Memory):
    """A memory and marking networks on the features of one pass of a frozen network.

    Training passes the normal images once, for the memory; then some 900 corrupted copies, of whose cells the marking
    networks learn (:class:`CellMarkers`). A part's score s becomes (s - m) / d: m is the median of left-out normal
    scores, d the root mean square by which those above m exceed it. The image's score is the soft maximum of both,
    log(exp(memory) + exp(0.6 marks)). Maps alike. The marks' score is the mean of what each network's own map scores:
    the map of their mean is smoother than that of the one network that judges a left-out image.

    Args:
        channels: 1 or 3.
        size: a multiple of 32, or of a transformer's patch, at least 64.
        options: those of :class:`AutoOptions`.

    Raises:
        ValueError: an option out of its range.
        UserError: the backbone cannot be had.
    """

    name = "auto"
    summary = "remembers patches of normal images, and marks what does not belong; the default"
    options_type: ClassVar[type[AutoOptions]] = AutoOptions
    recommended = Recommended(
        size=64, largest=512, corruption="mixed", batch_size=16, lr=2e-3, samples_seen=12_000, once=True
    )

    def __init__(self, *, channels: int, size: int, **options: Any) -> None:
        super().__init__(channels=channels, size=size, **options)
        chosen = AutoOptions.of(self.options)
        self.steps = chosen.steps
        layers = len(self.backbone.strides)
        self.markers = CellMarkers(sum(self.backbone.channels[:2]) + layers, NETWORKS, WIDTH, DROPOUT)
        self.marks = PositionwiseNormalizer(size // self.backbone.strides[0])
        # Rows: median and spread of the scores, then of the maps. Columns: memory, marks.
        self.register_buffer("scale", torch.tensor([[0.0], [1.0], [0.0], [1.0]]).repeat(1, 2))
        self._cells, self._due = Cells(), 0.0  # steps that are due

    scale: Tensor

    def phases(self, lr: float) -> Sequence[Phase]:
        """One pass over the normal images, then corrupted copies for the marking networks."""
        adam = torch.optim.AdamW(self.markers.parameters(), lr, weight_decay=1e-2)
        mark = Phase(MARK, {"markers": adam}, epochs=ROUNDS, images=self._images, keeps=True)
        return [*super().phases(lr), mark]

    @property
    def needs_corruption(self) -> str | None:
        """Its networks learn from nothing else."""
        return "auto learns to mark corrupted regions"

    @property
    def _images(self) -> int:
        """Corrupted images of a round."""
        return max(2, round(EACH * self.steps * min(1.0, (SIDE / self.size) ** 2) / ROUNDS))

    def training_step(self, phase: str, batch: Batch) -> Iterator[Step]:
        """Remember clean patches; or draw cells of corrupted images, and take steps on all that were drawn so far."""
        if phase != MARK:
            yield from super().training_step(phase, batch)
            return
        with torch.no_grad():
            clean, noisy = disguised(batch.clean, batch.noisy, soften=True, augment=AUGMENT, mirror=False)
            features = self.backbone(noisy)
            known = _known(features, self.memory.distances(features, batch.group))
            target = changed(clean, noisy, self.size // known.shape[-1], FULL)
            self._cells.add(known, target, self.markers.folds(batch.group))
        self._due += len(batch.index) * self.steps / (self._images * ROUNDS)
        while self._due >= 1:
            self._due -= 1
            yield Step("markers", self.markers.losses(self._cells))

    def finish_phase(self, phase: str) -> None:
        """Finish the memory, or forget the cells."""
        if phase != MARK:
            super().finish_phase(phase)
        self._cells, self._due = Cells(), 0.0

    def _looked_at(self, features: Sequence[Tensor], without: Tensor | None = None) -> list[Tensor]:
        """The memory's distances, then the logits of each marking network, or of the one that did not see the group."""
        distances = self.memory.distances(features, without)
        return [*distances, self.markers(_known(features, distances), without)]

    def _learn(self, looked_at: Sequence[Tensor], groups: Tensor) -> Tensor:
        """Learn the places of both parts, then how far their scores and maps reach on normal images."""
        *distances, logits = looked_at
        self.marks.fit(logits)
        maps = [self.memory.fit(distances, groups), self.marks.leave_group_out(logits, groups)]
        scores = self._scores(maps)
        columns = [[*spread(score), *spread(each.flatten())] for score, each in zip(scores, maps, strict=True)]
        self.scale = torch.stack([torch.stack(column) for column in columns], 1)
        return self._combined(scores, self.scale[:2])

    def _judged(self, looked_at: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Both parts' scores and maps, combined."""
        *distances, logits = looked_at
        marks = self.marks(logits.flatten(0, 1)[:, None]).view_as(logits)
        maps = [self.memory(distances), marks]
        means = [maps[0], marks.mean(1, keepdim=True)]
        return self._combined(self._scores(maps), self.scale[:2]), self._combined(means, self.scale[2:])

    def _scores(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Of both parts, each of shape (N,); the marks' is the mean over the networks whose maps are given."""
        marks = top_mean(self.within(maps[1]).flatten(0, 1)[:, None], TOP).view(maps[1].shape[:2])
        return [self.memory.pooled(self.within(maps[0])), marks.mean(1)]

    @staticmethod
    def _combined(each: Sequence[Tensor], scale: Tensor) -> Tensor:
        """Values of both parts, of one shape, in units of the scale, (median and spread, parts), as one."""
        one, other = (t * (x - scale[0, i]) / scale[1, i] for i, (t, x) in enumerate(zip(TRUST, each, strict=True)))
        # Not torch.logaddexp, which an exported graph takes literally: exp of a large score is infinite.
        return torch.maximum(one, other) + F.softplus(-(one - other).abs())

    def notes(self) -> dict[str, Any]:
        """What each part's scores reach on left-out normal images."""
        median, reach = self.scale[:2].tolist()
        return {
            "parts": {
                name: {"median": round(m, 4), "spread": round(d, 4)}
                for name, m, d in zip(("memory", "marks"), median, reach, strict=True)
            },
            "rule": f"the soft maximum of both parts' standardised scores, weighed {TRUST[0]:g} and {TRUST[1]:g}",
        }


def _known(features: Sequence[Tensor], distances: Sequence[Tensor]) -> Tensor:
    """Features of the two finest strides, or of a transformer's first two blocks, and distances of all."""
    return cells(features[:2], distances)
