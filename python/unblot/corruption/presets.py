"""Corruptions that have a name."""

from __future__ import annotations

from collections.abc import Callable

from unblot.corruption.noise import Gaussian, Laplace, Paste, Poisson, SaltPepper
from unblot.corruption.spec import BoxNoise, FullGaussian, Spec

__all__ = ["NAMES", "named"]


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
