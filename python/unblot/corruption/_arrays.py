"""What counts as images: layouts, pixel types, keys and value ranges, read the same way for NumPy arrays and torch
tensors.

Nothing here imports torch: an object is a tensor only if torch is loaded already.
"""

from __future__ import annotations

import math
import numbers
import operator
import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unblot import _core
from unblot.corruption.spec import BoxNoise, FullGaussian, Spec
from unblot.errors import shown

LAYOUTS = ("NCHW", "NHWC", "CHW", "HWC", "HW", "NHW")
DTYPES = ("uint8", "float16", "bfloat16", "float32")
_CHANNELS = (1, 3, 4)
_MAX_U64 = 2**64 - 1
# By how much a pixel of [0, 1] may lie outside for no other reason than that it was computed: about four steps of the
# 16-bit types, and what chains of resizing and blurring add up to in float32.
ROUNDING = {"float16": 2.0**-8, "bfloat16": 2.0**-5, "float32": 1e-5}


def is_tensor(value: object) -> bool:
    """Whether ``value`` is a torch tensor."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def check_spec(spec: object) -> Spec:
    """``spec`` itself, if it is one."""
    if not isinstance(spec, (BoxNoise, FullGaussian)):  # a union of types would be built anew in each call
        raise TypeError(f"spec must be a BoxNoise or FullGaussian, got {shown(spec)}")
    return spec


def whole_number(name: str, value: object, low: int, high: int) -> int:
    """``value`` as an int in low..high."""
    if type(value) is int and low <= value <= high:
        return value
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be a whole number from {low} to {high}, got {shown(value)}") from error
    if not low <= number <= high:
        raise ValueError(f"{name} must be a whole number from {low} to {high}, got {number}")
    return number


def share_of_range(name: str, value: object) -> float:
    """``value`` as a float in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number in [0, 1), a share of the value range, got {shown(value)}")
    share = float(value)
    if not 0 <= share < 1:
        raise ValueError(f"{name} must be a number in [0, 1), a share of the value range, got {value!r}")
    return share


def check_seed(seed: object) -> int:
    """``seed`` as an int that fits 64 bits."""
    return whole_number("seed", seed, 0, _MAX_U64)


def check_keys(keys: object, count: int) -> NDArray[np.uint64]:
    """One key per image, shape (count,), in memory of its own; None gives 0, 1, 2, ..."""
    if keys is None:
        return np.arange(count, dtype=np.uint64)
    accepted = f"keys must hold one whole number from 0 to {_MAX_U64} for each of the {count} images"
    if is_tensor(keys):
        keys = _key_tensor(keys, accepted)
    elif hasattr(keys, "__array__") and not isinstance(keys, np.ndarray | np.generic):
        keys = np.asarray(keys)  # a column of a table, say
    if isinstance(keys, np.ndarray) and keys.ndim == 1 and keys.dtype.kind == "O":
        keys = keys.tolist()
    if isinstance(keys, np.ndarray) and keys.ndim == 1 and keys.dtype.kind in "iu":
        if keys.dtype.kind == "i" and keys.size and keys.min() < 0:
            raise ValueError(f"{accepted}, got {keys.min()}")
        result = keys.astype(np.uint64)
    elif isinstance(keys, np.ndarray) and (keys.ndim > 1 or keys.dtype.kind not in "iu"):
        raise TypeError(f"{accepted}, got an array of dtype {keys.dtype} and shape {keys.shape}")
    else:
        entries: Sequence[object] = list(keys) if isinstance(keys, Sequence) and not isinstance(keys, str) else [keys]
        result = np.array([whole_number("keys", entry, 0, _MAX_U64) for entry in entries], dtype=np.uint64)
    if len(result) != count:
        raise ValueError(f"{accepted}, got {len(result)}")
    return result


