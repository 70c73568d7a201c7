"""Two processes under ``torchrun`` train as one does: same batches, same blots, nearly the same loss."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from unblot.calibration import calibrate
from unblot.cli import app
from unblot.data import DataConfig, load_data
from unblot.detectors import registry
from unblot.evaluation import score_set
from unblot.training import TrainConfig, load_run
from unblot.training.engine import others_ended
from unblot.training.run_files import CHECKPOINT

LEARN = """
import contextlib, hashlib, io, json, os, signal, sys
from itertools import chain
from pathlib import Path
import torch
from torch import nn
from unblot.data import DataConfig, load_data
from unblot.detectors import Detector, Phase, Scores, Step, register
from unblot.training import TrainConfig, train

torch.set_num_threads(1)
rank = int(os.environ.get("RANK", "0"))
seen, dies = [], 0

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
        if dies and rank == 1 and len(seen) > dies:
            os.kill(os.getpid(), signal.SIGKILL)
        yield Step("network", {"squares": (self.network(batch.noisy) - batch.clean).square().mean()})
    def score(self, images):
        squares = (self.network(images) - images).square().mean(1, keepdim=True)
        return Scores(squares.flatten(1).mean(1), squares)

def learn(out, batch, model="plain", resume=False):
    seen.clear()
    data = DataConfig("digits", abnormal=("3",), size=8, limit=64)
    config = TrainConfig(model, epochs=3, batch_size=batch, lr=0.05 if model == "plain" else 2e-4, device="cpu",
        model_options={} if model == "plain" else {"width": 4})
    train(config, load_data(data), out, data=data, progress=False, resume=resume)
    (out.parent / f"{out.name}-{rank}.json").write_text(json.dumps(seen))
"""

DIES = """
dies = 40  # in the second of three epochs
learn(Path(sys.argv[1]) / "died", 8)
"""

# What two processes do one after the other; their start takes longer than all of it.
TOGETHER = """
from unblot.__main__ import main

folder = Path(sys.argv[1])
learn(folder / "run2", 8)
learn(folder / "died", 8, resume=True)
learn(folder / "dae", 8, model="dae")
words, said = ["eval", str(folder / "scored"), "--out", str(folder / "two"), "--json"], io.TextIOWrapper(io.BytesIO())
sys.argv = ["unblot", *words, "--device", "cpu", "--quiet"]
with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
    main()
said.flush()
(folder / f"said-{rank}.txt").write_bytes(said.buffer.getvalue())
"""

ALIKE = """
from unblot.calibration.positionwise import PositionwiseNormalizer
from unblot.evaluation import score_set
from unblot.layers.bank import Bank
from unblot.training import load_run, loop
from unblot.training.engine import average_gradients, average_values, make_fabric
from unblot.training.validator import SyntheticValidator

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


