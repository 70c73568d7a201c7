"""What the benchmark of scoring times: the default as after a training."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("timm")

from benches.scoring import cases, images, seconds

from unblot.backbones.engines import openvino_engine
from unblot.detectors.auto import Auto
from unblot.layers.bank import Bank


def test_the_default_is_timed_with_each_backbone_and_engine_and_full_memories() -> None:
    torch.manual_seed(0)
    restoring, *ways = cases(64, shown=48)
    assert restoring[:2] == ("feature_dae", 100)
    engine = ["auto, ImageNet weights, OpenVINO"] if openvino_engine() else []
    assert [title for title, _, _ in ways] == ["auto, ImageNet weights", *engine, "auto, from scratch"]
    for title, bar, detector in ways:
        assert bar == 50
        assert isinstance(detector, Auto)
        fine = [bank for bank in detector.modules() if isinstance(bank, Bank) and len(bank.memory) == bank.coreset_size]
        assert fine, "at stride 8 there are more patches than are kept"
        assert (detector.scale[1] != 1).any(), "calibrated"
        assert seconds(detector, images(2, 64)) > 0
        run = detector.backbone._run
        assert (getattr(run, "_fast", None) is not None) == title.endswith("OpenVINO")
