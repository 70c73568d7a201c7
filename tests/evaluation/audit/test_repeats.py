"""Near-duplicates: gaps among neighbours tell photographs of one thing from images of different things."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.evaluation.audit.conftest import Photograph, source, splits_of

from unblot.data import DataConfig, Found, Item, Source, Splits, load_found
from unblot.evaluation.audit import quick_warnings
from unblot.evaluation.audit.neighbours import gradient_histograms, nearest
from unblot.evaluation.audit.repeats import NEIGHBOURS, _near, bursts, near_duplicates
from unblot.evaluation.audit.sample import Sample


@pytest.mark.parametrize("dimensions", [2, 8, 30])
def test_images_of_different_things_have_no_near_duplicates(dimensions: int) -> None:
    points = np.random.default_rng(dimensions).normal(size=(3000, dimensions)).astype(np.float32)
    distances, _ = nearest(points[:1000], points[1000:], NEIGHBOURS + 1)
    assert bursts(distances).found.mean() <= 0.003


@pytest.mark.parametrize("dimensions", [2, 8, 30])
def test_the_probability_is_that_of_evenly_filled_neighbourhoods(dimensions: int) -> None:
    # volumes of balls around a point of a Poisson process grow by exponential steps
    volumes = np.random.default_rng(0).exponential(size=(20_000, NEIGHBOURS + 1)).cumsum(1)
    p = bursts(1000 * volumes ** (1 / dimensions)).p
    for level in (0.1, 0.01, 0.001):
        assert 0.5 * level < (p < level).mean() < 1.4 * level


@pytest.mark.parametrize(("copies", "dimensions"), [(1, 12), (3, 4), (5, 20)])
def test_photographs_of_one_thing_are_found_and_counted(copies: int, dimensions: int) -> None:
    rng = np.random.default_rng(1)
    things = rng.normal(size=(300, dimensions))
    references = np.concatenate([things + rng.normal(0, 1e-3, things.shape) for _ in range(copies)])
    queries = things + rng.normal(0, 1e-3, things.shape)
    found = bursts(nearest(queries.astype(np.float32), references.astype(np.float32), NEIGHBOURS + 1)[0])
    assert found.found.mean() > 0.9
    assert np.median(found.size[found.found]) == copies


def test_another_parts_photographs_are_no_near_duplicates_of_an_image_beside_them() -> None:
    rng = np.random.default_rng(2)
    things = rng.normal(size=(200, 6))
    photographs = np.concatenate([things + rng.normal(0, 0.01, things.shape) for _ in range(4)]).astype(np.float32)
    others = rng.normal(size=(500, 6)).astype(np.float32)
    nobody, everybody = np.full(500, -1), np.arange(len(photographs))
    assert bursts(nearest(others, photographs, NEIGHBOURS + 1)[0]).found.mean() > 0.01  # by the gap alone
    assert _near(others, photographs, NEIGHBOURS, (nobody, everybody)).found.mean() < 0.004
    own = (things + rng.normal(0, 0.01, things.shape)).astype(np.float32)
    assert _near(own, photographs, NEIGHBOURS, (nobody[:200], everybody)).found.mean() > 0.9


def test_equal_images_are_a_burst_and_equally_far_ones_are_not() -> None:
    same = np.zeros((1, 21))
    same[:, 1:] = np.linspace(0.5, 1, 20)
    assert bursts(same).found.all()
    assert bursts(np.zeros((1, 21))).found.all()
    rounding = 1 + np.random.default_rng(0).integers(0, 2, (50, 21)).cumsum(1) * 1e-7
    assert not bursts(rounding).found.any()  # a constant image is as far from everything


def test_exposure_and_small_shifts_hardly_move_a_vector(photograph: Photograph) -> None:
    def vector(part: int, n: int) -> NDArray[np.float32]:
        return gradient_histograms(torch.from_numpy(photograph(part, n))[None, None]).ravel()

    own = [np.linalg.norm(vector(part, 0) - vector(part, 1)) for part in range(20)]
    other = [np.linalg.norm(vector(part, 0) - vector(part + 1, 0)) for part in range(20)]
    assert max(own) < min(other)
    assert np.median(own) < 0.5 * np.median(other)


def _splits(photograph: Photograph, *, photographs: int, by_part: bool, parts: int) -> Splits:
    """Photographs of parts, split by part or image by image; names say nothing."""
    names = random.Random(0)
    pictures = [
        source(f"{names.randrange(10**9):09d}.png", photograph(part, n), group=f"part {part}" if by_part else "")
        for part in range(parts)
        for n in range(photographs)
    ]
    units = sorted({s.item.group for s in pictures})
    tested = set(names.sample(units, len(units) // 5))
    return splits_of(
        [s for s in pictures if s.item.group not in tested], [s for s in pictures if s.item.group in tested]
    )


def test_a_random_split_of_repeated_photographs_would_fake_a_result(photograph: Photograph) -> None:
    found = near_duplicates(Sample(_splits(photograph, photographs=4, by_part=False, parts=60)))
    assert found is not None
    assert found.level == "fake"
    assert found.figures["share"] > 0.5
    assert 1 <= found.figures["median_number"] <= 4
    assert "--group" in found.remedy
    test, *near, beyond = found.examples[0]
    assert test.caption == "test"
    assert near and all(shown.caption == "in training" for shown in near)
    assert "beyond the gap" in beyond.caption


def test_a_split_by_part_of_the_same_photographs_is_fine(photograph: Photograph) -> None:
    found = near_duplicates(Sample(_splits(photograph, photographs=4, by_part=True, parts=60)))
    assert found is not None
    assert (found.level, found.figures["share"]) == ("fine", 0)
    assert found.figures["share_inside_training"] > 0.5  # their own photographs, which the split keeps together
    assert found.figures["share_inside_training_other_group"] < 0.02


def test_parts_photographed_once_are_fine(photograph: Photograph) -> None:
    found = near_duplicates(Sample(_splits(photograph, photographs=1, by_part=False, parts=240)))
    assert found is not None
    assert found.level == "fine"
    assert found.figures["share_inside_training_other_group"] is None


def test_too_few_images_are_not_judged(photograph: Photograph) -> None:
    assert near_duplicates(Sample(_splits(photograph, photographs=1, by_part=False, parts=12))) is None


def test_a_sample_says_that_it_is_one(photograph: Photograph) -> None:
    splits = _splits(photograph, photographs=4, by_part=False, parts=60)
    sample = Sample(splits, most_queries=20, most_references=100)
    found = near_duplicates(sample)
    assert found is not None
    assert found.figures["images"] == 20
    assert "Compared with 100 of 192 training images" in found.text
    for i in range(100):
        shown = sample.show_reference(i, "")
        assert shown.name == sample.reference_items[i].name
        assert np.allclose(
            gradient_histograms(torch.from_numpy(shown.pixels)[None])[0], sample.reference_vectors[i], atol=1e-6
        )


def still_camera(parts: int, each: int) -> Splits:
    """Photographs of parts, ``each`` of the same one, that differ by the camera's noise alone."""
    rng = np.random.default_rng(parts)
    sources = []
    for part in range(parts):
        picture = 128 + 40 * np.sin(np.mgrid[:48, :48][1] / 4 + rng.uniform(0, 6)) + rng.normal(0, 8, (48, 48))
        for number in range(each):
            pixels = (picture + rng.normal(0, 2, picture.shape)).clip(0, 255).astype(np.uint8)
            name = f"{number}-{part}.png"
            sources.append(Source(Item(name, 0, "normal", name), pixels))
    return load_found(Found("still", sources), DataConfig(size=48))


@pytest.mark.parametrize(("parts", "each", "said"), [(8, 6, True), (15, 5, True), (30, 1, False), (70, 1, False)])
def test_near_copies_in_training_are_counted_in_a_warning_that_names_the_remedy(
    parts: int, each: int, said: bool
) -> None:
    found = [w for w in quick_warnings(still_camera(parts, each)) if w.startswith("near-copies in training")]
    assert len(found) == said
    if said:
        assert "have near-copies among them in another group" in found[0]
        assert "--group" in found[0]
