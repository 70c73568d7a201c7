from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor, nn

from unblot.detectors import Batch, Detector, Phase, Scores, Step, create
from unblot.errors import UserError
from unblot.training import TrainConfig
from unblot.training.engine import average_gradients, make_fabric, set_modes, slow_precision


class Teaching(Detector):
    """A student, a frozen backbone and dropout of its own."""

    name = "teaching"

    def __init__(self, *, channels: int, size: int) -> None:
        super().__init__(channels=channels, size=size)
        self.backbone = nn.Sequential(nn.Conv2d(channels, 2, 1), nn.BatchNorm2d(2))
        self.student = nn.Sequential(nn.Conv2d(channels, 2, 1), nn.BatchNorm2d(2))
        self.dropout = nn.Dropout()

    def phases(self, lr: float) -> Sequence[Phase]:
        return [Phase("watch", {}), Phase("learn", {"student": torch.optim.SGD(self.student.parameters(), lr)})]

    def training_step(self, phase: str, batch: Batch) -> Iterator[Step]:
        raise NotImplementedError

    def score(self, images: Tensor) -> Scores:
        raise NotImplementedError


class Chain(Teaching):
    """Holds other detectors and chains their phases."""

    def __init__(self) -> None:
        super().__init__(channels=1, size=16)
        self.parts = nn.ModuleList([Teaching(channels=1, size=16), create("dae", channels=1, size=16)])

    def phases(self, lr: float) -> Sequence[Phase]:
        return [phase for part in self.parts for phase in part.phases(lr)]  # type: ignore[operator]


def training(module: nn.Module) -> set[str]:
    return {
        name for name, part in module.named_modules() if isinstance(part, nn.BatchNorm2d | nn.Dropout) and part.training
    }


def test_only_what_a_phase_trains_is_in_train_mode() -> None:
    detector = Teaching(channels=1, size=8)
    watch, learn = detector.phases(0.1)
    set_modes(detector, learn)
    assert training(detector) == {"student.1", "dropout"}
    set_modes(detector, watch)
    assert training(detector) == set()


def test_modes_reach_into_parts() -> None:
    chain = Chain()
    _, learn, autoencode = chain.phases(0.1)
    set_modes(chain, learn)
    assert {name for name in training(chain) if "dropout" not in name} == {"parts.0.student.1"}
    set_modes(chain, autoencode)
    names = {name for name in training(chain) if "dropout" not in name}
    assert names and all(name.startswith("parts.1.autoencoder") for name in names)


def test_gradients_are_averaged_over_devices() -> None:
    class Two:
        """The other device holds gradients of zero."""

        world_size, device = 2, torch.device("cpu")

        def all_reduce(self, tensor: Tensor, reduce_op: str) -> Tensor:
            assert reduce_op == "mean"
            return tensor / 2

    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    network(torch.rand(4, 2)).sum().backward()
    network[1].bias.grad = None  # a parameter that this step did not use
    before = [None if p.grad is None else p.grad.clone() for p in network.parameters()]
    average_gradients(Two(), torch.optim.SGD(network.parameters(), 0.1))  # type: ignore[arg-type]
    for old, parameter in zip(before, network.parameters(), strict=True):
        if old is None:
            assert parameter.grad is None
        else:
            assert parameter.grad is not None and torch.equal(parameter.grad, old / 2)


def test_a_gpu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UserError, match=r"cuda with devices=1: this machine has 0 GPUs"):
        make_fabric(TrainConfig("dae", device="cuda"))
    assert make_fabric(TrainConfig("dae", device="auto")).device.type == "cpu"


@pytest.mark.parametrize(
    ("precision", "device", "machine", "level", "slow"),
    [
        ("bf16", "cpu", "x86_64", "AVX2", True),
        ("bf16", "cpu", "AMD64", "DEFAULT", True),
        ("bf16", "cpu", "x86_64", "AVX512", False),
        ("bf16", "cpu", "aarch64", "DEFAULT", False),
        ("bf16", "cuda", "x86_64", "AVX2", False),
        ("fp32", "cpu", "x86_64", "AVX2", False),
    ],
)
def test_a_precision_that_only_costs_time_is_named(
    precision: str, device: str, machine: str, level: str, slow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: level)
    said = slow_precision(TrainConfig("dae", precision=precision), torch.device(device))
    assert (said is not None) == slow
    if said:
        assert level in said and "fp32" in said
