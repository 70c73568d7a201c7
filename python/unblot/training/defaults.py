"""What a run means: the one place where everything that was left open is decided.

Every door goes through here: ``unblot train``, :func:`unblot.training.train`, ``unblot compare``, the scikit-learn
estimator. So the same data and the same wishes are the same run.
"""

from __future__ import annotations

from dataclasses import replace

from unblot.data import DataConfig, Found, Splits, find_images, load_found, native_size, usual_side
from unblot.data.decoded import CACHE_BYTES, ONCE_BYTES
from unblot.detectors import recommended, useful_size
from unblot.training.config import TrainConfig

__all__ = ["resolve", "size_for", "sized"]


def size_for(config: TrainConfig, side: float) -> int:
    """Height and width at which the detector of a run sees images with as many pixels as a square of this side.

    Example:
        >>> [size_for(TrainConfig(model), 140) for model in ("memory", "dae")]
        [224, 32]
    """
    own = recommended(config.model)
    return useful_size(config.model, native_size(side, own.size, own.largest or own.size), config.model_options)


def sized(config: TrainConfig, data: DataConfig, found: Found) -> DataConfig:
    """Data with the size at which a run sees their images; what was asked for stays."""
    return data if data.size is not None else replace(data, size=size_for(config, usual_side(found, data.fit)))


def resolve(
    config: TrainConfig, data: DataConfig, *, progress: bool | None = None
) -> tuple[TrainConfig, DataConfig, Splits]:
    """Settings and data with everything filled in that was left open, and the images.

    Args:
        config: settings; ``epochs`` may be open.
        data: which images; ``size`` may be open.
        progress: as for :func:`unblot.data.load_data`.

    Raises:
        UserError: data or settings that cannot be used.

    Example:
        >>> config, data, splits = resolve(TrainConfig(), DataConfig("digits"))
        >>> config.corruption, data.size, len(splits.train)
        ('mixed', 64, 1165)
    """
    found = find_images(data)
    data = sized(config, data, found)
    cache_bytes = ONCE_BYTES if recommended(config.model).once else CACHE_BYTES
    splits = load_found(found, data, progress=progress, cache_bytes=cache_bytes)
    return config.resolved(len(splits.train.inputs), splits.train.size), data, splits
