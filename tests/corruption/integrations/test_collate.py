"""``BoxNoiseCollate``: what it makes of every form of sample, and that its results depend on what they should."""

import copy
import pickle
from collections import OrderedDict, UserDict, defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchvision import tv_tensors

from unblot.corruption.apply import corrupt
from unblot.corruption.integrations.collate import BoxNoiseCollate
from unblot.corruption.noise import Gaussian
from unblot.corruption.spec import BoxNoise, FullGaussian

SPEC = BoxNoise(scale=0.4)
KEYS = [5, 0, 9, 2]
IMAGES = torch.randint(256, (4, 3, 10, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([1.0, 0.0, 1.0, 1.0])
EXPECTED = corrupt(IMAGES, SPEC, seed=3, keys=KEYS)
NOISY, MASK = EXPECTED.images, EXPECTED.mask()


class Sample(NamedTuple):
    picture: torch.Tensor
    label: float
    number: int


def tuples() -> list[Any]:
    return [(image.clone(), float(label), key) for image, label, key in zip(IMAGES, LABELS, KEYS, strict=True)]


def dicts() -> list[Any]:
    return [{"label": label, "picture": image, "number": key} for image, label, key in tuples()]


def same(one: Any, other: Any) -> bool:
    """Equal through containers, types included; numbers by value."""
    if isinstance(one, dict):
        return type(one) is type(other) and list(one) == list(other) and all(same(one[k], other[k]) for k in one)
    if isinstance(one, tuple | list):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other if one.is_floating_point() else other.to(one.dtype))


L, K = LABELS.double(), torch.tensor(KEYS)
FORMS: list[tuple[str, bool, Callable[[], list[Any]], dict[str, Any], Any]] = [
    ("replace", False, tuples, {"index": 2}, (NOISY, L, K)),
    ("replace", True, tuples, {"index": 2}, (NOISY, L, K, MASK)),
    ("pair", False, tuples, {"index": -1}, (NOISY, IMAGES, L, K)),
    ("pair", True, tuples, {"index": 2}, (NOISY, IMAGES, MASK, L, K)),
    ("dict", False, tuples, {"index": 2}, {"noisy": NOISY, "clean": IMAGES, "rest": [L, K]}),
    ("replace", True, lambda: [list(s) for s in tuples()], {"index": 2}, [NOISY, L, K, MASK]),
    ("replace", False, lambda: [(k, x) for x, _, k in tuples()], {"image": 1, "index": 0}, (K, NOISY)),
    ("pair", False, lambda: [(k, x) for x, _, k in tuples()], {"image": -1, "index": 0}, (NOISY, IMAGES, K)),
    ("replace", False, dicts, {"image": "picture", "index": "number"}, {"label": L, "picture": NOISY, "number": K}),
    (
        "replace",
        True,
        dicts,
        {"image": "picture", "index": "number"},
        {"label": L, "picture": NOISY, "number": K, "mask": MASK},
    ),
    ("pair", True, dicts, {"image": "picture", "index": "number"}, (NOISY, IMAGES, MASK, L, K)),
    (
        "dict",
        True,
        dicts,
        {"image": "picture", "index": "number"},
        {"noisy": NOISY, "clean": IMAGES, "mask": MASK, "label": L, "number": K},
    ),
    (
        "replace",
        False,
        lambda: [Sample(*s) for s in tuples()],
        {"image": "picture", "index": "number"},
        Sample(NOISY, L, K),  # type: ignore[arg-type]
    ),
    ("replace", True, lambda: [Sample(*s) for s in tuples()], {"index": "number"}, (NOISY, L, K, MASK)),
    (
        "dict",
        False,
        lambda: [Sample(*s) for s in tuples()],
        {"image": "picture", "index": 2},
        {"noisy": NOISY, "clean": IMAGES, "label": L, "number": K},
    ),
]


@pytest.mark.parametrize(("output", "mask", "samples", "places", "expected"), FORMS)
def test_every_form_of_sample(
    output: str, mask: bool, samples: Callable[[], list[Any]], places: dict[str, Any], expected: Any
) -> None:
    given = samples()
    batch = BoxNoiseCollate(SPEC, output, mask=mask, seed=3, **places)(given)
    assert same(expected, batch)
    assert all(map(same, map(as_dict, given), map(as_dict, samples()))), "the samples must stay as they are"


def as_dict(sample: Any) -> dict[Any, torch.Tensor]:
    items = sample if isinstance(sample, dict) else dict(enumerate(sample))
    return {name: torch.as_tensor(value) for name, value in items.items()}


def test_bare_images_of_every_kind() -> None:
    torch.manual_seed(1)
    expected = BoxNoiseCollate(SPEC, "pair", mask=True)(list(IMAGES))
    assert torch.equal(expected[1], IMAGES)
    assert not torch.equal(expected[0], IMAGES)
    arrays = [image.numpy() for image in IMAGES]
    last = [image.transpose(1, 2, 0) for image in arrays]
    for images, axes in (
        (arrays, (0, 1, 2, 3)),
        (last, (0, 3, 1, 2)),
        ([tv_tensors.Image(i) for i in IMAGES], (0, 1, 2, 3)),
    ):
        torch.manual_seed(1)
        batch = BoxNoiseCollate(SPEC, "pair", mask=True)(images)
        noisy, clean, mask = batch
        assert type(noisy) is type(clean) is (type(images[0]) if isinstance(images[0], torch.Tensor) else torch.Tensor)
        assert type(mask) is torch.Tensor
        assert same(expected, (noisy.permute(axes), clean.permute(axes), mask))
    torch.manual_seed(1)
    assert torch.equal(BoxNoiseCollate(SPEC)(list(IMAGES)), expected[0])
    gray = BoxNoiseCollate(SPEC, "dict", mask=True)([image[0] for image in IMAGES])
    assert {name: tuple(part.shape) for name, part in gray.items()} == dict.fromkeys(
        ("noisy", "clean", "mask"), (4, 10, 8)
    )


def test_a_read_only_array_stays_as_it_is() -> None:
    arrays = [image.numpy().copy() for image in IMAGES]
    for array in arrays:
        array.setflags(write=False)
    noisy = BoxNoiseCollate(SPEC)(arrays)
    assert not np.array_equal(noisy, arrays)
    assert np.array_equal(arrays, IMAGES)


@pytest.mark.parametrize("output", ["replace", "pair", "dict"])
def test_without_a_corruption_noisy_is_clean(output: str) -> None:
    batch = BoxNoiseCollate(None, output, index=2, mask=True)(tuples())
    noisy, mask = (
        (batch["noisy"], batch["mask"]) if output == "dict" else (batch[0], batch[3 if output == "replace" else 2])
    )
    assert torch.equal(noisy, IMAGES)
    assert mask.shape == (4, 10, 8)
    assert mask.dtype == torch.uint8
    assert not mask.any()


def test_an_image_is_the_same_in_any_batch_and_another_in_the_next_epoch() -> None:
    collate = BoxNoiseCollate(SPEC, index=2, seed=2**64 - 1)
    whole = collate(tuples())[0]
    parts = [collate([sample])[0] for sample in reversed(tuples())]
    assert torch.equal(whole, torch.cat(parts).flip(0))
    collate.set_epoch(1)
    assert not torch.equal(collate(tuples())[0], whole)
    collate.set_epoch(0)
    assert torch.equal(collate(tuples())[0], whole)
    other = BoxNoiseCollate(SPEC, index=2, seed=1)
    assert not torch.equal(other(tuples())[0], whole)


def test_without_an_index_torchs_seed_governs() -> None:
    collate = BoxNoiseCollate(SPEC)

    def run(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        batch: torch.Tensor = torch.stack([collate(list(IMAGES)), collate(list(IMAGES))])
        return batch

    first = run(1)
    assert torch.equal(first, run(1))
    assert not torch.equal(first, run(2))
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_a_copy_keeps_its_epoch_and_shares_with_its_own_workers(copied: Any) -> None:
    collate = BoxNoiseCollate(SPEC, index=2)
    collate.set_epoch(4)
    other = copied(collate)
    assert same(collate(tuples()), other(tuples()))
    collate.set_epoch(5)
    assert not same(collate(tuples()), other(tuples()))
    assert other._epoch.is_shared()


# --- one sample at a time, and what keeps its class -------------------------------------------------------------------


def singles() -> list[Any]:
    """Every form of a sample, the image at "picture" or 0, the index at "number" or 2."""
    image, label, key = tuples()[0]
    mapping = {"label": label, "picture": image, "number": key}
    return [(image, label, key), [image, label, key], Sample(image, label, key), mapping, OrderedDict(mapping)]


def unbatched(one: Any, collate: BoxNoiseCollate) -> Any:
    """What a loader that makes no batches gives for a data set of one entry."""
    data: Any = [one]
    return DataLoader(data, batch_size=None, collate_fn=collate)


@pytest.mark.parametrize("output", ["replace", "pair", "dict"])
@pytest.mark.parametrize("form", range(5))
def test_a_loader_without_batches_gives_what_a_batch_of_one_holds(output: str, form: int) -> None:
    sample = singles()[form]
    named = not isinstance(sample, list) and type(sample) is not tuple
    places: dict[str, Any] = {"image": "picture", "index": "number"} if named else {"index": 2}
    collate = BoxNoiseCollate(SPEC, output, mask=True, seed=3, **places)
    (alone,) = unbatched(sample, collate)
    whole = collate([sample])
    assert type(alone) is type(whole)
    pairs = (
        zip(alone.values(), whole.values(), strict=True) if isinstance(alone, dict) else zip(alone, whole, strict=True)
    )
    for one, many in pairs:
        for part, all_of_it in zip(one, many, strict=True) if isinstance(many, list) else [(one, many)]:
            assert torch.equal(torch.as_tensor(part), all_of_it[0].to(torch.as_tensor(part).dtype))


def test_a_bare_image_has_its_boxes_in_all_channels() -> None:
    white = BoxNoise(scale=0.3, base="white", mode="none")
    for image in (torch.zeros(3, 12, 10), np.zeros((12, 10, 3), np.float32)):
        (noisy,) = unbatched(image, BoxNoiseCollate(white))
        assert noisy.shape == image.shape
        channels = noisy if noisy.shape[0] == 3 else noisy.permute(2, 0, 1)
        assert torch.equal(channels[0], channels[1])
        assert torch.equal(channels[0], channels[2])
        assert 0 < channels.mean() < 1
        assert not image.any(), "the data set's image must stay"


def test_batches_that_the_data_set_makes_are_batches() -> None:
    batch = {"picture": IMAGES, "number": torch.tensor(KEYS), "names": ["a", "b", "c", "d"]}
    collate = BoxNoiseCollate(SPEC, image="picture", index="number", mask=True, seed=3)
    (made,) = unbatched(batch, collate)
    assert torch.equal(made["picture"], NOISY)
    assert torch.equal(made["mask"], MASK)
    assert made["names"] == batch["names"]
    nothing: Any = {"picture": IMAGES[:0], "number": torch.tensor([], dtype=torch.int64)}
    empty = collate(nothing)
    assert empty["picture"].shape == (0, 3, 10, 8)
    assert empty["mask"].shape == (0, 10, 8)


class Meta(dict[str, Any]):
    """A mapping with something beside its entries."""

    source = "nobody"


@pytest.mark.parametrize("kind", [OrderedDict, UserDict, Meta, lambda entries: defaultdict(list, entries)])
@pytest.mark.parametrize("mask", [False, True])
def test_a_mapping_stays_of_its_class(kind: Any, mask: bool) -> None:
    samples = [kind(sample) for sample in dicts()]
    if isinstance(samples[0], Meta):
        samples[0].source = "camera 2"
    made = BoxNoiseCollate(SPEC, image="picture", index="number", mask=mask, seed=3)(samples)
    assert type(made) is type(samples[0])
    assert torch.equal(made["picture"], NOISY)
    assert list(made) == ["label", "picture", "number"] + ["mask"] * mask
    assert getattr(made, "source", "camera 2") == "camera 2"
    assert list(samples[0]) == ["label", "picture", "number"]


# --- workers ----------------------------------------------------------------------------------------------------------

DATA = TensorDataset(torch.randint(256, (12, 1, 16, 16), dtype=torch.uint8), torch.arange(12))


def load(loader: DataLoader[Any]) -> torch.Tensor:
    return torch.cat([torch.stack([noisy, clean]) for noisy, clean, _ in loader], dim=1)


def at_epoch(epoch: int) -> torch.Tensor:
    collate = BoxNoiseCollate(SPEC, "pair", index=1, seed=8)
    collate.set_epoch(epoch)
    return load(DataLoader(DATA, batch_size=3, collate_fn=collate))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_change_nothing_and_hear_of_the_epoch(method: str) -> None:
    if method not in torch.multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    corrupt(IMAGES, SPEC, threads=2)  # the parent has a pool, whose threads a forked child does not inherit
    # threads=2 makes the forked workers build pools of their own.
    threads = 2 if method == "fork" else None
    collate = BoxNoiseCollate(SPEC, "pair", index=1, seed=8, threads=threads)
    loader = DataLoader(
        DATA,
        batch_size=3,
        collate_fn=collate,
        num_workers=2,
        persistent_workers=True,
        multiprocessing_context=method,
        timeout=120,
    )
    first = load(loader)
    assert torch.equal(first, at_epoch(0))
    collate.set_epoch(1)
    second = load(loader)
    assert torch.equal(second, at_epoch(1))
    assert not torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_without_an_index_torchs_seed_governs_the_workers() -> None:
    loader = DataLoader(DATA, batch_size=3, collate_fn=BoxNoiseCollate(SPEC, "pair"), num_workers=2, timeout=120)
    batches = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        batches.append(load(loader))
    assert torch.equal(batches[0], batches[1])
    assert not torch.equal(batches[0], batches[2])
    noisy = batches[0][0]
    assert len({image.numpy().tobytes() for image in (noisy != batches[0][1])}) == len(noisy), (
        "workers must not repeat each other"
    )


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "text", "arguments"),
    [
        (ValueError, "output.*'both'", {"output": "both"}),
        (TypeError, "spec.*'box'", {"spec": "box"}),
        (TypeError, "image.*None", {"image": None}),
        (TypeError, "index.*True", {"index": True}),
        (TypeError, "index.*1.5", {"index": 1.5}),
        (ValueError, "image and index.*0", {"index": 0}),
        (TypeError, "mask.*1", {"mask": 1}),
        (TypeError, "mask.*'box'", {"mask": "box"}),
        (TypeError, "mask.*array", {"mask": np.zeros(2)}),
        (ValueError, "output.*array", {"output": np.zeros(2)}),
        (ValueError, "changed.*1.5", {"changed": 1.5}),
        (TypeError, "changed.*'a'", {"changed": "a"}),
        (ValueError, "seed.*-1", {"seed": -1}),
        (TypeError, "threads", {"threads": "2"}),
    ],
)
def test_arguments_are_checked_at_once(error: type[Exception], text: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(error, match=text):
        BoxNoiseCollate(**({"spec": SPEC} | arguments))
    collate = BoxNoiseCollate(SPEC)
    with pytest.raises(ValueError, match="epoch"):
        collate.set_epoch(-1)


ODD = [(torch.zeros(1, 4, 4), 0), (torch.zeros(1, 5, 4), 1)]


@pytest.mark.parametrize(
    ("error", "text", "arguments", "samples"),
    [
        (ValueError, r"image=3.*tuple.*\[0, 1, 2\]", {"image": 3}, tuples()),
        (ValueError, "image=0.*dict.*picture", {}, dicts()),
        (ValueError, "index='key'.*dict.*number", {"image": "picture", "index": "key"}, dicts()),
        (ValueError, "index=5", {"index": 5}, tuples()),
        (ValueError, "index=1.*bare images", {"index": 1}, list(IMAGES)),
        (TypeError, "index of a sample.*0.5", {"index": 1}, [(IMAGES[0], 0.5)]),
        (ValueError, "index of a sample.*-1", {"index": 1}, [(IMAGES[0], -1)]),
        (ValueError, r"\(1, 4, 4\).*\(1, 5, 4\).*resize", {}, ODD),
        (ValueError, "alike.*uint8.*float32", {}, [IMAGES[0], IMAGES[0].float() / 255]),
        (ValueError, r"\(10, 8, 3\).*permute", {}, [IMAGES[0].permute(1, 2, 0)]),
        (ValueError, r"\(5, 6, 7\).*layout", {}, [np.zeros((5, 6, 7), np.uint8)]),
        (TypeError, "int.*image=", {"image": 1}, [(IMAGES[0], 3)]),
        (ValueError, "'mask' of their own", {"image": "x", "mask": True}, [{"x": IMAGES[0], "mask": 1}]),
        (ValueError, "'clean' of their own", {"image": "x", "output": "dict"}, [{"x": IMAGES[0], "clean": 1}]),
        (ValueError, "value_range", {}, [IMAGES[0].float()]),
        (ValueError, "samples is an empty list", {}, []),
        (ValueError, r"same entries.*\[0, 1\].*\[0\]", {}, [(IMAGES[0], 1), (IMAGES[0],)]),
        (ValueError, "same entries.*picture.*None", {"image": "picture"}, [{"picture": IMAGES[0]}, IMAGES[0]]),
    ],
)
def test_samples_are_explained(
    error: type[Exception], text: str, arguments: dict[str, Any], samples: list[Any]
) -> None:
    with pytest.raises(error, match=text):
        BoxNoiseCollate(**({"spec": SPEC} | arguments))(samples)


@pytest.mark.parametrize("output", ["replace", "pair"])
def test_the_mask_of_what_changed(output: str) -> None:
    spec = BoxNoise(scale=0.4, base="image", noise=Gaussian(0.02))
    for least in (1 / 255, 0.03):
        wanted = corrupt(IMAGES, spec, seed=3, keys=KEYS, changed=least)
        collate = BoxNoiseCollate(spec, output, index=2, mask="changed", changed=least, seed=3)
        assert torch.equal(collate(tuples())[3 if output == "replace" else 2], wanted.changed)
        assert 0 < wanted.changed.sum() < wanted.mask().sum()
    collate = BoxNoiseCollate(spec, output, index=2, mask="boxes", seed=3)
    assert torch.equal(collate(tuples())[3 if output == "replace" else 2], wanted.mask())


def test_numbers_can_be_keys() -> None:
    batch = BoxNoiseCollate(SPEC, "dict", image=10, index=20, seed=3)([{10: x, 20: k} for x, _, k in tuples()])
    assert same({"noisy": NOISY, "clean": IMAGES, 20: K}, batch)


def test_repr_says_everything() -> None:
    text = repr(BoxNoiseCollate(FullGaussian(0.1), "pair", index=1, seed=4))
    assert "FullGaussian(sigma=0.1" in text
    assert "output='pair'" in text
    assert "seed=4" in text


def test_a_plain_data_set_needs_no_index() -> None:
    class Pairs(Dataset[Any]):
        def __len__(self) -> int:
            return 5

        def __getitem__(self, i: int) -> tuple[torch.Tensor, str]:
            return torch.full((1, 8, 8), i / 5), f"name {i}"

    noisy, clean, names = next(iter(DataLoader(Pairs(), batch_size=5, collate_fn=BoxNoiseCollate(SPEC, "pair"))))
    assert noisy.shape == clean.shape == (5, 1, 8, 8)
    assert names == [f"name {i}" for i in range(5)]
