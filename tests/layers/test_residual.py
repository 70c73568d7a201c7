"""The subspace of normal patches: what it holds, what it leaves, and what left-out groups would have found."""

import pytest
import torch
from torch import Tensor

from unblot.layers.residual import FOLDS, Residual, principal


def patches(n: int, seed: int, channels: int = 6, rank: int = 2) -> Tensor:
    """Features of so many images that lie in a plane of so many dimensions, but for a little."""
    generator = torch.Generator().manual_seed(seed)
    plane = torch.randn(rank, channels, generator=torch.Generator().manual_seed(9))
    inside = torch.randn(n, 4, 4, rank, generator=generator) @ plane
    return (inside + 0.01 * torch.randn(inside.shape, generator=generator)).permute(0, 3, 1, 2)


def made(features: Tensor, groups: Tensor, variance: float = 0.99) -> Residual:
    residual = Residual(features.shape[1], variance=variance)
    for part, own in zip(features.split(3), groups.split(3), strict=True):
        residual.add(part, own)
    residual.finish()
    return residual


def test_it_finds_the_plane_and_what_leaves_it() -> None:
    residual = made(patches(5, 0), torch.arange(5))
    assert residual.axes.shape == (6, 2)
    normal = residual(patches(3, 1))
    assert normal.shape == (3, 1, 4, 4)
    assert normal.square().mean().sqrt() == pytest.approx(1.0, abs=0.2)  # in units of what it leaves of normal ones
    assert residual(patches(3, 1) + 1.0).min() > 5 * normal.max()


def test_a_left_out_group_is_seen_as_if_it_had_not_been_learnt_from() -> None:
    features, groups = patches(6, 0, rank=4), torch.tensor([0, 0, 1, 2, 3, 3])
    residual = made(features, groups)
    found = residual(features, groups)
    for group in range(4):
        own = groups == group
        apart = made(features[~own], groups[~own])
        torch.testing.assert_close(found[own], apart(features[own]))
    assert not torch.equal(found, residual(features))


def test_groups_beyond_the_folds_share_one_and_new_ones_see_all() -> None:
    features, groups = patches(FOLDS + 2, 0), torch.arange(FOLDS + 2)
    residual = made(features, groups)
    kept = groups % FOLDS != 1
    torch.testing.assert_close(residual(features[[1]], groups[[1]]), made(features[kept], groups[kept])(features[[1]]))
    new = patches(1, 5)
    torch.testing.assert_close(residual(new, torch.tensor([FOLDS + 2])), residual(new))


def test_what_is_forgotten_is_gone_and_one_image_is_enough() -> None:
    residual = made(patches(1, 0), torch.zeros(1, dtype=torch.int64))
    assert residual.groups.tolist() == [0]
    torch.testing.assert_close(residual(patches(1, 0), torch.zeros(1, dtype=torch.int64)), residual(patches(1, 0)))
    residual.forget()
    assert residual.groups.tolist() == []
    assert residual(patches(2, 1)).isfinite().all()


def test_images_without_any_variance_are_borne() -> None:
    residual = made(torch.ones(2, 3, 4, 4), torch.arange(2))
    assert residual(torch.ones(1, 3, 4, 4)).isfinite().all()
    assert residual(torch.zeros(1, 3, 4, 4)).min() > 1


@pytest.mark.parametrize(("share", "count"), [(0.5, 1), (0.95, 2), (0.999, 3)])
def test_the_fewest_axes_that_hold_the_share(share: float, count: int) -> None:
    axes, left = principal(torch.diag(torch.tensor([90.0, 1.0, 9.0], dtype=torch.float64)), share)
    assert axes.shape == (3, count)
    assert float(left) > 0
    assert axes[0, 0].abs() == 1  # the direction of most variance comes first
