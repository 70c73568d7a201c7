"""``corrupt``: draw boxes of noise into images that are NumPy arrays or torch tensors.

Everything the caller gave is checked before a byte changes. The core gets views of shape (N, C, H, W) onto the caller's
own memory, whatever their strides, so nothing is copied or transposed on the way. Tensors on an NVIDIA GPU go to
``backends.triton``, the core's twin with the same bits, where it draws all that is asked for. Other tensors go to
``backends.torch``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cached_property
from importlib.util import find_spec
from multiprocessing import parent_process
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unblot import _core
from unblot.corruption._arrays import (
    as_memory,
    as_nchw,
    check_dense,
    check_keys,
    check_layout,
    check_out,
    check_range,
    check_seed,
    check_spec,
    is_tensor,
    pixel_type,
    plain,
    share_of_range,
    whole_number,
)
from unblot.corruption.spec import BoxNoise, Spec

__all__ = ["Box", "Corrupted", "corrupt"]

# Bits of the column ``kinds`` in the core's records, in the order in which superimposed kinds act.
_KINDS = ((16, "paste"), (4, "poisson"), (1, "gaussian"), (8, "laplace"), (2, "salt_pepper"))
_SHAPES = ("rectangle", "scar", "blob")


class Box(NamedTuple):
    """One box, in pixels: top row, left column, height, width, the noise in it ("gaussian", "poisson+laplace", "paste",
    "none", ...), and the shape that it fills ("rectangle": all of it, "scar", "blob").
    """

    y: int
    x: int
    height: int
    width: int
    kind: str
    shape: str = "rectangle"


class Covers(NamedTuple):
    """What draws how much of each box is covered, where shapes cover less than all of it; a value, so that a result
    with it can be sent to another process.
    """

    spec: BoxNoise
    nchw: tuple[int, int, int, int]
    seed: int
    keys: NDArray[np.uint64]

    def __call__(self) -> NDArray[np.float32]:
        """As ``Plan.covers``."""
        _, channels, height, width = self.nchw
        return self.spec.plan.covers(height, width, channels, self.seed, self.keys)


class Corrupted:
    """What :func:`corrupt` returns.

    Attributes:
        images: the corrupted images, of the kind, shape and dtype of those given.
        changed: where asked for, the mask of the pixels that really changed, in the form of :meth:`mask`; else None.
    """

    def __init__(
        self,
        images: Any,
        records: NDArray[np.int32],
        nchw: tuple[int, int, int, int],
        layout: str,
        covers: Covers | None = None,
    ) -> None:
        self.images = images
        self.changed: Any = None
        self._records = records
        self._count, _, self._height, self._width = nchw
        self._single = "N" not in layout
        self._covers = covers  # None: every box is covered wholly

    @cached_property
    def boxes(self) -> Any:
        """The boxes in drawing order (later ones lie on top): a list of :class:`Box` per image; for one image, its
        list alone.
        """
        boxes: list[list[Box]] = [[] for _ in range(self._count)]
        for image, y, x, height, width, kinds, _, _, shape, *_ in self._records.tolist():
            kind = "+".join(name for bit, name in _KINDS if kinds & bit) or "none"
            boxes[image].append(Box(y, x, height, width, kind, _SHAPES[shape]))
        return boxes[0] if self._single else boxes

    def mask(self) -> Any:
        """1 inside a blot (a box, or the scar or blob in it), else 0: uint8 of shape (N, H, W), for one image (H, W);
        array, or tensor on the device of the images. What lies inside may look as before; ``changed`` says what does
        not.
        """
        covers = None if self._covers is None else self._covers()
        return self._like_images(_core.mask(self._records, self._count, self._height, self._width, covers))

    def _like_images(self, mask: NDArray[np.uint8]) -> Any:
        result = mask[0] if self._single else mask
        if not is_tensor(self.images):
            return result
        return sys.modules["torch"].from_numpy(result).to(self.images.device)

    def __repr__(self) -> str:
        return f"Corrupted(images of shape {tuple(self.images.shape)}, {len(self._records)} boxes)"


def corrupt(
    images: Any,
    spec: Spec,
    seed: int = 0,
    keys: Any = None,
    layout: str | None = None,
    out: Any = None,
    threads: int | None = None,
    changed: float | None = None,
) -> Corrupted:
    """Corrupt one image or a batch.

    The result depends on the seed, the key of each image and its pixels, and on nothing else: not on the batch (but for
    patches that ``Paste(source="batch")`` takes from it), the number of threads, the memory layout or the machine, be
    it a CPU or an NVIDIA GPU with Triton. (Tensors on other devices get the same boxes, but noise from torch. So do
    those on an NVIDIA GPU with ``Paste``, ``shapes`` or ``base="any"``.)

    Args:
        images: NumPy array or torch tensor, uint8, float16, bfloat16 or float32, with any strides. It is read only,
            unless it is ``out``. No gradient flows through. An empty batch comes back as one.
        spec: :class:`~unblot.BoxNoise` or :class:`~unblot.FullGaussian`.
        seed: 0 to 2**64 - 1.
        keys: what tells the images apart, each 0 to 2**64 - 1: a sequence, array or tensor of shape (N,), or an int for
            a single image. None: 0, 1, 2, ... Images with the same seed, key and size get the same boxes.
        layout: "NCHW", "NHWC", "CHW", "HWC", "HW" or "NHW". None: inferred. Two axes are HW. Tensors are channels-first
            (CHW where the first of three axes is 1, 3 or 4, NCHW where there are four axes, unless only the last looks
            like channels); in NumPy arrays the channels are where 1, 3 or 4 stands. What stays ambiguous is an error.
        out: where the result goes: ``images`` itself (in place), or memory of the same kind, shape and dtype that does
            not overlap it. None: new memory of the same strides where possible.
        threads: 1 works in the calling thread, more uses this process's own pool, 0 takes every core. None: 0, or 1 in
            a worker process.
        changed: asks for the mask ``changed`` of the result: 1 where a channel of the pixel changed by more than this
            share of the value range, in [0, 1); 1/255 is one step of uint8. None: no such mask.

    Returns:
        The images, the boxes and their mask.

    Raises:
        TypeError: images, spec, out, seed, keys or layout of a type that is not accepted, among them other pixel types.
        ValueError: shapes, ranges or memory that do not fit; float images outside [0, 1] whose spec has no
            ``value_range`` (some evenly spread pixels of each image are looked at: a guard, not a proof; what lies
            outside by rounding, up to 1e-5 in float32, is let through). Nothing has changed when an error is raised.

    >>> from unblot import BoxNoise
    >>> image = np.zeros((32, 32, 3), np.uint8)
    >>> out = corrupt(image, BoxNoise(scale=0.25, num_boxes=1, ratio=1.0), seed=1)
    >>> out.boxes[0].height, out.boxes[0].width, int(out.mask().sum())
    (16, 16, 256)
    """
    if is_tensor(images):
        from unblot.corruption.backends.torch_operator import corrupt_traced, is_traced

        if is_traced(images):
            return corrupt_traced(images, spec, seed, keys, layout, out, threads, changed)
    return corrupt_now(images, spec, seed, keys, layout, out, threads, changed)


def corrupt_now(
    images: Any,
    spec: Spec,
    seed: int,
    keys: Any,
    layout: str | None,
    out: Any,
    threads: int | None,
    changed: float | None,
) -> Corrupted:
    """:func:`corrupt` on what is in memory."""
    spec = check_spec(spec)
    tensor = is_tensor(images)
    least = None if changed is None else share_of_range("changed", changed)
    if tensor and not (images.is_cpu or images.is_meta):
        return _on_device(images, spec, seed, keys, layout, out, least)
    if not tensor and not isinstance(images, np.ndarray):
        raise TypeError(
            f"images must be a NumPy array or a torch tensor, got {type(images).__name__}; "
            "convert it, for example np.asarray(images)"
        )
    dtype = pixel_type("images", images)
    check_dense("images", images)
    layout = check_layout(images.shape, layout, channels_first=tensor)
    source = as_memory("images", images)
    nchw = as_nchw(source, layout)
    seed = check_seed(seed)
    key_array = check_keys(keys, nchw.shape[0])
    workers = _threads(threads)
    in_place = check_out(images, out)
    if 0 in nchw.shape:
        return without_pixels(images, out, nchw.shape, layout, changed=least is not None)
    value_range = check_range(nchw, dtype, spec)
    if out is not None:
        target = out
    elif tensor:
        target = sys.modules["torch"].empty_like(plain(images))
    else:
        target = np.empty_like(np.asarray(images))
    written = nchw if target is images else as_nchw(as_memory("out", target), layout)
    exact = None if least is None else np.empty((nchw.shape[0], *nchw.shape[2:]), np.uint8)
    records = _core.corrupt(
        spec.plan,
        written,
        None if in_place else nchw,
        dtype,
        value_range,
        seed,
        key_array,
        workers,
        None if least is None or exact is None else (least, exact),
    )
    if tensor and out is not None and not out.is_inference():
        # The core wrote behind torch's back; this lets autograd notice that a saved tensor has changed.
        sys.modules["torch"].autograd.graph.increment_version(out)
    result = Corrupted(target, records, nchw.shape, layout, covers_of(spec, nchw.shape, seed, key_array))
    if exact is not None:
        result.changed = result._like_images(exact)
    return result


def covers_of(spec: Spec, nchw: tuple[int, int, int, int], seed: int, keys: NDArray[np.uint64]) -> Covers | None:
    """What draws how much of each box is covered, or None where every box is covered wholly."""
    return Covers(spec, nchw, seed, keys) if isinstance(spec, BoxNoise) and spec.shaped else None


def without_pixels(images: Any, out: Any, nchw: tuple[int, int, int, int], layout: str, *, changed: bool) -> Corrupted:
    """The result where an axis has the length 0: nothing is drawn."""
    target = out
    if out is None:
        target = images.detach().clone() if is_tensor(images) else np.array(images)
    result = Corrupted(target, np.empty((0, 13), np.int32), nchw, layout)
    if changed:
        result.changed = result.mask()
    return result


def _on_device(
    images: Any, spec: Spec, seed: int, keys: Any, layout: str | None, out: Any, least: float | None
) -> Corrupted:
    """Corrupt a tensor that is not on the CPU."""
    backend = _backend(images.device.type, spec)
    if least is None:
        return backend(images, spec, seed, keys, layout, out)
    before = images.detach().clone()
    result = backend(images, spec, seed, keys, layout, out)
    layout = check_layout(before.shape, layout, channels_first=True)
    old, new = as_nchw(before, layout).float(), as_nchw(plain(result.images), layout).float()
    low, high = check_range(as_nchw(before, layout), pixel_type("images", images), spec)
    same = ((new - old).abs() <= least * (high - low)) | (new == old) | (new.isnan() & old.isnan())
    mask = (~same).any(1).to(sys.modules["torch"].uint8)
    result.changed = mask if "N" in layout else mask[0]
    return result


def _backend(device: str, spec: Spec) -> Callable[..., Corrupted]:
    """What corrupts the tensors of a type of device other than the CPU: Triton's kernel where it can, else torch."""
    if device == "cuda" and sys.modules["torch"].version.hip is None and find_spec("triton") is not None:
        from unblot.corruption.backends.triton import corrupt_triton, left_out

        if not left_out(spec):
            return corrupt_triton
    from unblot.corruption.backends.torch import corrupt_torch

    return corrupt_torch


def _threads(threads: object) -> int:
    if threads is None:
        return 1 if parent_process() is not None else 0
    return whole_number("threads", threads, 0, 1024)
