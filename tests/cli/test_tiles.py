"""Large frames through every verb, tile by tile: one row, one score and one map for each frame."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.commands import ok, run

from unblot.data import load_paths
from unblot.data.tiling import FrameMap
from unblot.deploy.in_run import graph_of
from unblot.deploy.runtime import load_onnx
from unblot.evaluation import score_set
from unblot.training import load_run

FRAME = (100, 150)  # height and width: two by three tiles of 64 pixels
TILED = ["--fit", "tile", "--tile", "64", "--device", "cpu", "--model", "memory", "--set", "backbone=filters"]
SMALL = ["--set", "strides=[4,8]", "--set", "coreset_size=100"]
SPOT = (slice(80, 90), slice(110, 120))


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames that are dark on the left and brighter on the right; abnormal ones with a bright spot and its mask."""
    root = tmp_path_factory.mktemp("parts")
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 80, FRAME[1])[None]
    for folder, count in (("fine", 24), ("bad", 3)):
        (root / folder).mkdir()
        for i in range(count):
            pixels = (ramp + rng.integers(0, 40, FRAME)).astype(np.uint8)
            if folder == "bad":
                pixels[SPOT] = 255
                mask = np.zeros(FRAME, np.uint8)
                mask[SPOT] = 255
                (root / "masks").mkdir(exist_ok=True)
                Image.fromarray(mask).save(root / "masks" / f"{i}.png")
            Image.fromarray(pixels).save(root / folder / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def trained(parts: Path) -> Path:
    folder = parts / "run"
    words = ["--normal", "fine", "--abnormal", "bad", "--masks", "masks", "--out", folder]
    said = ok("train", parts, *words, *TILED, *SMALL)
    assert "each cut into 6 tiles of 64 px" in said.output
    return folder


def test_a_run_knows_frames_and_what_their_tiles_show(trained: Path) -> None:
    found = load_run(trained)
    assert (found.data.fit, found.data.tile, found.data.overlap, found.data.size) == ("tile", 64, 0.25, 64)
    assert found.reading.tiling is not None
    assert found.images is not None
    train, held_out = len(found.images.train), len(found.images.held_out)
    assert train + held_out == 19, "digests are of frames"
    assert found.calibration.n == train + held_out, "one score for each frame, as if its own tiles were not remembered"
    assert found.calibration.left_out == train
    assert found.calibration.tiles is not None
    assert found.calibration.tiles.shape == (2, 3)
    means = np.reshape(found.calibration.tiles.mean[:-1], (2, 3))
    assert np.isfinite(means).all()


def test_predict_gives_a_row_and_a_map_for_each_frame_whatever_the_batch(
    trained: Path, parts: Path, tmp_path: Path
) -> None:
    table = ok("predict", trained, parts / "bad", parts / "fine" / "3.png", "--maps", tmp_path / "maps").stdout
    rows = list(csv.DictReader(table.splitlines()))
    assert [Path(row["path"]).name for row in rows] == ["0.png", "1.png", "2.png", "3.png"]
    assert [row["predicted"] for row in rows[:3]] == ["1", "1", "1"]
    again = list(csv.DictReader(ok("predict", trained, parts / "bad", "--batch-size", "4").stdout.splitlines()))
    for row, other in zip(rows, again, strict=False):
        assert float(other["score"]) == pytest.approx(float(row["score"]), rel=1e-4)
    with Image.open(tmp_path / "maps" / "0.png") as picture:
        colours = np.asarray(picture.convert("RGB")).sum(2)
    assert colours.shape == (25, 38)
    spot = colours[20:23, 27:30]
    assert spot.min() > np.quantile(colours, 0.8), "the map is hot where the spot is"
    assert colours[:10, :18].mean() < spot.min() / 2, "and cold where nothing is"


def test_one_broken_frame_costs_its_own_score_and_no_other(trained: Path, parts: Path, tmp_path: Path) -> None:
    for name in ("0.png", "1.png"):
        (tmp_path / name).write_bytes((parts / "bad" / name).read_bytes())
    (tmp_path / "0.png").write_bytes(b"no image")
    result = run("predict", trained, tmp_path)
    assert result.exit_code == 1
    rows = list(csv.DictReader(result.stdout.splitlines()))
    assert [bool(row["score"]) for row in rows] == [False, True]


def test_eval_judges_frames_and_shows_them_in_their_shape(trained: Path) -> None:
    ok("eval", trained)
    metrics = json.loads((trained / "eval" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["counts"]["test_abnormal"] == 3
    assert metrics["auroc"] == 1.0
    assert metrics["pixel"]["auroc"] > 0.9
    page = (trained / "eval" / "report.html").read_text(encoding="utf-8")
    pictures = re.findall(r'<img src="data:[^,]*,([^"]*)"', page)
    with Image.open(io.BytesIO(base64.b64decode(pictures[0]))) as picture:
        assert picture.width / picture.height == pytest.approx(FRAME[1] / FRAME[0], rel=0.05)
    assert "in tiles of 64 × 64 pixels" in page


def test_all_doors_give_one_score(trained: Path, parts: Path) -> None:
    found = load_run(trained)
    images = load_paths([parts / "bad"], channels=1, size=64, reading=found.reading)
    scored = score_set(found.detector, images, progress=False, tiles=found.calibration.tiles)
    table = csv.DictReader(ok("predict", trained, parts / "bad").stdout.splitlines())
    assert [float(row["score"]) for row in table] == pytest.approx(scored.image.tolist(), rel=1e-4)
    assert scored.maps.shape == (3, 25, 38)
    ok("eval", trained)
    judged = csv.DictReader((trained / "eval" / "scores.csv").read_text(encoding="utf-8").splitlines())
    by_name = {row["name"]: float(row["score"]) for row in judged}
    assert [by_name[f"bad/{i}.png"] for i in range(3)] == pytest.approx(scored.image.tolist(), rel=1e-4)


def test_the_exported_graph_scores_tiles_that_the_host_cuts(parts: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    folder = tmp_path / "run"
    small = ["--model", "dae", "--set", "width=4", "--fit", "tile", "--tile", "64", "--size", "32", "--epochs", "1"]
    ok("train", parts, "--normal", "fine", "--abnormal", "bad", "--out", folder, "--device", "cpu", *small)
    before = list(csv.DictReader(ok("predict", folder, parts / "bad").stdout.splitlines()))
    said = ok("export", folder).output
    assert "24 images" in said, "the tiles of four frames"
    assert "4 camera-sized frames" in said
    detector = load_onnx(folder / "model.onnx", device="cpu")
    assert detector.reading.tiling == load_run(folder).reading.tiling
    assert detector.metadata["input"]["fit"] == "tile"
    names, scores = detector.score_paths([parts / "bad"], progress=False)
    assert len(names) == 3
    assert scores.maps.shape == (3, 25, 38)
    assert scores.image.tolist() == pytest.approx([float(row["score"]) for row in before], rel=1e-3)
    # What a host of its own does (docs/deploy.md).
    tiling, places = detector.reading.tiling, detector.calibration.tiles
    assert tiling is not None
    assert places is not None
    frame = np.asarray(Image.open(parts / "bad" / "0.png"))[..., None]
    grid = tiling.grid(FRAME[1], FRAME[0])
    each, maps = detector.score_planes(np.stack([tiling.cut(frame, box, detector.size) for box in grid.boxes]))
    assert places.worst(each, grid.shape) == pytest.approx(scores.image[0], rel=1e-4)
    whole = FrameMap(FRAME[1], FRAME[0], tiling.tile)
    for box, tile_map in zip(grid.boxes, maps, strict=True):
        whole.add(box, tile_map)
    assert whole.values() == pytest.approx(scores.maps[0], rel=1e-3, abs=1e-5)
    assert graph_of(folder, device="cpu") is not None
    by_graph = ok("predict", folder, parts / "bad")
    assert "scored by" in by_graph.stderr
    rows = list(csv.DictReader(by_graph.stdout.splitlines()))
    assert [row["predicted"] for row in rows] == [row["predicted"] for row in before]


def test_frames_of_another_size_are_scored_and_said(trained: Path, tmp_path: Path) -> None:
    for i, shape in enumerate([(40, 40), (100, 200)]):
        Image.fromarray(np.full(shape, 60, np.uint8)).save(tmp_path / f"{i}.png")
    result = ok("predict", trained, tmp_path)
    assert len(result.stdout.splitlines()) == 3
    assert "their tiles do not lie where those of the training images lay" in " ".join(result.stderr.split())


def test_a_preview_shows_tiles(parts: Path, tmp_path: Path) -> None:
    ok("preview", parts, "--normal", "fine", "--fit", "tile", "--tile", "64", "--out", tmp_path / "p.png")
    assert (tmp_path / "p.png").is_file()