def _key_tensor(keys: Any, accepted: str) -> NDArray[Any]:
    """The numbers in a tensor of keys."""
    whole = str(keys.dtype).removeprefix("torch.").startswith(("int", "uint"))
    if not whole or keys.is_nested or keys.device.type == "meta" or keys.layout != sys.modules["torch"].strided:
        raise TypeError(f"{accepted}, got a tensor of {keys.dtype} on {keys.device}; pass a dense one of torch.int64")
    array: NDArray[Any] = keys.detach().cpu().numpy()
    return array


def pixel_type(name: str, array: Any) -> str:
    """The name of the pixel type of an array or tensor: "uint8", "float16", "bfloat16" or "float32"."""
    dtype = _dtype_name(array.dtype)
    if dtype not in DTYPES:
        remedy = f"{name}.to(torch.float32)" if is_tensor(array) else f"{name}.astype(np.float32)"
        raise TypeError(f"{name} has dtype {dtype}; accepted: {', '.join(DTYPES)}. Convert it, for example {remedy}")
    return dtype


@lru_cache(maxsize=64)  # NumPy puts a name together in 4 µs, more than all else that is looked at
def _dtype_name(dtype: Any) -> str:
    """The name of a data type of NumPy or torch."""
    return str(dtype.name if isinstance(dtype, np.dtype) else dtype).removeprefix("torch.")


def infer_layout(shape: Sequence[int], *, channels_first: bool) -> str | None:
    """The layout of an array that came without one, or None where it could be one or another.

    Channels stand on an axis of length 1, 3 or 4. A tensor has them first (3 axes: that length must be 1, 3 or 4; 4
    axes: any number, unless only the last axis looks like channels). For a NumPy array exactly one of the two possible
        axes must have such a length. Two
    axes are one grayscale image. A stack of grayscale images (NHW) is never inferred.
    """
    if len(shape) == 2:
        return "HW"
    if len(shape) not in (3, 4):
        return None
    first, last = shape[-3] in _CHANNELS, shape[-1] in _CHANNELS
    batch = "N" if len(shape) == 4 else ""
    if channels_first:
        return batch + "CHW" if first or (batch and not last) else None
    return batch + ("CHW" if first else "HWC") if first != last else None


def check_layout(shape: Sequence[int], layout: object, *, channels_first: bool) -> str:
    """The layout of images of this shape: what was asked for, or else what :func:`infer_layout` finds."""
    if layout is None:
        found = infer_layout(shape, channels_first=channels_first)
        if found is None:
            fitting = [name for name in LAYOUTS if len(name) == len(shape)]
            if not fitting:
                raise ValueError(f"images must have 2 to 4 axes ({', '.join(LAYOUTS)}), got shape {tuple(shape)}")
            raise ValueError(
                f"images of shape {tuple(shape)} could have several layouts; "
                f"pass layout={' or layout='.join(map(repr, fitting))}"
            )
        return found
    if not isinstance(layout, str):
        raise TypeError(f"layout must be one of {', '.join(LAYOUTS)}, or None, got {shown(layout)}")
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, or None, got {layout!r}")
    if len(layout) != len(shape):
        raise ValueError(f"layout {layout!r} has {len(layout)} axes, but images has {len(shape)}: shape {tuple(shape)}")
    return layout


def check_dense(name: str, array: Any) -> None:
    """Refuse tensors that are not numbers in memory, one beside the other."""
    if not is_tensor(array):
        return
    if array.is_nested:
        raise ValueError(
            f"{name} is a nested tensor, whose images differ in size; corrupt each of {name}.unbind() by itself"
        )
    if array.is_meta:
        raise ValueError(f"{name} is on the meta device, where tensors have no pixels; pass one on the CPU or a GPU")
    if array.layout != sys.modules["torch"].strided or array.is_neg():
        raise ValueError(
            f"{name} must be a plain dense tensor; convert it with {name}.to_dense() or {name}.resolve_neg()"
        )


