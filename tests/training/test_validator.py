"""Choosing an epoch by held-out normals and a corruption left out of training."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unblot.corruption.spec import BoxNoise
from unblot.data import Splits
from unblot.detectors import Batch, Detector, Phase, Scores, Step
from unblot.errors import UserError
from unblot.training import TrainConfig, load_run, train
from unblot.training.checkpoint import read
from unblot.training.validator import SyntheticValidator, blots

Config = Callable[..., TrainConfig]
GOOD_EPOCH = 2


class Counting(Detector):
    """Scores the roughness of an image, with the right sign in one epoch alone; ``steps`` counts what was trained."""

    name = "counting"

    def __init__(self, *, channels: int, size: int) -> None:
        super().__init__(channels=channels, size=size)
        self.network = nn.Linear(1, 1, bias=False)
        self.steps: Tensor
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def phases(self, lr: float) -> Sequence[Phase]:
        return [Phase("train", {"network": torch.optim.SGD(self.network.parameters(), lr)}, judged=self)]

    def training_step(self, phase: str, batch: Batch) -> Iterator[Step]:
        yield Step("network", {"loss": self.network(batch.clean.mean()[None]).square().sum()})
        self.steps += 1

    def score(self, images: Tensor) -> Scores:
        sign = 1 if self.steps == 3 * GOOD_EPOCH else -1  # 20 images in batches of 8 are 3 steps
        rough = images.diff(dim=3, append=images[..., -1:]).abs().sqrt().mean(1, keepdim=True)
        return Scores(sign * rough.mean((1, 2, 3)), rough)


@pytest.fixture
def judged(make_config: Config, known: Callable[[type[Detector]], type[Detector]]) -> Config:
    known(Counting)

    def make(**settings: Any) -> TrainConfig:
        return make_config(**({"model": "counting", "corruption": "gaussian", "judge": "box", "epochs": 4} | settings))

    return make


def test_blotted_images_are_the_same_each_time_and_in_any_batch(splits: Splits) -> None:
    images = splits.held_out
    whole, parts = (
        torch.cat([*SyntheticValidator(images, [blots(BoxNoise())], n).blotted(torch.device("cpu"))])
        for n in (len(images), 3)
    )
    clean = torch.cat([*SyntheticValidator(images, [blots(BoxNoise())], 3).normal(torch.device("cpu"))])
    assert torch.equal(whole, parts)
    assert len(clean) == len(images) == 10
    assert len(whole) == 20, "a few images are judged by several times"
    assert (whole != torch.cat([clean, clean])).flatten(1).any(1).all()
    assert (whole[:10] != whole[10:]).flatten(1).any(1).all()


@pytest.mark.parametrize(("room", "calls"), [(2**20, 8), (0, 16)])
def test_blotted_images_are_made_once_where_there_is_room(
    splits: Splits, monkeypatch: pytest.MonkeyPatch, room: int, calls: int
) -> None:
    made = []

    def family(images: Tensor, keys: Sequence[int]) -> Tensor:
        made.append(list(keys))
        return 255 - images

    monkeypatch.setattr("unblot.training.validator.KEPT", room)
    judge = SyntheticValidator(splits.held_out, [family], 3)
    first, second = ([*judge.blotted(torch.device("cpu"))] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert len(made) == calls  # 10 images twice, 3 at a time


def test_the_best_judged_epoch_stays(tmp_path: Path, splits: Splits, judged: Config) -> None:
    detector = train(judged(), splits, tmp_path / "run", progress=False)
    assert detector.get_buffer("steps") == 3 * GOOD_EPOCH
    train(judged(judge="none"), splits, tmp_path / "last", progress=False)
    assert load_run(tmp_path / "last").detector.get_buffer("steps") == 3 * 4


def test_a_killed_run_remembers_its_best_epoch(
    tmp_path: Path, splits: Splits, judged: Config, checkpoints: list[bytes]
) -> None:
    train(judged(), splits, tmp_path / "whole", progress=False)
    whole = (tmp_path / "whole" / "checkpoint.safetensors").read_bytes()
    third = checkpoints[2]  # after the best epoch, before the end
    folder = tmp_path / "killed"
    folder.mkdir()
    (folder / "config.json").write_text((tmp_path / "whole" / "config.json").read_text())
    (folder / "checkpoint.safetensors").write_bytes(third)
    best = read(folder / "checkpoint.safetensors").best
    assert best is not None and best.tensors["steps"] == 3 * GOOD_EPOCH
    train(judged(), splits, folder, resume=True, progress=False)
    assert (folder / "checkpoint.safetensors").read_bytes() == whole


def test_the_judgement_is_logged(tmp_path: Path, splits: Splits, judged: Config) -> None:
    train(judged(), splits, tmp_path / "run", progress=False)
    lines = (tmp_path / "run" / "log" / "train.csv").read_text().splitlines()
    column = lines[0].split(",").index("judged_auroc")
    values = [float(line.split(",")[column]) for line in lines[1:]]
    assert values.index(max(values)) == GOOD_EPOCH - 1


def test_the_family_must_be_left_out_of_training(tmp_path: Path, splits: Splits, judged: Config) -> None:
    with pytest.raises(UserError, match="judge 'box' is the corruption that this run trains on"):
        train(judged(corruption="box"), splits, tmp_path / "run", progress=False)
    with pytest.raises(UserError, match="judge: no corruption named 'boxes'"):
        train(judged(judge="boxes"), splits, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


class Deciding(Counting):
    """Says how many blotted images its calibration saw."""

    name = "deciding"
    seen = 0

    def calibrate(self, held_out: Any, blotted: Any, groups: Any) -> None:
        self.seen = sum(map(len, blotted))

    def notes(self) -> dict[str, Any]:
        return {"blotted": self.seen}


def test_what_a_detector_decided_is_written_down(
    tmp_path: Path, splits: Splits, judged: Config, known: Callable[[type[Detector]], type[Detector]]
) -> None:
    known(Deciding)
    train(judged(model="deciding", epochs=1), splits, tmp_path / "run", progress=False)
    assert load_run(tmp_path / "run").provenance["decided"] == {"blotted": 2 * len(splits.held_out)}
