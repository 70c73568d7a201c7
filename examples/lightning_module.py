"""The collate in a Lightning training: the module only learns to restore, the loader does the rest."""

from __future__ import annotations

from collections.abc import Sequence
from tempfile import TemporaryDirectory

import lightning
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from unblot import BoxNoise, BoxNoiseCollate


class Restorer(lightning.LightningModule):
    """Any network from images to images of the same shape."""

    def __init__(self, network: nn.Module, collate: BoxNoiseCollate) -> None:
        super().__init__()
        self.network, self.collate = network, collate
        self.losses: list[float] = []

    def on_train_epoch_start(self) -> None:
        """Other blots in every epoch; a loader with persistent workers sees them too."""
        self.collate.set_epoch(self.current_epoch)

    def training_step(self, batch: Sequence[Tensor], number: int) -> Tensor:
        """Restore the clean image from the blotted one."""
        noisy, clean, _ = batch
        loss = nn.functional.mse_loss(self.network(noisy), clean)
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), lr=3e-3)


def main(epochs: int = 3) -> list[float]:
    """The loss of each step."""
    lightning.seed_everything(0, verbose=False)
    images = torch.from_numpy(load_digits().images[:320, None] / 16).float()
    collate = BoxNoiseCollate(BoxNoise(), output="pair", index=1)
    loader = DataLoader(
        TensorDataset(images, torch.arange(len(images))), batch_size=32, shuffle=True, collate_fn=collate
    )
    network = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 1, 3, padding=1), nn.Sigmoid())
    module = Restorer(network, collate)
    with TemporaryDirectory() as folder:
        lightning.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        ).fit(module, loader)
    return module.losses


if __name__ == "__main__":
    losses = main()
    print(f"loss {losses[0]:.4f} at first, {losses[-1]:.4f} after {len(losses)} steps")
