"""``RandomBoxNoise``: the corruption as a torchvision v2 transform."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from unblot.corruption._arrays import check_spec
from unblot.corruption.apply import corrupt
from unblot.corruption.backends.torch_operator import box_mask, is_traced
from unblot.corruption.spec import Spec
from unblot.errors import shown

__all__ = ["RandomBoxNoise"]


class RandomBoxNoise(v2.Transform):  # type: ignore[misc]
    """Draw boxes of noise into the images of a sample.

    Images are ``tv_tensors.Image`` and ``Video``, plain tensors (..., C, H, W) and PIL images of mode L or RGB. All
    images of one sample, and all frames of a video, get the same boxes and noise; the probability that a sample is
    corrupted at all is ``spec.p``. What comes out is of the type that went in; the caller's pixels are never changed.
    The draw comes from torch's default generator.

    Args:
        spec: :class:`~unblot.BoxNoise` or :class:`~unblot.FullGaussian`.
        mask: what becomes of a ``tv_tensors.Mask``: "keep" leaves it, "boxes" adds the blots to it (1 where it was not
            0 or a blot lies, else 0; same dtype).

    Raises:
        TypeError: ``spec`` is no corruption; while transforming, images of a type or mode that is not accepted.
        ValueError: another ``mask``; while transforming, what :func:`unblot.corrupt` raises.

    >>> from unblot import BoxNoise
    >>> noisy = RandomBoxNoise(BoxNoise(scale=0.25))(torch.zeros(3, 16, 16, dtype=torch.uint8))
    >>> noisy.shape, bool(noisy.any())
    (torch.Size([3, 16, 16]), True)
    """

    def __init__(self, spec: Spec, mask: str = "keep") -> None:
        super().__init__()
        if not isinstance(mask, str) or mask not in ("keep", "boxes"):
            raise ValueError(f"mask must be 'keep' or 'boxes', got {shown(mask)}")
        self.spec = check_spec(spec)
        self.mask = mask

    def extra_repr(self) -> str:
        """What stands between the parentheses of ``repr``."""
        return f"{self.spec!r}, mask={self.mask!r}"

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:  # noqa: ARG002 - the draw does not depend on them
        """Draw the key of the sample, an int64 tensor without axes."""
        return {"key": torch.randint(2**63 - 1, ())}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Corrupt one input of the sample, or pass it through."""
        key = params["key"]
        if isinstance(inpt, Image.Image):
            if inpt.mode not in ("L", "RGB"):
                raise TypeError(
                    f"a PIL image must have mode L or RGB, got {inpt.mode}; convert it with .convert('RGB')"
                )
            layout = "HW" if inpt.mode == "L" else "HWC"
            noisy = Image.fromarray(corrupt(np.asarray(inpt), self.spec, keys=key, layout=layout).images)
            noisy.info = dict(inpt.info)  # resolution, colour profile, ...
            return noisy
        if isinstance(inpt, tv_tensors.Mask):
            return tv_tensors.wrap(self._join(inpt, key), like=inpt) if self.mask == "boxes" else inpt
        if isinstance(inpt, tv_tensors.Image | tv_tensors.Video):
            return tv_tensors.wrap(self._blot(inpt, key), like=inpt)
        if isinstance(inpt, tv_tensors.TVTensor):
            return inpt
        blotted = self._blot(inpt, key)
        return blotted if type(inpt) is Tensor or is_traced(inpt) else blotted.as_subclass(type(inpt))

    def _blot(self, images: Tensor, key: Tensor) -> Tensor:
        if images.ndim < 2:
            raise ValueError(
                f"images must have shape (..., C, H, W) or (H, W), got {tuple(images.shape)}; give a sample's other "
                "tensors as numbers or arrays"
            )
        whole = images[None] if images.ndim == 2 else images
        flat = whole.reshape(math.prod(whole.shape[:-3]), *whole.shape[-3:])
        noisy: Tensor = corrupt(flat, self.spec, keys=key.expand(len(flat)), layout="NCHW").images
        return noisy.reshape(images.shape)

    def _join(self, mask: Tensor, key: Tensor) -> Tensor:
        boxes = box_mask(mask.as_subclass(Tensor).reshape(-1, *mask.shape[-2:])[0], self.spec, 0, key, "HW")
        return torch.logical_or(mask, boxes).to(mask.dtype)
