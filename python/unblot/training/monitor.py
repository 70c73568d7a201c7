"""What a run shows while it trains: means over the epoch, a log, and a word when something is wrong."""

from __future__ import annotations

import csv
import io
import logging
import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from unblot.errors import UserError
from unblot.files import write_text

__all__ = ["Log", "LostProcessError", "Means", "NonFiniteLossError", "collapse"]

logger = logging.getLogger("unblot.training")


class NonFiniteLossError(UserError):
    """A loss became NaN or infinite; training stopped before anything was saved over the last checkpoint."""


class LostProcessError(UserError):
    """One of the processes of a training ended; the others cannot go on without it."""


class Means:
    """Running means of losses and other values over an epoch, weighted by the images of each batch."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._images: dict[str, int] = {}

    def add(self, shown: Sequence[tuple[str, Tensor]], step: int, images: int) -> None:
        """Take the named scalars of batch number ``step``; a name may come several times (several critic steps).

        Raises:
            NonFiniteLossError: one is NaN or infinite; names the first.
        """
        if not shown:
            return
        # One transfer for the whole batch: on a GPU each one waits for the device.
        values = torch.stack([value.detach().float() for _, value in shown]).tolist()
        for (name, _), value in zip(shown, values, strict=True):
            if not math.isfinite(value):
                raise NonFiniteLossError(f"{name} became {value} at step {step}")
            self._sums[name] = self._sums.get(name, 0.0) + value * images
            self._images[name] = self._images.get(name, 0) + images

    def values(self) -> dict[str, float]:
        """The means so far, by name."""
        return {name: total / self._images[name] for name, total in self._sums.items()}


def collapse(means: Mapping[str, float]) -> tuple[str, str] | None:
    """Kind and description of a collapse that an epoch's mean ``d_real`` and ``d_fake`` (probabilities of "real") show.

    None where there is no discriminator, or all is well.
    """
    if "d_real" not in means or "d_fake" not in means:
        return None
    real, fake = means["d_real"], means["d_fake"]
    found = f"mean probability of real: {real:.3f} for real images, {fake:.3f} for restored ones"
    if real - fake > 0.98:
        return "discriminator won", (
            f"the discriminator tells real from restored without error ({found}), so its gradient teaches the "
            "generator little; the other losses still do. A lower learning rate may help"
        )
    if abs(real - fake) < 0.01 and (max(real, fake) < 0.02 or min(real, fake) > 0.98):
        return "discriminator constant", (
            f"the discriminator gives the same answer to everything ({found}), so the adversarial loss "
            "teaches nothing. Train again with another seed or a lower learning rate"
        )
    return None


class Log:
    """The log of a run: one CSV file per phase with a row per epoch, event files where TensorBoard is installed,
    warnings.

    A resumed run drops the rows of epochs that it trains again.

    Args:
        folder: made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._said: set[str] = set()
        self._tensorboard = None
        folder.mkdir(parents=True, exist_ok=True)
        if find_spec("tensorboard"):
            from lightning_fabric.loggers.tensorboard import TensorBoardLogger

            self._tensorboard = TensorBoardLogger(folder, name="", version="")

    def epoch(self, phase: str, epoch: int, step: int, values: Mapping[str, float]) -> None:
        """Record the values of a finished epoch (counted from 0 within its phase) after ``step`` batches of the run."""
        path = self.folder / f"{phase.replace('/', '-')}.csv"  # a phase may be named "part/phase"
        rows: list[dict[str, object]] = []
        if path.exists():
            with path.open(encoding="utf-8", newline="") as file:
                rows += list(csv.DictReader(file))[:epoch]
        rows.append({"epoch": epoch + 1, "step": step, **values})
        text = io.StringIO()
        writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(path, text.getvalue())
        if self._tensorboard:
            self._tensorboard.log_metrics({f"{phase}/{name}": value for name, value in values.items()}, step)
            self._tensorboard.save()

    def say_once(self, kind: str, text: str) -> None:
        """Say a warning on stderr and in the log's ``warnings.txt``, once per kind."""
        if kind in self._said:
            return
        self._said.add(kind)
        logger.warning("%s: %s", kind, text)
        with (self.folder / "warnings.txt").open("a", encoding="utf-8") as file:
            file.write(f"{kind}: {text}\n")

    def close(self) -> None:
        """Write out what is buffered."""
        if self._tensorboard:
            self._tensorboard.finalize("success")
