"""``BoxNoiseCollate``: corruption as the last step of a ``DataLoader``'s batch.

Images are stacked first and corrupted together. With ``index`` the noise of an image depends on its index, the seed and
the epoch alone, so neither shuffling nor the number of workers changes it. Without it the keys come from torch's
default generator, which ``torch.manual_seed`` (and, in workers, the ``DataLoader``) governs.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from copy import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate, default_convert

from unblot.corruption._arrays import check_layout, check_seed, check_spec, infer_layout, share_of_range, whole_number
from unblot.corruption.apply import corrupt
from unblot.corruption.spec import Spec
from unblot.errors import shown

__all__ = ["BoxNoiseCollate"]

_OUTPUTS = ("replace", "pair", "dict")
_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 divided by the golden ratio: epochs fall far apart


class BoxNoiseCollate:
    """A ``collate_fn`` that stacks samples and corrupts their images.

    A sample is an image, or a tuple, list, named tuple or mapping that holds one: a torch tensor (CHW or HW), a NumPy
    array (CHW, HWC or HW) or a ``tv_tensors.Image``, all of one shape. Everything else in it is collated by torch's
    ``default_collate``. With N samples, images become tensors of shape (N, ...) and masks uint8 of shape (N, H, W), 1
    in a blot. Classes of mappings and of tensors are kept.

    A ``DataLoader`` with ``batch_size=None`` hands over one sample at a time: it is corrupted by itself, without the
    axis N; what the data set made into a batch (images of four axes) is corrupted as one. A sample that is a list of
    tensors alone looks like a batch: let the data set return a tuple.

    ============  ==================================  ==========================================================
    ``output``    tuple, list or bare image           mapping or named tuple
    ============  ==================================  ==========================================================
    ``replace``   same, the image corrupted; the      mapping: same, the image corrupted; the mask is ``"mask"``.
                  mask at its end                     Named tuple: same; with a mask a plain tuple, mask at its end
    ``pair``      ``(noisy, clean[, mask], *rest)``   ``(noisy, clean[, mask], *rest)``, rest in the sample's order
    ``dict``      ``{"noisy", "clean"[, "mask"],      ``{"noisy", "clean"[, "mask"]}`` and the other entries under their
                  "rest": the others}``               own names
    ============  ==================================  ==========================================================

    Args:
        spec: :class:`~unblot.BoxNoise`, :class:`~unblot.FullGaussian`, or None: nothing is corrupted (noisy is clean,
            mask 0).
        output: "replace", "pair" or "dict".
        image: where the image stands: position in a tuple or list, key of a mapping, field of a named tuple.
        index: where the sample's index (a whole number, at least 0) stands; None draws keys from torch's default
            generator.
        mask: whether to return a mask: "boxes" (or True), 1 inside the blots, or "changed", 1 where a pixel really
            changed.
        changed: by how much, for the latter: the share of the value range that a channel must change by more than.
        seed: 0 to 2**64 - 1.
        threads: as in :func:`unblot.corrupt`; None is 1 in a worker.

    Raises:
        TypeError: an argument of a wrong type; while collating, samples that hold no image where ``image`` says.
        ValueError: an unknown output; while collating, a position or key that is missing, images of different shapes,
            and what :func:`unblot.corrupt` raises.

    >>> from unblot import BoxNoise
    >>> collate = BoxNoiseCollate(BoxNoise(), output="pair", index=1)
    >>> noisy, clean, index = collate([(torch.zeros(1, 8, 8), i) for i in range(4)])
    >>> noisy.shape, index
    (torch.Size([4, 1, 8, 8]), tensor([0, 1, 2, 3]))
    """

    def __init__(
        self,
        spec: Spec | None,
        output: str = "replace",
        *,
        image: int | str = 0,
        index: int | str | None = None,
        mask: bool | str = False,
        changed: float = 1 / 255,
        seed: int = 0,
        threads: int | None = None,
    ) -> None:
        if not isinstance(output, str) or output not in _OUTPUTS:
            raise ValueError(f"output must be one of {', '.join(map(repr, _OUTPUTS))}, got {shown(output)}")
        for name, place in (("image", image), ("index", index)):
            if isinstance(place, bool) or not (isinstance(place, int | str) or (place is None and name == "index")):
                raise TypeError(f"{name} must be a position (int) or a key (str), got {shown(place)}")
        if image == index:
            raise ValueError(f"image and index cannot both stand at {image!r}")
        if not isinstance(mask, bool) and not (isinstance(mask, str) and mask in ("boxes", "changed")):
            raise TypeError(f"mask must be True, False, 'boxes' or 'changed', got {shown(mask)}")
        self.spec = None if spec is None else check_spec(spec)
        self.output = output
        self.image = image
        self.index = index
        self.mask = mask
        self.changed = share_of_range("changed", changed)
        self.seed = check_seed(seed)
        self.threads = None if threads is None else whole_number("threads", threads, 0, 1024)
        # Shared memory, so that an epoch that is set later reaches workers that run already.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._epoch.share_memory_()  # a plain pickle or a deep copy comes without; one sent to a worker shares already

    def set_epoch(self, epoch: int) -> None:
        """Give the samples of this epoch (at least 0) noise of their own; needs ``index``. Call it before iterating."""
        self._epoch.fill_(whole_number("epoch", epoch, 0, 2**63 - 1))

    def __repr__(self) -> str:
        names = ("spec", "output", "image", "index", "mask", "changed", "seed", "threads")
        return f"BoxNoiseCollate({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    def __call__(self, samples: Sequence[Any]) -> Any:
        """Collate a list of samples; the class says what comes out."""
        if self._is_sample(samples):
            return self._single(samples)
        if len(samples) == 0:
            raise ValueError("samples is an empty list; a batch has at least one sample")
        first = samples[0]
        names = _names(first)
        columns = _columns(samples, names)
        image_at = None if names is None else _find("image", self.image, first, names)
        keys = None if self.index is None else _indices(self.index, first, names, columns)
        column = columns[0 if image_at is None else image_at]
        images, layout = _as_images(column)
        clean = default_collate(images)
        made = self._corrupt(clean, layout, keys)
        rest = [default_collate(column) for place, column in enumerate(columns) if place != (image_at or 0)]
        return self._arrange(first, names, image_at, _of_type(column[0], *made), rest)

    def _is_sample(self, given: Any) -> bool:
        """Whether this is one sample, as a ``DataLoader`` with ``batch_size=None`` hands it over, and no list of them.

        Batches are lists. A list is a sample where an image stands at its place and something else than images beside.
        """
        if type(given) is not list:
            return not isinstance(given, list) and (_is_image(given) or _names(given) is not None)
        place = self.image
        at_place = isinstance(place, int) and -len(given) <= place < len(given) and _is_image(given[place])
        return at_place and not all(_is_image(entry) for entry in given)

    def _single(self, sample: Any) -> Any:
        """One sample, or a batch that the data set made: corrupted, and else as ``default_convert`` leaves it."""
        names = _names(sample)
        columns = [sample] if names is None else [_entry(sample, name) for name in names]
        image_at = None if names is None else _find("image", self.image, sample, names)
        image = columns[image_at or 0]
        batch = _is_image(image) and image.ndim == 4
        if batch and len(image) == 0:
            layout = check_layout(image.shape, None, channels_first=isinstance(image, Tensor))
            clean = torch.as_tensor(image).clone()
        else:
            images, layout = _as_images(list(image) if batch else [image])
            clean = default_collate(images)
        lists = [list(column) if batch and _is_image(column) and column.ndim else [column] for column in columns]
        keys = None if self.index is None else _indices(self.index, sample, names, lists)
        noisy, clean, mask = self._corrupt(clean, layout, keys)
        if not batch:
            noisy, clean, mask = noisy[0], clean[0], None if mask is None else mask[0]
        rest = [default_convert(column) for place, column in enumerate(columns) if place != (image_at or 0)]  # type: ignore[no-untyped-call]
        return self._arrange(sample, names, image_at, _of_type(image, noisy, clean, mask), rest)

    def _corrupt(
        self, clean: Tensor, layout: str, keys: NDArray[np.uint64] | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The corrupted images, those given, and the mask."""
        if self.spec is None:
            height, width = clean.shape[1:3] if layout == "NHWC" else clean.shape[-2:]
            return clean, clean, torch.zeros(len(clean), height, width, dtype=torch.uint8) if self.mask else None
        if keys is None:
            chosen: Any = torch.randint(2**63 - 1, (len(clean),))
            seed = self.seed  # fresh keys tell the epochs apart already
        else:
            chosen, seed = keys, (self.seed + int(self._epoch) * _GOLDEN) % 2**64
        out = clean if self.output == "replace" else None
        exact = self.mask == "changed"
        done = corrupt(clean, self.spec, seed, chosen, layout, out, self.threads, self.changed if exact else None)
        return done.images, clean, done.changed if exact else done.mask() if self.mask else None

    def _arrange(
        self,
        first: Any,
        names: list[Any] | None,
        image_at: int | None,
        made: tuple[Tensor, Tensor, Tensor | None],
        rest: list[Any],
    ) -> Any:
        """The batch in the form that ``output`` asks for."""
        noisy, clean, mask = made
        masks = [] if mask is None else [mask]
        if self.output == "pair":
            return (noisy, clean, *masks, *rest)
        named = isinstance(first, Mapping) or hasattr(first, "_fields")
        other = [] if names is None else [name for place, name in enumerate(names) if place != image_at]
        if self.output == "dict":
            batch = {"noisy": noisy, "clean": clean} | ({"mask": mask} if masks else {})
            extra = dict(zip(other, rest, strict=True)) if named else {"rest": rest} if rest else {}
            return batch | _unless_taken(extra, batch)
        if names is None or image_at is None:
            return (noisy, *masks) if masks else noisy
        entries = [*rest[:image_at], noisy, *rest[image_at:]]
        if isinstance(first, Mapping):
            batch = dict(zip(names, entries, strict=True))
            return _as_mapping(first, batch | _unless_taken({"mask": mask}, batch) if masks else batch)
        if isinstance(first, list):
            return [*entries, *masks]
        if named and not masks:
            return type(first)(*entries)
        return (*entries, *masks)


