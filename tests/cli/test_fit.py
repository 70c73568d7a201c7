"""Long images through every verb: squeezed, padded, cropped; maps lie over the images again."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.commands import ok, run

from unblot.report.heat import heat
from unblot.training import load_run

TINY = ["--model", "dae", "--set", "width=4", "--size", "16", "--epochs", "1", "--batch-size", "8", "--device", "cpu"]
WIDE = (20, 60)  # height and width


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long images, abnormal ones with a bright spot near their right end and its mask."""
    root = tmp_path_factory.mktemp("parts")
    rng = np.random.default_rng(0)
    for folder, count in (("fine", 24), ("bad", 3)):
        (root / folder).mkdir()
        for i in range(count):
            pixels = rng.integers(0, 100, WIDE, np.uint8)
            if folder == "bad":
                pixels[4:12, 46:56] = 255
                mask = np.zeros(WIDE, np.uint8)
                mask[4:12, 46:56] = 255
                (root / "masks").mkdir(exist_ok=True)
                Image.fromarray(mask).save(root / "masks" / f"{i}.png")
            Image.fromarray(pixels).save(root / folder / f"{i}.png")
    return root


def trained(parts: Path, fit: str, out: Path) -> Path:
    ok("train", parts, "--normal", "fine", "--abnormal", "bad", "--masks", "masks", "--fit", fit, "--out", out, *TINY)
    return out


@pytest.mark.parametrize(("fit", "shape"), [("stretch", (16, 16)), ("pad", (5, 16)), ("crop", (16, 48))])
def test_a_run_keeps_how_images_are_fitted_and_its_maps_lie_over_them(
    fit: str, shape: tuple[int, int], parts: Path, tmp_path: Path
) -> None:
    folder = trained(parts, fit, tmp_path / "run")
    found = load_run(folder)
    assert (found.data.fit, found.reading.fit) == (fit, fit)
    assert "another shape" not in ok("predict", folder, parts / "bad", "--maps", tmp_path / "maps").stderr
    with Image.open(tmp_path / "maps" / "0.png") as picture:
        colours = np.asarray(picture.convert("RGB")).astype(int)
    assert colours.shape[:2] == shape
    blank = (np.ptp(colours, axis=2) == 0) & (colours[..., 0] == 96)
    assert blank.sum() == (16 * 32 if fit == "crop" else 0), "what is cut away has no score, and is gray"
    if fit != "crop":
        column = np.unravel_index(colours.sum(2).argmax(), shape)[1] / shape[1]
        assert 46 / 60 <= column <= 56 / 60
    ok("eval", folder)
    metrics = json.loads((folder / "eval" / "metrics.json").read_text(encoding="utf-8"))
    assert (metrics["pixel"] is None) == (fit == "crop")
    said = "the defects of 3 abnormal images lie in what --fit crop cuts away"
    assert any(said in text for text in metrics["warnings"]) == (fit == "crop")


def test_filled_margins_are_not_shown_in_a_report(parts: Path, tmp_path: Path) -> None:
    folder = trained(parts, "pad", tmp_path / "run")
    ok("eval", folder)
    page = (folder / "eval" / "report.html").read_text(encoding="utf-8")
    pictures = re.findall(r'<img src="data:[^,]*,([^"]*)"', page)
    shapes = {Image.open(io.BytesIO(base64.b64decode(data))).size for data in pictures[:3]}
    assert shapes == {(16, 5)}


def test_cut_away_margins_are_told_in_a_report(parts: Path, tmp_path: Path) -> None:
    folder = trained(parts, "crop", tmp_path / "run")
    ok("eval", folder)
    assert "what is cut away has no score" in (folder / "eval" / "report.html").read_text(encoding="utf-8")


def test_a_run_of_before_is_resumed_and_scores_as_stretched(parts: Path, tmp_path: Path) -> None:
    folder = trained(parts, "stretch", tmp_path / "run")
    before = ok("predict", folder, parts / "bad").stdout
    for name, part in (("config.json", "data"), ("images.json", "reading")):
        values = json.loads((folder / name).read_text(encoding="utf-8"))
        del values[part]["fit"]
        (folder / name).write_text(json.dumps(values), encoding="utf-8")
    assert ok("predict", folder, parts / "bad").stdout == before
    ok("train", "--resume", "--out", folder)
    refused = run("train", "--resume", "--out", folder, "--fit", "pad")
    assert refused.exit_code == 2
    assert "data.fit: the run has 'stretch', asked for was 'pad'" in refused.stderr


def test_other_verbs_take_it(parts: Path, tmp_path: Path) -> None:
    ok("preview", parts, "--normal", "fine", "--fit", "pad", "--out", tmp_path / "preview.png")
    grid = ["--models", "dae", "--set", "width=4", "--size", "16", "--epochs", "1", "--device", "cpu"]
    ok("compare", parts, "--normal", "fine", "--abnormal", "bad", "--fit", "crop", "--out", tmp_path / "grid", *grid)
    assert load_run(tmp_path / "grid" / "runs" / "dae-own-seed0").reading.fit == "crop"
    refused = run("train", parts, "--normal", "fine", "--fit", "squeeze", "--out", tmp_path / "none")
    assert "fit must be stretch, pad, crop or tile; got 'squeeze'" in refused.stderr


def test_places_without_a_score_are_gray() -> None:
    colours = heat(np.array([[np.nan, 0.0, 1.0]], np.float32), 0, 1)
    assert colours.tolist()[0][0] == [96, 96, 96]
    assert colours.tolist()[0][1:] == heat(np.array([[0.0, 1.0]], np.float32), 0, 1).tolist()[0]
