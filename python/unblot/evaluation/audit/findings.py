"""What an audit says: findings with a level, figures, and images to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FAKE", "FINE", "LEVELS", "NOTED", "SHARE", "WARNING", "Audit", "Finding", "Shown"]

FINE, WARNING, FAKE = "fine", "warning", "fake"
LEVELS = (FINE, WARNING, FAKE)

SHARE = 0.05
"""Share of the normal test images from which on something is said to fake a result.

What a detector gains on a share s of the normal test images lifts its AUROC by at most s · (1 − their AUROC before):
images that were guessed at (0.5) and are now all ranked right lift it by s / 2, at 0.05 by 0.025. Tables of this field
argue about differences of that size, so from there on the leak may be what a table shows.
"""


NOTED = SHARE / 5
"""Share from which on something is worth a look: it can move the second decimal of an AUROC by one half."""


@dataclass(frozen=True)
class Shown:
    """One image to look at.

    Attributes:
        name: of the image.
        pixels: uint8, shape (C, H, W).
        caption: what it is here, in a few words.
    """

    name: str
    pixels: NDArray[np.uint8]
    caption: str


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        check: its name, in a few words.
        level: "fine"; "warning": look at it before numbers are believed; "fake": it would fake a result.
        text: what was found, in whole sentences.
        remedy: what to do about it; empty where there is nothing to do.
        figures: JSON values by name.
        examples: images, each row to be looked at side by side.
    """

    check: str
    level: str
    text: str
    remedy: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)
    examples: Sequence[Sequence[Shown]] = ()

    @property
    def sentence(self) -> str:
        """The finding as one warning."""
        return f"{self.text} {self.remedy}".strip()

    def to_dict(self) -> dict[str, Any]:
        """JSON values; of the examples the names."""
        return {
            "check": self.check,
            "level": self.level,
            "text": self.text,
            "remedy": self.remedy,
            "figures": dict(self.figures),
            "examples": [[shown.name for shown in row] for row in self.examples],
        }


@dataclass(frozen=True)
class Audit:
    """All findings about one data set.

    Attributes:
        name: of the data set.
        description: what was understood of it, lines.
        findings: one for each check that could be made, in a fixed order.
    """

    name: str
    description: str
    findings: Sequence[Finding]

    @property
    def level(self) -> str:
        """The worst level of all findings."""
        return max((f.level for f in self.findings), key=LEVELS.index, default=FINE)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "name": self.name,
            "level": self.level,
            "description": self.description.splitlines(),
            "findings": [f.to_dict() for f in self.findings],
        }
