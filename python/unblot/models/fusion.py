"""``fusion``: several detectors trained together, their scores made comparable on held-out normals and added.

Why: restoring features, predicting the mask and remembering normals each win on one kind of images and fail on another;
which one will, nobody may learn from test images. ``fusion`` adds them with given weights. ``auto`` chooses the weights
by how well they tell held-out normal images from the same images with a corruption that no part was trained on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from unblot.models.detector import Batch, Detector, Phase, Recommended, Scores, Step, create, register

__all__ = ["Auto", "Fusion"]

PARTS = ("memory", "feature_dae", "mask")


@register
class Fusion(Detector):
    """Weighted sum of the standardised scores of other detectors.

    A part's score s becomes (s - m) / d with m the median of the held-out normal scores and d their mean absolute
    deviation from it; a part's map the same with the median and deviation of the maps' pixels. The weights sum to 1.

    Args:
        channels: 1 or 3.
        size: what all parts accept.
        parts: names of detectors.
        weights: one for each part, 0 or more; None weighs all alike.
        part_options: options of the parts, by name.

    Raises:
        ValueError: no part, an unknown one, or weights that do not fit.
    """

    name = "fusion"
    recommended = Recommended(size=128, corruption="mixed", batch_size=16, lr=1e-3, presentations=15_000)

    def __init__(
        self,
        *,
        channels: int,
        size: int,
        parts: Sequence[str] = PARTS,
        weights: Sequence[float] | None = None,
        part_options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        each = {name: dict((part_options or {}).get(name, {})) for name in parts}
        super().__init__(
            channels=channels,
            size=size,
            options={"parts": list(parts), "weights": None if weights is None else list(weights), "part_options": each},
        )
        if not parts or len(each) != len(parts) or {"fusion", "auto"} & set(parts):
            raise ValueError(f"parts must be different detectors, none of them a fusion; got {list(parts)}")
        if unknown := sorted(set(part_options or {}) - set(parts)):
            raise ValueError(f"part_options names {', '.join(unknown)}, which is not among parts {list(parts)}")
        share = torch.ones(len(parts)) if weights is None else torch.tensor(list(weights), dtype=torch.float32)
        if len(share) != len(parts) or not (share.isfinite().all() and (share >= 0).all() and share.sum() > 0):
            raise ValueError(f"weights must be {len(parts)} numbers, 0 or more, not all 0; got {weights!r}")
        self.parts = nn.ModuleDict({n: create(n, channels=channels, size=size, **o) for n, o in each.items()})
        self.register_buffer("weights", share / share.sum())
        # Rows: median and deviation of the scores, then of the maps.
        self.register_buffer("scale", torch.tensor([[0.0], [1.0], [0.0], [1.0]]).repeat(1, len(parts)))

    weights: Tensor
    scale: Tensor

    def _each(self) -> Iterator[tuple[str, Detector]]:
        for name, part in self.parts.items():
            assert isinstance(part, Detector)
            yield name, part

    def start(self) -> None:
        """Start all parts."""
        for _, part in self._each():
            part.start()

    def phases(self, lr: float) -> Sequence[Phase]:
        """The phases of all parts, one after the other, named "part/phase"."""
        return [replace(p, name=f"{name}/{p.name}") for name, part in self._each() for p in part.phases(lr)]

    def training_step(self, phase: str, batch: Batch) -> Iterator[Step]:
        """The steps of the part that this phase belongs to."""
        name, own = phase.split("/", 1)
        return self._part(name).training_step(own, batch)

    def finish_phase(self, phase: str) -> None:
        """Finish the phase of the part."""
        name, own = phase.split("/", 1)
        self._part(name).finish_phase(own)

    def _part(self, name: str) -> Detector:
        part = self.parts[name]
        assert isinstance(part, Detector)
        return part

    def calibrate(self, held_out: Iterable[Tensor], blotted: Iterable[Tensor]) -> None:
        """Calibrate the parts, then take the median and deviation of what they give."""
        normal, other = list(held_out), list(blotted)
        scales = []
        for _, part in self._each():
            part.calibrate(normal, other)
            found = [part.score(images) for images in normal]
            images, pixels = (torch.cat([getattr(f, what).flatten() for f in found]) for what in ("image", "map"))
            scales.append(torch.stack([*_spread(images), *_spread(pixels)]))
        self.scale = torch.stack(scales, 1)

    def score(self, images: Tensor) -> Scores:
        """Weighted sums of standardised scores and maps."""
        image, maps = self._standardised(images)
        return Scores(torch.einsum("p,pn->n", self.weights, image), torch.einsum("p,pnchw->nchw", self.weights, maps))

    def _standardised(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (parts, N) and maps (parts, N, 1, H, W); a part of weight 0 is not asked."""
        n, size = images.shape[0], images.shape[-2:]
        scores, maps = images.new_zeros(len(self.parts), n), images.new_zeros(len(self.parts), n, 1, *size)
        for i, (_, part) in enumerate(self._each()):
            if not torch.compiler.is_exporting() and self.weights[i] == 0:
                continue
            found = part.score(images)
            scores[i] = (found.image - self.scale[0, i]) / self.scale[1, i]
            maps[i] = (found.map - self.scale[2, i]) / self.scale[3, i]
        return scores, maps

    def restore(self, images: Tensor) -> Tensor | None:
        """The restoration of the first part that gives one."""
        return next((r for _, part in self._each() if (r := part.restore(images)) is not None), None)