def as_nchw(array: Any, layout: str) -> Any:
    """A view of shape (N, C, H, W) of an array or tensor."""
    if layout.endswith("C"):
        array = array.swapaxes(-1, -3).swapaxes(-1, -2)  # HWC -> CWH -> CHW
    if "C" not in layout:
        array = array[..., None, :, :]
    return array if "N" in layout else array[None]


def check_range(nchw: Any, dtype: str, spec: Spec) -> tuple[float, float]:
    """The value range to use; for floats without one, a look at the pixels, given as :func:`as_memory` or as a tensor.

    64 pixels of each image or a few more, evenly spread (16 in batches of 32 and more), are looked at: a guard against
    images in 0..255 or in -1..1, not a proof.
    """
    given = spec.value_range
    if given is not None:
        _check_fits(given, dtype)
        return given
    if dtype == "uint8":
        return 0.0, 255.0
    if is_tensor(nchw):
        # Perhaps on a device: only the pixels that the core would look at come to it, and of these it leaves none out.
        along = 8 if len(nchw) < 32 else 4
        sample = nchw[:, :, *(slice(n // (2 * along), None, max(1, n // along)) for n in nchw.shape[2:])]
        low, high = _core.sampled_range(sample.float().cpu().numpy(), "float32")
    else:
        low, high = _core.sampled_range(nchw, dtype)
    if (low < 0 or high > 1) and not (low >= -ROUNDING[dtype] and high <= 1 + ROUNDING[dtype]):
        raise ValueError(
            f"{dtype} images without a value range must lie in [0, 1], but pixels from {np.float32(low)!s} to "
            f"{np.float32(high)!s} were found; pass {type(spec).__name__}(value_range=(low, high)) with the lowest and "
            "highest value that they can have"
        )
    return 0.0, 1.0


@lru_cache(maxsize=64)
def _check_fits(given: tuple[float, float], dtype: str) -> None:
    """Refuse a value range whose ends, or whose inside, pixels of the type cannot show; float32 shows all there are."""
    low, high = given
    if dtype == "uint8":
        if not (low >= 0 and high <= 255 and low.is_integer() and high.is_integer()):
            raise ValueError(
                f"value_range {given} does not fit uint8 pixels; accepted: whole numbers in 0..255, or None"
            )
        return
    if dtype == "float32":
        return
    top = max(abs(low), abs(high))
    if dtype == "float16" and top > 65504:
        raise ValueError(f"value_range {given} does not fit float16 pixels, which end at 65504; use float32 images")
    step = float(np.spacing(np.float16(top))) if dtype == "float16" else 2.0 ** (math.frexp(top)[1] - 8)
    if high - low < step:
        raise ValueError(
            f"value_range {given} is narrower than {dtype} pixels can show, in steps of {step:.2g} there; use float32 "
            "images, or a wider one"
        )


def plain(tensor: Any) -> Any:
    """The tensor without its gradient and without a subclass such as ``tv_tensors.Image``."""
    torch = sys.modules["torch"]
    if type(tensor) is torch.Tensor and not tensor.requires_grad:
        return tensor
    bare = tensor.detach()
    return bare if type(bare) is torch.Tensor else bare.as_subclass(torch.Tensor)


def as_memory(name: str, images: Any) -> NDArray[Any]:
    """The caller's memory as the core takes it: an array of uint8, float32 or, for the two 16-bit floats, uint16."""
    if is_tensor(images):
        dense = plain(images)
        wide = dense.element_size() == 2
        array: NDArray[Any] = (dense.view(sys.modules["torch"].int16) if wide else dense).numpy()
    else:
        array = np.asarray(images)
        wide = array.itemsize == 2
        if not array.dtype.isnative:
            remedy = f"{name}.astype({name}.dtype.newbyteorder('='))"
            raise ValueError(
                f"{name} has bytes in the order of another machine ({array.dtype.str}); convert it with {remedy}"
            )
        if not array.flags.aligned:
            raise ValueError(f"{name} is not aligned in memory; pass {name}.copy()")
    return array.view(np.uint16) if wide else array


def is_same(images: Any, out: Any) -> bool:
    """Whether ``out`` is ``images``, perhaps through another view of the same pixels in the same places."""
    if out is images:
        return True
    if is_tensor(images) != is_tensor(out) or not (is_tensor(out) or isinstance(out, np.ndarray)):
        return False
    same = images.dtype == out.dtype and images.shape == out.shape and _strides(images) == _strides(out)
    return bool(same and _address(images) == _address(out) and (not is_tensor(out) or images.device == out.device))


def _address(array: Any) -> int:
    return int(array.data_ptr() if is_tensor(array) else array.__array_interface__["data"][0])


def _strides(array: Any) -> tuple[int, ...]:
    """Strides in bytes."""
    return tuple(s * array.element_size() for s in array.stride()) if is_tensor(array) else tuple(array.strides)


def check_out(images: Any, out: Any) -> bool:
    """Refuse memory that cannot take the result; return whether it is that of ``images`` (in place)."""
    if out is None:
        return False
    tensor = is_tensor(images)
    if out is not images:
        _check_like(images, out, tensor=tensor)
    if tensor and out.requires_grad:
        raise ValueError("out requires a gradient, which writing into it would make wrong; pass out.detach()")
    if not tensor and not out.flags.writeable:
        raise ValueError("out is read-only; pass a copy of it, or None for new memory")
    if not (out.is_contiguous() if tensor else out.flags.c_contiguous):
        _check_apart(out)
    if is_same(images, out):
        return True
    if _overlap(images, out):
        raise ValueError(
            "out overlaps images in memory without being images itself; pass out=images, or separate memory"
        )
    return False


def _check_like(images: Any, out: Any, *, tensor: bool) -> None:
    """Refuse an output that is not of the kind, dtype, shape and device of the images."""
    if is_tensor(out) != tensor or not (tensor or isinstance(out, np.ndarray)):
        kind = "a torch tensor" if tensor else "a NumPy array"
        raise TypeError(f"out must be {kind} as images is, got {type(out).__name__}")
    if out.dtype != images.dtype:
        raise TypeError(f"out must have the dtype of images, {images.dtype}, got {out.dtype}")
    if tuple(out.shape) != tuple(images.shape):
        raise ValueError(f"out must have the shape of images, {tuple(images.shape)}, got {tuple(out.shape)}")
    if tensor and out.device != images.device:
        raise ValueError(f"out must be on the device of images, {images.device}, got {out.device}")
    check_dense("out", out)


def _check_apart(out: Any) -> None:
    """Refuse memory in which several pixels share a place."""
    strides, reach = _strides(out), out.itemsize
    for step, length in sorted((abs(step), length) for step, length in zip(strides, out.shape, strict=True)):
        if length > 1 and step < reach:
            raise ValueError(
                f"out holds several pixels in one place (shape {tuple(out.shape)}, strides of {strides} bytes), "
                "as an expanded or broadcast view does; pass a copy of it, or None for new memory"
            )
        reach += step * (length - 1)


def _overlap(images: Any, out: Any) -> bool:
    if is_tensor(images) and images.device.type != "cpu":
        # Memory of another device cannot be looked at pixel by pixel here: its stretches must be apart.
        (low, high), (start, end) = _stretch(images), _stretch(out)
        return low < end and start < high
    work: Any = 10_000  # looks deeper than the outer bounds, but never for long
    try:
        return np.shares_memory(as_memory("images", images), as_memory("out", out), max_work=work)
    except np.exceptions.TooHardError:
        return True


def _stretch(tensor: Any) -> tuple[int, int]:
    start = _address(tensor)
    reach = sum(step * (length - 1) for step, length in zip(_strides(tensor), tensor.shape, strict=True))
    return start, start + reach + tensor.element_size()
