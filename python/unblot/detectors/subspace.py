"""``subspace``: what the principal components of few normal images do not explain is anomalous.

Source: SubspaceAD (Lendering et al., arXiv 2602.23013), for 1 to some ten normal images; and what
:mod:`unblot.layers.residual` says. Of a transformer the mean over its blocks is taken, as there. Where it differs: a
convolutional network's strides have a subspace each and their maps are added, and maps are measured by what left-out
normal images show at each place (:mod:`unblot.layers.patch_memory`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from unblot.detectors._backbone_phase import LEARN
from unblot.detectors.contract import Batch, Recommended, Step
from unblot.detectors.memory import Memory, PatchOptions
from unblot.detectors.options import option
from unblot.layers.residual import Residual

__all__ = ["Subspace", "SubspaceOptions"]

COPIES = ("none", "mirror", "rotate")


@dataclass(frozen=True)
class SubspaceOptions(PatchOptions):
    """What a user may set of ``subspace``."""

    variance: float = option(0.99, "share of the variance that the subspace holds", above=0, below=1)
    copies: str = option(
        "none",
        "further copies of each normal image: mirror (left and right), rotate (by 90, 180 and 270 degrees); "
        "where parts come so, too",
        one_of=COPIES,
    )


class Subspace(Memory):
    """Lengths of patch features outside the principal subspace of normal ones (:class:`Residual`).

    Nothing is trained and corruption has no effect, but for a backbone from scratch. It learns from one image; a
    threshold takes more (:func:`unblot.calibration.fewest`).

    Args:
        channels: 1 or 3.
        size: a multiple of 32, or of a transformer's patch, at least 64.
        options: those of :class:`SubspaceOptions`.

    Raises:
        ValueError: an option out of its range.
        UserError: the backbone cannot be had.
    """

    name = "subspace"
    summary = "learns the subspace of a few normal images' patches; what lies outside it is anomalous"
    images_min = 1
    options_type: ClassVar[type[PatchOptions]] = SubspaceOptions
    recommended = Recommended(size=64, largest=512, corruption="none", batch_size=16, once=True)

    def training_step(self, phase: str, batch: Batch) -> Iterator[Step]:
        """See the patches of the clean images and of their copies; takes no step but for the backbone."""
        if phase != LEARN:
            for turned in _copies(batch.clean, self.options["copies"]):
                self.memory.add(self._features(turned), batch.group)
        return super().training_step(phase, batch)

    def _bank(self, options: Any) -> Callable[[int], Residual]:
        return partial(Residual, variance=options.variance)

    def _layers(self) -> list[tuple[int, int]]:
        layers = super()._layers()
        return layers[:1] if self.backbone.blocks else layers

    def _features(self, images: Tensor) -> list[Tensor]:
        features = super()._features(images)
        return [torch.stack(features).mean(0)] if self.backbone.blocks else features


def _copies(images: Tensor, how: str) -> Sequence[Tensor]:
    """What is seen beside the images themselves, each of their shape (N, C, S, S)."""
    if how == "mirror":
        return [images.flip(3)]
    return [images.rot90(turns, (2, 3)) for turns in (1, 2, 3)] if how == "rotate" else []
