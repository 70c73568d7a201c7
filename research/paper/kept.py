"""What is kept of a comparison: a small file for each detector, and one for the controls.

A folder of ``unblot compare`` holds weights, maps and reports. The tables need a few figures of each training, and how
long it was. These are kept in ``research/paper/results``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["CONTROLS", "FORMAT", "keep", "read_kept"]

FORMAT = 1
CONTROLS = "controls"  # name of the file of what is no training
_FIGURES = ("left_out", "seed", "epoch", "auroc", "auprc", "training_images_per_second")
_TRAINING = ("model", "model_options", "corruption", "epochs", "batch_size", "lr", "judge")


def keep(folder: Path) -> dict[str, dict[str, Any]]:
    """What a comparison found, by the name of the file that keeps it.

    Args:
        folder: that ``unblot compare`` wrote; it may be unfinished.

    Raises:
        OSError: ``table.json`` or a run is not there.
        ValueError: a file is damaged, or one detector was trained with several corruptions.
    """
    summary = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    found: dict[str, dict[str, Any]] = {}
    for model in dict.fromkeys(cell["model"] for cell in summary["cells"]):
        cells = [cell for cell in summary["cells"] if cell["model"] == model]
        if len(corruptions := {cell["corruption"] for cell in cells}) > 1:
            raise ValueError(f"{model} was trained with several corruptions {sorted(corruptions)}; a row has one")
        config = json.loads(next(folder.glob(f"runs/*-{model}-*/config.json")).read_text(encoding="utf-8"))
        found[f"{summary['data']}-{model}"] = {
            "format": FORMAT,
            "data": summary["data"],
            "size": config["data"]["size"],
            "training": {key: config["training"][key] for key in _TRAINING},
            "parameters": cells[0]["parameters"],
            "counts": cells[0]["counts"],
            "cells": [{**{key: cell[key] for key in _FIGURES}, "protocol": cell["protocol"]["name"]} for cell in cells],
        }
    return found


def read_kept(folder: Path) -> list[Mapping[str, Any]]:
    """The kept files of a folder, controls first, then by name.

    Raises:
        ValueError: a file is of another format.
    """
    paths: Sequence[Path] = sorted(folder.glob("*.json"), key=lambda path: (CONTROLS not in path.stem, path.stem))
    found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    for path, kept in zip(paths, found, strict=True):
        if kept.get("format") != FORMAT:
            raise ValueError(f"{path} has format {kept.get('format')!r}; this version reads {FORMAT}")
    return found
