"""``--backbone`` and ``--weights``: what they are short for, through each door."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from unblot import cli
from unblot.sklearn import AnomalyDetector

timm = pytest.importorskip("timm")

OWN = {"backbone": "test_vit", "blocks": [5], "coreset_size": 20}
WORDS = ["--model", "memory", "--backbone", "test_vit", "--set", "blocks=[5]", "--set", "coreset_size=20"]


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures, and beside them weights of timm's smallest transformer; what lies there is named without a path."""
    rng = np.random.default_rng(0)
    for kind, count in (("good", 16), ("bad", 4)):
        (tmp_path / "parts" / kind).mkdir(parents=True)
        for number in range(count):
            picture = Image.fromarray(rng.integers(0, 256, (4, 4), np.uint8)).resize((64, 64))
            picture.save(tmp_path / "parts" / kind / f"{number}.png")
    torch.manual_seed(3)
    save_file(timm.create_model("test_vit").state_dict(), tmp_path / "vit.safetensors")
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    return tmp_path / "parts"


def run(*words: object) -> Any:
    return CliRunner().invoke(cli.app, [str(word) for word in words])


def common(parts: Path) -> list[object]:
    return [parts, "--normal", "good", "--abnormal", "bad", "--size", 64, "--device", "cpu", "--quiet"]


def backbone_of(folder: Path) -> dict[str, torch.Tensor]:
    from unblot.training import load_run

    found = load_run(folder).detector.state_dict()
    return {name: value for name, value in found.items() if name.startswith("backbone.")}


def test_every_door_takes_weights_from_a_file(parts: Path, tmp_path: Path) -> None:
    file = tmp_path / "vit.safetensors"
    trained = run("train", *common(parts), *WORDS, "--weights", "vit.safetensors", "--out", "by flags")
    assert trained.exit_code == 0, trained.output
    compared = run(
        "compare", *common(parts), "--models", "memory", *WORDS[2:], "--weights", "vit.safetensors", "--out", "grid"
    )
    assert compared.exit_code == 0, compared.output
    estimator = AnomalyDetector("memory", size=64, model_options={**OWN, "weights": str(file)}, random_state=0)
    pixels = np.stack([np.asarray(Image.open(path)) for path in sorted((parts / "good").iterdir())])
    estimator.fit(pixels)
    (in_grid,) = (tmp_path / "grid" / "runs").iterdir()
    table = (tmp_path / "grid" / "table.md").read_text(encoding="utf-8")
    assert "memory with test_vit, weights of the file vit.safetensors, sha256" in table
    assert str(tmp_path) not in table
    expected = {f"backbone.network.model.{n}": t for n, t in timm_state(file).items() if not n.startswith("head.")}
    for found in (backbone_of(tmp_path / "by flags"), backbone_of(in_grid)):
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in found)
    own = estimator.detector_.state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in expected.items())
    options = json.loads((tmp_path / "by flags" / "config.json").read_text())["detector"]["options"]
    assert options["weights"] == str(file), "where it lay then, from wherever the run is read"


def timm_state(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return dict(load_file(path))


def test_the_report_says_where_the_weights_are_from(parts: Path, tmp_path: Path) -> None:
    assert run("train", *common(parts), *WORDS, "--weights", "vit.safetensors", "--out", "run").exit_code == 0
    (tmp_path / "vit.safetensors").unlink()
    result = run("eval", "run", "--quiet", "--json")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "run" / "eval" / "report.html").read_text(encoding="utf-8")
    assert "Weights of the backbone: test_vit, weights of the file vit.safetensors, sha256" in page


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--weights", "gone.safetensors"], "no file of weights at gone.safetensors"),
        (["--set", "weights=gone.safetensors"], "no file of weights at gone.safetensors"),
        (["--backbone", "vit_small_patch14_dinov4"], "did you mean vit_small_patch14_dinov2"),
        (["--backbone", "resnet18"], "blocks"),
        (["--backbone", "filters", "--set", "blocks=[]", "--weights", "vit.safetensors"], "takes no weights"),
    ],
)
def test_what_cannot_serve_is_refused_before_any_work(words: list[str], said: str, parts: Path) -> None:
    result = run("train", *common(parts), *WORDS, *words, "--out", "run")
    assert result.exit_code == 2, result.output
    assert said in " ".join(result.stderr.split())
    assert not Path("run/checkpoint.safetensors").exists()


def test_a_detector_without_features_has_no_backbone(parts: Path) -> None:
    result = run("train", *common(parts), "--model", "dae", "--backbone", "resnet18")
    assert result.exit_code == 2
    assert "dae: there is no option 'backbone'" in result.stderr
