"""What a corruption is: ``BoxNoise`` and ``FullGaussian``.

All are immutable values: checked when built, compared, hashed, printed, pickled and stored as JSON. The boxes and their
noise come from US 12 387 466: area (paragraphs 15, 16, 28), number (17), ratio (18, 31), place (19, 31), base (21),
noise (22-24, 31); ``FullGaussian`` is the traditional denoising autoencoder that the patent compares with. Meaning and
limits of the numbers are the core's (``_core.Plan``), which refuses what cannot be drawn; here stand the Python types.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, TypeAlias, cast

from unblot._core import Plan
from unblot.corruption.checks import (
    Range,
    all_numbers,
    as_range,
    count,
    is_sequence,
    number,
    number_range,
    text,
    value_range_of,
)
from unblot.corruption.noise import KINDS, Gaussian, Laplace, Noise, Poisson, SaltPepper, simple_plan
from unblot.corruption.value import Value, from_json
from unblot.errors import shown

__all__ = ["BoxNoise", "FullGaussian", "Spec", "spec_from_text"]


def weights_of(name: str, value: object, of: str, count: int) -> tuple[float, ...] | None:
    if value is None:
        return None
    weights = all_numbers(name, value, f"one number per entry of {of}, or None")
    if len(weights) != count:
        raise ValueError(
            f"{name} must hold one number per entry of {of} ({count}), got {len(weights)}: {shown(weights)}"
        )
    return weights


def noises(value: object) -> tuple[Noise, ...]:
    kinds = (value,) if isinstance(value, KINDS) else value
    names = ", ".join(f"{cls.__name__}()" for cls in KINDS)
    if not isinstance(kinds, tuple | list):
        raise TypeError(f"noise must be a noise kind or a list of them ({names}), got {shown(value)}")
    for kind in kinds:
        if not isinstance(kind, KINDS):
            raise TypeError(f"noise must hold noise kinds ({names}), got {shown(kind)}")
    return tuple(kinds)


# --- the corruptions --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BoxNoise(Value):
    """Random boxes of mixed noise (patent 15-24, 28-33).

    Args:
        scale: total area of the blots over the area of the image, in (0, 1]; a range is drawn from once an image. Where
            boxes lie inside and apart, their whole pixels keep an area of A pixels to within √A / 2 + 1/2 (half the
            shorter side of the largest box), and one pixel more for each scar or blob. It may not exceed what the
            ``shapes`` cover of their boxes.
        num_boxes: number of boxes, at least 1; a range is drawn from once per image.
        area_split: how the area is shared out: "dirichlet" (uniform over all partitions) or "equal".
        ratio: height / width of a box, above 0; a number or a range.
        ratio_sampling: "log" (log-uniform: tall and wide alike) or "uniform" (the patent's words).
        ratio_per: "box", or "image" for boxes of one image that share one ratio.
        placement: "inside", or "clip": the top left corner is uniform over the image and the box is cut at the border,
            by which area is lost.
        overlap: "forbid" for disjoint boxes, or "allow": a later box lies on top.
        base: what a box holds before noise: "black", "white", "gray", "random" (of those), "image" (the pixels
            themselves), "any" (of those four), or a number in [0, 1] (0 the lowest value, 1 the highest), one for all
            channels or a sequence of one per channel.
        noise: a noise kind or several: :class:`Gaussian`, :class:`SaltPepper`, :class:`Poisson`, :class:`Laplace`,
            :class:`Paste`.
        weights: probability of each entry of ``noise``, up to a common factor; None: all alike.
        mode: "choose" (one kind per box), "superimpose" (two or more distinct kinds per box) or "none" (base only).
        shapes: what a blot covers of its box, a name or several: "rectangle" (all), "scar" (a thin, bent line along the
            box's longer side, a sixth of its pixels) or "blob" (an irregular spot, half of its pixels).
        shape_weights: probability of each entry of ``shapes``, up to a common factor; None: all alike.
        edge: pixels over which a scar or blob fades in from its border, at least 0 (sharp).
        p: probability that an image is corrupted at all.
        value_range: lowest and highest pixel value (low, high). None: (0, 255) for uint8, (0, 1) for floats, which must
            lie there.

    Raises:
        ValueError: a value that cannot be drawn; the text names the parameter and the remedy.
        TypeError: a parameter of a wrong type.

    >>> spec = BoxNoise(scale=(0.1, 0.2), noise=[Gaussian(0.2), SaltPepper(0.5)])
    >>> BoxNoise.from_dict(spec.to_dict()) == spec
    True
    """

    scale: Range = (0.10, 0.20)
    num_boxes: int | tuple[int, int] = (1, 4)
    area_split: str = "dirichlet"
    ratio: Range = (0.3, 3.3)
    ratio_sampling: str = "log"
    ratio_per: str = "box"
    placement: str = "inside"
    overlap: str = "forbid"
    base: str | float | Sequence[float] = "gray"
    noise: Noise | Sequence[Noise] = (Gaussian(), SaltPepper(), Poisson(), Laplace())
    weights: Sequence[float] | None = None
    mode: str = "choose"
    shapes: str | Sequence[str] = ("rectangle",)
    shape_weights: Sequence[float] | None = None
    edge: float = 1.0
    p: float = 1.0
    value_range: tuple[float, float] | None = None

    @classmethod
    def _read(cls, values: dict[str, Any]) -> dict[str, Any]:
        noise = values.get("noise")
        if not isinstance(noise, list | tuple):
            return values
        return {**values, "noise": [from_json(kind, KINDS) if isinstance(kind, Mapping) else kind for kind in noise]}

    def __post_init__(self) -> None:
        for name in ("area_split", "ratio_sampling", "ratio_per", "placement", "overlap", "mode"):
            text(name, getattr(self, name))
        base: object = self.base
        if is_sequence(base):
            base = all_numbers("base", base, "a name, a number or one number per channel")
        elif not isinstance(base, str):
            base = number("base", base, "a name, a number or one number per channel")
        noise = noises(self.noise)
        shapes = (self.shapes,) if isinstance(self.shapes, str) else self.shapes
        if not isinstance(shapes, tuple | list):
            raise TypeError(f"shapes must be a name or a list of names, got {shown(shapes)}")
        shapes = tuple(text("shapes", shape) for shape in shapes)
        self._set(
            scale=number_range("scale", self.scale),
            num_boxes=count("num_boxes", self.num_boxes),
            ratio=number_range("ratio", self.ratio),
            base=base,
            noise=noise,
            weights=weights_of("weights", self.weights, "noise", len(noise)),
            shapes=shapes,
            shape_weights=weights_of("shape_weights", self.shape_weights, "shapes", len(shapes)),
            edge=number("edge", self.edge),
            p=number("p", self.p),
            value_range=value_range_of(self.value_range),
        )
        _ = self.plan, self.text

    @cached_property
    def plan(self) -> Plan:
        """The core's form of this value."""
        noise = cast(tuple[Noise, ...], self.noise)
        boxes = self.num_boxes
        return simple_plan(
            [kind._core(self.base) for kind in noise],
            scale=as_range(self.scale),
            num_boxes=boxes if isinstance(boxes, tuple) else (boxes, boxes),
            area_split=self.area_split,
            ratio=as_range(self.ratio),
            ratio_sampling=self.ratio_sampling,
            ratio_per=self.ratio_per,
            placement=self.placement,
            overlap=self.overlap,
            base=(self.base,) if isinstance(self.base, float) else self.base,
            weights=[1.0] * len(noise) if self.weights is None else self.weights,
            mode=self.mode,
            shapes=self.shapes,
            shape_weights=[1.0] * len(self.shapes) if self.shape_weights is None else self.shape_weights,
            edge=self.edge,
            p=self.p,
        )

    @cached_property
    def shaped(self) -> bool:
        """Whether a blot may cover less than its box."""
        return any(shape != "rectangle" for shape in self.shapes)

    @classmethod
    def patent(cls) -> BoxNoise:
        """Embodiment 2 to the letter (patent 28-32): boxes cut at the border, free to overlap, uniform ratio, three
        kinds of noise.
        """
        return cls(
            ratio_sampling="uniform", placement="clip", overlap="allow", noise=(Gaussian(), SaltPepper(), Poisson())
        )

    @classmethod
    def railway(cls) -> BoxNoise:
        """The railway example (patent 33; there on 2048 × 2048 pixels): one square box of 10 % with one of three kinds
        of noise.
        """
        return cls(scale=0.10, num_boxes=1, ratio=1.0, noise=(Gaussian(), SaltPepper(), Poisson()))


@dataclass(frozen=True)
class FullGaussian(Value):
    """Gaussian noise on every pixel: the traditional denoising autoencoder that the patent compares with.

    Args:
        sigma: standard deviation in units of the value range; a number, or a range drawn per image.
        mean: shift in units of the value range; a number, or a range drawn per image.
        p: probability that an image is corrupted at all.
        value_range: as in :class:`BoxNoise`.

    >>> FullGaussian(0.1).value_range is None
    True
    """

    sigma: Range = 0.2
    mean: Range = 0.0
    p: float = 1.0
    value_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        self._set(
            sigma=number_range("FullGaussian.sigma", self.sigma),
            mean=number_range("FullGaussian.mean", self.mean),
            p=number("p", self.p),
            value_range=value_range_of(self.value_range),
        )
        _ = self.plan, self.text

    @cached_property
    def plan(self) -> Plan:
        """The core's form of this value."""
        noise = Gaussian(self.sigma, self.mean)._core("image")
        return simple_plan([noise], scale=(1.0, 1.0), base="image", p=self.p, full=True)


Spec: TypeAlias = BoxNoise | FullGaussian


@lru_cache(maxsize=64)
def spec_from_text(text: str) -> Spec:
    """The corruption whose ``text`` this is."""
    return cast(Spec, from_json(json.loads(text), (BoxNoise, FullGaussian)))


# --- by name and in files ---------------------------------------------------------------------------------------------
