"""What a grid trains: class left out × detector × corruption × seed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from unblot.data import DataConfig, class_names, find_images
from unblot.detectors import available, create, recommended, useful_size
from unblot.errors import UserError
from unblot.training import TrainConfig

__all__ = ["Training", "plan"]


@dataclass(frozen=True)
class Training:
    """One training of the grid.

    Attributes:
        name: of its run directory.
        left_out: the class that is abnormal; None where the data say what is.
        corruption: its short name, for tables.
        data: which images.
        config: the settings.
    """

    name: str
    left_out: str | None
    corruption: str
    data: DataConfig
    config: TrainConfig


def plan(
    data: DataConfig,
    config: TrainConfig,
    *,
    models: Sequence[str],
    corruptions: Mapping[str, str | None],
    seeds: Sequence[int],
    classes: Sequence[str] = (),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    split_by_seed: bool = True,
) -> list[Training]:
    """All trainings of a grid; whatever is wrong with a name or an option is found here, before any work.

    Args:
        data: which images; ``abnormal`` is replaced by each of ``classes``.
        config: settings of all; its model, options, corruption and seed are replaced.
        models: names of detectors.
        corruptions: names or files, by the short name for tables; None: what suits each detector.
        seeds: each fixes a training.
        classes: each is left out in turn as abnormal; ("all",) for all that the data set has. Empty: the data say what
            is abnormal.
        options: by model, options of that detector.
        split_by_seed: every seed also draws the split.

    Returns:
        One after the other those that share their images.

    Raises:
        UserError: a model, class, corruption, option or data set that does not exist.
    """
    options = options or {}
    for model in (*models, *options):
        if model not in available():
            raise UserError(f"no detector named {model!r}; there are {', '.join(available())}")
    for name, given in (("models", models), ("corruptions", list(corruptions)), ("seeds", seeds)):
        if not given:
            raise UserError(f"{name} is empty; give at least one")
        if len(set(given)) < len(given):
            raise UserError(f"{name} names something twice: {', '.join(map(str, given))}")
    left_out = _classes(data, classes)
    for model in models:
        try:
            own = recommended(model)
            size = data.size or useful_size(model, own.size, options.get(model, {}))
            create(model, channels=data.channels or 3, size=size, **options.get(model, {}))
        except ValueError as error:
            raise UserError(str(error)) from error
    trainings = []
    for left, seed in product(left_out, seeds):
        images = replace(data, abnormal=(left,)) if left else data
        images = replace(images, split_seed=seed) if split_by_seed else images
        for model, (short, corruption) in product(models, corruptions.items()):
            asked = config.changed(
                model=model, model_options=dict(options.get(model, {})), corruption=corruption, seed=seed
            )
            parts = [*([left] if left else []), model, short, f"seed{seed}"]
            folder = "-".join(re.sub(r"[^A-Za-z0-9._]+", "-", part) for part in parts)
            trainings.append(Training(folder, left, short, images, asked))
    for left in left_out:
        find_images(replace(data, abnormal=(left,)) if left else data)
    return trainings


def _classes(data: DataConfig, classes: Sequence[str]) -> list[str | None]:
    """The classes to leave out in turn; [None] where the data say what is abnormal."""
    if not classes:
        return [None]
    known = class_names(data.data)
    if not known:
        raise UserError(
            f"classes left out in turn belong to a data set of classes, such as cifar10 or digits, not to {data.data}; "
            "what is abnormal in a folder says --abnormal"
        )
    if data.abnormal or data.normal:
        raise UserError("give either classes to leave out in turn, or normal and abnormal ones, not both")
    if list(classes) == ["all"]:
        return list(known)
    if len(set(classes)) < len(classes):
        raise UserError(f"classes names one twice: {', '.join(classes)}")
    return list(classes)
