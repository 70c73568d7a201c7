"""A frozen network whose features detectors restore or remember (``feature_dae``, ``memory``).

One interface for networks by stride, which give features of several stages, and transformers, which give features of
several blocks on one grid of patches (:mod:`unblot.backbones.networks`). Where the weights come from:
:mod:`unblot.backbones.weights`. Whatever is measured with them says so: :attr:`Backbone.title`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from unblot.backbones import weights as weights_of
from unblot.backbones.filters import FILTERS, FilterBank
from unblot.backbones.folding import FusedInference
from unblot.backbones.lite import CHANNELS, LITE0, MEAN, STD, STRIDES, Lite0
from unblot.backbones.networks import STEP, Made, known, made, timm_module
from unblot.backbones.scratch import SCRATCH, BlotNet
from unblot.backbones.weights import PACKAGED, packaged
from unblot.errors import UserError

__all__ = ["OWN", "PACKAGED", "Backbone", "backbone_title", "packaged"]

_OWN: dict[str, tuple[Callable[[Sequence[int]], FilterBank | BlotNet], str]] = {
    FILTERS: (FilterBank, "no weights"),
    SCRATCH: (BlotNet, "trained on the normal images alone"),
}
OWN = tuple(_OWN)  # names that need neither timm nor weights from elsewhere
OWN_SIZE = 256  # of images whose features are energies of filters: these take most of the time; not tried beyond
# That a CPU passes through the network together: the features of more would not stay in its caches, and for tensors
# from 32 MiB on the allocator asks the system for fresh pages each time, which at 512 px took two fifths of the time.
PIXELS = 4 * 256**2


def backbone_title(name: str) -> str:
    """How tables name a backbone with the weights that it has where no file is named.

    Example:
        >>> backbone_title("filters"), backbone_title("resnet18")
        ('filters, no weights', 'resnet18, weights a1_in1k (apache-2.0)')
    """
    return f"{name}, {_OWN[name][1]}" if name in _OWN else weights_of.described(name).title


class Backbone(nn.Module):
    """Features of a frozen image network at several strides, or of several blocks of a transformer.

    The architecture is built without weights; :meth:`load_pretrained` fills them at the start of a training, a
    checkpoint when a run is read back. So a trained detector needs no download and no file. Frozen: in eval mode and in
    no optimizer, but for the one from scratch in a phase of its own, before all others (:meth:`optimizers`).

    Args:
        name: a timm model that gives features; or one that needs no timm and no weights from elsewhere: "filters", a
            :class:`FilterBank`, or "scratch", a :class:`BlotNet` that is trained first and looks at what lies ``below``
            it, "filters".
        strides: of the feature maps of a network by stride, ascending, such as (8, 16). All features of a transformer
            have the stride of its patches, whatever stands here.
        blocks: of a transformer, from 0, ascending; none: those of :attr:`~unblot.backbones.networks.Known`.
        weights: file that :meth:`load_pretrained` reads; none: weights that are installed, or timm's.

    Attributes:
        strides: of each tensor of features.
        channels: of each.
        blocks: that a transformer's features are of; empty for a network by stride.
        layers: a name for each, such as "stride_8" or "block_5".
        source: where the weights come from, JSON values; None until they are loaded.

    Raises:
        UserError: timm is not installed, there is no such model, or it has no features at one of the strides or blocks.

    Example:
        >>> backbone = Backbone("vit_tiny_patch16_224", blocks=(3, 11))
        >>> backbone.layers, backbone.strides, backbone.channels
        (['block_3', 'block_11'], (16, 16), [192, 192])
        >>> with torch.no_grad():
        ...     [tuple(features.shape) for features in backbone(torch.zeros(1, 3, 64, 64))]
        [(1, 192, 4, 4), (1, 192, 4, 4)]
    """

    def __init__(
        self,
        name: str = PACKAGED,
        strides: Sequence[int] = (4, 8, 16),
        blocks: Sequence[int] = (),
        weights: str = "",
    ) -> None:
        super().__init__()
        self.name, self.weights = name, weights
        self.below: Backbone | None = None
        self.source: dict[str, str] | None = None
        self._known = None if name in (*_OWN, LITE0) else known(name)
        if name in _OWN:
            self._take(self._made_here(strides, blocks))
            own = self.network
            self._run: Callable[..., list[Tensor]] = own if name == FILTERS else FusedInference(own)
            if isinstance(own, BlotNet):
                self.below = Backbone(FILTERS, own.below)
            self._scale_by(mean=(0.5,) * 3, std=(0.5,) * 3)
            self.eval()
            return
        if name == LITE0:
            self._take(self._made_here(strides, blocks))
            self._scale_by(MEAN, STD)
        else:
            self._take(made(name, strides, blocks))
            config = timm_module().get_pretrained_cfg(name)
            self._scale_by(config.mean, config.std)
        self._run = FusedInference(self.network)
        self.requires_grad_(False).eval()

    def _made_here(self, strides: Sequence[int], blocks: Sequence[int]) -> Made:
        """A network that is not timm's."""
        if blocks:
            raise UserError(f"{self.name} gives features by stride; it has no blocks to choose from")
        if self.name in _OWN:
            if self.weights:
                raise UserError(f"the backbone {self.name!r} takes no weights; leave out --weights {self.weights}")
            own = _OWN[self.name][0](strides)
            return Made(own, tuple(strides), own.channels)
        if not strides or not set(strides) <= set(STRIDES):
            raise UserError(f"{self.name} has features at strides {list(STRIDES)}; asked for were {list(strides)}")
        return Made(Lite0(strides), tuple(strides), [CHANNELS[STRIDES.index(s)] for s in strides])

    def _take(self, found: Made) -> None:
        self.network, self.strides, self.channels, self.blocks = (
            found.network,
            found.strides,
            found.channels,
            found.blocks,
        )

    def _scale_by(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Note what the network's images are standardised by."""
        for key, values in (("mean", mean), ("std", std)):  # statistics of images in [0, 1]; ours are in [-1, 1]
            value = torch.tensor(values).view(1, 3, 1, 1)
            self.register_buffer(key, 2 * value - 1 if key == "mean" else 2 * value, persistent=False)

    @property
    def layers(self) -> list[str]:
        """A name for each tensor of features."""
        return [f"block_{b}" for b in self.blocks] or [f"stride_{s}" for s in self.strides]

    @property
    def title(self) -> str:
        """How tables name it, with its weights: those that were loaded, else as :func:`backbone_title` has it."""
        return self.source["title"] if self.source else backbone_title(self.name)

    @staticmethod
    def size_multiple(name: str) -> int:
        """What divides the height and width of images for the backbone of that name: 32, or a transformer's patch."""
        return STEP if name in (*_OWN, LITE0) else known(name).multiple

    @staticmethod
    def useful_size(size: int, name: str) -> int:
        """The size at which images are worth loading for the backbone of that name, where ``size`` would suit them."""
        if name in _OWN:
            return min(size, OWN_SIZE)
        return size if name == LITE0 else known(name).useful_size(size)

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
        """Fill in the pretrained weights: of the file that was named, else of the installed package where it has them,
        else of the cache, else by timm's download.

        Raises:
            UserError: they are not to be had, or the file holds those of another network.
        """
        if self.name in _OWN:
            return
        if self.weights:
            tensors, source = weights_of.from_file(self.name, self.weights, self._pretrained)
        else:
            tensors, source = weights_of.pretrained(self.name, self._pretrained), weights_of.described(self.name)
        self.network.load_state_dict({key: tensors[key] for key in self.network.state_dict()})
        self.source = source.to_dict()

    def _pretrained(self, given: dict[str, Any]) -> nn.Module:
        """The network as timm makes it with weights."""
        if self.name == LITE0:
            return timm_module().create_model(self.name, **given)  # type: ignore[no-any-return]
        return made(self.name, self.strides, self.blocks, **given).network

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
            images: float, shape (N, 1 or 3, H, W), in [-1, 1]; one channel is shown as gray. Of a transformer the side
                of a patch divides H and W.

        Returns:
            For each stride or block a float tensor of shape (N, C, H / s, W / s); s is its stride.

        Raises:
            UserError: images of a size that the network does not take.
        """
        self._refuse_sizes(images.shape[2], images.shape[3])
        given = [self.standardised(images)] if self.below is None else self.below(images)
        if images.device.type != "cpu" or torch.compiler.is_exporting():
            return self._channels_first(self._run(*given))
        count = max(1, PIXELS // (images.shape[2] * images.shape[3]))
        parts = [self._run(*part) for part in zip(*(torch.split(g, count) for g in given), strict=True)]
        return self._channels_first([torch.cat(features) for features in zip(*parts, strict=True)])

    def _refuse_sizes(self, height: int, width: int) -> None:
        about = self._known
        if about is None or not (about.by_block or about.only):
            return
        if about.only and (height, width) != (about.only, about.only):
            raise UserError(f"{self.name} takes images of {about.only} px alone (--size {about.only}); got {height}")
        if height % about.multiple or width % about.multiple:
            near = max(1, round(height / about.multiple)) * about.multiple
            raise UserError(
                f"{self.name} takes images whose size is a multiple of {about.multiple}, the side of its patches; got "
                f"{height}. Nearest accepted: --size {near}"
            )

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