def by_two(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script, given the folder, as two processes of ``torchrun``."""
    (folder / "script.py").write_text(script, encoding="utf-8")
    runner = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    words = [sys.executable, *runner, str(folder / "script.py"), str(folder)]
    return subprocess.run(words, capture_output=True, text=True, check=False, env=environment)


def losses(run: Path, name: str) -> list[float]:
    with (run / "log" / "train.csv").open(encoding="utf-8", newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A folder with ``died``, in whose training one of two processes was killed, and how the job of both ended."""
    folder = tmp_path_factory.mktemp("pair")
    job = by_two(folder, LEARN + DIES)
    shutil.copytree(folder / "died", folder / "as it died")
    return folder, job


@pytest.fixture(scope="module")
def pair(ended: tuple[Path, subprocess.CompletedProcess[str]]) -> Path:
    """The folder with all that two processes made; and ``scored`` and ``one``, a run and its scores, made by one."""
    folder, _ = ended
    small = ["--limit", "40", "--model", "dae", "--set", "width=4", "--size", "8", "--epochs", "1"]
    run, one = str(folder / "scored"), str(folder / "one")
    for words in (["train", "digits", *small, "--out", run], ["eval", run, "--out", one]):
        done = CliRunner().invoke(app, [*words, "--device", "cpu", "--quiet"])
        assert done.exit_code == 0, done.output
    two = by_two(folder, LEARN + TOGETHER + ALIKE)
    assert two.returncode == 0, two.stderr
    return folder


@pytest.mark.slow
def test_two_processes_see_the_bits_of_one_and_learn_the_same(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_FROM_ELSEWHERE", {})
    one: dict[str, Any] = {}
    exec(LEARN, one)
    one["learn"](pair / "run1", 16)
    alone = [tuple(seen) for seen in json.loads((pair / "run1-0.json").read_text())]
    shares = [json.loads((pair / f"run2-{rank}.json").read_text()) for rank in (0, 1)]
    assert len(alone) == 3 * 64 == sum(map(len, shares))
    # The same global batches, and in them the same corrupted pixels, bit for bit.
    for start_of in range(0, len(alone), 16):
        both = [tuple(p) for share in shares for p in share[start_of // 2 : start_of // 2 + 8]]
        assert set(both) == set(alone[start_of : start_of + 16])
    # The mean gradient is the same but for the order of sums.
    wanted, found = losses(pair / "run1", "squares"), losses(pair / "run2", "squares")
    assert found == pytest.approx(wanted, rel=1e-5)
    weights = [_weights(pair / run) for run in ("run1", "run2")]
    for name, value in weights[0].items():
        assert torch.allclose(value, weights[1][name], rtol=1e-4, atol=1e-6), name
    calibrations = [json.loads((pair / run / "calibration.json").read_text()) for run in ("run1", "run2")]
    assert calibrations[1]["n"] == calibrations[0]["n"]
    assert calibrations[1]["threshold"] == pytest.approx(calibrations[0]["threshold"], rel=1e-4)


def _weights(run: Path) -> dict[str, torch.Tensor]:
    from unblot.training.checkpoint import read

    return {name: value for name, value in read(run / CHECKPOINT).tensors.items() if name.startswith("model/")}


@pytest.mark.slow
def test_a_process_that_dies_ends_the_job_with_a_name_and_a_checkpoint_that_resumes(
    ended: tuple[Path, subprocess.CompletedProcess[str]], pair: Path
) -> None:
    _, job = ended
    assert job.returncode != 0
    assert "SIGKILL" in job.stderr or "Signal 9" in job.stderr  # torchrun names the process and how it ended
    config = json.loads((pair / "as it died" / "config.json").read_text())
    assert config["training"]["devices"] == 2
    whole = (pair / "run2" / CHECKPOINT).read_bytes()
    assert (pair / "as it died" / CHECKPOINT).read_bytes() != whole
    assert (pair / "died" / CHECKPOINT).read_bytes() == whole


@pytest.mark.slow
def test_with_batchnorm_all_processes_end_alike_and_score_every_image_once(pair: Path) -> None:
    run = load_run(pair / "dae")
    held_out = load_data(DataConfig("digits", abnormal=("3",), size=8, limit=64)).held_out
    torch.set_num_threads(1)
    alone = score_set(run.detector, held_out, batch_size=8, progress=False)
    assert run.calibration.threshold == calibrate(alone.image, 0.95).threshold  # the sharded scores, bit for bit


@pytest.mark.slow
def test_the_first_process_decides_and_all_hold_its_bytes(pair: Path) -> None:
    """Also where another, left to itself, begins with other weights and remembers, chooses and calibrates otherwise."""
    first, second = (json.loads((pair / f"{rank}.json").read_text()) for rank in (0, 1))
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
def test_an_evaluation_by_two_processes_writes_the_scores_of_one(pair: Path) -> None:
    said = "".join((pair / f"said-{rank}.txt").read_text() for rank in (0, 1))
    assert len(said.splitlines()) == 1  # one of the two speaks
    assert (pair / "one" / "scores.csv").read_bytes() == (pair / "two" / "scores.csv").read_bytes()


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
