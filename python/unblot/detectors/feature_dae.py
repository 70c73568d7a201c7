"""``feature_dae``: a denoising autoencoder in feature space; the patent's corruption on the input side.

Sources: the patent's claim 1 corrupts the input of "any existing model" and asks for the clean image; here what is
asked for are the *features* that a frozen backbone gives of the clean image. Both networks compared by the cosine at
several strides: Bergmann et al., arXiv 1911.02357; Wang et al., arXiv 2103.04257. A student that sees the corrupted
image learns to infer what belongs under a blot from around it; at a defect it tells what should have been there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from unblot.backbones.folding import FusedInference
from unblot.backbones.frozen import Backbone
from unblot.calibration.pooling import auroc, top_mean
from unblot.detectors._backbone_options import BackboneOptions
from unblot.detectors._backbone_phase import LEARN, backbone_phases, backbone_step
from unblot.detectors.contract import Batch, Detector, Phase, Recommended, Scores, Step
from unblot.detectors.options import Options, option
from unblot.layers.unet import UNet

__all__ = ["FeatureDaeOptions", "FeatureDenoisingAutoencoder", "cosine_distance"]

# Values that trials settled on (docs/research-log, 2026-11-27, detection): strides that are restored, the one of them
# that is scored, and the shares of the map among which held-out images choose. Without a judge it is the second.
STRIDES, SCORED = (4, 8, 16), 16
SHARES = (0.005, 0.02, 0.1, 1.0)


@dataclass(frozen=True)
class FeatureDaeOptions(BackboneOptions):
    """What a user may set of ``feature_dae``."""

    width: int = option(24, "channels of the restoring network at half resolution", at_least=1)


def cosine_distance(a: Tensor, b: Tensor) -> Tensor:
    """1 - cos of the angle between feature vectors, (N, C, H, W) twice to (N, 1, H, W), in [0, 2]."""
    return 1 - F.cosine_similarity(a.float(), b.float(), dim=1).unsqueeze(1)


class FeatureDenoisingAutoencoder(Detector):
    """Restoration of a backbone's features.

    The loss is the sum over ``STRIDES`` of the mean distance between what the student makes of the corrupted image and
    the backbone of the clean one. The anomaly map is the distance at stride ``SCORED``, divided by its mean on held-out
    normal images and enlarged. The score is the mean of its largest share: the one of ``SHARES`` that tells held-out
    normals best from the same with defects that training leaves out. Of a transformer each block is restored on the
    grid of patches, and the map is the mean over the blocks. Its figures depend on the weights of the backbone
    (:class:`Backbone`).

    Args:
        channels: 1 or 3.
        size: a multiple of 32, and of a transformer's patch, at least 64.
        options: those of :class:`FeatureDaeOptions`.

    Raises:
        ValueError: an option out of its range.
        UserError: the backbone cannot be had.
    """

    name = "feature_dae"
    summary = "restores the features of a frozen network with a denoising autoencoder"
    options_type = FeatureDaeOptions
    size_multiple = 32
    size_min = 64
    recommended = Recommended(size=128, corruption="mixed", batch_size=16, lr=1e-3, samples_seen=10_000)

    def __init__(self, *, channels: int, size: int, **options: Any) -> None:
        chosen = FeatureDaeOptions.of(options)
        super().__init__(channels=channels, size=size, options=chosen)
        self.backbone = Backbone(chosen.backbone, STRIDES, chosen.blocks, chosen.weights)
        heads = dict(zip(self.backbone.strides, self.backbone.channels, strict=True))
        if self.backbone.blocks:  # together, at the stride next below that of the patches, or at it
            heads = {min(2 ** (self.backbone.strides[0].bit_length() - 1), STRIDES[-1]): sum(self.backbone.channels)}
        self.student = UNet(channels, heads, chosen.width, depth=max(STRIDES).bit_length())
        self._student = FusedInference(self.student)
        self.register_buffer("usual", torch.ones(()))
        self.register_buffer("share", torch.tensor(SHARES[1]))

    usual: Tensor
    share: Tensor

    @classmethod
    def multiple_for(cls, options: Options) -> int:
        """The backbone's and the student's."""
        assert isinstance(options, BackboneOptions)
        return math.lcm(cls.size_multiple, Backbone.size_multiple(options.backbone))

    @classmethod
    def useful_size(cls, size: int, options: Mapping[str, Any]) -> int:
        """The backbone's."""
        return Backbone.useful_size(size, FeatureDaeOptions.of(options).backbone)

    def start(self) -> None:
        """Load the backbone's weights."""
        self.backbone.load_pretrained()

    def phases(self, lr: float) -> Sequence[Phase]:
        """AdamW for the student, whose best judged epoch stays; before it the backbone's phase, if it has one."""
        adam = torch.optim.AdamW(self.student.parameters(), lr, weight_decay=1e-4)
        return [*backbone_phases(self.backbone, lr), Phase("train", {"student": adam}, judged=self)]

    def training_step(self, phase: str, batch: Batch) -> Iterator[Step]:
        """One step a batch: the distances of all strides."""
        if phase == LEARN:
            yield from backbone_step(self.backbone, batch)
            return
        with torch.no_grad():
            wanted = self.backbone(batch.clean)
        pairs = zip(self.backbone.layers, self._restored(batch.noisy), wanted, strict=True)
        yield Step("student", {layer: cosine_distance(a, b).mean() for layer, a, b in pairs})

    def calibrate(self, held_out: Iterable[Tensor], blotted: Iterable[Tensor], groups: Tensor) -> None:  # noqa: ARG002
        """Take the mean distance, and the share of the map that is the score."""
        normal = list(held_out)
        if not normal:
            return
        self.usual = torch.stack([self._distance(images).mean() for images in normal]).mean().clamp_min(1e-6)
        below, above = ([self._coarse(images) for images in batches] for batches in (normal, blotted))
        if above:
            one, other = self.within(torch.cat(below)), self.within(torch.cat(above))
            judged = [auroc(top_mean(one, share), top_mean(other, share)) for share in SHARES]
            self.share = self.share.new_tensor(SHARES[int(torch.stack(judged).argmax())])

    def notes(self) -> dict[str, Any]:
        """The share of the map that is the score."""
        return {"top": round(self.share.item(), 4)}

    def _restored(self, images: Tensor) -> Sequence[Tensor]:
        """What the student makes of images, shaped as the backbone's features."""
        made: list[Tensor] = self._student(images)
        if not self.backbone.blocks:
            return made
        grid = [side // self.backbone.strides[0] for side in images.shape[-2:]]
        patches = made[0] if list(made[0].shape[-2:]) == grid else F.interpolate(made[0], grid, mode="bilinear")
        return torch.split(patches, self.backbone.channels, 1)

    def _distance(self, images: Tensor) -> Tensor:
        """Distance at the scored stride, or its mean over the blocks."""
        pairs = list(zip(self._restored(images), self.backbone(images), strict=True))
        if not self.backbone.blocks:
            pairs = [pairs[STRIDES.index(SCORED)]]
        return torch.stack([cosine_distance(a, b) for a, b in pairs]).mean(0)

    def _coarse(self, images: Tensor) -> Tensor:
        """The map at the scored stride, or on the grid of patches."""
        return self._distance(images) / self.usual

    def score(self, images: Tensor) -> Scores:
        """Mean of the largest values of the map."""
        coarse = self._coarse(images)
        return Scores(
            top_mean(self.within(coarse), self.share), F.interpolate(coarse, images.shape[-2:], mode="bilinear")
        )
