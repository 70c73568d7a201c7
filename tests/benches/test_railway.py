"""The railway's frames have the defects that they say, and what the bench has measured it does not measure again."""

import sys
from pathlib import Path

import numpy as np
import pytest
from benches.railway import DEFECTS, PATENT, frame, write_frames

from benches import railway
from unblot import corrupt
from unblot.data import DataConfig, load_data


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_lies_where_its_mask_says(defect: str) -> None:
    normal, nothing = frame(3, 640, 512)
    pixels, mask = frame(3, 640, 512, defect=defect)
    assert not nothing.any()
    assert 50 < mask.sum() < 5000
    apart = np.abs(pixels.astype(int) - normal)
    assert apart[mask].mean() > 20
    if defect != "missing":  # of which the bolts after it are turned otherwise
        assert apart[~mask].mean() < 12


def test_the_corruption_is_the_patents() -> None:
    pixels = np.full((1, 1, 512, 512), 200, np.uint8)
    found = corrupt(pixels, PATENT, seed=0, layout="NCHW")
    (box,) = found.boxes[0]
    assert box.height == box.width
    assert box.height * box.width == pytest.approx(0.1 * 512**2, rel=0.01)


def test_frames_are_laid_out_and_left_when_they_are_there(tmp_path: Path) -> None:
    write_frames(tmp_path, 4, 6, 512)
    first = tmp_path / "train" / "good" / "0000.png"
    before = first.stat().st_mtime_ns
    write_frames(tmp_path, 4, 6, 512)
    assert first.stat().st_mtime_ns == before
    splits = load_data(DataConfig(str(tmp_path), held_out=0.25, size=64))
    assert (len(splits.train), len(splits.held_out), len(splits.test)) == (3, 1, 6)
    assert splits.test.masked == 3


@pytest.mark.slow
def test_the_table_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["railway", "--out", str(tmp_path), "--train", "6", "--test", "4", "--side", "512", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", words)
    railway.main()
    table = capsys.readouterr().out
    assert table.count("| tiles of 512 px |") == table.count("| whole, 512 px |") == 1
    monkeypatch.setattr(railway, "measured", lambda *_: pytest.fail("measured again"))
    railway.main()
    assert capsys.readouterr().out == table
