"""Trivial facts, files that cannot be used or show nothing, class leakage; and the audit as a whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.evaluation.audit.conftest import Photograph, image_set, source, splits_of

from unblot.data import DataConfig, Source, load_data
from unblot.errors import UserError
from unblot.evaluation.audit import audit, class_leakage, quick_warnings
from unblot.evaluation.audit.classes import class_split, leakage_of
from unblot.evaluation.audit.facts import trivial_facts
from unblot.evaluation.audit.findings import Audit, Finding

Write = Callable[..., DataConfig]


@pytest.fixture
def write(tmp_path: Path, photograph: Photograph) -> Write:
    """A folder of 60 normal and 15 abnormal images; ``change`` alters or drops (None) an image."""

    def make(change: Callable[[bool, int, Image.Image], Image.Image] | None = None) -> DataConfig:
        for bad in (False, True):
            folder = tmp_path / ("bad" if bad else "ok")
            folder.mkdir(exist_ok=True)
            for i in range(15 if bad else 60):
                image = Image.fromarray(photograph(1000 * bad + i, 0))
                (change(bad, i, image) if change else image).save(folder / f"{(i * 7919) % 10007}.png")
        return DataConfig(str(tmp_path), normal=("ok",), abnormal=("bad",), size=32)

    return make


def finding(found: Audit, check: str) -> Finding:
    return next(f for f in found.findings if f.check == check)


def test_nothing_wrong_is_fine(write: Write) -> None:
    found = audit(write())
    assert {f.check: f.level for f in found.findings if f.level != "fine"} == {}
    assert found.level == "fine"
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["level"] == "fine"


def test_size_of_an_image_may_not_tell_the_label(write: Write) -> None:
    found = audit(write(lambda bad, i, image: image.resize((48 + i, 40) if bad else (32 + i % 9, 40))))
    facts = finding(found, "trivial facts")
    assert facts.level == found.level == "fake"
    assert facts.figures["auroc"]["width"] == pytest.approx(1)
    assert "height" not in facts.figures["auroc"]  # it does not vary
    assert "alone tells the label and is never the defect" in facts.remedy
    assert [shown.caption.partition(",")[0] for shown in facts.examples[0]] == ["normal"] * 2 + ["abnormal"] * 2


def test_brightness_is_warned_of_alone(write: Write) -> None:
    found = audit(write(lambda bad, _, image: image.point(lambda v: v // 4) if bad else image))
    facts = finding(found, "trivial facts")
    assert facts.level == found.level == "warning"
    assert facts.figures["auroc"]["brightness"] < 0.05
    assert "It may be the defect itself" in facts.remedy


def test_facts_of_few_images_are_not_sure(photograph: Photograph) -> None:
    train = [source(f"t{i}", photograph(i, 0)) for i in range(10)]
    test = [source("a", photograph(20, 0)), source("b", photograph(21, 0)[:20], label=1)]
    found = trivial_facts(splits_of(train, test), {s.item.name: s for s in test})
    assert found is not None
    assert found.figures["auroc"]["height"] in (0, 1)
    assert found.level == "fine"  # one image of each label says nothing
    assert trivial_facts(splits_of(train, test[:1]), {s.item.name: s for s in test}) is None


def test_the_type_of_a_file_may_not_tell_the_label(write: Write, tmp_path: Path) -> None:
    config = write()
    for path in (tmp_path / "bad").iterdir():
        Image.open(path).save(path.with_suffix(".bmp"))
        path.unlink()
    facts = finding(audit(config), "trivial facts")
    assert facts.level == "fake"
    assert facts.figures["auroc"]["file type"] in (0, 1)


def test_exact_repeats_are_counted_by_label(write: Write, tmp_path: Path) -> None:
    config = replace(write(), group="none")  # which keeps copies apart
    training = [i.name for i in load_data(config).train.items]
    for i in range(3):
        (tmp_path / f"bad/copy{i}.png").write_bytes((tmp_path / training[i]).read_bytes())
    all_found = audit(config)
    found = finding(all_found, "exact repeats")
    assert "among the normal and among the abnormal" in finding(all_found, "what loading says").text
    assert found.level == "fake"
    assert (found.figures["count"], found.figures["abnormal"]) == (3, 3)
    assert found.figures["share"] == pytest.approx(3 / 18)
    assert [[s.name for s in row] for row in found.examples] == [[f"bad/copy{i}.png", training[i]] for i in range(3)]


def test_constant_images_are_named(write: Write) -> None:
    found = audit(write(lambda bad, i, image: Image.new("L", image.size, i) if not bad and i < 12 else image))
    constant = finding(found, "constant images")
    assert constant.level == "fake"
    assert constant.figures["count"] == 12
    one = audit(write(lambda bad, i, image: Image.new("L", image.size) if not bad and i == 3 else image))
    assert finding(one, "constant images").level == "warning"


def test_unreadable_images_and_masks_that_do_not_fit_are_named_and_left_out(write: Write, tmp_path: Path) -> None:
    config = write()
    (tmp_path / "ok/1.png").write_bytes(b"no image")
    names = sorted(p.name for p in (tmp_path / "bad").iterdir())
    (tmp_path / "masks").mkdir()
    full, half, empty = (np.full((32, 32), 255, np.uint8) for _ in range(3))
    half[16:], empty[:] = 0, 0
    for name, mask in zip(names, [full, empty, half[:, :20], *[half] * 12], strict=True):
        Image.fromarray(mask).save(tmp_path / "masks" / name)
    Image.fromarray(half).save(tmp_path / "masks/of nothing.png")
    Image.fromarray(empty).save(tmp_path / "masks/of nothing, empty.png")
    config = DataConfig(config.data, normal=("ok",), abnormal=("bad",), masks=("masks",), size=32)
    with pytest.raises(UserError):
        load_data(config)
    found = audit(config)
    assert found.level == "warning"
    unread, unfit, masks = (finding(found, check) for check in ("unreadable images", "masks of another size", "masks"))
    assert "1 of 76" in unread.text and "ok/1.png cannot be read" in unread.text
    assert unfit.figures["names"] == [f"bad/{names[2]}"]
    wrong = list(masks.figures["wrong"].values())
    assert wrong[:2] == [[f"bad/{names[1]}"], [f"bad/{names[0]}"]]
    assert [Path(path).name for path in wrong[2]] == ["of nothing.png"]
    assert masks.figures["masks"] == 14


def test_what_no_file_is_to_blame_for_is_refused_as_ever(tmp_path: Path, write: Write) -> None:
    write()
    with pytest.raises(UserError, match="need one each"):
        audit(DataConfig(str(tmp_path), normal=("ok",), abnormal=("bad",), size=32, group="ok|bad"))


def test_a_training_is_told_what_would_fake_its_result(photograph: Photograph) -> None:
    pictures = [source(f"shot{4 * part + n}", photograph(part, n)) for n in range(4) for part in range(60)]
    first, second, third = quick_warnings(splits_of(pictures[48:], pictures[:48]))
    assert first.startswith("near-duplicates across the split: ")
    assert second.startswith("sessions in the order of names: ")
    assert third.startswith("near-copies in training: ")
    alone = [source(f"shot{part}", photograph(part, 0)) for part in range(200)]
    assert quick_warnings(splits_of(alone[40:], alone[:40])) == []


def test_leakage_is_chance_where_classes_say_nothing_and_0_where_they_are_apart() -> None:
    rng = np.random.default_rng(0)
    classes = ["a", "b", "c"] * 200
    nothing, chance = leakage_of(rng.normal(size=(600, 4)).astype(np.float32), classes)
    assert chance == pytest.approx(400 / 599)
    assert all(abs(value - chance) < 0.03 for value in nothing.values())
    places = np.array([0, 0, 50])[np.arange(600) % 3, None] + rng.normal(size=(600, 1))
    apart, _ = leakage_of(places.astype(np.float32), classes)
    assert apart["c"] == 0
    assert apart["a"] == pytest.approx(0.5, abs=0.05)


def test_class_leakage_of_a_split_takes_equally_many_of_each_class(photograph: Photograph) -> None:
    def images(kind: str, brightness: float, count: int, label: int = 0, part: str = "") -> list[Source]:
        pixels = [(photograph(i, len(part + kind)) * brightness).astype(np.uint8) for i in range(count)]
        return [source(f"{part}{kind}{i}", x, kind=kind, label=label) for i, x in enumerate(pixels)]

    train = images("dark", 0.3, 100) + images("mid", 0.6, 30)
    test = images("dark", 0.3, 20, part="test ") + images("bright", 1.0, 25, label=1)
    found = class_leakage(splits_of(train, test))
    assert found.per_class == 25
    assert found.leakage.keys() == {"dark", "mid", "bright"}
    assert found.chance == pytest.approx(50 / 74)
    assert found.left_out == found.leakage["bright"]
    assert found.distance_auroc > 0.7
    assert class_split(splits_of(train, test)).figures == found.to_dict()
    few = splits_of(train, test[:20] + test[20:25])
    with pytest.raises(ValueError, match="the smallest class has 5"):
        class_leakage(few)
    with pytest.raises(ValueError, match="normal and abnormal test images"):
        class_leakage(splits_of(train, test[:20]))


def test_class_leakage_stands_in_the_audit_of_a_set_of_classes(write: Write) -> None:
    digits = audit(DataConfig("digits", abnormal=("0",), size=16))
    assert finding(digits, "neighbourhood class leakage").figures["distance_auroc"] > 0.9
    assert all(f.check != "neighbourhood class leakage" for f in audit(write()).findings)


def test_an_empty_set_of_images_has_no_vectors() -> None:
    from unblot.evaluation.audit.neighbours import describe

    assert describe(image_set([]), []).shape == (0, 512)
