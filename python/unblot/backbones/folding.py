"""A frozen network made fast: BatchNorm folded into the convolutions before it, channels last in memory; on a CPU and
for many images by OpenVINO, where that is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from unblot.backbones.engines import Engine, alike, openvino_engine

__all__ = ["FusedInference", "folded", "stamp"]

WORTH = 48 * 256**2  # pixels that take torch about as long as it takes to make the engine


class FusedInference:
    """Runs a network as its folded copy wherever nothing is learnt: in eval mode, where no gradient is asked for.

    The copy is made when it is first needed and made anew when a parameter or buffer of the network was changed, by a
    step, a checkpoint or a move to another device. It is no submodule of anything and so in no checkpoint. Whatever an
    exported graph is to hold runs the network itself.

    Args:
        network: takes tensors and gives a tensor or a sequence of them.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self._copy: nn.Module | None = None
        self._made_of: list[tuple[int, int]] = []
        self._engine: Engine | None = None
        self._fast: Callable[..., Any] | None = None  # the copy in the engine,
        self._fast_for: list[torch.Size] = []  # for images of these shapes

    def __getstate__(self) -> dict[str, Any]:
        """The network alone: a copy, in this process or another, makes its own."""
        return {**self.__dict__, "_copy": None, "_made_of": [], "_engine": None, "_fast": None, "_fast_for": []}

    def expect(self, example: Tensor, images: int) -> None:
        """Make the engine ready for so many images like the example, shape (1, C, H, W), where it is installed and they
        take longer than that. It is used from then on for images on a CPU; its results differ by rounding.
        """
        device = next((t.device for t in chain(self.network.parameters(), self.network.buffers())), example.device)
        if self._engine is None and device.type == "cpu" and images * example[0, 0].numel() >= WORTH:
            self._engine = openvino_engine()
            self._copy = None

    def __call__(self, *images: Tensor) -> Any:
        """What the network gives for images, each a float tensor of shape (N, C, H, W)."""
        if self.network.training or torch.compiler.is_exporting() or self._learns(images):
            return self.network(*images)
        images = tuple(given.contiguous(memory_format=torch.channels_last) for given in images)
        made_of = stamp(self.network)
        if self._copy is None or made_of != self._made_of:
            with torch.inference_mode(False), torch.no_grad():
                example = tuple(given[:1].clone() for given in images)
                self._copy, self._made_of, self._fast = folded(self.network, *example), made_of, None
                if self._engine is not None and images[0].device.type == "cpu":
                    self._fast = self._engine(self._copy, *example)
                    self._fast_for = [given.shape[1:] for given in images]
        if self._fast is not None and [given.shape[1:] for given in images] == self._fast_for:
            return self._fast(*images)
        return self._copy(*images)

    def _learns(self, images: Sequence[Tensor]) -> bool:
        return torch.is_grad_enabled() and any(t.requires_grad for t in (*images, *self.network.parameters()))


def stamp(network: nn.Module) -> list[tuple[int, int]]:
    """Changes when a parameter or buffer is changed, in place or for another."""
    return [(tensor.data_ptr(), tensor._version) for tensor in chain(network.parameters(), network.buffers())]


@torch.no_grad()
def folded(network: nn.Module, *example: Tensor) -> nn.Module:
    """A copy of a network in eval mode that gives the same, but for rounding, in less time.

    In evaluation mode a BatchNorm is a factor and an offset for each channel, which the convolution before it can apply
    by itself. Which convolution comes before which BatchNorm is guessed from the order in which a module's children
    were made; the copy is then tried on the example, and where it does not give the same, nothing is folded.

    Args:
        network: in eval mode; takes tensors and gives a tensor or a sequence of them. It stays as it is.
        example: what it takes, each of shape (N, C, H, W); random values will do.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
        >>> [type(child).__name__ for child in folded(network, torch.rand(1, 3, 8, 8)).children()]
        ['Conv2d', 'Identity', 'ReLU']
    """
    lean = deepcopy(network)
    _fold(lean)
    lean = lean.to(memory_format=torch.channels_last)
    with torch.autocast(example[0].device.type, enabled=False):  # whose rounding would hide what is compared
        if alike(lean(*example), network(*example)):
            return lean
    return deepcopy(network).to(memory_format=torch.channels_last)


def _fold(module: nn.Module) -> None:
    before: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        if (
            isinstance(child, nn.BatchNorm2d)
            and child.running_mean is not None
            and before is not None
            and isinstance(before[1], nn.Conv2d | nn.ConvTranspose2d)
            and before[1].out_channels == child.num_features
        ):
            transposed = isinstance(before[1], nn.ConvTranspose2d)
            setattr(module, before[0], fuse_conv_bn_eval(before[1], child, transpose=transposed))
            # timm's BatchNorm holds the activation after it.
            setattr(module, name, getattr(child, "act", nn.Identity()))
        else:
            _fold(child)
        before = (name, child)
