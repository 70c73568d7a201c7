"""Which backbones there are on this machine: are their weights at hand, under which licence, how fast are they."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from unblot.backbones.frozen import OWN, Backbone, backbone_title
from unblot.backbones.lite import LITE0
from unblot.backbones.networks import known, timm_module
from unblot.backbones.weights import cached, described, installed
from unblot.errors import UserError

__all__ = ["VERIFIED", "Listed", "listed", "named", "speed"]

# Whose features are compared with timm's own by a test (tests/backbones/test_networks.py, test_lite.py).
VERIFIED = (
    *(LITE0, "tf_efficientnet_lite1", "resnet18", "wide_resnet50_2", "mobilenetv4_conv_small", "convnext_atto"),
    *("swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256"),
    *("vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2", "vit_small_patch16_dinov3"),
)
STRIDES = (8, 16, 32)  # of which detectors take features
AT_ONCE = 4  # images that are timed together
SECONDS = 1.0  # that a backbone is timed for, at least


@dataclass(frozen=True)
class Listed:
    """What is said of a backbone.

    Attributes:
        name: as ``--backbone`` takes it.
        weights: which pretraining, by timm's own data.
        licence: of them, by the same; empty where there is none to state.
        at_hand: "none needed", "installed", "cached", "download or file", or "file" where timm knows none.
        mib: size of the weights in float32; None for one that is made for its images.
        features: at which strides, or of how many blocks with patches of which side.
        speed: images per second, None where it was not measured.
        timed_at: size of the images that were timed, in pixels.
    """

    name: str
    weights: str
    licence: str
    at_hand: str
    mib: float | None
    features: str
    speed: float | None = None
    timed_at: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """All by name, JSON values."""
        return asdict(self)


def named(pattern: str | None = None) -> list[str]:
    """Names of backbones, those that need no timm first.

    Args:
        pattern: of names that timm has, with * and ?; None: those that are verified, and those whose weights are in
            the cache.

    Raises:
        UserError: no name is like it.

    Example:
        >>> named("vit_small_patch14_*dinov2")
        ['vit_small_patch14_dinov2', 'vit_small_patch14_reg4_dinov2']
    """
    if pattern in OWN:
        return [pattern]
    timm = timm_module()
    if pattern is None:
        held = [name for name in timm.list_pretrained() if cached(name)]
        return [*OWN, *VERIFIED, *(name for name in held if name.partition(".")[0] not in VERIFIED)]
    found: list[str] = timm.list_models(pattern)
    if not found:
        known(pattern)  # says what is like it
        return [pattern]
    return found


def listed(name: str) -> Listed:
    """What is known of a backbone; builds it without memory for weights.

    Raises:
        UserError: it gives no features.

    Example:
        >>> listed("vit_small_patch16_dinov3").features, listed("filters").at_hand
        ('12 blocks, patches of 16 px', 'none needed')
    """
    if name in OWN:
        return Listed(name, backbone_title(name).partition(", ")[2], "", "none needed", None, "strides 4, 8, 16, 32")
    about, source = known(name), described(name)
    features = f"strides {', '.join(map(str, about.strides))}"
    if about.by_block:
        features = f"{len(about.strides)} blocks, patches of {about.strides[0]} px"
    if installed(name):
        at_hand = "installed"
    elif cached(name) is not None:
        at_hand = "cached"
    else:
        at_hand = "download or file" if source.weights.startswith("weights ") else "file"
    mib = round(about.parameters * 4 / 2**20, 1)
    return Listed(name, source.weights.removeprefix("weights "), source.licence, at_hand, mib, features)


def speed(name: str, size: int, device: str) -> tuple[float, int]:
    """Images per second through a backbone with random weights, in the engine that scoring would use.

    Args:
        name: of a backbone.
        size: that images would have in pixels.
        device: of torch.

    Returns:
        Images per second, the median over passes of a second or more; and the size that was timed, which fits its
        patches.
    """
    backbone = Backbone(name, _strides(name)).to(device)
    size = backbone.useful_size(size, name)
    images = torch.zeros(AT_ONCE, 3, size, size, device=device)
    backbone.expect(2**20, size)
    taken: list[float] = []
    with torch.no_grad():
        backbone(images)  # what is made once
        begun = time.perf_counter()
        while len(taken) < 3 or time.perf_counter() - begun < SECONDS:
            start = time.perf_counter()
            backbone(images)
            if images.is_cuda:
                torch.cuda.synchronize()
            taken.append(time.perf_counter() - start)
    return AT_ONCE / sorted(taken)[len(taken) // 2], size


def _strides(name: str) -> Sequence[int]:
    """Those of detectors that it has; any for a transformer."""
    if name in OWN or known(name).by_block:
        return STRIDES
    found = [stride for stride in STRIDES if stride in known(name).strides]
    if not found:
        raise UserError(f"{name} has features at strides {list(known(name).strides)}, detectors look at {STRIDES}")
    return found
