"""Two processes under ``torchrun`` train as one does: same batches, same blots, nearly the same loss."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unblot.calibration import calibrate
from unblot.data import DataConfig, load_data
from unblot.evaluation import score_set
from unblot.training import TrainConfig, load_run
from unblot.training.engine import others_ended
from unblot.training.run_files import CHECKPOINT

SCRIPT = """
import hashlib, json, os, signal, sys
from pathlib import Path
import torch
from torch import nn
from unblot.data import DataConfig, load_data
from unblot.detectors import Detector, Phase, Scores, Step, register
from unblot.training import TrainConfig, train

out, batch, model, die = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
torch.set_num_threads(1)
rank = int(os.environ.get("RANK", "0"))
seen = []

@register
class Plain(Detector):
    name = "plain"  # no BatchNorm: what it computes for an image depends on no other
    def __init__(self, *, channels, size):
        super().__init__(channels=channels, size=size)
        convs = [nn.Conv2d(a, b, 3, padding=1) for a, b in ((channels, 8), (8, channels))]
        self.network = nn.Sequential(convs[0], nn.Tanh(), convs[1])
    def phases(self, lr):
        return [Phase("train", {"network": torch.optim.SGD(self.network.parameters(), lr)})]
    def training_step(self, phase, batch):
        for index, image in zip(batch.index.tolist(), batch.noisy, strict=True):
            seen.append((index, hashlib.sha256(image.numpy().tobytes()).hexdigest()))
        if die and rank == 1 and len(seen) > die:
            os.kill(os.getpid(), signal.SIGKILL)
        yield Step("network", {"squares": (self.network(batch.noisy) - batch.clean).square().mean()})
    def score(self, images):
        squares = (self.network(images) - images).square().mean(1, keepdim=True)
        return Scores(squares.flatten(1).mean(1), squares)

data = DataConfig("digits", abnormal=("3",), size=8, limit=64)
config = TrainConfig(model, epochs=3, batch_size=batch, lr=0.05 if model == "plain" else 2e-4, device="cpu",
    model_options={} if model == "plain" else {"width": 4})
train(config, load_data(data), out, data=data, progress=False, resume=out.exists() and bool(sys.argv[5:]))
(out.parent / f"{out.name}-{rank}.json").write_text(json.dumps(seen))
"""

ALIKE = """
import hashlib, json, os, sys
from itertools import chain
from pathlib import Path
import torch
from unblot.calibration.positionwise import PositionwiseNormalizer
from unblot.data import DataConfig, load_data
from unblot.evaluation import score_set
from unblot.layers.bank import Bank
from unblot.training import TrainConfig, load_run, loop, train
from unblot.training.engine import average_gradients, average_values, make_fabric
from unblot.training.validator import SyntheticValidator

folder, rank = Path(sys.argv[1]), int(os.environ["RANK"])
torch.set_num_threads(1)
built, apart = [], False

def after(owner, name, change):
    plain = getattr(owner, name)
    def changed(*given, **named):
        found = plain(*given, **named)
        return change(found, *given) if apart else found
    setattr(owner, name, changed)

def other_weights(detector, *_):
    with torch.no_grad():
        for parameter in detector.parameters():
            parameter.add_(0.01)
    return detector

def fewer_entries(_, bank):
    bank.memory, bank.typical, bank.groups = bank.memory[1:], bank.typical[1:], bank.groups[1:]

def other_places(_, places, maps):
    places.mean = places.mean + 1

if rank == 1:
    after(loop, "build", other_weights)
    after(Bank, "finish", fewer_entries)
    after(PositionwiseNormalizer, "fit", other_places)
    after(SyntheticValidator, "auroc", lambda found, *_: 1 - found)  # prefers the worst epoch
build = loop.build
loop.build = lambda *given: built.append(build(*given)) or built[-1]

data = DataConfig("digits", abnormal=("3",), size=64, limit=12)
splits = load_data(data)
memory, marker = {"strides": (8,), "coreset_size": 50}, {"stride": 8, "width": 4}
options = {"auto": memory | {"steps": 4}, "memory": memory, "feature_mask": marker}
told = {}
for model, own in options.items():
    for apart in (True,) if model == "memory" else (False, True):
        out = folder / f"{model}-{apart}"
        judge = "gaussian" if model == "feature_mask" else "none"
        config = TrainConfig(model, epochs=2, batch_size=3, device="cpu", judge=judge,
            model_options={"backbone": "filters", **own})
        train(config, splits, out, data=data, progress=False)
        detector = built[-1]
        tensors = {name: hashlib.sha256(repr(tensor.shape).encode() + tensor.detach().numpy().tobytes()).hexdigest()
            for name, tensor in chain(detector.named_parameters(), detector.named_buffers())}
        scores = score_set(detector, splits.held_out, progress=False).image.tolist()
        threshold = load_run(out).calibration.threshold
        told[out.name] = {"tensors": tensors, "scores": scores, "threshold": threshold}

