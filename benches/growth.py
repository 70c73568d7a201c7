"""What training the default costs as the number of images grows: seconds and peak memory.

    python -m benches.growth --size 64 --images 250,1000,4000

So many generated images lie as PNG files in a folder, and a ninth as many more, which are held out for the threshold.
They are written before the clock starts. Each number of images is trained on in a process of its own, as ``unblot
train`` does it: finding, decoding, training, threshold. The peak is that of this process.
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
from benches.generated import image
from PIL import Image

from unblot.data import DataConfig
from unblot.training import TrainConfig, train

TEST = 20  # images for testing, which training does not look at


def write_images(folder: Path, count: int, size: int) -> DataConfig:
    """Write images of which ``count`` are trained on; what a training asks for them."""
    held_out = round(count / 9)
    whole = count + held_out + TEST
    (folder / "good").mkdir()
    for number in range(whole):
        Image.fromarray(image(size, number)).save(folder / "good" / f"{number:05}.png", compress_level=1)
    return DataConfig(
        str(folder),
        normal=("good",),
        size=size,
        held_out=held_out / (count + held_out),
        test=TEST / whole,
    )


def measured(model: str, data: DataConfig, threads: int) -> tuple[float, float, float]:
    """Seconds by the clock, seconds of processors, and the peak in MiB."""
    torch.set_num_threads(threads)
    clock, processor = time.perf_counter(), time.process_time()
    with TemporaryDirectory() as folder:
        train(TrainConfig(model, device="cpu"), data, Path(folder) / "run", progress=False)
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
        with TemporaryDirectory() as folder, processes.Pool(1) as pool:
            data = write_images(Path(folder), images, args.size)
            seconds, used, peak = pool.apply(measured, (args.model, data, args.threads))
        print(f"| {images} | {seconds:.0f} | {used:.0f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
