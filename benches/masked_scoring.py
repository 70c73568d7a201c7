"""Masked scoring: is a restoration judged better where the detector could not see what it restores?

A restorer that passes through what it sees restores a defect too. So boxes are laid over the test image, the boxes of
four patterns tile it, and each pixel is restored from a picture in which it was hidden, equally often as every other
(inpainting with disjoint masks: Zavrtanik et al., RIAD, Pattern Recognition 112, 2021). Beside the plain residual stand
structural ones: gradient magnitude similarity at several scales (RIAD) and SSIM. Each map is pooled three ways.

    python -m benches.masked_scoring RUN [RUN ...] [--every K]

Every line is one way of scoring the test images of a finished run, or each K-th of them; nothing is chosen here. What
came of it stands in ``docs/research-log``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator

import torch
from benches.pooling import POOLS as EVERY_POOL
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset

from unblot.data import load_data
from unblot.detectors import to_signed
from unblot.training.run import load_run

Restore = Callable[[Tensor], Tensor]


def patterns(size: int, box: int, shift: tuple[int, int] = (0, 0)) -> Tensor:
    """Four masks of boxes, boolean (4, 1, size, size): every pixel is hidden by one, and no two boxes touch."""
    y, x = (((torch.arange(size) + s) // box) % 2 for s in shift)
    which = 2 * y[:, None] + x[None]
    return torch.stack([which == k for k in range(4)])[:, None]


def unseen(restore: Restore, images: Tensor, box: int, passes: int = 2) -> Tensor:
    """Restorations, each pixel from pictures that hide it under gray noise, the mean over ``passes`` shifted grids."""
    generator, total = torch.Generator().manual_seed(0), torch.zeros_like(images)
    size = images.shape[-1]
    for number in range(passes):
        for hidden in patterns(size, box, (number * box // passes, number * box // passes)):
            blot = (0.4 * torch.randn(images.shape[1:], generator=generator)).clamp(-1, 1)
            total += torch.where(hidden, restore(torch.where(hidden, blot, images)), 0)
    return total / passes


def absolute(a: Tensor, b: Tensor) -> Tensor:
    """|a - b|, (N, 1, H, W)."""
    return (a - b).abs().mean(1, keepdim=True)


def gradient(a: Tensor, b: Tensor, scales: int = 4) -> Tensor:
    """1 - gradient magnitude similarity, the mean over scales."""
    a, b = ((x.mean(1, keepdim=True) + 1) / 2 for x in (a, b))
    prewitt = torch.tensor([[1.0, 0, -1]] * 3)[None, None] / 3
    kernel, size = torch.cat([prewitt, prewitt.mT]), a.shape[-2:]
    total = torch.zeros_like(a)
    for _ in range(scales):
        if min(a.shape[-2:]) < 4:
            break
        g, h = (
            F.conv2d(F.pad(x, (1,) * 4, mode="reflect"), kernel).square().sum(1, keepdim=True).sqrt() for x in (a, b)
        )
        unlike = 1 - (2 * g * h + 0.0026) / (g.square() + h.square() + 0.0026)
        total = total + F.interpolate(unlike, size, mode="bilinear")
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    return total / scales


def structure(a: Tensor, b: Tensor, window: int = 11, scales: int = 3) -> Tensor:
    """1 - SSIM, the mean over scales (Wang et al., IEEE TIP 13(4), 2004; flat window)."""
    a, b = ((x.mean(1, keepdim=True) + 1) / 2 for x in (a, b))
    size, total = a.shape[-2:], torch.zeros_like(a)
    for _ in range(scales):
        w = min(window, (min(a.shape[-2:]) - 1) | 1)

        def mean(x: Tensor, w: int = w) -> Tensor:
            return F.avg_pool2d(x, w, 1, w // 2, count_include_pad=False)

        m, n = mean(a), mean(b)
        va, vb, cov = mean(a * a) - m * m, mean(b * b) - n * n, mean(a * b) - m * n
        like = (2 * m * n + 1e-4) * (2 * cov + 9e-4) / ((m * m + n * n + 1e-4) * (va + vb + 9e-4))
        total = total + F.interpolate(1 - like, size, mode="bilinear")
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    return total / scales


RESIDUALS = {"absolute": absolute, "gradient": gradient, "ssim": structure}
POOLS = {name: EVERY_POOL[name] for name in ("mean", "top 2 %", "smoothed max")}


def figures(path: str, every: int = 1) -> Iterator[dict[str, object]]:
    """AUROC and speed of every way of scoring one run's test images, or each of ``every`` of them."""
    run = load_run(path)
    test = load_data(run.data).test
    chosen = range(0, len(test), every)
    size = run.detector.size

    def restore(images: Tensor) -> Tensor:
        made = run.detector.restore(images)
        if made is None:
            raise SystemExit(f"{path}: {run.detector.name} restores no images")
        return made

    boxes = {"nothing": 0, "boxes of 1/8": size // 8, "boxes of 1/4": size // 4}
    found: dict[tuple[str, str, str], list[Tensor]] = {}
    seconds = dict.fromkeys(boxes, 0.0)
    with torch.no_grad():
        for batch in DataLoader(Subset(test, chosen), batch_size=64):
            images = to_signed(batch["image"])
            for hidden, box in boxes.items():
                start = time.process_time()
                restored = unseen(restore, images, box) if box else restore(images)
                seconds[hidden] += time.process_time() - start
                for residual, compare in RESIDUALS.items():
                    maps = compare(images, restored)
                    for pool, reduce in POOLS.items():
                        found.setdefault((hidden, residual, pool), []).append(reduce(maps))
    for (hidden, residual, pool), scores in found.items():
        auroc = roc_auc_score(test.labels[list(chosen)], torch.cat(scores))
        speed = len(chosen) / seconds[hidden]
        yield {
            "run": path,
            "hidden": hidden,
            "residual": residual,
            "pool": pool,
            "auroc": round(auroc, 3),
            "restorations_per_cpu_second": round(speed, 1),
        }


def main() -> None:
    """Print a JSON line for every way of scoring every run named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--every", type=int, default=1, metavar="K")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for path in given.runs:
        for row in figures(path, given.every):
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
