"""The command line: every verb on small real files, the configuration file, and what a user sees after a mistake."""

from __future__ import annotations

import csv
import dataclasses
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image
from tests.cli.commands import ok, refused, run

import unblot
from unblot import __main__ as start
from unblot import cli, training
from unblot.cli.flags import OWN, OWN_SIZE, Corruption
from unblot.cli.settings import data_config, key_value, train_config
from unblot.cli.train import train as train_verb
from unblot.corruption.presets import NAMES
from unblot.data import DataConfig
from unblot.detectors import default_model, recommended
from unblot.report.sheet import CAPTION, CELL, GAP
from unblot.training import NonFiniteLossError, TrainConfig, resolve

TINY = ["--model", "dae", "--set", "width=4", "--size", "8", "--epochs", "1", "--batch-size", "8", "--device", "cpu"]


def images(
    folder: Path, count: int, *, low: int = 0, high: int = 120, seed: int = 0, shape: tuple[int, int] = (9, 10)
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, low, high])
    for i in range(count):
        Image.fromarray(rng.integers(low, high, shape, np.uint8)).save(folder / f"part {i}.png")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in an empty folder, as what they write by default goes there."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a space in its name: 20 normal and 4 abnormal images."""
    root = tmp_path_factory.mktemp("data") / "my parts"
    images(root / "fine ones", 20)
    images(root / "bad ones", 4, low=150, high=255)
    return root


