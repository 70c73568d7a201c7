"""The corruption in torch alone, on any device: the path of GPU tensors, and a second opinion on the core for tests and
benchmarks.

The boxes and their parameters are the core's (``Plan.draw``); the noise comes from a ``torch.Generator``, so it has the
same distribution but other bits. Formulas, v in [0, 1]: Poisson shot noise P(peak · v) / peak; then the sum of Gaussian
noise mean + sigma · N(0, 1), Laplace noise mean + scale · L(0, 1) and additive Poisson noise strength · (P(peak) -
peak) / √peak; then salt and pepper; then one clip and one rounding (patent 21-24).

All pixels of all boxes are one long list, so there is no loop over images or boxes. Boxes that may overlap are filled
in passes: the first box of each image, then the second, and so on.
"""

from __future__ import annotations

import hashlib
from typing import Any

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
from unblot.corruption.apply import Corrupted, covers_of, without_pixels
from unblot.corruption.spec import BoxNoise, Spec
from unblot.errors import shown

__all__ = ["corrupt_torch"]


@torch.no_grad()
def corrupt_torch(
    images: Tensor,
    spec: Spec,
    seed: int = 0,
    keys: Any = None,
    layout: str | None = None,
    out: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Corrupted:
    """As :func:`unblot.corrupt`, for tensors on any device.

    Args:
        images: tensor of uint8, float16, bfloat16 or float32.
        spec: :class:`~unblot.BoxNoise` or :class:`~unblot.FullGaussian`.
        seed: 0 to 2**64 - 1; fixes the boxes, and the noise where there is no ``generator``.
        keys: as in :func:`unblot.corrupt`.
        layout: as in :func:`unblot.corrupt`.
        out: as in :func:`unblot.corrupt`.
        generator: source of the noise, on the device of the images. None: one that is seeded from the seed and all the
            keys, so the noise of an image depends on its batch.

    Raises:
        TypeError: as :func:`unblot.corrupt`.
        ValueError: as :func:`unblot.corrupt`; a generator of another device.

    >>> batch = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    >>> corrupt_torch(batch, BoxNoise(scale=0.25, base="white", mode="none")).images.amax(dim=(1, 2, 3)).tolist()
    [255, 255]
    """
    spec = check_spec(spec)
    if not isinstance(images, Tensor):
        raise TypeError(
            f"images must be a torch tensor, got {type(images).__name__}; use unblot.corrupt for NumPy arrays"
        )
    dtype = pixel_type("images", images)
    check_dense("images", images)
    layout = check_layout(images.shape, layout, channels_first=True)
    source = plain(images)
    count, channels, height, width = nchw = tuple(as_nchw(source, layout).shape)
    key_array = check_keys(keys, count)
    in_place = check_out(images, out)
    seed = check_seed(seed)
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(f"generator must be a torch.Generator or None, got {shown(generator)}")
    if 0 in nchw:
        return without_pixels(images, out, nchw, layout, changed=False)
    value_range = check_range(as_nchw(source, layout), dtype, spec)
    if generator is None:
        digest = hashlib.blake2b(seed.to_bytes(8, "little") + key_array.tobytes(), digest_size=8).digest()
        generator = torch.Generator(images.device).manual_seed(int.from_bytes(digest, "little"))
    elif generator.device.type != images.device.type:
        raise ValueError(f"generator must be on the device of images, {images.device}, got {generator.device}")
    records, reals = spec.plan.draw(height, width, channels, seed, key_array)

    covers = covers_of(spec, nchw, seed, key_array)
    area = records[:, 3] * records[:, 4]
    cover = np.ones(area.sum(), np.float32) if covers is None else covers()
    clean = as_nchw(source.clone() if in_place and (records[:, 5] & 16).any() else source, layout).permute(0, 2, 3, 1)

    target = source.clone() if out is None else out
    if out is not None and not in_place:
        out.copy_(source)
    pixels = as_nchw(target, layout).permute(0, 2, 3, 1)
    apart = not isinstance(spec, BoxNoise) or spec.overlap == "forbid"
    rank = np.zeros(len(records), np.int32) if apart else records[:, 7]
    for turn in range(rank.max(initial=-1) + 1):
        now = rank == turn
        part = torch.from_numpy(cover[np.repeat(now, area)]).to(pixels.device)
        _fill(pixels, clean, records[now], reals[now], part, value_range, generator)
    return Corrupted(target, records, nchw, layout, covers)


def _fill(
    pixels: Tensor,
    clean: Tensor,
    records: NDArray[np.int32],
    reals: NDArray[np.float32],
    cover: Tensor,
    value_range: tuple[float, float],
    generator: torch.Generator,
) -> None:
    """Fill disjoint boxes of ``pixels`` (N, H, W, C); records and reals as ``Plan.draw`` gives them, cover as
    ``Plan.covers`` does. Patches are taken from the uncorrupted images ``clean``.
    """
    device, channels = pixels.device, pixels.shape[3]
    low, span = value_range[0], value_range[1] - value_range[0]
    boxes = torch.from_numpy(records).to(device, torch.int64)
    area = boxes[:, 3] * boxes[:, 4]
    total = int((records[:, 3].astype(np.int64) * records[:, 4]).sum())
    owner = torch.repeat_interleave(area, output_size=total)  # for each pixel its box
    place = torch.arange(total, device=device) - (area.cumsum(0) - area)[owner]
    image, top, left, height, width, kinds, flags, *_, source, source_y, source_x, turned = boxes[owner].unbind(1)
    where = (image, top + place // width, left + place % width)
    own = torch.from_numpy(reals).to(device)[owner]

    old = pixels[where]  # (pixels, C), as all that follows
    v = (old.float() - low) / span
    below = v
    base = own[:, 8:-3]
    flat = ~base.isnan()
    v = torch.where(flat, base, v)
    changed = flat.clone()

    def parameters(rows: Tensor, first: int) -> tuple[Tensor, Tensor]:
        return own[rows, first, None], own[rows, first + 1, None]

    def poisson(rate: Tensor) -> Tensor:
        return torch.poisson(rate, generator)

    def exponential(rows: Tensor) -> Tensor:
        return torch.empty(len(rows), channels, device=device).exponential_(generator=generator)

    additive = flags & 1 == 1
    shot = _rows((kinds & 4 == 4) & ~additive)
    peak, _ = parameters(shot, 6)
    seen = v[shot].clamp(0, 1)
    v[shot] = torch.where(seen.isnan(), seen, poisson((peak * seen).nan_to_num(0.0)) / peak)

    gaussian = _rows(kinds & 1 == 1)
    mean, sigma = parameters(gaussian, 0)
    v[gaussian] += mean + sigma * torch.randn(len(gaussian), channels, generator=generator, device=device)

    laplace = _rows(kinds & 8 == 8)
    mean, scale = parameters(laplace, 2)
    v[laplace] += mean + scale * (exponential(laplace) - exponential(laplace))  # their difference is L(0, 1)

    grain = _rows((kinds & 4 == 4) & additive)
    peak, strength = parameters(grain, 6)
    v[grain] += strength * (poisson(peak.repeat(1, channels)) - peak) / peak.sqrt()
    changed[kinds & (1 | 4 | 8) != 0] = True

    hit = _rows(kinds & 2 == 2)
    salt, pepper = parameters(hit, 4)
    u = torch.rand(len(hit), channels, generator=generator, device=device)
    u = torch.where((flags[hit] & 2 == 2)[:, None], u, u[:, :1])
    v[hit] = torch.where(u < salt, 1.0, torch.where(u < salt + pepper, 0.0, v[hit]))
    changed[hit] |= u < salt + pepper

    pasted = _rows(kinds & 16 == 16)
    y, x = (place // width)[pasted], (place % width)[pasted]
    y = torch.where(turned[pasted] & 1 == 1, height[pasted] - 1 - y, y) + source_y[pasted]
    x = torch.where(turned[pasted] & 2 == 2, width[pasted] - 1 - x, x) + source_x[pasted]
    gain, offset, opacity = own[pasted, -3:, None].unbind(1)
    v[pasted] = gain * ((clean[source[pasted], y, x].float() - low) / span) + offset
    changed[pasted] = True
    share = cover[:, None].clone()
    share[pasted] *= opacity
    changed &= share > 0

    v = v.clamp(0, 1)
    new = torch.where(share < 1, share * v + (1 - share) * below, v).clamp(0, 1) * span + low
    if pixels.dtype == torch.uint8:
        new = new.round()  # ties to even, as the core rounds
    # What nothing changed keeps its bits: on the image's own pixels, those that salt and pepper missed.
    pixels[where] = torch.where(changed, new.to(pixels.dtype), old)


def _rows(condition: Tensor) -> Tensor:
    return condition.nonzero().squeeze(1)
