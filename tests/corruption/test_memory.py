"""Which memory ``corrupt`` takes as output, alone and beside calls in other threads, and how a call is interrupted."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from unblot import BoxNoise, Gaussian, corrupt

SPEC = BoxNoise(noise=Gaussian(), scale=0.3)
#: Drawing boxes for these takes a second or more, writing their pixels next to nothing.
CROWDED = BoxNoise(noise=Gaussian(), scale=0.9, num_boxes=512, ratio=1.0)


@pytest.mark.parametrize(
    ("shape", "cut"),
    [
        ((2, 3, 17, 21), np.s_[..., ::2]),
        ((2, 3, 17, 21), np.s_[:, :, ::2]),
        ((2, 3, 17, 21), np.s_[:, :, ::3, ::5]),
        ((3, 3, 9, 9), np.s_[::2]),
        ((2, 5, 9, 9), np.s_[:, ::2, 1::2, 2::3]),
        ((2, 3, 16, 20), np.s_[..., ::2]),
        ((2, 3, 17, 21), np.s_[:, :, ::-2, ::-2]),
        ((2, 3, 17, 21), np.s_[:, ::-1, 3:, ::-3]),
    ],
)
def test_views_with_pixels_of_their_own_are_taken_as_output(shape: tuple[int, ...], cut: Any) -> None:
    rng = np.random.default_rng(0)
    whole = rng.random(shape, dtype=np.float32)
    view, before = whole[cut], whole.copy()
    expected = corrupt(view.copy(), SPEC, seed=4, layout="NCHW").images
    result = corrupt(view, SPEC, seed=4, layout="NCHW", out=view)
    assert result.images is view
    assert np.array_equal(view, expected) and not np.array_equal(expected, before[cut])
    outside = np.ones(shape, bool)
    outside[cut] = False
    assert np.array_equal(whole[outside], before[outside])
    if not any(
        isinstance(part, slice) and (part.step or 1) < 0 for part in (cut if isinstance(cut, tuple) else (cut,))
    ):
        tensor = torch.from_numpy(before)[cut]
        corrupt(tensor, SPEC, seed=4, layout="NCHW", out=tensor)
        assert np.array_equal(tensor.numpy(), expected)


def test_output_may_lie_between_the_pixels_of_the_images() -> None:
    both = np.random.default_rng(1).random((2, 3, 31, 40), dtype=np.float32)
    images, out = both[..., ::2], both[..., 1::2]
    before = images.copy()
    corrupt(images, SPEC, seed=2, layout="NCHW", out=out)
    assert np.array_equal(images, before)
    assert np.array_equal(out, corrupt(before, SPEC, seed=2, layout="NCHW").images)


@pytest.mark.parametrize("cut", ["columns", "rows", "every third column", "channels"])
def test_parts_of_one_array_are_corrupted_in_threads_at_once(cut: str) -> None:
    parts = {
        "columns": lambda a, i: a[:, i * 64 : (i + 1) * 64],
        "rows": lambda a, i: a[i * 128 : (i + 1) * 128],
        "every third column": lambda a, i: a[:, i::3],
        "channels": lambda a, i: a.reshape(3, 128, 512)[i],
    }[cut]
    count = 8 if cut == "columns" else 3
    image = np.zeros((384, 512), np.uint8)
    expected = image.copy()
    for i in range(count):
        part = parts(expected, i)
        corrupt(part, SPEC, seed=1, keys=i, layout="HW", out=part, threads=1)
    assert expected.any()
    start = threading.Barrier(count)

    def work(i: int) -> None:
        part = parts(image, i)
        for _ in range(20):
            start.wait()
            part[:] = 0
            corrupt(part, SPEC, seed=1, keys=i, layout="HW", out=part, threads=1)

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(work, range(count)))
    assert np.array_equal(image, expected)


def test_several_threads_may_read_the_same_images() -> None:
    images = np.random.default_rng(0).random((4, 3, 64, 64), dtype=np.float32)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: corrupt(images, SPEC, seed=3).images, range(40)))
    assert all(np.array_equal(result, results[0]) for result in results)


def test_memory_that_another_call_works_on_is_refused() -> None:
    """That another thread can ask at all shows that the GIL is released."""
    images = np.zeros((60, 1, 256, 256), np.uint8)
    errors: list[ValueError] = []
    started = threading.Event()

    def long_call() -> None:
        started.set()
        try:
            corrupt(images, CROWDED, out=images, threads=1)
        except ValueError as error:
            errors.append(error)

    worker = threading.Thread(target=long_call)
    worker.start()
    started.wait()
    corner = images[-1, :, 200:, 200:]
    while worker.is_alive() and not errors:
        try:
            corrupt(corner, SPEC, layout="CHW", out=corner, threads=1)
        except ValueError as error:
            errors.append(error)
        time.sleep(1e-3)
    worker.join()
    assert len(errors) == 1 and "another call" in str(errors[0])
    corrupt(corner, SPEC, layout="CHW", out=corner, threads=1)  # now it is free


class RungError(Exception):
    """What the signal handler raises."""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers")
@pytest.mark.parametrize("copied", [False, True])
def test_a_signal_ends_a_long_call_before_a_pixel_has_changed(copied: bool) -> None:
    images = np.zeros((20_000, 1, 64, 64), np.uint8)
    out = np.zeros_like(images) if copied else images

    def ring(*_: object) -> None:
        raise RungError

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(RungError):
            corrupt(images, BoxNoise(noise=Gaussian(), scale=0.9, num_boxes=128), out=out, threads=1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not out.any()


def test_the_mask_is_where_the_boxes_are() -> None:
    images = np.zeros((5, 37, 53, 3), np.uint8)
    result = corrupt(images, BoxNoise(num_boxes=(1, 30), scale=(0.1, 0.6), overlap="allow"), seed=8)
    expected = np.zeros((5, 37, 53), np.uint8)
    for i, boxes in enumerate(result.boxes):
        for box in boxes:
            expected[i, box.y : box.y + box.height, box.x : box.x + box.width] = 1
    assert result.mask().dtype == np.uint8 and np.array_equal(result.mask(), expected)
    assert result.mask() is not result.mask()
    single = corrupt(images[0], BoxNoise(), seed=8)
    assert single.mask().shape == (37, 53)
    tensor = corrupt(torch.zeros(3, 37, 53), BoxNoise(), seed=8)
    assert isinstance(tensor.mask(), torch.Tensor) and np.array_equal(tensor.mask().numpy(), single.mask())