@pytest.fixture(scope="module")
def trained(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "a run"
    ok("train", parts, "--normal", "fine ones", "--abnormal", "bad ones", "--out", out, "--seed", "3", *TINY)
    return out


# --- flags ----------------------------------------------------------------------------------------------------------


def flags(verb: Callable[..., None]) -> dict[str, Any]:
    """Option of each parameter of a verb, by name."""
    hints = inspect.get_annotations(verb, eval_str=True)
    return {name: get_args(hint)[1] for name, hint in hints.items() if get_args(hint)}


def test_every_setting_is_a_flag_that_shows_its_default() -> None:
    options = flags(train_verb)
    for config in (DataConfig(), TrainConfig()):
        for field in dataclasses.fields(config):
            option = options["set_" if field.name == "model_options" else field.name]
            default = getattr(config, field.name)
            shown = option.show_default or None
            if field.name in {"channels", "bits"}:  # found from the images
                assert default is None
            elif field.name in {"tile", "overlap"}:  # of tiles alone
                filled = getattr(DataConfig(fit="tile"), field.name)
                assert (default, type(filled)(shown)) == (None, filled)
            elif field.name == "model":
                assert shown == "auto"
                assert default == default_model()
            elif shown in {OWN, OWN_SIZE}:
                assert field.name in {"size", "corruption", "epochs", "batch_size", "lr"}
            elif default in ((), {}, None):
                assert shown is None
            else:
                assert type(default)(shown) == default, field.name


@pytest.mark.parametrize(
    ("shape", "asked", "size"),
    [((300, 300), {}, 288), ((400, 400), {}, 384), ((500, 2000), {}, 512), ((900, 900), {"size": 64}, 64)],
)
def test_images_are_seen_at_a_size_that_they_fill(
    shape: tuple[int, int], asked: dict[str, Any], size: int, tmp_path: Path
) -> None:
    images(tmp_path / "fine", 12, shape=shape)
    images(tmp_path / "bad", 1, shape=shape)
    asked = {"data": str(tmp_path), "model": "feature_mask", "normal": ("fine",), "abnormal": ("bad",)} | asked
    config, data, splits = resolve(train_config(asked), data_config(asked), progress=False)
    assert data.size == splits.train.size == size
    assert config.epochs == recommended("feature_mask").epochs(len(splits.train), size)
    bank = train_config(asked | {"model_options": {"backbone": "filters"}})
    assert resolve(bank, data_config(asked), progress=False)[1].size == min(size, 256)
    assert resolve(train_config(asked | {"epochs": 3}), data, progress=False)[0].epochs == 3


def test_without_the_extra_the_default_is_trained_from_scratch_and_that_is_said(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unblot.detectors.auto.packaged", lambda: False)
    monkeypatch.setattr("unblot.backbones.frozen.packaged", lambda: False)
    few = ["--set", "coreset_size=50", "--set", "steps=4", "--epochs", "1"]
    small = ["--size", "64", *few, "--judge", "none", "--quiet"]
    train = ("train", parts, "--normal", "fine ones", "--abnormal", "bad ones", *small, "--out")
    result = ok(*train, tmp_path / "run")
    said = result.stdout + result.stderr
    assert "auto is trained from scratch" in said
    assert "pip install 'unblot[train]'" in said
    made = json.loads((tmp_path / "run" / "config.json").read_text())
    assert made["training"]["model"] == "auto"
    assert made["detector"]["options"]["backbone"] == "scratch"
    assert (tmp_path / "run" / "log" / "backbone.csv").is_file(), "its backbone was trained first"
    result = ok(*train, tmp_path / "named", "--set", "backbone=filters")
    assert "from scratch" not in result.stdout + result.stderr, "the backbone was chosen by the user"


def test_help_lists_every_named_corruption() -> None:
    shown = str(get_args(Corruption)[1].help)  # written there by hand, for help loads no NumPy
    assert all(name in shown for name in NAMES)


def test_help_of_every_verb_loads_neither_torch_nor_numpy() -> None:
    for verb in ([], ["train"], ["eval"], ["predict"], ["preview"], ["compare"]):
        program = (
            "import sys; from unblot.__main__ import main\n"
            f"sys.argv = ['unblot', *{verb!r}, '--help']\n"
            "try: main()\n"
            "except SystemExit as end: assert not end.code, end.code\n"
            "heavy = {'torch', 'numpy', 'matplotlib', 'sklearn', 'PIL'} & set(sys.modules)\n"
            "assert not heavy, heavy\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=False)
        assert done.returncode == 0, done.stderr
        assert "unblot" in done.stdout


def test_module_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "unblot", "--version"], capture_output=True, encoding="utf-8", check=True
    )
    assert done.stdout.split() == ["unblot", unblot.__version__]


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(start, "find_spec", lambda name: None if name in ("sklearn", "torch") else object())
    monkeypatch.setattr(sys, "argv", ["unblot", "train", "parts"])
    with pytest.raises(SystemExit) as end:
        start.main()
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert "torch, scikit-learn" in said
    assert 'pip install "unblot[train]"' in said


def test_key_values_are_json_or_text() -> None:
    values = dict(map(key_value, ["a=1", "b=[1, 2]", "c=word", "d=x=y", "e=", "f=true"]))
    assert values == {"a": 1, "b": [1, 2], "c": "word", "d": "x=y", "e": "", "f": True}


# --- train ----------------------------------------------------------------------------------------------------------


def test_train_says_what_it_understood_and_what_comes_next() -> None:
    said = ok("train", "--limit", "40", "--quiet", *TINY).stdout
    out = Path("runs", "digits-dae-box")
    for part in ("digits", "limit", "dae", "parameters", "BoxNoise", "cpu", f"unblot eval {out}"):
        assert part in said
    stored = json.loads((out / "config.json").read_text(encoding="utf-8"))
    assert stored["training"]["model_options"] == {"width": 4}
    assert stored["data"]["limit"] == 40
    assert (out / "calibration.json").is_file()

    again = ok("train", "--limit", "40", "--corruption", "none", "--out", "x", *TINY).stdout
    assert "noise     none" in again
    assert "digits-dae-box-2" in ok("train", "--limit", "40", *TINY).stdout  # a name that is taken is not used again


def test_resume_knows_the_settings_of_its_run(trained: Path) -> None:
    before = (trained / "checkpoint.safetensors").read_bytes()
    said = ok("train", "--resume", "--out", trained).stdout
    assert "my parts" in said
    assert (trained / "checkpoint.safetensors").read_bytes() == before
    assert "seed" in refused("train", "--resume", "--out", trained, "--seed", "4")


def test_a_taken_folder_is_left_alone(trained: Path, tmp_path: Path) -> None:
    before = (trained / "checkpoint.safetensors").read_bytes()
    error = refused("train", "--limit", "40", *TINY, "--out", trained)
    assert str(trained) in error
    assert "--resume" in error
    assert (trained / "checkpoint.safetensors").read_bytes() == before
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    assert str(tmp_path) in refused("train", "--limit", "40", *TINY, "--out", tmp_path)
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_stopping_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train", stop)
    result = run("train", "--limit", "40", "--out", "my run", *TINY)
    assert result.exit_code == 130
    quoted = '"my run"' if os.name == "nt" else "'my run'"
    assert f"unblot train --resume --out {quoted}" in result.stderr


def test_diverged_training_is_said_and_a_fault_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*_: object, **__: object) -> None:
        raise NonFiniteLossError("loss is NaN")

    monkeypatch.setattr(training, "train", diverge)
    assert "loss is NaN" in refused("train", "--limit", "40", *TINY)

    def break_down(*_: object, **__: object) -> None:
        raise ValueError("a fault of ours")

    monkeypatch.setattr(training, "train", break_down)
    result = run("train", "--limit", "40", *TINY)
    assert isinstance(result.exception, ValueError)
    assert result.exit_code == 1


