"""The patent's claim 1 around a network that was not written for it: corrupt, restore, judge by the residual.

The network is torchvision's LR-ASPP, made for segmentation. All that unblot brings is the ``collate_fn``.
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from torchvision.models.segmentation import lraspp_mobilenet_v3_large

from unblot import BoxNoise, BoxNoiseCollate


def main(epochs: int = 3, limit: int = 192) -> tuple[list[float], torch.Tensor]:
    """Train on digits other than 0; returns the mean loss of each epoch and the anomaly scores of ten images."""
    torch.manual_seed(0)
    images, digit = load_digits(return_X_y=True)
    pixels = torch.from_numpy(images.reshape(-1, 1, 8, 8) / 16).float()
    pixels = F.interpolate(pixels, (32, 32)).repeat(1, 3, 1, 1)
    train, test = pixels[:-10][digit[:-10] != 0][:limit], pixels[-10:]
    index = torch.arange(len(train))

    collate = BoxNoiseCollate(BoxNoise(scale=(0.1, 0.2)), output="pair", index=1)
    loader = DataLoader(TensorDataset(train, index), batch_size=32, shuffle=True, drop_last=True, collate_fn=collate)
    model = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=3)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for epoch in range(epochs):
        collate.set_epoch(epoch)  # other blots in every epoch
        total = 0.0
        for noisy, clean, _ in loader:
            loss = F.l1_loss(model(noisy)["out"].sigmoid(), clean)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        losses.append(total / len(loader))

    model.eval()  # a score must not depend on the batch it stands in
    with torch.no_grad():
        scores = (model(test)["out"].sigmoid() - test).abs().mean((1, 2, 3))
    return losses, scores


if __name__ == "__main__":
    losses, scores = main()
    print("loss of each epoch:", ", ".join(f"{loss:.3f}" for loss in losses))
    print("scores:", ", ".join(f"{score:.3f}" for score in scores))
