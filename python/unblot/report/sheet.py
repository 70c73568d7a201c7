"""A contact sheet of a corruption: each image beside several draws, with the kinds of noise that were drawn.

For eyes, before any training: are the boxes of a sensible size, is the noise of a sensible strength for these images?
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from unblot.corruption.apply import Box, corrupt
from unblot.corruption.spec import Spec

__all__ = ["CAPTION", "CELL", "GAP", "contact_sheet"]

CELL = 160  # side of a picture on the sheet, in pixels
CAPTION = 34  # height below it: two lines of text
GAP = 8
_PAPER, _INK = (252, 252, 250), (60, 66, 76)


def contact_sheet(images: NDArray[np.uint8], spec: Spec | None, *, draws: int = 5, seed: int = 0) -> Image.Image:
    """Draw the sheet: a row per image, the original first.

    Args:
        images: shape (N, C, H, W), C 1 or 3.
        spec: the corruption; None leaves every picture as it is.
        draws: corrupted pictures per image; draw k is made with seed ``seed + k``.
        seed: of the first draw.

    Returns:
        RGB picture, (1 + draws) · (CELL + GAP) + GAP wide and N · (CELL + CAPTION + GAP) + GAP high.

    >>> contact_sheet(np.zeros((2, 1, 8, 8), np.uint8), None, draws=1).size
    (344, 412)
    """
    sheet = Image.new("RGB", ((1 + draws) * (CELL + GAP) + GAP, len(images) * (CELL + CAPTION + GAP) + GAP), _PAPER)
    columns: list[tuple[NDArray[np.uint8], list[str]]] = [(images, ["original"] * len(images))]
    for k in range(draws):
        if spec is None:
            columns.append((images, ["unchanged"] * len(images)))
        else:
            out = corrupt(images, spec, seed=seed + k, layout="NCHW")
            columns.append((out.images, [_kinds([_name(box) for box in boxes]) for boxes in out.boxes]))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for column, (pixels, captions) in enumerate(columns):
        x = GAP + column * (CELL + GAP)
        for row, (picture, caption) in enumerate(zip(pixels, captions, strict=True)):
            y = GAP + row * (CELL + CAPTION + GAP)
            sheet.paste(_cell(picture), (x, y))
            pen.multiline_text((x, y + CELL + 3), _two_lines(pen, caption, font), fill=_INK, font=font, spacing=2)
    return sheet


def _name(box: Box) -> str:
    return box.kind if box.shape == "rectangle" else f"{box.kind} {box.shape}"


def _kinds(kinds: Sequence[str]) -> str:
    """What the boxes of one image hold: each kind once, with its number of boxes where there are several."""
    counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    names = [name.replace("_", " & ").replace("+", " + ").replace("none", "flat") for name in counts]
    # Pillow's own font knows ASCII and little more.
    parts = [f"{n}x {name}" if n > 1 else name for name, n in zip(names, counts.values(), strict=True)]
    return ", ".join(parts) or "unchanged"


def _cell(pixels: NDArray[np.uint8]) -> Image.Image:
    """One picture (C, H, W) at the size of a cell; small ones keep their pixels visible."""
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    # Shown whole where they are large; uneven multiples of small pixels would look like a pattern of the image's own.
    how = Image.Resampling.NEAREST if max(image.size) * 3 <= CELL else Image.Resampling.BILINEAR
    return image.resize((CELL, CELL), how)


def _two_lines(pen: ImageDraw.ImageDraw, text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    """``text`` broken at spaces into two lines that fit below a cell, with dots where more is left."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if pen.textlength(longer, font) <= CELL:
            lines[-1] = longer
        elif len(lines) == 1:
            lines.append(word)
        else:
            lines[-1] += " ..."
            break
    return "\n".join(lines)
