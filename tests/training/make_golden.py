"""Make the golden runs: what a training of the format of today wrote, and the scores that it gave.

    python -m tests.training.make_golden

in the root of the repository, with ``python/`` on the path, writes ``tests/training/golden/format-N/MODEL/`` for the
format N of today. Do it once for each format: the runs of a format that is still read stay as they are, for later
versions must give their scores.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from unblot.data import ImageSet, Item, Source, Splits
from unblot.evaluation import score_set
from unblot.files import write_json
from unblot.training import TrainConfig, load_run, train
from unblot.training.run_files import CALIBRATION, CHECKPOINT, CONFIG, FORMAT, IMAGES, PROVENANCE

GOLDEN = Path(__file__).parent / "golden"
SCORES = "scores.json"
SIZES = {"dae": 16, "memory": 64}
OPTIONS: dict[str, dict[str, Any]] = {
    "dae": {"width": 4, "latent": 4},
    "memory": {"backbone": "filters", "strides": [4, 8], "coreset_size": 20, "num_neighbors": 1},
}


def images(first: int, count: int, size: int, *, spot: bool = False) -> ImageSet:
    """Stripes of several widths, from whole numbers alone; with a bright spot where that is asked for."""
    y, x = np.mgrid[:size, :size]
    sources = []
    for number in range(first, first + count):
        pixels = (x * (2 + number % 3) * 4 + y * 3 + number * 7) % 160
        if spot:
            pixels[size // 4 : size // 2, size // 4 : size // 2] = 255
        item = Item(f"{number}.png", int(spot), "spot" if spot else "good", f"part {number // 2}")
        sources.append(Source(item, pixels.astype(np.uint8)))
    return ImageSet(sources, channels=1, size=size)


def judged(size: int) -> list[ImageSet]:
    """Images whose scores are kept: normal ones that no training saw, and some with a spot."""
    return [images(200, 3, size), images(200, 3, size, spot=True)]


def make(model: str, folder: Path) -> None:
    """Train a model in the way of today and keep the run with its scores."""
    size = SIZES[model]
    splits = Splits("golden", images(0, 12, size), images(100, 6, size), judged(size)[1])
    config = TrainConfig(
        model, model_options=OPTIONS[model], epochs=3, batch_size=4, corruption="box", judge="none", device="cpu"
    )
    folder.mkdir(parents=True)
    with TemporaryDirectory() as place:
        out = Path(place) / "run"
        train(config, splits, out, progress=False)
        for name in (CONFIG, CHECKPOINT, CALIBRATION, IMAGES, PROVENANCE):
            shutil.copy(out / name, folder / name)
    # The options that were asked for are enough to build the detector; the others take their defaults.
    described = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    described["detector"]["options"] = OPTIONS[model]
    write_json(folder / CONFIG, described)
    run = load_run(folder)
    found = [score_set(run.detector, part, progress=False) for part in judged(size)]
    kept = {
        "scores": [score for part in found for score in part.image.tolist()],
        "highest": [float(each.max()) for part in found for each in part.maps],
        "threshold": run.calibration.threshold,
    }
    write_json(folder / SCORES, kept)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in OPTIONS:
        make(name, GOLDEN / f"format-{FORMAT}" / name)
