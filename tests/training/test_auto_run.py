"""A fusion trained, killed and read back like any other detector."""

import json
from collections.abc import Callable
from pathlib import Path

import torch

from unblot.data import Splits
from unblot.models import to_signed
from unblot.training import TrainConfig, load_run, train

OPTIONS = {
    "parts": ["dae", "mask"],
    "sizes": {"dae": 32},
    "part_options": {"dae": {"width": 4, "latent": 4}, "mask": {"width": 2}},
}


def test_auto_trains_each_part_logs_it_and_is_resumed_to_the_same_bits(
    tmp_path: Path, make_splits: Callable[..., Splits], checkpoints: list[bytes]
) -> None:
    splits = make_splits(12, size=64)
    config = TrainConfig("auto", model_options=OPTIONS, corruption="mixed", epochs=2, batch_size=8, device="cpu")
    whole = tmp_path / "whole"
    trained = train(config, splits, whole, progress=False)
    assert {p.name for p in (whole / "log").glob("*.csv")} == {"dae-train.csv", "mask-train.csv"}
    notes = json.loads((whole / "notes.json").read_text())
    assert set(notes["weights"]) == {"dae", "mask"}
    assert sum(notes["weights"].values()) == 1.0 or abs(sum(notes["weights"].values()) - 1) < 1e-3
    folder = tmp_path / "killed"
    folder.mkdir()
    (folder / "config.json").write_text((whole / "config.json").read_text())
    (folder / "checkpoint.safetensors").write_bytes(checkpoints[2])  # in the middle of the second part
    train(config, splits, folder, resume=True, progress=False)
    assert (folder / "checkpoint.safetensors").read_bytes() == (whole / "checkpoint.safetensors").read_bytes()
    again = load_run(whole).detector
    images = torch.rand(2, again.channels, 64, 64) * 2 - 1
    torch.testing.assert_close(again.eval().score(images).image, trained.eval().score(images).image)


def test_a_memory_takes_its_threshold_from_training_images_too(
    tmp_path: Path, make_splits: Callable[..., Splits]
) -> None:
    splits = make_splits(12, size=64)
    options = {"teacher": "filters", "entries": 50}
    config = TrainConfig("memory", model_options=options, corruption="none", quantile=0.5, batch_size=8, device="cpu")
    train(config, splits, tmp_path / "run", progress=False)
    run = load_run(tmp_path / "run")
    assert (run.calibration.n, run.calibration.left_out) == (22, 12)
    with torch.no_grad():
        seen = torch.stack([to_signed(splits.train[i]["image"]) for i in range(12)])
        scores = run.detector.eval().score(seen).image
        found = run.detector.score_left_out(seen, torch.from_numpy(splits.train.groups))
    assert found is not None
    assert (found > scores).all(), "without its like an image stands out more"
    assert run.calibration.threshold > scores.max()
