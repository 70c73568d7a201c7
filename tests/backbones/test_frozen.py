"""The frozen network: which of its stages give the features."""

import pytest
import torch
from torch import Tensor

from unblot.backbones.frozen import PACKAGED, Backbone

timm = pytest.importorskip("timm")


def test_the_stage_that_decides_between_classes_is_left_out() -> None:
    backbone = Backbone(PACKAGED, (4, 8, 16, 32))
    assert backbone.channels == [24, 40, 112, 192]
    backbone.load_pretrained()
    whole = timm.create_model(PACKAGED, pretrained=False).eval()
    names = dict(whole.named_modules())
    whole.load_state_dict({**whole.state_dict(), **backbone.network.state_dict()})
    stages: list[Tensor] = []
    for name in ("blocks.1", "blocks.2", "blocks.4", "blocks.5"):
        names[name].register_forward_hook(lambda *given: stages.append(given[2]))
    images = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        whole(backbone.standardised(images))
        for made, stage in zip(backbone(images), stages, strict=True):
            torch.testing.assert_close(made, stage, rtol=1e-3, atol=1e-3 * stage.abs().max().item())
    assert not any(key.startswith("blocks.6") for key in backbone.network.state_dict()), "not kept, not computed"


@pytest.mark.parametrize(("name", "channels"), [("resnet18", [128, 256, 512]), ("mobilenetv2_100", [32, 96, 160])])
def test_other_networks_keep_what_they_have(name: str, channels: list[int]) -> None:
    assert Backbone(name, (8, 16, 32)).channels == channels


@pytest.mark.parametrize("name", ["hf-hub:stranger/model", "hf_hub:stranger/model", "local-dir:/there", "no_such_net"])
def test_only_names_that_timm_itself_knows_are_built(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run from elsewhere names its backbone: nothing may be fetched, nor read, from where such a name points."""
    timm = pytest.importorskip("timm")
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: pytest.fail("asked for it"))
    with pytest.raises(ValueError, match="has no model"):
        Backbone(name, (8, 16))


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "swinv2_cr_tiny_224"])
def test_channels_come_first_whatever_the_network_does(name: str) -> None:
    backbone = Backbone(name, (8, 16))
    images = torch.rand(2, 3, 224, 224) * 2 - 1
    with torch.no_grad():
        eights, sixteens = backbone(images)
        plain = backbone.network(backbone.standardised(images))[0]
    assert eights.shape == (2, 192, 28, 28)
    assert sixteens.shape == (2, 384, 14, 14)
    first = plain.permute(0, 3, 1, 2) if plain.shape[-1] == 192 else plain
    torch.testing.assert_close(eights, first, rtol=1e-3, atol=1e-3)


def test_features_of_another_shape_than_announced_are_refused() -> None:
    backbone = Backbone("resnet18", (8,))
    backbone.channels = [64]
    with pytest.raises(ValueError, match=r"resnet18.*\(1, 128, 8, 8\).*64"), torch.no_grad():
        backbone(torch.zeros(1, 3, 64, 64))
