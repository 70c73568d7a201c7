"""Every kind of file becomes the same kind of pixels, and what cannot be read is named."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unblot.data import DataConfig, load_data, load_paths
from unblot.data.pixels import Look, decode, decode_mask, in_threads, probe
from unblot.errors import UserError

Picture = Callable[..., Path]


def test_16_bit_grayscale_is_scaled_from_its_full_range(tmp_path: Path) -> None:
    values = np.array([[0, 257, 128], [65535, 32896, 129]], np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    Image.fromarray(values).save(tmp_path / "deep.tif")
    for name in ("deep.png", "deep.tif"):
        assert probe(tmp_path / name) == Look(gray=True, size=(3, 2), deep=True)
        pixels = decode(tmp_path / name, channels=1, size=6)
        assert (pixels.min(), pixels.max()) == (0, 255)
    square = np.full((4, 4), 32896, np.uint16)
    Image.fromarray(square).save(tmp_path / "even.png")
    assert (decode(tmp_path / "even.png", channels=3, size=4) == 128).all()


@pytest.mark.parametrize("values", [np.full((4, 4), 0.5, np.float32), np.full((4, 4), 1 << 20, np.int32)])
def test_pixels_of_unknown_range_are_refused(tmp_path: Path, values: np.ndarray) -> None:
    Image.fromarray(values).save(tmp_path / "x.tif")
    with pytest.raises(UserError, match=r"x\.tif.*whose range is not known"):
        decode(tmp_path / "x.tif", channels=1, size=4)


def test_same_size_keeps_pixels_and_channel_order(tmp_path: Path, picture: Picture) -> None:
    path = picture(tmp_path / "rgb.png", (5, 5, 3))
    pixels = decode(path, channels=3, size=5)
    assert pixels.dtype == np.uint8
    assert (pixels == np.asarray(Image.open(path)).transpose(2, 0, 1)).all()
    array = np.asarray(Image.open(path))
    assert (decode(array, channels=3, size=5) == pixels).all()


def test_shrinking_averages_over_the_area(tmp_path: Path) -> None:
    checkers = np.indices((64, 64)).sum(axis=0) % 2 * 255
    Image.fromarray(checkers.astype(np.uint8)).save(tmp_path / "x.png")
    assert np.abs(decode(tmp_path / "x.png", channels=1, size=8).astype(int) - 127).max() <= 2


def test_images_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees: the left column becomes the top row
    pixels = np.zeros((8, 16), np.uint8)
    pixels[:, :8] = 255
    for name in ("x.png", "x.tif", "x.webp"):
        Image.fromarray(pixels).save(tmp_path / name, exif=exif, lossless=True)
        assert probe(tmp_path / name)[1] == (8, 16)
        upright = decode(tmp_path / name, channels=1, size=8)[0]
        assert upright[:3].min() > 250
        assert upright[5:].max() < 5


@pytest.mark.parametrize(("mode", "gray"), [("1", True), ("L", True), ("LA", True), ("P", False), ("RGBA", False)])
def test_other_modes_decode_to_both_channel_counts(tmp_path: Path, mode: str, gray: bool) -> None:
    Image.new("RGB", (4, 4), "white").convert(mode).save(tmp_path / "x.png")
    assert probe(tmp_path / "x.png")[0] is gray
    for channels in (1, 3):
        pixels = decode(tmp_path / "x.png", channels=channels, size=4)
        assert pixels.shape == (channels, 4, 4)
        assert (pixels == 255).all()


@pytest.mark.parametrize("value", [1, 255])
def test_one_defect_pixel_survives_in_a_small_mask(tmp_path: Path, value: int) -> None:
    values = np.zeros((300, 200), np.uint8)
    values[299, 0] = value
    Image.fromarray(values).save(tmp_path / "m.png")
    expected = np.zeros((8, 8), bool)
    expected[7, 0] = True
    assert (decode_mask(tmp_path / "m.png", 8) == expected).all()


def test_colour_and_16_bit_masks_mean_the_same(tmp_path: Path) -> None:
    marked = np.zeros((4, 4), bool)
    marked[1, 2] = True
    Image.fromarray(marked.astype(np.uint8)[..., None] * np.array([255, 0, 0], np.uint8)).save(tmp_path / "rgb.png")
    Image.fromarray(marked.astype(np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(marked).save(tmp_path / "bit.png")
    for name in ("rgb.png", "deep.png", "bit.png"):
        assert (decode_mask(tmp_path / name, 4) == marked).all()


@pytest.mark.parametrize("content", [b"", b"no image at all", None])
def test_an_unreadable_file_is_named_with_the_remedy(tmp_path: Path, picture: Picture, content: bytes | None) -> None:
    path = picture(tmp_path / "broken one.png", (64, 64))
    path.write_bytes(path.read_bytes()[:600] if content is None else content)
    with pytest.raises(UserError, match=r"broken one\.png cannot be read .* move it out"):
        decode(path, channels=1, size=8)


@pytest.mark.parametrize("n", [0, 1, 7, 2000])
def test_threads_keep_the_order(n: int) -> None:
    assert list(in_threads(lambda x: x * x, range(n), what="", progress=False)) == [x * x for x in range(n)]


def test_a_progress_bar_is_shown_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    for progress in (True, False, None):
        list(in_threads(abs, range(2000), what="reading", progress=progress))
        assert ("reading: 100%" in capsys.readouterr().err) is (progress is True)


def test_an_error_in_a_thread_comes_out() -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda x: 1 // (x - 500), range(1000), what="", progress=False))


def test_a_header_that_promises_too_many_pixels_is_refused_before_decoding(tmp_path: Path) -> None:
    """A few bytes that say 50 000 × 50 000: decoded they would take 7.5 GB."""
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    data = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts)
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    for read in (probe, lambda path: decode(path, channels=3, size=8), lambda path: decode_mask(path, 8)):
        with pytest.raises(UserError, match=r"bomb\.png says that it is larger"):
            read(tmp_path / "bomb.png")


@pytest.mark.parametrize("name", ["parts.zip", "parts.tar.gz", "Parts.ZIP"])
def test_archives_are_not_opened(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(UserError, match=r"archives are not opened.*unpack"):
        load_paths([tmp_path / name], channels=1, size=8)
    with pytest.raises(UserError, match=r"archives are not opened.*unpack"):
        load_data(DataConfig(str(tmp_path / name)))
