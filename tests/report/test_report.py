"""The HTML report: complete, self-contained, escaped, and honest about what is not there."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from unblot.corruption.spec import BoxNoise, Spec
from unblot.data import ImageSet, Item, Source, Splits
from unblot.models import Batch, Detector, Phase, Scores, Step
from unblot.report import write_report
from unblot.scoring import Calibration, evaluate

SIZE = 12
SPEC = BoxNoise(scale=0.2, num_boxes=1)


class Brightness(Detector):
    """Brighter is more anomalous; restores to black, or nothing."""

    name = "brightness"

    def __init__(self, channels: int, restores: bool = True) -> None:
        super().__init__(channels=channels, size=SIZE, options={})
        self.restores = restores

    def phases(self, lr: float) -> list[Phase]:
        return []

    def training_step(self, phase: str, batch: Batch) -> Iterator[Step]:
        yield from ()

    def score(self, images: Tensor) -> Scores:
        return Scores(images.mean(dim=(1, 2, 3)), images.mean(dim=1, keepdim=True))

    def restore(self, images: Tensor) -> Tensor | None:
        return torch.full_like(images, -1) if self.restores else None


def sources(values: list[int], label: int, kind: str, channels: int, mask: Path | None = None) -> list[Source]:
    shape = (SIZE, SIZE) if channels == 1 else (SIZE, SIZE, 3)
    return [
        Source(Item(f"{kind}/{value}.png", label, kind, group=f"{kind}{value}"), np.full(shape, value, np.uint8), mask)
        for value in values
    ]


@dataclass
class Page(HTMLParser):
    """What a reader of the page would get, and where the page points to."""

    text: str
    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    seen: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
                self.links.append(value or "")
            elif name == "id" and tag == "section":
                self.ids.add(value or "")

    def handle_data(self, data: str) -> None:
        self.seen += data


def page(
    folder: Path,
    *,
    channels: int = 1,
    spec: Spec | None = SPEC,
    restores: bool = True,
    abnormal: tuple[str, ...] = ("scratch", "<b>dent</b>"),
    mask: Path | None = None,
    warnings: list[str] | None = None,
) -> Page:
    test = sources([10, 40, 70, 100, 130], 0, "good", channels)
    for kind in abnormal:
        test += sources([90, 200, 250], 1, kind, channels, mask)
    splits = Splits(
        "tiles",
        ImageSet(sources([20, 30, 50], 0, "good", channels), channels=channels, size=SIZE),
        ImageSet(sources([25, 60], 0, "good", channels), channels=channels, size=SIZE),
        ImageSet(test, channels=channels, size=SIZE),
        warnings=warnings or [],
    )
    detector = Brightness(channels, restores)
    evaluation = evaluate(detector, splits, Calibration(0.0, 0.95, 2), progress=False)
    configuration = {"training": {"epochs": 3, "model_options": {"note": "<i>x</i>"}}, "seed": 7}
    path = write_report(evaluation, folder, detector=detector, configuration=configuration, corruption_spec=spec)
    assert path == folder / "report.html"
    return Page(path.read_text(encoding="utf-8"))


def test_all_sections_are_there_and_nothing_is_fetched(tmp_path: Path) -> None:
    report = page(tmp_path / "eval", warnings=["two images repeat"])
    sections = "figures warnings curves histogram kinds most least further-figures counts configuration versions"
    assert set(sections.split()) <= report.ids
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in report.links)
    assert not {"script", "link", "iframe", "object", "embed"} & set(report.tags)
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", report.text))
    assert not re.search(r"https?:|@import", report.text)
    assert report.tags.count("svg") == 3


def test_names_kinds_warnings_and_settings_are_escaped(tmp_path: Path) -> None:
    report = page(tmp_path, warnings=["<script>alert(1)</script>"])
    assert not {"b>dent", "script", "i"} & set(report.tags)
    assert "<b>dent" not in report.text
    for shown in ("<b>dent</b>/250.png", "<script>alert(1)</script>", "<i>x</i>"):
        assert shown in report.seen


def test_figures_are_those_of_the_evaluation(tmp_path: Path) -> None:
    # Normals 10..130 and twice 90, 200, 250: of 5 * 6 pairs, 90 with 100 and with 130 are wrong twice.
    report = page(tmp_path)
    assert "0.867" in report.seen
    assert "Protocol: clean." in report.seen
    assert "no test image chose anything" in report.seen
    assert "cannot be had in use" in report.seen  # said of the paper's threshold
    # The threshold 0 lies at gray value 127.5: one false alarm (130), and two missed (90 of each kind).
    assert "20.0 %" in report.seen
    assert report.seen.count("66.7 %") == 2
    # 11 images: the 8 brightest are shown first, then the 3 darkest that are left.
    assert report.tags.count("img") == 11 * 4
    assert report.text.count('"badge">false alarm<') == 1
    assert report.text.count('"badge">missed<') == 2


@pytest.mark.parametrize(
    ("spec", "restores", "columns"), [(SPEC, True, 4), (None, True, 3), (SPEC, False, 3), (None, False, 2)]
)
def test_columns_without_a_picture_are_left_out(
    tmp_path: Path, spec: Spec | None, restores: bool, columns: int
) -> None:
    report = page(tmp_path, channels=3, spec=spec, restores=restores)
    assert report.tags.count("img") == 11 * columns
    assert ("blotted" in report.seen) == (spec is not None)
    assert ("restored" in report.seen) == restores


def test_pictures_are_the_image_its_blot_and_its_restoration(tmp_path: Path) -> None:
    report = page(tmp_path, channels=3)
    pictures = [np.asarray(Image.open(io.BytesIO(base64.b64decode(link.split(",")[1])))) for link in report.links[-44:]]
    assert sum(link.startswith("data:") for link in report.links) == 44
    original, blotted, restored, _ = pictures[:4]
    assert original.shape == (SIZE, SIZE, 3)
    assert (original == 250).all()
    changed = (blotted != original).any(axis=2).mean()
    assert 0.1 < changed <= 0.25
    assert (restored == 0).all()


def test_masks_are_shown_and_judged_where_they_exist(tmp_path: Path) -> None:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[2:5, 3:9] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    report = page(tmp_path, mask=tmp_path / "mask.png")
    assert "true mask" in report.seen
    assert "Pixels" in report.seen
    assert "true mask" not in page(tmp_path).seen


def test_without_abnormal_images_it_says_what_cannot_be_said(tmp_path: Path) -> None:
    report = page(tmp_path, abnormal=())
    assert "curves" not in report.ids
    assert "No AUROC" in report.seen
    assert "all normal" in report.seen


def test_a_report_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = page(tmp_path).text

    def fail(self: Path, target: Path) -> Path:
        raise OSError("disk gone")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk gone"):
        page(tmp_path, warnings=["new"])
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == before
