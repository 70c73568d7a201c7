import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unblot import BoxNoise
from unblot.corruption.spec_file import save_spec
from unblot.data import DataConfig, ImageSet, Item, Source, Splits
from unblot.errors import UserError
from unblot.training import TrainConfig, load_run, train
from unblot.training.run import corruption_of

Config = Callable[..., TrainConfig]
DATA = DataConfig("digits", abnormal=("3",), size=16)


@pytest.fixture
def run(tmp_path: Path, splits: Splits, make_config: Config) -> Path:
    out = tmp_path / "runs" / "first"
    train(make_config(epochs=1), splits, out, data=DATA, progress=False)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


def test_a_run_says_all_that_was_asked_for(run: Path, make_config: Config) -> None:
    found = load_run(run)
    assert found.path == run
    assert found.train == make_config(epochs=1)
    assert found.data == DATA
    assert found.corruption == BoxNoise()
    assert found.calibration.n == 10
    assert found.position.finished
    assert not found.detector.training
    assert {path.name for path in run.iterdir()} == {
        ".lock",
        "calibration.json",
        "checkpoint.safetensors",
        "config.json",
        "images.json",
        "log",
        "provenance.json",
    }


def test_the_corruption_survives_the_file_it_came_from(tmp_path: Path, splits: Splits, make_config: Config) -> None:
    spec = BoxNoise(scale=(0.3, 0.4))
    save_spec(spec, tmp_path / "spec.json")
    train(make_config(epochs=1, corruption=str(tmp_path / "spec.json")), splits, tmp_path / "run", progress=False)
    (tmp_path / "spec.json").unlink()
    assert load_run(tmp_path / "run").corruption == spec


def test_corruption_by_name_or_file(make_config: Config) -> None:
    assert corruption_of("none") is None
    assert corruption_of("box") == BoxNoise()
    with pytest.raises(UserError, match=r"box, gaussian, .*or a spec file.*boxes.json"):
        corruption_of("boxes.json")


def test_an_existing_run_is_not_overwritten(run: Path, splits: Splits, make_config: Config) -> None:
    before = contents(run)
    with pytest.raises(UserError, match=r"first holds a run already.*--resume.*--out"):
        train(make_config(), splits, run, progress=False)
    assert contents(run) == before


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path, splits: Splits, make_config: Config) -> None:
    (tmp_path / "thesis.tex").touch()
    for taken in (tmp_path, tmp_path / "thesis.tex"):
        with pytest.raises(UserError, match="not an empty folder"):
            train(make_config(), splits, taken, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("asked", "data", "named"),
    [
        ({"lr": 0.1}, DATA, r"training.lr: the run has 0.0002, asked for was 0.1"),
        ({"epochs": 2}, DATA, r"training.epochs: the run has 1, asked for was 2"),
        (
            {"corruption": "none"},
            DATA,
            r"settings:\n  training.corruption: the run has 'box', asked for was 'none'\nRes",
        ),
        (
            {"model_options": {"width": 5, "latent": 4}},
            DATA,
            r"settings:\n  training.model_options.width: the run has 4, asked for was 5\nRes",
        ),
        (
            {},
            DataConfig("digits", abnormal=("4",), size=16),
            r"data.abnormal: the run has \['3'\], asked for was \['4'\]",
        ),
    ],
)
def test_resuming_with_other_settings_names_them(
    run: Path, splits: Splits, make_config: Config, asked: dict[str, Any], data: DataConfig, named: str
) -> None:
    before = contents(run)
    with pytest.raises(UserError, match=named):
        train(make_config(**({"epochs": 1} | asked)), splits, run, data=data, resume=True, progress=False)
    assert contents(run) == before