@register
class Auto(Fusion):
    """A fusion that chooses its own weights; see :class:`Fusion` for the rest.

    The weights are those, in steps of a tenth, whose sum tells the held-out normal images best (AUROC) from the same
    images under a corruption that no part was trained on. Weights within one standard error of the best count as equal
    to it, and of those the most even ones are taken: a sum over several views is the safer bet, for the real defects
    are known to nobody. A part gets weight 0 only where it clearly does harm.

    Args:
        channels: 1 or 3.
        size: what all parts accept.
        parts: names of detectors.
        part_options: options of the parts, by name.

    Raises:
        ValueError: no part, or an unknown one.
    """

    name = "auto"

    def __init__(
        self,
        *,
        channels: int,
        size: int,
        parts: Sequence[str] = PARTS,
        part_options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        super().__init__(channels=channels, size=size, parts=parts, part_options=part_options)
        del self.options["weights"]
        # AUROC on held-out images, blotted against not: of each part alone, then of all with equal weights, as chosen.
        self.register_buffer("judged", torch.full((len(parts) + 2,), torch.nan))

    judged: Tensor

    def calibrate(self, held_out: Iterable[Tensor], blotted: Iterable[Tensor]) -> None:
        """Calibrate as a fusion does, then choose the weights."""
        normal, other = list(held_out), list(blotted)
        even = torch.full_like(self.weights, 1 / len(self.parts))
        self.weights = even
        super().calibrate(normal, other)
        if not other:  # nothing to choose by
            return
        below = torch.cat([self._standardised(images)[0] for images in normal], 1)
        above = torch.cat([self._standardised(images)[0] for images in other], 1)
        choices = torch.stack([even, *_simplex(len(self.parts), 10).to(even)])
        found = torch.stack([_auroc(w @ below, w @ above) for w in choices])
        best = found.max()
        good = choices[found >= best - _standard_error(best, below.shape[1], above.shape[1])]
        self.weights = good[(good - even).square().sum(1).argmin()]
        alone = [_auroc(below[i], above[i]) for i in range(len(self.parts))]
        chosen = _auroc(self.weights @ below, self.weights @ above)
        self.judged = torch.stack([*alone, found[0], chosen])

    def notes(self) -> dict[str, Any]:
        """What was chosen and why."""
        names = list(self.parts)
        values = [None if math.isnan(v) else round(v, 4) for v in self.judged.tolist()]
        return {
            "weights": dict(zip(names, [round(w, 4) for w in self.weights.tolist()], strict=True)),
            "auroc_on_blotted_held_out": dict(zip([*names, "equal weights", "chosen weights"], values, strict=True)),
            "rule": "the most even weights within one standard error of the best AUROC",
        }


def _spread(values: Tensor) -> tuple[Tensor, Tensor]:
    """Median and mean absolute deviation from it, the latter never 0."""
    middle = values.median()
    return middle, (values - middle).abs().mean().clamp_min(1e-6)


def _simplex(parts: int, steps: int) -> Tensor:
    """All weights of ``parts`` parts in ``steps`` equal steps that sum to 1, shape (choices, parts)."""
    heads = [h for h in product(range(steps + 1), repeat=parts - 1) if sum(h) <= steps]
    return torch.tensor([[*h, steps - sum(h)] for h in heads]) / steps


def _auroc(below: Tensor, above: Tensor) -> Tensor:
    """Probability that a value of ``above`` exceeds one of ``below``; a tie counts half."""
    order = above[:, None] - below[None]
    return ((order > 0).float() + (order == 0).float() / 2).mean()


def _standard_error(auroc: Tensor, below: int, above: int) -> Tensor:
    """Of an AUROC (Hanley and McNeil, Radiology 143, 1982)."""
    q1, q2 = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    variance = auroc * (1 - auroc) + (above - 1) * (q1 - auroc**2) + (below - 1) * (q2 - auroc**2)
    return (variance / (below * above)).clamp_min(0).sqrt()
