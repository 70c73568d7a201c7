"""Networks of timm by stride and by block: each family that is verified gives what timm itself gives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from unblot.backbones import networks
from unblot.backbones.frozen import Backbone
from unblot.backbones.listing import VERIFIED
from unblot.backbones.lite import LITE0
from unblot.backbones.networks import Blocks, Known, known
from unblot.errors import UserError

timm = pytest.importorskip("timm")

BY_STRIDE = {
    "tf_efficientnet_lite1": (64, [40, 112]),
    "resnet18": (64, [128, 256]),
    "wide_resnet50_2": (64, [512, 1024]),
    "convnext_atto": (64, [80, 160]),
    "swin_tiny_patch4_window7_224": (96, [192, 384]),
    "swinv2_tiny_window8_256": (64, [192, 384]),
    "mobilenetv4_conv_small": (64, [64, 96]),
}
BY_BLOCK = {  # stride and prefix tokens: one for the class, then registers
    "vit_small_patch14_dinov2": (14, 1),
    "vit_small_patch14_reg4_dinov2": (14, 5),
    "vit_small_patch16_dinov3": (16, 5),
}


def test_what_is_called_verified_is_compared_below() -> None:
    assert set(VERIFIED) == {LITE0, *BY_STRIDE, *BY_BLOCK}, f"{LITE0} in test_lite.py"


def whole(name: str, **options: Any) -> Any:
    """The same network as timm makes it, with the same random weights."""
    torch.manual_seed(0)
    return timm.create_model(name, **known(name).arguments, **options).eval()


def looked_at(backbone: Backbone, images: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return list(backbone(images))


@pytest.mark.parametrize(("name", "size", "channels"), [(n, *rest) for n, rest in BY_STRIDE.items()])
def test_a_family_by_stride_gives_what_timm_gives(name: str, size: int, channels: list[int]) -> None:
    torch.manual_seed(0)
    backbone = Backbone(name, (8, 16))
    assert (backbone.strides, backbone.channels, backbone.blocks) == ((8, 16), channels, ())
    images = torch.rand(2, 3, size, size) * 2 - 1
    with torch.no_grad():
        model, own = whole(name), backbone.network.state_dict()
        if own.keys() <= model.state_dict().keys():  # of these timm draws other weights for features alone
            model.load_state_dict(own, strict=False)
        every = model.forward_intermediates(backbone.standardised(images), intermediates_only=True)
    for found, count, stride in zip(looked_at(backbone, images), channels, (8, 16), strict=True):
        assert found.shape == (2, count, size // stride, size // stride)
        (expected,) = (given for given in every if given.shape == found.shape)
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * expected.abs().max().item())


@pytest.mark.parametrize(("name", "stride", "prefix"), [(n, *rest) for n, rest in BY_BLOCK.items()])
def test_a_family_by_block_gives_what_timm_gives(name: str, stride: int, prefix: int) -> None:
    torch.manual_seed(0)
    backbone = Backbone(name)
    assert (backbone.blocks, backbone.strides, backbone.channels) == ((5, 8, 11), (stride,) * 3, [384] * 3)
    assert backbone.layers == ["block_5", "block_8", "block_11"]
    size = 5 * stride  # neither that of the pretraining nor a multiple of 32
    images = torch.rand(2, 3, size, size) * 2 - 1
    with torch.no_grad():
        model, given = whole(name, num_classes=0), backbone.standardised(images)
        assert model.num_prefix_tokens == prefix
        plain, normed = (
            model.forward_intermediates(given, indices=[5, 8, 11], norm=norm, intermediates_only=True)
            for norm in (False, True)
        )
    for found, expected in zip(looked_at(backbone, images), [*plain[:2], normed[2]], strict=True):
        assert found.shape == (2, 384, 5, 5), "no prefix token is left"
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(plain[2], normed[2], atol=1e-2), "the norm is heard"


def test_what_lies_behind_the_last_block_taken_is_neither_kept_nor_normed() -> None:
    network = Backbone("vit_tiny_patch16_224", blocks=(0, 2)).network
    assert isinstance(network, Blocks)
    names = {".".join(name.split(".")[:3]) for name in network.state_dict() if ".blocks." in name}
    assert names == {"model.blocks.0", "model.blocks.1", "model.blocks.2"}
    assert not any(name.startswith(("model.norm", "model.head")) for name in network.state_dict())


def test_patches_look_where_their_place_is() -> None:
    """A position embedding that was resized the wrong way round would not know one side from another."""
    torch.manual_seed(0)
    backbone = Backbone("vit_small_patch14_dinov2", blocks=(0,))
    table = backbone.network.get_parameter("model.pos_embed")
    places = torch.linspace(0, 1, 37)
    with torch.no_grad():
        table.zero_()
        table[0, 1:, 0] = places.repeat_interleave(37) * 100  # the row, in the first channel
        table[0, 1:, 1] = places.repeat(37) * 100  # the column, in the second
    (features,) = looked_at(backbone, torch.zeros(1, 3, 28, 70))
    assert features.shape == (1, 384, 2, 5)
    assert (features[0, 0].diff(dim=0) > 20).all()
    assert (features[0, 1].diff(dim=1) > 5).all()


def test_blocks_are_chosen_by_depth() -> None:
    assert Known((16,) * 24, by_block=True).default_blocks == (11, 17, 23)
    assert Known((16,) * 3, by_block=True).default_blocks == (0, 1, 2)
    assert Known((4, 8, 16), by_block=False).default_blocks == ()


@pytest.mark.parametrize(("patch", "sizes"), [(14, [224, 224, 224, 448, 448]), (16, [224, 256, 320, 480, 512])])
def test_sizes_of_images_fit_the_patches(patch: int, sizes: list[int]) -> None:
    about = Known((patch,) * 12, by_block=True)
    assert [about.useful_size(size) for size in (64, 256, 320, 480, 512)] == sizes
    assert about.useful_size(672) == 672
    assert about.useful_size(37 * patch) == 37 * patch, "what fits is not changed"
    assert all(size % patch == 0 for size in sizes)


@pytest.mark.parametrize(
    ("name", "blocks", "said"),
    [
        ("vit_tiny_patch16_224", (3, 12), r"blocks 0 to 11.*\[3, 12\]"),
        ("vit_tiny_patch16_224", (5, 3), "ascending"),
        ("resnet18", (3,), "by stride"),
        ("tf_efficientnet_lite0", (3,), "by stride"),
        ("filters", (3,), "by stride"),
    ],
)
def test_blocks_that_are_not_there_are_refused(name: str, blocks: tuple[int, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Backbone(name, (8,), blocks)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vit_small_patch14_dinov4", "did you mean vit_small_patch14_dinov2"),
        ("siglip", "did you mean .*siglip"),
        ("resnet18.of_nobody", r"resnet18; it has .*resnet18\.a1_in1k"),
    ],
)
def test_a_name_that_cannot_serve_is_refused_with_what_can(name: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Backbone(name, (8, 16))


def test_a_network_without_features_is_refused_with_one_that_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def create(name: str, **_: object) -> None:
        raise RuntimeError(f"features_only not implemented for {name}")

    networks.known.cache_clear()
    monkeypatch.setattr(timm, "create_model", create)
    with pytest.raises(UserError, match=r"resnet18.*neither by stride nor by block.*tf_efficientnet_lite0"):
        known("resnet18")


def test_images_that_do_not_fit_are_refused_with_the_size_that_does() -> None:
    backbone = Backbone("vit_small_patch14_dinov2", blocks=(0,))
    with pytest.raises(UserError, match=r"multiple of 14.*got 64.*--size 70"):
        backbone(torch.zeros(1, 3, 64, 64))
    only = Backbone("mixer_s32_224", blocks=(0,))
    with pytest.raises(UserError, match=r"224 px alone.*got 256"):
        only(torch.zeros(1, 3, 256, 256))
    assert looked_at(only, torch.zeros(1, 3, 224, 224))[0].shape == (1, 512, 7, 7)
