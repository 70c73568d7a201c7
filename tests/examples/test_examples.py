"""Every example runs, as short as it can, and does what its first sentence says."""

from __future__ import annotations

import runpy
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str, *needs: str) -> Callable[..., Any]:
    """The ``main`` of an example; skips the test where a package that it needs is not installed."""
    for package in needs:
        pytest.importorskip(package, reason=f"{package} is not installed (extra examples)")
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the packages' own
        main: Callable[..., Any] = runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]
    return main


def test_every_example_is_tested_and_listed() -> None:
    text, listed = Path(__file__).read_text(encoding="utf-8"), (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for path in EXAMPLES.glob("*.py"):
        assert f'"{path.stem}"' in text
        assert f"`{path.name}`" in listed


def test_plain_pytorch() -> None:
    losses, scores = example("plain_pytorch")(epochs=2, limit=96)
    assert losses[1] < losses[0]
    assert scores.shape == (10,)
    assert torch.isfinite(scores).all()


def test_torchvision_compose() -> None:
    image, mask = example("torchvision_compose")()
    assert image.dtype == torch.float32
    assert image.shape == (3, 128, 128)
    assert 0.09 < mask.float().mean() < 0.21  # scale (0.1, 0.2)


def test_sklearn_estimator() -> None:
    found = example("sklearn_estimator")(epochs=1)
    assert found.keys() == {"AnomalyDetector", "IsolationForest"}
    assert all(0 <= auroc <= 1 for auroc in found.values())


def test_numpy_only_does_not_import_torch() -> None:
    code = "import runpy, sys; runpy.run_path(sys.argv[1])['main'](); sys.exit('torch' in sys.modules)"
    path = str(EXAMPLES / "numpy_only.py")
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 8
    images, mask = example("numpy_only")()
    assert images.dtype == np.uint8
    assert ((mask.mean((1, 2)) > 0.09) & (mask.mean((1, 2)) < 0.21)).all()


def test_lightning_module() -> None:
    losses = example("lightning_module", "lightning")(epochs=2)
    assert len(losses) == 20
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


def test_huggingface_datasets() -> None:
    batches = example("huggingface_datasets", "datasets")()
    assert sorted(i for batch in batches for i in batch["index"].tolist()) == list(range(64))
    for batch in batches:
        changed = (batch["noisy"] != batch["clean"]).any(1)
        assert changed.any()
        assert not (changed & (batch["mask"] == 0)).any()


def test_anomalib_model() -> None:
    losses, scores, maps = example("anomalib_model", "anomalib")(steps=1)
    assert np.isfinite(losses).all()
    assert scores.shape == (4,)
    assert maps.shape[-2:] == (32, 32)
