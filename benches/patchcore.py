"""anomalib's PatchCore on the splits, the images and the backbone that ``memory`` has here.

    python -m benches.patchcore magnetic-tile --root DIR --split-seed 0 --size 256 --entries 5000

Its network is timm's ``tf_efficientnet_lite0`` with the same ImageNet weights, its layers those of strides 8 and 16,
and the rest is anomalib's: joined features, greedy coreset, nearest entry, image score weighed by nine neighbours. Its
coreset is chosen one patch after the other, each time looking at all there are, which would take hours on a CPU; so it
is chosen among as many patches drawn at random as our memory chooses among (``--candidates 0`` takes all). Only
training images are remembered; test labels serve the figures alone. Needs anomalib, which is in the extra ``dev``.
"""

from __future__ import annotations

import time

import torch
from anomalib.models.image.patchcore.torch_model import PatchcoreModel
from benches.others import figures, options, splits_of
from torch import Tensor, nn
from torch.utils.data import DataLoader

from unblot.backbones.frozen import PACKAGED, Backbone
from unblot.data import ImageSet
from unblot.detectors import to_signed

LAYERS = ("blocks.2", "blocks.4")  # strides 8 and 16


class PatchCore(nn.Module):
    """anomalib's model with the packaged weights; takes images in [-1, 1], shape (N, C, S, S)."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = PatchcoreModel(layers=list(LAYERS), backbone=PACKAGED, pre_trained=False)
        self.backbone = Backbone(PACKAGED, (8, 16))
        self.backbone.load_pretrained()
        network = self.inner.feature_extractor.feature_extractor
        # The last stage, which the backbone leaves out, stays as it was made: no layer stands behind it.
        network.load_state_dict({**network.state_dict(), **self.backbone.network.state_dict()})

    @torch.no_grad()
    def remember(self, images: ImageSet, entries: int, candidates: int = 0) -> None:
        """See the normal images, then choose the coreset among so many patches drawn at random, or among all."""
        self.inner.train()
        self.inner.feature_extractor.eval()
        for batch in DataLoader(images, batch_size=16):
            self.inner(self.backbone.standardised(to_signed(batch["image"])))
        seen = torch.cat(list(self.inner.embedding_store))
        if candidates:
            seen = seen[torch.randperm(len(seen))[:candidates]]
        self.inner.embedding_store = [seen]
        self.inner.subsample_embedding(min(1.0, entries / len(seen)))
        self.inner.eval()

    @torch.no_grad()
    def score(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Image scores, shape (N,), and anomaly maps, (N, 1, S, S)."""
        found = self.inner(self.backbone.standardised(images))
        return found.pred_score.flatten(), found.anomaly_map


def main() -> None:
    """Train, score the test images, print one line."""
    parser = options("python -m benches.patchcore", __doc__)
    parser.add_argument("--entries", type=int, default=1750, help="patches that are remembered")
    parser.add_argument("--candidates", type=int, default=50_000, help="patches they are chosen among; 0 for all")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.split_seed)
    splits = splits_of(arguments)
    model, start = PatchCore(), time.perf_counter()
    model.remember(splits.train, arguments.entries, arguments.candidates)
    middle = time.perf_counter()
    found = [model.score(to_signed(batch["image"])) for batch in DataLoader(splits.test, batch_size=16)]
    end = time.perf_counter()
    scores, maps = (torch.cat(part).float().numpy() for part in zip(*found, strict=True))
    judged = figures(splits.test, scores, maps[:, 0])
    print(
        f"{arguments.data}, split {arguments.split_seed}, {arguments.size} px, {len(model.inner.memory_bank)} entries: "
        f"{judged}; remembered in "
        f"{middle - start:.0f} s, scored {len(scores) / (end - middle):.1f} images/s"
    )


if __name__ == "__main__":
    main()
