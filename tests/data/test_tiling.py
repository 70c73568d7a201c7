"""Frames are cut without a change of scale, every pixel is seen, and maps of tiles lie over the frame without seams."""

from __future__ import annotations

import pickle
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from unblot.data import DataConfig, ImageSet, Item, Reading, Source, load_data
from unblot.data.tileset import KEPT, TileSet
from unblot.data.tiling import CELL, FrameMap, Tiling, cells
from unblot.errors import UserError

SIDES = st.integers(1, 400)
TILES = st.sampled_from([32, 64, 100])
OVERLAPS = st.floats(0, 0.75)


@given(SIDES, SIDES, TILES, OVERLAPS)
def test_every_pixel_is_in_a_tile_and_neighbours_overlap_as_asked(
    width: int, height: int, tile: int, overlap: float
) -> None:
    grid = Tiling(tile, overlap).grid(width, height)
    seen = np.zeros((height, width), bool)
    for box in grid.boxes:
        assert (box.width, box.height) == (tile, tile)
        assert box.left % CELL == box.top % CELL == 0
        seen[box.rows, box.columns] = True
    assert seen.all()
    assert len(grid) == len(grid.boxes) == grid.shape[0] * grid.shape[1]
    for starts, length in ((grid.columns, width), (grid.rows, height)):
        assert all(b - a <= tile * (1 - overlap) + CELL for a, b in pairwise(starts))
        assert starts[-1] + tile - length < CELL or len(starts) == 1, "no tile hangs over the end"


def test_the_patents_frames_are_cut_into_five_by_five() -> None:
    grid = Tiling().grid(2048, 2048)
    assert grid.columns == grid.rows == (0, 384, 768, 1152, 1536)


def test_tiles_are_the_frames_own_pixels_and_mirror_a_small_frame_at_its_end() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (70, 130, 3), np.uint8)
    tiling = Tiling(64, 0.25)
    for box in tiling.grid(130, 70).boxes:
        tile = tiling.cut(frame, box, 64)
        part = frame[box.rows, box.columns].transpose(2, 0, 1)
        assert (tile[:, : part.shape[1], : part.shape[2]] == part).all()
    small = tiling.cut(frame[:40], tiling.grid(130, 40).boxes[0], 64)
    assert (small[:, 40:] == small[:, 16:40][:, ::-1]).all()
    half = tiling.cut(frame, tiling.grid(130, 70).boxes[0], 32)
    wanted = Image.fromarray(frame[:64, :64]).resize((32, 32), Image.Resampling.BILINEAR)
    assert (half == np.asarray(wanted).transpose(2, 0, 1)).all()