def _is_image(value: object) -> bool:
    return isinstance(value, Tensor | np.ndarray)


def _of_type(image: Any, noisy: Tensor, clean: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """The batch in the class of its images, where that is one of torch's tensors with more to it."""
    kind = type(image)
    if isinstance(image, Tensor) and kind is not Tensor and kind is not torch.nn.Parameter:
        noisy, clean = noisy.as_subclass(kind), clean.as_subclass(kind)
    return noisy, clean, mask


def _as_mapping(like: Mapping[Any, Any], entries: dict[Any, Any]) -> Any:
    """The entries in a mapping of the class of ``like``; a plain dict where that class cannot be filled."""
    if type(like) is dict:
        return entries
    try:
        if isinstance(like, MutableMapping):
            made = copy(like)  # keeps what the class has beside its entries
            for name in [name for name in made if name not in entries]:
                del made[name]
            made.update(entries)
            return made
        return type(like)(entries)  # type: ignore[call-arg]
    except TypeError:
        return entries


def _names(sample: Any) -> list[Any] | None:
    """Keys of a mapping, fields of a named tuple, positions of a tuple or list; None for a bare image."""
    if isinstance(sample, Mapping):
        return list(sample)
    if isinstance(sample, tuple | list):
        return list(getattr(sample, "_fields", range(len(sample))))
    return None


def _entry(sample: Any, name: Any) -> Any:
    if isinstance(sample, Mapping) or isinstance(name, int):
        return sample[name]
    return getattr(sample, name)


def _columns(samples: Sequence[Any], names: list[Any] | None) -> list[list[Any]]:
    """What the samples hold under each name; for bare images one column of them all."""
    first = samples[0]
    kind = type(first)
    # What nearly every data set returns, and at once.
    if kind in (tuple, list) and all(type(sample) is kind and len(sample) == len(first) for sample in samples):
        return [list(column) for column in zip(*samples, strict=True)]
    for sample in samples:
        if set(_names(sample) or ()) != set(names or ()):
            raise ValueError(
                f"samples of one batch must hold the same entries, got {names} and {_names(sample)} "
                f"({kind.__name__} and {type(sample).__name__})"
            )
    if names is None:
        return [list(samples)]
    return [[_entry(sample, name) for sample in samples] for name in names]


def _find(parameter: str, place: Any, sample: Any, names: list[Any]) -> int:
    """Position of an entry of the sample among its names."""
    if place in names:
        return names.index(place)
    if not isinstance(sample, Mapping) and isinstance(place, int) and -len(names) <= place < len(names):
        return place % len(names)
    kind = type(sample).__name__
    raise ValueError(
        f"{parameter}={place!r} is not in the samples, each a {kind} with {names}; pass {parameter}= one of these"
    )


def _indices(place: Any, first: Any, names: list[Any] | None, columns: list[list[Any]]) -> NDArray[np.uint64]:
    if names is None:
        raise ValueError(
            f"index={place!r}, but the samples are bare images ({type(first).__name__}); "
            "let the data set return (image, index), or pass index=None"
        )
    top = 2**64 - 1
    column = columns[_find("index", place, first, names)]
    keys = [i if type(i) is int and 0 <= i <= top else whole_number("index of a sample", i, 0, top) for i in column]
    return np.array(keys, np.uint64)


def _as_images(column: list[Any]) -> tuple[list[Tensor], str]:
    """The images as plain tensors, and the layout of their batch."""
    first = column[0]
    kind, shape, dtype = type(first), getattr(first, "shape", None), getattr(first, "dtype", None)
    images: list[Tensor] = []
    for image in column:
        bare = type(image) is Tensor  # as most are, which needs no look at more
        if not bare and not isinstance(image, Tensor | np.ndarray):
            raise TypeError(
                f"an image must be a torch tensor or a NumPy array, got {type(image).__name__}; say where images stand "
                "with image=, and turn other images into tensors in the data set, for example with v2.ToImage()"
            )
        if image.shape != shape or type(image) is not kind or image.dtype != dtype:
            raise ValueError(
                f"images of one batch must be alike, got {_describe(first)} and {_describe(image)}; "
                "resize and convert them in the data set first"
            )
        if bare:
            images.append(image.detach() if image.requires_grad else image)
        elif isinstance(image, Tensor):
            images.append(image.detach().as_subclass(Tensor))
        else:
            images.append(torch.from_numpy(image.copy()))
    if isinstance(first, Tensor):
        layout = {2: "HW", 3: "CHW"}.get(first.ndim)
        if layout == "CHW" and infer_layout(first.shape, channels_first=True) is None and first.shape[-1] in (1, 3, 4):
            layout = None
    else:
        layout = infer_layout(first.shape, channels_first=False) if first.ndim in (2, 3) else None
    if layout is None:
        raise ValueError(
            f"an image of shape {tuple(first.shape)} has no clear layout; give tensors of shape (C, H, W) or (H, W), "
            "for example torch.from_numpy(image).permute(2, 0, 1)"
        )
    return images, "N" + layout


def _describe(image: Tensor | np.ndarray[Any, Any]) -> str:
    return f"{type(image).__name__} {tuple(image.shape)} {image.dtype}"


def _unless_taken(new: dict[Any, Any], old: dict[Any, Any]) -> dict[Any, Any]:
    for name in new:
        if name in old:
            raise ValueError(f"the samples have an entry {name!r} of their own; rename it, or choose another output")
    return new
