"""Scores keep the order, do not depend on the batch, leave the network as it was, and are finite or refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from unblot.data import ImageSet
from unblot.detectors.contract import Detector
from unblot.errors import UserError
from unblot.evaluation import score_set

Make = Callable[..., Detector]
Gray = Callable[..., ImageSet]
VALUES = [(v, 0, "good") for v in (0, 255, 90, 17, 200, 3, 128)]


@pytest.mark.parametrize("batch_size", [1, 2, 7, 64])
def test_scores_do_not_depend_on_the_batch(brightness: Make, gray: Gray, batch_size: int) -> None:
    scores = score_set(brightness().train(), gray(*VALUES), batch_size=batch_size, progress=False)
    expected = np.array([v / 127.5 - 1 for v, _, _ in VALUES]) / np.sqrt(1 + 1e-5)
    assert scores.image.dtype == np.float64
    assert scores.maps.dtype == np.float32
    assert scores.maps.shape == (7, 8, 8)
    np.testing.assert_allclose(scores.image, expected, atol=1e-5)
    np.testing.assert_allclose(scores.maps.mean(axis=(1, 2)), expected, atol=1e-5)
    assert scores.images_per_second > 0


def test_batch_norm_is_left_as_it_was(brightness: Make, gray: Gray) -> None:
    detector = brightness().train()
    before = {k: v.clone() for k, v in detector.state_dict().items()}
    score_set(detector, gray(*VALUES), progress=False)
    assert not any(module.training for module in detector.modules())
    assert all(torch.equal(before[k], v) for k, v in detector.state_dict().items())


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_name_the_images(brightness: Make, gray: Gray, poison: float) -> None:
    with pytest.raises(UserError, match=r"scores of 3 of 7 images are not finite: good/ä 1\.png, good/ä 4\.png"):
        score_set(brightness(poison=poison), gray(*VALUES), progress=False)


def test_a_detector_of_another_shape_is_refused(brightness: Make, gray: Gray) -> None:
    with pytest.raises(ValueError, match="1 channels at 16 x 16, the images have 1 at 8 x 8"):
        score_set(brightness(size=16), gray(*VALUES), progress=False)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        score_set(brightness(), gray(*VALUES), batch_size=0, progress=False)


def test_no_images_give_no_scores(brightness: Make) -> None:
    scores = score_set(brightness(), ImageSet([], channels=1, size=8), progress=False)
    assert scores.image.shape == (0,)
    assert scores.maps.shape == (0, 8, 8)
