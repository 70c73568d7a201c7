"""Heat maps, data URIs, curves and the contact sheet."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unblot.corruption.spec import BoxNoise, FullGaussian
from unblot.data.own import is_own_picture
from unblot.report.heat import heat, heat_map_names, write_heat_map
from unblot.report.plots import histogram, png_uri, pr, roc
from unblot.report.sheet import CAPTION, CELL, GAP, contact_sheet


def test_heat_grows_brighter_from_low_to_high_and_is_clipped() -> None:
    light = heat(np.linspace(-1, 3, 9, dtype=np.float32)[None], 0.0, 2.0)[0].sum(axis=1, dtype=int)
    assert (np.diff(light) >= 0).all()
    assert light[0] == light[2]  # -1 and 0
    assert light[6] == light[8]  # 2 and 3
    assert light[2] < light[4] < light[6]


def test_heat_of_a_constant_map_is_dark() -> None:
    assert heat(np.full((2, 2), 5, np.float32), 5.0, 5.0).max() < 20


@pytest.mark.parametrize(("shape", "size"), [((8, 9), (9, 8)), ((8, 9, 1), (9, 8)), ((300, 100, 3), (64, 192))])
def test_png_uri_holds_the_picture_and_stays_small(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    image = Image.open(io.BytesIO(base64.b64decode(png_uri(pixels).removeprefix("data:image/png;base64,"))))
    assert image.size == size
    if max(size) < 192:
        assert (np.asarray(image) == pixels.squeeze()).all()


def test_heat_maps_share_one_scale_and_no_name_is_lost(tmp_path: Path) -> None:
    names = heat_map_names(["a/x.png", "b/X.jpg", "b/y.png", "c/x-2.png", "d/x.bmp"])
    assert names == ["x.png", "X-2.png", "y.png", "x-2-2.png", "x-3.png"]
    for value, name in enumerate(names):
        write_heat_map(tmp_path / name, np.full((4, 4), value, np.float32), 0, 4)
    light = [np.asarray(Image.open(tmp_path / name)).sum(dtype=int) for name in names]
    assert light == sorted(set(light))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_a_heat_map_is_known_again_and_other_pictures_are_not(tmp_path: Path) -> None:
    write_heat_map(tmp_path / "map.png", np.zeros((300, 300), np.float32), 0, 1)
    with Image.open(tmp_path / "map.png") as picture:
        picture.save(tmp_path / "copy.bmp")
        Image.fromarray(np.asarray(picture)).save(tmp_path / "camera.png")
    assert is_own_picture(tmp_path / "map.png")
    assert not is_own_picture(tmp_path / "camera.png")
    assert not is_own_picture(tmp_path / "copy.bmp")
    assert not is_own_picture(tmp_path / "nothing.png")


def test_colours_are_those_of_inferno() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    ours = heat(np.arange(256, dtype=np.float32)[None], 0, 255)[0].astype(int)
    theirs = matplotlib.colormaps["inferno"](np.arange(256), bytes=True)[:, :3].astype(int)
    assert np.abs(ours - theirs).max() <= 6


def test_curves_are_elements_without_state_or_outside_addresses() -> None:
    labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.3, 0.9])
    for draw in (roc, pr, histogram):
        svg = draw(labels, scores, 0.35)
        assert svg.startswith("<svg")
        assert "http" not in svg
        assert svg == draw(labels, scores, 0.35)


def test_histogram_of_equal_scores_is_drawn() -> None:
    assert "normal (3)" in histogram(np.zeros(3, np.int64), np.ones(3), 1.0)


@pytest.mark.parametrize("channels", [1, 3])
def test_sheet_has_the_originals_first_then_other_draws(channels: int) -> None:
    images = np.full((2, channels, 16, 16), 77, np.uint8)
    sheet = contact_sheet(images, BoxNoise(), draws=3, seed=5)
    assert sheet.size == (4 * (CELL + GAP) + GAP, 2 * (CELL + CAPTION + GAP) + GAP)
    cells = [np.asarray(sheet.crop((x, GAP, x + CELL, GAP + CELL))) for x in range(GAP, sheet.width, CELL + GAP)]
    assert (cells[0] == 77).all()
    assert all((cell != 77).any() for cell in cells[1:])
    assert (cells[1] != cells[2]).any()
    assert contact_sheet(images, BoxNoise(), draws=3, seed=5).tobytes() == sheet.tobytes()


def test_sheet_of_no_corruption_repeats_the_image() -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 1, 16, 16), np.uint8)
    sheet = contact_sheet(image, None, draws=1)
    box = (GAP, GAP, GAP + CELL, GAP + CELL)
    assert sheet.crop(box).tobytes() == sheet.crop((box[0] + CELL + GAP, GAP, box[2] + CELL + GAP, box[3])).tobytes()


def test_captions_name_the_kinds() -> None:
    image = np.zeros((1, 1, 16, 16), np.uint8)
    one, other = (contact_sheet(image, spec, draws=1) for spec in (FullGaussian(p=0.0), None))
    assert one.tobytes() == other.tobytes()  # both "unchanged"
    drawn = contact_sheet(image, FullGaussian(0.0), draws=1)
    assert drawn.tobytes() != other.tobytes()  # black as before, but the caption says gaussian
