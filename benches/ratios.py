"""The bars of the corruption core as ratios, each measured side by side: ``python -m benches.ratios``.

A ratio compares two ways to do a job, timed in turn, A B A B: what slows the machine slows both, and the median over
the pairs is what is reported. Where both run in one thread, the time is that which the process spent on a processor,
which others on a shared machine do not stretch; where threads or a ``DataLoader`` count, it is the time on the clock.
Nothing here is an absolute time. The table goes to standard output and, with ``--out``, into a page of the
documentation.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from benches.peers import PEERS, Peer
from benches.workloads import AREA, DTYPES, SIZES, SPEC, Photographs, Tiles, batch, copier, corrupter
from torch.utils.data import DataLoader, default_collate

import unblot
from unblot import _core

Work = Callable[[], object]
Clock = Callable[[], float]


class Ratio(NamedTuple):
    """A measured ratio: its median over the pairs, and the quarter and three-quarter points."""

    median: float
    low: float
    high: float
    pairs: int


def paired(ours: Work, other: Work, *, clock: Clock = time.process_time, seconds: float = 2.0, least: int = 7) -> Ratio:
    """Time of ``ours`` over that of ``other``, timed in turn for about ``seconds``, at least ``least`` pairs."""
    turns = [(work, _repetitions(work, clock)) for work in (ours, other)]
    ratios: list[float] = []
    start = time.perf_counter()
    gc.disable()
    try:
        while len(ratios) < least or time.perf_counter() - start < seconds:
            mine, its = (_time(work, repetitions, clock) for work, repetitions in turns)
            ratios.append(mine / its)
    finally:
        gc.enable()
    low, median, high = statistics.quantiles(ratios, n=4)
    return Ratio(median, low, high, len(ratios))


def _repetitions(work: Work, clock: Clock) -> int:
    """How often to run in one turn: for five milliseconds, so that the caches that the other side left do not count."""
    work()
    once = min(_time(work, 1, clock) for _ in range(5))
    return max(1, round(5e-3 / max(once, 1e-7)))


def _time(work: Work, repetitions: int, clock: Clock) -> float:
    start = clock()
    for _ in range(repetitions):
        work()
    return (clock() - start) / repetitions


class Row(NamedTuple):
    """A line of the table.

    Attributes:
        what: the comparison in words.
        bar: what the ratio must reach; None for a comparison without one.
        ratio: time of ours over time of the other; None where the other is not installed.
        faster: whether the table shows "times as fast" (at least the bar) or the share of the other's time (at most).
        note: why there is no ratio.
    """

    what: str
    bar: float | None
    ratio: Ratio | None
    faster: bool
    note: str = ""

    def cells(self) -> list[str]:
        """Comparison, bar, measured with quartiles, whether it is met."""
        sign = "≥" if self.faster else "≤"
        bar = "–" if self.bar is None else f"{sign} {self.bar:g}"
        if self.ratio is None:
            return [self.what, bar, self.note, "–"]
        value, low, high = self.ratio.median, self.ratio.low, self.ratio.high
        if self.faster:
            value, low, high = 1 / value, 1 / high, 1 / low
        met = "–"
        if self.bar is not None:
            met = "yes" if (value >= self.bar if self.faster else value <= self.bar) else "**no**"
        return [self.what, bar, f"{_number(value)} ({_number(low)} to {_number(high)})", met]


def _number(x: float) -> str:
    return f"{x:.0f}" if x >= 100 else f"{x:.3g}" if x >= 10 else f"{x:.2f}"


def rows(seconds: float) -> Iterator[Row]:
    """Measure everything, line by line."""
    torch.set_num_threads(1)
    loop, vectorised, torchvision, kornia, erasing, dropout = PEERS
    for side, loop_bar in ((32, 150.0), (224, 60.0)):
        shape = SIZES[side]
        size = " × ".join(map(str, shape))
        images, out = batch(shape), torch.empty(shape)
        in_place = corrupter(images)

        def beside(peer: Peer, bar: float | None, mine: Work, shape: Any = shape, size: str = size) -> Row:
            what = f"{size}, {'uint8 NHWC' if peer.dtype == torch.uint8 else 'in place'}: times as fast as {peer.name}"
            if not peer.installed:
                return Row(what, bar, None, True, "not installed")
            return Row(what, bar, paired(mine, peer.on(shape), seconds=seconds), True)

        yield beside(loop, loop_bar, in_place)
        yield beside(vectorised, None, in_place)
        yield beside(torchvision, None, in_place)
        yield beside(kornia, None, in_place)
        in_bytes = corrupter(batch(shape, torch.uint8))
        yield beside(erasing, 4.0, in_bytes)
        yield beside(dropout, None, in_bytes)
        copy = paired(in_place, copier(images), seconds=seconds)
        yield Row(f"{size}, in place: share of the time of a copy", 0.5 if side == 224 else None, copy, False)
        copy = paired(corrupter(images, out=out), copier(images), seconds=seconds)
        # At 32 × 32 the batch fits the cache: half of its copy is less time than the bar in place grants in all.
        yield Row(f"{size}, `out=`: share of the time of a copy", 1.4 if side == 224 else None, copy, False)

    yield from _pixel_types(seconds)
    yield from _small_calls(seconds)

    def threads(images: torch.Tensor, spec: Any) -> Ratio:
        two, one = corrupter(images, spec, threads=2), corrupter(images, spec)
        return paired(two, one, clock=time.perf_counter, seconds=seconds)

    size = " × ".join(map(str, SIZES[224]))
    yield Row(f"{size}, in place: two threads beside one", 1.8, threads(batch(SIZES[224]), SPEC), True)
    railway = threads(batch((1, 1, 2048, 2048)), unblot.BoxNoise.railway())
    yield Row("1 × 1 × 2048 × 2048, railway example: two threads beside one", 1.5, railway, True)
    with tempfile.TemporaryDirectory() as folder:
        # Tiles of the size wanted cost next to nothing to decode: the hardest case for what comes after.
        decoded: dict[str, Tiles | Photographs] = {
            "640 × 427 jpg photographs resized to 224 × 224": Photographs(224),
            "224 × 224 jpg tiles": Tiles(Path(folder), 224, ".jpg"),
            "32 × 32 png tiles": Tiles(Path(folder), 32, ".png"),
        }
        for workers in (0, 2):
            for name, data in decoded.items():
                what = f"`DataLoader` of {name}, {workers} workers: share of the time without the collate"
                yield Row(what, 1.03, _loader(data, workers, seconds), False)


def _pixel_types(seconds: float) -> Iterator[Row]:
    """Each pixel type beside a copy of as many bytes, and beside what memory alone would allow.

    A copy reads and writes every byte. In place only what boxes cover is written: half the traffic of ``AREA`` of a
    copy. With ``out=`` all is written, and what boxes leave is read.
    """
    shape = SIZES[224]
    size = " × ".join(map(str, shape))
    least = {"in place": AREA / 2, "`out=`": 1 - AREA / 2}
    for name, dtype in DTYPES.items():
        images = batch(shape, dtype)
        for where, out in (("in place", None), ("`out=`", torch.empty_like(images))):
            what = f"{size}, {name}, {where}: share of the time of a copy (memory alone: {least[where]:.2f})"
            yield Row(what, None, paired(corrupter(images, out=out), copier(images), seconds=seconds), False)


def _small_calls(seconds: float) -> Iterator[Row]:
    """What counts where images are small: the mask beside the call, and a call beside the core's own part of it."""
    images = batch(SIZES[32])
    size = " × ".join(map(str, images.shape))
    in_place = corrupter(images)
    mask = paired(in_place().mask, in_place, seconds=seconds)
    yield Row(f"{size}: time of `mask()`, share of the call that it belongs to", 0.1, mask, False)
    for few in (images, images[:1]):
        keys, seeds = np.arange(len(few), dtype=np.uint64), count()
        pixels = few.numpy()

        def core(keys: Any = keys, seeds: Any = seeds, pixels: Any = pixels) -> None:
            _core.corrupt(SPEC.plan, pixels, None, "float32", (0.0, 1.0), next(seeds), keys, 1)

        size = " × ".join(map(str, few.shape))
        yield Row(
            f"{size}, in place: a call beside the core alone",
            None,
            paired(corrupter(few), core, seconds=seconds),
            False,
        )


