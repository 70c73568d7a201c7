"""What a corruption is: the noise kinds, ``BoxNoise`` and ``FullGaussian``.

All are immutable values: checked when built, compared, hashed, printed, pickled and stored as JSON. The boxes and their
noise come from US 12 387 466: area (paragraphs 15, 16, 28), number (17), ratio (18, 31), place (19, 31), base (21),
noise (22-24, 31); ``FullGaussian`` is the traditional denoising autoencoder that the patent compares with. Meaning and
limits of the numbers are the core's (``_core.Plan``), which refuses what cannot be drawn; here stand the Python types.
"""

from __future__ import annotations

import json
import math
import numbers
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeAlias, TypeGuard, cast

import numpy as np

from unblot._core import Plan
from unblot.errors import UserError, shown
from unblot.files import write_json

__all__ = [
    "NAMES",
    "BoxNoise",
    "FullGaussian",
    "Gaussian",
    "Laplace",
    "Noise",
    "Paste",
    "Poisson",
    "SaltPepper",
    "Spec",
    "load_spec",
    "named",
    "save_spec",
]

Range: TypeAlias = float | tuple[float, float]
"""A number, or a range (low, high) that is drawn from uniformly."""

_CoreNoise: TypeAlias = tuple[str, list[tuple[float, float]], list[bool]]


# --- checks of types; each names the parameter, what it got and what it takes -----------------------------------------


def _number(name: str, value: object, accepted: str = "a number") -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be {accepted}, got {shown(value)} ({type(value).__name__})")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {shown(value)}")
    return number


