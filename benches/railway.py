"""What large frames cost, whole and in tiles: the patent's railway, generated.

    python -m benches.railway --out railway --train 24 --test 24

The patent's example (paragraph 33) inspects key parts of a railway in frames of 2 048 × 2 048 pixels: one rectangle of
noise as wide as high, a tenth of the frame, Gaussian, salt-and-pepper or Poisson. The frames here are no photographs.
They have what such frames have: parts at known places that are small in a large frame (sleepers, two rails, a bolt at
each side of them), ballast without order, and defects of a few dozen pixels (a bolt that is missing, a crack in a rail,
a thing that lies there).

Measured are the corruption of frames, and of a detector the training and the scoring, each in a process of its own:
seconds, seconds of processors, peak memory, AUROC. What is written in ``--out`` is not done again: a bench that was
stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from unblot import BoxNoise, Gaussian, Poisson, SaltPepper, corrupt
from unblot.data import DataConfig, load_data
from unblot.evaluation import evaluate
from unblot.files import write_json
from unblot.training import TrainConfig, load_run, train

__all__ = ["DEFECTS", "PATENT", "frame", "write_frames"]

DEFECTS = ("missing", "crack", "thing")
PERIOD = 256  # pixels from sleeper to sleeper
PATENT = BoxNoise(scale=0.1, num_boxes=1, ratio=1.0, noise=[Gaussian(), SaltPepper(), Poisson()])
WAYS: dict[str, dict[str, Any]] = {
    "whole, 512 px": {"size": 512},
    "tiles of 512 px": {"fit": "tile", "tile": 512},
}
_SLEEPER, _RAIL, _BOLT = 110, 70, 22  # height, width and radius in pixels


def frame(
    number: int, width: int = 2048, height: int = 2048, *, defect: str | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A gray frame and where its defect lies.

    Args:
        number: draws all that differs from frame to frame.
        width: in pixels, 400 or more.
        height: in pixels, 256 or more.
        defect: one of :data:`DEFECTS`; None: a normal frame.

    Returns:
        uint8 and bool, shape (height, width).
    """
    rng = np.random.default_rng([7, number])
    pixels = _ballast(rng, width, height)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    shift = rng.normal(0, 4, 2)
    rails = [width * share + shift[0] for share in (0.25, 0.75)]
    sleepers = np.arange(PERIOD / 2 + shift[1], height, PERIOD)
    wood = ndimage.gaussian_filter1d(rng.normal(0, 14, (height, width)).astype(np.float32), 12, axis=1) * 3
    for at in sleepers:
        on = np.abs(y - at) < _SLEEPER / 2
        pixels[on] = 95 + wood[on]
    for at in rails:
        on = np.abs(x - at) < _RAIL / 2
        pixels[on] = (170 + 40 * np.cos((x - at) / _RAIL * np.pi * 1.4) + rng.normal(0, 3, (height, 1)))[on]
    bolts = [(row, at + side) for row in sleepers for at in rails for side in (-75, 75) if _fits(row, height)]
    lost = int(rng.integers(len(bolts)))
    mask = np.zeros((height, width), np.bool_)
    for number_of, (row, column) in enumerate(bolts):
        # Only what lies around the bolt is looked at.
        top, left = (max(0, int(at) - _BOLT) for at in (row, column))
        around = (slice(top, top + 2 * _BOLT + 2), slice(left, left + 2 * _BOLT + 2))
        down, right = y[around] - row, x[around] - column
        near = down**2 + right**2 < _BOLT**2
        if defect == "missing" and number_of == lost:
            mask[around] |= near
            continue
        turn = rng.uniform(0, np.pi)
        pixels[around][near] = (60 + 25 * np.sign(np.sin(3 * np.arctan2(down, right) + turn)))[near]
    if defect == "crack":
        mask = _crack(rng, x, y, rails[int(rng.integers(2))], height)
        pixels[mask] = 70
    if defect == "thing":
        row, column = rng.uniform(60, height - 60), rng.uniform(60, width - 60)
        mask = (np.abs(y - row) < rng.uniform(14, 26)) & (np.abs(x - column) < rng.uniform(14, 26))
        pixels[mask] = rng.uniform(150, 230) + wood[mask]
    light = rng.normal(1, 0.04)
    noisy = pixels * light + rng.normal(0, 4, pixels.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), mask


