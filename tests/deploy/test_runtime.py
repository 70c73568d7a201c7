"""Scoring with a file: without torch, and with files that are none of ours."""

import csv
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unblot import __main__ as start
from unblot.deploy.runtime import FORMAT, OnnxDetector, load_onnx
from unblot.errors import UserError
from unblot.evaluation import score_set
from unblot.training import Run

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

WITHOUT = """
import sys

HEAVY = {"torch", "torchvision", "lightning_fabric", "sklearn", "scipy", "safetensors", "jinja2", "onnx", "timm"}

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HEAVY:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Block())
from unblot.__main__ import main
main()
"""


def test_predict_with_a_file_needs_no_torch(make_run: Callable[..., Run], photos: Path, tmp_path: Path) -> None:
    from unblot.data import load_paths
    from unblot.deploy.export import export

    torch.set_num_threads(1)
    run, file = make_run("dae", size=16), tmp_path / "model.onnx"
    export(run, file)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, "predict", str(file), str(photos), "--quiet"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(done.stdout.splitlines()))
    wanted = score_set(run.detector, load_paths([photos], channels=3, size=16), progress=False)
    assert [float(row["score"]) for row in rows] == pytest.approx(wanted.image.tolist(), rel=1e-4)
    assert [row["predicted"] == "1" for row in rows] == (wanted.image > 0.5).tolist()

    lines = subprocess.run(
        [sys.executable, "-c", WITHOUT, "predict", str(file), str(photos), "--json", "--quiet"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    first = json.loads(lines[0])
    assert len(lines) == 6
    assert first["score"] == pytest.approx(wanted.image[0], rel=1e-4)
    assert first["threshold"] == 0.5


def test_each_verb_asks_for_its_own_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(start, "find_spec", lambda name: None if name in ("torch", "onnxruntime") else object())
    for words, said in (
        (["predict", "m.onnx", "x.png"], "onnxruntime, not found by this Python"),
        (["predict", "run", "x.png"], "needs torch, not found"),
    ):
        monkeypatch.setattr(sys, "argv", ["unblot", *words])
        with pytest.raises(SystemExit):
            start.main()
        error = capsys.readouterr().err
        assert said in error
        assert ("unblot[runtime]" if "m.onnx" in words else "unblot[train]") in error


def other(path: Path, metadata: dict[str, str]) -> Path:
    """A whole ONNX file that is not ours."""
    value = onnx.helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, ["n"])
    made = onnx.helper.make_tensor_value_info("score", onnx.TensorProto.UINT8, ["n"])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["images"], ["score"])], "g", [value], [made])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    onnx.helper.set_model_props(model, metadata)
    path.write_bytes(model.SerializeToString())
    return path


def made_here(path: Path, threshold: float) -> Path:
    """A small file of ours."""
    reading = {"channels": 1, "size": 8}
    metadata = {
        "format": FORMAT,
        "input": reading,
        "threshold": {"threshold": threshold, "quantile": 0.9, "n": 9, "method": "conformal"},
    }
    return other(path, {"unblot": json.dumps(metadata)})


def test_a_detector_goes_to_another_process_and_the_file_must_stay_what_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made_here(tmp_path / "model.onnx", 0.5)
    monkeypatch.chdir(tmp_path)
    detector = load_onnx("model.onnx", device="cpu", threads=1)
    sent = pickle.dumps(detector)
    monkeypatch.chdir(tmp_path.parent)  # a worker may stand elsewhere
    again = pickle.loads(sent)
    assert again.metadata == detector.metadata
    assert again._session.get_session_options().intra_op_num_threads == 1
    made_here(path, 0.7)
    with pytest.raises(UserError, match="no longer the model"):
        pickle.loads(sent)
    path.unlink()
    with pytest.raises(UserError, match="no file"):
        pickle.loads(sent)


def test_files_that_are_not_ours_are_refused(tmp_path: Path) -> None:
    (tmp_path / "torn.onnx").write_bytes(b"\x08\x09nothing")
    with pytest.raises(UserError, match=r"torn\.onnx cannot be opened"):
        load_onnx(tmp_path / "torn.onnx")
    with pytest.raises(UserError, match=r"no file .*gone\.onnx; write one with"):
        load_onnx(tmp_path / "gone.onnx")
    with pytest.raises(UserError, match="not written by unblot export"):
        load_onnx(other(tmp_path / "plain.onnx", {}))
    newer = {"unblot": json.dumps({"format": 99, "unblot": "9.0"})}
    with pytest.raises(UserError, match=r"format 99, written by unblot 9\.0"):
        load_onnx(other(tmp_path / "newer.onnx", newer))
    with pytest.raises(UserError, match="device must be"):
        load_onnx(other(tmp_path / "x.onnx", {}), device="tpu")


