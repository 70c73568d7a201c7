"""What the published protocol finds without any training: an untrained network, and the mean colour of a batch.

Both are scored on the whole test set of each left-out class. What they reach tells how much of a published figure the
protocol makes by itself (:mod:`research.protocol`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from research.protocol.study import colour_scores
from unblot.calibration import paper_threshold
from unblot.comparison.epochs import judge
from unblot.data import DataConfig, Splits
from unblot.evaluation import CLEAN, PUBLISHED, Protocol, image_metrics
from unblot.training import TrainConfig, resolve
from unblot.training.loop import build

__all__ = ["NAMES", "controls"]

NAMES = ("untrained network", "mean colour")
_PROTOCOLS = (CLEAN, PUBLISHED.at_last_epoch())  # nothing is trained, so there is no epoch to choose


def controls(config: TrainConfig, data: DataConfig, classes: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Cells of both controls, class by class: ``control``, ``left_out``, ``protocol``, ``auroc``, ``auprc``.

    Args:
        config: which detector is built; its seed gives the weights.
        data: the set; its ``abnormal`` is replaced by each class in turn.
        classes: that are left out.
    """
    for name in classes:
        resolved, _, splits = resolve(config, replace(data, abnormal=(name,)), progress=False)
        for protocol in _PROTOCOLS:
            found = {
                NAMES[0]: judge(build(resolved, splits), splits, protocol),
                NAMES[1]: _colour(splits, protocol),
            }
            for control, figures in found.items():
                yield {
                    "control": control,
                    "left_out": name,
                    "protocol": protocol.name,
                    "auroc": figures["auroc"],
                    "auprc": figures["auprc"],
                }


def _colour(splits: Splits, protocol: Protocol) -> dict[str, Any]:
    scores = colour_scores(splits, protocol)
    return image_metrics(splits.test.labels, scores, paper_threshold(scores).threshold)
