"""``unblot backbones``: what is listed is what can be used, and what is said of it comes from timm."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from unblot import cli
from unblot.backbones import listing
from unblot.backbones.frozen import OWN, PACKAGED
from unblot.errors import UserError

timm = pytest.importorskip("timm")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: pytest.fail("asked a network"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    torch.set_num_threads(1)


def run(*words: str) -> Any:
    return CliRunner().invoke(cli.app, ["backbones", *words])


def found(*words: str) -> dict[str, dict[str, Any]]:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return {one["name"]: one for one in json.loads(result.stdout)["backbones"]}


def test_the_verified_are_listed_with_what_timm_says_of_them() -> None:
    every = found()
    assert list(every) == [*OWN, *listing.VERIFIED]
    for name in listing.VERIFIED:
        config, one = timm.get_pretrained_cfg(name), every[name]
        assert (one["weights"], one["licence"]) == (config.tag, config.license)
        assert one["speed"] is None, "nothing is measured unless it is asked for"
    assert every[PACKAGED]["at_hand"] == "installed"
    assert every["resnet18"]["at_hand"] == "download or file"
    assert every["filters"]["at_hand"] == "none needed"
    vit = every["vit_small_patch14_reg4_dinov2"]
    assert vit["features"] == "12 blocks, patches of 14 px"
    parameters = sum(p.numel() for p in timm.create_model("resnet18", num_classes=0).parameters())
    assert every["resnet18"]["mib"] == pytest.approx(parameters * 4 / 2**20, abs=0.1)


def test_what_is_in_the_cache_is_listed_as_such(tmp_path: Path) -> None:
    home = tmp_path / "models--timm--test_vit.r160_in1k"
    for folder in ("refs", "snapshots/abc"):
        (home / folder).mkdir(parents=True)
    (home / "refs/main").write_text("abc")
    (home / "snapshots/abc/model.safetensors").touch()
    assert found()["test_vit.r160_in1k"]["at_hand"] == "cached"


def test_a_pattern_lists_others_and_leaves_out_what_gives_no_features(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = listing.listed

    def listed(name: str) -> listing.Listed:
        if name == "test_vit2":
            raise UserError("test_vit2 gives no features")
        return plain(name)

    monkeypatch.setattr(listing, "listed", listed)
    result = run("test_vit*")
    assert result.exit_code == 0, result.output
    assert "left out  test_vit2 gives no features" in result.stdout
    assert "test_vit " in result.stdout and "test_vit3 " in result.stdout


def test_one_that_was_never_published_needs_a_file() -> None:
    assert found("swinv2_cr_tiny_224")["swinv2_cr_tiny_224"]["at_hand"] == "file"


def test_speed_is_measured_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "SECONDS", 0.0)
    result = run("test_resnet", "--speed", "--size", "64")
    assert result.exit_code == 0, result.output
    assert "at 64 px" in result.stdout
    assert "with random weights" in result.stdout
    assert found("test_vit", "--speed", "--size", "64")["test_vit"]["timed_at"] == 224, "what fits a transformer"


def test_an_unknown_name_is_refused_with_what_is_like_it() -> None:
    result = run("dinov2")
    assert result.exit_code == 2
    assert "did you mean" in result.stderr and "dinov2" in result.stderr
