"""A picture of each claim: digits without it and with it, with fixed seeds."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from research.claims.claims import CLAIMS, Claim, Spec
from unblot import corrupt
from unblot.data import DataConfig, load_data
from unblot.files import write_bytes

__all__ = ["draw", "drawn", "write_pictures"]

SIDE, TIMES = 32, 3  # pixels of an image as it is corrupted, and how often each is shown
SHOWN = 5  # images in a row, after the original
GAP, LINE, TEXT = 6, 18, 12  # in pixels
DISPLAYS = (16, 32, 64)  # of claim 10
LARGEST = 20_000  # bytes
WHITE = 255

Pixels = NDArray[np.uint8]


def write_pictures(folder: Path) -> list[Path]:
    """Write ``NN.png`` for each claim that has a picture of its own.

    Raises:
        ValueError: a picture is larger than 20 kB.
    """
    digits, zeros = drawn(SIDE)
    written = []
    for claim in CLAIMS:
        picture = draw(claim, digits, zeros)
        if picture is None:
            continue
        buffer = BytesIO()
        picture.quantize(32).save(buffer, "png", optimize=True)
        if len(buffer.getvalue()) > LARGEST:
            raise ValueError(f"claim {claim.number}: {len(buffer.getvalue())} bytes, more than {LARGEST}")
        folder.mkdir(parents=True, exist_ok=True)
        written.append(folder / f"{claim.number:02}.png")
        write_bytes(written[-1], buffer.getvalue())
    return written


def drawn(side: int) -> tuple[Pixels, Pixels]:
    """Normal digits and zeros, (SHOWN, side, side) each, the same every time."""
    test = load_data(DataConfig("digits", size=side, channels=1), progress=False).test
    chosen = []
    for label in (0, 1):
        # Steps of seven: neighbours are often of one writer.
        at = np.flatnonzero(test.labels == label)[3::7][:SHOWN]
        chosen.append(np.stack([np.asarray(test[int(i)]["image"])[0] for i in at]))
    return chosen[0], chosen[1]


def draw(claim: Claim, digits: Pixels, zeros: Pixels) -> Image.Image | None:
    """The picture of a claim; None where it shows nothing that another one does not."""
    if claim.number == 10:
        return _displays()
    if not claim.rows:
        return None
    rows = []
    for caption, spec in claim.rows.items():
        images = zeros if "0" in caption and claim.number == 18 else digits
        noisy, shares = _corrupted(images, spec)
        said = f"{caption}:  {'  '.join(f'{share:.3f}' for share in shares)}" if claim.number == 11 else caption
        rows.append((said, [images[0], *noisy]))
    return _sheet(rows)


def _corrupted(images: Pixels, spec: Spec) -> tuple[Pixels, list[float]]:
    """Images with their boxes, and the share of each that is covered."""
    if spec is None:
        return images, [0.0] * len(images)
    out = corrupt(images, spec, seed=1, layout="NHW")
    mask = np.asarray(out.mask())
    return out.images, [float(m.mean()) for m in mask.reshape(len(images), -1)]


def _displays() -> Image.Image:
    """Claim 10: the same digits, drawn at three sizes and shown at one."""
    rows = []
    for side in DISPLAYS:
        digits, _ = drawn(side)
        noisy, _ = _corrupted(digits, CLAIMS[0].rows["box"])
        rows.append((f"{side} by {side} pixels", [_shown(image) for image in (digits[0], *noisy)]))
    return _sheet(rows)


def _shown(image: Pixels) -> Pixels:
    """At SIDE · TIMES pixels, each as a square."""
    return np.asarray(Image.fromarray(image).resize((SIDE * TIMES, SIDE * TIMES), Image.Resampling.NEAREST))


def _sheet(rows: list[tuple[str, list[Pixels]]]) -> Image.Image:
    """Rows of images under their captions; the first image of each is the original."""
    side, font = SIDE * TIMES, ImageFont.load_default(TEXT)
    across = SHOWN + 1
    sheet = Image.new("L", (across * (side + GAP) + GAP, len(rows) * (side + GAP + LINE) + GAP), WHITE)
    pen = ImageDraw.Draw(sheet)
    for n, (caption, images) in enumerate(rows):
        top = n * (side + GAP + LINE) + GAP
        pen.text((GAP, top), "original", 0, font)
        pen.text((2 * GAP + side, top), caption, 0, font)
        for column, image in enumerate(images):
            sheet.paste(Image.fromarray(_shown(image)), (GAP + column * (side + GAP), top + LINE))
    return sheet
