"""AUROC and false alarms by the number of normal images: cells of models such as ``memory+limit=4+held_out=0``."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from research.pages import table

__all__ = ["curve"]

_LIMITED = re.compile(r"(?P<name>[^+]+)\+limit=(?P<limit>\d+)(?P<rest>.*)")


def curve(cells: Sequence[Mapping[str, Any]], figure: str) -> str:
    """A row for each set and model, a column for each number of images, and the means over sets that have all of them.

    Args:
        cells: finished ones, as ``table.json`` has them.
        figure: which of their figures, such as "auroc" or "false_positive_rate".

    Example:
        >>> cells = [{"set": "a", "model": f"memory+limit={n}", "auroc": n / 10} for n in (2, 8)]
        >>> print(curve(cells, "auroc"))
        | set | model | 2 | 8 |
        |---|---|---|---|
        | a | `memory` | 0.200 | 0.800 |
        | mean of 1 | `memory` | 0.200 | 0.800 |
    """
    found: dict[tuple[str, str], dict[int, float]] = {}
    for cell in cells:
        if (match := _LIMITED.fullmatch(cell["model"])) is not None:
            found.setdefault((cell["set"], match["name"]), {})[int(match["limit"])] = cell[figure]
    limits = sorted({limit for by_limit in found.values() for limit in by_limit})
    rows = [
        [name, f"`{model}`", *(f"{values[n]:.3f}" if n in values else "–" for n in limits)]
        for (name, model), values in sorted(found.items())
    ]
    models = sorted({model for _, model in found})
    whole = [s for s in {name for name, _ in found} if all(len(found.get((s, m), {})) == len(limits) for m in models)]
    for model in models if whole else ():
        means = (statistics.fmean(found[name, model][n] for name in whole) for n in limits)
        rows.append([f"mean of {len(whole)}", f"`{model}`", *(f"{mean:.3f}" for mean in means)])
    return table(["set", "model", *map(str, limits)], rows)
