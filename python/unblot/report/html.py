"""The report: one self-contained HTML file from a finished evaluation.

It shows what the paper shows, the histogram of scores (figure 6) and images beside their restorations (figure 7), with
the protocol that the figures were made under named beside them. A script of the page's own (``report.js``) lets a
reader move the threshold, filter the images and open one. Everything stands inside the file; it opens without a
network, and a content security policy in its head keeps it so.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from unblot.corruption.spec import Spec
from unblot.data import ImageSet
from unblot.data.fitting import CROP
from unblot.data.tileset import TileSet
from unblot.detectors.contract import Detector
from unblot.evaluation import NOT_REACHABLE, Evaluation
from unblot.evaluation.maps import shrunk
from unblot.files import write_text
from unblot.layers.pixels import to_signed, to_uint8
from unblot.report.heat import heat
from unblot.report.plots import histogram, pr, roc
from unblot.report.sheet import contact_sheet
from unblot.report.tiles import as_image, chosen, encode, fitting, longest_of, picture_uri

__all__ = ["write_report"]

_BATCH = 64  # images restored at a time
_BLOTTED = 3  # rows of the sheet of the training's corruption
_TINY = 96  # below this size single pixels are shown as squares
_HEADLINE = {
    "auroc": ("AUROC", "chance that an abnormal image scores higher than a normal one; 0.5 is guessing"),
    "auprc": ("AUPRC", "mean precision over all recalls; guessing gives the share of abnormal images"),
    "f1": ("F1 at the threshold", "harmonic mean of precision and recall"),
    "precision": ("precision at the threshold", "share of the images called abnormal that are abnormal"),
    "recall": ("recall at the threshold", "share of the abnormal images that are called abnormal"),
    "false_positive_rate": ("false alarms at the threshold", "share of the normal images that are called abnormal"),
}
_PACKAGES = ("unblot", "torch", "lightning-fabric", "numpy", "scikit-learn", "pillow")


def write_report(
    evaluation: Evaluation,
    folder: str | Path,
    *,
    detector: Detector,
    configuration: Mapping[str, Any],
    corruption_spec: Spec | None,
    device: str | torch.device = "cpu",
) -> Path:
    """Write ``report.html`` into ``folder``; a report that is there is replaced whole or not at all.

    Args:
        evaluation: of ``detector`` on ``evaluation.splits.test``.
        folder: made where it does not exist.
        detector: restores the images that are shown.
        configuration: what to list under "Configuration": JSON values, or mappings of them by heading.
        corruption_spec: what the detector was trained with, shown on some normal images; None leaves
            that out.
        device: where the detector restores; it is moved there.

    Returns:
        Path of the report.
    """
    test, scores, labels = evaluation.splits.test, evaluation.scores, evaluation.splits.test.labels
    threshold, metrics = evaluation.calibration.threshold, evaluation.metrics
    both = 0 < labels.sum() < labels.size
    shown = chosen(scores, labels, threshold)
    pictures = _Pictures(evaluation, detector.to(device).eval(), shown, device)
    context = {
        "title": f"{detector.name} on {evaluation.splits.name}",
        "subtitle": f"{len(test)} test images {_seen(test)}, {_colour(test.channels)}, "
        f"scored at {metrics['images_per_second']:g} images per second",
        "headline": [(name, _figure(metrics[key]), hint) for key, (name, hint) in _HEADLINE.items()],
        "protocol": evaluation.protocol.label,
        "protocol_text": evaluation.protocol.text,
        "threshold_text": _threshold_text(evaluation),
        "missing": _missing(metrics["undefined"]),
        "warnings": metrics["warnings"],
        "curves": [
            ("ROC: receiver operating characteristic", Markup(roc(labels, scores, threshold))),
            ("PR: precision over recall", Markup(pr(labels, scores, threshold))),
        ]
        if both
        else [],
        "histogram": Markup(histogram(labels, scores, threshold)),
        "kinds": _kinds(evaluation),
        "tiles": pictures.tiles,
        "tiles_text": pictures.text,
        "corruption": _corruption_sheet(test, shown, corruption_spec),
        "live": {"threshold": threshold, **_live(evaluation), "pictures": pictures.more},
        "reachable": evaluation.protocol.reachable,
        "script": Markup(files("unblot.report").joinpath("report.js").read_text(encoding="utf-8")),
        "tiny": test.size < _TINY,
        "counts": [
            _count(part, images)
            for part, images in (
                ("training", evaluation.splits.train),
                ("held out for the threshold", evaluation.splits.held_out),
                ("test", test),
            )
        ],
        "description": evaluation.splits.describe(),
        "tables": _tables(metrics),
        "configuration": _configuration(configuration, corruption_spec),
        "versions": _versions(),
    }
    template = files("unblot.report").joinpath("report.html.j2").read_text(encoding="utf-8")
    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(template).render(context)
    out = Path(folder) / "report.html"
    out.parent.mkdir(parents=True, exist_ok=True)
    # File names may hold bytes that are no text; they are shown escaped.
    write_text(out, page)
    return out


class _Pictures:
    """The images that are shown: what stands in the grid, and what opens beside it.

    Attributes:
        tiles: one for each image in the order of ``shown``: ``at`` (its position in the test set), name, kind, truth,
            score, picture.
        more: by position, the pictures beside the original: (label, data URI).
        text: what they are.
    """

    def __init__(
        self, evaluation: Evaluation, detector: Detector, shown: list[int], device: str | torch.device
    ) -> None:
        test, scores, maps = evaluation.splits.test, evaluation.scores, evaluation.maps
        low, high = maps.bounds()
        strips: list[list[tuple[str, Image.Image]]] = []
        longest, cut = longest_of(len(shown)), test.reading.fit == CROP
        for start in range(0, len(shown), _BATCH):
            part = shown[start : start + _BATCH]
            images = torch.stack([test[i]["image"] for i in part])
            restored = _restored(detector, images, device, tiled=test.reading.tiling is not None)
            for k, i in enumerate(part):
                strip = [("original", _in_shape(test, i, as_image(test.unfilled(i, images[k].numpy()), longest)))]
                if restored is not None:
                    strip.append(("restored", as_image(test.unfilled(i, restored[k]), longest)))
                found = heat(test.unfilled(i, shrunk(maps[i], longest)), low, high)
                strip.append(("anomaly map", as_image(found.transpose(2, 0, 1))))
                if (mask := test.mask(i)) is not None:
                    strip.append(("true mask", as_image(test.unfilled(i, mask), longest)))
                strips.append(strip)
        uris = fitting([[image for _, image in strip] for strip in strips])
        self.tiles = [
            {
                "at": i,
                "name": test.items[i].name,
                "kind": test.items[i].kind,
                "truth": _truth(test.items[i].label),
                "score": f"{scores[i]:#.4g}",
                "picture": pictures[0],
            }
            for i, pictures in zip(shown, uris, strict=True)
        ]
        self.more = {
            i: [(label, uri) for (label, _), uri in zip(strip[1:], pictures[1:], strict=True)]
            for i, strip, pictures in zip(shown, strips, uris, strict=True)
        }
        which = (
            "All test images" if len(shown) == len(test) else f"{len(shown)} of {len(test)} test images (those called "
        )
        if len(shown) < len(test):
            which += "wrong, those nearest to the threshold, the highest and the lowest scores)"
        self.text = (
            f"{which}, the most anomalous first. All anomaly maps share one colour scale: black is {low:.3g}, "
            f"pale yellow {high:.3g} and above. Pictures are shrunk to keep this page small."
            + (" They show the middle of the images alone: what is cut away has no score." if cut else "")
        )


def _in_shape(test: ImageSet, index: int, picture: Image.Image) -> Image.Image:
    """A frame that is cut into tiles and was squeezed to be shown, in its own shape again."""
    if test.reading.tiling is None:
        return picture
    facts = test.facts(False)[index]
    longer = max(facts.width, facts.height)
    shape = (max(1, picture.width * side // longer) for side in (facts.width, facts.height))
    return picture.resize((next(shape), next(shape)), Image.Resampling.BILINEAR)


def _restored(
    detector: Detector, images: torch.Tensor, device: str | torch.device, *, tiled: bool
) -> NDArray[np.uint8] | None:
    if tiled:
        return None  # a frame that is squeezed to a square is nothing that the detector knows
    with torch.no_grad():
        restored = detector.restore(to_signed(images.to(device)))
    return None if restored is None else to_uint8(restored).cpu().numpy()


def _corruption_sheet(test: ImageSet, shown: list[int], spec: Spec | None) -> str | None:
    """Some normal test images as the training would have blotted them, on one picture; None without a corruption."""
    normal = [i for i in shown[::-1] if test.items[i].label == 0][:_BLOTTED]
    if spec is None or not normal:
        return None
    inputs = test.inputs
    if isinstance(inputs, TileSet):  # the tile in the middle of each frame
        tiles = [np.flatnonzero(inputs.frame == i) for i in normal]
        normal = [int(each[len(each) // 2]) for each in tiles]
    sheet = contact_sheet(np.stack([inputs[i]["image"].numpy() for i in normal]), spec, draws=4)
    return picture_uri(*encode(sheet, max(sheet.size), 75))


def _live(evaluation: Evaluation) -> dict[str, Any]:
    """What the page's script counts with: scores, labels and kinds of all test images, those that are not shown too."""
    items = evaluation.splits.test.items
    kinds = sorted({(item.label, item.kind) for item in items})
    return {
        "scores": evaluation.scores.tolist(),
        "labels": [item.label for item in items],
        "kinds": [kinds.index((item.label, item.kind)) for item in items],
        "names": [{"truth": _truth(label), "kind": kind} for label, kind in kinds],
    }


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _seen(test: ImageSet) -> str:
    """At what size they are scored."""
    size = f"{test.size} × {test.size} pixels"
    return f"in tiles of {size}" if test.reading.tiling else f"at {size}"


