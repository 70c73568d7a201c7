"""Tables: mean and spread over seeds, what is missing stays missing, what is not reachable says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from unblot.comparison import Outcome, Training, summarise, write_tables
from unblot.comparison.table import spread
from unblot.data import DataConfig
from unblot.evaluation import CLEAN, NOT_REACHABLE, PUBLISHED
from unblot.training import TrainConfig

DATA, CONFIG = DataConfig("cifar10", root="x"), TrainConfig("nested", model_options={"width": 0.5})


def made(
    left_out: str, seed: int, auroc: dict[str, float | None], error: str | None = None, corruption: str = "none"
) -> Outcome:
    cells: dict[str, dict[str, Any]] = {}
    for protocol in (CLEAN, PUBLISHED):
        if protocol.name in auroc:
            cells[protocol.name] = {
                **{"left_out": left_out, "model": "nested", "corruption": corruption, "seed": seed},
                **{"protocol": protocol.to_dict(), "reachable_in_use": protocol.reachable},
                **{"auroc": auroc[protocol.name], "auprc": 0.5, "f1": 0.4, "precision": None, "recall": 0.2},
                **{"f1_minmax_0.2": 0.6, "precision_minmax_0.2": 0.7, "recall_minmax_0.2": 0.8},
                **{"pixel": None, "parameters": 1234567, "warnings": []},
                **{"training_images_per_second": 100.0, "scoring_images_per_second": 200.0 + seed},
            }
    return Outcome(Training(f"{left_out}-{seed}", left_out, corruption, DATA, CONFIG), cells, error)


def test_spread_is_mean_and_sample_deviation() -> None:
    assert spread([0.4, 0.8]) == {"mean": pytest.approx(0.6), "std": pytest.approx(0.08**0.5), "n": 2}
    assert spread([0.4]) == {"mean": 0.4, "std": None, "n": 1}
    assert spread([]) is None
    assert spread([0.4, None]) is None


def test_the_average_is_taken_seed_by_seed() -> None:
    values = {("bird", 0): 0.2, ("bird", 1): 0.4, ("ship", 0): 0.8, ("ship", 1): 0.6}
    outcomes = [made(name, seed, {"clean": value}) for (name, seed), value in values.items()]
    row = summarise(outcomes, DATA, CONFIG).summary["rows"][0]["figures"]["auroc"]
    assert row["bird"]["mean"] == pytest.approx(0.3)
    assert row["average"] == {"mean": pytest.approx(0.5), "std": pytest.approx(0.0), "n": 2}


def test_missing_figures_make_no_average_and_errors_are_shown() -> None:
    outcomes = [made("bird", 0, {"clean": 0.4}), made("ship", 0, {}, error="RuntimeError: out of memory")]
    tables = summarise(outcomes, DATA, CONFIG)
    assert tables.tables[0].rows[0] == ["nested", "none", "clean", "0.400", "–", "–"]
    assert tables.errors == ["ship-0: RuntimeError: out of memory"]


def test_pixel_figures_stand_where_there_are_masks() -> None:
    outcomes = [made("bird", seed, {"clean": 0.4}) for seed in (0, 1)]
    pixel: list[dict[str, float]] = [{"auroc": 0.9, "auprc": value, "pro_0.3": 0.5} for value in (0.2, 0.4)]
    outcomes = [
        replace(o, cells={"clean": {**o.cells["clean"], "pixel": p}}) for o, p in zip(outcomes, pixel, strict=True)
    ]
    (table,) = (t for t in summarise(outcomes, DATA, CONFIG).tables if t.caption == "Pixels")
    assert table.header[3:] == ["AUROC", "AUPRC", "PRO"]
    assert table.rows[0][3:] == ["0.900 ± 0.000", "0.300 ± 0.141", "0.500 ± 0.000"]
    del pixel[1]["auprc"]  # of a grid begun with an earlier version
    (table,) = (t for t in summarise(outcomes, DATA, CONFIG).tables if t.caption == "Pixels")
    assert table.rows[0][3:] == ["0.900 ± 0.000", "–", "0.500 ± 0.000"]


def test_what_is_not_reachable_says_so_everywhere(tmp_path: Path) -> None:
    outcomes = [made("bird", 0, {"clean": 0.4, "published": 0.9}), made("ship", 0, {"clean": 0.5, "published": 0.8})]
    comparison = summarise(outcomes, DATA, CONFIG)
    for table in comparison.tables[:2]:
        for number, row in enumerate(table.rows):
            assert (number in table.unreachable) == ("published" in row[2])
            if row[1] == "none" and row[2] != "clean":
                assert NOT_REACHABLE in row[2]
    write_tables(comparison, tmp_path)
    text = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert f"| nested | none | published ({NOT_REACHABLE}) | 0.900 | 0.800 | 0.850 |" in text
    page = (tmp_path / "table.html").read_text(encoding="utf-8")
    assert "0.850" in page
    assert 'class="warned"' in page
    assert "http" not in page
    stored = json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))
    assert [row["reachable"] for row in stored["rows"]] == [True, False]
    assert len(stored["cells"]) == 4
    assert "nested with width=0.5." in text
    assert stored["settings"]["options"] == {"nested": {"width": 0.5}}
    assert "seed" not in stored["settings"]["training"]  # each training has its own


def test_corruptions_are_compared_pair_by_pair() -> None:
    values = {
        "none": {("bird", 0): 0.5, ("ship", 0): 0.6, ("bird", 1): 0.9, ("ship", 1): 0.2, ("bird", 2): 0.1},
        "box": {("bird", 0): 0.7, ("ship", 0): 0.7, ("bird", 1): 1.0, ("ship", 1): 0.1, ("ship", 2): 0.9},
    }
    outcomes = [
        made(left_out, seed, {"clean": value, "published": 0.9}, corruption=corruption)
        for corruption, by_key in values.items()
        for (left_out, seed), value in by_key.items()
    ]
    comparison = summarise(outcomes, DATA, CONFIG)
    clean, published = comparison.summary["differences"]
    assert (clean["corruption"], clean["less"], clean["pairs"]) == ("box", "none", 4)  # seed 2 has no pair
    assert clean["auroc"] == {"mean": pytest.approx(0.075), "std": pytest.approx(0.15 / 2**0.5), "n": 2}
    assert (clean["least"], clean["most"]) == (pytest.approx(-0.1), pytest.approx(0.2))
    assert published["auroc"]["mean"] == 0
    (table,) = [t for t in comparison.tables if t.caption == "What a corruption brings"]
    assert table.rows[0] == ["nested", "box - none", "clean", "+0.075 ± 0.106", "-0.100 to +0.200 (4)"]
    assert NOT_REACHABLE in table.rows[1][2] and table.unreachable == {1}


def test_what_the_classes_alone_say_stands_beside_them() -> None:
    outcomes = [made("bird", seed, {"clean": 0.4, "published": 0.9}) for seed in (0, 1)] + [
        made("ship", 0, {"clean": 0.5})
    ]
    assert "How far apart the left-out class lies" not in [t.caption for t in summarise(outcomes, DATA, CONFIG).tables]
    for outcome, leakage in zip(outcomes, (0.7, 0.8, 0.1), strict=True):
        for cell in outcome.cells.values():
            assert isinstance(cell, dict)
            cell["neighbourhood"] = {"left_out": leakage, "normal": 0.5, "chance": 0.9, "distance_auroc": 0.3}
    tables = {table.caption: table for table in summarise(outcomes, DATA, CONFIG).tables}
    table = tables["How far apart the left-out class lies"]
    assert table.header == ["figure", "bird", "ship"]
    assert table.rows[0] == ["leakage of the left-out class", "0.750 ± 0.071", "0.100"]  # a split counts once
    assert table.rows[3][0].startswith("AUROC of the distance") and table.rows[3][2] == "0.300"
