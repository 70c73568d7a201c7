"""Figures by left-out class, with the paper's below those of the same detector and the controls below all."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from research.pages import filled, table
from research.paper.printed import printed
from unblot.data.cifar10 import CLASSES
from unblot.evaluation import PROTOCOLS

__all__ = ["class_table", "page", "training_table"]

PAPER = "the paper, as printed"
METRICS = {"table-1": "auroc", "table-2": "auprc"}


def page(text: str, found: Sequence[Mapping[str, Any]]) -> str:
    """The page with its made parts as they should be.

    Args:
        text: of the page.
        found: kept files (:func:`research.paper.kept.read_kept`).
    """
    tables = {name: class_table(metric, found) for name, metric in METRICS.items()}
    return filled(text, {**tables, "trainings": training_table(found)})


def class_table(metric: str, found: Sequence[Mapping[str, Any]]) -> str:
    """A column for each left-out class, and one for the average of those that are all there.

    Args:
        metric: "auroc" or "auprc".
        found: kept files.
    """
    rows = []
    for kept in found:
        if "control" in kept["cells"][0]:
            continue
        model = kept["training"]["model"]
        rows += [[f"`{model}`", PROTOCOLS[p].label, *_values(metric, kept["cells"], p)] for p in PROTOCOLS]
        if figures := printed(kept["data"], model, metric):
            published = PROTOCOLS["published"].label
            rows.append([f"`{model}`, {PAPER}", published, *(f"{f:.3f}" for f in figures.values())])
    for kept in found:
        for name in dict.fromkeys(cell["control"] for cell in kept["cells"] if "control" in cell):
            cells = [cell for cell in kept["cells"] if cell["control"] == name]
            rows += [[name, PROTOCOLS[p].label, *_values(metric, cells, p)] for p in PROTOCOLS]
    return table(["scored by", "protocol", *CLASSES, "average"], rows)


def _values(metric: str, cells: Sequence[Mapping[str, Any]], protocol: str) -> list[str]:
    by_class = {
        name: [c[metric] for c in cells if (c["left_out"], c["protocol"]) == (name, protocol)] for name in CLASSES
    }
    means = [statistics.fmean(values) if values else None for values in by_class.values()]
    known = [value for value in means if value is not None]
    average = statistics.fmean(known) if len(known) == len(CLASSES) else None
    return ["–" if value is None else f"{value:.3f}" for value in (*means, average)]


def training_table(found: Sequence[Mapping[str, Any]]) -> str:
    """How long each row was trained, and on what."""
    rows = []
    for kept in found:
        if "control" in kept["cells"][0]:
            continue
        training, cells = kept["training"], kept["cells"]
        speeds = [cell["training_images_per_second"] for cell in cells if cell["training_images_per_second"]]
        options = ", ".join(f"{name} {value}" for name, value in training["model_options"].items())
        classes = dict.fromkeys(cell["left_out"] for cell in cells)
        seeds = ", ".join(map(str, sorted({cell["seed"] for cell in cells})))
        rows.append(
            [
                f"`{training['model']}`",
                options or "as they come",
                f"{kept['parameters'] / 1e6:.2f} million",
                str(len(classes)),
                f"{kept['counts']['train']:,}",
                str(training["epochs"]),
                f"{training['batch_size']}, rate {training['lr']:g}",
                training["corruption"],
                seeds,
                f"{statistics.median(speeds):.0f}" if speeds else "–",
            ]
        )
    header = ["detector", "options", "parameters", "classes", "training images", "epochs", "batch", "corruption"]
    return table([*header, "seeds", "training images/s"], rows)
