"""Pictures that this program wrote: they carry a mark, by which they are not taken for images of the line.

The mark is a text in the PNG's head ("Software: unblot, heat map"), so that nothing but the first bytes must be read.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngInfo

__all__ = ["is_own_picture", "mark", "without_own"]

_KEY, _VALUE = "Software", "unblot"
_HEAD = 512  # bytes within which the mark lies


def mark(what: str) -> PngInfo:
    """What to give ``Image.save(..., format="PNG", pnginfo=...)`` for a picture that this program makes.

    Args:
        what: the picture, in words, such as "heat map".
    """
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text(_KEY, f"{_VALUE}, {what}")
    return info


def is_own_picture(path: Path) -> bool:
    """Whether a file is a PNG with the mark; False where it cannot be read.

    Example:
        >>> is_own_picture(Path("nowhere.png"))
        False
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    return head.startswith(b"\x89PNG") and f"{_KEY}\0{_VALUE}, ".encode() in head


def without_own(paths: Iterable[Path]) -> tuple[list[Path], int]:
    """The paths in their order without pictures of this program, and how many these were."""
    every = list(paths)
    kept = [path for path in every if path.suffix.lower() != ".png" or not is_own_picture(path)]
    return kept, len(every) - len(kept)
