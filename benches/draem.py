"""anomalib's DRAEM on the splits and the images that our detectors have here, for a given time.

    python -m benches.draem magnetic-tile --root DIR --split-seed 0 --size 128 --minutes 10

Networks, losses, optimizer and anomaly generator are anomalib's; the generator has its Perlin noise as texture too,
where the paper takes photographs of textures (Describable Textures), which are only to be had by download. The paper
trains for 700 epochs on a GPU; here training ends with its time, and what it came to is printed: a figure of so short
a training says what a CPU can have of it, not what the method can do. From scratch.
Needs anomalib, which is in the extra ``examples``.
"""

from __future__ import annotations

import time

import torch
from anomalib.data.utils.generators.perlin import PerlinAnomalyGenerator
from anomalib.models.image.draem.loss import DraemLoss
from anomalib.models.image.draem.torch_model import DraemModel
from benches.others import figures, options, splits_of
from torch import Tensor
from torch.utils.data import DataLoader

from unblot.data import ImageSet


def three_channels(batch: Tensor) -> Tensor:
    """Images uint8, shape (N, 1 or 3, S, S), as DRAEM takes them: float in [0, 1], three channels."""
    return batch.float().div(255).expand(-1, 3, -1, -1).contiguous()


def train(model: DraemModel, images: ImageSet, seconds: float, batch_size: int, precision: torch.dtype) -> int:
    """Train for so long; returns how many images were shown."""
    generator, criterion = PerlinAnomalyGenerator(), DraemLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    shown, end = 0, time.perf_counter() + seconds
    model.train()
    while True:
        for batch in DataLoader(images, batch_size=batch_size, shuffle=True, drop_last=True):
            clean = three_channels(batch["image"])
            noisy, mask = generator(clean)
            with torch.autocast("cpu", precision, enabled=precision != torch.float32):
                restored, marked = model(noisy)
            loss = criterion(clean, restored.float(), mask, marked.float())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            shown += len(clean)
            if time.perf_counter() > end:
                return shown


def main() -> None:
    """Train, score the test images, print one line."""
    parser = options("python -m benches.draem", __doc__)
    parser.add_argument("--minutes", type=float, default=10, help="of training")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--bf16", action="store_true", help="networks in bfloat16; fast with AVX-512 alone")
    given = parser.parse_args()
    torch.manual_seed(given.split_seed)
    splits = splits_of(given)
    model = DraemModel()
    precision = torch.bfloat16 if given.bf16 else torch.float32
    shown = train(model, splits.train, 60 * given.minutes, given.batch_size, precision)
    model.eval()
    start = time.perf_counter()
    with torch.no_grad(), torch.autocast("cpu", precision, enabled=given.bf16):
        found = [model(three_channels(batch["image"])) for batch in DataLoader(splits.test, batch_size=16)]
    speed = len(splits.test) / (time.perf_counter() - start)
    scores, maps = (torch.cat([getattr(f, k) for f in found]).float().numpy() for k in ("pred_score", "anomaly_map"))
    judged = figures(splits.test, scores.ravel(), maps.reshape(len(maps), *maps.shape[-2:]))
    print(
        f"{given.data}, split {given.split_seed}, {given.size} px, {shown} images shown in {given.minutes:g} minutes: "
        f"{judged}; scored {speed:.1f} images/s"
    )


if __name__ == "__main__":
    main()
