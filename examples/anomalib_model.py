"""anomalib's DRAEM, trained with these blots in the place of its own synthetic defects (which need a texture data set).

DRAEM restores a spoilt image and marks what was spoilt. The collate gives both: the blotted image, and with
``mask="changed"`` the exact mask of the pixels that really changed.
"""

from __future__ import annotations

import torch
from anomalib.models.image.draem.loss import DraemLoss
from anomalib.models.image.draem.torch_model import DraemModel
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

from unblot import BoxNoise, BoxNoiseCollate


def main(steps: int = 3) -> tuple[list[float], torch.Tensor, torch.Tensor]:
    """Losses, and of four images the scores, shape (4,), and anomaly maps, (4, 1, 32, 32)."""
    torch.manual_seed(0)
    images = torch.from_numpy(load_digits().images[:, None] / 16).float()
    images = torch.nn.functional.interpolate(images, (32, 32)).repeat(1, 3, 1, 1)
    collate = BoxNoiseCollate(BoxNoise(p=0.5), output="pair", index=1, mask="changed")
    loader = DataLoader(
        TensorDataset(images, torch.arange(len(images))), batch_size=4, shuffle=True, collate_fn=collate
    )
    model, criterion = DraemModel(), DraemLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    losses = []
    for _, (noisy, clean, mask, _) in zip(range(steps), loader, strict=False):
        restored, marked = model(noisy)
        loss = criterion(clean, restored, mask[:, None].float(), marked)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    with torch.no_grad():
        judged = model(images[:4])
    return losses, judged.pred_score, judged.anomaly_map


if __name__ == "__main__":
    losses, scores, _ = main()
    print("losses", losses, "scores", scores.tolist())
