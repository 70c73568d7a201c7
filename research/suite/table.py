"""The table of a suite: a row for each set and model, means and worst cases of each model, regret of the default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

__all__ = ["as_markdown", "summary"]

# Heading, how it is found in a cell's result, how it is written.
_COLUMNS = (
    ("AUROC", ("auroc",), "{:.3f}"),
    ("AUPRC", ("auprc",), "{:.3f}"),
    ("recall", ("recall",), "{:.3f}"),
    ("false alarms", ("false_positive_rate",), "{:.3f}"),
    ("recall at 5 %", ("recall_at_5_percent",), "{:.3f}"),
    ("pixel AUROC", ("pixel", "auroc"), "{:.3f}"),
    ("PRO", ("pixel", "pro_0.3"), "{:.3f}"),
    ("training, s", ("training", "seconds"), "{:.0f}"),
    ("of processors", ("training", "processor_seconds"), "{:.0f}"),
    ("scoring, images/s", ("images_per_second",), "{:.1f}"),
    ("peak memory, MiB", ("training", "peak_mib"), "{:.0f}"),
)


def summary(cells: Sequence[Mapping[str, Any]], models: Sequence[str]) -> dict[str, Any]:
    """Means over the sets that every model has finished, and the regret of the first model.

    Args:
        cells: finished results (:func:`research.suite.cells.run_cell`).
        models: the default first, then what it is compared with.

    Returns:
        ``sets`` (names), ``models`` (for each: mean and worst AUROC, mean false alarms, their lowest and highest, mean
        seconds) and ``regret`` (for each set the best other model's AUROC less the default's; its mean and worst), or
        None where there is nothing to compare.
    """
    by = {(cell["set"], cell["model"]): cell for cell in cells}
    names = dict.fromkeys(cell["set"] for cell in cells)
    sets = [name for name in names if all((name, model) in by for model in models)]
    each: dict[str, Any] = {}
    for model in models if sets else ():
        mine = [by[name, model] for name in sets]
        auroc, alarms = [c["auroc"] for c in mine], [c["false_positive_rate"] for c in mine]
        each[model] = {
            "auroc_mean": fmean(auroc),
            "auroc_worst": min(auroc),
            "worst_set": sets[auroc.index(min(auroc))],
            "false_alarms_mean": fmean(alarms),
            "false_alarms_lowest": min(alarms),
            "false_alarms_highest": max(alarms),
            "seconds_mean": fmean(c["training"]["seconds"] for c in mine),
        }
    regret = None
    if sets and len(models) > 1:
        lost = {s: max(by[s, m]["auroc"] for m in models[1:]) - by[s, models[0]]["auroc"] for s in sets}
        worst = max(lost, key=lost.__getitem__)
        regret = {"of": models[0], "sets": lost, "mean": fmean(lost.values()), "worst": lost[worst], "worst_set": worst}
    return {"sets": sets, "models": each, "regret": regret}


def as_markdown(cells: Sequence[Mapping[str, Any]], models: Sequence[str]) -> str:
    """The rows, then the summary, as Markdown. What a set does not have, such as masks, is left blank."""
    lines = [
        "| set | model | " + " | ".join(heading for heading, _, _ in _COLUMNS) + " |",
        "|---|---|" + "---|" * len(_COLUMNS),
    ]
    for cell in cells:
        texts = [form.format(value) if (value := _at(cell, way)) is not None else "" for _, way, form in _COLUMNS]
        lines.append(f"| {cell['set']} | `{cell['model']}` | " + " | ".join(texts) + " |")
    found = summary(cells, models)
    if found["models"]:
        lines += [
            "",
            f"Over the {len(found['sets'])} set(s) that every model has finished:",
            "",
            "| model | mean AUROC | worst | false alarms, mean | lowest | highest | training, mean s |",
            "|---|---|---|---|---|---|---|",
        ]
        for model, m in found["models"].items():
            lines.append(
                f"| `{model}` | {m['auroc_mean']:.3f} | {m['auroc_worst']:.3f} ({m['worst_set']}) "
                f"| {m['false_alarms_mean']:.3f} | {m['false_alarms_lowest']:.3f} | {m['false_alarms_highest']:.3f} "
                f"| {m['seconds_mean']:.0f} |"
            )
    if regret := found["regret"]:
        lines += [
            "",
            f"Regret of `{regret['of']}`, the best other model's AUROC less its own: mean {regret['mean']:.3f}, "
            f"worst {regret['worst']:.3f} ({regret['worst_set']}).",
        ]
    return "\n".join(lines) + "\n"


def _at(cell: Mapping[str, Any], way: Sequence[str]) -> float | None:
    value: Any = cell
    for key in way:
        value = None if value is None else value[key]
    return None if value is None else float(value)
