"""The corruption as operators of torch, for whatever looks at a function instead of running it.

``torch.compile``, ``torch.export``, ``torch.jit.trace``, ``make_fx`` and the transforms of ``torch.func`` follow
tensors through a function. They cannot follow them into the core. So under them :func:`unblot.corrupt` calls
``torch.ops.unblot.corrupt``, which they record as one step and whose shapes they know (its fake kernel). When that
step runs it is the same corruption, with the same bits. Its arguments are tensors, numbers and text, so an exported
program can be saved; whoever loads it imports this module first.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.compiler import is_dynamo_compiling

from unblot.corruption._arrays import as_nchw, check_keys, check_layout, check_spec, pixel_type
from unblot.corruption.apply import Corrupted, corrupt_now, covers_of, without_pixels
from unblot.corruption.noise import Paste
from unblot.corruption.spec import BoxNoise, Spec, spec_from_text

__all__ = ["Traced", "box_mask", "corrupt_traced", "is_traced"]

_modes = torch._C._len_torch_dispatch_stack
_tracing = torch._C._get_tracing_state
_transforms = torch._C._functorch.peek_interpreter_stack


def is_traced(images: Tensor) -> bool:  # noqa: ARG001 - for a tracer that marks its tensors alone
    """Whether something follows the tensors of the running function: a compiler, a tracer, a transform."""
    return is_dynamo_compiling() or _modes() > 0 or _transforms() is not None or _tracing() is not None


# --- what is recorded -------------------------------------------------------------------------------------------------


Keys: TypeAlias = tuple[Tensor | None, list[int] | None]
"""Keys as an operator takes them: a tensor, or numbers that stand for themselves modulo 2**64; or neither."""


@torch.library.custom_op("unblot::corrupt", mutates_args=())
def _corrupt(
    images: Tensor,
    spec: str,
    seed: int,
    keys: Tensor | None,
    numbers: list[int] | None,
    layout: str | None,
    threads: int | None,
    changed: float | None,
) -> tuple[Tensor, Tensor]:
    """The corrupted images, and the mask of what changed (without entries where ``changed`` is None)."""
    given = _joined(keys, numbers)
    done = corrupt_now(images, spec_from_text(spec), seed % 2**64, given, layout, None, threads, changed)
    mask = images.new_empty(0, dtype=torch.uint8) if changed is None else done.changed
    return done.images, mask


@_corrupt.register_fake
def _(
    images: Tensor,
    spec: str,  # noqa: ARG001 - the operator's arguments
    seed: int,  # noqa: ARG001
    keys: Tensor | None,  # noqa: ARG001
    numbers: list[int] | None,  # noqa: ARG001
    layout: str | None,
    threads: int | None,  # noqa: ARG001
    changed: float | None,
) -> tuple[Tensor, Tensor]:
    pixel_type("images", images)
    shape = [0] if changed is None else _mask_shape(images, layout)
    return torch.empty_like(images), images.new_empty(shape, dtype=torch.uint8)


@torch.library.custom_op("unblot::box_mask", mutates_args=())
def _box_mask(
    images: Tensor, spec: str, seed: int, keys: Tensor | None, numbers: list[int] | None, layout: str | None
) -> Tensor:
    """The mask of the blots that ``unblot::corrupt`` draws into images of this shape."""
    mask: Tensor = _drawn(images, spec_from_text(spec), seed % 2**64, _joined(keys, numbers), layout).mask()
    return mask


@_box_mask.register_fake
def _(
    images: Tensor,
    spec: str,  # noqa: ARG001 - the operator's arguments
    seed: int,  # noqa: ARG001
    keys: Tensor | None,  # noqa: ARG001
    numbers: list[int] | None,  # noqa: ARG001
    layout: str | None,
) -> Tensor:
    return images.new_empty(_mask_shape(images, layout), dtype=torch.uint8)


def _mask_shape(images: Tensor, layout: str | None) -> list[int]:
    layout = check_layout(images.shape, layout, channels_first=True)
    return [length for length, axis in zip(images.shape, layout, strict=True) if axis != "C"]


def _joined(keys: Tensor | None, numbers: list[int] | None) -> Any:
    return keys if numbers is None else [number % 2**64 for number in numbers]


def _drawn(images: Tensor, spec: Spec, seed: int, keys: Any, layout: str | None) -> Corrupted:
    """What :func:`unblot.corrupt` gave for these images, without drawing noise again."""
    layout = check_layout(images.shape, layout, channels_first=True)
    count, channels, height, width = as_nchw(images, layout).shape
    base = getattr(spec, "base", None)
    channels = (
        len(base) if isinstance(base, tuple) else channels
    )  # a mask, say, has one channel; the boxes are the same
    array, nchw = check_keys(keys, count), (count, channels, height, width)
    if 0 in nchw:
        return without_pixels(images, None, nchw, layout, changed=False)
    records, _ = spec.plan.draw(height, width, channels, seed, array)
    return Corrupted(images, records, nchw, layout, covers_of(spec, nchw, seed, array))


# --- vmap: all images of all its entries are one batch ----------------------------------------------------------------


class _Joined(NamedTuple):
    """The images of all entries as one batch."""

    images: Tensor
    keys: Tensor | None
    numbers: list[int] | None
    layout: str
    entries: tuple[int, ...]  # what the first axis of a result is unflattened into


def _join(size: int, dims: tuple[int | None, int | None], images: Tensor, keys: Keys, layout: str | None) -> _Joined:
    images = images.expand(size, *images.shape) if dims[0] is None else images.movedim(dims[0], 0)
    layout = check_layout(images.shape[1:], layout, channels_first=True)
    alone = "N" not in layout
    count, (tensor, numbers) = 1 if alone else images.shape[1], keys
    if tensor is not None:
        each = tensor.reshape(1, -1).expand(size, -1) if dims[1] is None else tensor.movedim(dims[1], 0)
        tensor = each.reshape(-1)
    else:
        numbers = (list(range(count)) if numbers is None else numbers) * size
    entries = (size,) if alone else (size, -1)
    return _Joined(images if alone else images.flatten(0, 1), tensor, numbers, f"N{layout}"[-4:], entries)


@_corrupt.register_vmap
def _(
    info: Any,
    in_dims: Any,
    images: Tensor,
    spec: str,
    seed: int,
    keys: Tensor | None,
    numbers: list[int] | None,
    layout: str | None,
    threads: int | None,
    changed: float | None,
) -> tuple[tuple[Tensor, Tensor], tuple[int, int | None]]:
    if _mixes_images(spec_from_text(spec)):
        raise ValueError(
            'Paste(source="batch") takes patches from other images of the batch, which vmap does not show; use '
            'source="image", or corrupt the batch outside of vmap'
        )
    joined = _join(info.batch_size, (in_dims[0], in_dims[3]), images, (keys, numbers), layout)
    made, mask = _corrupt(joined.images, spec, seed, joined.keys, joined.numbers, joined.layout, threads, changed)
    made = made.unflatten(0, joined.entries)
    return ((made, mask), (0, None)) if changed is None else ((made, mask.unflatten(0, joined.entries)), (0, 0))


@_box_mask.register_vmap
def _(
    info: Any,
    in_dims: Any,
    images: Tensor,
    spec: str,
    seed: int,
    keys: Tensor | None,
    numbers: list[int] | None,
    layout: str | None,
) -> tuple[Tensor, int]:
    joined = _join(info.batch_size, (in_dims[0], in_dims[3]), images, (keys, numbers), layout)
    mask = _box_mask(joined.images, spec, seed, joined.keys, joined.numbers, joined.layout)
    return mask.unflatten(0, joined.entries), 0


def _mixes_images(spec: Spec) -> bool:
    kinds: Any = spec.noise if isinstance(spec, BoxNoise) else ()
    return any(isinstance(kind, Paste) and kind.source == "batch" for kind in kinds)


# --- what a traced function calls -------------------------------------------------------------------------------------


class Traced(Corrupted):
    """What :func:`unblot.corrupt` returns in a traced function: ``images``, ``changed`` and ``mask()`` are steps of it;
    ``boxes``, a list, can be had once the tensors are real.
    """

    def __init__(
        self, images: Tensor, changed: Tensor | None, spec: Spec, seed: int, keys: Any, layout: str | None
    ) -> None:
        self.images = images
        self.changed = changed
        self._spec, self._seed, self._keys, self._layout = spec, seed, keys, layout

    @property
    def boxes(self) -> Any:
        """As :attr:`Corrupted.boxes`.

        Raises:
            ValueError: within the traced function.
        """
        if is_traced(self.images):
            raise ValueError(
                "boxes are a list of numbers, which torch cannot trace; take mask(), or look at boxes outside of the "
                "compiled, exported or transformed function"
            )
        return _drawn(self.images, self._spec, self._seed, self._keys, self._layout).boxes

    def mask(self) -> Any:
        """As :meth:`Corrupted.mask`."""
        return box_mask(self.images, self._spec, self._seed, self._keys, self._layout)

    def __repr__(self) -> str:
        return f"Corrupted(images of shape {tuple(self.images.shape)})"


def corrupt_traced(
    images: Tensor,
    spec: Spec,
    seed: int,
    keys: Any,
    layout: str | None,
    out: Tensor | None,
    threads: int | None,
    changed: float | None,
) -> Corrupted:
    """As :func:`unblot.corrupt`, in a function that is traced."""
    check_spec(spec)
    given = images.detach()
    made, mask = _corrupt(given, spec.text, _as_int64(seed), *_as_keys(keys), layout, threads, changed)
    if out is not None:
        if not isinstance(out, Tensor) or out.dtype != images.dtype or out.shape != images.shape:
            raise ValueError(f"out must be a tensor like images, {images.dtype} of shape {tuple(images.shape)}")
        made = out.copy_(made)
    return Traced(made, None if changed is None else mask, spec, seed, keys, layout)


def box_mask(images: Tensor, spec: Spec, seed: int, keys: Any, layout: str | None) -> Tensor:
    """The mask of :func:`unblot.corrupt` for images of this shape, without corrupting any."""
    mask: Tensor = _box_mask(images.detach(), spec.text, _as_int64(seed), *_as_keys(keys), layout)
    return mask


def _as_int64(number: int) -> int:
    """A number from 0 to 2**64 - 1 as an operator holds it."""
    if not 0 <= number < 2**64:
        raise ValueError(f"seed and keys must be whole numbers from 0 to {2**64 - 1}, got {number}")
    return number - 2**64 if number >= 2**63 else number


def _as_keys(keys: Any) -> Keys:
    if keys is None or isinstance(keys, Tensor):
        return keys, None
    if isinstance(keys, np.ndarray):
        return torch.as_tensor(keys), None
    return None, [_as_int64(number) for number in ([keys] if isinstance(keys, int) else keys)]
