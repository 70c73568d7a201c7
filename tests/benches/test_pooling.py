"""The table of ways to pool, made of a grid's finished trainings."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import torch
from benches.pooling import POOLS, figures, grid, lines
from typer.testing import CliRunner

from unblot.cli import app


def test_every_way_for_every_training(tmp_path: Path) -> None:
    out = tmp_path / "grid"
    told = "--classes 0 --models dae --corruptions none,box --seeds 0,1 --size 16 --epochs 1 --set width=4 --limit 60"
    words = ["compare", "digits", *told.split(), "--test-limit", "60", "--jobs", "1", "--quiet", "--out", str(out)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    table = grid(out)
    assert set(table) == {("dae", "none"), ("dae", "box")}
    assert all(set(seeds) == {0, 1} for seeds in table.values())
    run = out / "runs" / "0-dae-box-seed1"
    (kept,) = table["dae", "box"][1]
    assert kept == figures(run) == json.loads((run / "pooling.json").read_text())
    cell = json.loads((run / "clean" / "cell.json").read_text())
    assert abs(kept["its own"] - cell["auroc"]) < 1e-6
    header, _, *rows = lines(out)
    assert header.count("|") == len(POOLS) + 5
    assert [row.split("|")[2].strip() for row in rows] == ["box", "none"]
    assert all("±" in row and row.endswith(" 2 |") for row in rows)


def test_pools_lie_between_mean_and_maximum() -> None:
    maps = torch.rand(3, 1, 32, 32)
    found = {name: pool(maps) for name, pool in POOLS.items()}
    order = ["mean", "top 10 %", "top 2 %", "top 0.5 %", "max"]
    for low, high in itertools.pairwise(order):
        assert (found[low] < found[high]).all()
    assert (found["smoothed max"] < found["max"]).all()