# --- eval -----------------------------------------------------------------------------------------------------------


def test_eval_judges_the_split_of_the_training(trained: Path) -> None:
    said = ok("eval", trained, "--device", "cpu").stdout
    assert "protocol  clean" in said
    metrics = json.loads((trained / "eval" / "metrics.json").read_text(encoding="utf-8"))
    assert f"AUROC          {metrics['auroc']:.3f}" in said
    assert metrics["counts"]["test_abnormal"] == 4
    assert metrics["warnings"] == []
    with (trained / "eval" / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(metrics["counts"][part] for part in ("test_normal", "test_abnormal"))
    assert str(trained / "eval" / "report.html") in said
    assert "epochs" in (trained / "eval" / "report.html").read_text(encoding="utf-8")


def test_eval_on_other_data_warns_of_images_from_training(trained: Path, parts: Path, tmp_path: Path) -> None:
    images(tmp_path / "new" / "fine ones", 12, seed=9)
    images(tmp_path / "new" / "bad ones", 3, low=140, high=250, seed=9)
    ok("eval", trained, tmp_path / "new", "--out", "fresh")
    fresh = json.loads(Path("fresh", "metrics.json").read_text(encoding="utf-8"))
    assert fresh["counts"]["test_abnormal"] == 3
    assert fresh["warnings"] == []

    # Another split of the same images puts training images into the test.
    said = ok("eval", trained, parts, "--split-seed", "1", "--test", "0.8", "--out", "mixed").stdout
    (warning,) = json.loads(Path("mixed", "metrics.json").read_text(encoding="utf-8"))["warnings"]
    assert "images that the run learnt from" in warning
    assert warning in said
    assert warning in Path("mixed", "report.html").read_text(encoding="utf-8")


# --- predict --------------------------------------------------------------------------------------------------------


def test_predict_writes_one_row_per_image_to_standard_output(trained: Path, parts: Path) -> None:
    first = parts / "fine ones" / "part 0.png"
    result = ok("predict", trained, parts / "bad ones", first)
    rows = list(csv.DictReader(result.stdout.splitlines()))
    assert [row["path"] for row in rows] == [
        *((parts / "bad ones" / f"part {i}.png").as_posix() for i in range(4)),
        first.as_posix(),
    ]
    threshold = json.loads((trained / "calibration.json").read_text(encoding="utf-8"))["threshold"]
    assert [row["predicted"] == "1" for row in rows] == [float(row["score"]) > threshold for row in rows]
    assert "of 5 images" in result.stderr


def test_predict_gives_the_scores_of_the_evaluation(trained: Path, parts: Path) -> None:
    ok("eval", trained)
    ok("predict", trained, parts / "bad ones", "--out", "some/scores.csv", "--maps", "the maps", "--quiet")
    with Path("some/scores.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with (trained / "eval" / "scores.csv").open(encoding="utf-8", newline="") as file:
        known = {Path(row["name"]).as_posix(): float(row["score"]) for row in csv.DictReader(file)}
    for row in rows:
        name = Path(row["path"]).relative_to(parts).as_posix()
        assert float(row["score"]) == pytest.approx(known[name], rel=1e-5)
        assert Image.open(Path("the maps", row["map"])).size == (8, 8)
    assert len(list(Path("the maps").iterdir())) == 4


# --- preview --------------------------------------------------------------------------------------------------------


def test_preview_is_a_picture_of_the_size_asked_for(parts: Path) -> None:
    ok("preview", parts, "--normal", "fine ones", "--count", "3", "--size", "16")
    with Image.open("preview.png") as sheet:
        assert sheet.format == "PNG"
        assert sheet.size == (6 * (CELL + GAP) + GAP, 3 * (CELL + CAPTION + GAP) + GAP)
    Path("spec.json").write_text('{"type": "BoxNoise", "scale": 0.5, "num_boxes": 1}', encoding="utf-8")
    said = ok("preview", "--corruption", "spec.json", "--count", "1", "--out", "sub folder/p.png").stdout
    assert "scale=0.5" in said
    assert [path.name for path in Path("sub folder").iterdir()] == ["p.png"]


def test_preview_does_not_load_what_trains() -> None:
    program = (
        "import sys; from unblot.__main__ import main\n"
        "sys.argv = ['unblot', 'preview', '--count', '1']\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'lightning_fabric', 'matplotlib', 'safetensors', 'unblot.detectors'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr


# --- configuration file ---------------------------------------------------------------------------------------------

TOML = """
data = "digits"
model = "dae"
size = 8
batch_size = 8
epochs = 1
device = "cpu"
abnormal = ["3", "4"]
held-out = 0.25
limit = 30
quiet = true
out = "from file"

[set]
width = 4
latent = 3
"""


def settings(folder: str) -> tuple[dict[str, Any], dict[str, Any]]:
    stored = json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))
    return stored["data"], stored["training"]


def test_file_gives_defaults_and_flags_go_first() -> None:
    Path("a.toml").write_text(TOML, encoding="utf-8")
    ok("train", "--config", "a.toml")
    data, train = settings("from file")
    assert (data["abnormal"], data["held_out"], data["limit"]) == (["3", "4"], 0.25, 30)
    assert (train["epochs"], train["batch_size"]) == (1, 8)
    assert train["model_options"] == {"width": 4, "latent": 3}

    ok("train", "--config", "a.toml", "--abnormal", "5", "--set", "width=6", "--limit", "25", "--out", "b")
    data, train = settings("b")
    assert (data["abnormal"], data["held_out"], data["limit"]) == (["5"], 0.25, 25)
    assert train["model_options"] == {"width": 6, "latent": 3}  # options are overridden one by one


def test_json_file_says_the_same() -> None:
    Path("a.json").write_text(json.dumps({"model": "dae", "batch-size": 9, "lr": 1, "abnormal": "3"}), encoding="utf-8")
    ok("train", "--config", "a.json", "--limit", "30", "--out", "c", "--epochs", "1", "--size", "8", "--set", "width=4")
    data, train = settings("c")
    assert (data["abnormal"], train["batch_size"], train["lr"]) == (["3"], 9, 1.0)


def test_preview_reads_a_training_file_but_writes_its_own_picture() -> None:
    Path("a.toml").write_text(TOML, encoding="utf-8")
    ok("preview", "--config", "a.toml", "--count", "1")
    assert Path("preview.png").is_file()
    assert not Path("from file").exists()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.toml", "epoch = 3", ["a.toml", "'epoch'", "did you mean epochs"]),
        ("a.toml", "quxquux = 3", ["'quxquux'", "batch-size"]),
        ("a.toml", "config = 'b.toml'", ["'config'"]),
        ("a.toml", "epochs = 'ten'", ["a.toml", "epochs", "'ten'"]),
        ("a.toml", "epochs = 2.5", ["a.toml", "epochs", "2.5"]),
        ("a.toml", "epochs = true", ["a.toml", "epochs", "True"]),
        ("a.toml", "epochs =", ["a.toml", "not valid TOML"]),
        ("a.json", "{", ["a.json", "not valid JSON"]),
        ("a.json", "[1]", ["a.json", "names and values"]),
        ("a.toml", None, ["a.toml", "cannot read"]),
    ],
)
def test_a_file_with_a_mistake_is_named(name: str, text: str | None, said: list[str]) -> None:
    if text is not None:
        Path(name).write_text(text, encoding="utf-8")
    error = refused("train", "--config", name, *TINY)
    for part in said:
        assert part in error


