"""Networks of timm that give features: by stride (convolutional and windowed ones) or by block (transformers).

timm does the work. By stride: ``features_only``. By block: ``forward_intermediates`` drops the prefix tokens (class,
registers) and gives the patches as a grid; ``dynamic_img_size`` resizes the position embeddings.

Which blocks, where none are named: those that end the first half, the third quarter and the whole, numbers 5, 8 and 11
of 12. Sources: Dinomaly (Guo et al., arXiv 2405.14325) takes blocks 2 to 9 of 12, as they are; SubspaceAD (Lendering et
al., arXiv 2602.23013) a mean over several blocks; AnomalyDINO (Damm et al., arXiv 2405.14529) the last one, after the
final norm, as DINOv2 gives it. Early blocks of 12 hold position and colour rather than content, and each block costs a
memory of its own, so there are three. The choice is not measured here: no DINO weights were at hand.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from unblot.errors import UserError

__all__ = ["STEP", "Blocks", "Known", "Made", "known", "made", "timm_module"]

STEP = 32  # pixels between the sizes at which images are seen
SMALLEST = 224  # images that a transformer is worth its time for: its least size in pretraining
REMEDY = "install the extra: pip install 'unblot[train]'"


@dataclass(frozen=True)
class Known:
    """What is known of a timm model before it is built.

    Attributes:
        strides: of its stages, or of its blocks, which all have that of the patches.
        by_block: whether features are taken by block.
        arguments: what it is built with so that it takes images of other sizes than in pretraining.
        only: the one size of images that it takes; None for any.
        parameters: how many it has without a classifier.
    """

    strides: tuple[int, ...]
    by_block: bool
    arguments: Mapping[str, Any] = field(default_factory=dict)
    only: int | None = None
    parameters: int = 0

    @property
    def multiple(self) -> int:
        """What divides the height and width of images."""
        return self.only or (self.strides[0] if self.by_block else STEP)

    @property
    def default_blocks(self) -> tuple[int, ...]:
        """The blocks whose features are used where none are named; empty for a network by stride.

        Example:
            >>> Known((14,) * 12, by_block=True).default_blocks, Known((16,) * 24, by_block=True).default_blocks
            ((5, 8, 11), (11, 17, 23))
        """
        depth = len(self.strides)
        return (depth // 2 - 1, 3 * depth // 4 - 1, depth - 1) if self.by_block else ()

    def useful_size(self, size: int) -> int:
        """The size at which images are seen that ``size`` would suit: itself where it fits; for a transformer 224 or
        more, so that its grid has places enough.

        Example:
            >>> [Known((14,) * 12, by_block=True).useful_size(size) for size in (64, 320, 448, 512, 518)]
            [224, 224, 448, 448, 518]
        """
        if self.only:
            return self.only
        if not self.by_block or (size >= SMALLEST and size % self.multiple == 0):
            return size
        step = math.lcm(self.multiple, STEP)
        least = math.ceil(SMALLEST / step) * step
        return max(least, round(size / step) * step)


class Blocks(nn.Module):
    """The features of some blocks of a transformer; the last block's after the final norm, the others' as they are.

    What lies behind the last block that is taken is left out.

    Args:
        model: of timm, with ``forward_intermediates``.
        blocks: their numbers from 0, ascending.
    """

    def __init__(self, model: Any, blocks: Sequence[int]) -> None:
        super().__init__()
        self.normed = blocks[-1] == len(model.feature_info) - 1
        self.blocks: list[int] = model.prune_intermediate_layers(list(blocks), prune_norm=not self.normed)
        self.model = model

    def forward(self, images: Tensor) -> list[Tensor]:
        """Standardised images (N, 3, H, W) to one tensor (N, C, H / p, W / p) for each block; p: side of a patch."""
        found: list[Tensor] = self.model.forward_intermediates(images, indices=self.blocks, intermediates_only=True)
        if self.normed and getattr(self.model, "norm", None) is not None:
            found[-1] = self.model.norm(found[-1].permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return found


@dataclass(frozen=True)
class Made:
    """A network and what its features are like, one entry for each tensor that it gives."""

    network: nn.Module
    strides: tuple[int, ...]
    channels: list[int]
    blocks: tuple[int, ...] = ()


def timm_module() -> Any:
    """timm; UserError where it is not installed."""
    try:
        return import_module("timm")
    except ImportError as error:
        raise UserError(f"features of a backbone need timm, which is not installed; {REMEDY}") from error


@lru_cache
def known(name: str) -> Known:
    """What is known of the timm model of that name; builds it without memory for its weights.

    Raises:
        UserError: timm is not installed, has no such model of its own, or its model gives no features.

    Example:
        >>> known("resnet18").strides, known("vit_small_patch14_dinov2").multiple
        ((2, 4, 8, 16, 32), 14)
    """
    timm = timm_module()
    architecture, _, tag = name.partition(".")
    if ":" in name or not timm.is_model(architecture):  # such as hf-hub:…, which would ask the network, or local-dir:…
        close = difflib.get_close_matches(architecture, timm.list_models(), n=3)
        close = close or (timm.list_models(f"*{architecture}*")[:3] if architecture.isidentifier() else [])
        hint = f"did you mean {' or '.join(close)}?" if close else "`unblot backbones 'vit_*'` lists those that it has"
        raise UserError(f"timm has no model {name!r} of its own; {hint}")
    if tag and name not in (tags := timm.list_models(architecture, include_tags=True)):
        raise UserError(f"timm has no weights {tag!r} of {architecture}; it has {', '.join(tags) or 'none'}")
    config = timm.get_pretrained_cfg(name)
    fixed = config is not None and config.fixed_input_size
    tries: list[dict[str, Any]] = [{"dynamic_img_size": True}, {"strict_img_size": False}] if fixed else []
    why = ""
    for arguments in (*tries, {}):
        try:
            with torch.device("meta"):
                network = timm.create_model(name, pretrained=False, features_only=True, **arguments)
        except TypeError:  # it has no such argument
            continue
        except (RuntimeError, ValueError, AttributeError, AssertionError) as error:
            why = f" ({error})"
            break
        strides = tuple(entry["reduction"] for entry in network.feature_info.info)
        by_block = len(strides) > 2 and len(set(strides)) == 1 and hasattr(network, "model")
        only = config.input_size[-1] if fixed and not arguments else None
        return Known(strides, by_block, arguments, only, sum(p.numel() for p in network.parameters()))
    raise UserError(
        f"timm's model {name!r} gives no features, neither by stride nor by block{why}. Take one that does, such as "
        "resnet18, convnext_atto, vit_small_patch14_dinov2, or tf_efficientnet_lite0, which needs no download"
    )


def made(name: str, strides: Sequence[int], blocks: Sequence[int], **pretrained: Any) -> Made:
    """The network of that name from timm, in eval mode.

    Args:
        name: of a timm model.
        strides: of the features of a network by stride, ascending; a transformer's all have that of its patches.
        blocks: of a transformer, from 0, ascending; none: :attr:`Known.default_blocks`.
        pretrained: what timm takes of weights; without weights where there is nothing.

    Raises:
        UserError: as for :func:`known`; or the network has no such strides or blocks.
    """
    about = known(name)
    if about.by_block:
        return _by_block(name, about, tuple(blocks) or about.default_blocks, pretrained)
    if blocks:
        raise UserError(f"{name} gives features by stride, at {list(about.strides)}; it has no blocks to choose from")
    if not strides or not set(strides) <= set(about.strides):
        raise UserError(f"{name} has features at strides {list(about.strides)}; asked for were {list(strides)}")
    network = _by_stride(name, about, [about.strides.index(stride) for stride in strides], pretrained)
    info: Any = network.feature_info
    return Made(network, tuple(strides), info.channels())


def _by_block(name: str, about: Known, blocks: tuple[int, ...], pretrained: Mapping[str, Any]) -> Made:
    last = len(about.strides) - 1
    if list(blocks) != sorted(set(blocks)) or not 0 <= blocks[0] <= blocks[-1] <= last:
        raise UserError(f"{name} has blocks 0 to {last}, to be named in ascending order; asked for were {list(blocks)}")
    model = timm_module().create_model(name, num_classes=0, **about.arguments, **pretrained).eval()
    channels = [model.feature_info[block]["num_chs"] for block in blocks]
    return Made(Blocks(model, blocks), tuple(about.strides[block] for block in blocks), channels, blocks)


def _by_stride(name: str, about: Known, indices: Sequence[int], pretrained: Mapping[str, Any]) -> nn.Module:
    """Without a last stage that is not the first at its stride.

    That stage, of EfficientNet and its relatives, prepares the decision between ImageNet's classes. What the stage
    before it gives at the same stride tells defects from normals better (``docs/research-log``).
    """
    network = (
        timm_module()
        .create_model(name, features_only=True, out_indices=indices, **about.arguments, **pretrained)
        .eval()
    )
    *_, before, last = network.feature_info.info
    (kind, *stage), (same, *end) = (entry["module"].split(".") for entry in (before, last))
    if kind == same == "blocks" and int(end[0]) - int(stage[0]) > 1:
        network.blocks[int(end[0])] = nn.Identity()
        with torch.no_grad():
            last["num_chs"] = network.blocks(network.conv_stem(torch.zeros(1, 3, 64, 64))).shape[1]
    return network  # type: ignore[no-any-return]
