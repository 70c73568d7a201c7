"""One ONNX graph from bytes to score and anomaly map.

The graph takes uint8 (N, H, W, C) of any H and W and does all that a run does with the pixels of a file: resize to the
training size, scale to [-1, 1], score. The resize gives Pillow's own bytes: its bilinear filter (a triangle, as wide as
the shrinking factor, so that it averages) is a matrix of 22-bit fixed-point coefficients for each side, applied along
the width, then along the height, each result rounded and clipped to a byte (Pillow's ``src/libImaging/Resample.c``).
Two products in float64 give those integers exactly. Tall images are the exception: some versions of Pillow take the
height first, and then a byte may differ by one.
"""

from __future__ import annotations

import json
import logging
import platform
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from unblot import __version__
from unblot.data import ImageSet, load_data, load_paths
from unblot.data.items import UNKNOWN, Item, Source
from unblot.deploy.runtime import FORMAT, OnnxDetector, load_onnx
from unblot.detectors import Detector
from unblot.errors import UserError
from unblot.evaluation import image_scores, score_batches, score_set
from unblot.files import write_bytes
from unblot.training import Run

__all__ = [
    "MAP_TOLERANCE",
    "TOLERANCE",
    "Gap",
    "Graph",
    "Parity",
    "check",
    "check_images",
    "export",
    "frames_of",
    "gap",
    "metadata_of",
    "refusal",
    "resize",
]

BITS = 22  # of a fixed-point coefficient (Pillow's PRECISION_BITS)
TOLERANCE = 1e-4  # largest relative difference of a score that passes
MAP_TOLERANCE = 1e-2  # the same of a map, where rounding may choose another of two entries that are equally near
FRAMES = 6  # images that are compared as frames, too
SHAPES = (
    (1.5, 2.05),
    (1.1, 1.9),
    (2.3, 3.1),
)  # height and width of frames that are made, in units of the network's size
OPSET = 18


@dataclass(frozen=True)
class Gap:
    """How far the graph is from the run, over the same images.

    Attributes:
        images: how many.
        score: largest difference of a score, relative to the larger of that score and the median score (both without
            sign), so that a score near zero does not decide.
        map: largest difference of a map's value, relative to the largest value of all maps.
        judged: how many images lie on the other side of the threshold; those are left out that the run itself scores
            so near to it that rounding decides.
    """

    images: int
    score: float
    map: float
    judged: int

    @property
    def passed(self) -> bool:
        """Whether scores agree within :data:`TOLERANCE`, maps within :data:`MAP_TOLERANCE`, and all decisions."""
        return self.score <= TOLERANCE and self.map <= MAP_TOLERANCE and self.judged == 0


@dataclass(frozen=True)
class Parity:
    """How far the graph is from the run, on the two ways that images take.

    Attributes:
        resized: images that are resized when they are read: the graph gets them at the network's size.
        frames: images as cameras give them, larger than that and not square: the run reads and resizes them, the graph
            resizes them itself.
        torch_speed: images of the first kind per second of the run, decoding excluded.
        graph_speed: images of the first kind per second of the graph, decoding excluded.
    """

    resized: Gap
    frames: Gap
    torch_speed: float
    graph_speed: float

    @property
    def passed(self) -> bool:
        """Whether both agree."""
        return self.resized.passed and self.frames.passed


class Graph(nn.Module):
    """What is exported: uint8 (N, H, W, C) to scores (N,) and maps (N, size, size), float32.

    Args:
        detector: in eval mode.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Resize, scale, score."""
        pixels = resize(images.permute(0, 3, 1, 2), self.detector.size)
        scores = self.detector.score(pixels.float() / 127.5 - 1)
        return scores.image.float(), scores.map.float()[:, 0]


