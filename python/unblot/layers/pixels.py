"""Between the bytes of image files and the [-1, 1] that every detector takes (the range of tanh)."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["to_signed", "to_uint8"]


def to_signed(images: Tensor) -> Tensor:
    """Bytes to [-1, 1]: x / 127.5 - 1.

    Args:
        images: uint8, any shape.

    Returns:
        float32, same shape and device.

    Raises:
        TypeError: ``images`` is not uint8; scaling what is scaled already would go unnoticed.

    Example:
        >>> to_signed(torch.tensor([0, 255], dtype=torch.uint8))
        tensor([-1.,  1.])
    """
    if images.dtype != torch.uint8:
        raise TypeError(f"to_signed takes uint8 images in 0..255, got {images.dtype}; pass the bytes as they were read")
    return images.float() / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """[-1, 1] to bytes, rounded and clipped; the inverse of :func:`to_signed`.

    Args:
        images: floating point, any shape.

    Returns:
        uint8, same shape and device.

    Raises:
        TypeError: ``images`` is not floating point.
    """
    if not images.is_floating_point():
        raise TypeError(f"to_uint8 takes floating point images in [-1, 1], got {images.dtype}")
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
