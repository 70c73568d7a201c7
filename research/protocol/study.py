"""What the published protocol does to a figure: its three switches, all eight ways, with two controls.

One training; after every epoch the test set is scored four ways (BatchNorm with running or batch statistics, test
batches mixed or ordered by class). Beside it stand the same four ways for

- the untrained network: what the switches bring without anything learned;
- the mean colour alone: an image's score is the distance of its batch's mean colour from the mean colour of the
  training images, no network at all. Without batch statistics the "batch" is the image itself.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from research.paper.printed import printed
from unblot.calibration import paper_threshold
from unblot.comparison.epochs import EachEpoch, best_epoch, judge, read_epochs
from unblot.data import DataConfig, ImageSet, Splits
from unblot.evaluation import CLEAN, NOT_REACHABLE, PUBLISHED, Protocol, image_metrics
from unblot.files import write_json, write_text
from unblot.training import TrainConfig, train
from unblot.training.engine import make_fabric
from unblot.training.loop import build
from unblot.training.run_files import CONFIG

__all__ = ["MODES", "protocol_study"]

# By (batch statistics, order by class).
MODES = {
    (False, False): CLEAN,
    (False, True): Protocol("class order", class_order=True),
    (True, False): Protocol("batch statistics", batch_statistics=True),
    (True, True): PUBLISHED.at_last_epoch(),
}


def protocol_study(
    config: TrainConfig, data: DataConfig, splits: Splits, out: Path, *, progress: bool = True
) -> dict[str, Any]:
    """Train one detector in ``out/run`` and judge it all eight ways; a study that was killed goes on where it stopped.

    Writes ``study.json``, ``table.md`` and ``plot.png`` into ``out``.

    Returns:
        What ``study.json`` holds: ``rows`` (one for each of the eight ways: the three switches, ``epoch``, ``auroc``,
        ``auprc`` and the AUROC of the two controls), ``paper`` (the printed AUROC, or None), the settings.

    Raises:
        UserError: the images or ``out`` cannot be used.
    """
    from research.protocol.plot import plot_protocol_study

    run = out / "run"
    device = make_fabric(config).device
    watch = EachEpoch(run, splits, list(MODES.values()), device=device, progress=progress)
    train(config, splits, run, data=data, resume=(run / CONFIG).exists(), progress=progress, after_epoch=watch)
    epochs = read_epochs(run)
    untrained = build(config, splits)
    controls = {
        protocol.name: {
            "untrained_auroc": judge(untrained, splits, protocol, device=device, progress=progress)["auroc"],
            "mean_colour_auroc": _auroc(splits.test.labels, colour_scores(splits, protocol)),
        }
        for protocol in MODES.values()
    }
    rows = []
    for statistics, order, best in product((False, True), repeat=3):
        protocol = MODES[statistics, order]
        number, figures = best_epoch(epochs if best else epochs[-1:], protocol.name)
        rows.append(
            {
                "batch_statistics": statistics,
                "class_order": order,
                "best_epoch": best,
                "reachable_in_use": not (statistics or order or best),
                "epoch": number,
                "auroc": figures["auroc"],
                "auprc": figures["auprc"],
                **controls[protocol.name],
            }
        )
    study: dict[str, Any] = {
        "format": 1,
        "data": data.to_dict(),
        "training": config.to_dict(),
        "test": {"normal": int((splits.test.labels == 0).sum()), "abnormal": int((splits.test.labels == 1).sum())},
        "rows": rows,
        "paper": _paper(config, data),
    }
    write_json(out / "study.json", study)
    write_text(out / "table.md", table(study))
    plot_protocol_study(study, out / "plot.png")
    return study


def colour_scores(splits: Splits, protocol: Protocol) -> NDArray[np.float64]:
    """Distance of the mean colour of each test image's batch from that of the training images, shape (N,).

    In units of 8-bit pixel values. Without batch statistics an image is its own batch, as for BatchNorm in eval mode.
    """
    test = splits.test
    own = mean_colours(test)
    reference = mean_colours(splits.train).mean(axis=0)
    batches = protocol.batches(test.labels) if protocol.batch_statistics else [[i] for i in range(len(test))]
    scores = np.empty(len(test))
    for batch in batches:
        scores[batch] = np.linalg.norm(own[batch].mean(axis=0) - reference)
    return scores


def mean_colours(images: ImageSet) -> NDArray[np.float64]:
    """Mean colour of each image, shape (N, channels)."""
    means = [batch["image"].double().mean(dim=(2, 3)) for batch in DataLoader(images, batch_size=256)]
    return torch.cat(means).numpy()


def _auroc(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> float | None:
    value: float | None = image_metrics(labels, scores, paper_threshold(scores).threshold)["auroc"]
    return value


def _paper(config: TrainConfig, data: DataConfig) -> float | None:
    """The AUROC that the paper prints for this detector and class."""
    return printed(data.data, config.model, "auroc").get(data.abnormal[0]) if len(data.abnormal) == 1 else None


def table(study: dict[str, Any]) -> str:
    """The study as Markdown."""
    data, training, rows = study["data"], study["training"], study["rows"]
    classes = f", abnormal: {', '.join(data['abnormal'])}" if data["abnormal"] else ""
    limit = f", {data['limit']} training images" if data["limit"] else ""
    lines = [
        f"# What the protocol does: {training['model']} on {data['data']}{classes}",
        "",
        f"Epochs: {training['epochs']}, corruption {training['corruption']}{limit}; {study['test']['normal']} normal "
        f"and {study['test']['abnormal']} abnormal test images; one training, one seed ({training['seed']}). Only the "
        f"first row can be had in use; all others are {NOT_REACHABLE}.",
        "",
        "| BatchNorm | test batches | epoch | AUROC | AUPRC | untrained network, AUROC | mean colour, AUROC |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [
            "statistics of the batch" if row["batch_statistics"] else "running statistics",
            "ordered by class" if row["class_order"] else "mixed",
            f"{'best on test' if row['best_epoch'] else 'last'} ({row['epoch']})",
            *(_figure(row[key]) for key in ("auroc", "auprc", "untrained_auroc", "mean_colour_auroc")),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", *_sentences(study)]
    return "\n".join(lines) + "\n"


def _sentences(study: dict[str, Any]) -> list[str]:
    """What each switch did at the last epoch."""
    at = {(row["batch_statistics"], row["class_order"]): row["auroc"] for row in study["rows"] if not row["best_epoch"]}
    if any(value is None for value in at.values()):
        return ["No AUROC: the test set holds one class only."]
    clean, published = at[False, False], study["rows"][-1]["auroc"]
    said = [
        f"AUROC at the last epoch, clean: {clean:.3f}. Ordering the test set by class alone: {at[False, True]:.3f}; "
        f"batch statistics alone: {at[True, False]:.3f}; both: {at[True, True]:.3f}; both at the best epoch: "
        f"{published:.3f}."
    ]
    if study["paper"] is not None:
        said.append(f"The paper prints {study['paper']:.3f} after 15 epochs.")
    if study["training"]["epochs"] == 1:
        said.append("With one epoch the best is the last.")
    return said


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
