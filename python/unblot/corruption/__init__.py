"""Blotting images: random boxes of mixed noise (US 12 387 466).

``spec`` says what to draw, ``apply`` does it to arrays. ``integrations`` do it in a ``DataLoader`` and in a torchvision
pipeline, ``backends`` on other devices. These two import torch and are not imported from here.
"""

from unblot.corruption.apply import Box, Corrupted, corrupt
from unblot.corruption.noise import Gaussian, Laplace, Paste, Poisson, SaltPepper
from unblot.corruption.presets import named
from unblot.corruption.spec import BoxNoise, FullGaussian
from unblot.corruption.spec_file import load_spec, save_spec

__all__ = [
    "Box",
    "BoxNoise",
    "Corrupted",
    "FullGaussian",
    "Gaussian",
    "Laplace",
    "Paste",
    "Poisson",
    "SaltPepper",
    "corrupt",
    "load_spec",
    "named",
    "save_spec",
]
