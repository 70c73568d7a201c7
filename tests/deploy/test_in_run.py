"""The graph in a run's directory scores a few images in the run's place, only while it is known to score as the run."""

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from unblot import cli
from unblot.deploy.in_run import FEW, GRAPH, graph_of, note
from unblot.deploy.parity import TOLERANCE, Gap, Parity
from unblot.training import load_run
from unblot.training.run_files import CALIBRATION, CHECKPOINT, CONFIG, PROVENANCE

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

TINY = ["--model", "dae", "--set", "width=4", "--size", "16", "--epochs", "1", "--batch-size", "8", "--device", "cpu"]
PREDICT = """
import sys
from unblot.__main__ import main

try:
    main()
except SystemExit as end:
    assert not end.code, end.code
heavy = {"torch", "torchvision", "timm", "openvino", "safetensors", "lightning_fabric", "filelock", "sklearn", "scipy"}
heavy |= {"matplotlib", "jinja2", "pandas", "onnx", "unblot.training.run", "unblot.detectors", "unblot.corruption"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""


def run(*words: object) -> Result:
    return CliRunner().invoke(cli.app, [str(word) for word in words])


def images(folder: Path, count: int, size: tuple[int, int] = (20, 22)) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(rng.integers(0, 120, size, np.uint8)).save(folder / f"part {i}.png")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run with its graph, beside its images."""
    root = tmp_path_factory.mktemp("exported")
    images(root / "fine", 24)
    images(root / "new", 3, (60, 22))
    for words in (["train", root, "--normal", "fine", "--out", root / "run", *TINY], ["export", root / "run"]):
        result = run(*words)
        assert result.exit_code == 0, result.output
    assert "scores up to 16 images with it, too" in result.output
    return root / "run"


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    """The run in another place, which changes nothing."""
    shutil.copytree(exported, tmp_path / "run")
    assert graph_of(tmp_path / "run") is not None
    return tmp_path / "run"


def test_a_few_images_are_scored_without_torch_as_with_it(exported: Path) -> None:
    """What is loaded decides how soon an image has its score."""
    seen = exported.parent / "fine" / "part 1.png"  # held out
    words = ["predict", str(exported), str(exported.parent / "new"), str(seen)]
    done = subprocess.run([sys.executable, "-c", PREDICT, *words], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    (exported / GRAPH).rename(exported / "away.onnx")
    try:
        by_torch = run(*words)
    finally:
        (exported / "away.onnx").rename(exported / GRAPH)
    found, wanted = (list(csv.DictReader(text.splitlines())) for text in (done.stdout, by_torch.stdout))
    assert [(row["path"], row["predicted"]) for row in found] == [(row["path"], row["predicted"]) for row in wanted]
    scores = [float(row["score"]) for row in wanted]
    assert [float(row["score"]) for row in found] == pytest.approx(
        scores, rel=TOLERANCE, abs=TOLERANCE * np.median(scores)
    )
    said = done.stderr.splitlines()
    assert f"scored by {exported / GRAPH}" in said
    assert [line for line in said if not line.startswith("scored by")] == by_torch.stderr.splitlines()
    assert "are of another shape" in done.stderr
    assert "images that the run learnt from" in done.stderr


def test_each_json_line_says_what_scored(exported: Path) -> None:
    new = exported.parent / "new"
    for words, engine in (([exported, new], "onnxruntime"), ([exported / GRAPH, new], "onnxruntime")):
        lines = run("predict", *words, "--json").stdout.splitlines()
        assert [json.loads(line)["engine"] for line in lines] == [engine] * 3


def test_a_file_that_cannot_be_read_costs_its_own_score(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    result = run("predict", exported, exported.parent / "new", tmp_path / "broken.png")
    assert result.exit_code == 1
    assert "scored by" in result.stderr
    assert "1 of 4 images have no score" in result.stderr


def test_many_images_are_scored_with_torch(exported: Path) -> None:
    assert len(list((exported.parent / "fine").iterdir())) > FEW
    result = run("predict", exported, exported.parent / "fine", "--json")
    assert {json.loads(line)["engine"] for line in result.stdout.splitlines()} == {"torch"}
    assert "scored by" not in result.stderr


def flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


def test_a_graph_of_other_weights_or_settings_or_with_a_fault_is_not_taken(copy: Path) -> None:
    for name, at in ((GRAPH, 5000), (CHECKPOINT, -1), (CONFIG, -2)):
        flip(copy / name, at)
        assert graph_of(copy) is None, name
        flip(copy / name, at)
        assert graph_of(copy) is not None, name
    (copy / CHECKPOINT).unlink()
    assert graph_of(copy) is None
    assert run("predict", copy, copy.parent).exit_code == 2


def test_a_damaged_checkpoint_is_an_error_though_the_graph_is_whole(copy: Path, exported: Path) -> None:
    flip(copy / CHECKPOINT, -1)
    result = run("predict", copy, exported.parent / "new")
    assert result.exit_code == 2
    assert "is damaged" in result.stderr


def test_a_graph_whose_check_did_not_pass_or_is_unknown_is_not_taken(copy: Path) -> None:
    record = json.loads((copy / PROVENANCE).read_text(encoding="utf-8"))
    assert 0 <= record["graph"]["score_difference"] <= TOLERANCE
    (copy / PROVENANCE).write_text(json.dumps({**record, "graph": {"digest": ""}}), encoding="utf-8")
    assert graph_of(copy) is None
    del record["graph"]
    (copy / PROVENANCE).write_text(json.dumps(record), encoding="utf-8")
    assert graph_of(copy) is None
    (copy / PROVENANCE).unlink()
    assert graph_of(copy) is None


def test_the_threshold_is_the_runs_own(copy: Path, exported: Path) -> None:
    stored = json.loads((copy / CALIBRATION).read_text(encoding="utf-8"))
    (copy / CALIBRATION).write_text(json.dumps(stored | {"threshold": 1e9}), encoding="utf-8")
    result = run("predict", copy, exported.parent / "new")
    assert "0 of 3 images lie above the threshold 1e+09" in result.stderr
    (copy / CALIBRATION).unlink()
    assert graph_of(copy) is None, "a run without a threshold says so itself"


def test_only_a_passed_check_of_the_file_in_the_run_is_noted(copy: Path, tmp_path: Path) -> None:
    trained, good, bad = load_run(copy), Gap(3, 1e-6, 1e-6, 0), Gap(3, 1e-6, 1e-6, 1)
    (copy / PROVENANCE).unlink()
    shutil.copy(copy / GRAPH, tmp_path / GRAPH)
    for run_, file, parity in (
        (trained, tmp_path / GRAPH, Parity(good, good, 1, 1)),
        (trained, copy / GRAPH, Parity(good, bad, 1, 1)),
        (replace(trained, threshold=None), copy / GRAPH, Parity(good, good, 1, 1)),
    ):
        assert not note(run_, file, parity)
        assert graph_of(copy) is None
    assert note(trained, copy / GRAPH, Parity(good, good, 1, 1))
    assert graph_of(copy) is not None
