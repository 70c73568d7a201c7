"""Devices, processes and modes: what Lightning Fabric is asked for, and the little that it leaves to us."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from unblot.detectors import Detector, Phase
from unblot.errors import UserError
from unblot.training.checkpoint import fit_buffers
from unblot.training.config import TrainConfig

__all__ = [
    "average_gradients",
    "average_statistics",
    "average_values",
    "launched",
    "make_fabric",
    "others_ended",
    "set_modes",
    "set_up",
    "share",
    "slow_precision",
    "with_devices",
]


def _under_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


def make_fabric(config: TrainConfig) -> Fabric:
    """Device, precision, and one process per device; under ``torchrun`` those that it made, on one machine or several.

    Raises:
        UserError: a GPU is asked for that is not there.
    """
    gpus = torch.cuda.device_count()
    devices = int(os.environ["LOCAL_WORLD_SIZE"]) if _under_torchrun() else config.devices
    cuda = config.device == "cuda" or (config.device == "auto" and gpus > 0)
    if cuda and devices > gpus:
        raise UserError(f"cuda with devices={devices}: this machine has {gpus} GPUs. Use fewer, or device cpu")
    machines, strategy = 1, "auto"
    if _under_torchrun():
        machines, strategy = int(os.environ["GROUP_WORLD_SIZE"]), "ddp"
    elif config.devices > 1:
        strategy = "ddp_spawn"
    return Fabric(
        accelerator="cuda" if cuda else "cpu",
        devices=devices,
        num_nodes=machines,
        strategy=strategy,
        precision="bf16-mixed" if config.precision == "bf16" else "32-true",
    )


def slow_precision(config: TrainConfig, device: torch.device) -> str | None:
    """What to tell a user whose precision only costs time on ``device``; None where it does not.

    Without AVX-512, torch has no fast convolutions in bfloat16 for x86 processors and takes a plain loop instead:
    ``ganomaly`` at 32 px then trains at 0.04 of the speed of fp32 code (``python -m benches.training``).
    """
    if config.precision != "bf16" or device.type != "cpu" or platform.machine().lower() not in ("x86_64", "amd64"):
        return None
    if (level := torch.backends.cpu.get_cpu_capability()).startswith("AVX512"):
        return None
    return f"bf16 is many times slower than fp32 on this processor ({level}, no AVX-512); take precision fp32"


def launched(config: TrainConfig) -> Fabric | None:
    """The processes that ``torchrun`` made, connected; None where it made none."""
    if not _under_torchrun():
        return None
    fabric = make_fabric(config)
    fabric.launch()
    return fabric


def with_devices(config: TrainConfig) -> TrainConfig:
    """The settings with the number of processes that ``torchrun`` made, on all machines; else as they are."""
    return replace(config, devices=int(os.environ["WORLD_SIZE"])) if _under_torchrun() else config


def average_values(fabric: Fabric, values: Mapping[str, float]) -> dict[str, float]:
    """Mean of each value over the devices that have it; their shares of the images are equal.

    The devices first tell each other what they have: a device may lack a value, or hold them in another order.
    """
    if fabric.world_size == 1:
        return dict(values)
    each: list[dict[str, float]] = [{} for _ in range(fabric.world_size)]
    torch.distributed.all_gather_object(each, dict(values))
    names = dict.fromkeys(name for held in each for name in held)
    found = {name: [held[name] for held in each if name in held] for name in names}
    return {name: sum(numbers) / len(numbers) for name, numbers in found.items()}


def share(fabric: Fabric, detector: Detector) -> None:
    """Give all devices the parameters and buffers of the first one, bit for bit.

    What the first device decides (a memory's entries, the best epoch, a normaliser) holds for all. Each may compute the
    same, but machines round differently, and one different bit may choose another entry. Call it on all devices.
    """
    if fabric.world_size == 1:
        return
    own = dict(chain(detector.named_parameters(), detector.named_buffers()))
    decided: dict[str, Tensor] | None = None
    if fabric.is_global_zero:
        decided = {name: tensor.detach().cpu() for name, tensor in own.items()}
    decided = fabric.broadcast(decided)
    assert decided is not None  # the first device gave its own
    if fabric.is_global_zero:
        return
    fit_buffers(detector, decided)
    with torch.no_grad():
        for name, tensor in own.items():
            if not _same_bytes(tensor, decided[name]):  # else what was made of it, such as a folded copy, stays
                tensor.copy_(decided[name])


def _same_bytes(one: Tensor, other: Tensor) -> bool:
    a, b = (tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8) for tensor in (one, other))
    return torch.equal(a, b)


def set_up(fabric: Fabric, optimizers: Mapping[str, Optimizer]) -> dict[str, Optimizer]:
    """The optimizers as Fabric steps them. They share parameters, state and groups with those given."""
    return {name: cast(Optimizer, fabric.setup_optimizers(optimizer)) for name, optimizer in optimizers.items()}


def set_modes(detector: Detector, phase: Phase) -> None:
    """Train mode for the networks that this phase trains, eval mode for all others.

    So a frozen backbone, or the generator of a finished phase, keeps its running statistics as they are.
    """
    trained = {id(p) for o in phase.optimizers.values() for group in o.param_groups for p in group["params"]}
    detector.train(bool(trained))
    for network in _networks(detector):
        parameters = [id(p) for p in network.parameters()]
        if parameters and trained.isdisjoint(parameters):
            network.eval()


def average_gradients(fabric: Fabric, optimizer: Optimizer) -> None:
    """Mean of the gradients over all devices, in one message.

    Networks are not wrapped in DistributedDataParallel: it cannot follow several passes through one network per step,
    nor a network that is frozen now and trained later, which is what a GAN does.
    """
    if fabric.world_size == 1:
        return
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    # A message of one length from all devices, also where a parameter has a gradient on some of them alone: there it
    # counts as 0 on the others. The last numbers say which parameters have one.
    has = torch.tensor([float(p.grad is not None) for p in parameters], device=fabric.device)
    sent = [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters]
    mean = fabric.all_reduce(torch.cat([*sent, has]), reduce_op="mean")
    assert isinstance(mean, Tensor)  # one tensor in, one out
    *parts, anywhere = torch.split(mean, [*(p.numel() for p in parameters), len(parameters)])
    for number, (parameter, part) in enumerate(zip(parameters, parts, strict=True)):
        if parameter.grad is not None:
            parameter.grad.copy_(part.view_as(parameter))
        elif anywhere[number] > 0:
            parameter.grad = part.view_as(parameter).clone()


def average_statistics(fabric: Fabric, detector: Detector) -> None:
    """Mean over all devices of the running statistics of each BatchNorm in train mode: each saw its own share of the
    images. Those of a frozen network stay as they are; a mean of equal numbers may round to another.
    """
    if fabric.world_size == 1:
        return
    layers = [m for m in detector.modules() if isinstance(m, _BatchNorm) and m.track_running_stats and m.training]
    held = [b for m in layers for b in (m.running_mean, m.running_var) if b is not None]
    if held:
        mean = fabric.all_reduce(torch.cat([b.flatten() for b in held]), reduce_op="mean")
        assert isinstance(mean, Tensor)  # one tensor in, one out
        for buffer, part in zip(held, torch.split(mean, [b.numel() for b in held]), strict=True):
            buffer.copy_(part.view_as(buffer))


def others_ended(error: BaseException) -> bool:
    """Whether a training failed because another of its processes is gone."""
    text = f"{type(error).__name__}: {error}".lower()
    signs = ("closed by peer", "connection reset", "processexitedexception", "broken pipe", "remote process exited")
    return any(sign in text for sign in signs)


def _networks(module: nn.Module) -> Iterator[nn.Module]:
    """The networks of a detector, those of detectors and lists that it holds included."""
    for child in module.children():
        if isinstance(child, Detector | nn.ModuleList | nn.ModuleDict):
            yield from _networks(child)
        else:
            yield child
