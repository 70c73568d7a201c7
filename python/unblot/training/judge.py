"""Judging without test images: held-out normals against the same images under a corruption left out of training.

What a detector makes of corruptions that it was trained on says little, for it learns them by heart. A family of
another kind is the nearest to an unknown defect that there is without one. It decides which epoch is kept where a
detector asks for that (:attr:`unblot.models.Phase.judged`) and gives a fusion its weights; never a threshold, never a
reported figure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from unblot.corruption import corrupt
from unblot.corruption.spec import Spec
from unblot.data import ImageSet, Splits
from unblot.errors import UserError
from unblot.models import Detector, to_signed
from unblot.training.config import TrainConfig
from unblot.training.run import corruption_of

__all__ = ["Judge", "judge_of"]

SEED = 0x5EED  # apart from every run's own; the same blots judge all detectors


@dataclass(frozen=True)
class Judge:
    """Held-out normal images with and without blots.

    Attributes:
        images: held-out normal images.
        family: corruption that the training leaves out.
        batch_size: images that are scored at a time.
    """

    images: ImageSet
    family: Spec
    batch_size: int

    def normal(self, device: torch.device) -> Iterator[Tensor]:
        """The images as they are, in batches in [-1, 1]."""
        for batch in self._batches():
            yield to_signed(batch.to(device))

    def blotted(self, device: torch.device) -> Iterator[Tensor]:
        """The images blotted, in the same order."""
        start = 0
        for batch in self._batches():
            keys = range(start, start := start + len(batch))
            yield to_signed(corrupt(batch, self.family, seed=SEED, keys=list(keys), layout="NCHW").images.to(device))

    def _batches(self) -> Iterator[Tensor]:
        for start in range(0, len(self.images), self.batch_size):
            stop = min(start + self.batch_size, len(self.images))
            yield torch.stack([self.images[i]["image"] for i in range(start, stop)])

    def auroc(self, detector: Detector, device: torch.device) -> float:
        """How well the detector's scores tell blotted images from those left alone. Leaves it in eval mode."""
        detector.eval()
        with torch.no_grad():
            sides = [
                [detector.score(x).image.float().cpu() for x in batches(device)]
                for batches in (self.normal, self.blotted)
            ]
        scores = [torch.cat(side) for side in sides]
        if not all(s.isfinite().all() for s in scores):
            return 0.0  # a diverged epoch is never the best one
        labels = torch.cat([torch.zeros(len(scores[0])), torch.ones(len(scores[1]))])
        return float(roc_auc_score(labels, torch.cat(scores)))


def judge_of(config: TrainConfig, trained_on: Spec | None, splits: Splits) -> Judge | None:
    """The judge that a run asks for; None where it asks for none or holds no images out.

    Raises:
        UserError: the family is no corruption, or the one that the run trains on.
    """
    family = corruption_of(config.judge, "judge")
    if family is None or len(splits.held_out) == 0:
        return None
    if family == trained_on:
        raise UserError(
            f"judge {config.judge!r} is the corruption that this run trains on; it would judge what was learnt by "
            "heart. Give another one, or judge none to keep the last epoch"
        )
    return Judge(splits.held_out, family, config.batch_size)