# --- mistakes -------------------------------------------------------------------------------------------------------


def test_mistakes_about_folders_name_the_folder_and_the_remedy(tmp_path: Path, parts: Path, trained: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no data set or folder" in refused("train", tmp_path / "nowhere", *TINY)
    assert "--normal" in refused("train", tmp_path / "empty", *TINY)
    assert "no images" in refused("train", parts, "--normal", tmp_path / "empty", *TINY)
    assert "bad twos" in refused("train", parts, "--normal", "fine ones", "--abnormal", "bad twos", *TINY)
    assert "no images" in refused("predict", trained, tmp_path / "empty")
    assert "gone.png" in refused("predict", trained, "gone.png")
    (tmp_path / "file").write_text("x", encoding="utf-8")
    assert str(tmp_path / "file") in refused("predict", trained, parts, "--maps", tmp_path / "file")
    assert str(tmp_path / "file") in refused("eval", trained, "--out", tmp_path / "file")
    assert str(tmp_path / "empty") in refused("predict", trained, parts, "--out", tmp_path / "empty")


def test_an_unreadable_image_is_named(tmp_path: Path, trained: Path) -> None:
    images(tmp_path / "d" / "fine ones", 6)
    (tmp_path / "d" / "fine ones" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    assert "torn.png" in refused("train", tmp_path / "d", "--normal", "fine ones", *TINY)
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--abnormal", "eleven"], ["eleven", "classes"]),
        (["--model", "day"], ["day", "nested"]),
        (["--set", "wdth=3"], ["wdth"]),
        (["--set", "width"], ["KEY=VALUE"]),
        (["--size", "12"], ["12", "multiple of 8"]),
        (["--corruption", "boxes"], ["boxes", "gaussian"]),
        (["--epochs", "0"], ["epochs"]),
        (["--epochs", "many"], ["--epochs"]),
        (["--device", "tpu"], ["tpu"]),
        (["--precision", "fp8"], ["fp8"]),
        (["--group", "("], ["regular expression"]),
        (["--held-out", "1.5"], ["held"]),
        (["--limit", "0"], ["limit"]),
        (["--resume"], ["no run to resume"]),
        (["--wibble"], ["--wibble"]),
    ],
)
def test_mistakes_in_flags_are_refused_before_anything_is_written(words: list[str], said: list[str]) -> None:
    error = refused("train", "--limit", "30", *TINY, *words)
    for part in said:
        assert part in error
    assert list(Path().iterdir()) == []


