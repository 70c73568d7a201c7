"""The noise kinds (patent, paragraphs 22 to 24 and 31): immutable values, checked when they are built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from unblot._core import Plan
from unblot.corruption.checks import Range, as_range, number_range, text
from unblot.corruption.value import Value
from unblot.errors import shown

__all__ = ["KINDS", "Gaussian", "Laplace", "Noise", "Paste", "Poisson", "SaltPepper", "simple_plan"]

CoreNoise: TypeAlias = tuple[str, list[tuple[float, float]], list[bool]]
"""A kind of noise as the core takes it: its name, the ranges of its numbers, its switches."""


def simple_plan(noise: Sequence[CoreNoise], **changes: Any) -> Plan:
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


@dataclass(frozen=True)
class Gaussian(Value):
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
        self._set(sigma=number_range("Gaussian.sigma", self.sigma), mean=number_range("Gaussian.mean", self.mean))
        simple_plan([self._core("gray")])

    def _core(self, base: object) -> CoreNoise:  # noqa: ARG002 - one signature for all kinds
        return "gaussian", [as_range(self.sigma), as_range(self.mean)], []


@dataclass(frozen=True)
class SaltPepper(Value):
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
            amount=None if self.amount is None else number_range("SaltPepper.amount", self.amount),
            salt_vs_pepper=number_range("SaltPepper.salt_vs_pepper", self.salt_vs_pepper),
        )
        simple_plan([self._core("gray")])

    def _core(self, base: object) -> CoreNoise:
        # Half of the pixels of an image gone would leave nothing to see; a flat base shows nothing anyway.
        default = 0.05 if base in ("image", "any") else 0.5
        amount = default if self.amount is None else self.amount
        return "salt_pepper", [as_range(amount), as_range(self.salt_vs_pepper)], [self.per_channel]


@dataclass(frozen=True)
class Poisson(Value):
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
        if text("Poisson.mode", self.mode) not in ("shot", "additive"):
            raise ValueError(f"Poisson.mode must be 'shot' or 'additive', got {self.mode!r}")
        self._set(
            peak=number_range("Poisson.peak", self.peak), strength=number_range("Poisson.strength", self.strength)
        )
        simple_plan([self._core("gray")])

    def _core(self, base: object) -> CoreNoise:  # noqa: ARG002 - one signature for all kinds
        return "poisson", [as_range(self.peak), as_range(self.strength)], [self.mode == "additive"]


@dataclass(frozen=True)
class Laplace(Value):
    """Laplace noise: v + mean + scale · L(0, 1), v in [0, 1].

    Args:
        scale: the parameter b in units of the value range, at least 0 (the standard deviation is b · √2); a number, or
            a range drawn per box.
        mean: shift in units of the value range; a number, or a range drawn per box.
    """

    scale: Range = 0.15
    mean: Range = 0.0

    def __post_init__(self) -> None:
        self._set(scale=number_range("Laplace.scale", self.scale), mean=number_range("Laplace.mean", self.mean))
        simple_plan([self._core("gray")])

    def _core(self, base: object) -> CoreNoise:  # noqa: ARG002 - one signature for all kinds
        return "laplace", [as_range(self.scale), as_range(self.mean)], []


@dataclass(frozen=True)
class Paste(Value):
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
        if text("Paste.source", self.source) not in ("image", "batch"):
            raise ValueError(f"Paste.source must be 'image' or 'batch', got {self.source!r}")
        self._set(
            gain=number_range("Paste.gain", self.gain),
            offset=number_range("Paste.offset", self.offset),
            opacity=number_range("Paste.opacity", self.opacity),
        )
        simple_plan([self._core("gray")])

    def _core(self, base: object) -> CoreNoise:  # noqa: ARG002 - one signature for all kinds
        ranges = [as_range(self.gain), as_range(self.offset), as_range(self.opacity)]
        return "paste", ranges, [self.flip, self.source == "batch"]


Noise: TypeAlias = Gaussian | SaltPepper | Poisson | Laplace | Paste
KINDS: tuple[type[Noise], ...] = (Gaussian, SaltPepper, Poisson, Laplace, Paste)