def _is_sequence(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether ``value`` holds entries in a row; an array without axes does not."""
    return isinstance(value, tuple | list) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _pair(name: str, value: object, accepted: str) -> tuple[Any, Any] | None:
    """The two entries of a range, or None where ``value`` is no sequence."""
    if not _is_sequence(value):
        return None
    if len(value) != 2:
        raise ValueError(f"{name} must be {accepted}, got {len(value)} values: {shown(value)}")
    low, high = value
    return low, high


def _range(name: str, value: object) -> Range:
    accepted = "a number or a range (low, high)"
    pair = _pair(name, value, accepted)
    if pair is None:
        return _number(name, value, accepted)
    return _number(name, pair[0], accepted), _number(name, pair[1], accepted)


def _count(name: str, value: object) -> int | tuple[int, int]:
    accepted = "a whole number or a range (low, high) of whole numbers"

    def whole(entry: object) -> int:
        if isinstance(entry, bool) or not isinstance(entry, numbers.Integral):
            raise TypeError(f"{name} must be {accepted}, got {shown(value)}")
        number = int(entry)
        if not 0 <= number < 2**31:  # the core says which counts it takes
            raise ValueError(f"{name} must be {accepted}, at least 1, got {shown(value)}")
        return number

    pair = _pair(name, value, accepted)
    return whole(value) if pair is None else (whole(pair[0]), whole(pair[1]))


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {shown(value)} ({type(value).__name__})")
    return value


def _numbers(name: str, value: object, accepted: str) -> tuple[float, ...]:
    if not _is_sequence(value):
        raise TypeError(f"{name} must be {accepted}, got {shown(value)} ({type(value).__name__})")
    return tuple(_number(name, entry, accepted) for entry in value)


def _value_range(value: object) -> tuple[float, float] | None:
    if value is None:
        return None
    accepted = "two numbers (low, high), the lowest and the highest pixel value, or None"
    entries = _numbers("value_range", value, accepted)
    if len(entries) != 2:
        raise ValueError(f"value_range must be {accepted}, got {len(entries)} values: {shown(value)}")
    low, high = entries
    top = max(abs(low), abs(high))
    if not (top <= 1e30 and max(1e-30, top * 2.0**-21) <= high - low):
        raise ValueError(
            f"value_range must be {accepted}, low below high, that float32 can compute with: from -1e30 to 1e30, and "
            f"apart by 1e-30 and by four steps of float32 at least; got {shown(value)}"
        )
    return entries[0], entries[1]


def _as_range(value: Range) -> tuple[float, float]:
    return value if isinstance(value, tuple) else (value, value)


def _plan(noise: Sequence[_CoreNoise], **changes: Any) -> Plan:
    """A plan of one gray box, with what differs from that in ``changes``."""
    simple: dict[str, Any] = {
        "scale": (0.1, 0.1),
        "num_boxes": (1, 1),
        "area_split": "equal",
        "ratio": (1.0, 1.0),
        "ratio_sampling": "log",
        "ratio_per": "box",
        "placement": "inside",
        "overlap": "forbid",
        "base": "gray",
        "noise": noise,
        "weights": [1.0] * len(noise),
        "mode": "choose",
        "shapes": ["rectangle"],
        "shape_weights": [1.0],
        "edge": 1.0,
        "p": 1.0,
        "full": False,
    }
    return Plan(**(simple | changes))


class _Value:
    """What all values here share: fields that are set once, and a form that JSON can hold."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def _set(self, **checked: object) -> None:
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def __getstate__(self) -> dict[str, Any]:
        # A plan does not pickle; it is rebuilt when it is next needed.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def text(self) -> str:
        """The value as one line of JSON, by which operators of torch know it."""
        return json.dumps(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """The value as JSON can hold it: its fields, and ``type``, the name of its class."""
        return {"type": type(self).__name__} | {f.name: _to_json(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The value that :meth:`to_dict` described; fields that are missing take their defaults.

        Raises:
            ValueError: another type, a field that the type does not have, or a value that it refuses.
            TypeError: a field of a type that it does not take.
        """
        return cast(Self, _from_json(data, (cls,)))


def _to_json(value: object) -> Any:
    if isinstance(value, _Value):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_to_json(entry) for entry in value]
    return value


def _from_json(data: object, accepted: Sequence[type[_Value]]) -> _Value:
    names = [cls.__name__ for cls in accepted]
    if not isinstance(data, Mapping):
        raise TypeError(f"expected a mapping with 'type' one of {names}, got {data!r}")
    cls = next((cls for cls in accepted if cls.__name__ == data.get("type")), None)
    if cls is None:
        raise ValueError(
            f"type {data.get('type')!r} is not known here; accepted: {names}. "
            "It may have been written by a newer version of unblot; if so, update unblot"
        )
    values = {name: value for name, value in data.items() if name != "type"}
    known = [field.name for field in fields(cls)]
    unknown = sorted(str(name) for name in values if name not in known)
    if unknown:
        raise ValueError(
            f"{cls.__name__} has no parameter {', '.join(unknown)}; accepted: {known}. "
            "Correct the name, or update unblot if a newer version wrote it"
        )
    if cls is BoxNoise and isinstance(values.get("noise"), list | tuple):
        values["noise"] = [_from_json(kind, _KINDS) if isinstance(kind, Mapping) else kind for kind in values["noise"]]
    return cls(**values)


# --- the noise kinds (patent 22-24) -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gaussian(_Value):
    """Gaussian noise: v + mean + sigma · N(0, 1), v in [0, 1].

    Args:
        sigma: standard deviation in units of the value range, at least 0; a number, or a range drawn per box.
        mean: shift in units of the value range; a number, or a range drawn per box.

    >>> Gaussian(0.2)
    Gaussian(sigma=0.2, mean=0.0)
    """

    sigma: Range = 0.2
    mean: Range = 0.0

    def __post_init__(self) -> None:
        self._set(sigma=_range("Gaussian.sigma", self.sigma), mean=_range("Gaussian.mean", self.mean))
        _plan([self._core("gray")])

    def _core(self, base: object) -> _CoreNoise:  # noqa: ARG002 - one signature for all kinds
        return "gaussian", [_as_range(self.sigma), _as_range(self.mean)], []


@dataclass(frozen=True)
class SaltPepper(_Value):
    """Salt and pepper: with probability ``amount`` a pixel takes the highest or the lowest value.

    Args:
        amount: share of pixels hit, in [0, 1]; a number, a range drawn per box, or None: 0.5 on a flat base, 0.05 on
            ``base="image"`` and "any".
        salt_vs_pepper: share of the hits that take the highest value, in [0, 1]; a number, or a range drawn per box.
        per_channel: hit each channel on its own; by default a hit takes all channels of a pixel.
    """

    amount: Range | None = None
    salt_vs_pepper: Range = 0.5
    per_channel: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.per_channel, bool):
            raise TypeError(f"SaltPepper.per_channel must be True or False, got {shown(self.per_channel)}")
        self._set(
            amount=None if self.amount is None else _range("SaltPepper.amount", self.amount),
            salt_vs_pepper=_range("SaltPepper.salt_vs_pepper", self.salt_vs_pepper),
        )
        _plan([self._core("gray")])

    def _core(self, base: object) -> _CoreNoise:
        # Half of the pixels of an image gone would leave nothing to see; a flat base shows nothing anyway.
        default = 0.05 if base in ("image", "any") else 0.5
        amount = default if self.amount is None else self.amount
        return "salt_pepper", [_as_range(amount), _as_range(self.salt_vs_pepper)], [self.per_channel]


@dataclass(frozen=True)
class Poisson(_Value):
    """Poisson noise, the grain of few photons.

    Args:
        peak: photons at the highest value, above 0; a number, or a range drawn per box. Fewer photons, more grain.
        mode: "shot": P(peak · v) / peak, whose strength follows the brightness and which is nothing on black (an error
            there); "additive": v + strength · (P(peak) - peak) / √peak, the same on any brightness.
        strength: standard deviation of "additive" in units of the value range; unused by "shot".
    """

    peak: Range = 30.0
    mode: Literal["shot", "additive"] = "shot"
    strength: Range = 0.2

    def __post_init__(self) -> None:
        if _text("Poisson.mode", self.mode) not in ("shot", "additive"):
            raise ValueError(f"Poisson.mode must be 'shot' or 'additive', got {self.mode!r}")
        self._set(peak=_range("Poisson.peak", self.peak), strength=_range("Poisson.strength", self.strength))
        _plan([self._core("gray")])

    def _core(self, base: object) -> _CoreNoise:  # noqa: ARG002 - one signature for all kinds
        return "poisson", [_as_range(self.peak), _as_range(self.strength)], [self.mode == "additive"]


@dataclass(frozen=True)
class Laplace(_Value):
    """Laplace noise: v + mean + scale · L(0, 1), v in [0, 1].

    Args:
        scale: the parameter b in units of the value range, at least 0 (the standard deviation is b · √2); a number, or
            a range drawn per box.
        mean: shift in units of the value range; a number, or a range drawn per box.
    """

    scale: Range = 0.15
    mean: Range = 0.0

    def __post_init__(self) -> None:
        self._set(scale=_range("Laplace.scale", self.scale), mean=_range("Laplace.mean", self.mean))
        _plan([self._core("gray")])

    def _core(self, base: object) -> _CoreNoise:  # noqa: ARG002 - one signature for all kinds
        return "laplace", [_as_range(self.scale), _as_range(self.mean)], []


@dataclass(frozen=True)
class Paste(_Value):
    """A patch of an uncorrupted image in place of the pixels, as in CutPaste and CutMix: gain · v + offset, v in [0, 1]
    the patch's pixels, blended with those of the box. The base of the box is not used, and Paste is not superimposed.

    The patch has the size of its box. It lies beside the box where that is found in 16 tries, else it may overlap it.

    Args:
        gain: factor of the patch's values; a number, or a range drawn per box. With 0 the blot is flat, of the value
            ``offset``.
        offset: what is added to them, in units of the value range; a number, or a range drawn per box.
        opacity: share of the patch in the blend, in [0, 1]; a number, or a range drawn per box.
        flip: mirror the patch top to bottom and left to right, each with probability 1/2.
        source: "image": another place of the same image. "batch": any place of another image of the batch; then the
            result depends on the batch that an image stands in, which it otherwise never does. An image alone is its
            own source.

    >>> Paste(opacity=0.5)
    Paste(gain=(0.8, 1.2), offset=(-0.1, 0.1), opacity=0.5, flip=True, source='image')
    """

    gain: Range = (0.8, 1.2)
    offset: Range = (-0.1, 0.1)
    opacity: Range = (0.4, 1.0)
    flip: bool = True
    source: Literal["image", "batch"] = "image"

    def __post_init__(self) -> None:
        if not isinstance(self.flip, bool):
            raise TypeError(f"Paste.flip must be True or False, got {shown(self.flip)}")
        if _text("Paste.source", self.source) not in ("image", "batch"):
            raise ValueError(f"Paste.source must be 'image' or 'batch', got {self.source!r}")
        self._set(
            gain=_range("Paste.gain", self.gain),
            offset=_range("Paste.offset", self.offset),
            opacity=_range("Paste.opacity", self.opacity),
        )
        _plan([self._core("gray")])

    def _core(self, base: object) -> _CoreNoise:  # noqa: ARG002 - one signature for all kinds
        ranges = [_as_range(self.gain), _as_range(self.offset), _as_range(self.opacity)]
        return "paste", ranges, [self.flip, self.source == "batch"]


Noise: TypeAlias = Gaussian | SaltPepper | Poisson | Laplace | Paste
_KINDS: tuple[type[Noise], ...] = (Gaussian, SaltPepper, Poisson, Laplace, Paste)


def _weights(name: str, value: object, of: str, count: int) -> tuple[float, ...] | None:
    if value is None:
        return None
    weights = _numbers(name, value, f"one number per entry of {of}, or None")
    if len(weights) != count:
        raise ValueError(
            f"{name} must hold one number per entry of {of} ({count}), got {len(weights)}: {shown(weights)}"
        )
    return weights


def _noise(value: object) -> tuple[Noise, ...]:
    kinds = (value,) if isinstance(value, _KINDS) else value
    names = ", ".join(f"{cls.__name__}()" for cls in _KINDS)
    if not isinstance(kinds, tuple | list):
        raise TypeError(f"noise must be a noise kind or a list of them ({names}), got {shown(value)}")
    for kind in kinds:
        if not isinstance(kind, _KINDS):
            raise TypeError(f"noise must hold noise kinds ({names}), got {shown(kind)}")
    return tuple(kinds)


# --- the corruptions --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BoxNoise(_Value):
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

    def __post_init__(self) -> None:
        for name in ("area_split", "ratio_sampling", "ratio_per", "placement", "overlap", "mode"):
            _text(name, getattr(self, name))
        base: object = self.base
        if _is_sequence(base):
            base = _numbers("base", base, "a name, a number or one number per channel")
        elif not isinstance(base, str):
            base = _number("base", base, "a name, a number or one number per channel")
        noise = _noise(self.noise)
        shapes = (self.shapes,) if isinstance(self.shapes, str) else self.shapes
        if not isinstance(shapes, tuple | list):
            raise TypeError(f"shapes must be a name or a list of names, got {shown(shapes)}")
        shapes = tuple(_text("shapes", shape) for shape in shapes)
        self._set(
            scale=_range("scale", self.scale),
            num_boxes=_count("num_boxes", self.num_boxes),
            ratio=_range("ratio", self.ratio),
            base=base,
            noise=noise,
            weights=_weights("weights", self.weights, "noise", len(noise)),
            shapes=shapes,
            shape_weights=_weights("shape_weights", self.shape_weights, "shapes", len(shapes)),
            edge=_number("edge", self.edge),
            p=_number("p", self.p),
            value_range=_value_range(self.value_range),
        )
        _ = self.plan, self.text

    @cached_property
    def plan(self) -> Plan:
        """The core's form of this value."""
        noise = cast(tuple[Noise, ...], self.noise)
        boxes = self.num_boxes
        return _plan(
            [kind._core(self.base) for kind in noise],
            scale=_as_range(self.scale),
            num_boxes=boxes if isinstance(boxes, tuple) else (boxes, boxes),
            area_split=self.area_split,
            ratio=_as_range(self.ratio),
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
class FullGaussian(_Value):
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
            sigma=_range("FullGaussian.sigma", self.sigma),
            mean=_range("FullGaussian.mean", self.mean),
            p=_number("p", self.p),
            value_range=_value_range(self.value_range),
        )
        _ = self.plan, self.text

    @cached_property
    def plan(self) -> Plan:
        """The core's form of this value."""
        noise = Gaussian(self.sigma, self.mean)._core("image")
        return _plan([noise], scale=(1.0, 1.0), base="image", p=self.p, full=True)


Spec: TypeAlias = BoxNoise | FullGaussian


@lru_cache(maxsize=64)
def spec_from_text(text: str) -> Spec:
    """The corruption whose ``text`` this is."""
    return cast(Spec, _from_json(json.loads(text), (BoxNoise, FullGaussian)))


# --- by name and in files ---------------------------------------------------------------------------------------------


def _mixed() -> BoxNoise:
    # Real defects are small, of any outline, and mostly look like something: so small to medium blots of every shape,
    # half of them texture from elsewhere. The others are noise, from hardly visible to strong, on the pixels or on a
    # flat spot.
    return BoxNoise(
        scale=(0.01, 0.15),
        base="any",
        noise=(
            Paste(),
            Gaussian((0.05, 0.3)),
            SaltPepper((0.02, 0.3)),
            Poisson((5.0, 60.0), mode="additive", strength=(0.05, 0.3)),
            Laplace((0.05, 0.2)),
        ),
        weights=(4.0, 1.0, 1.0, 1.0, 1.0),
        shapes=("rectangle", "scar", "blob"),
    )


def _faint(shape: str, scale: tuple[float, float]) -> BoxNoise:
    # To judge what was trained on another corruption: weaker than that, and with flat stains, which "mixed" lacks.
    patch = Paste(gain=(0.7, 1.3), offset=(-0.15, 0.15), opacity=(0.3, 0.7))
    stain = Paste(gain=0.0, offset=(0.0, 1.0), opacity=(0.2, 0.5))
    noise = (patch, stain, Gaussian((0.04, 0.15)))
    return BoxNoise(scale=scale, num_boxes=(1, 2), base="image", noise=noise, shapes=shape)


_NAMED: dict[str, Callable[[], Spec | None]] = {
    "box": BoxNoise,
    "gaussian": FullGaussian,
    "none": lambda: None,
    "mixed": _mixed,
    "scars": lambda: _faint("scar", (0.003, 0.03)),
    "blobs": lambda: _faint("blob", (0.005, 0.05)),
}

NAMES = tuple(_NAMED)
"""The names that :func:`named` knows."""


def named(name: str) -> Spec | None:
    """The corruption that a name of :data:`NAMES` stands for.

    - "box": :class:`BoxNoise` as it comes;
    - "gaussian": :class:`FullGaussian`;
    - "none": None;
    - "mixed": for training detectors of defects: 1 to 15 % of the image, half of the blots pasted, the others the four
      noise kinds on any base, in all shapes;
    - "scars" and "blobs": for judging what was trained on another corruption: faint patches, stains and noise in that
      one shape, at most 3 and 5 % of the image.
    """
    if name not in _NAMED:
        raise ValueError(f"no corruption named {name!r}; accepted: {', '.join(NAMES)}")
    return _NAMED[name]()


def save_spec(spec: Spec, path: str | os.PathLike[str]) -> None:
    """Write ``spec`` as JSON; a file that exists is replaced whole or not at all."""
    write_json(path, spec.to_dict())


def load_spec(path: str | os.PathLike[str]) -> Spec:
    """Read what :func:`save_spec` wrote, or a hand-written file such as ``{"type": "BoxNoise", "scale": [0.1, 0.3]}``.

    Raises:
        UserError: the file cannot be read, is not JSON, or does not describe a corruption; the text names the file.
    """
    try:
        return cast(Spec, _from_json(json.loads(Path(path).read_text(encoding="utf-8")), (BoxNoise, FullGaussian)))
    except OSError as error:
        raise UserError(f"corruption file {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError) as error:
        raise UserError(f"corruption file {path}: {error}") from error
