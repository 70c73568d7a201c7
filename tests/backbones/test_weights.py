"""Where weights come from: a file is checked before it is believed, and nothing waits for a network that is away."""

from __future__ import annotations

import hashlib
import pickle
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from unblot.backbones import weights
from unblot.backbones.frozen import PACKAGED, Backbone, backbone_title
from unblot.backbones.lite import LICENCE, LITE0, TAG
from unblot.errors import UserError

timm = pytest.importorskip("timm")
huggingface_hub = pytest.importorskip("huggingface_hub")

VIT = "test_vit"  # timm's smallest, of 160 px


def state(name: str = VIT, **options: Any) -> dict[str, Tensor]:
    """Random weights as timm names them."""
    torch.manual_seed(1)
    return dict(timm.create_model(name, **options).state_dict())


def saved(tensors: dict[str, Tensor], path: Path) -> str:
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    return str(path)


def features(backbone: Backbone) -> list[Tensor]:
    with torch.no_grad():
        return list(backbone(torch.linspace(-1, 1, 3 * 64 * 64).view(1, 3, 64, 64)))


def no_network(*_: object, **__: object) -> None:
    raise urllib.error.URLError("no route")


@pytest.mark.parametrize("file", ["plain.safetensors", "plain.pth", "without-head.pth", "own-head.safetensors"])
def test_weights_of_a_file_are_those_of_the_network(file: str, tmp_path: Path) -> None:
    tensors = state()
    if file == "without-head.pth":
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("head.")}
    if file == "own-head.safetensors":  # of a classifier of seven classes
        tensors |= {"head.weight": torch.zeros(7, tensors["head.weight"].shape[1]), "head.bias": torch.zeros(7)}
    backbone = Backbone(VIT, weights=saved(tensors, tmp_path / file))
    assert backbone.source is None
    backbone.load_pretrained()
    for name, tensor in backbone.network.state_dict().items():
        assert torch.equal(tensor, tensors[name.removeprefix("model.")]), name


def test_a_network_by_stride_takes_a_file_too(tmp_path: Path) -> None:
    tensors = state("test_convnext")
    backbone = Backbone("test_convnext", (8, 16), weights=saved(tensors, tmp_path / "w.safetensors"))
    backbone.load_pretrained()
    assert torch.equal(backbone.network.state_dict()["stem_0.weight"], tensors["stem.0.weight"])


def test_the_run_keeps_the_hash_and_no_path(tmp_path: Path) -> None:
    path = saved(state(), tmp_path / "mine.safetensors")
    backbone = Backbone(VIT, weights=path)
    backbone.load_pretrained()
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert backbone.source is not None
    assert (backbone.source["sha256"], backbone.source["file"]) == (digest, "mine.safetensors")
    assert backbone.title == f"test_vit, weights of the file mine.safetensors, sha256 {digest[:12]}"
    assert str(tmp_path) not in str(backbone.source)


def test_original_names_and_other_sizes_are_converted_by_timm(tmp_path: Path) -> None:
    """DINOv2 was published with a mask token, and without a classifier; position embeddings come in any size."""
    tensors = state("vit_small_patch14_dinov2", img_size=70) | {"mask_token": torch.zeros(1, 384)}
    backbone = Backbone("vit_small_patch14_dinov2", weights=saved(tensors, tmp_path / "dinov2_vits14_pretrain.pth"))
    backbone.load_pretrained()
    own = backbone.network.state_dict()
    assert torch.equal(own["model.blocks.11.ls2.gamma"], tensors["blocks.11.ls2.gamma"])
    assert own["model.pos_embed"].shape == (1, 1 + 37 * 37, 384)
    assert tensors["pos_embed"].shape == (1, 1 + 5 * 5, 384)


def changed(tensors: dict[str, Tensor], **to: Tensor | None) -> dict[str, Tensor]:
    names = {name.replace("__", "."): tensor for name, tensor in to.items()}
    return {name: tensor for name, tensor in (tensors | names).items() if tensor is not None}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"blocks__2__attn__qkv__weight": None}, r"blocks\.2\.attn\.qkv\.weight, which the file lacks"),
        ({"norm__bias": torch.zeros(5)}, r"norm\.bias, of shape \[5\] in the file and \[64\] in the network"),
        ({"more__weight": torch.zeros(5)}, r"more\.weight, which the network does not have"),
        (
            {"blocks__1__norm1__bias": torch.zeros(5), "blocks__0__norm2__bias": None, "more": torch.zeros(1)},
            r"blocks\.0\.norm2\.bias, which the file lacks",
        ),
    ],
)
def test_a_wrong_file_names_the_first_tensor_that_differs(
    change: dict[str, Tensor | None], said: str, tmp_path: Path
) -> None:
    path = saved(changed(state(), **change), tmp_path / "wrong.safetensors")
    with pytest.raises(UserError, match=rf"wrong.safetensors does not hold weights of test_vit: .* {said}"):
        Backbone(VIT, weights=path).load_pretrained()


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    path = saved(state("test_resnet"), tmp_path / "resnet.pth")
    with pytest.raises(UserError, match=r"not hold weights of test_vit.*cls_token, which the file lacks.*--backbone"):
        Backbone(VIT, weights=path).load_pretrained()