def _colour(channels: int) -> str:
    return "grayscale" if channels == 1 else "RGB"


def _truth(label: int) -> str:
    return "abnormal" if label else "normal"


def _threshold_text(evaluation: Evaluation) -> str:
    above, told = int(evaluation.predicted.sum()), evaluation.metrics["provenance"]["told"]
    label = "" if evaluation.protocol.reachable else f" As in the paper; {NOT_REACHABLE}."
    return f"{' '.join(told)}{label} Above the threshold lie {above} of {len(evaluation.predicted)} test images."


def _missing(undefined: Mapping[str, str]) -> list[str]:
    """One sentence per reason for which headline figures have no value."""
    reasons: dict[str, list[str]] = {}
    for key, why in undefined.items():
        if key in _HEADLINE:
            reasons.setdefault(why, []).append(_HEADLINE[key][0])
    return [f"No {', no '.join(names)}: {why}." for why, names in reasons.items()]


def _kinds(evaluation: Evaluation) -> list[dict[str, str | int]]:
    """One row per label and kind, normal first; the figures of a kind of defect are the evaluation's."""
    test, scores = evaluation.splits.test, evaluation.scores
    rows: list[dict[str, str | int]] = []
    for label, kind in sorted({(item.label, item.kind) for item in test.items}):
        chosen = np.array([(item.label, item.kind) == (label, kind) for item in test.items])
        flagged = int(evaluation.predicted[chosen].sum())
        auroc = evaluation.metrics["per_kind"][kind]["auroc"] if label else None
        rows.append(
            {
                "kind": kind,
                "truth": _truth(label),
                "images": int(chosen.sum()),
                "flagged": flagged,
                "share": f"{100 * flagged / chosen.sum():.1f} %",
                "median": f"{np.median(scores[chosen]):#.4g}",
                "auroc": _figure(auroc) if label else "",
            }
        )
    return rows


