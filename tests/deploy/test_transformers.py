"""An exported detector on a transformer's features gives what its run gives; its file holds no place of weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from unblot.deploy.export import export
from unblot.deploy.parity import check, check_images
from unblot.training import Run

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
pytest.importorskip("timm")

TRANSFORMERS = {  # random weights of a block or two; embeddings of places as a table that is resized, and as rotations
    "test_vit": (64, [0, 5]),
    "vit_small_patch14_reg4_dinov2": (70, [0]),
    "vit_small_patch16_dinov3": (64, [0]),
}


@pytest.mark.parametrize(
    ("model", "backbone"),
    [*zip(("auto", "memory", "memory"), TRANSFORMERS, strict=True), ("feature_mask", "test_vit")],
)
def test_a_graph_of_a_transformer_scores_as_its_run(
    model: str, backbone: str, make_run: Callable[..., Run], photos: Path, tmp_path: Path
) -> None:
    torch.set_num_threads(1)
    size, blocks = TRANSFORMERS[backbone]
    options: dict[str, Any] = {"backbone": backbone, "blocks": blocks, "weights": str(tmp_path / "secret" / "w.pth")}
    run, file = make_run(model, size=size, **options), tmp_path / "model.onnx"
    export(run, file)
    parity = check(run, file, check_images(run, [photos]), batch_size=4, threads=1)
    assert parity.passed, parity
    written = file.read_bytes()
    assert b"w.pth" in written, "which file it was"
    assert b"secret" not in written, "not where it lay"