fabric = make_fabric(config)
fabric.launch()
means = average_values(fabric, {"both": 1.0, "first": 3.0} if rank == 0 else {"second": 5.0, "both": 2.0})
parameters = [torch.nn.Parameter(torch.zeros(2)) for _ in range(3)]
parameters[0].grad = torch.full((2,), 1.0 + rank)
parameters[1].grad = torch.full((2,), 4.0) if rank == 1 else None
average_gradients(fabric, torch.optim.SGD(parameters, 0.1))
told["means"] = [means, [None if p.grad is None else p.grad.tolist() for p in parameters]]
(folder / f"{rank}.json").write_text(json.dumps(told))
"""


def start(
    folder: Path, out: str, *, processes: int, batch: int, model: str = "plain", die: int = 0, resume: bool = False
) -> Any:
    words = [str(folder / out), str(batch), model, str(die), *(["resume"] if resume else [])]
    return run_script(folder, SCRIPT, words, processes)


def run_script(folder: Path, script: str, words: list[str], processes: int) -> Any:
    (folder / "script.py").write_text(script, encoding="utf-8")
    runner = (
        ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)] if processes > 1 else []
    )
    words = [str(folder / "script.py"), *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [sys.executable, *runner, *words], capture_output=True, text=True, check=False, env=environment
    )


def losses(run: Path, name: str) -> list[float]:
    with (run / "log" / "train.csv").open(encoding="utf-8", newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``run2``, trained by two processes."""
    folder = tmp_path_factory.mktemp("pair")
    two = start(folder, "run2", processes=2, batch=8)
    assert two.returncode == 0, two.stderr
    return folder


