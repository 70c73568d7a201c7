"""Scores of tiles become scores of frames, those of training frames as far as all their tiles are known."""

from __future__ import annotations

import numpy as np
import torch

from unblot.data import ImageSet, Item, Reading, Source
from unblot.data.tileset import TileSet
from unblot.detectors import LeaveGroupOut
from unblot.training.whole_frames import of_frames

READING = Reading(fit="tile", tile=32, overlap=0.25)


def tiles(count: int, width: int = 56) -> TileSet:
    """Frames of two tiles each."""
    sources = [Source(Item(f"{i}", 0, "good", f"{i}"), np.zeros((32, width), np.uint8)) for i in range(count)]
    found = ImageSet(sources, channels=1, size=32, reading=READING).inputs
    assert isinstance(found, TileSet)
    return found


def test_frames_of_which_a_tile_is_not_known_are_left_out() -> None:
    held_out, train = tiles(3), tiles(5)
    index = torch.tensor([8, 0, 1, 9, 4])  # both tiles of frames 0 and 4, one of frame 2
    scores = LeaveGroupOut(torch.arange(6.0), torch.rand(5), index // 2, index)
    found, places = of_frames(scores, held_out, train)
    assert (len(found.held_out), len(found.training), len(found.groups)) == (3, 2, 2)
    assert places is not None
    assert places.shape == (1, 2)
    assert found.held_out.argmax() == 2


def test_training_scores_of_which_it_is_not_said_whose_they_are_are_not_taken() -> None:
    found, _ = of_frames(LeaveGroupOut(torch.rand(6), torch.rand(4), torch.zeros(4)), tiles(3), tiles(5))
    assert len(found.training) == 0


def test_frames_of_several_grids_have_no_places() -> None:
    _, places = of_frames(
        LeaveGroupOut(torch.rand(6), torch.rand(3), torch.zeros(3), torch.arange(3)), tiles(3), tiles(1, 80)
    )
    assert places is not None
    assert places.shape is None
    nothing, none = of_frames(LeaveGroupOut(torch.rand(0)), tiles(0), tiles(5))
    assert (len(nothing.held_out), none) == (0, None)
