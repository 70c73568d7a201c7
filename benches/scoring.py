"""Speed of scoring on a CPU: ``python -m benches.scoring``.

Images per second of ``score`` alone, on batches of 16 RGB images that lie ready in memory, for ``feature_dae`` and for
the default detector, ``auto``: with ImageNet weights in torch and in OpenVINO, where that is installed, and from
scratch. All are measured in turn, A B C A B C, so that what slows the machine slows all of them.

What is remembered is noise, for the time depends on how much is remembered and not on what.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from unblot.backbones.engines import openvino_engine
from unblot.backbones.frozen import PACKAGED
from unblot.backbones.scratch import SCRATCH
from unblot.detectors import Batch, Detector, create
from unblot.detectors.auto import MARK
from unblot.detectors.memory import Memory

BATCH = 16
SHOWN = 400  # images to a memory: more patches than it keeps at any stride but the coarsest
BARS = {"feature_dae": 100, "default": 50}  # images per second at 128 px on two cores, asked of the project
MANY = 10_000  # images that are scored: an engine pays


def images(count: int, size: int) -> Tensor:
    """Smooth noise, float, shape (count, 3, size, size), in [-1, 1]."""
    coarse = torch.rand(count, 3, size // 4, size // 4) * 2 - 1
    return (F.interpolate(coarse, size, mode="bilinear") + 0.1 * torch.randn(count, 3, size, size)).clamp(-1, 1)


@torch.no_grad()
def remembering(backbone: str, size: int, shown: int = SHOWN, engine: bool = False) -> Memory:
    """The default as after a training, but for what networks learn by gradients."""
    made = create("auto", channels=3, size=size, backbone=backbone).eval()
    assert isinstance(made, Memory)
    made.start()
    for group in range(0, shown, BATCH):
        seen, number = images(BATCH, size), torch.arange(group, group + BATCH)
        list(made.training_step("remember", Batch(seen, seen, number, number)))
    for phase in ("remember", MARK):
        made.finish_phase(phase)
    made.calibrate([images(BATCH, size)], [], torch.arange(BATCH))
    if engine:
        made.expect(MANY)
    return made


@torch.no_grad()
def seconds(detector: Detector, batch: Tensor) -> float:
    """Time of scoring a batch once."""
    start = time.perf_counter()
    detector.score(batch)
    return time.perf_counter() - start


def cases(size: int, shown: int = SHOWN) -> Iterator[tuple[str, int, Detector]]:
    """What is timed: a title, its bar at 128 px in images per second, the detector."""
    restoring = create("feature_dae", channels=3, size=size).eval()
    restoring.start()
    yield "feature_dae", BARS["feature_dae"], restoring
    yield "auto, ImageNet weights", BARS["default"], remembering(PACKAGED, size, shown)
    if openvino_engine() is not None:
        yield "auto, ImageNet weights, OpenVINO", BARS["default"], remembering(PACKAGED, size, shown, engine=True)
    yield "auto, from scratch", BARS["default"], remembering(SCRATCH, size, shown)


def main() -> None:
    """Print a table of images per second."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--size", type=int, default=128, help="of the images, a multiple of 32 from 64 on")
    ask.add_argument("--threads", type=int, default=2)
    ask.add_argument("--rounds", type=int, default=10, help="how often each is timed")
    args = ask.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    timed = list(cases(args.size))
    batch = images(BATCH, args.size)
    times: list[list[float]] = [[] for _ in timed]
    for number in tqdm(range(args.rounds + 1), unit="round", disable=None):
        for (_, _, detector), found in zip(timed, times, strict=True):
            took = seconds(detector, batch)
            if number:  # the first is for caches
                found.append(took)
    bars = args.size == 128
    print(f"{args.size} px, {args.threads} threads, median of {args.rounds} (best)\n")
    print("| scored by | images per second |" + (" bar |" if bars else ""))
    print("|---|---|" + ("---|" if bars else ""))
    for (title, bar, _), found in zip(timed, times, strict=True):
        speed = f"| {title} | {BATCH / statistics.median(found):.0f} ({BATCH / min(found):.0f}) |"
        print(speed + (f" {bar} |" if bars else ""))


if __name__ == "__main__":
    main()