@pytest.mark.slow
def test_two_processes_see_the_bits_of_one_and_learn_the_same(pair: Path) -> None:
    tmp_path = pair
    one = start(tmp_path, "run1", processes=1, batch=16)
    assert one.returncode == 0, one.stderr
    alone = [tuple(pair) for pair in json.loads((tmp_path / "run1-0.json").read_text())]
    shares = [json.loads((tmp_path / f"run2-{rank}.json").read_text()) for rank in (0, 1)]
    assert len(alone) == 3 * 64 == sum(map(len, shares))
    # The same global batches, and in them the same corrupted pixels, bit for bit.
    for start_of in range(0, len(alone), 16):
        both = [tuple(p) for share in shares for p in share[start_of // 2 : start_of // 2 + 8]]
        assert set(both) == set(alone[start_of : start_of + 16])
    # The mean gradient is the same but for the order of sums.
    wanted, found = losses(tmp_path / "run1", "squares"), losses(tmp_path / "run2", "squares")
    assert found == pytest.approx(wanted, rel=1e-5)
    weights = [_weights(tmp_path / run) for run in ("run1", "run2")]
    for name, value in weights[0].items():
        assert torch.allclose(value, weights[1][name], rtol=1e-4, atol=1e-6), name
    calibrations = [json.loads((tmp_path / run / "calibration.json").read_text()) for run in ("run1", "run2")]
    assert calibrations[1]["n"] == calibrations[0]["n"]
    assert calibrations[1]["threshold"] == pytest.approx(calibrations[0]["threshold"], rel=1e-4)


def _weights(run: Path) -> dict[str, torch.Tensor]:
    from unblot.training.checkpoint import read

    return {name: value for name, value in read(run / CHECKPOINT).tensors.items() if name.startswith("model/")}


@pytest.mark.slow
def test_a_process_that_dies_ends_the_job_with_a_name_and_a_checkpoint_that_resumes(pair: Path, tmp_path: Path) -> None:
    ended = start(tmp_path, "run", processes=2, batch=8, die=40)  # in the second of three epochs
    assert ended.returncode != 0
    assert "SIGKILL" in ended.stderr or "Signal 9" in ended.stderr  # torchrun names the process and how it ended
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["training"]["devices"] == 2
    again = start(tmp_path, "run", processes=2, batch=8, resume=True)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "run" / CHECKPOINT).read_bytes() == (pair / "run2" / CHECKPOINT).read_bytes()


@pytest.mark.slow
def test_with_batchnorm_all_processes_end_alike_and_score_every_image_once(tmp_path: Path) -> None:
    done = start(tmp_path, "run", processes=2, batch=8, model="dae")
    assert done.returncode == 0, done.stderr
    run = load_run(tmp_path / "run")
    held_out = load_data(DataConfig("digits", abnormal=("3",), size=8, limit=64)).held_out
    torch.set_num_threads(1)
    alone = score_set(run.detector, held_out, batch_size=8, progress=False)
    assert run.calibration.threshold == calibrate(alone.image, 0.95).threshold  # the sharded scores, bit for bit


@pytest.mark.slow
def test_the_first_process_decides_and_all_hold_its_bytes(tmp_path: Path) -> None:
    """Also where another, left to itself, begins with other weights and remembers, chooses and calibrates otherwise."""
    done = run_script(tmp_path, ALIKE, [str(tmp_path)], processes=2)
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    means, gradients = first.pop("means")
    assert [means, gradients] == second.pop("means"), "where a process has less than another, no one waits"
    assert means == {"both": 1.5, "first": 3.0, "second": 5.0}
    assert gradients == [[1.5, 1.5], [2.0, 2.0], None]
    assert len(first) == len(second) == 5
    for name, told in first.items():
        other = second[name]["tensors"]
        assert {key for key, digest in told["tensors"].items() if other[key] != digest} == set(), name
        assert second[name] == told, name
    for model in ("auto", "feature_mask"):
        assert first[f"{model}-True"] == first[f"{model}-False"], "what the other decides changes nothing"


@pytest.mark.slow
def test_an_evaluation_by_two_processes_writes_the_scores_of_one(tmp_path: Path) -> None:
    train = ["train", "digits", "--limit", "40", "--model", "dae", "--set", "width=4", "--size", "8", "--epochs", "1"]
    words = [[*train, "--out", "run"], ["eval", "run", "--out", "one"], ["eval", "run", "--out", "two", "--json"]]
    for number, asked in enumerate(words):
        runner = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"] if number == 2 else []
        done = subprocess.run(
            [sys.executable, *runner, "-m", "unblot", *asked, "--device", "cpu", "--quiet"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1  # one of the two speaks
    assert (tmp_path / "one" / "scores.csv").read_bytes() == (tmp_path / "two" / "scores.csv").read_bytes()


class Share:
    """One of two devices; what both send is added up when the second has sent."""

    device, world_size = torch.device("cpu"), 2

    def __init__(self, rank: int, sent: list[list[torch.Tensor]]) -> None:
        self.global_rank, self.sent, self.calls = rank, sent, 0

    def all_reduce(self, tensor: torch.Tensor, reduce_op: str) -> torch.Tensor:
        assert reduce_op == "sum"
        self.sent[self.global_rank].append(tensor)
        self.calls += 1
        return tensor + (self.sent[0][self.calls - 1] if self.global_rank else torch.zeros_like(tensor))


def test_shares_add_up_to_the_scores_of_one_process(make_splits: Any, make_config: Any) -> None:
    from unblot.detectors import create

    torch.manual_seed(0)
    images, detector = make_splits(train=23).train, create("dae", channels=1, size=16, width=4)
    alone = score_set(detector, images, batch_size=4, progress=False)
    sent: list[list[torch.Tensor]] = [[], []]
    with pytest.raises(RuntimeError, match="11 of 23 images were not scored exactly once"):
        score_set(detector, images, batch_size=4, progress=False, fabric=Share(0, sent))  # type: ignore[arg-type]
    both = score_set(detector, images, batch_size=4, progress=False, fabric=Share(1, sent))  # type: ignore[arg-type]
    assert np.array_equal(both.image, alone.image)
    assert np.array_equal(both.maps, alone.maps)


def test_what_shows_that_another_process_is_gone() -> None:
    assert others_ended(RuntimeError("[../gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1"))
    assert not others_ended(RuntimeError("shape mismatch"))


def test_the_number_of_processes_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    from unblot.training.engine import with_devices

    config = TrainConfig("dae")
    assert with_devices(config).devices == 1
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "6")
    assert with_devices(config).devices == 6