@settings(deadline=None, max_examples=30)
@given(SIDES, SIDES, TILES, OVERLAPS)
def test_blended_maps_have_no_seams(width: int, height: int, tile: int, overlap: float) -> None:
    """A map that is a function of the place alone comes back as it is."""
    rows, columns = np.mgrid[: 800 // CELL, : 800 // CELL].astype(np.float32)
    whole = 3 * rows + columns
    found = FrameMap(width, height, tile)
    for box in Tiling(tile, overlap).grid(width, height).boxes:
        top, left = box.top // CELL, box.left // CELL
        part = whole[top : top + tile // CELL, left : left + tile // CELL]
        found.add(box, part.repeat(CELL, 0).repeat(CELL, 1))
    shape = found.values().shape
    assert shape == (-(-height // CELL), -(-width // CELL))
    np.testing.assert_allclose(found.values(), whole[: shape[0], : shape[1]], rtol=1e-5)


def test_a_jump_between_tiles_becomes_a_slope() -> None:
    found = FrameMap(112, 64, 64)
    for value, box in enumerate(Tiling(64, 0.25).grid(112, 64).boxes):
        found.add(box, np.full((64, 64), value, np.float32))
    row = found.values()[0]
    assert (row[0], row[-1]) == (0, 1)
    assert np.diff(row).max() < 0.4
    assert (np.diff(row) >= 0).all()


@given(SIDES, SIDES)
def test_any_marked_pixel_marks_its_cell(width: int, height: int) -> None:
    mask = np.zeros((height, width), np.bool_)
    mask[height // 2, width - 1] = True
    found = cells(mask)
    assert found.sum() == 1
    assert found[height // 2 // CELL, (width - 1) // CELL]


@pytest.mark.parametrize("values", [{"tile": 30}, {"tile": 16}, {"tile": 66}, {"overlap": 0.8}, {"overlap": -0.1}])
def test_numbers_that_cannot_be_are_refused(values: dict[str, Any]) -> None:
    for make in (Tiling, lambda **v: DataConfig(fit="tile", **v), lambda **v: Reading(**TILED | v)):
        with pytest.raises(UserError, match=r"tile must be a multiple of 4 pixels|overlap is a share"):
            make(**values)


TILED: dict[str, Any] = {"fit": "tile", "tile": 32, "overlap": 0.25}


def test_settings_of_tiles_are_filled_in_and_belong_to_tiles() -> None:
    config = DataConfig(fit="tile")
    assert (config.tile, config.overlap, config.size) == (512, 0.25, 512)
    assert DataConfig(fit="tile", tile=256, size=128).size == 128
    assert DataConfig.from_dict(config.to_dict()) == config
    with pytest.raises(UserError, match="belong to fit 'tile', but fit is 'stretch'"):
        DataConfig(tile=64)
    with pytest.raises(UserError, match="needs a tile and an overlap"):
        Reading(fit="tile")
    reading = Reading(**TILED)
    assert Reading.from_dict(reading.to_dict()) == reading


def frames(shapes: list[tuple[int, int]], folder: Path) -> ImageSet:
    """Gray frames of (height, width) in files, two of each group; the last is abnormal and has a mask."""
    rng = np.random.default_rng(0)
    sources = []
    for i, shape in enumerate(shapes):
        path = folder / f"{i}.png"
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(path)
        last = i == len(shapes) - 1
        mask = folder / "mask.png" if last else None
        if mask:
            marked = np.zeros(shape, np.uint8)
            marked[-1, 0] = 255
            Image.fromarray(marked).save(mask)
        sources.append(Source(Item(f"{i}.png", int(last), "good", f"part {i // 2}"), path, mask))
    return ImageSet(sources, channels=1, size=32, reading=Reading(**TILED))


def test_a_set_of_frames_gives_its_tiles_with_the_groups_of_their_frames(tmp_path: Path) -> None:
    images = frames([(32, 56), (56, 40), (20, 32)], tmp_path)
    tiles = images.inputs
    assert isinstance(tiles, TileSet)
    assert tiles is images.inputs
    assert (len(images), len(tiles)) == (3, 2 + 4 + 1)
    assert tiles.frame.tolist() == [0, 0, 1, 1, 1, 1, 2]
    assert tiles.place.tolist() == [0, 1, 0, 1, 2, 3, 0]
    assert tiles.groups.tolist() == [0, 0, 0, 0, 0, 0, 1]
    whole = images.whole(1)
    sample = tiles[5]
    assert sample["index"] == 5
    assert torch.equal(sample["image"][0], torch.from_numpy(whole[24:56, 8:40, 0]))
    again = pickle.loads(pickle.dumps(tiles))
    assert torch.equal(again[5]["image"], sample["image"])
    assert len(images.first(1).inputs) == 2
    with pytest.raises(IndexError):
        tiles[7]


def test_masks_have_the_shape_of_maps(tmp_path: Path) -> None:
    images = frames([(32, 56), (56, 40), (20, 32)], tmp_path)
    normal, marked = images.mask(0), images.mask(2)
    assert normal is not None
    assert normal.shape == (8, 14)
    assert marked is not None
    assert np.argwhere(marked).tolist() == [[4, 0]]


def test_few_whole_frames_are_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = frames([(64, 64)] * 6, tmp_path)
    tiles, read = images.inputs, list[int]()
    whole = images.whole

    def reads(index: int) -> NDArray[np.uint8]:
        read.append(index)
        return whole(index)

    monkeypatch.setattr(images, "whole", reads)
    assert isinstance(tiles, TileSet)
    for i in range(len(tiles)):
        assert tiles[i]["image"].shape == (1, 32, 32)
    assert read == [0, 1, 2, 3, 4, 5], "each is read once where tiles are taken in order"
    assert len(tiles._whole) == KEPT


def test_counts_and_digests_are_those_of_frames(tmp_path: Path) -> None:
    (tmp_path / "train" / "good").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(12):
        Image.fromarray(rng.integers(0, 256, (64, 96), np.uint8)).save(tmp_path / "train" / "good" / f"{i}.png")
    splits = load_data(DataConfig(str(tmp_path), fit="tile", tile=32))
    assert len(splits.train) + len(splits.held_out) + len(splits.test) == 12
    assert len(splits.train.digests()) == len(splits.train)
    assert "each cut into 12 tiles of 32 px that overlap by 25% at least" in splits.describe()
