"""A run's detector written as one ONNX file, with what the file says about itself."""

from __future__ import annotations

import json
import logging
import platform
import warnings
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import torch

from unblot import __version__
from unblot.deploy.graph import Graph
from unblot.deploy.runtime import FORMAT
from unblot.detectors import Detector
from unblot.errors import UserError
from unblot.files import write_bytes
from unblot.training import Run

__all__ = ["export", "metadata_of", "refusal"]

OPSET = 18


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
            "height_width": "any; fitted in the graph to size x size, resized as Pillow's bilinear filter does",
            "fit": run.reading.fit,
        },
        "output": {
            "score": "float32 (N,), larger is more anomalous, abnormal above threshold",
            "map": f"float32 (N, {detector.size}, {detector.size})",
        },
    }


_PLACES = (
    "data",
    "root",
    "normal",
    "abnormal",
    "masks",
    "corruption",
    "judge",
    "weights",
)  # settings that may be paths


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
                Graph(detector, run.reading.fit).eval(),
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
