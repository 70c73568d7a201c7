"""The scikit-learn estimator: conventions, images in every form, and that it is the same training and scoring."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator

from unblot.backbones.frozen import packaged
from unblot.data import ImageSet, Item, Source, Splits
from unblot.detectors.auto import Auto
from unblot.evaluation import score_set
from unblot.sklearn import AnomalyDetector, _default
from unblot.training import TrainConfig, load_run, train

ODD = st.sampled_from([0.0, 3.5, 16.0, 40.0, np.nan, np.inf])
SMALL: dict[str, Any] = {
    "model": "dae",
    "size": 16,
    "epochs": 1,
    "batch_size": 16,
    "model_options": {"width": 4},
    "random_state": 0,
}


@pytest.fixture(scope="module")
def digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    images, digit = load_digits(return_X_y=True)
    return images, digit


@pytest.fixture(scope="module")
def fitted(digits: tuple[NDArray[np.float64], NDArray[np.int64]]) -> AnomalyDetector:
    images, digit = digits
    return AnomalyDetector(**{**SMALL, "epochs": 15, "lr": 2e-3}, value_range=(0, 16)).fit(images[digit == 1])


def test_it_keeps_scikit_learns_conventions() -> None:
    """Tables are no images; a row is taken for an image of height 1, and values for pixels from -20 to 120."""
    estimator = AnomalyDetector(**SMALL, image_shape=(1, -1), value_range=(-20, 120), corruption="none")
    found = check_estimator(
        estimator,
        on_skip=None,
        on_fail=None,
        expected_failed_checks={
            "check_methods_subset_invariance": "torch rounds differently in batches of another size, and the threshold "
            "is the very score of a held-out image"
        },
    )
    failed = {check["check_name"]: check["exception"] for check in found if check["status"] == "failed"}
    assert failed == {}
    assert sum(check["status"] == "passed" for check in found) >= 40


def test_higher_is_more_normal_and_predictions_follow(
    fitted: AnomalyDetector, digits: tuple[NDArray[np.float64], NDArray[np.int64]]
) -> None:
    images = digits[0][:200]
    scores = fitted.score_samples(images)
    assert ((scores < fitted.offset_) == (fitted.predict(images) == -1)).all()
    assert set(fitted.predict(images)) == {-1, 1}
    assert fitted.anomaly_maps(images[:3]).shape == (3, 16, 16)
    noise = np.random.default_rng(0).integers(0, 17, (50, 64))
    assert fitted.score_samples(noise).max() < np.median(scores)


def test_the_threshold_leaves_the_asked_share_of_held_out_images(digits: tuple[Any, Any]) -> None:
    normal = digits[0][digits[1] == 1]
    estimator = AnomalyDetector(**SMALL, value_range=(0, 16), held_out=0.3, quantile=0.8).fit(normal)
    held_out = normal[estimator.held_out_]
    assert len(held_out) == round(0.3 * len(normal))
    assert (estimator.predict(held_out) == -1).mean() <= 0.2


def test_it_is_the_same_training_and_scoring(tmp_path: Path, digits: tuple[Any, Any]) -> None:
    pixels = np.rint(digits[0][:60].reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)
    estimator = AnomalyDetector(**SMALL, device="cpu").fit(pixels)
    held_out = set(estimator.held_out_.tolist())
    sets = [
        ImageSet([Source(Item(str(i), 0, "", str(i)), pixels[i]) for i in at], channels=1, size=16)
        for at in (sorted(set(range(60)) - held_out), sorted(held_out))
    ]
    config = TrainConfig("dae", {"width": 4}, epochs=1, batch_size=16, device="cpu")
    train(config, Splits("x", sets[0], sets[1], sets[1]), tmp_path / "run", progress=False)
    run = load_run(tmp_path / "run")
    assert estimator.offset_ == -run.calibration.threshold
    expected = score_set(run.detector, sets[0], batch_size=16, progress=False).image
    given = -estimator.score_samples(pixels[sorted(set(range(60)) - held_out)])
    assert (given == expected).all()


@pytest.mark.skipif(not packaged(), reason="without weights the default is trained from scratch, which takes minutes")
def test_the_plain_default_takes_and_judges_arrays(digits: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Auto.__init__

    def few_steps(self: Auto, **shape: Any) -> None:
        begin(self, **shape)
        self.steps = 40

    monkeypatch.setattr(Auto, "__init__", few_steps)
    normal = digits[0][digits[1] == 1]
    estimator = AnomalyDetector(value_range=(0, 16), random_state=0, device="cpu").fit(normal[:40])
    assert estimator.detector_.name == "auto"
    assert estimator.size_ == 64
    assert estimator.anomaly_maps(normal[40:42]).shape == (2, 64, 64)
    other = digits[0][digits[1] == 0][:20]
    assert estimator.score_samples(other).mean() < estimator.score_samples(normal[40:60]).mean()
    assert (estimator.predict(other) == -1).mean() > 0.5


def test_groups_are_not_divided(digits: tuple[Any, Any]) -> None:
    groups = np.arange(40) // 10
    estimator = AnomalyDetector(**SMALL, value_range=(0, 16), held_out=0.25).fit(digits[0][:40], groups=groups)
    assert sorted(set(groups[estimator.held_out_])) == [groups[estimator.held_out_[0]]]
    assert len(estimator.held_out_) == 10


def test_every_form_of_an_image_gives_the_same_scores(fitted: AnomalyDetector, digits: tuple[Any, Any]) -> None:
    rows = digits[0][:5]
    expected = fitted.score_samples(rows)
    for same in (rows.reshape(5, 8, 8), rows.reshape(5, 1, 8, 8), rows.reshape(5, 8, 8, 1), rows.tolist()):
        assert (fitted.score_samples(same) == expected).all()
    colour = np.random.default_rng(0).integers(0, 256, (20, 8, 10, 3), np.uint8)
    estimator = AnomalyDetector(**SMALL).fit(colour)
    assert (estimator.score_samples(colour.transpose(0, 3, 1, 2)) == estimator.score_samples(colour)).all()
    assert estimator.detector_.channels == 3


def test_it_survives_pickle_and_clone_and_stands_in_a_pipeline(
    fitted: AnomalyDetector, digits: tuple[Any, Any]
) -> None:
    some = digits[0][:4]
    again = pickle.loads(pickle.dumps(fitted))
    assert (again.score_samples(some) == fitted.score_samples(some)).all()
    assert clone(fitted).get_params() == fitted.get_params()
    pipeline = make_pipeline(FunctionTransformer(lambda x: x / 16), AnomalyDetector(**SMALL))
    assert pipeline.fit(digits[0][:30]).predict(some).shape == (4,)


def test_torchs_generator_is_left_alone(digits: tuple[Any, Any]) -> None:
    torch.manual_seed(5)
    first = torch.rand(3)
    torch.manual_seed(5)
    AnomalyDetector(**SMALL, value_range=(0, 16)).fit(digits[0][:20])
    assert (torch.rand(3) == first).all()


@pytest.mark.parametrize(
    ("images", "changes", "said"),
    [
        (np.zeros((9, 60)), {}, "image_shape"),
        (np.full((9, 8, 8), 7.0), {}, "value_range"),
        (np.zeros((9, 8, 8, 2)), {}, "must hold images"),
        (np.zeros((9, 8, 8)), {"value_range": (1, 1)}, "the second larger"),
        (np.zeros((9, 8, 8)), {"value_range": (0, np.inf)}, r"finite numbers.*\(0, inf\)"),
        (np.zeros((9, 8, 8)), {"value_range": (0, 1, 2)}, r"two finite numbers.*\(0, 1, 2\)"),
        (np.zeros((9, 8, 8)), {"value_range": 5}, "two finite numbers.*got 5"),
        (np.zeros((9, 0, 8)), {}, r"without pixels.*\(9, 0, 8\)"),
        (np.zeros((9, 64)), {"image_shape": (5, 5)}, r"product is.* 64; one may.*\(5, 5\)"),
        (np.zeros((9, 64)), {"image_shape": (-1, -1)}, r"image_shape.*\(-1, -1\)"),
        (np.zeros((9, 64)), {"image_shape": 7}, "image_shape.*Got 7"),
        (np.zeros((9, 8, 8)), {"size": 16.0}, "size must be a whole number.*16.0"),
        (np.zeros((9, 8, 8)), {"size": 0}, "size must be a whole number.*got 0"),
        (np.zeros((9, 8, 8)), {"held_out": "a"}, "held_out"),
        (np.zeros((9, 8, 8)), {"held_out": 1.0}, "held_out"),
        (np.zeros((9, 8, 8)), {"model": "none"}, "model must be one of"),
        (np.random.default_rng(0).random((9, 8, 8)), {"model_options": {"wide": 3}}, "wide"),
        (np.full((9, 8, 8), np.nan), {}, "NaN"),
    ],
)
def test_what_cannot_be_used_is_named(images: NDArray[Any], changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        AnomalyDetector(**{**SMALL, **changes}).fit(images)


@pytest.mark.parametrize("groups", [[1, 2], 3, np.zeros((9, 2))])
def test_groups_are_one_for_each_image(groups: Any) -> None:
    with pytest.raises(ValueError, match="groups must have one entry for each of the 9 images, got an array of shape"):
        AnomalyDetector(**SMALL).fit(np.zeros((9, 8, 8)), groups=groups)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_array_is_scored_or_refused_with_a_word(fitted: AnomalyDetector, data: st.DataObject) -> None:
    """The detector knows rows of 64 pixels from 0 to 16; what it takes it scores finitely."""
    shape = data.draw(st.sampled_from([(64,), (8, 8), (1, 8, 8), (8, 8, 1)]) | array_shapes(max_dims=4, max_side=8))
    images = np.random.default_rng(data.draw(st.integers(0, 99))).uniform(0, 17, (data.draw(st.integers(1, 3)), *shape))
    images.flat[:2] = data.draw(st.tuples(ODD, ODD))[: images.size]
    images = images.astype(
        data.draw(st.sampled_from(["f8", "f4"] + ["u1", "i2", "?"] * bool(np.isfinite(images).all())))
    )
    try:
        scores = fitted.score_samples(images)
    except ValueError:
        finite = np.isfinite(images.astype(np.float64)).all()
        assert not finite or int(np.prod(shape)) != 64 or len(shape) > 1
    else:
        assert int(np.prod(shape)) == 64
        assert scores.shape == (len(images),)
        assert np.isfinite(scores).all()
        clipped = np.clip(images.astype(np.float64), 0, 16)
        assert fitted.score_samples(clipped) == pytest.approx(scores)


@pytest.mark.parametrize(("size", "model"), [(None, "auto"), (64, "auto"), (16, "dae")])
def test_sizes_that_the_default_does_not_take_go_to_dae(size: int | None, model: str) -> None:
    assert _default(size) == model


def test_long_images_are_fitted_as_asked() -> None:
    images = np.random.default_rng(0).integers(0, 256, (24, 8, 24), np.uint8)
    estimator = AnomalyDetector(**SMALL, image_fit="pad").fit(images)
    assert estimator.anomaly_maps(images[:2]).shape == (2, 16, 16)
    assert estimator.detector_.within(torch.zeros(1, 1, 16, 16)).shape[-2:] == (5, 16)
    with pytest.raises(ValueError, match="fit must be stretch, pad, crop or tile"):
        AnomalyDetector(**SMALL, image_fit="squeeze").fit(images)