def test_data_sets_that_need_a_root_say_so() -> None:
    assert "--root" in refused("train", "cifar10", "--abnormal", "bird", *TINY)
    assert "--root" in refused("preview", "magnetic-tile")


def test_a_spec_file_with_a_mistake_is_named() -> None:
    Path("s.json").write_text('{"type": "BoxNoise", "scale": 7}', encoding="utf-8")
    error = refused("train", "--corruption", "s.json", *TINY)
    assert "s.json" in error
    assert "scale" in error


def test_runs_that_cannot_be_read_are_named(trained: Path, tmp_path: Path) -> None:
    assert "nowhere" in refused("eval", tmp_path / "nowhere")
    (tmp_path / "hollow").mkdir()
    images(tmp_path / "new", 1)
    assert "config.json" in refused("predict", tmp_path / "hollow", tmp_path / "new")

    other = tmp_path / "other"
    other.mkdir()
    for path in trained.iterdir():
        if path.is_file():
            (other / path.name).write_bytes(path.read_bytes())
    stored = json.loads((other / "config.json").read_text(encoding="utf-8"))
    (other / "config.json").write_text(json.dumps(stored | {"format": 99, "version": "9.0"}), encoding="utf-8")
    for words in (["eval", other], ["predict", other, tmp_path / "new"], ["train", "--resume", "--out", other]):
        error = refused(*words)
        assert str(other) in error
        assert "99" in error

    (other / "config.json").write_text(json.dumps(stored), encoding="utf-8")
    (other / "checkpoint.safetensors").write_bytes((trained / "checkpoint.safetensors").read_bytes()[:-9])
    assert "checkpoint.safetensors" in refused("eval", other)


