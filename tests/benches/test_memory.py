"""Corrupting a batch takes no memory beyond the batch: the peak of a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# The peak of this process image alone; the figure that getrusage gives would begin with its parent's.
PEAK = """
import re
from pathlib import Path

import numpy as np

from unblot import BoxNoise, corrupt

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

images = np.full((64, 3, 224, 224), 0.5, np.float32)
out = images if {in_place} else np.ones_like(images)
corrupt(images[:1], BoxNoise(), out=out[:1], threads={threads})
before = peak()
corrupt(images, BoxNoise(), out=out, threads={threads})
print(before, peak())
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's account of memory")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("in_place", [True, False])
def test_peak_stays_within_the_batch(in_place: bool, threads: int) -> None:
    code = PEAK.format(in_place=in_place, threads=threads)
    text = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    before, after = map(float, text.split())
    batch = 64 * 3 * 224 * 224 * 4 / 2**20
    assert before > batch, "the batch is in memory before"
    assert after - before < 4, f"{after - before:.1f} MiB beyond a batch of {batch:.1f} MiB"
