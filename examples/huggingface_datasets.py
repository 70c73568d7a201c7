"""The collate over a Hugging Face data set: samples are mappings, so places are named by key.

``load_dataset("imagefolder", data_dir=...)`` gives the same kind of data set from a folder of yours.
"""

from __future__ import annotations

from typing import Any

import datasets
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader

from unblot import BoxNoise, BoxNoiseCollate


def main() -> list[dict[str, Any]]:
    """The batches of one epoch: noisy and clean images, masks, labels and indices."""
    digits = load_digits()
    pictures = [Image.fromarray(np.uint8(image * 15)).resize((32, 32)) for image in digits.images[:64]]
    data = datasets.Dataset.from_dict(
        {"image": pictures, "label": digits.target[:64], "index": range(64)},
        features=datasets.Features(
            {"image": datasets.Image(), "label": datasets.Value("int64"), "index": datasets.Value("int64")}
        ),
    ).with_format("torch")
    # The column "index" is the image's key: shuffling and workers change no blot.
    collate = BoxNoiseCollate(BoxNoise(), output="dict", image="image", index="index", mask=True)
    return list(DataLoader(data, batch_size=16, shuffle=True, collate_fn=collate))


if __name__ == "__main__":
    for batch in main():
        print({name: tuple(value.shape) for name, value in batch.items()})