def resize(images: Tensor, size: int) -> Tensor:
    """Bytes (N, C, H, W) to (N, C, size, size) as Pillow's bilinear resize gives them, as float64 whole numbers.

    Example:
        >>> resize(torch.tensor([[[[0, 255]]]], dtype=torch.uint8), 1)
        tensor([[[[128.]]]], dtype=torch.float64)
    """
    height, width = images.shape[2:]
    across = _rounded(images.double() @ _coefficients(width, size, images.device).T)
    return _rounded(_coefficients(height, size, images.device) @ across)


def _coefficients(old: int, new: int, device: torch.device) -> Tensor:
    """Pillow's coefficients as whole numbers in float64, shape (new, old); rows sum to about 2 ** BITS."""
    scale = torch.ones((), dtype=torch.float64, device=device) * old / new
    center = (torch.arange(new, dtype=torch.float64, device=device) + 0.5) * scale
    place = torch.arange(old, dtype=torch.float64, device=device) + 0.5
    weights = (1 - ((place - center[:, None]) / scale.clamp_min(1.0)).abs()).clamp_min(0.0)
    fixed: Tensor = weights / weights.sum(1, keepdim=True) * 2**BITS
    return (fixed + 0.5).floor()


def _rounded(sums: Tensor) -> Tensor:
    halved: Tensor = (sums + 2 ** (BITS - 1)) / 2**BITS
    return halved.floor().clamp(0, 255)


def refusal(detector: Detector) -> str | None:
    """Why a detector cannot be a graph; None where it can. Looks into detectors that it holds."""
    for part in detector.modules():
        if isinstance(part, Detector) and part.no_graph:
            return f"{part.name} cannot be exported: {part.no_graph}"
    return None


def metadata_of(run: Run) -> dict[str, Any]:
    """What the file says about itself, JSON values (``docs/deploy.md``)."""
    detector = run.detector
    return {
        "format": FORMAT,
        "unblot": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "run": run.digest,
        "detector": {"name": detector.name, "options": without_places(detector.options)},
        "classes": ["normal", "abnormal"],
        "threshold": None if run.threshold is None else run.threshold.to_dict(),
        "protocol": "clean",
        "training": without_places(run.train.to_dict()),
        "data": None if run.data_config is None else without_places(run.data_config.to_dict()),
        "corruption": None if run.corruption is None else run.corruption.to_dict(),
        "reading": run.reading.to_dict(),
        "input": {
            "name": "images",
            "dtype": "uint8",
            "layout": "NHWC",
            "channels": detector.channels,
            "colour": "gray" if detector.channels == 1 else "RGB",
            "size": detector.size,
            "height_width": "any; resized in the graph to size x size as Pillow's bilinear filter does",
        },
        "output": {
            "score": "float32 (N,), larger is more anomalous, abnormal above threshold",
            "map": f"float32 (N, {detector.size}, {detector.size})",
        },
    }


_PLACES = ("data", "root", "normal", "abnormal", "masks", "corruption", "judge")  # settings that may be paths


