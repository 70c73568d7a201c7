"""The bench of growth trains on as many images as it says, and measures each row."""

import sys
from pathlib import Path

import pytest

from benches import growth
from unblot.data import load_data


def test_so_many_images_are_trained_on(tmp_path: Path) -> None:
    splits = load_data(growth.write_images(tmp_path, 45, 64))
    assert (len(splits.train), len(splits.held_out), len(splits.test)) == (45, 5, growth.TEST)


@pytest.mark.slow
def test_each_row_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["growth", "--images", "9,18", "--model", "memory", "--threads", "1"])
    growth.main()
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][1:]
    assert [int(row[0]) for row in rows] == [9, 18]
    assert all(float(value) > 0 for row in rows for value in row[2:])
