"""The phase in which a backbone from scratch is trained, before all that a detector trains on its features."""

from __future__ import annotations

from collections.abc import Iterator

from unblot.backbones.frozen import Backbone
from unblot.backbones.scratch import SCRATCH
from unblot.detectors.contract import Batch, Phase, Step

__all__ = ["LEARN", "backbone_phases", "backbone_step"]

LEARN = "backbone"  # name of the phase


def backbone_phases(backbone: Backbone, lr: float) -> list[Phase]:
    """Nothing for a backbone that is frozen from the start."""
    optimizers = backbone.optimizers(lr)
    return [Phase(LEARN, optimizers)] if optimizers else []


def backbone_step(backbone: Backbone, batch: Batch) -> Iterator[Step]:
    """One gradient step of that phase."""
    yield Step(SCRATCH, {"backbone": backbone.loss(batch.clean, batch.noisy)})