def without_places(values: Any, key: str = "") -> Any:
    r"""Settings with each file and folder by its last name alone: a file that is shipped says nothing about the disks,
    users and customers of the machine that made it.

    Example:
        >>> without_places({"data": "/home/jo/parts", "group": r"(.*)_\d+/", "normal": ["../a/good"], "epochs": 3})
        {'data': 'parts', 'group': '(.*)_\\d+/', 'normal': ['good'], 'epochs': 3}
    """
    if isinstance(values, Mapping):
        return {name: without_places(value, str(name)) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [without_places(value, key) for value in values]
    if not isinstance(values, str):
        return values
    table = key == "group" and values.lower().endswith(".csv")
    absolute = PurePosixPath(values).is_absolute() or PureWindowsPath(values).is_absolute()
    if key in _PLACES or table or (absolute and key != "group"):
        return PureWindowsPath(PurePosixPath(values).name).name if values.strip("/\\.") else ""
    return values


def _forget_places(model: Any) -> None:
    """Take out of a graph what the exporter notes of the program that it saw: stack traces, names of modules."""
    graphs = [model.graph, *model.functions]
    for part in (model, *graphs):
        part.doc_string = ""
        del part.metadata_props[:]
    for graph in graphs:  # grows: a node may hold graphs
        values = [*getattr(graph, "value_info", ()), *getattr(graph, "initializer", ())]
        if graph is not model and hasattr(graph, "initializer"):
            values += [*graph.input, *graph.output]
        for entry in (*values, *graph.node):
            entry.doc_string = ""
            del entry.metadata_props[:]
        for node in graph.node:
            for attribute in node.attribute:
                attribute.doc_string = ""
                graphs += [attribute.g] if attribute.HasField("g") else []
                graphs += attribute.graphs


def export(run: Run, out: str | Path) -> None:
    """Write a run's detector as one ONNX file.

    Args:
        run: of a finished or unfinished training; without a threshold the file has none either.
        out: the file; replaced whole, or left as it was.

    Raises:
        UserError: the detector cannot be a graph, the extra is missing, or the file cannot be written.
    """
    if why := refusal(run.detector):
        raise UserError(why)
    try:
        onnx = import_module("onnx")
        import_module("onnxscript")
    except ImportError as error:
        raise UserError(f"export needs {error.name}, which is not installed: pip install 'unblot[export]'") from error
    detector = run.detector.cpu().eval()
    size = detector.size
    # Two images of no special shape: 1 and the training size could be taken for constants.
    example = torch.zeros(2, size + 3, size + 5, detector.channels, dtype=torch.uint8)
    dynamic = {axis: torch.export.Dim(name) for axis, name in enumerate(("batch", "height", "width"))}
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    try:
        quiet.setLevel(logging.ERROR)
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                Graph(detector).eval(),
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=["images"],
                output_names=["score", "map"],
                dynamic_shapes={"images": dynamic},
                verbose=False,
            )
    finally:
        quiet.setLevel(level)
    assert program is not None
    model = program.model_proto
    _forget_places(model)
    onnx.helper.set_model_props(model, {"unblot": json.dumps(metadata_of(run), allow_nan=False)})
    write_bytes(out, model.SerializeToString())


def check_images(run: Run, paths: Sequence[str | Path] | None, limit: int = 64) -> ImageSet:
    """Real images to compare on: those given, else the first test images of the run's own data.

    Raises:
        UserError: the run does not know its data, or they are gone.
    """
    detector = run.detector
    if paths:
        return load_paths(paths, channels=detector.channels, size=detector.size, reading=run.reading)
    config = replace(run.data, channels=detector.channels, size=detector.size)
    test = load_data(config, reading=run.reading, progress=False).test
    return test.first(limit)


def frames_of(images: ImageSet) -> list[NDArray[np.uint8]]:
    """The first images as frames of a camera: larger than the network's size on both sides, not square, of several
    sizes.

    An image that is no such frame is enlarged to one. A tall one is laid on its side: of tall images a byte may differ
    by one, which says nothing of the graph.

    Returns:
        uint8, shape (H, W, channels) each.
    """
    found = []
    for number in range(min(FRAMES, len(images))):
        frame = images.whole(number)
        if frame.shape[0] > frame.shape[1]:
            frame = np.ascontiguousarray(np.rot90(frame))
        height, width = frame.shape[:2]
        if not images.size < height < width:
            tall, wide = SHAPES[number % len(SHAPES)]
            shape = (round(wide * images.size), round(tall * images.size))
            picture = Image.fromarray(frame if images.channels == 3 else frame[..., 0])
            frame = np.array(picture.resize(shape, Image.Resampling.BICUBIC)).reshape(*shape[::-1], images.channels)
        found.append(frame)
    return found


