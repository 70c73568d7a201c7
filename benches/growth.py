"""What training the default costs as the number of images grows: seconds and peak memory.

    python -m benches.growth --size 64 --images 250,1000,4000

Each number of generated images is trained on in a process of its own. The images are made before the clock starts and
are in memory as arrays, which counts in the peak.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from benches.generated import image_set

from unblot.data import Splits
from unblot.training import TrainConfig, train


def measured(model: str, size: int, images: int, threads: int) -> tuple[float, float, float]:
    """Seconds by the clock, seconds of processors, and the peak in MiB."""
    torch.set_num_threads(threads)
    shown, held_out, test = (image_set(n, size, seed) for seed, n in enumerate((images, 20, 2)))
    splits = Splits("generated", shown, held_out, test)
    clock, processor = time.perf_counter(), time.process_time()
    with TemporaryDirectory() as folder:
        train(TrainConfig(model, device="cpu"), splits, Path(folder) / "run", progress=False)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
    return time.perf_counter() - clock, time.process_time() - processor, peak


def main() -> None:
    """Print the table, row by row."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--size", type=int, default=64, help="of the images, a multiple of 32 from 64 on")
    ask.add_argument("--images", default="250,1000,4000", help="numbers of training images")
    ask.add_argument("--model", default="auto")
    ask.add_argument("--threads", type=int, default=2)
    args = ask.parse_args()
    print(f"`{args.model}`, {args.size} px, {args.threads} threads\n")
    print("| training images | seconds | CPU s | peak memory, MiB |\n|---|---|---|---|", flush=True)
    processes = multiprocessing.get_context("spawn")
    for images in map(int, args.images.split(",")):
        with processes.Pool(1) as pool:
            seconds, used, peak = pool.apply(measured, (args.model, args.size, images, args.threads))
        print(f"| {images} | {seconds:.0f} | {used:.0f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
