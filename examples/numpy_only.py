"""Blots on NumPy arrays; torch is neither needed nor imported."""

from __future__ import annotations

import numpy as np

from unblot import BoxNoise, Gaussian, SaltPepper, corrupt


def main() -> tuple[np.ndarray, np.ndarray]:
    """Noisy images, uint8 (8, 64, 64, 3), and the mask of their blots, (8, 64, 64)."""
    images = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)
    spec = BoxNoise(scale=(0.1, 0.2), num_boxes=(1, 4), noise=[Gaussian(0.2), SaltPepper(0.5)])
    # The key of an image decides its blots: here they are file numbers, so a file gets the same ones in any batch.
    out = corrupt(images, spec, seed=0, keys=[100, 101, 102, 103, 104, 105, 106, 107])
    for key, boxes in zip(range(100, 108), out.boxes, strict=True):
        print(key, ", ".join(f"{box.height} × {box.width} {box.kind}" for box in boxes))
    return out.images, out.mask()


if __name__ == "__main__":
    main()