def _loader(data: Tiles | Photographs, workers: int, seconds: float) -> Ratio:
    """An epoch of decoded images with the collate, over one without."""
    collates = unblot.BoxNoiseCollate(SPEC, "replace", index=1), default_collate
    ours, other = (
        _epoch(DataLoader(data, 64, collate_fn=f, num_workers=workers, persistent_workers=workers > 0))
        for f in collates
    )
    return paired(ours, other, clock=time.perf_counter, seconds=3 * seconds, least=15)


def _epoch(loader: DataLoader[Any]) -> Work:
    return lambda: sum(1 for _ in loader)


def machine() -> list[str]:
    """Processor, cores, instructions, operating system, versions, date and command, as lines of a list."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), model)
    packages = []
    for name in ("unblot", "numpy", "torch", "torchvision", "kornia", "albumentations", "pillow"):
        try:
            packages.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            packages.append(f"{name} not installed")
    return [
        f"Processor: {model}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()} (as torch sees it)",
        f"System: {platform.system()} {platform.machine()}, Python {platform.python_version()}",
        f"Versions: {', '.join(packages)}",
        f"Date: {datetime.now(UTC):%Y-%m-%d}",
        "Command: `make bench` (this table alone: `python -m benches.ratios`)",
    ]


HEAD = """# Benchmarks

The corruption core beside what a user would otherwise take. Written by `make bench`; run it to have this page for your
machine.

Each line is a ratio of two times measured in turn, A B A B: the median over the pairs, and in parentheses its quarter
and three-quarter points. Where both sides run in one thread, the time is what the process spent on a processor; for two
threads and for the `DataLoader` it is the time on the clock. All cover 15 % of each image, the core with all four noise
kinds in one to four boxes, float32 in NCHW unless the line says otherwise. Each call draws anew.
"""

PEERS_HEAD = """
What the others do, and what they leave out:
"""


def page(table: list[Row], note: str = "") -> str:
    """The page in Markdown."""
    lines = [HEAD, *(f"- {line}" for line in machine()), *([f"- Note: {note}"] if note else []), ""]
    lines += ["| comparison | bar | measured | met |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(row.cells())} |" for row in table]
    lines += [PEERS_HEAD, *(f"- **{peer.name}**: {peer.says}" for peer in PEERS)]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print line by line, write the page."""
    parser = argparse.ArgumentParser(prog="python -m benches.ratios", description=__doc__)
    parser.add_argument("--out", type=Path, help="also write the page here")
    parser.add_argument("--note", default="", help="what to know of this run, for example what else the machine did")
    parser.add_argument("--seconds", type=float, default=2.0, help="time for each line")
    arguments = parser.parse_args()
    table = []
    for row in rows(arguments.seconds):
        print("  ".join(row.cells()), flush=True)
        table.append(row)
    if arguments.out:
        arguments.out.write_text(page(table, arguments.note), encoding="utf-8")


if __name__ == "__main__":
    main()
