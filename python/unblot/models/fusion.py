"""``fusion``: several detectors trained together, their scores made comparable on held-out normals and added.

Why: marking blots and remembering normals each win on one kind of images and fail on another; which one will, nobody
may learn from test images. ``fusion`` adds them with given weights. ``auto`` starts from weights that favour the memory
and moves them towards what tells held-out normal images from the same images with defects that no part was trained on.

A sum of standardised scores already decides a good deal by itself: a part that is sure of a defect says twenty
deviations where one that sees nothing says one or two.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unblot.models.detector import (
    Batch,
    Detector,
    Phase,
    Recommended,
    Scores,
    Step,
    create,
    recommended,
    register,
    useful_size,
)
from unblot.models.filters import FILTERS
from unblot.models.pooling import auroc, spread
from unblot.models.scratch import SCRATCH
from unblot.models.teacher import Teacher, packaged, shared_features

__all__ = ["AtSize", "Auto", "Fusion", "default_parts", "part_sizes"]

# The memories last: no checkpoint carries them before.
PARTS = ("feature_mask", "memory", f"memory@{FILTERS}")
FROM_SCRATCH = (f"feature_mask@{FILTERS}", f"memory@{SCRATCH}", f"memory@{FILTERS}")
POWER = 12  # of a part's judgement in its weight: what is judged clearly worse hardly counts
TRUST = 4.0  # in a memory before anything is judged; 1 in any other part
LEAST = 0.1  # share of the weights below which a part is not asked at all
PIXELS = 256  # of a map's side, of which its usual values are taken
TRAINED_SIZE = 128  # of parts whose whole network is trained: a quarter of the pixels, a quarter of the time


@register
class Fusion(Detector):
    """Weighted sum of the standardised scores of other detectors.

    A part's score s becomes (s - m) / d with m the median of the held-out normal scores and d the root of the mean
    square by which those above exceed it: a part whose normal scores reach far up must say more to be believed. A
    part's map becomes the same with the median and deviation of the maps' pixels. The weights sum to 1.

    Args:
        channels: 1 or 3.
        size: of the images; a multiple of 32, at least 64, for the parts of the default.
        parts: names of detectors; ``detector@teacher`` is one with that teacher, such as "memory@filters". None: see
            :func:`default_parts`.
        weights: one for each part, 0 or more; None weighs all alike.
        sizes: at which parts see the images, by name; the others see them as they are. None: see :func:`part_sizes`.
        part_options: options of the parts, by name.

    Raises:
        ValueError: no part, an unknown one, or weights that do not fit.
    """

    name = "fusion"
    recommended = Recommended(size=256, largest=512, corruption="mixed", batch_size=16, lr=1e-3, presentations=12_000)

    def __init__(
        self,
        *,
        channels: int,
        size: int,
        parts: Sequence[str] | None = None,
        weights: Sequence[float] | None = None,
        sizes: Mapping[str, int] | None = None,
        part_options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        parts = default_parts() if parts is None else parts
        each = _own_options(parts, part_options)
        at = _sizes(each, sizes, size)
        options = {
            "parts": list(parts),
            "weights": None if weights is None else list(weights),
            "sizes": at,
            "part_options": each,
        }
        super().__init__(channels=channels, size=size, options=options)
        if not parts or len(each) != len(parts) or {"fusion", "auto"} & {_detector_in(name) for name in parts}:
            raise ValueError(f"parts must be different detectors, none of them a fusion; got {list(parts)}")
        if awkward := [name for name in parts if set("./") & set(name)]:
            raise ValueError(
                f"a part's name may hold neither '.' nor '/', got {awkward[0]!r}; name such a teacher in part_options, "
                f"as in {{{_detector_in(awkward[0])!r}: {{'teacher': '…'}}}}"
            )
        for option, names in (("part_options", part_options), ("sizes", sizes)):
            if unknown := sorted(set(names or {}) - set(parts)):
                raise ValueError(f"{option} names {', '.join(unknown)}, which is not among parts {list(parts)}")
        share = torch.ones(len(parts)) if weights is None else torch.tensor(list(weights), dtype=torch.float32)
        if len(share) != len(parts) or not (share.isfinite().all() and (share >= 0).all() and share.sum() > 0):
            raise ValueError(f"weights must be {len(parts)} numbers, 0 or more, not all 0; got {weights!r}")
        made = {n: create(_detector_in(n), channels=channels, size=at[n], **own) for n, own in each.items()}
        self.parts = nn.ModuleDict({name: AtSize(part, size) for name, part in made.items()})
        self.register_buffer("weights", share / share.sum())
        # Rows: median and deviation of the scores, then of the maps.
        self.register_buffer("scale", torch.tensor([[0.0], [1.0], [0.0], [1.0]]).repeat(1, len(parts)))

    weights: Tensor
    scale: Tensor

    @classmethod
    def useful_size(cls, size: int, options: Mapping[str, Any]) -> int:
        """The largest at which a part sees them."""
        each = _own_options(options.get("parts") or default_parts(), options.get("part_options"))
        return min(size, max(_sizes(each, options.get("sizes"), size).values()))

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

    def calibrate(self, held_out: Iterable[Tensor], blotted: Iterable[Tensor], groups: Tensor) -> Tensor | None:
        """Calibrate the parts, then take the median and deviation of what they give."""
        _, left_out = self._settle(held_out, blotted, groups)
        return self._weighed(left_out)

    def _settle(
        self, normal: Iterable[Tensor], other: Iterable[Tensor], groups: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Calibrate; gives the standardised scores of the held-out normals, (parts, N), as they are and, where a part
        has such, left out of what was learnt.
        """
        scales, standardised, left_out = [], [], []
        step = max(1, self.size // PIXELS)
        for _, part in self._each():
            apart = part.calibrate(normal, other, groups)
            found = [(s.image, s.map[..., ::step, ::step].flatten()) for s in map(part.score, normal)]
            scores, pixels = (torch.cat(each) for each in zip(*found, strict=True))
            middle, reach = spread(scores)
            scales.append(torch.stack([middle, reach, *spread(pixels)]))
            standardised.append((scores - middle) / reach)
            left_out.append(standardised[-1] if apart is None else (apart - middle) / reach)
        self.scale = torch.stack(scales, 1)
        learnt = any(a is not b for a, b in zip(left_out, standardised, strict=True))
        return torch.stack(standardised), torch.stack(left_out) if learnt else None

    def _weighed(self, scores: Tensor | None) -> Tensor | None:
        """Standardised scores (parts, N) to the fusion's, (N,); those of a part of weight 0 are not looked at."""
        asked = self.weights > 0
        return None if scores is None else self.weights[asked] @ scores[asked]

    def score(self, images: Tensor) -> Scores:
        """Weighted sums of standardised scores and maps."""
        image, maps = self._standardised(images)
        return Scores(torch.einsum("p,pn->n", self.weights, image), torch.einsum("p,pnchw->nchw", self.weights, maps))

    def _standardised(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (parts, N) and maps (parts, N, 1, H, W); a part of weight 0 is not asked."""
        n, size = images.shape[0], images.shape[-2:]
        scores, maps = images.new_zeros(len(self.parts), n), images.new_zeros(len(self.parts), n, 1, *size)
        with shared_features():
            # Who looks at most strides first: the others share its features.
            for i, (_, part) in sorted(enumerate(self._each()), key=lambda entry: -_strides(entry[1][1])):
                if not torch.compiler.is_exporting() and self.weights[i] == 0:  # a graph has no such part: see asked()
                    continue
                found = part.score(images)
                scores[i] = (found.image - self.scale[0, i]) / self.scale[1, i]
                maps[i] = (found.map - self.scale[2, i]) / self.scale[3, i]
        return scores, maps

    def score_left_out(self, images: Tensor, groups: Tensor) -> Tensor | None:
        """Weighted sum of the parts' scores; None where one that has a weight cannot tell."""
        total = images.new_zeros(len(images))
        for i, (_, part) in enumerate(self._each()):
            if self.weights[i] > 0:
                if (found := part.score_left_out(images, groups)) is None:
                    return None
                total += self.weights[i] * (found - self.scale[0, i]) / self.scale[1, i]
        return total

    def asked(self) -> Detector:
        """A fusion of those parts alone whose weight is above 0."""
        keep = self.weights > 0
        made = deepcopy(self)
        for name, kept in zip(self.parts, keep.tolist(), strict=True):
            if not kept:
                del made.parts[name]
        made.weights, made.scale = self.weights[keep], self.scale[:, keep]
        return made

    def restore(self, images: Tensor) -> Tensor | None:
        """The restoration of the first part that gives one."""
        return next((r for _, part in self._each() if (r := part.restore(images)) is not None), None)


def default_parts() -> tuple[str, ...]:
    """The parts of a fusion that names none: :data:`PARTS` where the extra ``unblot[features]`` is installed, else
    :data:`FROM_SCRATCH`, which need no weights from elsewhere.
    """
    return PARTS if packaged() else FROM_SCRATCH


def _strides(part: Detector) -> int:
    """At how many strides of a teacher's features a part looks, or the teacher of one below it."""
    teacher = getattr(part.inner, "teacher", None) if isinstance(part, AtSize) else None
    return len((teacher.below or teacher).strides) if isinstance(teacher, Teacher) else 0


def _detector_in(part: str) -> str:
    return part.partition("@")[0]


def _own_options(
    parts: Sequence[str], part_options: Mapping[str, Mapping[str, Any]] | None
) -> dict[str, dict[str, Any]]:
    """The options of each part, by name: the teacher that its name gives, and those of ``part_options``."""
    return {name: {**_teacher_in(name), **(part_options or {}).get(name, {})} for name in parts}


def _teacher_in(part: str) -> dict[str, str]:
    _, at, teacher = part.partition("@")
    return {"teacher": teacher} if at else {}


def _sizes(each: Mapping[str, Mapping[str, Any]], asked: Mapping[str, int] | None, size: int) -> dict[str, int]:
    """At which size each part sees images of ``size``: as asked, the others as they are; or :func:`part_sizes`."""
    return part_sizes(each, size) if asked is None else {**dict.fromkeys(each, size), **asked}


def part_sizes(parts: Mapping[str, Mapping[str, Any]], size: int) -> dict[str, int]:
    """At which size each part, given with its options, sees images of ``size``: what stands on a frozen teacher's
    features at the size that is useful to it; what is trained as a whole at half the size, at 128 pixels at least where
    the images have them.

    Example:
        >>> part_sizes({"memory": {}, "memory@filters": {"teacher": "filters"}, "mask": {}}, 512)
        {'memory': 512, 'memory@filters': 256, 'mask': 256}
    """
    half = max(size // 2 // 32 * 32, min(size, TRAINED_SIZE))
    return {
        name: useful_size(_detector_in(name), size, options) if recommended(_detector_in(name)).largest else half
        for name, options in parts.items()
    }


class AtSize(Detector):
    """A detector that sees images at its own size, for images of another; it leaves the rest as it is."""

    name = "at_size"

    def __init__(self, inner: Detector, size: int) -> None:
        super().__init__(channels=inner.channels, size=size, options={})
        self.inner = inner

    def _fit(self, images: Tensor) -> Tensor:
        if images.shape[-1] == self.inner.size:
            return images
        return F.interpolate(images, (self.inner.size,) * 2, mode="area")

    def start(self) -> None:
        """Start the detector."""
        self.inner.start()

    def phases(self, lr: float) -> Sequence[Phase]:
        """The detector's; where it is judged, it is judged at the images' size."""
        return [replace(p, judged=self if p.judged is self.inner else p.judged) for p in self.inner.phases(lr)]

    def training_step(self, phase: str, batch: Batch) -> Iterator[Step]:
        """The detector's step with smaller images; where any pixel of a smaller one was blotted, its mask is 1."""
        if self.inner.size != self.size:
            mask = F.adaptive_max_pool2d(batch.mask, self.inner.size)
            batch = replace(batch, noisy=self._fit(batch.noisy), clean=self._fit(batch.clean), mask=mask)
        return self.inner.training_step(phase, batch)

    def finish_phase(self, phase: str) -> None:
        """Finish the detector's phase."""
        self.inner.finish_phase(phase)

    def calibrate(self, held_out: Iterable[Tensor], blotted: Iterable[Tensor], groups: Tensor) -> Tensor | None:
        """Calibrate the detector."""
        return self.inner.calibrate(map(self._fit, held_out), map(self._fit, blotted), groups)

    def score_left_out(self, images: Tensor, groups: Tensor) -> Tensor | None:
        """The detector's scores."""
        return self.inner.score_left_out(self._fit(images), groups)

    def notes(self) -> Mapping[str, Any]:
        """What the detector decided."""
        return self.inner.notes()

    def score(self, images: Tensor) -> Scores:
        """The detector's scores; its maps are enlarged."""
        found = self.inner.score(self._fit(images))
        return Scores(found.image, _enlarged(found.map, images))

    def restore(self, images: Tensor) -> Tensor | None:
        """The detector's restoration, enlarged."""
        made = self.inner.restore(self._fit(images))
        return None if made is None else _enlarged(made, images)


def _enlarged(maps: Tensor, images: Tensor) -> Tensor:
    size = images.shape[-2:]
    return maps if maps.shape[-2:] == size else F.interpolate(maps, size, mode="bilinear")


@register
class Auto(Fusion):
    """A fusion that chooses its own weights; see :class:`Fusion` for the rest.

    A part's weight is in proportion to its prior times (2 a - 1)¹², where a is its AUROC on held-out normal images
    against the same images with defects that no part was trained on: 1 at best, 0 for a part that does not see them.
    A part whose share is below a tenth is left out, for it costs time and changes little.

    So the judgement moves weights, but does not decide alone: synthetic defects are not the real ones, and a search
    for the best weights on them was misled (``docs/detection.md``).

    Args:
        channels: 1 or 3.
        size: what all parts accept.
        parts: names of detectors, as for a fusion.
        prior: one for each part, above 0; None: 4 for a memory, which is right more often, 1 for any other.
        sizes: at which parts see the images, by name; see :class:`Fusion`.
        part_options: options of the parts, by name.

    Raises:
        ValueError: no part, or an unknown one, or a prior that does not fit.
    """

    name = "auto"

    def __init__(
        self,
        *,
        channels: int,
        size: int,
        parts: Sequence[str] | None = None,
        prior: Sequence[float] | None = None,
        sizes: Mapping[str, int] | None = None,
        part_options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        parts = default_parts() if parts is None else parts
        prior = [TRUST if _detector_in(name) == "memory" else 1.0 for name in parts] if prior is None else list(prior)
        if not all(p > 0 for p in prior):
            raise ValueError(f"prior must be above 0 for each part, got {prior!r}")
        super().__init__(
            channels=channels, size=size, parts=parts, weights=prior, sizes=sizes, part_options=part_options
        )
        del self.options["weights"]
        self.options["prior"] = prior
        self.prior = self.weights.clone()
        # AUROC on held-out images, with defects against without: of each part alone, then of the sum with the prior's
        # weights and with the chosen ones.
        self.register_buffer("judged", torch.full((len(parts) + 2,), torch.nan))

    judged: Tensor

    def calibrate(self, held_out: Iterable[Tensor], blotted: Iterable[Tensor], groups: Tensor) -> Tensor | None:
        """Calibrate as a fusion does, then choose the weights."""
        prior = self.prior.to(self.weights)
        self.weights = prior
        below, left_out = self._settle(held_out, blotted, groups)
        found = [self._standardised(images)[0] for images in blotted]
        if not found:  # nothing to choose by
            return self._weighed(left_out)
        above = torch.cat(found, 1)
        alone = torch.stack([auroc(b, a) for b, a in zip(below, above, strict=True)])
        share = prior * (2 * alone - 1).clamp_min(0) ** POWER
        if share.sum() > 0:
            share = torch.where(share < LEAST * share.sum(), 0, share)
            self.weights = share / share.sum()
        together = [auroc(w @ below, w @ above) for w in (prior, self.weights)]
        self.judged = torch.cat([alone, torch.stack(together)])
        return self._weighed(left_out)

    def notes(self) -> dict[str, Any]:
        """What was chosen and why."""
        names = list(self.parts)
        values = [None if math.isnan(v) else round(v, 4) for v in self.judged.tolist()]
        return {
            "weights": dict(zip(names, [round(w, 4) for w in self.weights.tolist()], strict=True)),
            "auroc_on_held_out_with_defects": dict(
                zip([*names, "prior weights", "chosen weights"], values, strict=True)
            ),
            "rule": f"in proportion to prior * (2 * AUROC - 1) ** {POWER}; a share below {LEAST} is left out",
            **{name: dict(own) for name, part in self._each() if (own := part.notes())},
        }