def _ballast(rng: np.random.Generator, width: int, height: int) -> NDArray[np.float32]:
    """Stones: noise of two scales."""
    coarse = ndimage.zoom(rng.normal(0, 1, (height // 16 + 2, width // 16 + 2)).astype(np.float32), 16, order=1)
    fine = ndimage.zoom(rng.normal(0, 1, (height // 4 + 2, width // 4 + 2)).astype(np.float32), 4, order=1)
    stones: NDArray[np.float32] = 120 + 25 * coarse[:height, :width] + 18 * fine[:height, :width]
    return stones


def _fits(row: float, height: int) -> bool:
    return bool(_BOLT < row < height - _BOLT)


def _crack(
    rng: np.random.Generator, x: NDArray[np.float32], y: NDArray[np.float32], rail: float, height: int
) -> NDArray[np.bool_]:
    """A dark line across a rail, three pixels wide."""
    row, slope = rng.uniform(40, height - 40), rng.uniform(-0.5, 0.5)
    across: NDArray[np.bool_] = np.abs(x - rail) < _RAIL / 2
    return across & (np.abs(y - row - slope * (x - rail)) < 2.5)


def write_frames(folder: Path, train_on: int, test: int, side: int = 2048) -> None:
    """Frames in the layout of MVTec AD: normal ones to train on, and half of those to test with a defect and its mask.

    Those that are there are left.
    """
    for number in range(train_on + test):
        tested = number - train_on
        defect = DEFECTS[tested // 2 % len(DEFECTS)] if tested >= 0 and tested % 2 else None
        path = folder / ("test" if tested >= 0 else "train") / (defect or "good") / f"{number:04}.png"
        if path.exists():
            continue
        pixels, mask = frame(number, side, side, defect=defect)
        if defect:
            (folder / "ground_truth" / defect).mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(folder / "ground_truth" / defect / f"{number:04}_mask.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, compress_level=1)


def corrupted(folder: Path) -> dict[str, float]:
    """The patent's corruption of all training frames, one by one."""
    seconds = []
    for path in sorted((folder / "train" / "good").iterdir()):
        with Image.open(path) as opened:
            pixels = np.asarray(opened)
        clock = time.perf_counter()
        corrupt(pixels[None, None], PATENT, seed=0, keys=[int(path.stem)], layout="NCHW")
        seconds.append(time.perf_counter() - clock)
    return {"milliseconds a frame": 1000 * float(np.median(seconds))}


def trained(data: DataConfig, model: str, out: Path) -> dict[str, float]:
    """A training, resumed where one was stopped."""
    train(TrainConfig(model, device="cpu"), data, out, resume=(out / "config.json").exists(), progress=False)
    return {}


def judged(data: DataConfig, out: Path) -> dict[str, float]:
    """The test frames of a run."""
    run = load_run(out)
    splits = load_data(data, reading=run.reading, progress=False)
    metrics = evaluate(run.detector, splits, run.calibration, batch_size=8, progress=False).metrics
    pixel = metrics["pixel"] or {}
    return {
        "AUROC": metrics["auroc"],
        "recall": metrics["recall"],
        "false alarms": metrics["false_positive_rate"],
        "pixel AUPRC": pixel.get("auprc", float("nan")),
        "frames/s": metrics["images_per_second"],
    }


def measured(work: Callable[[], dict[str, float]], threads: int) -> dict[str, float]:
    """What some work gives and costs, in this process."""
    torch.set_num_threads(threads)
    clock, processor = time.perf_counter(), time.process_time()
    found = work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
    spent = {"seconds": time.perf_counter() - clock, "CPU s": time.process_time() - processor, "peak MiB": peak}
    return {**found, **spent}


def kept(file: Path, work: Callable[[], dict[str, float]], threads: int) -> dict[str, float]:
    """What was measured before, or is now, in a process of its own."""
    if not file.exists():
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            write_json(file, pool.apply(measured, (work, threads)))
    return dict(json.loads(file.read_text(encoding="utf-8")))


def main() -> None:
    """Print the table, row by row."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--out", type=Path, default=Path("railway"), help="folder for frames, runs and figures")
    ask.add_argument("--train", type=int, default=24, help="normal frames to train on, those held out among them")
    ask.add_argument("--test", type=int, default=24, help="frames to score, half of them with a defect")
    ask.add_argument("--side", type=int, default=2048, help="of the frames in pixels")
    ask.add_argument("--model", default="memory")
    ask.add_argument("--threads", type=int, default=2)
    args = ask.parse_args()
    frames = args.out / f"frames-{args.train}-{args.test}-{args.side}"
    write_frames(frames, args.train, args.test, args.side)
    found = kept(frames / "corruption.json", partial(corrupted, frames), args.threads)
    print(f"corruption: {found['milliseconds a frame']:.1f} ms a frame\n")
    names = ["AUROC", "pixel AUPRC", "recall", "false alarms"]
    costs = ["training: seconds", "CPU s", "peak MiB", "scoring: CPU s a frame", "peak MiB"]
    print(f"| `{args.model}` | {' | '.join(names + costs)} |\n|{'---|' * (len(names + costs) + 1)}", flush=True)
    for name, settings in WAYS.items():
        data = DataConfig(str(frames.resolve()), held_out=0.25, **settings)
        run = frames / f"{args.model}-{data.fit}"
        learnt = kept(run.with_suffix(".training.json"), partial(trained, data, args.model, run), args.threads)
        score = kept(run.with_suffix(".scoring.json"), partial(judged, data, run), args.threads)
        row = [f"{score[key]:.3f}" for key in names]
        row += [f"{learnt[key]:.0f}" for key in ("seconds", "CPU s", "peak MiB")]
        row += [f"{score['CPU s'] / args.test:.2f}", f"{score['peak MiB']:.0f}"]
        print(f"| {name} | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
