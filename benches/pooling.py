"""From anomaly map to image score: every way of it for every finished training of a grid.

    unblot compare DATA … --out GRID
    python -m benches.pooling GRID [GRID ...]

Each run in ``GRID/runs`` scores its test images once, clean, and its maps are pooled in every way; beside them stands
the score that the detector itself gives. A row is a detector with a corruption: mean AUROC over the classes that were
left out, then mean ± standard deviation over seeds. Nothing is chosen here. What came of it stands in
``docs/research-log``.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from unblot.calibration.pooling import top_mean
from unblot.data import load_data
from unblot.detectors import to_signed
from unblot.training.run import load_run


def smoothed_max(maps: Tensor) -> Tensor:
    """The largest value after averaging over squares of a sixteenth of the image's side."""
    side = max(3, maps.shape[-1] // 16 | 1)
    return F.avg_pool2d(maps, side, 1, side // 2, count_include_pad=False).flatten(1).amax(1)


POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "max": lambda m: m.flatten(1).amax(1),
    "smoothed max": smoothed_max,
    "top 0.5 %": lambda m: top_mean(m, 0.005),
    "top 2 %": lambda m: top_mean(m, 0.02),
    "top 10 %": lambda m: top_mean(m, 0.1),
    "mean": lambda m: m.flatten(1).mean(1),
}


def figures(run: Path) -> dict[str, float]:
    """AUROC on the run's test images by way of pooling."""
    loaded = load_run(run)
    test = load_data(loaded.data).test
    found: dict[str, list[Tensor]] = {name: [] for name in ("its own", *POOLS)}
    with torch.no_grad():
        for batch in DataLoader(test, batch_size=64):
            scores = loaded.detector.score(to_signed(batch["image"]))
            found["its own"].append(scores.image)
            for name, pool in POOLS.items():
                found[name].append(pool(scores.map))
    return {name: float(roc_auc_score(test.labels, torch.cat(parts))) for name, parts in found.items()}


def grid(folder: Path) -> dict[tuple[str, str], dict[int, list[dict[str, float]]]]:
    """By detector and corruption, then by seed: the figures of every class. Kept in ``pooling.json`` of each run."""
    table: dict[tuple[str, str], dict[int, list[dict[str, float]]]] = {}
    for path in sorted(folder.glob("runs/*/clean/cell.json")):
        cell, run = json.loads(path.read_text(encoding="utf-8")), path.parent.parent
        kept = run / "pooling.json"
        if not kept.exists():
            kept.write_text(json.dumps(figures(run)), encoding="utf-8")
        row = table.setdefault((cell["model"], cell["corruption"]), {})
        row.setdefault(cell["seed"], []).append(json.loads(kept.read_text(encoding="utf-8")))
    return table


def lines(folder: Path) -> Iterator[str]:
    """The table in Markdown."""
    names = ["its own", *POOLS]
    yield "| detector | corruption | " + " | ".join(names) + " | trainings |"
    yield "|" + "---|" * (len(names) + 3)
    for (detector, corruption), seeds in grid(folder).items():
        cells = []
        for name in names:
            each = [statistics.mean(figure[name] for figure in classes) for classes in seeds.values()]
            spread = f" ± {statistics.stdev(each):.3f}" if len(each) > 1 else ""
            cells.append(f"{statistics.mean(each):.3f}{spread}")
        yield f"| `{detector}` | {corruption} | " + " | ".join(cells) + f" | {sum(map(len, seeds.values()))} |"


def main() -> None:
    """Print a table for each grid named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grids", nargs="+", type=Path, metavar="GRID")
    for folder in parser.parse_args().grids:
        print(f"\n{folder.name}\n\n" + "\n".join(lines(folder)), flush=True)


if __name__ == "__main__":
    main()
