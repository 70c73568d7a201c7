"""Defects for judging: where they lie, that they repeat, that they spare the rest."""

import pytest
import torch
from torch import Tensor

from unblot.corruption.unlike import MECHANISMS


@pytest.fixture
def images() -> Tensor:
    torch.manual_seed(0)
    return torch.randint(40, 216, (4, 3, 64, 64), dtype=torch.uint8)


@pytest.mark.parametrize("name", MECHANISMS)
def test_a_spot_of_each_image_changes_and_the_rest_does_not(name: str, images: Tensor) -> None:
    made = MECHANISMS[name](images, [0, 1, 2, 3], 0)
    assert made.shape == images.shape
    assert made.dtype == torch.uint8
    changed = (made != images).any(1).float().mean((1, 2))
    assert (changed > 0.001).all()
    assert (changed < 0.4).all()


@pytest.mark.parametrize("name", MECHANISMS)
def test_a_defect_belongs_to_its_key_and_seed(name: str, images: Tensor) -> None:
    make = MECHANISMS[name]
    whole = make(images, [7, 8, 9, 10], 1)
    assert torch.equal(make(images[2:3], [9], 1)[0], whole[2])
    assert not torch.equal(make(images, [7, 8, 9, 10], 2), whole)
    same = images[:1].expand(2, -1, -1, -1)
    first, second = make(same, [1, 2], 1)
    assert not torch.equal(first, second)


def test_mechanisms_keep_to_their_own_way(images: Tensor) -> None:
    flat = torch.full_like(images, 128)
    keys = [0, 1, 2, 3]
    assert torch.equal(MECHANISMS["blur"](flat, keys, 0), flat), "nothing is out of focus on a flat image"
    assert torch.equal(MECHANISMS["warp"](flat, keys, 0), flat), "nothing bends on a flat image"
    assert not torch.equal(MECHANISMS["shade"](flat, keys, 0), flat)
    rough = MECHANISMS["blur"](images, keys, 0).float()
    assert (rough.std((1, 2, 3)) < images.float().std((1, 2, 3))).all()


@pytest.mark.parametrize("name", MECHANISMS)
def test_defects_lie_where_there_is_detail(name: str) -> None:
    torch.manual_seed(0)
    half = torch.full((24, 1, 64, 64), 128, dtype=torch.uint8)
    half[..., 32:] = torch.randint(0, 256, (24, 1, 64, 32), dtype=torch.uint8)
    change = (MECHANISMS[name](half, range(24), 0).float() - half.float()).abs()
    seen = change.flatten(1).amax(1) > 8
    assert seen.float().mean() > 0.8
