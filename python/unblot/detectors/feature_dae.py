"""``feature_dae``: a denoising autoencoder in feature space; the patent's corruption on the input side.

Sources: the patent's claim 1 corrupts the input of "any existing model" and asks for the clean image; here what is
asked for are the *features* that a frozen backbone gives of the clean image. Both networks compared by the cosine at
several strides: Bergmann et al., arXiv 1911.02357; Wang et al., arXiv 2103.04257. A student that sees the corrupted
image learns to infer what belongs under a blot from around it; at a defect it tells what should have been there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from unblot.backbones.folding import FusedInference
from unblot.backbones.frozen import PACKAGED, Backbone, ChannelScale
from unblot.calibration.pooling import auroc, top_mean
from unblot.detectors._backbone_phase import LEARN, backbone_phases, backbone_step
from unblot.detectors.contract import Batch, Detector, Phase, Recommended, Scores, Step
from unblot.layers.unet import UNet

__all__ = ["FeatureDenoisingAutoencoder", "cosine_distance"]


def cosine_distance(a: Tensor, b: Tensor) -> Tensor:
    """1 - cos of the angle between feature vectors, (N, C, H, W) twice to (N, 1, H, W), in [0, 2]."""
    return 1 - F.cosine_similarity(a.float(), b.float(), dim=1).unsqueeze(1)


def squared_distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean of the squared differences over the channels, (N, C, H, W) twice to (N, 1, H, W)."""
    return (a.float() - b.float()).square().mean(1, keepdim=True)


SHARES = (0.005, 0.02, 0.1, 1.0)
DISTANCES = {"cosine": cosine_distance, "squared": squared_distance}


