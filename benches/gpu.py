"""The corruption on a GPU beside other ways to do it there: ``python -m benches.gpu``. Without a GPU it says so.

Each line is one way on one batch: the time of a call on the clock, host and device together, with calls queued one
behind the other as in training; and what copying the batch at the device's copy bandwidth would take, as a share of it
(100 % is as fast as a copy). The bandwidth is that of a copy of 1 GiB within the device, measured first.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count

import torch

Work = Callable[[], object]


def ways(images: torch.Tensor) -> Iterator[tuple[str, Work]]:
    """What is measured on a batch of float32 (N, C, H, W) in [0, 1], by name; what is not installed is left out."""
    from benches.peers import kornia_erasing, torch_loop, torchvision_erasing
    from benches.workloads import AREA, KINDS, corrupter

    import unblot
    from unblot.corruption.backends.torch import corrupt_torch

    # With a value range nobody looks at pixels first, for which the host would wait.
    spec = unblot.BoxNoise(scale=AREA, value_range=(0.0, 1.0))
    out, seeds = torch.empty_like(images), count()
    in_bytes = (images * 255).byte().permute(0, 2, 3, 1).contiguous()
    yield "a copy of the batch", lambda: out.copy_(images)
    yield "unblot, in place", corrupter(images, spec)
    yield "unblot, out=", corrupter(images, spec, out=out)
    yield "unblot, in place, uint8 NHWC", corrupter(in_bytes)
    for name, kind in KINDS.items():
        yield (
            f"unblot, in place, {name}",
            corrupter(images, unblot.BoxNoise(AREA, noise=kind.noise, value_range=(0, 1))),
        )
    yield "torch, vectorised", lambda: corrupt_torch(images, spec, seed=next(seeds), out=images)
    loop = torch_loop(images)

    def loop_there() -> None:
        with images.device:  # where its noise is made
            loop()

    yield "torch, loop over boxes", loop_there
    yield "torchvision RandomErasing", torchvision_erasing(images)
    try:
        yield "kornia RandomErasing", kornia_erasing(images)
    except ImportError:
        print("kornia is not installed", file=sys.stderr)


def _seconds(work: Work, device: torch.device, least: float) -> float:
    """Seconds of a call: the median over seven runs of calls for ``least`` seconds in all."""

    def run(calls: int) -> float:
        _wait(device)
        start = time.perf_counter()
        for _ in range(calls):
            work()
        _wait(device)
        return (time.perf_counter() - start) / calls

    run(3)  # compiles, and fills caches
    calls = max(1, round(least / 7 / run(3)))
    return statistics.median(run(calls) for _ in range(7))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def bandwidth(device: torch.device, size: int = 2**30, least: float = 1.0) -> float:
    """Bytes a second that a copy within the device reads and writes."""
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / _seconds(lambda: target.copy_(source), device, least)


def lines(device: torch.device, shapes: Sequence[tuple[int, ...]], speed: float, least: float = 1.0) -> Iterator[str]:
    """The table in Markdown, line by line."""
    yield "| batch | way | ms a call | share of the copy bandwidth |"
    yield "|---|---|---|---|"
    for shape in shapes:
        images = torch.rand(shape, device=device)
        for name, work in ways(images):
            seconds = _seconds(work, device, least)
            pixel = 1 if "uint8" in name else 4
            share = 2 * pixel * images.numel() / speed / seconds
            yield f"| {' × '.join(map(str, shape))} | {name} | {1e3 * seconds:.3f} | {share:.1%} |"


def main() -> None:
    """Measure and print; without a GPU say that nothing was measured."""
    if not torch.cuda.is_available():
        print("No GPU that torch can use was found: nothing was measured. See docs/gpu.md.")
        return
    from benches.workloads import SIZES

    device = torch.device("cuda")
    speed = bandwidth(device)
    print(f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}, copy bandwidth {speed / 1e9:.0f} GB/s\n")
    for line in lines(device, [SIZES[32], SIZES[224], SIZES[1024], (32, 3, 1024, 1024)], speed):
        print(line, flush=True)


if __name__ == "__main__":
    main()
