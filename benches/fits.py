"""What stretching, padding and cropping do to long frames, at one size of the network's images.

    python -m benches.fits --width 1536 --height 512 --size 256

The frames are those of ``benches/railway.py``: 60 to train on, 20 held out, 50 normal and 60 abnormal ones to test. Of
padding, three ways to fill the margins are compared: the image mirrored at its edge, which is what unblot does; its
last row or column repeated; its mean.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import torch
from benches.railway import DEFECTS, frame
from PIL import Image

from unblot.data import ImageSet, Item, Reading, Source, Splits, fitting, pixels
from unblot.evaluation import evaluate
from unblot.training import TrainConfig, load_run, train

__all__ = ["WAYS", "filled", "row"]

PARTS = {"train": 60, "held out": 20, "normal": 50, "abnormal": 60}
WAYS = (("stretch", ""), ("crop", ""), ("pad", "mirrored"), ("pad", "repeated"), ("pad", "mean"))
Fitted = Callable[[Image.Image, str, int], Image.Image]


@contextmanager
def filled(how: str) -> Iterator[None]:
    """Inside, margins are filled in another way."""
    fitted, nothing = fitting.fitted, nullcontext()
    repeated = patch.object(fitting, "mirrored", lambda start, n, size: np.clip(np.arange(size) - start, 0, n - 1))
    mean = patch.object(pixels, "fitted", lambda image, fit, size: _with_mean(fitted, image, fit, size))
    with {"repeated": repeated, "mean": mean}.get(how, nothing):
        yield


def _with_mean(fitted: Fitted, image: Image.Image, fit: str, size: int) -> Image.Image:
    square, place = np.array(fitted(image, fit, size)), fitting.inside(fit, *image.size, size)
    found = np.full_like(square, int(square[place.rows, place.columns].mean()))
    found[place.rows, place.columns] = square[place.rows, place.columns]
    return Image.fromarray(found)


def sources(width: int, height: int, masks: Path, parts: dict[str, int]) -> list[list[Source]]:
    """Frames in memory by part, the masks of abnormal ones as files."""
    every: list[list[Source]] = []
    number = 0
    for part, count in parts.items():
        some = []
        for _ in range(count):
            defect = DEFECTS[-number % len(DEFECTS)] if part == "abnormal" else None
            image, mask = frame(number, width, height, defect=defect)
            file = masks / f"{number}.png"
            if defect:
                Image.fromarray(mask).save(file)
            item = Item(f"{number}.png", int(defect is not None), defect or "good", str(number))
            some.append(Source(item, image, file if defect else None))
            number += 1
        every.append(some)
    return every


def row(parts: list[list[Source]], size: int, model: str, fit: str, fill: str) -> dict[str, float]:
    """The figures of one way."""

    def images(some: list[Source]) -> ImageSet:
        return ImageSet(some, channels=1, size=size, reading=Reading(fit=fit), progress=False)

    with filled(fill), TemporaryDirectory() as folder:
        learnt, held_out, normal, abnormal = parts
        splits = Splits("railway", images(learnt), images(held_out), images([*normal, *abnormal]))
        train(TrainConfig(model, device="cpu"), splits, Path(folder) / "run", progress=False)
        run = load_run(Path(folder) / "run")
        found = evaluate(run.detector, splits, run.calibration, batch_size=16, progress=False).metrics
    pixel: dict[str, float] = found["pixel"] or {}
    return {"AUROC": found["auroc"], "pixel AUPRC": pixel.get("auprc", float("nan")), "recall": found["recall"]}


def main() -> None:
    """Print the table, row by row."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--width", type=int, default=1536, help="of the frames in pixels")
    ask.add_argument("--height", type=int, default=512)
    ask.add_argument("--size", type=int, default=256, help="height and width that the network sees")
    ask.add_argument("--model", default="memory")
    args = ask.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as masks:
        parts = sources(args.width, args.height, Path(masks), PARTS)
        print(f"{args.width} x {args.height}, `{args.model}` at {args.size} px\n")
        print("| fit | AUROC | pixel AUPRC | recall |\n|---|---|---|---|", flush=True)
        for fit, fill in WAYS:
            found = row(parts, args.size, args.model, fit, fill)
            name = f"{fit}, margins {fill}" if fill else fit
            print(f"| {name} | {' | '.join(f'{value:.3f}' for value in found.values())} |", flush=True)


if __name__ == "__main__":
    main()
