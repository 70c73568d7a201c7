"""Checkpoints: one safetensors file with weights, optimizer moments and where training stands.

No pickle: a checkpoint from elsewhere can hold wrong numbers, never code. Tensors are named ``model/<parameter>``,
``optimizer/<name>/<parameter number>/<moment>`` and, of the best epoch so far, ``best/<parameter>``; the file's header
carries, as JSON under "unblot", the format number, the :class:`Position` and a CRC-32 over both. The file is replaced
as a whole, so a kill at any moment leaves the old one or the new one. Two runs with the same bits write the same bytes.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn
from torch.optim import Optimizer

from unblot.errors import UserError
from unblot.files import write_bytes

__all__ = ["FORMAT", "Best", "Checkpoint", "Position", "better", "fit_buffers", "read", "write"]

FORMAT = 2


@dataclass(frozen=True)
class Position:
    """Where training stands; all that a resumed run must know besides the tensors.

    Attributes:
        phase: number of the current phase; the number of phases once all are done.
        epoch: finished epochs of that phase.
        step: finished batches of the whole run.
        finished: everything is done, calibration included.
        best: judgement of the best epoch of this phase so far; None where none was judged.
        best_epoch: its number, from 1.
    """

    phase: int = 0
    epoch: int = 0
    step: int = 0
    finished: bool = False
    best: float | None = None
    best_epoch: int = 0


@dataclass(frozen=True)
class Best:
    """The best epoch of a phase so far.

    Attributes:
        value: of the judgement, larger is better.
        epoch: the number of the epoch, from 1.
        tensors: parameters and buffers of the judged detector, by name.
    """

    value: float
    epoch: int
    tensors: Mapping[str, Tensor]


def better(best: Best | None, value: float, epoch: int, model: nn.Module) -> Best:
    """``best``, or what ``model`` holds now if ``value`` is higher; a copy."""
    if best is not None and value <= best.value:
        return best
    return Best(value, epoch, {name: tensor.detach().clone() for name, tensor in model.state_dict().items()})


def fit_buffers(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give each buffer the shape of the tensor of its name; the values are filled in afterwards."""
    for name, buffer in model.named_buffers():
        if name in tensors and buffer.shape != tensors[name].shape:
            buffer.resize_(tensors[name].shape)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as read from its file."""

    path: Path
    position: Position
    tensors: Mapping[str, Tensor]

    @property
    def best(self) -> Best | None:
        """The best epoch so far of the phase that training stands in, if there is one."""
        tensors = _under("best/", self.tensors)
        if self.position.best is None:
            return None
        return Best(self.position.best, self.position.best_epoch, tensors)

    def restore_model(self, model: nn.Module) -> None:
        """Put parameters and buffers back.

        A buffer takes the shape that it was saved with (a memory of features grows in training); a parameter must fit.

        Raises:
            UserError: names or shapes are not those of ``model``.
        """
        state = _under("model/", self.tensors)
        fit_buffers(model, state)
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            own, saved = set(model.state_dict()), set(state)
            lists = {"missing": own - saved, "too many": saved - own}
            differs = [f"{len(names)} {what}, such as {min(names)}" for what, names in lists.items() if names]
            found = "; ".join(differs) or str(error).splitlines()[-1].strip()
            raise UserError(
                f"{self.path} holds other networks than its run's config.json makes in this version of unblot "
                f"({found}). Train the run again, or use the version that config.json names"
            ) from error

    def restore_optimizers(self, optimizers: Mapping[str, Optimizer]) -> None:
        """Put the moments back. Learning rate and betas are the run's settings and stay those of ``optimizers``."""
        for name, optimizer in optimizers.items():
            moments: dict[int, dict[str, Tensor]] = {}
            for key, tensor in _under(f"optimizer/{name}/", self.tensors).items():
                number, moment = key.split("/")
                moments.setdefault(int(number), {})[moment] = tensor
            optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})


def write(
    path: Path,
    model: nn.Module,
    optimizers: Mapping[str, Optimizer],
    position: Position,
    best: Best | None = None,
) -> None:
    """Replace the checkpoint at ``path``.

    Raises:
        UserError: the file cannot be written; the one before it is whole.
        TypeError: an optimizer keeps something other than tensors.
    """
    tensors = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
    for name, optimizer in optimizers.items():
        for number, moments in optimizer.state_dict()["state"].items():
            for moment, value in moments.items():
                if not isinstance(value, Tensor):
                    raise TypeError(f"optimizer {name!r} keeps {moment!r} as {type(value).__name__}, not as a tensor")
                tensors[f"optimizer/{name}/{number}/{moment}"] = value
    if best is not None:
        tensors |= {f"best/{name}": tensor for name, tensor in best.tensors.items()}
    position = replace(
        position, best=None if best is None else best.value, best_epoch=0 if best is None else best.epoch
    )
    # A copy of its own for each: safetensors refuses tensors that share memory (tied weights).
    tensors = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    header = {"format": FORMAT, "position": asdict(position), "crc32": _checksum(tensors, position)}
    write_bytes(path, save_tensors(tensors, {"unblot": json.dumps(header)}))


def read(path: Path) -> Checkpoint:
    """Read and check a checkpoint.

    Raises:
        UserError: no such file, another format, or damaged contents.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the checkpoint {path}: {error.strerror}") from error
    remedy = "Restore the file from a copy, or train again into another folder"
    try:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["unblot"])
        version = header["format"]
        if version != FORMAT:
            newer = isinstance(version, int) and version > FORMAT
            raise UserError(
                f"{path} has checkpoint format {version!r}; this version of unblot reads format {FORMAT}. "
                + ("It was written by a newer unblot: upgrade this one" if newer else "Use the version that wrote it")
                + ", or train again"
            )
        position = Position(**header["position"])
        tensors = load_tensors(data)
        intact = header["crc32"] == _checksum(tensors, position)
    except UserError:
        raise
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a whole checkpoint of unblot ({error}). {remedy}") from error
    if not intact:
        raise UserError(f"{path} is damaged: its contents do not match its checksum. {remedy}")
    return Checkpoint(path, position, tensors)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _checksum(tensors: Mapping[str, Tensor], position: Position) -> int:
    crc = zlib.crc32(json.dumps(asdict(position)).encode())
    for name in sorted(tensors):
        crc = zlib.crc32(name.encode(), crc)
        crc = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, crc)
    return crc