class FeatureDenoisingAutoencoder(Detector):
    """Restoration of a backbone's features.

    The loss is the sum over ``strides`` of the mean distance between what the student makes of the corrupted image and
    the backbone of the clean one. The anomaly map is the distance at ``score_strides``, each divided by its mean on
    held-out normal images, averaged and enlarged; the score is the mean of its largest ``top`` share. Its figures
    depend on ImageNet weights (:class:`Backbone`).

    Args:
        channels: 1 or 3.
        size: a multiple of 32, at least 64.
        backbone: a timm model, "filters" or "scratch" (:class:`Backbone`).
        strides: of the features that are restored, ascending.
        score_strides: those of them that are scored.
        width: of the student (:class:`UNet`).
        distance: "cosine", or "squared" for the mean of squared differences.
        scaled: scale the backbone's channels to mean 0 and standard deviation 1 (:class:`ChannelScale`).
        top: share of the map whose mean is the score; None: the one of 0.005, 0.02, 0.1 and 1 that tells held-out
            normals best from the same with defects that training leaves out; 0.02 where nothing is judged.

    Raises:
        ValueError: an option out of its range.
        UserError: the backbone cannot be had.
    """

    name = "feature_dae"
    size_multiple = 32
    size_min = 64
    recommended = Recommended(size=128, corruption="mixed", batch_size=16, lr=1e-3, samples_seen=10_000)

    def __init__(
        self,
        *,
        channels: int,
        size: int,
        backbone: str = PACKAGED,
        strides: Sequence[int] = (4, 8, 16),
        score_strides: Sequence[int] = (16,),
        width: int = 24,
        distance: str = "cosine",
        scaled: bool = False,
        top: float | None = None,
    ) -> None:
        options = {
            "backbone": backbone,
            "strides": list(strides),
            "score_strides": list(score_strides),
            "width": width,
            "distance": distance,
            "scaled": scaled,
            "top": top,
        }
        super().__init__(channels=channels, size=size, options=options)
        if not (width >= 1 and (top is None or 0 <= top <= 1)):
            raise ValueError(f"width must be 1 or more and top in 0..1, got {options!r}")
        if distance not in DISTANCES:
            raise ValueError(f"distance must be one of {', '.join(DISTANCES)}; got {distance!r}")
        if not score_strides or not set(score_strides) <= set(strides):
            raise ValueError(f"score_strides must be some of strides {list(strides)}, got {list(score_strides)}")
        self.backbone = Backbone(backbone, strides)
        heads = dict(zip(strides, self.backbone.channels, strict=True))
        self.student = UNet(channels, heads, width, depth=max(strides).bit_length())
        self._student = FusedInference(self.student)
        self.scale = ChannelScale(self.backbone.channels) if scaled else None
        self.score_strides, self.distance, self.top = tuple(score_strides), DISTANCES[distance], top
        self.register_buffer("usual", torch.ones(len(self.score_strides)))
        self.register_buffer("share", torch.tensor(SHARES[1] if top is None else top))

    usual: Tensor
    share: Tensor

    def start(self) -> None:
        """Load the backbone's weights."""
        self.backbone.load_pretrained()

    def phases(self, lr: float) -> Sequence[Phase]:
        """AdamW for the student, whose best judged epoch stays; before it the backbone's phase, if it has
        one, and a pass that measures channels, if asked.
        """
        adam = torch.optim.AdamW(self.student.parameters(), lr, weight_decay=1e-4)
        measure = [] if self.scale is None else [Phase("measure", {})]
        return [*backbone_phases(self.backbone, lr), *measure, Phase("train", {"student": adam}, judged=self)]

    def training_step(self, phase: str, batch: Batch) -> Iterator[Step]:
        """One step a batch: the distances of all strides. The phase that measures takes none."""
        if phase == LEARN:
            yield from backbone_step(self.backbone, batch)
            return
        with torch.no_grad():
            if self.scale is not None and phase == "measure":
                self.scale.add(self.backbone(batch.clean))
                return
            wanted = self._wanted(batch.clean)
        made = self._student(batch.noisy)
        terms = {
            f"stride_{s}": self.distance(a, b).mean()
            for s, a, b in zip(self.backbone.strides, made, wanted, strict=True)
        }
        yield Step("student", terms)

    def finish_phase(self, phase: str) -> None:
        """Take over the measured scale of the channels."""
        if self.scale is not None and phase == "measure":
            self.scale.finish()

    def _wanted(self, images: Tensor) -> list[Tensor]:
        features: list[Tensor] = self.backbone(images)
        return features if self.scale is None else self.scale(features)

    def _distances(self, images: Tensor) -> list[Tensor]:
        """Distance at each scored stride."""
        pairs = zip(self.backbone.strides, self._student(images), self._wanted(images), strict=True)
        found = {s: self.distance(a, b) for s, a, b in pairs if s in self.score_strides}
        return [found[s] for s in self.score_strides]

    def calibrate(self, held_out: Iterable[Tensor], blotted: Iterable[Tensor], groups: Tensor) -> None:  # noqa: ARG002
        """Take the mean distance at each stride, and the share of the map that is the score."""
        normal = list(held_out)
        if not normal:
            return
        means = [torch.stack([d.mean() for d in self._distances(images)]) for images in normal]
        self.usual = torch.stack(means).mean(0).clamp_min(1e-6)
        if self.top is not None:
            return
        below, above = ([self._coarse(images) for images in batches] for batches in (normal, blotted))
        if above:
            one, other = torch.cat(below), torch.cat(above)
            judged = [auroc(top_mean(one, share), top_mean(other, share)) for share in SHARES]
            self.share = self.share.new_tensor(SHARES[int(torch.stack(judged).argmax())])

    def notes(self) -> dict[str, Any]:
        """The share of the map that is the score."""
        return {"top": round(self.share.item(), 4)}

    def _coarse(self, images: Tensor) -> Tensor:
        """The map at the finest scored stride."""
        parts = [d / u for d, u in zip(self._distances(images), self.usual, strict=True)]
        fine = parts[0].shape[-2:]
        return torch.stack([F.interpolate(d, fine, mode="bilinear") for d in parts]).mean(0)

    def score(self, images: Tensor) -> Scores:
        """Mean of the largest values of the map."""
        coarse = self._coarse(images)
        return Scores(top_mean(coarse, self.share), F.interpolate(coarse, images.shape[-2:], mode="bilinear"))
