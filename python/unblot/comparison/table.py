"""A grid's figures as tables: mean and standard deviation over seeds, per class and on average."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from unblot.comparison.grid import Outcome
from unblot.data import DataConfig
from unblot.evaluation import NOT_REACHABLE, PROTOCOLS
from unblot.files import write_json, write_text
from unblot.report.compare import Comparison, Table, markdown, page
from unblot.training import TrainConfig

__all__ = ["by_class", "spread", "summarise", "write_tables"]

_RATES = ("f1", "precision", "recall")
_PIXEL = {"auroc": "AUROC", "auprc": "AUPRC", "pro_0.3": "PRO"}


def summarise(outcomes: Sequence[Outcome], data: DataConfig, config: TrainConfig) -> Comparison:
    """Tables of a grid, of whatever part of it is finished.

    Args:
        outcomes: of :func:`unblot.comparison.run_grid`; not empty.
        data: what the grid was asked for.
        config: settings common to all its trainings.
    """
    cells = [cell for outcome in outcomes for cell in outcome.cells.values()]
    name = Path(data.data).name
    classes = list(dict.fromkeys(outcome.training.left_out or name for outcome in outcomes))
    rows = [_row(group, classes) for group in _groups(cells)]
    gains = _differences(cells)
    options = {o.training.config.model: o.training.config.model_options for o in outcomes}
    errors = [f"{o.training.name}: {o.error}" for o in outcomes if o.error is not None]
    summary = {
        "format": 1,
        "data": data.data,
        "classes": classes,
        "settings": {"data": _common(data.to_dict()), "training": _common(config.to_dict()), "options": options},
        "rows": rows,
        "differences": gains,
        "cells": cells,
        "errors": errors,
    }
    several = len(classes) > 1
    tables = [
        by_class("AUROC", "auroc", rows, classes),
        by_class("AUPRC", "auprc", rows, classes),
        _gains(gains),
        _neighbourhoods(cells, classes),
        _rates(
            "At the threshold",
            "The threshold of a user: from held-out normal images.",
            [row for row in rows if row["reachable"]],
            "",
        ),
        _rates(
            "At 0.2 of the test scores' range, as in the paper",
            f"The range is that of the test images themselves: {NOT_REACHABLE}, whatever the protocol.",
            rows,
            "_minmax_0.2",
        ),
        _pixels(rows),
        _speeds(rows),
    ]
    notes = [
        f"epochs: {config.epochs}, batches of {config.batch_size}, {data.size} × {data.size} pixels"
        + (f", at most {data.limit} training images" if data.limit else "")
        + (f", at most {data.test_limit} test images" if data.test_limit else "")
        + ". ± is the standard deviation over seeds"
        + ("; the average over classes is taken seed by seed." if several else "."),
        *(
            f"{model} with {', '.join(f'{key}={value}' for key, value in given.items() if key != 'weights')}."
            for model, given in options.items()
            if given.keys() - {"weights"}
        ),
        *dict.fromkeys(
            f"{cell['model']} with {source['title']}." for cell in cells for source in cell.get("sources", {}).values()
        ),
        *_protocol_notes(cells),
        *(f"Warning: {warning}" for warning in dict.fromkeys(w for cell in cells for w in cell["warnings"])),
    ]
    return Comparison(f"Detectors compared on {name}", summary, [t for t in tables if t.rows], notes, errors)


def write_tables(tables: Comparison, out: Path) -> None:
    """Write ``table.md``, ``table.json`` and ``table.html`` into ``out``, each replaced whole."""
    write_json(out / "table.json", tables.summary)
    write_text(out / "table.md", markdown(tables))
    write_text(out / "table.html", page(tables))


def spread(values: Iterable[float | None]) -> dict[str, Any] | None:
    """Mean, sample standard deviation (None for one value) and number; None where a value is missing or there is none.

    Example:
        >>> spread([0.5, 0.7])["mean"]
        0.6
    """
    known = list(values)
    if not known or None in known:
        return None
    numbers = [float(value) for value in known if value is not None]
    return {
        "mean": statistics.fmean(numbers),
        "std": statistics.stdev(numbers) if len(numbers) > 1 else None,
        "n": len(numbers),
    }


def _groups(cells: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Cells by model, corruption and protocol, in order of appearance."""
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for cell in cells:
        groups.setdefault((cell["model"], cell["corruption"], cell["protocol"]["name"]), []).append(cell)
    order = list(PROTOCOLS)
    keys = list(groups)
    first = {key[:2]: number for number, key in reversed(list(enumerate(keys)))}
    return [groups[key] for key in sorted(keys, key=lambda key: (order.index(key[2]), first[key[:2]]))]


