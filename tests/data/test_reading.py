"""Values beyond 8 bits, transparency, pages, shape and colour: read in full, kept, and said where new images differ."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from unblot.data import DataConfig, Reading, load_data, load_paths
from unblot.data.pixels import decode, highest, read
from unblot.data.reading import BEFORE, Facts, bits_for
from unblot.errors import UserError

PNG_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}


def png16(path: Path, values: NDArray[np.uint16]) -> Path:
    """Write values (H, W, channels) as a PNG of 16 bits, which Pillow cannot."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, PNG_COLOURS[channels], 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    data = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    return path


def tiff16(path: Path, values: NDArray[np.uint16], order: str) -> Path:
    """Write values (H, W, 3) as an uncompressed TIFF of 16 bits in byte order "<" or ">"."""
    height, width, channels = values.shape
    pixels = values.astype(f"{order}u2").tobytes()
    bits_at, data_at = 8 + 2 + 9 * 12 + 4, 8 + 2 + 9 * 12 + 4 + 6
    tags = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, channels, bits_at),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, data_at),
        (277, 3, 1, channels),
        (278, 4, 1, height),
        (279, 4, 1, len(pixels)),
    ]
    out = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags))
    for tag, kind, count, value in tags:
        packed = struct.pack(f"{order}H2x", value) if (kind, count) == (3, 1) else struct.pack(f"{order}I", value)
        out += struct.pack(f"{order}HHI", tag, kind, count) + packed
    path.write_bytes(out + struct.pack(f"{order}I3H", 0, 16, 16, 16) + pixels)
    return path


def ramp(channels: int, top: int, side: int = 16) -> NDArray[np.uint16]:
    values = np.linspace(0, top, side * side * channels).round().astype(np.uint16)
    return values.reshape(side, side, channels)


@pytest.mark.parametrize("kind", ["png", "little tiff", "big tiff", "ppm", "plain ppm"])
def test_every_bit_of_a_colour_file_counts(tmp_path: Path, kind: str) -> None:
    values = ramp(3, 1023)
    path = tmp_path / f"x.{kind.rsplit(maxsplit=1)[-1]}"
    head = f"{16} {16} 65535\n"
    if kind == "png":
        png16(path, values)
    elif kind.endswith("tiff"):
        tiff16(path, values, "<" if kind.startswith("little") else ">")
    elif kind == "ppm":
        path.write_bytes(f"P6 {head}".encode() + values.astype(">u2").tobytes())
    else:
        path.write_text(f"P3 {head}" + " ".join(map(str, values.ravel())))
    assert highest(path) == 1023
    found = decode(path, channels=3, size=16, reading=Reading(bits=10)).transpose(1, 2, 0)
    assert np.abs(found - values / 1023 * 255).max() <= 0.501


def test_gray_with_alpha_and_colour_with_alpha_keep_their_bits(tmp_path: Path) -> None:
    for channels in (2, 4):
        values = ramp(channels, 4095)
        values[..., -1] = 65535
        values[0, 0, -1] = 0
        pixels, facts = read(png16(tmp_path / f"{channels}.png", values), channels=1, size=16, reading=Reading(bits=12))
        assert (facts.deep, facts.transparent, facts.clipped, facts.gray) == (True, True, False, channels == 2)
        if channels == 2:
            wanted = values[..., 0] / 4095 * 255
            wanted[0, 0] = 0  # laid over black
            assert np.abs(pixels[0] - wanted).max() <= 0.501


@pytest.mark.parametrize("channels", [1, 3])
def test_bits_are_found_from_the_training_images_and_values_above_are_said(tmp_path: Path, channels: int) -> None:
    rng = np.random.default_rng(0)
    for i in range(12):
        png16(tmp_path / f"train/good/{i}.png", rng.integers(0, 3000, (16, 16, channels), dtype=np.uint16))
    splits = load_data(DataConfig(str(tmp_path), size=16))
    assert splits.train.reading.bits == 12
    assert len(np.unique(splits.train[0]["image"])) > 100
    assert "12 bits are used, so that 4095 is white" in splits.describe()
    bright = png16(tmp_path / "new/bright.png", np.full((16, 16, channels), 9000, np.uint16))
    said = load_paths([bright], channels=channels, size=16, reading=splits.train.reading).warnings
    assert any("above 4095" in text and "bright.png" in text for text in said)
    asked = load_data(DataConfig(str(tmp_path), size=16, bits=16))
    assert asked.train[0]["image"].max() < 16
    assert any("dark" in text for text in asked.warnings)


