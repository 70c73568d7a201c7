"""Images become squares without a change of shape where that is asked for, and maps lie over them again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from unblot.data import DataConfig, ImageSet, Item, Kept, Reading, Source, Splits, load_data
from unblot.data.fitting import FITS, fitted, fitted_mask, inside, over_image, seen
from unblot.data.pixels import decode
from unblot.data.reading import Facts
from unblot.errors import UserError

SIDES = st.integers(1, 300)


def disc(width: int, height: int, radius: int) -> NDArray[np.uint8]:
    """A bright disc in the middle."""
    y, x = np.mgrid[:height, :width]
    return np.where((x - width / 2) ** 2 + (y - height / 2) ** 2 < radius**2, np.uint8(255), np.uint8(0))


def extent(pixels: NDArray[np.uint8]) -> tuple[int, int]:
    """Width and height of what is bright."""
    rows, columns = np.where(pixels > 127)
    return int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


@pytest.mark.parametrize(("width", "height"), [(300, 100), (100, 300)])
def test_a_disc_stays_round_unless_it_is_stretched(width: int, height: int) -> None:
    picture = Image.fromarray(disc(width, height, 40))
    wide, high = extent(np.asarray(fitted(picture, "stretch", 60)))
    assert max(wide, high) > 2 * min(wide, high)
    # Padded, the disc shows three times: itself and mirrored at both edges.
    padded = np.asarray(fitted(picture, "pad", 60))
    place = inside("pad", width, height, 60)
    assert extent(padded[place.rows, place.columns]) == pytest.approx((16, 16), abs=1)
    assert extent(np.asarray(fitted(picture, "crop", 60))) == pytest.approx((48, 48), abs=1)


@given(SIDES, SIDES, st.integers(1, 64))
def test_padding_keeps_the_shape_to_half_a_pixel_and_fills_with_the_image_mirrored(
    width: int, height: int, size: int
) -> None:
    place = inside("pad", width, height, size)
    assert max(place.width, place.height) == size
    for side, kept in ((width, place.width), (height, place.height)):
        assert abs(kept - side * size / max(width, height)) <= 0.5 or kept == 1
    pixels = np.random.default_rng(width).integers(0, 256, (height, width), np.uint8)
    square = np.asarray(fitted(Image.fromarray(pixels), "pad", size))
    assert square.shape == (size, size)
    shown = square[place.rows, place.columns]
    plain = Image.fromarray(pixels).resize((place.width, place.height), Image.Resampling.BILINEAR)
    assert (shown == np.asarray(plain)).all()
    before, after = (place.left, 0), (size - place.right, 0)
    if place.width == size:
        before, after = (0, place.top), (0, size - place.bottom)
    wanted = np.pad(shown, ((before[1], after[1]), (before[0], after[0])), mode="symmetric")
    assert (square == wanted).all()


@given(SIDES, SIDES, st.integers(1, 64))
def test_cropping_sees_the_middle_square_alone(width: int, height: int, size: int) -> None:
    part = seen("crop", width, height)
    assert part.width == part.height == min(width, height)
    assert abs(part.left - (width - part.right)) <= 1
    pixels = np.zeros((height, width), np.uint8)
    pixels[part.rows, part.columns] = 200
    assert (np.asarray(fitted(Image.fromarray(pixels), "crop", size)) == 200).all()


@given(SIDES, SIDES, st.sampled_from(FITS), st.integers(8, 64))
def test_a_square_image_is_the_same_in_every_way(side: int, seed: int, fit: str, size: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side), np.uint8)
    plain = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR)
    assert (np.asarray(fitted(Image.fromarray(pixels), fit, size)) == np.asarray(plain)).all()
    values = np.random.default_rng(seed).random((size, size), np.float32)
    assert (over_image(values, fit, side, side) == values).all()


@pytest.mark.parametrize(("width", "height"), [(240, 80), (80, 240), (81, 80), (97, 41)])
@pytest.mark.parametrize("fit", ["pad", "crop"])
def test_a_map_lies_over_its_image_where_the_image_was(fit: str, width: int, height: int) -> None:
    """A spot in the image is a spot of the map at the same place, whatever was filled or cut."""
    size, x, y = 64, width // 2 + min(width, height) // 4, height // 2 - min(width, height) // 4
    pixels = np.zeros((height, width), np.uint8)
    pixels[y - 4 : y + 4, x - 4 : x + 4] = 255
    found = over_image(np.asarray(fitted(Image.fromarray(pixels), fit, size)).astype(np.float32), fit, width, height)
    assert found.shape[1] / found.shape[0] == pytest.approx(width / height, rel=0.05)
    assert np.isnan(found).any() == (fit == "crop")
    row, column = np.unravel_index(np.nanargmax(found), found.shape)
    scale = found.shape[1] / width
    assert (column / scale, row / scale) == pytest.approx((x, y), abs=4 + 1 / scale)
    mask = fitted_mask(pixels > 0, fit, size)
    assert np.nanmin(over_image(np.where(mask, np.float32(1), np.float32(0)), fit, width, height)[found > 200]) == 1


def test_what_is_filled_is_not_marked_and_a_defect_that_is_cut_away_is_not_there() -> None:
    mask = np.zeros((100, 300), np.bool_)
    mask[:, :50] = True
    padded = fitted_mask(mask, "pad", 60)
    assert padded.sum() == 20 * 10
    assert not fitted_mask(mask, "crop", 60).any()


def long_set(fit: str, *, size: int = 32) -> ImageSet:
    rng = np.random.default_rng(0)
    sources = [Source(Item(f"{i}.png", 0, "good", f"{i}"), rng.integers(0, 256, (20, 60), np.uint8)) for i in range(4)]
    return ImageSet(sources, channels=1, size=size, reading=Reading(fit=fit))


def test_a_set_says_where_its_images_are_and_keeps_how_they_were_fitted() -> None:
    images = long_set("pad")
    assert images.unfilled(0, images[0]["image"].numpy()).shape == (1, 11, 32)
    assert images.unfilled(0, np.zeros((64, 64))).shape == (21, 64)
    kept = Kept.of(Splits("s", images, long_set("pad"), images))
    assert Kept.from_dict(kept.to_dict()) == kept
    other = replace(kept, reading=replace(kept.reading, fit="crop"))
    assert "fitted to the square by pad, now by crop" in kept.differs(other)
    before = kept.reading.to_dict()
    del before["fit"]
    assert Reading.from_dict(before).fit == "stretch", "what kept no fit was stretched"


@pytest.mark.parametrize(
    ("shapes", "shown"),
    [
        ([(400, 100), (400, 200)], (0, 16, 64, 48)),
        ([(100, 400), (400, 200)], (0, 0, 64, 64)),
        ([(100, 400), (100, 200)], (16, 0, 48, 64)),
    ],
)
def test_places_that_any_training_image_shows_count(shapes: list[tuple[int, int]], shown: tuple[int, ...]) -> None:
    trained = Reading(fit="pad").learnt([Facts(*shape) for shape in shapes])
    assert trained.shown(64) == shown
    assert replace(trained, fit="crop").shown(64) == (0, 0, 64, 64)


def test_data_are_fitted_as_asked_and_say_so(tmp_path: Path, picture: Callable[..., Path]) -> None:
    for i in range(12):
        picture(tmp_path / "train" / "good" / f"{i}.png", (40, 160))
    sizes = {}
    for fit, said in (
        ("stretch", "the aspect ratio is not kept"),
        ("pad", "up to 75% of a square are filled"),
        ("crop", "up to 75% of an image are cut away"),
    ):
        splits = load_data(DataConfig(str(tmp_path), fit=fit))
        assert said in splits.describe()
        sizes[fit] = splits.train.size
        source = splits.train._sources[0].image
        wanted = decode(source, channels=1, size=sizes[fit], reading=Reading(fit=fit))
        assert (splits.train[0]["image"].numpy() == wanted).all()
    assert sizes["crop"] < sizes["stretch"] < sizes["pad"], "all pixels of an image are seen"


def test_another_way_is_refused_with_those_that_there_are() -> None:
    for make in (lambda: DataConfig(fit="squeeze"), lambda: Reading(fit="squeeze")):
        with pytest.raises(UserError, match=r"fit must be stretch, pad, crop or tile; got 'squeeze'"):
            make()