def gap(
    ours: NDArray[np.float64],
    found: NDArray[np.float64],
    apart: float,
    largest: float,
    threshold: float | None,
) -> Gap:
    """Compare scores.

    Args:
        ours: of the run, shape (N,).
        found: of the graph, shape (N,).
        apart: largest difference of two maps.
        largest: value of the run's maps, without sign.
        threshold: of the run; None where it has none.

    Example:
        >>> gap(np.array([1.0, 3.0]), np.array([1.0, 1.5]), 0.0, 1.0, threshold=2.0)
        Gap(images=2, score=0.5, map=0.0, judged=1)
    """
    size = np.maximum(np.maximum(np.abs(ours), np.median(np.abs(ours))), 1e-12)
    judged = 0
    if threshold is not None:
        clear = np.abs(ours - threshold) > TOLERANCE * size
        judged = int((clear & ((ours > threshold) != (found > threshold))).sum())
    score = float((np.abs(found - ours) / size).max())
    return Gap(len(ours), score, apart / max(largest, 1e-12), judged)


def check(run: Run, path: str | Path, images: ImageSet, *, batch_size: int = 16, threads: int | None = None) -> Parity:
    """Score images with the run and with the file, in turn, and compare: as they are read, and some as frames
    (:func:`frames_of`), which the graph resizes itself.

    Args:
        run: what was exported.
        path: the ONNX file.
        images: as :func:`check_images` gives them.
        batch_size: for both; frames go one by one through the graph.
        threads: of the CPU for both; None takes torch's number.
    """
    threads = threads or torch.get_num_threads()
    graph = load_onnx(path, device="cpu", threads=threads)
    image_scores(run.detector, images.first(batch_size), batch_size=batch_size, progress=False)  # both warmed up
    graph.run(_pixels(images, range(min(batch_size, len(images)))))
    resized, speeds = _gap_of_resized(run, graph, images, batch_size)
    return Parity(resized, _gap_of_frames(run, graph, frames_of(images)), *speeds)


def _pixels(images: ImageSet, index: Iterable[int]) -> NDArray[np.uint8]:
    return np.stack([images[i]["image"].numpy().transpose(1, 2, 0) for i in index])


def _gap_of_resized(
    run: Run, graph: OnnxDetector, images: ImageSet, batch_size: int
) -> tuple[Gap, tuple[float, float]]:
    """The gap, and images per second of the run and of the graph."""
    ours, found = np.zeros(len(images)), np.zeros(len(images))
    apart = largest = of_torch = of_graph = 0.0
    start = time.perf_counter()
    for batch in score_batches(run.detector, images, batch_size=batch_size, progress=False):
        of_torch += time.perf_counter() - start
        pixels = _pixels(images, batch.index.tolist())
        start = time.perf_counter()
        scores, maps = graph.run(pixels)
        of_graph += time.perf_counter() - start
        ours[batch.index], found[batch.index] = batch.image, scores
        apart = max(apart, float(np.abs(maps - batch.maps).max()))
        largest = max(largest, float(np.abs(batch.maps).max()))
        start = time.perf_counter()
    speeds = len(images) / max(of_torch, 1e-9), len(images) / max(of_graph, 1e-9)
    return gap(ours, found, apart, largest, _threshold(run)), speeds


def _gap_of_frames(run: Run, graph: OnnxDetector, frames: Sequence[NDArray[np.uint8]]) -> Gap:
    """Frames as arrays through the run's reading and scoring, and whole through the graph."""
    names = [f"frame {number}" for number in range(len(frames))]
    sources = [
        Source(Item(name, UNKNOWN, "", name), frame if frame.shape[2] == 3 else frame[..., 0])
        for name, frame in zip(names, frames, strict=True)
    ]
    detector = run.detector
    read = ImageSet(sources, channels=detector.channels, size=detector.size, reading=run.reading, progress=False)
    ours = score_set(detector, read, progress=False)
    found = [graph.run(frame[None]) for frame in frames]
    scores, maps = (np.concatenate(part) for part in zip(*found, strict=True))
    apart, largest = float(np.abs(maps - ours.maps).max()), float(np.abs(ours.maps).max())
    return gap(ours.image, scores, apart, largest, _threshold(run))


def _threshold(run: Run) -> float | None:
    return None if run.threshold is None else run.threshold.threshold
