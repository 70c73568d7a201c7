"""Networks with their BatchNorm folded away give what they gave; the backbone runs one and never an old one."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from unblot.backbones.folding import folded
from unblot.backbones.frozen import Backbone


def _settled(network: nn.Module) -> nn.Module:
    """In eval mode, with statistics that are not those of a new network."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -1, 1)
    return network.eval()


def _norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def test_it_gives_the_same_without_batchnorm() -> None:
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    network = _settled(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), inner))
    images = torch.randn(2, 3, 16, 16)
    lean = folded(network, torch.randn(1, 3, 16, 16))
    assert _norms(lean) == 0
    assert _norms(network) == 2
    torch.testing.assert_close(lean(images), network(images), rtol=1e-4, atol=1e-4)


class _Backwards(nn.Module):
    """Its children were not made in the order in which they are used."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(self.norm(images).relu())  # type: ignore[no-any-return]


def test_what_is_not_in_order_is_left_as_it_is() -> None:
    torch.manual_seed(0)
    network = _settled(_Backwards())
    images = torch.randn(2, 4, 8, 8)
    lean = folded(network, images)
    assert _norms(lean) == 1
    torch.testing.assert_close(lean(images), network(images))


@pytest.fixture
def backbone() -> Backbone:
    pytest.importorskip("timm")
    torch.manual_seed(0)
    made = Backbone(strides=(8, 32))
    _settled(made.network)
    return made


def test_the_backbone_runs_a_folded_network(backbone: Backbone) -> None:
    images = torch.rand(5, 3, 64, 64) * 2 - 1
    plain = backbone.network(backbone.standardised(images))
    with torch.no_grad():
        made = backbone(images)
    assert _norms(backbone.network) > 0
    assert [m.shape for m in made] == [p.shape for p in plain]
    for one, other in zip(made, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3 * other.abs().max().item())


def test_the_folded_network_is_in_no_checkpoint_and_never_an_old_one(backbone: Backbone) -> None:
    images, before = torch.rand(1, 3, 64, 64), set(backbone.state_dict())
    one = backbone(images)[0]
    assert set(backbone.state_dict()) == before
    other = Backbone(strides=(8, 32))
    _settled(other.network)
    backbone.load_state_dict(other.state_dict())
    assert not torch.equal(backbone(images)[0], one)
    assert torch.equal(backbone(images)[0], other(images)[0])
    copied = deepcopy(backbone)
    copied.load_state_dict(Backbone(strides=(8, 32)).state_dict())
    assert torch.equal(backbone(images)[0], other(images)[0])
    assert not torch.equal(copied(images)[0], other(images)[0])
    assert backbone.to(torch.float64)(images.double())[0].dtype == torch.float64


def test_gradients_go_through_the_backbone_to_the_images(backbone: Backbone) -> None:
    images = torch.rand(1, 3, 64, 64, requires_grad=True)
    backbone(images)[0].sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
