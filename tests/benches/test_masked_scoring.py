"""Masked scoring hides every pixel equally often, and its residuals are residuals."""

from __future__ import annotations

import pytest
import torch
from benches.masked_scoring import RESIDUALS, patterns, unseen
from benches.pooling import smoothed_max
from torch import Tensor


@pytest.mark.parametrize(("size", "box", "shift"), [(32, 4, (0, 0)), (32, 4, (2, 2)), (28, 3, (1, 1))])
def test_the_patterns_tile_the_image(size: int, box: int, shift: tuple[int, int]) -> None:
    hidden = patterns(size, box, shift)
    assert torch.equal(hidden.sum(0), torch.ones(1, size, size, dtype=torch.int64))
    assert hidden.float().mean((1, 2, 3)).min() > 0.15


def test_no_pixel_is_restored_from_itself() -> None:
    images = torch.rand(3, 1, 32, 32) * 2 - 1
    seen: list[Tensor] = []

    def restore(x: Tensor) -> Tensor:
        seen.append(x.clone())
        return x

    other = unseen(restore, images, box=4, passes=2)
    times = torch.stack([x != images for x in seen]).sum(0)
    assert len(seen) == 8
    assert (times == 2).all(), "every pixel is hidden once a pass"
    assert bool((other != images).all())
    assert torch.allclose(unseen(lambda x: torch.full_like(x, 0.5), images, box=4), torch.tensor(0.5))


@pytest.mark.parametrize("name", RESIDUALS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_residual_is_nothing_where_nothing_differs_and_stands_where_it_does(name: str, channels: int) -> None:
    images = torch.nn.functional.avg_pool2d(torch.rand(4, channels, 36, 36) * 2 - 1, 5, 1)
    other = images.clone()
    other[:, :, 8:16, 8:16] = other[:, :, 8:16, 8:16].flip(2)
    assert RESIDUALS[name](images, images).abs().max() < 1e-5
    maps = RESIDUALS[name](images, other)
    assert maps.shape == (4, 1, 32, 32)
    inside, outside = maps[..., 8:16, 8:16].mean(), maps[..., 24:, 24:].mean()
    assert inside > 5 * outside
    assert (smoothed_max(maps) > maps.mean((1, 2, 3))).all()
