"""Facts about an image that need no look at it, and how well each alone tells normal from abnormal.

A detector may learn the camera instead of the defect: abnormal images of another size, another program's files, another
lamp. The AUROC of each fact alone on the test part says how much of a result could come from there. Size and type of a
file are never the defect, so a strong one fakes a result. Brightness, contrast and the size of a file may be the defect
itself (a burnt part is dark, a scratched one packs worse): those are for the user to judge, and only warned of.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unblot.data import Source, Splits
from unblot.data.pixels import in_threads, probe
from unblot.evaluation.audit.findings import FAKE, FINE, WARNING, Finding, Shown
from unblot.evaluation.audit.neighbours import stack

__all__ = ["facts_of", "trivial_facts"]

STRONG, TOTAL = 0.75, 0.95
_SURE = 4.0  # standard deviations of the AUROC of a fact that says nothing
_NEVER_THE_DEFECT = ("width", "height", "aspect", "file type")


def facts_of(splits: Splits, sources: Mapping[str, Source]) -> dict[str, NDArray[np.float64]]:
    """Facts about the test images by name, each of shape (N,); those that do not vary, or do not exist, are left out.

    Args:
        splits: the test part is looked at.
        sources: where the pixels of each image come from, by its name.
    """
    test = [sources[item.name] for item in splits.test.items]
    sizes = np.array([look.size for look in in_threads(probe, [s.image for s in test], what="facts", progress=False)])
    pixels = [stack(splits.test, [i]).float() for i in range(len(test))]
    facts = {
        "width": sizes[:, 0].astype(np.float64),
        "height": sizes[:, 1].astype(np.float64),
        "aspect": sizes[:, 1] / sizes[:, 0],
        "brightness": np.array([float(x.mean()) for x in pixels]),
        "contrast": np.array([float(x.mean(1).std()) for x in pixels]),
    }
    files = [s.image for s in test if isinstance(s.image, Path)]
    if len(files) == len(test):
        facts["file size"] = np.array([path.stat().st_size for path in files], dtype=np.float64)
        kinds = [path.suffix.lower() for path in files]
        common = max(sorted(set(kinds)), key=kinds.count)
        facts["file type"] = np.array([kind == common for kind in kinds], dtype=np.float64)
    return {name: values for name, values in facts.items() if np.ptp(values) > 0}


def trivial_facts(splits: Splits, sources: Mapping[str, Source]) -> Finding | None:
    """The AUROC of each fact alone.

    Returns:
        None where the test part has one label alone, or no fact varies.
    """
    from sklearn.metrics import roc_auc_score

    labels = splits.test.labels
    normal, abnormal = int((labels == 0).sum()), int((labels == 1).sum())
    if not normal or not abnormal or not (facts := facts_of(splits, sources)):
        return None
    auroc = {name: float(roc_auc_score(labels, values)) for name, values in facts.items()}
    by_chance = math.sqrt((normal + abnormal + 1) / (12 * normal * abnormal))
    level = {name: _level(name, value, by_chance) for name, value in auroc.items()}
    order = sorted(auroc, key=lambda name: -abs(auroc[name] - 0.5))
    strong = [name for name in order if level[name] != FINE]
    worst = FAKE if FAKE in level.values() else WARNING if strong else FINE
    said = ", ".join(f"{name} {auroc[name]:.3f}" for name in order)
    text = f"AUROC of single facts on the test part (0.5 says nothing, 0 and 1 say all): {said}."
    remedy = ""
    if worst == FAKE:
        remedy = (
            f"{_listed([n for n in strong if level[n] == FAKE])} alone tells the label and is never the defect: make "
            "normal and abnormal images in one way, or crop and convert both alike."
        )
    elif strong:
        remedy = (
            f"{_listed(strong)} alone goes a long way. It may be the defect itself, or the way in which the images "
            "were made; if the latter, a detector is judged by it. Compare its AUROC with this one."
        )
    rows = [_extremes(splits, facts[strong[0]], strong[0])] if strong else []
    figures = {"auroc": auroc, "warns_from": STRONG, "fakes_from": TOTAL}
    return Finding("trivial facts", worst, text, remedy, figures, rows)


def _level(name: str, auroc: float, by_chance: float) -> str:
    away = abs(auroc - 0.5)
    if away < _SURE * by_chance or away < STRONG - 0.5:
        return FINE
    return FAKE if away >= TOTAL - 0.5 and name in _NEVER_THE_DEFECT else WARNING


def _listed(names: list[str]) -> str:
    return " or ".join(names).capitalize()


def _extremes(splits: Splits, values: NDArray[np.float64], name: str) -> list[Shown]:
    """The lowest and highest image of each label by one fact."""
    labels, shown = splits.test.labels, []
    for label, word in ((0, "normal"), (1, "abnormal")):
        chosen = np.flatnonzero(labels == label)
        for which, i in (("lowest", values[chosen].argmin()), ("highest", values[chosen].argmax())):
            at = int(chosen[i])
            caption = f"{word}, {which} {name}: {values[at]:.4g}"
            shown.append(Shown(splits.test.items[at].name, splits.test[at]["image"].numpy(), caption))
    return shown
