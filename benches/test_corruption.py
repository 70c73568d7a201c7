"""The core and its peers, in groups by size: ``make bench`` or ``python -m pytest benches --benchmark-only``."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
import torch
from benches.peers import PEERS, Peer
from benches.workloads import BLOTS, DTYPES, KINDS, SIZES, SPEC, batch, copier, corrupter

import unblot

pytestmark = pytest.mark.parametrize("side", SIZES)


@pytest.fixture(autouse=True)
def _one_torch_thread() -> None:
    torch.set_num_threads(1)


def _group(side: int) -> str:
    return " × ".join(map(str, SIZES[side]))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("where", ["in place", "out"])
def test_unblot(benchmark: Any, side: int, dtype: str, where: str, threads: int) -> None:
    """All four kinds; uint8 is NHWC, the others NCHW."""
    benchmark.group = _group(side)
    images = batch(SIZES[side], DTYPES[dtype])
    out = torch.empty_like(images) if where == "out" else None
    benchmark(corrupter(images, SPEC, threads=threads, out=out))


@pytest.mark.parametrize("kind", KINDS)
def test_kind(benchmark: Any, side: int, kind: str) -> None:
    """Each kind alone, float32, in place, one thread."""
    benchmark.group = _group(side)
    benchmark(corrupter(batch(SIZES[side]), KINDS[kind]))


@pytest.mark.parametrize("kind", BLOTS)
def test_blots(benchmark: Any, side: int, kind: str) -> None:
    """Patches and shapes, float32, in place, one thread."""
    benchmark.group = _group(side)
    benchmark(corrupter(batch(SIZES[side]), BLOTS[kind]))


def test_changed(benchmark: Any, side: int) -> None:
    """All four kinds with the mask of what changed, float32, in place, one thread."""
    benchmark.group = _group(side)
    images, seeds = batch(SIZES[side]), count()
    benchmark(lambda: unblot.corrupt(images, SPEC, seed=next(seeds), out=images, threads=1, changed=1 / 255))


def test_mask(benchmark: Any, side: int) -> None:
    """The mask of a result, beside the call that made it (``test_unblot``)."""
    benchmark.group = _group(side)
    images = batch(SIZES[side])
    benchmark(unblot.corrupt(images, SPEC, out=images, threads=1).mask)


@pytest.mark.parametrize("dtype", DTYPES)
def test_copy(benchmark: Any, side: int, dtype: str) -> None:
    """A plain copy of the batch."""
    benchmark.group = _group(side)
    benchmark(copier(batch(SIZES[side], DTYPES[dtype])))


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_peer(benchmark: Any, side: int, peer: Peer) -> None:
    """What ``peers`` describes."""
    if not peer.installed:
        pytest.skip(f"{peer.module} is not installed: pip install 'unblot[bench]'")
    benchmark.group = _group(side)
    benchmark(peer.on(SIZES[side]))


def test_single(benchmark: Any, side: int) -> None:
    """One image alone, in place, one thread: what a transform does."""
    benchmark.group = _group(side)
    image, seeds = batch(SIZES[side])[0], count()
    benchmark(lambda: unblot.corrupt(image, SPEC, seed=next(seeds), out=image, threads=1))


@pytest.mark.parametrize("boxes", [64, 128, 256, 512, 1024])
def test_crowded(benchmark: Any, side: int, boxes: int) -> None:
    """Many boxes on nine tenths of an image: how the time grows with their number."""
    if side != 1024:
        pytest.skip("has a size of its own")
    benchmark.group = "1 × 1 × 256 × 256, many boxes"
    spec = unblot.BoxNoise(scale=0.9, num_boxes=boxes)
    benchmark(corrupter(batch((1, 1, 256, 256)), spec))


@pytest.mark.parametrize("threads", [1, 2])
def test_railway(benchmark: Any, side: int, threads: int) -> None:
    """The patent's railway example (paragraph 33): one image of 2048 × 2048 with one square box of 10 %."""
    if side != 1024:
        pytest.skip("has a size of its own")
    benchmark.group = "1 × 1 × 2048 × 2048, railway"
    benchmark(corrupter(batch((1, 1, 2048, 2048)), unblot.BoxNoise.railway(), threads=threads))