# --- for scripts ----------------------------------------------------------------------------------------------------


def test_every_verb_gives_one_line_of_json(trained: Path, parts: Path) -> None:
    folders = ["--normal", "fine ones", "--abnormal", "bad ones"]
    lines = {
        "preview": ok("preview", "--count", "1", "--json"),
        "audit": run("audit", parts, *folders, "--json"),
        "train": ok("train", "--limit", "40", "--out", "j", "--json", *TINY),
        "eval": ok("eval", trained, "--json"),
        "compare": ok(
            *["compare", "--limit", "30", "--models", "dae", "--corruptions", "none", "--size", "8"],
            *["--epochs", "1", "--device", "cpu", "--set", "width=4", "--json"],
        ),
    }
    read = {verb: json.loads(result.stdout) for verb, result in lines.items()}  # nothing else is on standard output
    assert all(result.stdout.count("\n") == 1 for result in lines.values())
    assert Path(read["preview"]["file"]).is_file()
    assert read["audit"]["level"]
    assert read["train"] == {"run": "j", "model": "dae", "epochs": 1}
    assert read["eval"]["auroc"] == json.loads((trained / "eval" / "metrics.json").read_text(encoding="utf-8"))["auroc"]
    assert read["compare"]["trainings"] == 1
    assert read["compare"]["failed"] == []
    assert "AUROC" in lines["eval"].stderr  # what is for people

    rows = [json.loads(line) for line in ok("predict", trained, parts / "bad ones", "--json").stdout.splitlines()]
    assert len(rows) == 4
    assert rows[0].keys() == {"path", "score", "predicted", "p_value", "threshold", "engine"}
    assert "--out" in refused("predict", trained, parts, "--json", "--out", "x.csv")


def test_every_verb_knows_json() -> None:
    from typer.main import get_command

    def verbs(command: Any) -> list[Any]:
        inner = getattr(command, "commands", None)
        return [verb for child in inner.values() for verb in verbs(child)] if inner else [command]

    for verb in verbs(get_command(cli.app)):
        assert any("--json" in parameter.opts for parameter in verb.params), verb.name


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_verbs(shell: str) -> None:
    words = {"bash": {"COMP_WORDS": "unblot ex", "COMP_CWORD": "1"}}.get(shell, {"_TYPER_COMPLETE_ARGS": "unblot ex"})
    words |= {"_TYPER_COMPLETE_FISH_ACTION": "get-args"} if shell == "fish" else {}
    done = subprocess.run(
        [sys.executable, "-m", "unblot"],
        env=os.environ | {"_UNBLOT_COMPLETE": f"complete_{shell}"} | words,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert "export" in done.stdout, done.stderr
    assert "audit" not in done.stdout
