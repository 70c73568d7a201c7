"""Scoring with an exported detector; imports no torch.

Image files are read by :mod:`unblot.data.pixels`, as everywhere in this project, so a run
sees the same pixels.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unblot.calibration.thresholds import Calibration
from unblot.data.folders import sources_of
from unblot.data.reading import BEFORE, Reading
from unblot.errors import UserError, shown
from unblot.evaluation.stream import FileScore, score_files

__all__ = ["FORMAT", "GraphScores", "OnnxDetector", "load_onnx"]

FORMAT = 1  # of the metadata; a newer one is refused with a word


@dataclass(frozen=True)
class GraphScores:
    """Scores of N images, in order; larger is more anomalous.

    Attributes:
        image: float64, shape (N,).
        maps: anomaly maps, float32, shape (N, size, size).
        images_per_second: reading of the files included.
    """

    image: NDArray[np.float64]
    maps: NDArray[np.float32]
    images_per_second: float


class OnnxDetector:
    """An exported detector; make one with :func:`load_onnx`.

    Attributes:
        path: the file.
        metadata: what ``unblot export`` wrote into it (``docs/deploy.md``).
    """

    def __init__(
        self, path: Path, session: Any, metadata: dict[str, Any], *, device: str = "auto", threads: int | None = None
    ) -> None:
        self.path, self._session, self.metadata = path, session, metadata
        self._device, self._threads = device, threads

    def __reduce__(self) -> tuple[Any, ...]:
        # A session does not travel; whoever gets the pickle opens the file again.
        return _reopened, (self.path.resolve(), self._device, self._threads, self.metadata)

    @property
    def channels(self) -> int:
        """1 (grayscale) or 3 (RGB)."""
        return int(self.metadata["input"]["channels"])

    @property
    def size(self) -> int:
        """Height and width in pixels that the graph resizes to, and of its maps."""
        return int(self.metadata["input"]["size"])

    @property
    def reading(self) -> Reading:
        """How image files are read, and what those of the training were like."""
        held = self.metadata.get("reading")
        return BEFORE if held is None else Reading.from_dict(held)

    @property
    def calibration(self) -> Calibration:
        """The threshold and where it comes from.

        Raises:
            UserError: the run that was exported had none.
        """
        if self.metadata["threshold"] is None:
            raise UserError(f"{self.path} has no threshold: its run held out no normal images. Train and export again")
        return Calibration.from_dict(self.metadata["threshold"])

    @property
    def threshold(self) -> float:
        """Images that score above are called abnormal; UserError where the run that was exported had none."""
        return self.calibration.threshold

    def run(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Score one batch.

        Args:
            images: uint8, shape (N, H, W, channels), any H and W; resized in the graph.

        Returns:
            Scores (N,) and maps (N, size, size), float32.

        Raises:
            ValueError: another dtype or shape.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != self.channels or 0 in images.shape:
            raise ValueError(
                f"images must be uint8 of shape (N, height, width, {self.channels}), none of them 0; "
                f"got {images.dtype} of shape {images.shape}"
            )
        score, maps = self._session.run(["score", "map"], {"images": np.ascontiguousarray(images)})
        return score, maps

    def score_planes(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """:meth:`run` for images (N, channels, H, W): what :func:`unblot.evaluation.score_files` takes."""
        return self.run(images.transpose(0, 2, 3, 1))

    def stream_paths(
        self, paths: Iterable[str | Path], *, batch_size: int = 16, progress: bool | None = None
    ) -> Iterator[list[FileScore]]:
        """Score files, and the images in folders, as they come: no more maps than a batch are held.

        Args:
            paths: of images and folders.
            batch_size: images at a time; does not change a score by more than rounding.
            progress: None shows a bar where stderr is a terminal and there are many images, False none.

        Yields:
            A list for each batch; a file that cannot be read has no score, and its entry says why.

        Raises:
            UserError: a path that does not exist, or a folder without images.
        """
        return score_files(
            self.score_planes,
            sources_of(paths),
            channels=self.channels,
            size=self.size,
            reading=self.reading,
            tiles=None if self.metadata["threshold"] is None else self.calibration.tiles,
            batch_size=batch_size,
            progress=progress,
        )

    def score_paths(
        self, paths: Iterable[str | Path], *, batch_size: int = 16, progress: bool | None = None
    ) -> tuple[list[str], GraphScores]:
        """Score files, and the images in folders, and keep all maps; :meth:`stream_paths` keeps none.

        Args are those of :meth:`stream_paths`.

        Returns:
            The names of the images and their scores.

        Raises:
            UserError: a path that does not exist, a file that cannot be read, or a score that is not finite.
        """
        began = time.perf_counter()
        entries = [e for batch in self.stream_paths(paths, batch_size=batch_size, progress=progress) for e in batch]
        if problems := [entry.problem for entry in entries if entry.problem]:
            raise UserError(f"{len(problems)} of {len(entries)} images have no score; the first: {problems[0]}")
        seconds = time.perf_counter() - began
        maps = np.stack([entry.map for entry in entries if entry.map is not None])
        scores = np.array([entry.score for entry in entries], np.float64)
        return [entry.name for entry in entries], GraphScores(scores, maps, len(entries) / max(seconds, 1e-9))


def _reopened(path: Path, device: str, threads: int | None, metadata: dict[str, Any]) -> OnnxDetector:
    """The detector of a pickle.

    Raises:
        UserError: the file is no longer there, or another one.
    """
    detector = load_onnx(path, device=device, threads=threads)
    if detector.metadata != metadata:
        raise UserError(f"{path} is no longer the model that was sent here; open it again with load_onnx")
    return detector


def load_onnx(path: str | Path, *, device: str = "auto", threads: int | None = None) -> OnnxDetector:
    """Open a file that ``unblot export`` wrote.

    Args:
        path: the ONNX file.
        device: "cpu", "cuda", or "auto": a GPU where the installed onnxruntime has one.
        threads: of the CPU; None takes onnxruntime's default.

    Raises:
        UserError: onnxruntime is missing, or the file is none of ours, damaged, or of a newer format.
    """
    path = Path(path)
    try:
        ort = import_module("onnxruntime")
    except ImportError as error:
        raise UserError("scoring an ONNX file needs onnxruntime; install it: pip install 'unblot[runtime]'") from error
    if not path.is_file():
        raise UserError(f"there is no file {path}; write one with: unblot export RUN --out {path}")
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"device must be auto, cpu or cuda; got {device!r}")
    has_gpu = "CUDAExecutionProvider" in ort.get_available_providers()
    if device == "cuda" and not has_gpu:
        raise UserError("device cuda was asked for, but this onnxruntime has no CUDA; install onnxruntime-gpu")
    options = ort.SessionOptions()
    options.log_severity_level = 3  # errors alone: what is wrong is said by our own words
    if threads is not None:
        if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= 1024:
            raise UserError(f"threads must be a whole number from 1 to 1024, or None; got {shown(threads)}")
        options.intra_op_num_threads = threads
    providers = [*(["CUDAExecutionProvider"] if has_gpu and device != "cpu" else []), "CPUExecutionProvider"]
    try:
        session = ort.InferenceSession(str(path), options, providers=providers)
        held = session.get_modelmeta().custom_metadata_map
    except Exception as error:  # onnxruntime raises kinds of its own
        raise UserError(
            f"{path} cannot be opened as an ONNX model ({str(error)[:200]}). Export the run again"
        ) from error
    return OnnxDetector(path, session, _metadata(path, held), device=device, threads=threads)


def _metadata(path: Path, held: dict[str, str]) -> dict[str, Any]:
    try:
        metadata = json.loads(held["unblot"])
        version = metadata["format"]
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path} was not written by unblot export: it holds no metadata of unblot") from error
    if version != FORMAT:
        raise UserError(
            f"{path} has export format {version!r}, written by unblot {metadata.get('unblot', '?')}; this version "
            f"reads format {FORMAT}. Use that version, or export the run again"
        )
    _check(path, metadata)
    return dict(metadata)


def _check(path: Path, metadata: Mapping[str, Any]) -> None:
    """Refuse numbers that no export writes: they would judge images in silence, and wrongly."""
    try:
        given = metadata["input"]
        for name, accepted in (("channels", (1, 3)), ("size", range(1, 1 << 16))):
            value = given[name]
            if not isinstance(value, int) or isinstance(value, bool) or value not in accepted:
                raise ValueError(f"input.{name} is {value!r}")
        if metadata["threshold"] is not None:
            Calibration.from_dict(metadata["threshold"])
    except (KeyError, TypeError, ValueError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else error
        raise UserError(f"the metadata of {path} cannot be used: {why}. Export the run again") from error