def _row(cells: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> dict[str, Any]:
    """Mean and spread over seeds of each figure, by class and on average."""
    first = cells[0]
    figures: dict[str, dict[str, Any]] = {}
    for key in ("auroc", "auprc", *_RATES, *(f"{rate}_minmax_0.2" for rate in _RATES)):
        by_class: dict[str, dict[int, float | None]] = {name: {} for name in classes}
        for cell in cells:
            by_class[cell["left_out"] or classes[0]][cell["seed"]] = cell[key]
        seeds = sorted({seed for values in by_class.values() for seed in values})
        averages = [spread(by_class[name].get(seed) for name in classes) for seed in seeds]
        figures[key] = {name: spread(values.values()) for name, values in by_class.items()}
        figures[key]["average"] = spread(None if a is None else a["mean"] for a in averages)
    pixel = {
        # Cells of earlier versions lack the average precision.
        key: spread(cell["pixel"].get(key) for cell in cells) if all(cell["pixel"] for cell in cells) else None
        for key in _PIXEL
    }
    return {
        "model": first["model"],
        "corruption": first["corruption"],
        "protocol": first["protocol"]["name"],
        "reachable": first["reachable_in_use"],
        "seeds": sorted({cell["seed"] for cell in cells}),
        "figures": figures,
        "pixel": pixel,
        "parameters": first["parameters"],
        "training_images_per_second": spread(cell["training_images_per_second"] for cell in cells),
        "scoring_images_per_second": spread(cell["scoring_images_per_second"] for cell in cells),
    }


def _differences(cells: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """AUROC with one corruption less that with another, the same detector, protocol, class and seed on both sides.

    ``auroc`` is the mean over classes, taken seed by seed, and its spread over seeds; ``least`` and ``most`` are single
    pairs. Only what both sides have counts.
    """
    found: dict[tuple[str, str], dict[str, dict[tuple[int, str | None], float]]] = {}
    for cell in cells:
        if cell["auroc"] is not None:
            by_corruption = found.setdefault((cell["model"], cell["protocol"]["name"]), {})
            by_corruption.setdefault(cell["corruption"], {})[cell["seed"], cell["left_out"]] = cell["auroc"]
    rows = []
    for (model, protocol), by_corruption in found.items():
        for other, corruption in combinations(by_corruption, 2):
            a, b = by_corruption[corruption], by_corruption[other]
            if not (pairs := {key: a[key] - b[key] for key in a if key in b}):
                continue
            seeds = sorted({seed for seed, _ in pairs})
            means = [statistics.fmean(v for (s, _), v in pairs.items() if s == seed) for seed in seeds]
            rows.append(
                {
                    "model": model,
                    "protocol": protocol,
                    "reachable": PROTOCOLS[protocol].reachable,
                    "corruption": corruption,
                    "less": other,
                    "auroc": spread(means),
                    "least": min(pairs.values()),
                    "most": max(pairs.values()),
                    "pairs": len(pairs),
                }
            )
    return rows


def _gains(rows: Sequence[Mapping[str, Any]]) -> Table:
    lines = [
        [
            row["model"],
            f"{row['corruption']} - {row['less']}",
            _head(row)[2],
            _text(row["auroc"], sign="+"),
            f"{row['least']:+.3f} to {row['most']:+.3f} ({row['pairs']})",
        ]
        for row in rows
    ]
    text = "The same class, seed and split on both sides; mean over classes ± standard deviation over seeds."
    header = ["detector", "corruptions", "protocol", "difference of AUROC", "least to most (pairs)"]
    return Table("What a corruption brings", text, header, lines, _unreachable(rows))


def _neighbourhoods(cells: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> Table:
    """What the data alone say of each left-out class; one figure for each split."""
    known = {(cell["left_out"], cell["seed"]): cell.get("neighbourhood") for cell in cells}
    found: dict[str, list[Mapping[str, Any]]] = {name: [] for name in classes}
    for (name, _), figures in known.items():
        if name is not None and figures is not None:
            found[name].append(figures)
    figures = {
        "leakage of the left-out class": "left_out",
        "leakage of the normal classes": "normal",
        "leakage by chance": "chance",
        "AUROC of the distance in pixels": "distance_auroc",
    }
    lines = [
        [label, *(_text(spread(one[key] for one in found[name])) for name in classes)]
        for label, key in figures.items()
        if any(found.values())
    ]
    text = (
        "No network and no training, the pixels alone: the share of an image's nearest neighbours that are of another "
        "class, and the AUROC of the distance to the nearest training image. Where leakage is near chance, or that "
        "AUROC is not above 0.5, the left-out class lies among the normal ones: no score can be expected to find it."
    )
    return Table("How far apart the left-out class lies", text, ["figure", *classes], lines)


def by_class(caption: str, key: str, rows: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> Table:
    """A column for each class that was left out, and one for their average where there are several."""
    columns = [*classes, "average"] if len(classes) > 1 else list(classes)
    lines = [[*_head(row), *(_text(row["figures"][key][name]) for name in columns)] for row in rows]
    text = "Columns are the classes left out." if len(classes) > 1 else ""
    return Table(caption, text, ["detector", "corruption", "protocol", *columns], lines, _unreachable(rows))


def _rates(caption: str, text: str, rows: Sequence[Mapping[str, Any]], suffix: str) -> Table:
    """F1, precision and recall, averaged over classes."""
    lines = [[*_head(row), *(_text(row["figures"][f"{rate}{suffix}"]["average"]) for rate in _RATES)] for row in rows]
    header = ["detector", "corruption", "protocol", "F1", "precision", "recall"]
    return Table(caption, text, header, lines, _unreachable(rows))


def _pixels(rows: Sequence[Mapping[str, Any]]) -> Table:
    lines = [
        [*_head(row), *(_text(row["pixel"][key]) for key in _PIXEL)]
        for row in rows
        if row["pixel"]["auroc"] and row["reachable"]
    ]
    header = ["detector", "corruption", "protocol", *_PIXEL.values()]
    return Table("Pixels", "Anomaly maps against masks; AUPRC is the average precision.", header, lines)


def _speeds(rows: Sequence[Mapping[str, Any]]) -> Table:
    lines = [
        [
            row["model"],
            row["corruption"],
            f"{row['parameters']:,}",
            _text(row["training_images_per_second"], 0),
            _text(row["scoring_images_per_second"], 0),
        ]
        for row in rows
        if row["protocol"] == rows[0]["protocol"]
    ]
    header = ["detector", "corruption", "parameters", "training, images/s", "scoring, images/s"]
    text = "Loading and corruption included; of runs side by side each has a share."
    return Table("Size and speed", text, header, lines)


def _common(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that all trainings of a grid share."""
    own = ("split_seed", "model", "model_options", "corruption", "seed")
    return {key: value for key, value in settings.items() if key not in own}


def _protocol_notes(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    names = dict.fromkeys(cell["protocol"]["name"] for cell in cells)
    return [f"{PROTOCOLS[name].label}: {PROTOCOLS[name].text}" for name in names]


def _unreachable(rows: Sequence[Mapping[str, Any]]) -> frozenset[int]:
    return frozenset(number for number, row in enumerate(rows) if not row["reachable"])


def _head(row: Mapping[str, Any]) -> list[str]:
    label = row["protocol"] if row["reachable"] else f"{row['protocol']} ({NOT_REACHABLE})"
    return [row["model"], row["corruption"], label]


def _text(value: Mapping[str, Any] | None, digits: int = 3, sign: str = "") -> str:
    if value is None:
        return "–"
    mean = f"{value['mean']:{sign},.{digits}f}"
    return mean if value["std"] is None else f"{mean} ± {value['std']:,.{digits}f}"
