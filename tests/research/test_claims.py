"""The patent's claims: their switches, pictures, trainings and page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from research.claims.__main__ import DOCS, HERE, main
from research.claims.claims import CLAIMS, CORRUPTIONS, PAIRS, Pair
from research.claims.measure import compared, difference_table, level_table, read
from research.claims.page import page
from research.claims.pictures import LARGEST, draw, write_pictures

from unblot import BoxNoise


def test_every_claim_is_there_and_says_whether_it_has_a_switch() -> None:
    assert [claim.number for claim in CLAIMS] == list(range(1, 21))
    for claim in CLAIMS:
        assert (claim.switch is not None) == (claim.state == "yes"), claim.number
        assert claim.repeats is None or claim.repeats < claim.number
        assert not claim.pairs or claim.rows, f"claim {claim.number} is trained, so it is shown"


def test_what_is_compared_exists_and_differs() -> None:
    assert {name for pair in PAIRS for name in (pair.on, pair.off)} == set(CORRUPTIONS)
    assert all(CORRUPTIONS[pair.on] != CORRUPTIONS[pair.off] for pair in PAIRS)


def test_the_default_is_what_the_claims_switch_on() -> None:
    spec = BoxNoise()
    assert spec.scale == (0.10, 0.20)  # claims 2 and 19
    assert isinstance(spec.num_boxes, tuple) and isinstance(spec.ratio, tuple)  # claims 3 and 4
    assert (spec.ratio_per, spec.base) == ("box", "gray")  # claims 13 and 16


def test_pictures_are_small_and_the_same_every_time(tmp_path: Path) -> None:
    first, again = write_pictures(tmp_path / "a"), write_pictures(tmp_path / "b")
    shown = {claim.number for claim in CLAIMS if claim.rows or claim.number == 10}
    assert {int(path.stem) for path in first} == shown
    for one, other in zip(first, again, strict=True):
        assert one.read_bytes() == other.read_bytes()
        assert one.stat().st_size <= LARGEST
    assert {path.name for path in first} == {path.name for path in (DOCS / "claims").glob("*.png")}


def test_a_picture_shows_that_with_and_without_differ() -> None:
    digits = np.full((2, 32, 32), 60, np.uint8)
    claim = next(claim for claim in CLAIMS if claim.number == 6)
    sheet = draw(claim, digits, digits)
    assert isinstance(sheet, Image.Image)
    upper, lower = np.split(np.asarray(sheet)[3:-3], 2)
    assert (upper != lower).mean() > 0.005


def test_a_difference_is_taken_seed_by_seed() -> None:
    ran = [
        {"corruption": name, "seed": seed, "auroc": auroc}
        for name, values in {"box": {0: 0.8, 1: 0.9, 7: 0.1}, "none": {0: 0.7, 1: 0.75}}.items()
        for seed, auroc in values.items()
    ]
    of = compared(Pair(1, "box", "none"), ran)
    assert of is not None and of["pairs"] == 2
    assert of["mean"] == pytest.approx(0.125) and of["on"] == pytest.approx(0.85)
    assert compared(Pair(1, "box", "none"), ran[:1]) is None


def test_a_stopped_measurement_goes_on_and_other_settings_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["measure", "--out", str(tmp_path), "--only", "13", "--limit", "32", "--size", "8", "--width", "2"]
    asked += ["--epochs", "1"]
    assert main([*asked, "--seeds", "0"]) == 0
    first = tmp_path / "box-seed0.json"
    stored = json.loads(first.read_text(encoding="utf-8"))
    assert stored["images"]["training"] == 32 and 0 <= stored["auroc"] <= 1
    times = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")}
    assert set(times) == {"box-seed0.json", "one-ratio-per-image-seed0.json"}
    assert main([*asked, "--seeds", "0,1"]) == 0
    assert all((tmp_path / name).stat().st_mtime_ns == time for name, time in times.items())
    assert "| 13 | `box` | `one-ratio-per-image` |" in (tmp_path / "table.md").read_text(encoding="utf-8")
    assert main([*asked, "--seeds", "0", "--batch-size", "8"]) == 2
    assert "other settings" in capsys.readouterr().err


def test_a_claim_that_compares_nothing_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["measure", "--out", str(tmp_path), "--only", "8"]) == 2
    assert "claim 8" in capsys.readouterr().err


def test_tables_say_what_has_not_been_run() -> None:
    assert "Not run: claims 1" in difference_table([])
    assert level_table([]) == "Nothing has been run."


def test_the_stored_trainings_are_of_the_corruptions_of_today() -> None:
    """A corruption that changes asks for new trainings."""
    for each in read(HERE / "results"):
        spec = CORRUPTIONS[each["corruption"]]
        assert json.loads(json.dumps(None if spec is None else spec.to_dict())) == each["spec"]


def test_the_page_holds_what_the_command_puts_there() -> None:
    """Else: python -m research.claims page."""
    text = (DOCS / "claims.md").read_text(encoding="utf-8")
    assert page(text, read(HERE / "results")) == text
    assert all(f"claims/{path.name}" in text for path in (DOCS / "claims").glob("*.png"))
