"""A detector as a scikit-learn estimator on arrays: ``fit``, ``score_samples``, ``predict``.

Nothing of its own: ``fit`` splits the images by group, runs the one training loop and takes the threshold from held-out
normal images; the scores come from the one scoring path. Signs are scikit-learn's, as ``IsolationForest`` has them: a
higher score is more normal, and ``predict`` gives 1 for normal and -1 for abnormal. What the rest of the project calls
an anomaly score is ``-score_samples(X)``.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import validation
from sklearn.utils.validation import check_array, check_is_fitted, check_random_state

from unblot.corruption._arrays import ROUNDING
from unblot.data import ImageSet, Item, Reading, Source, Splits, split_by_group
from unblot.data.fitting import CROP, PAD, STRETCH, TILE, side_of
from unblot.detectors import default_model, recommended
from unblot.evaluation import score_set
from unblot.training import TrainConfig, load_run, size_for, train
from unblot.training.draws import own_draws

__all__ = ["AnomalyDetector"]


class AnomalyDetector(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """Trains a detector on normal images in an array and judges others.

    Images are of shape (n_images, height, width) for grayscale, (n_images, height, width, 3) or (n_images, 3, height,
    width) for colour; or rows of pixels, (n_images, n_pixels), whose shape ``image_shape`` tells. uint8 covers 0 to
    255, other types [0, 1] unless ``value_range`` says otherwise; all become uint8 and ``size`` × ``size`` inside.

    Args:
        model: name of a detector (``unblot.detectors.available()``). None: the default, ``auto``; or ``dae`` for sizes
            below 64, which ``auto`` does not take.
        size: height and width in pixels that images are resized to. None: what suits the detector and the images.
        image_fit: how images that are no squares become squares: "stretch", "pad" or "crop"
            (:mod:`unblot.data.fitting`; ``fit`` of the other doors, here the name of a method).
        corruption: "box", "gaussian", "none", "mixed", or the path of a specification. None: what suits the detector,
            as for the next three.
        epochs: passes over the training images.
        batch_size: images per step.
        lr: base learning rate.
        held_out: share of the images that is kept out of training, for the threshold; in [0, 1).
        quantile: of the scores of held-out and left-out images that becomes the threshold, in (0, 1): about
            1 - ``quantile`` of normal images will be called abnormal.
        threshold_by: "rank", or "normal" for few images, which assumes a normal distribution of their scores.
        model_options: the detector's own keyword options, such as ``{"backbone": NAME, "weights": FILE}``.
        image_shape: shape of one image where X holds rows of pixels; one number may be -1. None: square and grayscale.
        value_range: lowest and highest pixel value of X; what lies outside is clipped. None: by dtype.
        device: "auto", "cpu" or "cuda".
        random_state: int, ``RandomState`` or None, as in scikit-learn; fixes weights, order, noise and split.

    Attributes:
        size_: height and width in pixels that images are resized to.
        detector_: the trained :class:`~unblot.detectors.Detector`, on the CPU.
        offset_: threshold of ``score_samples``: below it an image is called abnormal.
        n_features_in_: pixels of one image, all channels.
        feature_names_in_: names of the columns, where X was a table whose columns have names; others are refused later.
        held_out_: positions in X of the images that were kept out of training, for the threshold.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> images, digit = load_digits(return_X_y=True)
        >>> normal = images[digit == 1]
        >>> estimator = AnomalyDetector("dae", size=16, epochs=1, value_range=(0, 16), random_state=0).fit(normal)
        >>> estimator.predict(images[:3]).shape
        (3,)
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        size: int | None = None,
        image_fit: str = STRETCH,
        corruption: str | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        held_out: float = 0.1,
        quantile: float = 0.95,
        threshold_by: str = "rank",
        model_options: Mapping[str, Any] | None = None,
        image_shape: tuple[int, ...] | None = None,
        value_range: tuple[float, float] | None = None,
        device: str = "auto",
        random_state: Any = None,
    ) -> None:
        self.model = model
        self.size = size
        self.image_fit = image_fit
        self.corruption = corruption
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.held_out = held_out
        self.quantile = quantile
        self.threshold_by = threshold_by
        self.model_options = model_options
        self.image_shape = image_shape
        self.value_range = value_range
        self.device = device
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: Any = None, groups: ArrayLike | None = None) -> AnomalyDetector:  # noqa: ARG002, N803
        """Train on normal images and take the threshold from those that are held or left out.

        Args:
            X: normal images, as the class says.
            y: not used; there for scikit-learn's sake.
            groups: shape (n_images,), which part or session an image shows: none is divided between training and
                held-out images. None: each image is its own.

        Raises:
            ValueError: images, shapes or settings that cannot be used (``UserError`` is one).
            NonFiniteLossError: a loss became NaN or infinite.
        """
        size: Any = self.size  # whatever a caller gave
        if size is not None and (isinstance(size, bool) or not isinstance(size, numbers.Integral) or int(size) < 1):
            raise ValueError(f"size must be a whole number of pixels, 1 or more, or None; got {size!r}")
        images = self._images(X, fitting=True)
        given = np.arange(len(images)) if groups is None else np.asarray(groups)
        if given.shape != (len(images),):
            raise ValueError(
                f"groups must have one entry for each of the {len(images)} images, got an array of shape {given.shape}"
            )
        labels = [str(group) for group in given]
        share: Any = self.held_out
        if not (isinstance(share, numbers.Real) and 0 <= float(share) < 1):
            raise ValueError(f"held_out is a share from 0 (none is held out) to below 1, got {self.held_out!r}")
        seed = self._seed()
        parts = split_by_group(labels, [False] * len(images), held_out=self.held_out, test=None, seed=seed)
        self.held_out_ = np.array(parts.held_out)
        asked = {name: getattr(self, name) for name in ("corruption", "epochs", "batch_size", "lr")}
        config = TrainConfig(
            model=self.model or _default(None if size is None else int(size)),
            model_options=dict(self.model_options or {}),
            seed=seed,
            device=self.device,
            quantile=self.quantile,
            threshold_by=self.threshold_by,
            **{name: value for name, value in asked.items() if value is not None},
        )
        height, width = images[0].shape[:2]
        self.size_ = int(size_for(config, side_of(self.image_fit, width, height)) if size is None else size)
        train_set, held_out = (
            self._set([images[i] for i in at], [labels[i] for i in at]) for at in (parts.train, parts.held_out)
        )
        # The loop writes a run directory, which is not the caller's concern. It looks at no test images, so the
        # held-out ones may stand in their place.
        with TemporaryDirectory(prefix="unblot-") as folder:
            train(config, Splits("arrays", train_set, held_out, test=held_out), f"{folder}/run", progress=False)
            run = load_run(f"{folder}/run")
        self.detector_, self.offset_ = run.detector, -run.calibration.threshold
        return self

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """How normal each image is, shape (n_images,), higher is more normal; independent of the other images."""
        return -self._score(X)[0]

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """``score_samples`` less the threshold: negative where an image is called abnormal; shape (n_images,)."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:  # noqa: N803
        """1 for images called normal, -1 for those called abnormal, shape (n_images,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def anomaly_maps(self, X: ArrayLike) -> NDArray[np.float32]:  # noqa: N803
        """Where each image is abnormal: higher is more anomalous, shape (n_images, size, size)."""
        return self._score(X)[1]

    @own_draws()
    def _score(self, X: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float32]]:  # noqa: N803
        check_is_fitted(self)
        images = self._images(X, fitting=False)
        found = score_set(
            self.detector_,
            self._set(images, None),
            batch_size=self.batch_size or 64,
            device=self.device,
            progress=False,
        )
        self.detector_.cpu()
        return found.image, found.maps

    def _seed(self) -> int:
        if isinstance(self.random_state, numbers.Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _images(self, X: ArrayLike, *, fitting: bool) -> list[NDArray[np.uint8]]:  # noqa: N803
        """uint8 images of shape (H, W) or (H, W, 3), after all checks."""
        array = check_array(X, allow_nd=True, dtype=None, estimator=self, ensure_min_samples=2 if fitting else 1)
        if array.dtype.kind not in "uifb":
            array = check_array(array, allow_nd=True, dtype=np.float64, estimator=self)
        _check_names(self, X, fitting=fitting)
        features = int(np.prod(array.shape[1:]))
        if fitting:
            self.n_features_in_ = features
        elif features != self.n_features_in_:
            raise ValueError(
                f"X has {features} features, but {type(self).__name__} is expecting {self.n_features_in_} features "
                "as input"
            )
        if features == 0:
            raise ValueError(f"X holds images without pixels; got shape {array.shape}")
        if array.ndim == 2:
            array = array.reshape(len(array), *self._row_shape(features))
        if array.ndim == 4 and array.shape[1] in (1, 3) and array.shape[3] not in (1, 3):
            array = np.moveaxis(array, 1, -1)
        if array.ndim == 4 and array.shape[3] == 1:
            array = array[..., 0]
        if array.ndim != 3 and not (array.ndim == 4 and array.shape[3] == 3):
            raise ValueError(
                "X must hold images: (n, height, width), (n, height, width, 3), (n, 3, height, width), or rows of "
                f"pixels (n, n_pixels); got shape {np.shape(X)}"
            )
        return list(np.ascontiguousarray(_to_bytes(array, self.value_range)))

    def _row_shape(self, pixels: int) -> tuple[int, ...]:
        if self.image_shape is not None:
            return self._shape_given(pixels)
        side = round(pixels**0.5)
        if side * side != pixels:
            raise ValueError(
                f"X holds rows of {pixels} features, which is not a square image; give image_shape=(height, width), or "
                "X as (n, height, width)"
            )
        return side, side

    def _shape_given(self, pixels: int) -> tuple[int, ...]:
        """``image_shape`` with -1 filled in."""
        try:
            return np.empty(pixels, np.uint8).reshape(self.image_shape).shape
        except (TypeError, ValueError):
            raise ValueError(
                f"image_shape must be whole numbers whose product is the number of pixels of a row, {pixels}; one may "
                f"be -1. Got {self.image_shape!r}"
            ) from None

    def _set(self, images: list[NDArray[np.uint8]], groups: list[str] | None) -> ImageSet:
        names = [str(i) for i in range(len(images))]
        return ImageSet(
            [
                Source(Item(name, 0, "image", group), image)
                for name, group, image in zip(names, groups or names, images, strict=True)
            ],
            channels=3 if images[0].ndim == 3 else 1,
            size=self.size_,
            reading=_reading(self.image_fit),
            progress=False,
        )


def _check_names(estimator: BaseEstimator, X: Any, *, fitting: bool) -> None:  # noqa: N803
    """Keep the names of a table's columns (``feature_names_in_``), or refuse other ones."""
    if hasattr(validation, "validate_data"):
        validation.validate_data(estimator, X, reset=fitting, skip_check_array=True, ensure_2d=False)
    else:  # scikit-learn before 1.6
        estimator._check_feature_names(X, reset=fitting)


def _reading(fit: str) -> Reading:
    """How images become squares; an array holds no frames so large that they were cut into tiles."""
    if fit == TILE:
        raise ValueError(f"image_fit must be {STRETCH}, {PAD} or {CROP}; {fit} is for files: unblot train --fit {fit}")
    return Reading(fit=fit)


def _default(size: int | None) -> str:
    """The detector where none is named: the default of all doors, or ``dae`` for sizes that it does not take."""
    return default_model() if size is None or size >= recommended(default_model()).size else "dae"


def _to_bytes(array: NDArray[Any], value_range: tuple[float, float] | None) -> NDArray[np.uint8]:
    """Pixels as uint8, the range of values spread over 0 to 255."""
    if array.dtype == np.uint8 and value_range is None:
        return array
    try:
        low, high = (0.0, 1.0) if value_range is None else map(float, value_range)
    except (TypeError, ValueError):
        low = high = np.nan
    if not 0 < high - low < np.inf:
        raise ValueError(
            f"value_range must be two finite numbers (lowest, highest), the second larger; got {value_range!r}"
        )
    beyond = ROUNDING.get(array.dtype.name, 1e-5)
    if value_range is None and array.size and not (low - beyond <= array.min() and array.max() <= high + beyond):
        raise ValueError(
            f"X holds values from {array.min()!s} to {array.max()!s} of type {array.dtype}; give "
            "value_range=(lowest, highest), for example (0, 255), or scale to [0, 1]"
        )
    scaled = (np.clip(array.astype(np.float64), low, high) - low) / (high - low)
    return np.rint(scaled * 255).astype(np.uint8)
