"""``RandomBoxNoise`` as a step of a torchvision v2 pipeline; a mask in the sample tells where the blots are."""

from __future__ import annotations

import torch
from sklearn.datasets import load_sample_images
from torchvision import tv_tensors
from torchvision.transforms import v2

from unblot import BoxNoise, Gaussian, RandomBoxNoise, SaltPepper


def main() -> tuple[torch.Tensor, torch.Tensor]:
    """A blotted photograph, float32 (3, 128, 128) in [0, 1], and the mask of its blots, (128, 128)."""
    torch.manual_seed(0)  # the blots are drawn from torch's generator
    spec = BoxNoise(scale=(0.1, 0.2), num_boxes=(1, 3), noise=[Gaussian(0.2), SaltPepper(0.5)])
    pipeline = v2.Compose(
        [
            v2.ToImage(),
            v2.RandomResizedCrop(128, antialias=True),
            v2.RandomHorizontalFlip(),
            RandomBoxNoise(spec, mask="boxes"),
            v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
        ]
    )
    photograph = load_sample_images().images[0].copy()
    mask = tv_tensors.Mask(torch.zeros(photograph.shape[:2], dtype=torch.uint8))
    image, mask = pipeline(photograph, mask)
    return image, mask


if __name__ == "__main__":
    image, mask = main()
    print(f"image {tuple(image.shape)}, {100 * mask.float().mean():.1f} % of it blotted")
