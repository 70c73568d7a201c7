"""``subspace``: from one image on, with copies, thresholds that few images can give."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from unblot.data import DataConfig
from unblot.detectors import Batch, create
from unblot.training import TrainConfig, load_run, resolve, train


def seen(detector: torch.nn.Module, images: Tensor) -> None:
    number = torch.arange(len(images))
    assert list(detector.training_step("remember", Batch(images, images, number, number))) == []  # type: ignore[operator]
    detector.finish_phase("remember")  # type: ignore[operator]


@pytest.mark.parametrize(("copies", "times"), [("none", 1), ("mirror", 2), ("rotate", 4)])
def test_copies_count_as_images(smooth: Callable[..., Tensor], copies: str, times: int) -> None:
    detector = create("subspace", channels=3, size=64, backbone="filters", copies=copies).eval()
    seen(detector, smooth(3, 3, 64))
    memory: Any = detector.memory
    fine = memory.banks[0]
    assert sum(int(count) for count, *_ in fine._moments.values()) == times * 3 * 8 * 8
    assert detector.score(smooth(2, 3, 64, seed=1)).map.shape == (2, 1, 64, 64)


def test_a_mirrored_part_is_normal_where_copies_are_mirrored(smooth: Callable[..., Tensor]) -> None:
    image = smooth(1, 3, 64)
    score = {}
    for copies in ("none", "mirror"):
        detector = create("subspace", channels=3, size=64, backbone="filters", copies=copies).eval()
        seen(detector, image)
        score[copies] = float(detector.score(image.flip(3)).image)
    assert score["mirror"] < score["none"]


def test_a_transformers_blocks_are_averaged() -> None:
    detector = create("subspace", channels=3, size=224, backbone="vit_tiny_patch16_224", blocks=[3, 7]).eval()
    assert [bank.centre.shape for bank in detector.memory.banks] == [(192,)]  # type: ignore[union-attr]
    images = torch.rand(1, 3, 224, 224) * 2 - 1
    (found,) = detector._features(images)  # type: ignore[operator]
    torch.testing.assert_close(found, torch.stack(detector.backbone(images)).mean(0))  # type: ignore[operator]


@pytest.fixture
def parts(tmp_path: Path) -> Callable[[int], Path]:
    """A folder with so many normal images for training, and one of each kind for testing."""

    def make(count: int) -> Path:
        drawn = torch.randint(90, 160, (count + 2, 6, 6, 3), generator=torch.Generator().manual_seed(0))
        for i, picture in enumerate(drawn.to(torch.uint8).numpy()):
            part = {count: "test/good", count + 1: "test/bad"}.get(i, "train/good")
            (tmp_path / "parts" / part).mkdir(parents=True, exist_ok=True)
            image = Image.fromarray(picture).resize((64, 64), Image.Resampling.BICUBIC)
            image.save(tmp_path / "parts" / part / f"{i}.png")
        return tmp_path / "parts"

    return make


@pytest.mark.parametrize(("count", "by", "promise"), [(4, "rank", "cross"), (4, "normal", "normal"), (1, "rank", None)])
def test_few_images_give_what_threshold_they_can(
    parts: Callable[[int], Path], tmp_path: Path, count: int, by: str, promise: str | None
) -> None:
    config = TrainConfig("subspace", model_options={"backbone": "filters"}, threshold_by=by, device="cpu")
    config, data, splits = resolve(config, DataConfig(str(parts(count)), held_out=0.0))
    train(config, splits, tmp_path / "run", data=data, progress=False)
    run = load_run(tmp_path / "run")
    if promise is None:
        assert run.threshold is None
        return
    assert run.threshold is not None
    assert (run.threshold.n, run.threshold.promise) == (count, promise)
    assert ("Student" in run.threshold.promised) == (by == "normal")
