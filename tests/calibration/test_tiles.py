"""A frame's score is that of its worst tile, by what normal frames show at the tile's place."""

from __future__ import annotations

import json

import numpy as np
import pytest

from unblot.calibration import Calibration
from unblot.calibration.tiles import TilePlaces, worst_left_out

SHAPE = (2, 3)


def normal(count: int, seed: int = 0) -> list[np.ndarray]:
    """Frames whose fourth place is restless and high, the others quiet and low."""
    rng = np.random.default_rng(seed)
    usual = np.array([1.0, 1.0, 1.0, 9.0, 1.0, 1.0])
    return [usual + np.array([0.1, 0.1, 0.1, 1.0, 0.1, 0.1]) * rng.normal(size=6) for _ in range(count)]


def test_a_quiet_place_that_stands_out_is_worse_than_a_restless_one() -> None:
    places = TilePlaces.of(normal(60), SHAPE)
    quiet, restless = normal(2, seed=1)
    quiet[0], restless[3] = 3.0, 10.5
    usual = [places.worst(frame, SHAPE) for frame in normal(40, seed=2)]
    assert places.worst(quiet, SHAPE) > max(usual)
    assert places.worst(quiet, SHAPE) > places.worst(restless, SHAPE)
    everywhere = TilePlaces.of(normal(60), None)
    assert everywhere.worst(quiet, SHAPE) < everywhere.worst(restless, SHAPE), "without places the highest is worst"
    assert places.worst(quiet[:2], (1, 2)) == pytest.approx(everywhere.worst(quiet[:2], (1, 2)))


def test_few_frames_move_places_little() -> None:
    few, many = (TilePlaces.of(normal(count), SHAPE) for count in (1, 200))
    spread = [np.ptp(places.mean[:-1]) for places in (few, many)]
    assert spread[0] < 0.2 * spread[1]
    alike = TilePlaces.of([np.ones(6)] * 3, SHAPE)
    assert min(alike.reach) > 0


def test_a_frame_does_not_soften_its_own_score() -> None:
    frames = normal(30)
    frames[7][0] = 8.0
    groups = list(range(30))
    own = TilePlaces.of(frames, SHAPE).worst(frames[7], SHAPE)
    left_out = worst_left_out(frames, SHAPE, groups)
    assert left_out[7] > 1.5 * own
    # Nor does another frame of its group.
    frames[8][0] = 8.0
    both = worst_left_out(frames, SHAPE, [7 if g == 8 else g for g in groups])
    assert both[7] > worst_left_out(frames, SHAPE, groups)[7]
    assert worst_left_out(frames, SHAPE, [0] * 30) == pytest.approx(worst_left_out(frames, SHAPE, groups))
    assert len(worst_left_out(frames[:1], None, [0])) == 1


def test_places_survive_json_within_a_calibration_and_odd_ones_are_refused() -> None:
    places = TilePlaces.of(normal(5), SHAPE)
    found = Calibration(1.0, 0.95, 20, tiles=places)
    stored = json.loads(json.dumps(found.to_dict()))
    assert Calibration.from_dict(stored) == found
    for change in ({"shape": [2, 2]}, {"reach": [0.0] * 7}, {"mean": [float("nan")] * 7}):
        with pytest.raises(ValueError, match="finite means and as many positive reaches"):
            Calibration.from_dict({**stored, "tiles": {**stored["tiles"], **change}})
