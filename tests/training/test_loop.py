import csv
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unblot.baselines.dae import DenoisingAutoencoder
from unblot.baselines.nested import Nested
from unblot.calibration import calibrate
from unblot.data import DataConfig, Splits, load_data
from unblot.detectors import Batch, Detector, LeaveGroupOut, Phase, Scores, Step, to_signed
from unblot.evaluation import score_set
from unblot.training import NonFiniteLossError, TrainConfig, load_run, train
from unblot.training.checkpoint import read, write

Config = Callable[..., TrainConfig]
Known = Callable[[type[Detector]], type[Detector]]

CLASSES: dict[str, type[Detector]] = {"dae": DenoisingAutoencoder, "nested": Nested}


def rows(run: Path, phase: str = "train") -> list[dict[str, str]]:
    with (run / "log" / f"{phase}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def fail_at(monkeypatch: pytest.MonkeyPatch, cls: type[Detector], call: int, error: BaseException) -> None:
    """Raise ``error`` between two gradient steps (or after the only one) of batch number ``call``, counted from 1."""
    original, calls = cls.training_step, iter(range(1, 10**6))

    def step(self: Detector, phase: str, batch: Batch) -> Iterator[Step]:
        number = next(calls)
        for given in original(self, phase, batch):
            yield given
            if number == call:
                raise error

    monkeypatch.setattr(cls, "training_step", step)


# --- Same seed, same bits


@pytest.mark.parametrize("model", ["dae", "nested"])
def test_the_same_seed_gives_the_same_bits(
    model: str, tmp_path: Path, splits: Splits, make_config: Config, checkpoints: list[bytes]
) -> None:
    for number, seed in enumerate((5, 5, 6)):
        torch.manual_seed(number)  # whatever state torch was in
        train(make_config(model, epochs=2, seed=seed), splits, tmp_path / str(number), progress=False)
    first, second, other = checkpoints[:3], checkpoints[3:6], checkpoints[6:]
    assert first == second
    assert not set(first) & set(other)


@pytest.mark.parametrize("model", ["dae", "nested"])
@pytest.mark.parametrize("at", [2, 4, 9])  # in the first epoch (of 3 batches), the second, the last
def test_a_stopped_and_resumed_run_gives_the_same_bits(
    model: str,
    at: int,
    tmp_path: Path,
    splits: Splits,
    make_config: Config,
    checkpoints: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = make_config(model)
    train(config, splits, tmp_path / "whole", progress=False)
    whole = checkpoints.copy()  # moments of the optimizers included
    checkpoints.clear()
    with monkeypatch.context() as patch:
        fail_at(patch, CLASSES[model], at, RuntimeError("power cut"))
        with pytest.raises(RuntimeError, match="power cut"):
            train(config, splits, tmp_path / "stopped", progress=False)
    assert len(checkpoints) == (at - 1) // 3
    torch.manual_seed(99)
    train(config, splits, tmp_path / "stopped", resume=True, progress=False)
    assert checkpoints == whole
    for name in ("calibration.json", "config.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()
    speed = {"images_per_second": ""}
    assert [r | speed for r in rows(tmp_path / "whole")] == [r | speed for r in rows(tmp_path / "stopped")]


def test_a_run_stopped_in_its_calibration_is_resumed(
    tmp_path: Path, splits: Splits, make_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("unblot.training.threshold.score_batches", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(make_config(), splits, tmp_path / "run", progress=False)
    assert not load_run(tmp_path / "run").position.finished
    train(make_config(), splits, tmp_path / "run", resume=True, progress=False)
    assert load_run(tmp_path / "run").calibration.n == 10


def test_an_epoch_that_is_trained_again_stands_once_in_the_log(
    tmp_path: Path, splits: Splits, make_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(1, 10))

    def fail_second(*given: Any) -> None:
        if next(calls) == 2:  # the epoch's row is in the log, its checkpoint is not on the disk
            raise RuntimeError("power cut")
        write(*given)

    with monkeypatch.context() as patch:
        patch.setattr("unblot.training.loop.write", fail_second)
        with pytest.raises(RuntimeError, match="power cut"):
            train(make_config(), splits, tmp_path / "run", progress=False)
    train(make_config(), splits, tmp_path / "run", resume=True, progress=False)
    assert [row["epoch"] for row in rows(tmp_path / "run")] == ["1", "2", "3"]


def test_a_detector_is_calibrated_in_eval_mode_with_every_held_out_image(
    tmp_path: Path, splits: Splits, make_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []

    def calibrate(self: Detector, held_out: Iterable[Tensor], blotted: Iterable[Tensor], groups: Tensor) -> None:
        assert not any(module.training for module in self.modules())
        assert not torch.is_grad_enabled()
        seen.extend(image for images in held_out for image in images)

    monkeypatch.setattr(DenoisingAutoencoder, "calibrate", calibrate)
    train(make_config(epochs=1), splits, tmp_path / "run", progress=False)
    assert len(seen) == len(splits.held_out)
    assert all(torch.equal(image, to_signed(splits.held_out[i]["image"])) for i, image in enumerate(seen))


def test_the_threshold_is_taken_from_scores_of_images_left_out_where_the_detector_has_them(
    tmp_path: Path, splits: Splits, make_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def left_out_scores(
        self: Detector, held_out: Iterable[Tensor], blotted: Iterable[Tensor], groups: Tensor
    ) -> LeaveGroupOut:
        assert not torch.is_grad_enabled()
        assert groups.tolist() == [splits.held_out[i]["group"] for i in range(len(splits.held_out))]
        return LeaveGroupOut(torch.arange(sum(len(images) for images in held_out)) + 100.0)

    monkeypatch.setattr(DenoisingAutoencoder, "calibrate", left_out_scores)
    train(make_config(epochs=1), splits, tmp_path / "run", progress=False)
    n = len(splits.held_out)
    found = replace(load_run(tmp_path / "run").calibration, map_range=None)
    assert found == calibrate(torch.arange(n) + 100.0, 0.95, promise="cross")
    said = (tmp_path / "run" / "log" / "warnings.txt").read_text()
    assert f"the highest of {n} left-out scores, above which about 1 normal image in {n + 1} lies" in said
    assert "takes 19 (more normal images, a larger --held-out" in said


def test_training_images_that_are_scored_left_out_join_the_threshold(
    tmp_path: Path, make_splits: Callable[..., Splits], make_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = make_splits(30, 8)
    of_training = torch.from_numpy(splits.train.groups)[:10]

    def left_out_scores(
        self: Detector, held_out: Iterable[Tensor], blotted: Iterable[Tensor], groups: Tensor
    ) -> LeaveGroupOut:
        assert not self.training
        return LeaveGroupOut(groups + 0.0, of_training + 100.0, of_training)

    monkeypatch.setattr(DenoisingAutoencoder, "calibrate", left_out_scores)
    train(make_config(epochs=1), splits, tmp_path / "run", progress=False)
    found = load_run(tmp_path / "run").calibration
    assert (found.n, found.left_out) == (18, 10)
    assert found.threshold == int(of_training.max()) + 100
    assert "the highest of 18 left-out scores" in (tmp_path / "run" / "log" / "warnings.txt").read_text()
    both = torch.cat([torch.from_numpy(splits.held_out.groups) + 0.0, of_training + 100.0])
    assert found.threshold == calibrate(both, 0.95).threshold
    assert load_run(tmp_path / "run").calibration == found


@pytest.mark.parametrize(("each", "said"), [(1, None), (10, "the 40 images that the threshold comes from are of 4 g")])
def test_a_threshold_from_few_groups_is_said_to_be_one(
    tmp_path: Path, make_splits: Callable[..., Splits], make_config: Config, each: int, said: str | None
) -> None:
    splits = make_splits(held_out=40)
    splits.held_out._group = np.arange(40) // each
    train(make_config(epochs=1), splits, tmp_path / "run", progress=False)
    warnings = tmp_path / "run" / "log" / "warnings.txt"
    found = warnings.read_text(encoding="utf-8") if warnings.exists() else ""
    assert ("few groups" in found) == (said is not None)
    assert (said or "") in found


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from unblot.data import DataConfig, load_data
from unblot.baselines.dae import DenoisingAutoencoder
from unblot.training import TrainConfig, train

torch.set_num_threads(1)
where, out = sys.argv[1:]
calls = []

def fatal(function, call, counts=lambda *args: True):
    def wrapped(*args):
        if counts(*args):
            calls.append(args)
        if len(calls) == call:
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
        return function(*args)
    return wrapped

if where == "step":  # the second of the second epoch's 4 steps
    DenoisingAutoencoder.training_step = fatal(DenoisingAutoencoder.training_step, 6)
else:  # when the second checkpoint is written, but not yet in its place
    Path.replace = fatal(Path.replace, 2, lambda path, to: to.name == "checkpoint.safetensors")
data = DataConfig("digits", abnormal=("3",), size=8, limit=32)
config = TrainConfig("dae", model_options={"width": 4}, epochs=3, batch_size=8, device="cpu")
train(config, load_data(data), out, data=data, progress=False)
"""


@pytest.mark.parametrize("where", ["step", "replace"])
def test_a_killed_process_leaves_a_whole_checkpoint(where: str, tmp_path: Path, checkpoints: list[bytes]) -> None:
    data = DataConfig("digits", abnormal=("3",), size=8, limit=32)
    config = TrainConfig("dae", model_options={"width": 4}, epochs=3, batch_size=8, device="cpu")
    splits = load_data(data)
    train(config, splits, tmp_path / "whole", data=data, progress=False)
    command = [sys.executable, "-c", KILLED, where, str(tmp_path / "killed")]
    killed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert killed.returncode not in (0, 1), killed.stderr
    if os.name == "posix":
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert read(tmp_path / "killed" / "checkpoint.safetensors").position.epoch == 1
    assert (tmp_path / "killed" / "checkpoint.safetensors").read_bytes() == checkpoints[0]
    train(config, splits, tmp_path / "killed", data=data, resume=True, progress=False)
    last = [tmp_path / run / "checkpoint.safetensors" for run in ("whole", "killed")]
    assert last[0].read_bytes() == last[1].read_bytes()


# --- What comes out


@pytest.mark.parametrize("model", ["dae", "nested"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_trained_detector_scores_as_the_saved_one(
    model: str, channels: int, tmp_path: Path, make_splits: Callable[..., Splits], make_config: Config
) -> None:
    splits = make_splits(channels=channels)
    trained = train(make_config(model, epochs=1), splits, tmp_path / "run", progress=False)
    run = load_run(tmp_path / "run")
    images = to_signed(torch.stack([splits.test[i]["image"] for i in range(len(splits.test))]))
    assert not trained.training
    with torch.no_grad():
        a, b = trained.score(images), run.detector.score(images)
    assert torch.equal(a.image, b.image) and torch.equal(a.map, b.map)
    # Calibrated with the networks as they were saved, in eval mode, by the one scoring path.
    held_out = score_set(run.detector, splits.held_out, progress=False)
    assert run.calibration.threshold == pytest.approx(calibrate(held_out.image, 0.95).threshold, rel=1e-5)


@pytest.mark.parametrize(("model", "loss"), [("dae", "reconstruction"), ("nested", "contextual")])
def test_training_on_digits_lowers_the_loss(model: str, loss: str, tmp_path: Path, make_config: Config) -> None:
    splits = load_data(DataConfig("digits", abnormal=("3",), size=16, limit=128))
    train(make_config(model, epochs=4, lr=2e-3), splits, tmp_path / "run", progress=False)
    history = [float(row[loss]) for row in rows(tmp_path / "run")]
    assert history[-1] < 0.8 * history[0]
    assert history == sorted(history, reverse=True)


@pytest.mark.parametrize("corruption", ["none", "gaussian"])
def test_any_corruption_trains(corruption: str, tmp_path: Path, splits: Splits, make_config: Config) -> None:
    detector = train(make_config(epochs=1, corruption=corruption), splits, tmp_path / "run", progress=False)
    assert all(value.isfinite().all() for value in detector.state_dict().values())


@pytest.mark.parametrize("model", ["dae", "nested"])
def test_bf16(model: str, tmp_path: Path, splits: Splits, make_config: Config) -> None:
    low = train(make_config(model, epochs=1, precision="bf16"), splits, tmp_path / "low", progress=False).state_dict()
    full = train(make_config(model, epochs=1), splits, tmp_path / "full", progress=False).state_dict()
    assert all(value.dtype == full[name].dtype for name, value in low.items())  # weights stay float32
    weights = [name for name, value in full.items() if value.is_floating_point() and "running" not in name]
    assert any(not torch.equal(low[name], full[name]) for name in weights)  # it did compute otherwise
    assert all(torch.allclose(low[name], full[name], atol=5e-3) for name in weights)  # but not another thing


def test_the_learning_rate_decays_linearly_over_a_phase(tmp_path: Path, splits: Splits, make_config: Config) -> None:
    train(make_config(epochs=4, lr=0.001), splits, tmp_path / "run", progress=False)
    rates = [float(row["lr_autoencoder"]) for row in rows(tmp_path / "run")]
    assert rates == pytest.approx([0.001, 0.00075, 0.0005, 0.00025])


def test_tensorboard_reads_the_log(tmp_path: Path, splits: Splits, make_config: Config) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    train(make_config(epochs=2), splits, tmp_path / "run", progress=False)
    log = accumulator.EventAccumulator(str(tmp_path / "run" / "log")).Reload()
    scalars = log.Scalars("train/reconstruction")
    assert [scalar.step for scalar in scalars] == [3, 6]
    assert [scalar.value for scalar in scalars] == pytest.approx(
        [float(row["reconstruction"]) for row in rows(tmp_path / "run")]
    )


def test_a_last_batch_of_one_image_is_left_out(
    tmp_path: Path, make_splits: Callable[..., Splits], make_config: Config
) -> None:
    """BatchNorm at 1×1 cannot normalise one image; nested reaches 1×1 at 16 pixels."""
    train(make_config("nested", epochs=1), make_splits(9), tmp_path / "run", progress=False)
    assert rows(tmp_path / "run")[0]["step"] == "1"


# --- When something is wrong


def test_a_loss_that_is_not_finite_stops_the_run(
    tmp_path: Path, splits: Splits, make_config: Config, monkeypatch: pytest.MonkeyPatch, checkpoints: list[bytes]
) -> None:
    original, calls = Nested.training_step, iter(range(1, 100))

    def step(self: Nested, phase: str, batch: Batch) -> Iterator[Step]:
        nan = torch.tensor(float("nan") if next(calls) == 5 else 0.0)
        for given in original(self, phase, batch):
            losses = dict(given.losses)
            if "latent" in losses:
                losses["latent"] = losses["latent"] + nan
            yield replace(given, losses=losses)

    monkeypatch.setattr(Nested, "training_step", step)
    with pytest.raises(
        NonFiniteLossError,
        match=r"train 2/3: latent became nan at step 2\. .*checkpoint.safetensors keeps the last.*lr .*0.0002.*fp32",
    ):
        train(make_config("nested", precision="bf16"), splits, tmp_path / "run", progress=False)
    assert (tmp_path / "run" / "checkpoint.safetensors").read_bytes() == checkpoints[-1]
    assert read(tmp_path / "run" / "checkpoint.safetensors").position.epoch == 1
    assert len(rows(tmp_path / "run")) == 1


@pytest.mark.parametrize(
    ("real", "fake", "said"),
    [
        (8.0, -8.0, "discriminator won"),
        (8.0, 8.0, "discriminator constant"),
        (-8.0, -8.0, "discriminator constant"),
        (1.0, -1.0, None),
        (0.0, 0.0, None),  # both 0.5: what a GAN hopes for
    ],
)
def test_a_collapsed_discriminator_is_said_once(
    real: float,
    fake: float,
    said: str | None,
    tmp_path: Path,
    splits: Splits,
    make_config: Config,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    original = Nested.training_step

    def step(self: Nested, phase: str, batch: Batch) -> Iterator[Step]:
        logs = {"d_real": torch.tensor(real).sigmoid(), "d_fake": torch.tensor(fake).sigmoid()}
        for given in original(self, phase, batch):
            yield replace(given, logs=logs if given.logs else {})

    monkeypatch.setattr(Nested, "training_step", step)
    train(make_config("nested"), splits, tmp_path / "run", progress=False)
    warnings = tmp_path / "run" / "log" / "warnings.txt"
    if said is None:
        assert "discriminator" not in caplog.text
        (line,) = warnings.read_text(encoding="utf-8").splitlines()
        assert line.startswith("few held-out images")
    else:
        assert caplog.text.count(said) == 1
        assert warnings.read_text(encoding="utf-8").count(said) == 1


def test_interrupting_keeps_the_last_epoch_and_says_how_to_go_on(
    tmp_path: Path, splits: Splits, make_config: Config, monkeypatch: pytest.MonkeyPatch, checkpoints: list[bytes]
) -> None:
    with monkeypatch.context() as patch:
        fail_at(patch, DenoisingAutoencoder, 5, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt) as stopped:
            train(make_config(), splits, tmp_path / "run", progress=False)
    assert "--resume" in stopped.value.__notes__[0]
    assert (tmp_path / "run" / "checkpoint.safetensors").read_bytes() == checkpoints[0]


def test_without_held_out_images_there_is_no_threshold(
    tmp_path: Path, make_splits: Callable[..., Splits], make_config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    train(make_config(epochs=1), make_splits(held_out=0), tmp_path / "run", progress=False)
    assert "no threshold" in caplog.text
    assert load_run(tmp_path / "run").threshold is None


# --- The loop trains detectors that it does not know


class Memory(Detector):
    """Two phases: a network learns, then a memory of its features is built without a gradient step.

    Scoring searches at test time: a shift of the image that brings its features nearest to the memory.
    """

    name = "memory"
    size_min = 16

    def __init__(self, *, channels: int, size: int) -> None:
        super().__init__(channels=channels, size=size)
        self.network = nn.Sequential(nn.Conv2d(channels, 4, 4, 4), nn.BatchNorm2d(4))
        self.head = nn.Conv2d(4, channels, 1)
        self.backbone = nn.Sequential(nn.Conv2d(channels, channels, 4, 4), nn.BatchNorm2d(channels))  # frozen
        self.memory: Tensor
        self.scale: Tensor
        self.register_buffer("memory", torch.empty(0, 4))
        self.register_buffer("scale", torch.ones(()))
        self.seen: list[Tensor] = []
        self.calls: list[str] = []
        self.drawn: list[int] = []

    def phases(self, lr: float) -> Sequence[Phase]:
        return [
            Phase(
                "learn", {"both": torch.optim.SGD([*self.network.parameters(), *self.head.parameters()], lr)}, epochs=2
            ),
            Phase("remember", {}),
        ]

    def training_step(self, phase: str, batch: Batch) -> Iterator[Step]:
        self.drawn.append(int(torch.randint(2**31, ())))
        if phase == "remember":
            assert not torch.is_grad_enabled() and not self.network.training
            self.seen.append(self.network(batch.clean).mean((2, 3)))
            return
        assert self.network.training and not self.backbone.training
        for _ in range(2):
            loss = nn.functional.mse_loss(self.head(self.network(batch.noisy)), self.backbone(batch.clean).detach())
            before = self.head.weight.detach().clone()
            yield Step("both", {"distance": loss})
            assert not torch.equal(before, self.head.weight)  # the step was taken before the generator went on

    def finish_phase(self, phase: str) -> None:
        self.calls.append(phase)
        if phase == "remember":
            self.memory = torch.cat(self.seen)

    def calibrate(self, held_out: Iterable[Tensor], blotted: Iterable[Tensor], groups: Tensor) -> None:
        self.calls.append("calibrate")
        assert not self.training
        images = torch.cat(list(held_out))
        assert images.abs().max() <= 1
        self.scale.copy_(self.score(images).image.mean())

    def score(self, images: Tensor) -> Scores:
        with torch.enable_grad():
            shift = torch.zeros(len(images), 1, 1, 1, device=images.device, requires_grad=True)
            for _ in range(3):
                distance = torch.cdist(self.network(images + shift).mean((2, 3)), self.memory).amin(1)
                (gradient,) = torch.autograd.grad(distance.sum(), shift)
                shift = (shift - 0.1 * gradient).detach().requires_grad_()
        score = distance.detach() / self.scale
        return Scores(score, score[:, None, None, None].expand(-1, 1, self.size, self.size))


def test_phases_a_memory_a_backbone_and_a_search_need_nothing_from_the_loop(
    tmp_path: Path, splits: Splits, known: Known, monkeypatch: pytest.MonkeyPatch, checkpoints: list[bytes]
) -> None:
    made: list[Memory] = []

    class Kept(Memory):
        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            made.append(self)

    known(Kept)
    config = TrainConfig("memory", epochs=5, batch_size=8, device="cpu")
    trained = train(config, splits, tmp_path / "run", progress=False)
    used, loaded = made  # one described and trained, one read back
    assert used.calls == ["learn", "remember", "calibrate"]
    assert len(used.drawn) >= 3
    assert len(set(used.drawn)) == len(used.drawn)  # no epoch of one phase repeats the random numbers of another's
    assert trained is loaded
    assert loaded.memory.shape == (20, 4)
    assert torch.equal(loaded.memory, used.memory)
    assert torch.equal(loaded.scale, used.scale) and used.scale != 1
    backbone = used.backbone[1]
    assert isinstance(backbone, nn.BatchNorm2d) and backbone.num_batches_tracked == 0
    assert len(rows(tmp_path / "run", "learn")) == 2  # the phase's own number of epochs
    assert len(rows(tmp_path / "run", "remember")) == 1  # one pass
    assert load_run(tmp_path / "run").calibration.n == 10

    # Stopped in either phase, it goes on from there to the same bits.
    whole = checkpoints.copy()
    for at in (5, 8):
        checkpoints.clear()
        with monkeypatch.context() as patch:
            fail_at_start(patch, Kept, at)
            with pytest.raises(RuntimeError, match="power cut"):
                train(config, splits, tmp_path / str(at), progress=False)
        train(config, splits, tmp_path / str(at), resume=True, progress=False)
        assert checkpoints == whole


def fail_at_start(monkeypatch: pytest.MonkeyPatch, cls: type[Detector], call: int) -> None:
    original, calls = cls.training_step, iter(range(1, 10**6))

    def step(self: Detector, phase: str, batch: Batch) -> Iterator[Step]:
        if next(calls) == call:
            raise RuntimeError("power cut")
        return original(self, phase, batch)

    monkeypatch.setattr(cls, "training_step", step)


@pytest.mark.slow
def test_two_processes_train_one_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    data = DataConfig("digits", abnormal=("3",), size=8, limit=33)
    config = TrainConfig("dae", model_options={"width": 4}, epochs=3, batch_size=4, lr=5e-3, device="cpu", devices=2)
    train(config, load_data(data), tmp_path / "run", data=data, progress=False)
    run = load_run(tmp_path / "run")
    assert run.position.step == 3 * 16 / 4  # 33 images: 16 for each, 4 at a time
    assert run.calibration.n > 0
    history = [float(row["reconstruction"]) for row in rows(tmp_path / "run")]
    assert history[-1] < history[0]


def test_after_epoch_sees_every_epoch_and_changes_no_bit(
    make_config: Callable[..., TrainConfig], splits: Splits, tmp_path: Path
) -> None:
    seen = []

    def watch(detector: Detector, epoch: int) -> None:
        seen.append((epoch, float(score_set(detector, splits.test, progress=False).image.sum())))
        torch.rand(3)  # draws from torch's generator, which the loop seeds

    config = make_config("nested", epochs=2)
    train(config, splits, tmp_path / "watched", progress=False, after_epoch=watch)
    plain = train(config, splits, tmp_path / "plain", progress=False)
    assert [epoch for epoch, _ in seen] == [1, 2]
    assert seen[0][1] != seen[1][1]
    assert seen[1][1] == float(score_set(plain, splits.test, progress=False).image.sum())
    assert (tmp_path / "watched/checkpoint.safetensors").read_bytes() == (
        tmp_path / "plain/checkpoint.safetensors"
    ).read_bytes()
