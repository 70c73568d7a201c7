"""The corruption of tensors on an NVIDIA GPU: the core's twin, with the same bits.

The core draws the boxes (``Plan.draw``). They go to the device in one copy, and one launch of ``triton_kernel`` fills
their pixels and touches no other. A program of it fills 1024 consecutive values of one box, which are 256 Philox blocks
of four words. Boxes that may overlap take a launch for the first box of each image, one for the second, and so on.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import lru_cache
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unblot.corruption._arrays import (
    as_nchw,
    check_dense,
    check_keys,
    check_layout,
    check_out,
    check_range,
    check_seed,
    check_spec,
    pixel_type,
    plain,
)
from unblot.corruption.apply import Corrupted, without_pixels
from unblot.corruption.backends.triton_kernel import fill
from unblot.corruption.noise import Noise, Paste
from unblot.corruption.spec import BoxNoise, FullGaussian, Spec

__all__ = ["corrupt_triton"]

# Philox blocks of a program, of four values each.
_BLOCKS = 256

# Words of a box's record before those of each channel.
_HEAD = 22

# Highest index that 32 bits hold.
_NARROW = 2**31 - 1


@torch.no_grad()
def corrupt_triton(
    images: Tensor,
    spec: Spec,
    seed: int = 0,
    keys: Any = None,
    layout: str | None = None,
    out: Tensor | None = None,
) -> Corrupted:
    """As :func:`unblot.corrupt`, to the same bits, for tensors on an NVIDIA GPU (under Triton's interpreter: on any
    device). Arguments, result and errors are those of :func:`unblot.corrupt`.
    """
    spec = check_spec(spec)
    _check_known(spec)
    if not isinstance(images, Tensor):
        raise TypeError(
            f"images must be a torch tensor, got {type(images).__name__}; use unblot.corrupt for NumPy arrays"
        )
    dtype = pixel_type("images", images)
    check_dense("images", images)
    layout = check_layout(images.shape, layout, channels_first=True)
    source = plain(images)
    nchw = as_nchw(source, layout)
    key_array = check_keys(keys, len(nchw))
    seed = check_seed(seed)
    in_place = check_out(images, out)
    count, channels, height, width = nchw.shape
    if 0 in nchw.shape:
        return without_pixels(images, out, (count, channels, height, width), layout, changed=False)
    value_range = check_range(nchw, dtype, spec)
    integers, reals = spec.plan.draw(height, width, channels, seed, key_array)

    target = source.clone() if out is None else out
    if out is not None and not in_place:
        out.copy_(source)
    _fill_boxes(as_nchw(plain(target), layout), dtype, spec, integers, reals, value_range, seed, key_array)
    if out is not None and not out.is_inference():
        # The kernel wrote behind torch's back; this lets autograd notice that a saved tensor has changed.
        torch.autograd.graph.increment_version(out)
    return Corrupted(target, integers, (count, channels, height, width), layout)


def left_out(spec: Spec) -> list[str]:
    """What of a specification the kernel does not draw."""
    if isinstance(spec, FullGaussian):
        return []
    found = [f"shapes={spec.shapes!r}"] * spec.shaped + ['base="any"'] * (spec.base == "any")
    pasted = any(isinstance(kind, Paste) for kind in cast(tuple[Noise, ...], spec.noise))
    return found + ["Paste"] * pasted


def _check_known(spec: Spec) -> None:
    """Refuse what the kernel does not draw."""
    if found := left_out(spec):
        raise ValueError(
            f"{found[0]} is not drawn by the GPU kernel; unblot.corrupt takes the torch backend for it, which draws "
            "the same blots with other noise; or corrupt the images on the CPU"
        )


# --- on the host: what the kernel reads -------------------------------------------------------------------------------


class _Tables(NamedTuple):
    """The Poisson tables of a specification; the first three as ``Plan.poisson_tables`` gives them, the rest on the
    device.
    """

    steps: NDArray[np.float64]
    entries: NDArray[np.uint32]
    rates: NDArray[np.float64]
    directory: Tensor  # int32 (T, 2): first column of each table and log2 of their number
    columns: Tensor  # int32 (K, 3)
    grid_steps: Tensor  # float64 (E,): the steps


@lru_cache(maxsize=16)
def _tables(spec: Spec, device: torch.device) -> _Tables:
    steps, entries, rates, starts, columns = spec.plan.poisson_tables()
    directory = np.stack([starts[:-1], np.log2(np.diff(starts))], axis=1).astype(np.int32)
    on_device = (torch.from_numpy(array).to(device) for array in (directory, columns.view(np.int32), steps))
    return _Tables(steps, entries, rates, *on_device)


def _fill_boxes(
    pixels: Tensor,
    dtype: str,
    spec: Spec,
    integers: NDArray[np.int32],
    reals: NDArray[np.float32],
    value_range: tuple[float, float],
    seed: int,
    keys: NDArray[np.uint64],
) -> None:
    """Fill the boxes of ``pixels`` (N, C, H, W); integers and reals as ``Plan.draw`` gives them."""
    channels = pixels.shape[1]
    disjoint = not isinstance(spec, BoxNoise) or spec.overlap == "forbid"
    rank = np.zeros(len(integers), np.int32) if disjoint else integers[:, 7]
    order = np.argsort(rank, kind="stable")
    integers, reals, rank = integers[order], reals[order], rank[order]
    values = integers[:, 3].astype(np.int64) * integers[:, 4] * channels
    tiles = -(-values // (4 * _BLOCKS))
    tables = _tables(spec, pixels.device)
    records = _records(tables, integers, reals, seed, keys)
    records[:, 8] = np.cumsum(tiles) - tiles
    owners = np.repeat(np.arange(len(integers), dtype=np.int32), tiles)
    buffer = torch.from_numpy(np.concatenate([records.ravel(), owners]))
    if pixels.is_cuda:  # the one copy; from pinned memory, so that the host need not wait for what is queued
        buffer = buffer.pin_memory().to(pixels.device, non_blocking=True)

    raw = pixels if dtype == "uint8" else pixels.view(torch.int32 if dtype == "float32" else torch.int16)
    reach = sum(stride * (length - 1) for stride, length in zip(raw.stride()[1:], raw.shape[1:], strict=True))
    low, high = np.asarray(value_range, np.float32)
    grid = bool(tables.steps.any())
    first = 0
    with torch.cuda.device(pixels.device) if pixels.is_cuda else nullcontext():
        for launch in np.bincount(rank, tiles).astype(np.int64).tolist():
            fill[(launch,)](
                raw,
                buffer,
                buffer.view(torch.float32),
                buffer[records.size :],
                tables.directory,
                tables.columns,
                tables.grid_steps,
                first,
                *raw.stride(),
                channels,
                float(low),
                float(high - low),
                float(np.float32(1) / (high - low)),
                ROW=records.shape[1],
                FORMAT=dtype,
                OWN=not isinstance(spec, BoxNoise) or spec.base == "image",
                GRID=grid,
                WIDE=max(reach, int(values.max()) + 4 * _BLOCKS) > _NARROW,
                BLOCKS=_BLOCKS,
                num_warps=8 if grid else 4,  # float64 takes registers
                enable_fp_fusion=False,
            )
            first += launch


def _records(
    tables: _Tables, integers: NDArray[np.int32], reals: NDArray[np.float32], seed: int, keys: NDArray[np.uint64]
) -> NDArray[np.int32]:
    """A row of 32-bit words for each box, for ``fill``.

    0 image, 1 y, 2 x, 3 height, 4 width, 5 kinds, 6 flags (1 additive, 2 salt and pepper from each value's own word, 4
    Poisson from a grid, 8 some salt, 16 some salt or pepper), 7 stream, 8 first tile, 9 and 10 image key, 11 and 12
    seed, 13 last word that is salt, 14 last that is salt or pepper, 15 noise entry of Poisson, then floats: 16 and 17
    Gaussian mean and sigma, 18 and 19 Laplace mean and scale, 20 and 21 Poisson peak and gain; then the base of each
    channel and the (first) Poisson table of each channel.
    """
    channels = reals.shape[1] - 11
    kinds, flags, number = integers[:, 5], integers[:, 6], integers[:, 7]
    peak, strength = reals[:, 6], reals[:, 7]
    additive, has_poisson = flags & 1 == 1, kinds & 4 == 4

    entry = flags >> 2
    grid = has_poisson & (tables.steps[entry] > 0)
    table = np.repeat(tables.entries[entry, None].astype(np.int32), channels, axis=1)
    rate = np.where(additive[:, None], peak[:, None], peak[:, None] * reals[:, 8 : 8 + channels])
    for e in np.unique(entry[has_poisson & ~grid]):
        mine = has_poisson & (entry == e)
        found = tables.rates[tables.entries[e] : tables.entries[e + 1]] == rate[mine, :, None].astype(np.float64)
        table[mine] += found.argmax(axis=2).astype(np.int32)

    row = -(-(_HEAD + 2 * channels) // 4) * 4  # rows of 16 bytes
    records = np.zeros((len(integers), row), np.int32)
    words, floats = records.view(np.uint32), records.view(np.float32)
    own_words = flags & 2 == 2 if channels > 1 else np.ones(len(flags), np.bool_)
    salt = reals[:, 4].astype(np.float64)
    salt_words, hit_words = _share(salt), _share(salt + reals[:, 5].astype(np.float64))
    records[:, :6] = integers[:, :6]
    records[:, 6] = additive + 2 * own_words + 4 * grid + 8 * (salt_words > 0) + 16 * (hit_words > 0)
    words[:, 7] = number.astype(np.uint32) << 3
    words[:, 9:11] = keys.astype("<u8")[integers[:, 0]].view("<u4").reshape(-1, 2)
    words[:, 11:13] = seed & 0xFFFFFFFF, seed >> 32
    words[:, 13] = (salt_words - 1).astype(np.uint32)
    words[:, 14] = (hit_words - 1).astype(np.uint32)
    records[:, 15] = entry
    floats[:, 16:20] = reals[:, :4]
    floats[:, 20] = peak
    with np.errstate(divide="ignore", invalid="ignore"):  # boxes without Poisson noise have the peak 0
        floats[:, 21] = np.where(additive, strength / np.sqrt(peak), np.float32(1) / peak)
    floats[:, _HEAD : _HEAD + channels] = reals[:, 8 : 8 + channels]
    records[:, _HEAD + channels : _HEAD + 2 * channels] = table
    return records


def _share(probability: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many of the 2**32 words stand for a probability (Share::new): rounded, halves up."""
    exact = np.minimum(probability, 1.0) * 2.0**32
    whole = np.floor(exact)
    return (whole + (exact - whole >= 0.5)).astype(np.int64)
