"""Fusion: parts at their own sizes, scores made comparable, weights from a prior and a judgement."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from unblot.models.fusion import AtSize, Auto, Fusion, default_parts, part_sizes

from unblot.models.detector import _REGISTRY, Batch, Detector, Phase, Scores, Step, create, register, useful_size
from unblot.models.memory import Memory


class Bright(Detector):
    """Scores how bright an image is; keeps the sizes that it saw."""

    name = "bright"
    factor = 1.0

    def __init__(self, *, channels: int, size: int) -> None:
        super().__init__(channels=channels, size=size, options={})
        self.seen: list[tuple[int, ...]] = []

    def phases(self, lr: float) -> Sequence[Phase]:
        return [Phase("look", {}, judged=self)]

    def training_step(self, phase: str, batch: Batch) -> Iterator[Step]:
        self.seen += [tuple(x.shape) for x in (batch.noisy, batch.clean, batch.mask)]
        return iter(())

    def score(self, images: Tensor) -> Scores:
        self.seen.append(tuple(images.shape))
        maps = self.factor * images.mean(1, keepdim=True)
        return Scores(maps.mean((1, 2, 3)), maps)


class Blind(Bright):
    """Scores noise."""

    name = "blind"
    factor = 1000.0

    def score(self, images: Tensor) -> Scores:
        torch.manual_seed(int(1000 * images.abs().sum()))
        maps = self.factor * torch.rand(len(images), 1, *images.shape[-2:])
        return Scores(self.factor * torch.rand(len(images)), maps)


class Dim(Bright):
    """Scores how bright an image is, through noise of half of what the tests brighten by."""

    name = "dim"

    def score(self, images: Tensor) -> Scores:
        found = super().score(images)
        torch.manual_seed(int(1000 * images.abs().sum()))
        return Scores(found.image + 0.12 * torch.randn(len(images)), found.map)


@pytest.fixture(autouse=True)
def _known() -> Iterator[None]:
    register(Bright)
    register(Blind)
    register(Dim)
    yield
    del _REGISTRY["bright"], _REGISTRY["blind"], _REGISTRY["dim"]


Images = Callable[[int], Tensor]


@pytest.fixture
def images() -> Images:
    torch.manual_seed(0)
    return lambda n: (torch.rand(n, 1, 64, 64) - 0.5) * 0.2


def test_what_stands_on_features_sees_all_pixels_and_what_is_trained_whole_half_of_each_side() -> None:
    parts: dict[str, dict[str, Any]] = {"memory": {}, "feature_mask": {}, "mask": {}}
    assert part_sizes(parts, 256) == {"memory": 256, "feature_mask": 256, "mask": 128}
    assert part_sizes({"mask": {}}, 128) == {"mask": 128}, "not below 128 where the images have as much"
    assert part_sizes({"mask": {}}, 64) == {"mask": 64}
    assert part_sizes({"mask": {}}, 320) == {"mask": 160}


def test_images_are_loaded_no_larger_than_a_part_looks_at_them() -> None:
    memories = ["memory@filters", "memory@scratch"]
    assert useful_size("auto", 512, {}) == useful_size("memory", 512, {}) == useful_size("dae", 512, {}) == 512
    assert useful_size("memory", 512, {"teacher": "filters"}) == useful_size("auto", 512, {"parts": memories}) == 256
    by_option = {"parts": ["memory"], "part_options": {"memory": {"teacher": "scratch"}}}
    assert useful_size("auto", 512, by_option) == 256, "whichever way the teacher is named"
    assert useful_size("fusion", 512, {"parts": memories, "sizes": {"memory@filters": 384}}) == 512, "as the other does"
    assert useful_size("fusion", 512, {"parts": memories, "sizes": dict.fromkeys(memories, 384)}) == 384
    assert useful_size("auto", 256, {"parts": memories, "sizes": dict.fromkeys(memories, 384)}) == 256
    with pytest.raises(ValueError, match=r"auto does not accept.*256"):
        useful_size("auto", 512, {"sizes": 256})
    made = Fusion(channels=1, size=512, parts=["memory"], part_options={"memory": {"teacher": "scratch"}})
    assert made.options["sizes"] == {"memory": 256}


def test_a_part_may_name_its_teacher() -> None:
    few = {"entries": 50}
    options = {"memory@filters": few, "memory@scratch": few}
    auto = Auto(channels=1, size=64, parts=["memory@filters", "memory@scratch", "bright"], part_options=options)
    found = [part.inner for part in auto.parts.values() if isinstance(part, AtSize)]
    assert [part.teacher.name for part in found if isinstance(part, Memory)] == ["filters", "scratch"]
    assert auto.prior.tolist() == pytest.approx([4 / 9, 4 / 9, 1 / 9]), "a memory counts as one with any teacher"
    assert auto.options["part_options"]["memory@filters"] == {"teacher": "filters", **few}
    with pytest.raises(ValueError, match="fusion"):
        Auto(channels=1, size=64, parts=["fusion@filters"])
    with pytest.raises(ValueError, match=r"part_options.*memory"):
        Auto(channels=1, size=64, parts=["memory@resnet18.a1_in1k"])
    with pytest.raises(ValueError, match=r"does not accept.*teacher"):
        Auto(channels=1, size=64, parts=["mask@filters"])


def test_default_parts_need_no_weights_where_none_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unblot.models.fusion.packaged", lambda: True)
    assert any("@" not in part for part in default_parts())
    monkeypatch.setattr("unblot.models.fusion.packaged", lambda: False)
    assert {part.partition("@")[2] for part in default_parts()} == {"filters", "scratch"}


def test_a_part_at_its_own_size(images: Images) -> None:
    inner = Bright(channels=1, size=32)
    part = AtSize(inner, 64)
    mask = torch.zeros(2, 1, 64, 64)
    mask[:, :, 5, 9] = 1
    x = images(2)
    list(part.training_step("look", Batch(x, x, mask, torch.arange(2), torch.arange(2))))
    assert set(inner.seen) == {(2, 1, 32, 32)}
    found = part.score(x)
    assert found.map.shape == (2, 1, 64, 64)
    torch.testing.assert_close(found.image, x.mean((1, 2, 3)))
    (phase,) = part.phases(0.1)
    assert phase.judged is part, "it is judged with images of its own outer size"


def test_scores_of_any_scale_count_alike(images: Images) -> None:
    fusion = Fusion(channels=1, size=64, parts=["bright", "blind"])
    fusion.calibrate([images(40)], [], torch.arange(40))
    scores, maps = fusion._standardised(images(200))
    assert (scores.median(1).values.abs() < 1).all()
    assert (scores.std(1) < 3).all()
    assert (maps.flatten(1).std(1) < 3).all()


class Doubtful(Bright):
    """Says of images that it was calibrated on that they are a little brighter than it scores them."""

    name = "doubtful"

    def calibrate(self, held_out: Iterable[Tensor], blotted: Iterable[Tensor], groups: Tensor) -> Tensor:
        return torch.cat([self.score(images).image for images in held_out]) + 0.5


def test_left_out_scores_are_standardised_and_weighed_like_scores(images: Images) -> None:
    normal = [images(5), images(3)]
    plain = Fusion(channels=1, size=64, parts=["bright", "dim"])
    assert plain.calibrate(normal, [], torch.arange(8)) is None, "scores are as good"
    register(Doubtful)
    try:
        fusion = Fusion(channels=1, size=64, parts=["bright", "doubtful"], weights=[1, 3], sizes={"doubtful": 32})
    finally:
        del _REGISTRY["doubtful"]
    found = fusion.calibrate(normal, [], torch.arange(8))
    assert found is not None
    scores = torch.cat([fusion.score(x).image for x in normal])
    torch.testing.assert_close(found, scores + 0.75 * 0.5 / fusion.scale[1, 1])


def test_training_images_are_scored_left_out_where_all_that_count_can(images: Images) -> None:
    class Knowing(Bright):
        """Scores images as a little brighter where their group is left out."""

        name = "knowing"

        def score_left_out(self, images: Tensor, groups: Tensor) -> Tensor:
            return self.score(images).image + groups

    register(Knowing)
    try:
        parts, sizes = ["knowing", "bright"], {"knowing": 32}
        alone, both = (Fusion(channels=1, size=64, parts=parts, weights=w, sizes=sizes) for w in ([1, 0], [1, 1]))
    finally:
        del _REGISTRY["knowing"]
    for fusion in (alone, both):
        fusion.calibrate([images(8)], [], torch.arange(8))
    x, groups = images(3), torch.tensor([0, 5, 7])
    found = alone.score_left_out(x, groups)
    assert found is not None
    torch.testing.assert_close(found, alone.score(x).image + groups / alone.scale[1, 0])
    assert both.score_left_out(x, groups) is None, "a part that counts cannot tell"


def test_few_held_out_images_do_not_blow_scores_up() -> None:
    fusion = Fusion(channels=1, size=64, parts=["bright"])
    fusion.calibrate([torch.full((1, 1, 64, 64), 0.5)], [], torch.arange(1))
    assert fusion.score(torch.full((1, 1, 64, 64), 0.6)).image.item() == pytest.approx(0.1 / 0.01, rel=1e-3)


def test_auto_leaves_out_what_sees_nothing_and_says_so(images: Images) -> None:
    auto = Auto(channels=1, size=64, parts=["bright", "blind"])
    normal = images(64)
    auto.calibrate([normal[:40], normal[40:]], [normal + 0.2], torch.arange(64))
    notes = auto.notes()
    assert notes["weights"]["bright"] > 0.9
    assert notes["auroc_on_held_out_with_defects"]["bright"] == 1
    below, above = auto.score(normal).image, auto.score(normal + 0.2).image
    assert below.max() < above.min()


@pytest.mark.parametrize(("prior", "left_out"), [([1, 1], True), ([1, 9], False)])
def test_auto_does_not_ask_a_part_that_hardly_counts(images: Images, prior: list[float], left_out: bool) -> None:
    auto = Auto(channels=1, size=64, parts=["bright", "dim"], prior=prior)
    normal = images(200)
    auto.calibrate([normal], [normal + 0.2], torch.arange(200))
    assert 0.84 < auto.notes()["auroc_on_held_out_with_defects"]["dim"] < 0.92
    assert (auto.weights[1] == 0) == left_out
    assert auto.weights.sum() == 1
    dim = auto.parts["dim"].inner
    assert isinstance(dim, Dim)
    dim.seen.clear()
    auto.score(normal)
    assert bool(dim.seen) != left_out


def test_what_is_asked_scores_alike_without_the_parts_left_out(images: Images) -> None:
    auto = Auto(channels=1, size=64, parts=["blind", "bright", "dim"], prior=[1, 1, 9])
    normal = images(200)
    auto.calibrate([normal], [normal + 0.2], torch.arange(200))
    assert [w > 0 for w in auto.weights.tolist()] == [False, True, True]
    asked = auto.asked()
    assert isinstance(asked, Fusion)
    assert list(asked.parts) == ["bright", "dim"]
    assert list(auto.parts) == ["blind", "bright", "dim"], "the detector itself stays whole"
    one, other = auto.score(normal), asked.score(normal)
    torch.testing.assert_close(other.image, one.image)
    torch.testing.assert_close(other.map, one.map)


def test_auto_keeps_its_prior_where_nothing_judges(images: Images) -> None:
    auto = Auto(channels=1, size=64, parts=["bright", "blind"], prior=[3, 1])
    auto.calibrate([images(16)], [], torch.arange(16))
    assert auto.weights.tolist() == [0.75, 0.25]
    with pytest.raises(ValueError, match="prior must be above 0"):
        Auto(channels=1, size=64, parts=["bright"], prior=[0])


def test_auto_is_rebuilt_from_its_options(images: Images) -> None:
    auto = Auto(channels=1, size=64, parts=["bright", "blind"], prior=[3, 1], sizes={"blind": 32})
    auto.calibrate([images(16)], [images(16) + 0.1], torch.arange(16))
    again = create("auto", channels=1, size=64, **auto.options)
    again.load_state_dict(auto.state_dict())
    torch.testing.assert_close(again.weights, auto.weights)
    x = images(3)
    torch.testing.assert_close(again.score(x).image, auto.score(x).image)