def test_a_score_that_is_not_finite_is_named(
    monkeypatch: pytest.MonkeyPatch, make_run: Callable[..., Run], photos: Path, tmp_path: Path
) -> None:
    from unblot.deploy.export import export

    run = make_run("dae", size=16)
    export(run, tmp_path / "m.onnx")
    detector = load_onnx(tmp_path / "m.onnx")
    monkeypatch.setattr(detector, "run", lambda batch: (np.full(len(batch), np.nan), np.zeros((len(batch), 16, 16))))
    with pytest.raises(UserError, match=r"6 of 6 images have no score.*0\.png is not finite"):
        detector.score_paths([photos], progress=False)


def test_a_broken_file_costs_its_own_score(make_run: Callable[..., Run], photos: Path, tmp_path: Path) -> None:
    from unblot.deploy.export import export

    export(make_run("dae", size=16), tmp_path / "m.onnx")
    detector = load_onnx(tmp_path / "m.onnx", device="cpu")
    _, whole = detector.score_paths([photos], progress=False)
    (photos / "2.png").write_bytes((photos / "2.png").read_bytes()[:200])
    entries = [e for batch in detector.stream_paths([photos], batch_size=4, progress=False) for e in batch]
    assert [entry.score is None for entry in entries] == [False, False, True, False, False, False]
    for entry, score in zip(entries, whole.image, strict=True):
        assert entry.score is None or entry.score == pytest.approx(score, rel=1e-4)
    assert entries[2].map is None
    assert "2.png cannot be read" in str(entries[2].problem)


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("threshold", "threshold", float("nan")),
        ("threshold", "threshold", float("inf")),
        ("threshold", "threshold", "high"),
        ("threshold", "quantile", -1),
        ("threshold", "n", float("nan")),
        ("input", "size", float("nan")),
        ("input", "size", 0),
        ("input", "channels", 4),
        ("input", "channels", True),
    ],
)
def test_numbers_that_no_export_writes_are_refused(tmp_path: Path, part: str, name: str, value: object) -> None:
    calibration = {"threshold": 0.5, "quantile": 0.95, "n": 20, "method": "conformal"}
    metadata = {"format": 1, "input": {"channels": 1, "size": 16}, "threshold": calibration}
    assert load_onnx(other(tmp_path / "good.onnx", {"unblot": json.dumps(metadata)})).threshold == 0.5
    metadata[part] = metadata[part] | {name: value}  # type: ignore[operator]
    with pytest.raises(UserError, match=rf"the metadata of .*bad\.onnx cannot be used: .*{name}"):
        load_onnx(other(tmp_path / "bad.onnx", {"unblot": json.dumps(metadata)}))


def test_a_file_reads_images_as_the_run_does(make_run: Callable[..., Run], tmp_path: Path) -> None:
    """12 bits in 16-bit files: what is white stands in the metadata; what differs from the training images is said."""
    from unblot.data import Kept, Reading, load_paths
    from unblot.deploy.export import export

    torch.set_num_threads(1)
    values = np.random.default_rng(0).integers(0, 4096, (16, 16), dtype=np.uint16)
    (tmp_path / "deep").mkdir()
    Image.fromarray(values).save(tmp_path / "deep/x.png")
    Image.fromarray((values >> 4).astype(np.uint8)).save(tmp_path / "deep/y.png")
    reading = Reading(bits=12, depths=(16,), gray=True, coloured=False, transparent=False)
    run = replace(make_run("dae", channels=1, size=16), images=Kept(reading, (), ()))
    export(run, tmp_path / "model.onnx")
    graph = load_onnx(tmp_path / "model.onnx")
    assert graph.reading == reading
    ours = score_set(
        run.detector, load_paths([tmp_path / "deep"], channels=1, size=16, reading=run.reading), progress=False
    )
    assert graph.score_paths([tmp_path / "deep"])[1].image == pytest.approx(ours.image, rel=1e-4)
    assert ours.image[0] == pytest.approx(ours.image[1], rel=0.05)  # the same picture in 12 and in 8 bits
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, "predict", str(tmp_path / "model.onnx"), str(tmp_path / "deep"), "--quiet"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "1 of 2 images hold 8 bits per value, the training images more, with 4095 for white" in done.stderr
    old = OnnxDetector(tmp_path / "model.onnx", None, {**graph.metadata, "reading": None})
    assert old.reading.alpha == "drop"
