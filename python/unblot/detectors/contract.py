"""What every detector provides.

A detector is one file: a class that names its networks, its losses and its score. The training loop, the scoring path
and the evaluation know only what stands here (``docs/design.md``). How a detector is found by name:
:mod:`unblot.detectors.registry`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from unblot.detectors.options import Options

__all__ = [
    "Batch",
    "Detector",
    "LeaveGroupOut",
    "Phase",
    "Recommended",
    "Scores",
    "Step",
]


@dataclass(frozen=True)
class Batch:
    """One training batch on the training device.

    Attributes:
        noisy: corrupted images, float, shape (N, C, H, W), in [-1, 1].
        clean: the same images before corruption; ``noisy`` itself where nothing was corrupted.
        index: int64, shape (N,): position of each image in the training set.
        group: int64, shape (N,): number of the physical part or capture session (``docs/design.md``).
    """

    noisy: Tensor
    clean: Tensor
    index: Tensor
    group: Tensor

    @property
    def mask(self) -> Tensor:
        """Float, shape (N, 1, H, W): 1 where the corruption changed a pixel, else 0. Made anew each time."""
        return (self.noisy != self.clean).any(1, keepdim=True).float()


@dataclass(frozen=True)
class Step:
    """One gradient step: the loop sums ``losses``, goes backward and steps ``optimizer``.

    Attributes:
        optimizer: name in :attr:`Phase.optimizers`.
        losses: weighted terms by name, each a scalar tensor with a graph; their sum is minimised.
        logs: values to show that are not minimised, each a scalar tensor. A detector with a discriminator logs
            ``d_real`` and ``d_fake``, its mean probabilities of "real", by which the loop sees a collapse.
    """

    optimizer: str
    losses: Mapping[str, Tensor]
    logs: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Phase:
    """A stretch of training with its own optimizers.

    Attributes:
        name: given back to ``training_step``; unique within a detector.
        optimizers: by name; empty for a phase without gradient steps.
        epochs: passes over the training set; None takes what the run asks for.
        images: that an epoch shows in all, drawn evenly; None shows each once.
        keeps: what it gathers beside parameters and buffers is needed until the calibration. From its start on no
            checkpoint is written before the end: a training that stops within goes on from what stood before it.
        judged: the detector that is judged after each epoch by held-out normal images with and without a corruption
            left out of training; at the end of the phase it gets the weights of its best epoch back. None: the last
            epoch stays.
    """

    name: str
    optimizers: Mapping[str, torch.optim.Optimizer]
    epochs: int | None = None
    images: int | None = None
    keeps: bool = False
    judged: Detector | None = None


@dataclass(frozen=True)
class Scores:
    """Anomaly scores of N images; larger is more anomalous.

    Attributes:
        image: float, shape (N,).
        map: anomaly map, float, shape (N, 1, H, W), at the resolution of the images.
    """

    image: Tensor
    map: Tensor


@dataclass(frozen=True)
class LeaveGroupOut:
    """Scores of normal images, each as if no image of its group had been among what was learnt from.

    Attributes:
        held_out: of the held-out images, float, shape (N,).
        training: of training images, float, shape (M,); none where that takes another training to tell.
        groups: of the latter, int64, shape (M,).
        index: their places in the training set, int64, shape (M,).
    """

    held_out: Tensor
    training: Tensor = field(default_factory=lambda: torch.zeros(0))
    groups: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    index: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))


@dataclass(frozen=True)
class Recommended:
    """Settings that a detector is best trained with where the user asks for nothing else.

    Attributes:
        size: height and width of the images in pixels.
        largest: up to which size images are seen where they have the pixels; None: ``size``, whatever they have.
        corruption: by name.
        batch_size: images per step.
        lr: learning rate.
        samples_seen: how many images of ``size`` a phase is shown in all, which gives the number of epochs; None is 15
            epochs.
        once: whether each image is needed about once, so that decoded ones need not be kept.
    """

    size: int = 32
    largest: int | None = None
    corruption: str = "box"
    batch_size: int = 64
    lr: float = 2e-4
    samples_seen: int | None = None
    once: bool = False

    def epochs(self, images: int, size: int | None = None) -> int:
        """Epochs for a training set of so many images, from 1 to 150: few images shown too often are learnt by heart.
        Where there is a ``largest`` size, an image above the least counts by its pixels, for it shows as much more.

        Example:
            >>> Recommended(samples_seen=20_000).epochs(700)
            29
            >>> Recommended(size=256, largest=512, samples_seen=12_000).epochs(700, 512)
            4
        """
        if self.samples_seen is None:
            return 15
        each = max(1.0, size / self.size) ** 2 if size and self.largest else 1.0
        return min(max(1, round(self.samples_seen / (images * each))), 150)


class Detector(nn.Module, ABC):
    """Base class of all detectors.

    A subclass stores its networks as attributes, names the class of its options as ``options_type``, passes them on to
    ``super().__init__`` so that a checkpoint can rebuild it, and implements :meth:`phases`, :meth:`training_step` and
    :meth:`score`. It is built with its options as keywords.

    Args:
        channels: 1 (grayscale) or 3 (RGB).
        size: height and width of the images in pixels; :meth:`multiple_for` divides it.
        options: the checked options of the subclass; kept in ``options`` as JSON values.

    Raises:
        ValueError: ``channels`` or ``size`` is not accepted.
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""  # what it does, in one sentence without a full stop
    options_type: ClassVar[type[Options]] = Options
    size_multiple: ClassVar[int] = 1
    size_min: ClassVar[int] = 1
    images_min: ClassVar[int] = 2  # training images that it takes at least, on each device
    recommended: ClassVar[Recommended] = Recommended()
    no_graph: ClassVar[str | None] = (
        None  # why ``score`` is no fixed graph that could be exported; None where it is one
    )

    def __init__(self, *, channels: int, size: int, options: Options | None = None) -> None:
        super().__init__()
        if channels not in (1, 3):
            raise ValueError(f"channels must be 1 (grayscale) or 3 (RGB), got {channels!r}")
        step = self.multiple_for(options or Options())
        least = -(-self.size_min // step) * step
        if size < least or size % step:
            below = max(least, size // step * step)
            raise ValueError(
                f"{self.name} takes square images whose size is a multiple of {step}, at least {least}; "
                f"got size={size}. Nearest accepted: {below} or {below + step}"
            )
        self.channels = channels
        self.size = size
        self.options: dict[str, Any] = (options or Options()).to_dict()
        self._shown = (0, 0, size, size)

    @classmethod
    def multiple_for(cls, options: Options) -> int:  # noqa: ARG003 - most have one for all options
        """What divides the size of images for a detector with these options."""
        return cls.size_multiple

    @classmethod
    def useful_size(cls, size: int, options: Mapping[str, Any]) -> int:  # noqa: ARG003 - most look at all pixels
        """At which size a detector with these options is best shown images that ``size`` would suit: no larger than
        shows it more, and one that it takes.
        """
        return size

    def look_within(self, left: int, top: int, right: int, bottom: int) -> None:
        """Leave out of scores what lies beyond these pixels: there all images are filled, and show nothing."""
        self._shown = (left, top, right, bottom)

    def within(self, maps: Tensor) -> Tensor:
        """Maps of any scale, shape (..., h, w), without the places that show no part of an image: what the numbers of
        :meth:`score` are taken from. A place that shows a little stays.

        Example:
            >>> from unblot.detectors import create
            >>> dae = create("dae", channels=1, size=32)
            >>> dae.look_within(0, 9, 32, 23)
            >>> dae.within(torch.zeros(1, 1, 8, 8)).shape
            torch.Size([1, 1, 4, 8])
        """
        left, top, right, bottom = self._shown
        high, wide = maps.shape[-2:]
        rows = slice(top * high // self.size, -(-bottom * high // self.size))
        return maps[..., rows, left * wide // self.size : -(-right * wide // self.size)]

    @abstractmethod
    def phases(self, lr: float) -> Sequence[Phase]:
        """The phases of training, in order, with fresh optimizers whose base learning rate is ``lr``."""

    @abstractmethod
    def training_step(self, phase: str, batch: Batch) -> Iterator[Step]:
        """Yield the gradient steps of one batch, in order; each is taken before the generator goes on."""

    @abstractmethod
    def score(self, images: Tensor) -> Scores:
        """Score clean images, float (N, C, H, W) in [-1, 1]; called in eval mode, each image on its own merits."""

    @property
    def needs_corruption(self) -> str | None:
        """Why it cannot be trained without a corruption, None where it can. A network of its may say so."""
        found = (getattr(part, "needs_corruption", None) for part in self.children())
        return next(filter(None, found), None)

    def restore(self, images: Tensor) -> Tensor | None:  # noqa: ARG002 - a detector may restore nothing
        """Restored images, same shape and range, or None for a detector that restores nothing."""
        return None

    def sources(self) -> dict[str, Any]:
        """Where the weights come from that no training here made, by network; asked for after :meth:`start`, and kept
        with the run. A network of its may say so.
        """
        found = {name: getattr(part, "source", None) for name, part in self.named_children()}
        return {name: source for name, source in found.items() if source}

    def start(self) -> None:
        """Called once before the first epoch of a new training; not on resuming, nor when a run is read back.

        The place for pretrained weights: they are in every checkpoint from then on.
        """

    def finish_phase(self, phase: str) -> None:
        """Called once after the last epoch of ``phase``."""

    def expect(self, images: int) -> None:
        """Called before so many images are passed through: the place to make ready what only pays for many."""

    def calibrate(
        self,
        held_out: Iterable[Tensor],  # noqa: ARG002
        blotted: Iterable[Tensor],  # noqa: ARG002
        groups: Tensor,  # noqa: ARG002
    ) -> LeaveGroupOut | None:
        """Called once after all phases, in eval mode, under ``no_grad``.

        Args:
            held_out: batches of held-out normal images in [-1, 1]; like ``blotted``, may be gone through several times.
            blotted: the same images under a corruption left out of training; empty where the run judges by none.
            groups: of ``held_out``, int64, shape (N,): images of one number show one part (:class:`Batch`).

        Returns:
            What the threshold is taken from, in the unit of :meth:`score`; None where nothing is learnt of single
            images, so that :meth:`score` gives as much.
        """
        return None

    def notes(self) -> Mapping[str, Any]:
        """What the training decided by itself and why, JSON values; kept with the run and shown in its report."""
        return {}
