"""Corrupt a million small batches and watch the memory.

    python -m tools.soak --batches 1000000

Exit code 1 where the resident memory grew by more than ``--allowed`` MiB after the first tenth.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

import unblot

__all__ = ["resident", "soak"]


def resident() -> float:
    """Resident memory of this process in MiB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 2**20


def soak(batches: int, *, report: int = 10) -> list[tuple[int, float]]:
    """Corrupt so many batches of 8 images of 32 × 32, in turn with every named family.

    Returns:
        Batches done and resident memory in MiB, ``report`` times.
    """
    from unblot.corruption.presets import named

    families = [spec for name in ("box", "gaussian", "mixed", "scars", "blobs") if (spec := named(name)) is not None]
    images = np.random.default_rng(0).integers(0, 256, (8, 3, 32, 32), np.uint8)
    seen = []
    for number in range(1, batches + 1):
        out = unblot.corrupt(images, families[number % len(families)], seed=number, layout="NCHW", threads=1)
        if number % 100 == 0:
            out.mask()
        if number % max(1, batches // report) == 0:
            seen.append((number, resident()))
    return seen


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--batches", type=int, default=1_000_000)
    parser.add_argument("--allowed", type=float, default=4.0, help="MiB of growth that passes")
    asked = parser.parse_args()
    began = time.perf_counter()
    seen = soak(asked.batches)
    for number, memory in seen:
        print(f"{number:>9} batches  {memory:7.1f} MiB")
    print(f"{asked.batches / (time.perf_counter() - began):.0f} batches/s")
    grown = max(memory for _, memory in seen) - seen[0][1]
    if grown > asked.allowed:
        sys.exit(f"memory grew by {grown:.1f} MiB")


if __name__ == "__main__":
    main()
