"""Judging without test images: held-out normals against the same images with defects that training leaves out.

What a detector makes of corruptions that it was trained on says little, for it learns them by heart, and not only
their shapes but the way in which they are wrong. So the judge changes images by mechanisms that no training uses:
light, focus and geometry (:mod:`unblot.corruption.unlike`), or by one corruption that the user names. It decides which
epoch is kept where a detector asks for that (:attr:`unblot.detectors.Phase.judged`);
never a threshold, never a reported figure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from unblot.corruption import corrupt
from unblot.corruption.spec import Spec
from unblot.corruption.unlike import MECHANISMS
from unblot.data import ImageSet, Splits
from unblot.data.tileset import TileSet
from unblot.detectors import Detector, to_signed
from unblot.errors import UserError
from unblot.training.config import UNLIKE, TrainConfig
from unblot.training.run import corruption_of

__all__ = ["SyntheticValidator", "blots", "due", "validator_of"]

SEED = 0x5EED  # apart from every run's own; the same blots judge all detectors
MOST = 96  # images that are judged by: more cost time and hardly sharpen the judgement
TURNS = 30  # judgements of a phase, about
FEWEST = 24  # with fewer images each gets several defects of a kind
KEPT = 2**29  # bytes of images with defects that are kept between judgements; more are made anew each time

Blots = Callable[[Tensor, Sequence[int]], Tensor]
"""Takes uint8 images, shape (N, C, S, S), and a key for each; gives them back with defects."""


@dataclass(frozen=True)
class SyntheticValidator:
    """Held-out normal images with and without defects.

    Attributes:
        images: held-out normal images, or tiles of them, of which at most 96, evenly chosen, are used.
        families: what makes the defects; each image is seen with a defect of every one, several times over where there
            are few images.
        batch_size: images that are scored at a time.
    """

    images: ImageSet | TileSet
    families: Sequence[Blots]
    batch_size: int
    _kept: dict[tuple[int, int, int], Tensor] = field(default_factory=dict, repr=False, compare=False)

    def normal(self, device: torch.device) -> Iterator[Tensor]:
        """The images as they are, in batches in [-1, 1]."""
        for places in self._places():
            yield to_signed(self._batch(places).to(device))

    def blotted(self, device: torch.device) -> Iterator[Tensor]:
        """The images with defects, in the same order, family by family."""
        for turn in range(max(1, FEWEST // len(self.images))):
            for number, family in enumerate(self.families):
                for places in self._places():
                    made = self._kept.get((turn, number, places.start))
                    if made is None:
                        made = family(self._batch(places), [turn * MOST + place for place in places])
                        if sum(k.nbytes for k in self._kept.values()) + made.nbytes <= KEPT:
                            self._kept[turn, number, places.start] = made
                    yield to_signed(made.to(device))

    @property
    def _count(self) -> int:
        return min(len(self.images), MOST)

    def _places(self) -> Iterator[range]:
        """Places of a batch among the images that are judged by."""
        for start in range(0, self._count, self.batch_size):
            yield range(start, min(start + self.batch_size, self._count))

    def _batch(self, places: range) -> Tensor:
        """uint8, shape (N, C, S, S)."""
        return torch.stack([self.images[place * len(self.images) // self._count]["image"] for place in places])

    def auroc(self, detector: Detector, device: torch.device) -> float:
        """How well the detector's scores tell images with defects from those without; the mean over the families.

        Leaves the detector in eval mode.
        """
        from sklearn.metrics import roc_auc_score  # takes time and 80 MiB to load, and most trainings judge nothing

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


def due(epoch: int, epochs: int) -> bool:
    """Whether an epoch, counted from 1, is judged: each, or where there are many, every second, third, … and the last.

    Example:
        >>> [epoch for epoch in range(1, 101) if due(epoch, 100)][-3:]
        [96, 99, 100]
    """
    return epoch % max(1, epochs // TURNS) == 0 or epoch == epochs


def validator_of(config: TrainConfig, trained_on: Spec | None, splits: Splits) -> SyntheticValidator | None:
    """The judge that a run asks for; None where it asks for none or holds no images out.

    Raises:
        UserError: the family is no corruption, or the one that the run trains on.
    """
    families: list[Blots]
    if config.judge == UNLIKE:
        families = [partial(_unlike, name) for name in MECHANISMS]
    else:
        spec = corruption_of(config.judge, "judge")
        if spec is None:
            return None
        if spec == trained_on:
            raise UserError(
                f"judge {config.judge!r} is the corruption that this run trains on; it would judge what was learnt by "
                f"heart. Give another one, {UNLIKE} for defects that no training uses, or none to keep the last epoch"
            )
        families = [blots(spec)]
    return SyntheticValidator(splits.held_out.inputs, families, config.batch_size) if len(splits.held_out) else None


def blots(spec: Spec) -> Blots:
    """A corruption as a judge takes it."""
    return partial(_blotted, spec)


def _blotted(spec: Spec, images: Tensor, keys: Sequence[int]) -> Tensor:
    made: Tensor = corrupt(images, spec, seed=SEED, keys=list(keys), layout="NCHW").images
    return made


def _unlike(name: str, images: Tensor, keys: Sequence[int]) -> Tensor:
    return MECHANISMS[name](images, keys, SEED)
