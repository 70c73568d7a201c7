"""What the tests of detectors share: small images, and one batch's steps taken one by one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from unblot import BoxNoise, corrupt
from unblot.detectors import Batch, Detector, create, to_signed
from unblot.training.checkpoint import Position, read, write
from unblot.training.engine import set_modes


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Networks this small are fastest on one thread."""
    torch.set_num_threads(1)


@pytest.fixture
def smooth() -> Callable[..., Tensor]:
    """Smooth images in [-1, 1]: random 4×4 fields, enlarged."""

    def make(n: int = 4, channels: int = 1, size: int = 16, seed: int = 0) -> Tensor:
        coarse = torch.rand(n, channels, 4, 4, generator=torch.Generator().manual_seed(seed))
        fine = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
        return to_signed((fine * 255).to(torch.uint8))

    return make


@pytest.fixture
def as_batch() -> Callable[..., Batch]:
    """A batch of clean images, corrupted by noise of this strength."""

    def make(clean: Tensor, noise: float = 0.2) -> Batch:
        noisy = clean + noise * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
        n = torch.arange(len(clean))
        return Batch(noisy.clamp(-1, 1), clean, index=n, group=n)

    return make


def blotted(n: int, seed: int) -> Batch:
    """Smooth gray images of 64 × 64 pixels with a box or two of noise."""
    coarse = torch.rand(n, 1, 5, 5, generator=torch.Generator().manual_seed(seed))
    clean = (64 + 128 * torch.nn.functional.interpolate(coarse, 64, mode="bicubic").clamp(0, 1)).to(torch.uint8)
    noisy = corrupt(clean, BoxNoise(scale=(0.03, 0.1), num_boxes=(1, 2)), seed=seed, layout="NCHW")
    number = torch.arange(n)
    return Batch(to_signed(noisy.images), to_signed(clean), number, number)


@dataclass(frozen=True)
class Taken:
    """What one gradient step did.

    Attributes:
        optimizer: its name.
        losses: its losses by name.
        logs: its logs by name.
        reached: names of the networks of which a parameter got a gradient.
        changed: names of the networks of which a parameter changed.
    """

    optimizer: str
    losses: dict[str, float]
    logs: dict[str, float]
    reached: set[str]
    changed: set[str]


Walk = Callable[..., list[Taken]]


@pytest.fixture
def walk() -> Walk:
    """Take the steps of one batch in one phase as the loop does, and tell what each of them did."""

    def take(detector: Detector, phase: str, batch: Batch, lr: float = 1e-3) -> list[Taken]:
        (given,) = (p for p in detector.phases(lr) if p.name == phase)
        set_modes(detector, given)
        taken = []
        for step in detector.training_step(phase, batch):
            detector.zero_grad()
            before = {name: value.detach().clone() for name, value in detector.named_parameters()}
            torch.autograd.backward(torch.stack([*step.losses.values()]).sum())
            reached = {name for name, p in detector.named_parameters() if p.grad is not None and p.grad.any()}
            given.optimizers[step.optimizer].step()
            changed = {name for name, p in detector.named_parameters() if not torch.equal(p, before[name])}
            taken.append(
                Taken(
                    step.optimizer,
                    {name: value.item() for name, value in step.losses.items()},
                    {name: value.item() for name, value in step.logs.items()},
                    {name.split(".")[0] for name in reached},
                    {name.split(".")[0] for name in changed},
                )
            )
        return taken

    return take


@pytest.fixture
def fit() -> Callable[..., list[dict[str, float]]]:
    """Train on one batch as the loop does, so many times in each phase; gives the losses and logs of each time."""

    def train(detector: Detector, batch: Batch, times: dict[str, int], lr: float = 1e-3) -> list[dict[str, float]]:
        history = []
        for phase in detector.phases(lr):
            set_modes(detector, phase)
            for _ in range(times[phase.name]):
                shown: dict[str, float] = {}
                for step in detector.training_step(phase.name, batch):
                    phase.optimizers[step.optimizer].zero_grad()
                    torch.autograd.backward(torch.stack([*step.losses.values()]).sum())
                    phase.optimizers[step.optimizer].step()
                    shown |= {name: value.item() for name, value in [*step.losses.items(), *step.logs.items()]}
                history.append(shown)
        return history

    return train


@pytest.fixture
def reload(tmp_path: Path) -> Callable[[Detector], Detector]:
    """A detector as a checkpoint gives it back."""

    def through_a_file(detector: Detector) -> Detector:
        write(tmp_path / "checkpoint.safetensors", detector, {}, Position())
        again = create(detector.name, channels=detector.channels, size=detector.size, **detector.options)
        read(tmp_path / "checkpoint.safetensors").restore_model(again)
        return again

    return through_a_file