def _count(part: str, images: ImageSet) -> dict[str, str | int]:
    abnormal = int((images.labels == 1).sum())
    groups = len({item.group for item in images.items})
    return {"part": part, "normal": len(images) - abnormal, "abnormal": abnormal, "groups": groups}


def _tables(metrics: Mapping[str, Any]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """(caption, text, rows) of the figures that are not above: those of pixels, and the paper's, set apart."""
    tables = []
    if metrics["pixel"]:
        rows = [
            (key.replace("_", " "), _figure(value) if isinstance(value, float) else str(value))
            for key, value in metrics["pixel"].items()
        ]
        tables.append(("Pixels", "Anomaly maps against the true masks, over all images that have one.", rows))
    tables.append(
        (
            "As in the paper: 0.2 on scores scaled to 0–1 over the test set",
            "For comparison and display alone: the scale is made of the test images themselves, so these figures "
            "cannot be had in use.",
            [(key.partition("_minmax")[0], _figure(value)) for key, value in metrics.items() if "_minmax" in key],
        )
    )
    return tables


def _configuration(configuration: Mapping[str, Any], spec: Spec | None) -> list[tuple[str, list[tuple[str, str]]]]:
    """(heading, rows): nested mappings are tables of their own, the rest comes first."""
    tables = {key: value for key, value in configuration.items() if isinstance(value, Mapping)}
    if plain := {key: value for key, value in configuration.items() if key not in tables}:
        tables = {"run": plain, **tables}
    if spec is not None:
        tables["corruption"] = spec.to_dict()
    return [(heading, [(key, _value(value)) for key, value in rows.items()]) for heading, rows in tables.items()]


def _value(value: Any) -> str:
    if value is None or (isinstance(value, list | tuple | Mapping) and not value):
        return "–"
    if isinstance(value, Mapping):
        inner: Iterable[str] = (f"{key}={_value(entry)}" for key, entry in value.items() if key != "type")
        return f"{value['type']}({', '.join(inner)})" if "type" in value else ", ".join(inner)
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value))
    return str(value)


def _versions() -> str:
    found = []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join([*found, f"Python {platform.python_version()}", platform.platform()])
