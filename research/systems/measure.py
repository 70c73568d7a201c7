"""Parameters, multiplications and time of one system.

A multiplication with its addition (MAC) is half of what :mod:`torch.utils.flop_counter` counts: convolutions and matrix
products, forward and backward. Normalisation, activations and the optimizer are not counted, nor is the power iteration
of spectral normalisation, which does not grow with the number of images.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from unblot.corruption import named
from unblot.data import DataConfig, load_data
from unblot.detectors import Batch, Detector, Phase, create
from unblot.layers.blocks import parameter_count
from unblot.training.engine import set_modes
from unblot.training.feed import Feed

__all__ = ["SIZE", "SYSTEMS", "Multiplications", "epoch_seconds", "measure", "parameters", "score_gmac", "step_gmac"]

SYSTEMS = ("dae", "nested", "ganomaly", "skip_ganomaly", "f_anogan", "anogan", "egbad", "alad")
"""The patent's, the paper's, those of the paper's tables, those of its introduction."""
SIZE, CHANNELS = 32, 3  # CIFAR-10 (the paper's section 2.1)
PATENT_SIZE = 2048  # the patent's example (paragraph 33)
BATCH, CORRUPTION, RATE = 64, "box", 2e-4
COUNTED = 4  # images of the batch whose multiplications are counted


class Multiplications(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts multiplications while it is entered, those of backward passes, too.

    ``FlopCounterMode`` also follows modules, which fails where a network is searched by its input's gradient.

    Example:
        >>> with Multiplications() as counted:
        ...     _ = torch.zeros(2, 3) @ torch.zeros(3, 5)
        >>> counted.macs
        30
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Do what was asked and count it."""
        made = func(*args, **(kwargs or {}))
        if (flops := flop_registry.get(func._overloadpacket)) is not None:
            self.macs += int(flops(*args, **(kwargs or {}), out_val=made)) // 2
        return made


def parameters(detector: Detector) -> dict[str, int]:
    """Trainable parameters by network."""
    return {name: count for name, network in detector.named_children() if (count := parameter_count(network))}


def score_gmac(name: str, size: int, channels: int = CHANNELS, **options: Any) -> float:
    """Thousand millions of MAC for the score of one image. Nothing is computed, so any size will do.

    A search is counted by two short ones: each further step costs the same.
    """
    with torch.device("meta"), torch.no_grad():
        detector = create(name, channels=channels, size=size, **options).eval()
        steps = detector.options.get("search_steps", 2)
        counts = []
        for few in (1, 2) if "search_steps" in detector.options else (0,):
            given = options | ({"search_steps": few} if few else {})
            detector = create(name, channels=channels, size=size, **given).eval()
            with Multiplications() as counted:
                detector.score(torch.zeros(1, channels, size, size))
            counts.append(counted.macs)
    return float(counts[0] + (steps - 1) * (counts[1] - counts[0]) if len(counts) == 2 else counts[0]) / 1e9


def step_gmac(detector: Detector) -> dict[str, float]:
    """The same for all gradient steps that an image takes part in once, by phase."""
    generator = torch.Generator().manual_seed(0)
    clean, noisy = (
        torch.rand(COUNTED, detector.channels, detector.size, detector.size, generator=generator) * 2 - 1
        for _ in range(2)
    )
    batch = Batch(noisy, clean, torch.arange(COUNTED), torch.arange(COUNTED))
    counts = {}
    for phase in detector.phases(RATE):
        set_modes(detector, phase)
        with Multiplications() as counted:
            _train(detector, phase, iter([batch]))
        counts[phase.name] = counted.macs / COUNTED / 1e9
    return counts


def epoch_seconds(
    detector: Detector, images: int, clock: Callable[[], float] = time.process_time
) -> dict[str, dict[str, float]]:
    """Seconds of one epoch by phase: loading, corruption, all steps.

    Args:
        detector: of the size and channels that digits are loaded in.
        images: how many digits an epoch has.
        clock: what is read beside the time on the wall.

    Returns:
        By phase ``processor`` (by ``clock``) and ``wall``.
    """
    train = load_data(
        DataConfig("digits", size=detector.size, channels=detector.channels, limit=images), progress=False
    ).train
    spec = named(CORRUPTION)
    found = {}
    for phase in detector.phases(RATE):
        set_modes(detector, phase)
        feed = Feed(train, spec, batch_size=BATCH, seed=0, workers=0, device=torch.device("cpu"), smallest=2)
        first = next(iter(feed.epoch(0)))
        _train(detector, phase, iter([_part(first, COUNTED)]))  # once, unmeasured
        start, wall = clock(), time.perf_counter()
        _train(detector, phase, feed.epoch(1))
        found[phase.name] = {"processor": clock() - start, "wall": time.perf_counter() - wall}
    return found


def _part(batch: Batch, images: int) -> Batch:
    """The first images of a batch."""
    return Batch(*(values[:images] for values in (batch.noisy, batch.clean, batch.index, batch.group)))


def _train(detector: Detector, phase: Phase, batches: Iterator[Batch]) -> None:
    """The steps of :mod:`unblot.training.loop`, without its log."""
    for batch in batches:
        for step in detector.training_step(phase.name, batch):
            optimizer = phase.optimizers[step.optimizer]
            optimizer.zero_grad(set_to_none=True)
            total: Tensor = torch.stack([*step.losses.values()]).sum()
            total.backward()  # type: ignore[no-untyped-call]
            optimizer.step()


def measure(name: str, *, images: int, size: int = SIZE, channels: int = CHANNELS, **options: Any) -> dict[str, Any]:
    """What ``systems.json`` holds of one system.

    Args:
        name: of the detector.
        images: of the epoch whose time is taken.
        size: height and width of the images.
        channels: 1 or 3.
        options: of the detector.
    """
    torch.manual_seed(0)
    detector = create(name, channels=channels, size=size, **options)
    return {
        "parameters": parameters(detector),
        "score_gmac": score_gmac(name, size, channels, **options),
        "step_gmac": step_gmac(detector),
        "images": images,
        "epoch_seconds": epoch_seconds(create(name, channels=channels, size=size, **options), images),
    }


def settings() -> dict[str, Any]:
    """How it was measured."""
    return {
        "format": 1,
        "size": SIZE,
        "channels": CHANNELS,
        "batch_size": BATCH,
        "corruption": CORRUPTION,
        "data": "digits",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__.partition("+")[0],
        "machine": platform.machine(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
    }
