"""Training and scoring with the default, side by side with anomalib's PatchCore and with a pass of the backbone.

    python -m benches.default --size 128 --images 60

Prints one table, measured in one run: CPU seconds to train on so many generated images, from features to the threshold,
and CPU milliseconds to score one, which other work on the machine changes little; of the default, of ``memory`` alone,
and of PatchCore with the same backbone and as its users run it (wide_resnet50_2, without its weights: they do not
change the time). PatchCore's coreset is chosen among ``--candidates`` patches; its own way, among all, takes hours on a
CPU. Needs anomalib (extra ``dev``).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from anomalib.models.image.patchcore.torch_model import PatchcoreModel
from benches.generated import image_set
from benches.patchcore import PatchCore
from torch import Tensor

from unblot.backbones.frozen import PACKAGED, Backbone
from unblot.data import Splits
from unblot.detectors import Detector, to_signed
from unblot.training import TrainConfig, train

BATCH = 16
ENTRIES = 2_000  # patches that PatchCore keeps, as many as the default keeps at each stride


def timed(work: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def trained(model: str, splits: Splits) -> tuple[Detector, float]:
    """A detector with its default settings, and the CPU seconds of its training."""
    with TemporaryDirectory() as folder:
        start = time.process_time()
        made = train(TrainConfig(model, device="cpu"), splits, Path(folder) / "run", progress=False)
        return made, time.process_time() - start


class Usual(PatchCore):
    """PatchCore with the backbone that its users have."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = PatchcoreModel(layers=["layer2", "layer3"], backbone="wide_resnet50_2", pre_trained=False)


def main() -> None:
    """Print the table."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--size", type=int, default=128, help="of the images, a multiple of 32 from 64 on")
    ask.add_argument("--images", type=int, default=60, help="training images")
    ask.add_argument("--candidates", type=int, default=5_000, help="patches that PatchCore's are chosen among")
    ask.add_argument("--threads", type=int, default=2)
    ask.add_argument("--rounds", type=int, default=3, help="how often scoring is timed")
    args = ask.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    shown, held_out, test = (image_set(n, args.size, k) for k, n in enumerate((args.images, 20, 2)))
    splits = Splits("noise", shown, held_out, test)
    batch = to_signed(torch.stack([splits.held_out[i]["image"] for i in range(BATCH)]))
    rows: list[tuple[str, float | None, Callable[[Tensor], object]]] = []
    for engine, images in (("torch", 0), ("the engine", 10**6)):
        backbone = Backbone(PACKAGED, (8, 16, 32))
        backbone.load_pretrained()
        backbone.expect(images, args.size)
        rows.append((f"one pass of the backbone, {engine}", None, backbone))
    for model in ("auto", "memory"):
        detector, seconds = trained(model, splits)
        detector.expect(10**6)
        rows.append((f"`{model}`", seconds, detector.score))
    for name, other in (("PatchCore, the same backbone", PatchCore()), ("PatchCore, wide_resnet50_2", Usual())):
        seconds = timed(partial(other.remember, splits.train, ENTRIES, args.candidates))
        rows.append((name, seconds, other.score))
    times: list[list[float]] = [[] for _ in rows]
    with torch.no_grad():
        for number in range(args.rounds + 1):
            for (_, _, score), found in zip(rows, times, strict=True):
                took = timed(partial(score, batch))
                if number:  # the first is for caches
                    found.append(took / BATCH * 1e3)
    print(f"{args.images} training images, {args.size} px, {args.threads} threads, medians of {args.rounds}\n")
    print("| | training, CPU s | scoring, CPU ms an image |\n|---|---|---|")
    for (name, training, _), found in zip(rows, times, strict=True):
        print(f"| {name} | {'' if training is None else f'{training:.1f}'} | {statistics.median(found):.1f} |")


if __name__ == "__main__":
    main()