def test_resuming_a_finished_run_says_so_and_does_nothing(
    run: Path, splits: Splits, make_config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    before = contents(run)
    # Where it computes may differ.
    detector = train(
        make_config(epochs=1, device="auto", workers=1), splits, run, data=DATA, resume=True, progress=False
    )
    assert "finished: there is nothing to resume" in caplog.text
    assert contents(run) == before
    assert detector.name == "dae"


def test_resuming_needs_a_run(tmp_path: Path, splits: Splits, make_config: Config) -> None:
    with pytest.raises(UserError, match=r"there is no run at .*nowhere"):
        train(make_config(), splits, tmp_path / "nowhere", resume=True, progress=False)
    with pytest.raises(UserError, match=r"is not a run: it holds no config.json"):
        train(make_config(), splits, tmp_path, resume=True, progress=False)
    assert not list(tmp_path.iterdir())


def test_settings_that_cannot_work_leave_no_folder(tmp_path: Path, make_splits: Any, make_config: Config) -> None:
    with pytest.raises(UserError, match="at least 2 images, got 1"):
        train(make_config(), make_splits(1), tmp_path / "a", progress=False)
    with pytest.raises(UserError, match=r"multiple of 16.*size=8"):
        train(make_config("nested"), make_splits(4, size=8), tmp_path / "b", progress=False)
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_no_run_is_named(tmp_path: Path, run: Path) -> None:
    with pytest.raises(UserError, match=r"there is no run at .*nowhere"):
        load_run(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"holds no config.json"):
        load_run(tmp_path)
    (run / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"config.json cannot be read"):
        load_run(run)


@pytest.mark.parametrize(("version", "by"), [(1, "0.1.0"), (7, "9.0")])
def test_a_run_of_another_format_is_refused_with_the_command_that_retrains(run: Path, version: int, by: str) -> None:
    edit(run / "config.json", format=version, version=by)
    said = rf"format {version}, written by unblot {by}; .*reads format 2\. Use that version, or train again: "
    with pytest.raises(UserError, match=said + "unblot train digits --model dae --out ANOTHER_FOLDER$"):
        load_run(run)
    edit(run / "config.json", data=None, training="as it was", detector=None)
    with pytest.raises(UserError, match=said + "unblot train DATA --out ANOTHER_FOLDER$"):
        load_run(run)


@pytest.mark.parametrize(
    "values",
    [{"detector": {"name": "vae"}}, {"training": {"epochs": 0}}, {"corruption": {"type": "BoxNoise", "scale": 3}}],
)
def test_settings_changed_by_hand_are_named(run: Path, values: dict[str, Any]) -> None:
    edit(run / "config.json", **values)
    with pytest.raises(UserError, match=r"config.json cannot be used"):
        load_run(run)


def test_weights_of_another_network_are_named(run: Path) -> None:
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    edit(run / "config.json", detector=config["detector"] | {"options": {"width": 6, "latent": 4}})
    with pytest.raises(
        UserError, match=r"checkpoint.safetensors holds other networks .*\(size mismatch for .*Train the run"
    ):
        load_run(run)


def test_damaged_files_are_named(run: Path) -> None:
    (run / "calibration.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match=r"calibration.json cannot be used"):
        load_run(run)
    data = (run / "checkpoint.safetensors").read_bytes()
    (run / "checkpoint.safetensors").write_bytes(data[:-3])
    with pytest.raises(UserError, match=r"checkpoint.safetensors is not a whole checkpoint"):
        load_run(run)
    (run / "checkpoint.safetensors").unlink()
    with pytest.raises(UserError, match="no epoch was finished"):
        load_run(run)


def test_what_a_run_does_not_know_is_said_when_it_is_asked(
    tmp_path: Path, make_splits: Any, make_config: Config
) -> None:
    train(make_config(epochs=1), make_splits(6, held_out=0), tmp_path / "run", progress=False)
    run = load_run(tmp_path / "run")
    with pytest.raises(UserError, match=r"no threshold: no normal images were held out"):
        _ = run.calibration
    with pytest.raises(UserError, match="which data"):
        _ = run.data


@pytest.mark.parametrize("left", [".config.json.tmp", ".images.json.tmp", ".checkpoint.safetensors.tmp"])
def test_what_a_kill_left_of_a_file_is_not_in_the_way(make_config: Any, splits: Any, tmp_path: Path, left: str) -> None:
    """A kill between the making of the folder and the end of the first epoch leaves half a file under a hidden name."""
    out = tmp_path / "run"
    out.mkdir()
    (out / left).write_text("half of it", encoding="utf-8")
    train(make_config(epochs=1), splits, out, progress=False)
    assert load_run(out).position.finished
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / ".mine.tmp").write_text("a user's", encoding="utf-8")
    with pytest.raises(UserError, match="not an empty folder"):
        train(make_config(epochs=1), splits, foreign, progress=False)


def test_a_start_that_failed_before_its_first_epoch_is_not_in_the_way(
    make_config: Any, splits: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mended command trains into the same folder, with --resume or without."""

    def fails(*_: object, **__: object) -> None:
        raise UserError("no weights to be had")

    for resume in (False, True):
        out = tmp_path / f"run {resume}"
        with monkeypatch.context() as patch:
            patch.setattr("unblot.training.loop._train", fails)
            with pytest.raises(UserError, match="no weights"):
                train(make_config(epochs=1), splits, out, progress=False)
        assert (out / "config.json").exists()
        train(make_config(epochs=1, lr=1e-4), splits, out, resume=resume, progress=False)
        assert load_run(out).train.lr == 1e-4
    (tmp_path / "run False" / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="holds a run already"):
        train(make_config(epochs=1), splits, tmp_path / "run False", progress=False)


def test_a_folder_with_settings_and_a_file_of_the_users_is_left_alone(
    make_config: Any, splits: Any, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="holds a run already"):
        train(make_config(epochs=1), splits, tmp_path, progress=False)
    assert (tmp_path / "config.json").read_text(encoding="utf-8") == "{}"


def test_a_run_goes_on_only_over_the_images_that_it_began_with(
    tmp_path: Path, make_splits: Any, make_config: Config
) -> None:
    def stop(_: Any, epoch: int) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    out, config = tmp_path / "run", make_config(epochs=3)
    with pytest.raises(KeyboardInterrupt):
        train(config, make_splits(train=20), out, progress=False, after_epoch=stop)
    before = contents(out)
    with pytest.raises(
        UserError, match=r"cannot be resumed over other images:\n  2 of 20 training images are no longer"
    ):
        train(config, make_splits(train=18), out, progress=False, resume=True)
    assert contents(out) == before
    train(config, make_splits(train=20), out, progress=False, resume=True)
    assert load_run(out).position.finished


def test_a_run_keeps_how_images_are_read_and_knows_those_it_learnt_from(run: Path, splits: Splits) -> None:
    found = load_run(run)
    assert (found.reading.depths, found.reading.width, found.reading.gray) == ((8,), (16, 16), True)
    assert found.said_of(splits.test) == []
    (said,) = found.said_of(splits.train)
    assert said.startswith(
        "20 of 20 images are images that the run learnt from, pixel for pixel (20 trained on, 0 held"
    )
    (run / "images.json").unlink()
    assert load_run(run).reading.alpha == "drop"
    assert "keeps no digests" in load_run(run).said_of(splits.train)[0]
    (run / "images.json").write_text('{"format": 1}', encoding="utf-8")
    with pytest.raises(UserError, match=r"images\.json cannot be used"):
        load_run(run)


def test_images_that_are_all_the_same_are_refused(tmp_path: Path, splits: Splits, make_config: Config) -> None:
    same = ImageSet(
        [Source(Item(str(i), 0, "x", str(i)), np.zeros((8, 8), np.uint8)) for i in range(9)], channels=1, size=16
    )
    with pytest.raises(UserError, match="all 9 training images are the same, pixel for pixel"):
        train(make_config(), Splits("x", same, splits.held_out, splits.test), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