class Bomb:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return Path.touch, (Path(self.place),)  # type: ignore[return-value]

    place = ""


def test_no_code_of_a_file_runs(tmp_path: Path) -> None:
    Bomb.place = str(tmp_path / "ran")
    (tmp_path / "bomb.pth").write_bytes(b"")
    torch.save({"weight": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(UserError, match="without running code"):
        Backbone(VIT, weights=str(tmp_path / "bomb.pth")).load_pretrained()
    assert not (tmp_path / "ran").exists()
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"weight": Bomb()}, protocol=2))
    with pytest.raises(UserError, match="without running code"):
        Backbone(VIT, weights=str(tmp_path / "plain.pth")).load_pretrained()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("gone.safetensors", None, "No such file"),
        ("half.safetensors", b"\x10\0\0\0\0\0\0\0{", "cannot be read as weights"),
        ("weights.npz", b"", r"end in .safetensors, .pth"),
    ],
)
def test_files_that_are_no_weights_are_refused(file: str, content: bytes | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(UserError, match=said):
        Backbone(VIT, weights=str(tmp_path / file)).load_pretrained()


def test_a_file_without_tensors_by_name_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "log.pth")
    with pytest.raises(UserError, match="holds no tensors by name"):
        Backbone(VIT, weights=str(tmp_path / "log.pth")).load_pretrained()


@pytest.mark.parametrize("name", ["filters", "scratch"])
def test_what_has_no_weights_takes_no_file(name: str) -> None:
    with pytest.raises(UserError, match=rf"'{name}' takes no weights"):
        Backbone(name, (8,), weights="some.pth")


def test_the_default_takes_a_file_in_place_of_its_package(tmp_path: Path) -> None:
    packaged = Backbone(PACKAGED, (8,))
    packaged.load_pretrained()
    whole = state(LITE0)
    path = saved(whole | packaged.network.state_dict(), tmp_path / "lite0.safetensors")
    other = Backbone(PACKAGED, (8,), weights=path)
    other.load_pretrained()
    assert all(torch.equal(a, b) for a, b in zip(features(packaged), features(other), strict=True))


def test_without_a_network_a_missing_download_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = Backbone(VIT, blocks=(0,))
    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    monkeypatch.setattr(weights, "cached", lambda name: None)
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: pytest.fail("asked a hub"))
    with pytest.raises(UserError, match=r"not in the cache.*no route.*timm/test_vit.*--weights.*tf_efficientnet_lite0"):
        backbone.load_pretrained()
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: pytest.fail("asked a hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set"):
        backbone.load_pretrained()


def test_a_cached_download_is_used_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    assert weights.cached(VIT) is None
    config = timm.get_pretrained_cfg(VIT)
    home = tmp_path / f"models--{config.hf_hub_id.replace('/', '--')}"
    for folder in ("refs", "snapshots/abc"):
        (home / folder).mkdir(parents=True)
    (home / "refs/main").write_text("abc")
    tensors = state()
    path = saved(tensors, home / "snapshots/abc/model.safetensors")
    assert weights.cached(VIT) == Path(path)
    backbone = Backbone(VIT, blocks=(0,))
    backbone.load_pretrained()
    assert torch.equal(backbone.network.state_dict()["model.cls_token"], tensors["cls_token"])
    assert backbone.title == backbone_title(VIT)


def test_a_model_that_was_never_published_asks_for_a_file() -> None:
    with pytest.raises(UserError, match=r"no pretrained weights of swinv2_cr_tiny_224.*--weights"):
        Backbone("swinv2_cr_tiny_224", (8,)).load_pretrained()


def test_titles_state_what_timm_states() -> None:
    for name in ("resnet18", "vit_small_patch16_dinov3", "vit_small_patch14_reg4_dinov2.lvd142m"):
        config = timm.get_pretrained_cfg(name)
        assert backbone_title(name) == f"{name.partition('.')[0]}, weights {config.tag} ({config.license})"
    assert backbone_title("swinv2_cr_tiny_224") == "swinv2_cr_tiny_224, no pretrained weights known to timm"
    config = timm.get_pretrained_cfg(LITE0)
    assert (config.tag, config.license) == (TAG, LICENCE), "which are written down so that titles need no timm"
