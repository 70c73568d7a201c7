"""Our EfficientNet-Lite0 is timm's: the same names, shapes and features."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from unblot.backbones.lite import CHANNELS, LITE0, MEAN, STD, STRIDES, Lite0

timm = pytest.importorskip("timm")


@pytest.mark.parametrize("strides", [(4, 8, 16), (8, 16, 32), (2, 32), (16,)])
@pytest.mark.parametrize("shape", [(64, 64), (50, 77)])
def test_features_are_timms(strides: tuple[int, ...], shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    theirs = timm.create_model(LITE0, pretrained=False, features_only=True).eval()
    with torch.no_grad():
        for buffer in theirs.buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5)
    assert tuple(theirs.feature_info.reduction()) == STRIDES
    ours = Lite0(strides).eval()
    weights = theirs.state_dict()
    ours.load_state_dict({name: weights[name] for name in ours.state_dict()})
    images = torch.randn(2, 3, *shape)
    with torch.no_grad():
        found, wanted = ours(images), dict(zip(STRIDES, theirs(images), strict=True))
        wanted[32] = theirs.blocks[5](_stem(theirs, images, 5))  # the stage before the last, at the same stride
    for stride, features in zip(strides, found, strict=True):
        assert features.shape[1] == CHANNELS[STRIDES.index(stride)]
        torch.testing.assert_close(features, wanted[stride])


def _stem(network: Any, images: torch.Tensor, stages: int) -> torch.Tensor:
    x: torch.Tensor = network.bn1(network.conv_stem(images))
    for stage in network.blocks[:stages]:
        x = stage(x)
    return x


def test_the_whole_network_has_timms_tensors_in_timms_order() -> None:
    theirs, ours = timm.create_model(LITE0, pretrained=False).state_dict(), Lite0(None).state_dict()
    assert [(name, t.shape) for name, t in ours.items()] == [(name, t.shape) for name, t in theirs.items()]
    config = timm.get_pretrained_cfg(LITE0)
    assert (config.mean, config.std) == (MEAN, STD)
