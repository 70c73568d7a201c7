"""What each claim says, its switch, and with what it is compared.

Source: US 12 387 466 B2, claims 1 to 20, in our own words. Numbers of paragraphs are those of its detailed description.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unblot import BoxNoise, FullGaussian, Gaussian, Laplace, Poisson, SaltPepper

__all__ = ["CLAIMS", "CORRUPTIONS", "PAIRS", "Claim", "Pair", "Spec"]

Spec = BoxNoise | FullGaussian | None

FOUR = (Gaussian(), SaltPepper(), Poisson(), Laplace())

CORRUPTIONS: Mapping[str, Spec] = {
    "box": BoxNoise(),
    "none": None,
    "full-gaussian": FullGaussian(),
    "one-area": BoxNoise(scale=0.15),
    "two-boxes": BoxNoise(num_boxes=2),
    "square": BoxNoise(ratio=1.0),
    "cut-at-border": BoxNoise(placement="clip"),
    "no-noise": BoxNoise(mode="none"),
    "gaussian-alone": BoxNoise(noise=Gaussian()),
    "one-ratio-per-image": BoxNoise(ratio_per="image"),
    "place-alone": BoxNoise(scale=0.15, num_boxes=2, ratio=1.0, area_split="equal"),
    "on-the-image": BoxNoise(base="image"),
    "superimposed": BoxNoise(mode="superimpose"),
    "small-areas": BoxNoise(scale=(0.02, 0.05)),
    "large-areas": BoxNoise(scale=(0.4, 0.5)),
}
"""The corruptions that are trained with, by name; what is not said is as :class:`~unblot.BoxNoise` comes."""


@dataclass(frozen=True)
class Pair:
    """Two corruptions of :data:`CORRUPTIONS` that differ in what a claim says.

    Attributes:
        claim: its number.
        on: with what the claim says.
        off: without it.
    """

    claim: int
    on: str
    off: str


@dataclass(frozen=True)
class Claim:
    """One claim.

    Attributes:
        number: of the claim.
        says: what it says, in our own words.
        switch: what switches it in unblot, as code; None where nothing does.
        state: "yes" (implemented, with a switch), "always" (implemented, without a switch) or "no".
        note: what else there is to know.
        repeats: the claim that it repeats for a device or a medium, or in other words.
        pairs: the comparisons that are trained.
        rows: of the picture, by caption: the corruption of each; empty where the picture is another's or is drawn in
            its own way.
    """

    number: int
    says: str
    switch: str | None
    state: str
    note: str = ""
    repeats: int | None = None
    pairs: tuple[Pair, ...] = ()
    rows: Mapping[str, Spec] = field(default_factory=dict)


def _pairs(claim: int, *of: tuple[str, str]) -> dict[str, Any]:
    return {"pairs": tuple(Pair(claim, on, off) for on, off in of)}


CLAIMS = (
    Claim(
        1,
        "The method: cover parts of a normal image with boxes whose area lies in a given range, fill them with random "
        "noise, and train the model to make the original of it.",
        '`corruption="box"` against `"none"` or `"gaussian"`; in Python `unblot.BoxNoise()`',
        "yes",
        'The patent compares with the traditional denoising autoencoder, which is `"gaussian"`. It takes "constraint '
        "learning\" as known; here that is each detector's own loss against the clean image.",
        **_pairs(1, ("box", "none"), ("box", "full-gaussian")),
        rows={"none": None, "gaussian": FullGaussian(), "box": BoxNoise()},
    ),
    Claim(
        2,
        "The covered share of the image is drawn at random from the range.",
        "`scale=(0.10, 0.20)` against one number, `scale=0.15`",
        "yes",
        "It is drawn once for each image.",
        **_pairs(2, ("box", "one-area")),
        rows={
            "scale=0.15": BoxNoise(scale=0.15, num_boxes=1),
            "scale=(0.10, 0.20)": BoxNoise(scale=(0.10, 0.20), num_boxes=1),
        },
    ),
    Claim(
        3,
        "The number of boxes is drawn at random.",
        "`num_boxes=(1, 4)` against one number, `num_boxes=2`",
        "yes",
        "The area is shared out over the boxes (`area_split`), so it does not grow with their number.",
        **_pairs(3, ("box", "two-boxes")),
        rows={"num_boxes=2": BoxNoise(num_boxes=2), "num_boxes=(1, 4)": BoxNoise()},
    ),
    Claim(
        4,
        "The ratio of height and width is drawn at random from a range of its own.",
        "`ratio=(0.3, 3.3)` against one number, `ratio=1.0`",
        "yes",
        'Ratios are drawn log-uniformly, so that tall and wide are alike; `ratio_sampling="uniform"` is the letter of '
        "paragraph 31.",
        **_pairs(4, ("box", "square")),
        rows={"ratio=1.0": BoxNoise(ratio=1.0, num_boxes=2), "ratio=(0.3, 3.3)": BoxNoise(num_boxes=2)},
    ),
    Claim(
        5,
        "The place of the box is drawn at random.",
        None,
        "always",
        'No switch fixes the place. `placement="inside"` and `placement="clip"` are two ways to draw it. The second is '
        "the letter of paragraph 31: a box is cut at the border and loses area. These two are compared here.",
        **_pairs(5, ("box", "cut-at-border")),
        rows={'placement="clip"': BoxNoise(placement="clip"), 'placement="inside"': BoxNoise()},
    ),
    Claim(
        6,
        "The noise in the box is drawn by a probability density that is given in advance.",
        '`noise` and `weights` against `mode="none"`',
        "yes",
        "A noise kind is the density, such as `Gaussian(sigma=0.2)`; `weights` says how probable each kind is.",
        **_pairs(6, ("box", "no-noise")),
        rows={'mode="none"': BoxNoise(mode="none"), "noise=four kinds": BoxNoise()},
    ),
    Claim(
        7,
        "The noise is one or more of Gaussian, salt and pepper, Poisson and Laplace.",
        "`noise=[Gaussian(), SaltPepper(), Poisson(), Laplace()]` against `noise=Gaussian()`",
        "yes",
        "Any of them may be left out. By default one kind is drawn for each box.",
        **_pairs(7, ("box", "gaussian-alone")),
        rows={
            f"{type(kind).__name__}()": BoxNoise(noise=kind, num_boxes=1, scale=0.25, ratio=(0.7, 1.4)) for kind in FOUR
        },
    ),
    Claim(
        8,
        "A device, storage and processor, that runs the method of claim 1.",
        None,
        "always",
        "Any computer that runs unblot.",
        repeats=1,
    ),
    Claim(
        9,
        "A medium with a program that runs the method of claim 1.",
        None,
        "always",
        "Any disk that holds unblot.",
        repeats=1,
    ),
    Claim(
        10,
        "The resolution whose ratio is limited is that of the display, the pixels shown.",
        None,
        "always",
        "`scale` counts pixels of the image as it is loaded, so the share is the same at every `size`.",
    ),
    Claim(
        11,
        "The ratio of the resolutions is the ratio of the areas.",
        None,
        "always",
        'This is the meaning of `scale`. With `placement="inside"` the share holds but for half of a box\'s side; '
        "the picture gives the shares as they were drawn.",
        rows={
            "scale=0.10": BoxNoise(scale=0.10, num_boxes=1),
            "scale=0.20": BoxNoise(scale=0.20, num_boxes=1),
        },
    ),
    Claim(
        12,
        "Ratios of height and width differ between one drawing and the next.",
        "`ratio=(0.3, 3.3)` against `ratio=1.0`",
        "yes",
        "Each image is a drawing of its own in every epoch, so this is the switch of claim 4 and its comparison, too.",
        repeats=4,
        rows={"ratio=1.0": BoxNoise(ratio=1.0, num_boxes=1), "ratio=(0.3, 3.3)": BoxNoise(num_boxes=1)},
    ),
    Claim(
        13,
        "Ratios differ between the boxes of one drawing.",
        '`ratio_per="box"` against `ratio_per="image"`',
        "yes",
        **_pairs(13, ("box", "one-ratio-per-image")),
        rows={
            'ratio_per="image"': BoxNoise(ratio_per="image", num_boxes=3),
            'ratio_per="box"': BoxNoise(ratio_per="box", num_boxes=3),
        },
    ),
    Claim(
        14,
        "The boxes of one drawing share a ratio, which differs between drawings.",
        '`ratio_per="image"` against one ratio for all, `ratio=1.0`',
        "yes",
        "Claims 13 and 14 exclude each other.",
        **_pairs(14, ("one-ratio-per-image", "square")),
        rows={
            "ratio=1.0": BoxNoise(ratio=1.0, num_boxes=3),
            'ratio_per="image"': BoxNoise(ratio_per="image", num_boxes=3),
        },
    ),
    Claim(
        15,
        "One or more of these are random: the share, the number, the ratio, the place.",
        '`scale`, `num_boxes` and `ratio` as ranges, `area_split="dirichlet"`, against one number each and `"equal"`',
        "yes",
        "The place is random either way.",
        **_pairs(15, ("box", "place-alone")),
        rows={
            "the place alone is random": BoxNoise(scale=0.15, num_boxes=2, ratio=1.0, area_split="equal"),
            "all are random": BoxNoise(),
        },
    ),
    Claim(
        16,
        "The pixels of the box are set to black, white or gray.",
        '`base="black"`, `"white"`, `"gray"` or `"random"` of the three, against `base="image"`',
        "yes",
        "Gray is the default. Shot noise on black is nothing at all, so `BoxNoise` refuses that combination. On the "
        "image itself salt and pepper hits 5 % of the pixels instead of 50 %.",
        **_pairs(16, ("box", "on-the-image")),
        rows={
            'base="image"': BoxNoise(base="image", noise=Gaussian()),
            'base="black"': BoxNoise(base="black", noise=Gaussian()),
            'base="white"': BoxNoise(base="white", noise=Gaussian()),
            'base="gray"': BoxNoise(base="gray", noise=Gaussian()),
        },
    ),
    Claim(
        17,
        "Where there are two or more kinds of noise, they are superimposed in the box.",
        '`mode="superimpose"` against `mode="choose"`',
        "yes",
        'Not the default: paragraphs 31 and 33 choose one kind for each box, and so does `"choose"`.',
        **_pairs(17, ("superimposed", "box")),
        rows={'mode="choose"': BoxNoise(), 'mode="superimpose"': BoxNoise(mode="superimpose")},
    ),
    Claim(
        18,
        "The original image is a normal or an abnormal one.",
        None,
        "no",
        "unblot trains on normal images alone, as paragraph 25 does. The corruption itself takes any image, as the "
        "picture shows. Abnormal images can be trained on only by giving their folder as `--normal`; no label is used.",
        rows={"a normal digit": BoxNoise(), "a 0, left out as abnormal": BoxNoise()},
    ),
    Claim(
        19,
        "The covered share is 10 % to 20 %.",
        "`scale=(0.10, 0.20)`, the default, against another range",
        "yes",
        **_pairs(19, ("box", "small-areas"), ("box", "large-areas")),
        rows={
            "scale=(0.02, 0.05)": BoxNoise(scale=(0.02, 0.05)),
            "scale=(0.10, 0.20)": BoxNoise(),
            "scale=(0.40, 0.50)": BoxNoise(scale=(0.4, 0.5)),
        },
    ),
    Claim(
        20,
        "The box covers a part, so that the model has to learn from the whole image.",
        None,
        "always",
        "A purpose, not a step: nothing more to do than claim 1, and nothing of its own to switch or to measure.",
        repeats=1,
    ),
)

PAIRS = tuple(pair for claim in CLAIMS for pair in claim.pairs)
"""All comparisons."""
