"""The benchmark of the GPU path: that it says so where there is none, and that all it times runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
from benches.gpu import bandwidth, lines

ROOT = Path(__file__).parents[2]


def test_says_that_there_is_no_gpu() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benches.gpu"],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "No GPU" in done.stdout
    assert "nothing was measured" in done.stdout


def test_every_way_runs() -> None:
    """On the CPU, where the core takes the place of its twin."""
    device = torch.device("cpu")
    speed = bandwidth(device, size=2**16, least=0.0)
    table = list(lines(device, [(2, 3, 24, 24)], speed, least=0.0))
    text = "\n".join(table)
    for way in ("copy", "unblot, in place", "unblot, out=", "uint8", "laplace", "vectorised", "loop", "torchvision"):
        assert way in text
    shares = [float(line.split("|")[4].strip().removesuffix("%")) for line in table[2:]]
    assert len(shares) >= 11
    assert all(0 <= share < 1e4 for share in shares)  # a slow moment may round to 0
