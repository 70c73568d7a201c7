"""Protocols: how test images are scored, and what may be chosen by looking at them.

The clean protocol is what a user can have. The published one reproduces the tables of the GAN family (the paper's
tables 1 to 3, and the figures of GANomaly and Skip-GANomaly that it compares with). Their public code

- never leaves train mode, so BatchNorm normalises every test batch with that batch's own statistics;
- reads the test set in a fixed order, all normal images (their classes mixed) before all abnormal ones, in batches of
  64, so that all batches but one are purely normal or purely abnormal;
- tests after every epoch and reports the epoch with the highest AUROC on the test set.

Together the first two tell a detector which class it looks at: a batch of one class has statistics of its own. In use
images come one by one, or mixed, and their labels are not known. So every figure with one of the three switches on is
labelled :data:`NOT_REACHABLE`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from unblot.errors import UserError

__all__ = ["CLEAN", "NOT_REACHABLE", "PROTOCOLS", "PUBLISHED", "Protocol", "batch_statistics", "protocol_named"]

NOT_REACHABLE = "not reachable in use"
_ORDER_SEED = 0


@dataclass(frozen=True)
class Protocol:
    """Three switches, all off in the clean protocol.

    Attributes:
        name: for tables.
        batch_statistics: BatchNorm normalises with the statistics of the test batch instead of those of the training.
            Running statistics stay as they are.
        class_order: test batches hold normal images first, then abnormal ones, each mixed; else all images are mixed.
            Without ``batch_statistics`` no score depends on the order.
        best_epoch: figures are those of the epoch with the highest AUROC on the test set; else of the last epoch.
        batch_size: images of a test batch.

    Example:
        >>> PUBLISHED.batches([0, 1, 0, 1, 0])
        [[2, 4, 0, 3, 1]]
        >>> CLEAN.batches([0, 1, 0, 1, 0])
        [[0, 1, 2, 3, 4]]
    """

    name: str
    batch_statistics: bool = False
    class_order: bool = False
    best_epoch: bool = False
    batch_size: int = 64

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")

    @property
    def reachable(self) -> bool:
        """Whether a user of the detector can have these figures."""
        return not (self.batch_statistics or self.class_order or self.best_epoch)

    @property
    def label(self) -> str:
        """The name, and beside it what a reader of any figure must know."""
        return self.name if self.reachable else f"{self.name} ({NOT_REACHABLE})"

    @property
    def text(self) -> str:
        """What was done, in whole sentences."""
        if self.reachable:
            return (
                "Networks in evaluation mode, each image scored on its own. No test image took part in the training, "
                "the threshold or a choice. These figures can be had in use, on images like these."
            )
        parts = [
            "BatchNorm with the statistics of the test batch"
            if self.batch_statistics
            else "networks in evaluation mode",
            f"test batches of {self.batch_size} "
            + ("ordered by class, normal images first" if self.class_order else "with both classes mixed"),
            "the epoch that is best on the test set" if self.best_epoch else "weights of the last epoch",
            "threshold at 0.2 of the test scores' range",
        ]
        text = ", ".join(parts)
        return (
            f"{text[0].upper()}{text[1:]}. This is how published figures of this family were made. It needs the labels "
            "of the test images, so these figures cannot be had in use."
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values by field name."""
        return asdict(self)

    def at_last_epoch(self) -> Protocol:
        """The same without the choice of an epoch."""
        return replace(self, best_epoch=False)

    def batches(self, labels: ArrayLike) -> list[list[int]]:
        """Positions of the test images, batch by batch.

        Args:
            labels: shape (N,), 0 normal, 1 abnormal, -1 unknown; looked at for ``class_order`` alone.

        Returns:
            Lists of positions. A last batch of one image joins the one before it where BatchNorm needs two.
        """
        values = np.asarray(labels)
        order = np.arange(values.size)
        if not self.reachable:
            order = np.random.default_rng(_ORDER_SEED).permutation(order)  # files often lie class by class
        if self.class_order:
            order = order[np.argsort(values[order], kind="stable")]
        out = [order[i : i + self.batch_size].tolist() for i in range(0, values.size, self.batch_size)]
        if self.batch_statistics and len(out) > 1 and len(out[-1]) == 1:
            out[-2:] = [out[-2] + out[-1]]
        return out


CLEAN = Protocol("clean")
PUBLISHED = Protocol("published", batch_statistics=True, class_order=True, best_epoch=True)
PROTOCOLS = {protocol.name: protocol for protocol in (CLEAN, PUBLISHED)}


def protocol_named(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        UserError: there is none.
    """
    if name not in PROTOCOLS:
        close = get_close_matches(name.lower(), PROTOCOLS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(PROTOCOLS)}"
        raise UserError(f"no protocol named {name!r}; {hint}")
    return PROTOCOLS[name]


@contextmanager
def batch_statistics(model: nn.Module) -> Iterator[None]:
    """Inside, every BatchNorm layer normalises with the statistics of its batch and leaves its running ones alone.

    All else (dropout, say) stays in the mode that it is in.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]
    before = [(layer.training, layer.track_running_stats) for layer in layers]
    try:
        for layer in layers:
            layer.training, layer.track_running_stats = True, False
        yield
    finally:
        for layer, (training, track) in zip(layers, before, strict=True):
            layer.training, layer.track_running_stats = training, track
