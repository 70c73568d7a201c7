"""What a training run is asked for, apart from its data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from unblot.calibration.thresholds import WAYS
from unblot.detectors import available, check_options, default_model, recommended, useful_size
from unblot.errors import UserError

__all__ = ["UNLIKE", "TrainConfig"]

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("fp32", "bf16")
UNLIKE = "unlike"
"""The judge by shading, blur and warping."""


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training run; immutable, checked when built, JSON-able.

    Corruption, epochs, batch size and rate that are left out are what suits the detector
    (:class:`~unblot.detectors.Recommended`); epochs stay None until the number of images is known (:meth:`resolved`).

    Args:
        model: name of a detector (:func:`unblot.detectors.available`); by default that of
            :func:`unblot.detectors.default_model`.
        model_options: that detector's own options (``unblot models NAME`` lists them).
        corruption: a name that :func:`~unblot.corruption.named` knows, such as "box" (:class:`~unblot.BoxNoise` as it
            comes), "mixed" or "none", or the path of a corruption spec file.
        epochs: passes over the training images, for each phase that does not say its own.
        batch_size: images per step and device.
        lr: base learning rate; decays linearly to 0 over a phase.
        seed: fixes the initial weights, the order of the images, the corruption and torch's generator.
        device: "auto" takes a GPU where there is one.
        devices: number of devices (processes on the CPU); gradients are averaged over them. Under
            ``torchrun`` the number of its processes.
        precision: "fp32", or "bf16" for mixed precision with bfloat16.
        workers: processes that load and corrupt; 0 does it in the training process. Never changes a result.
        quantile: of the held-out normal scores, in (0, 1), that becomes the threshold.
        threshold_by: "rank" takes the score of that rank; "normal" assumes a normal distribution, for too few scores
            (:func:`unblot.calibration.calibrate`).
        judge: defects that training leaves out; by them and held-out normal images some detectors choose their best
            epoch or their weights. "unlike" are shading, blur and warping; else a corruption, named as for
            ``corruption``. "none" keeps the last epoch.

    Raises:
        UserError: a value out of its range.

    Example:
        >>> TrainConfig(model="dae", epochs=2).to_dict()["epochs"]
        2
    """

    model: str = field(default_factory=default_model)
    model_options: dict[str, Any] = field(default_factory=dict)
    corruption: str = None  # type: ignore[assignment]  # filled in, as the next ones
    epochs: int | None = None
    batch_size: int = None  # type: ignore[assignment]
    lr: float = None  # type: ignore[assignment]
    seed: int = 0
    device: str = "auto"
    devices: int = 1
    precision: str = "fp32"
    workers: int = 0
    quantile: float = 0.95
    threshold_by: str = "rank"
    judge: str = UNLIKE

    def __post_init__(self) -> None:
        if self.model not in available():
            raise UserError(f"model must be one of {', '.join(available())}; got {self.model!r}")
        own = recommended(self.model)
        left_open = [name for name in ("corruption", "epochs", "batch_size", "lr") if getattr(self, name) is None]
        for name in {"corruption", "batch_size", "lr"}.intersection(left_open):
            object.__setattr__(self, name, getattr(own, name))
        object.__setattr__(self, "_left_open", left_open)
        try:
            object.__setattr__(self, "model_options", check_options(self.model, self.model_options))
        except ValueError as error:
            raise UserError(str(error)) from error
        for name, lowest in (("epochs", 1), ("batch_size", 2), ("devices", 1), ("workers", 0), ("seed", 0)):
            value = getattr(self, name)
            if name == "epochs" and value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
                raise UserError(f"{name} must be a whole number, {lowest} or more; got {value!r}")
        if self.seed >= 2**63:
            raise UserError(f"seed must be below 2**63; got {self.seed!r}")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise UserError(f"lr must be a finite number above 0; got {self.lr!r}")
        if not 0 < self.quantile < 1:
            raise UserError(f"quantile must lie between 0 and 1; got {self.quantile!r}")
        for name, accepted in (("device", DEVICES), ("precision", PRECISIONS), ("threshold_by", WAYS)):
            if getattr(self, name) not in accepted:
                raise UserError(f"{name} must be one of {', '.join(accepted)}; got {getattr(self, name)!r}")

    def resolved(self, images: int, size: int) -> TrainConfig:
        """With the number of epochs for so many training images of this size, where it was left open."""
        if self.epochs is not None:
            return self
        seen = useful_size(self.model, size, self.model_options)
        return replace(self, epochs=recommended(self.model).epochs(images, seen))

    def changed(self, **values: Any) -> TrainConfig:
        """The same with other values; what was left open follows from the new ones."""
        left_open: list[str] = self._left_open  # type: ignore[attr-defined]
        kept = {name: value for name, value in self.to_dict().items() if name not in left_open}
        return TrainConfig(**{**kept, **values})

    def to_dict(self) -> dict[str, Any]:
        """All settings as JSON values, by name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """The inverse of :meth:`to_dict`; missing names take their default.

        Raises:
            UserError: a name that is no setting, or a value out of its range.
        """
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise UserError(f"no training setting named {', '.join(unknown)}; there are {', '.join(sorted(known))}")
        return cls(**values)