@pytest.mark.parametrize(("highest_value", "bits"), [(0, 8), (255, 8), (256, 10), (4095, 12), (16384, 16), (65535, 16)])
def test_bits_are_the_fewest_that_cameras_have(highest_value: int, bits: int) -> None:
    assert bits_for(highest_value) == bits


def test_what_lies_below_transparency_is_not_seen(tmp_path: Path) -> None:
    shown = np.zeros((8, 8, 4), np.uint8)
    shown[..., :3], shown[2:6, 2:6, 3] = 200, 255
    other = shown.copy()
    other[:2, :, :3] = 77  # below alpha 0
    for name, values in (("a", shown), ("b", other)):
        Image.fromarray(values).save(tmp_path / f"{name}.png")
    a, b = (decode(tmp_path / f"{name}.png", channels=3, size=8) for name in "ab")
    assert (a == b).all()
    assert a[0, 0, 0] == 0
    assert a[0, 3, 3] == 200
    before = decode(tmp_path / "b.png", channels=3, size=8, reading=BEFORE)
    assert before[0, 0, 0] == 77


def test_a_palette_with_a_transparent_entry_is_laid_over_black(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 250, 250, 250])
    image.save(tmp_path / "x.png", transparency=1)
    pixels, facts = read(tmp_path / "x.png", channels=1, size=4)
    assert facts.transparent
    assert (pixels == 0).all()


@pytest.mark.parametrize("suffix", ["tif", "gif", "webp", "png"])
def test_several_pages_are_said(tmp_path: Path, suffix: str) -> None:
    pages = [Image.fromarray(np.full((8, 8), 40 * i, np.uint8)) for i in range(1, 4)]
    pages[0].save(tmp_path / f"x.{suffix}", save_all=True, append_images=pages[1:])
    images = load_paths([tmp_path / f"x.{suffix}"], channels=1, size=8)
    assert images.facts()[0].pages == 3
    assert any("several pages" in text and "(3)" in text for text in images.warnings)
    assert np.abs(images[0]["image"].numpy().astype(int) - 40).max() <= 3


def gray(width: int = 64, height: int = 48, **changed: bool) -> Facts:
    return Facts(width, height, gray=True, **changed)


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (gray(), ""),
        (gray(66, 48), ""),
        (gray(48, 64), r"another shape or size .*\(64 x 48, width x height\): a\.png \(48 x 64\)"),
        (gray(640, 480), "another shape or size"),
        (Facts(64, 48, coloured=True), "have colours, which no training image had"),
        (gray(deep=True), "hold more than 8 bits per value, the training images 8"),
        (gray(transparent=True), "transparent pixels, which no training image had"),
    ],
)
def test_what_differs_from_the_training_images_is_said(new: Facts, said: str) -> None:
    found = Reading().learnt([gray(), gray()]).differences([("a.png", new), ("b.png", gray())])
    assert len(found) == bool(said)
    if said:
        assert __import__("re").search(said, found[0])
        assert found[0].startswith("1 of 2 images")


def test_gray_images_for_a_run_on_colours_are_said() -> None:
    trained = Reading().learnt([Facts(8, 8, coloured=True)])
    assert "are gray, the training images have colours" in trained.differences([("a.png", gray(8, 8))])[0]
    mixed = Reading().learnt([Facts(8, 8, coloured=True), gray(8, 8)])
    assert mixed.differences([("a.png", gray(8, 8)), ("b.png", Facts(8, 8, coloured=True))]) == []


def test_a_reading_survives_json_and_says_what_it_cannot_be() -> None:
    reading = Reading(bits=12).learnt([gray(), Facts(10, 20, deep=True, coloured=True)])
    assert Reading.from_dict(reading.to_dict()) == reading
    assert Reading.from_dict({**reading.to_dict(), "of a later version": 1}) == reading
    with pytest.raises(UserError, match="bits must be 8 to 16"):
        Reading(bits=17)
    with pytest.raises(UserError, match="alpha must be black or drop"):
        Reading(alpha="white")


def test_a_file_that_would_run_a_program_is_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.new("L", (8, 8)).save(out, format="EPS")
    (tmp_path / "x.png").write_bytes(out.getvalue())
    with pytest.raises(UserError, match=r"x\.png is a EPS file, which is not read"):
        decode(tmp_path / "x.png", channels=1, size=8)
