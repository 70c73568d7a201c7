"""What a user may set of the backbone of a detector that looks at features."""

from __future__ import annotations

from dataclasses import dataclass

from unblot.backbones.frozen import PACKAGED
from unblot.detectors.options import Options, option

__all__ = ["MEANING", "BackboneOptions"]

MEANING = "network whose features are used: a timm model (`unblot backbones` lists some), filters or scratch"


@dataclass(frozen=True)
class BackboneOptions(Options):
    """The backbone, of a transformer its blocks, and a file of weights."""

    backbone: str = option(PACKAGED, MEANING)
    blocks: tuple[int, ...] = option(
        (), "blocks of a transformer whose features are used, from 0; none: three that suit it", at_least=0
    )
    weights: str = option("", "file of the backbone's weights, .safetensors or .pth; none: those installed, or timm's")
