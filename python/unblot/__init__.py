"""Image anomaly detection from normal images only, on a Rust corruption core.

``corrupt`` blots images with random boxes of mixed noise; ``BoxNoiseCollate`` does it inside a ``DataLoader`` and
``RandomBoxNoise`` inside a torchvision pipeline. Detectors, training and evaluation live in the subpackages and behind
the ``unblot`` command.

Every public name is loaded when it is first used, so ``import unblot`` alone imports neither NumPy nor torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unblot._core import __version__ as __version__
    from unblot.corruption.apply import Corrupted, corrupt
    from unblot.corruption.integrations.collate import BoxNoiseCollate
    from unblot.corruption.integrations.transform import RandomBoxNoise
    from unblot.corruption.noise import Gaussian, Laplace, Paste, Poisson, SaltPepper
    from unblot.corruption.spec import BoxNoise, FullGaussian
    from unblot.errors import UserError

__all__ = [
    "BoxNoise",
    "BoxNoiseCollate",
    "Corrupted",
    "FullGaussian",
    "Gaussian",
    "Laplace",
    "Paste",
    "Poisson",
    "RandomBoxNoise",
    "SaltPepper",
    "UserError",
    "__version__",
    "corrupt",
]

_HOME = {
    "BoxNoise": "unblot.corruption.spec",
    "BoxNoiseCollate": "unblot.corruption.integrations.collate",
    "Corrupted": "unblot.corruption.apply",
    "FullGaussian": "unblot.corruption.spec",
    "Gaussian": "unblot.corruption.noise",
    "Laplace": "unblot.corruption.noise",
    "Paste": "unblot.corruption.noise",
    "Poisson": "unblot.corruption.noise",
    "RandomBoxNoise": "unblot.corruption.integrations.transform",
    "SaltPepper": "unblot.corruption.noise",
    "UserError": "unblot.errors",
    "__version__": "unblot._core",
    "corrupt": "unblot.corruption.apply",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'unblot' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
