"""``BoxNoiseCollate`` over drawn samples: the pixels of ``corrupt`` with those keys, everything else as torch collates
it, and the form kept, whatever the structure, the dtype and the layout.
"""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import default_collate

from unblot.corruption.apply import corrupt
from unblot.corruption.integrations.collate import BoxNoiseCollate
from unblot.corruption.noise import Gaussian
from unblot.corruption.presets import named
from unblot.corruption.spec import BoxNoise, FullGaussian, Spec

Row = namedtuple("Row", ["before", "picture", "between", "key", "after"])
SPECS: list[Spec] = [BoxNoise(scale=(0.2, 0.4)), BoxNoise(base="image", noise=Gaussian(0.3), p=0.5), FullGaussian(0.3)]
mixed = named("mixed")
assert mixed is not None
SPECS.append(mixed)
DTYPES = [torch.uint8, torch.float16, torch.bfloat16, torch.float32]
KEYS = st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=5)


@dataclass
class Drawn:
    """Samples, and what they were made of."""

    samples: list[Any]
    images: Tensor  # stacked, as the batch is to hold them
    layout: str
    keys: list[int]
    names: list[Any]  # of the entries, in order
    image: Any  # where the image stands
    index: Any
    form: str


@st.composite
def drawn(draw: st.DrawFn) -> Drawn:
    keys = draw(KEYS)
    array = draw(st.booleans())
    layout = draw(st.sampled_from(["CHW", "HW", "HWC"] if array else ["CHW", "HW"]))
    # From 6 pixels on no side can be taken for channels; a float array is float16 or float32.
    size = {"H": draw(st.integers(6, 14)), "W": draw(st.integers(6, 14)), "C": draw(st.sampled_from([1, 3]))}
    dtype = draw(st.sampled_from([d for d in DTYPES if not (array and d is torch.bfloat16)]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    values = torch.rand(len(keys), *(size[axis] for axis in layout), generator=generator)
    images = (values * 255).to(torch.uint8) if dtype is torch.uint8 else values.to(dtype)
    if not array and layout == "CHW" and draw(st.booleans()):
        images = images.contiguous(memory_format=torch.channels_last)
    pictures: list[Any] = [image.numpy().copy() if array else image.clone() for image in images]
    form = draw(st.sampled_from(["tuple", "list", "mapping", "named"]))
    others = [
        [f"name {key}" for key in keys],
        [key % 7 / 2 for key in keys],
        [{"deep": [key % 3, 1.5]} for key in keys],
    ]
    columns = dict(zip(Row._fields, (others[0], pictures, others[1], keys, others[2]), strict=True))
    if form != "named":
        order = draw(st.permutations(sorted(columns)))
        columns = {name: columns[name] for name in order}
    rows = list(zip(*columns.values(), strict=True))
    names: list[Any] = list(columns)
    places: dict[str, Any] = {"picture": "picture", "key": "key"}
    if form in ("tuple", "list"):
        places = {name: names.index(name) - draw(st.sampled_from([0, len(names)])) for name in places}
        names = list(range(len(names)))
    make: dict[str, Any] = {"tuple": tuple, "list": list, "named": lambda row: Row(*row)}
    samples = [dict(zip(names, row, strict=True)) if form == "mapping" else make[form](row) for row in rows]
    return Drawn(samples, images, "N" + layout, keys, names, places["picture"], places["key"], form)


def entries(sample: Any) -> list[Any]:
    return list(sample.values()) if isinstance(sample, dict) else list(sample)


def alike(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(alike, one, other))
    return bool(one == other)


@settings(max_examples=150, deadline=None)
@given(
    given_=drawn(),
    spec=st.sampled_from(SPECS),
    output=st.sampled_from(["replace", "pair", "dict"]),
    mask=st.sampled_from([False, True, "boxes", "changed"]),
    seed=st.integers(0, 2**64 - 1),
)
def test_the_pixels_are_those_of_corrupt_and_all_else_is_kept(
    given_: Drawn, spec: Spec, output: str, mask: Any, seed: int
) -> None:
    wanted = corrupt(given_.images, spec, seed, given_.keys, given_.layout, changed=1 / 255)
    masks = [] if not mask else [wanted.changed if mask == "changed" else wanted.mask()]
    at = given_.names.index(given_.image) if isinstance(given_.image, str) else given_.image % len(given_.names)
    columns = [list(column) for column in zip(*map(entries, given_.samples), strict=True)]
    rest = [default_collate(column) for place, column in enumerate(columns) if place != at]
    batch = BoxNoiseCollate(spec, output, image=given_.image, index=given_.index, mask=mask, seed=seed)(given_.samples)

    if output == "pair":
        assert alike(batch, (wanted.images, given_.images, *masks, *rest))
    elif output == "dict":
        both = {"noisy": wanted.images, "clean": given_.images} | ({"mask": masks[0]} if masks else {})
        other = [name for place, name in enumerate(given_.names) if place != at]
        named_form = given_.form in ("mapping", "named")
        assert alike(batch, both | (dict(zip(other, rest, strict=True)) if named_form else {"rest": rest}))
    else:
        whole = [*rest[:at], wanted.images, *rest[at:]]
        if given_.form == "mapping":
            names = [*given_.names, *["mask"] * len(masks)]
            assert alike(batch, dict(zip(names, [*whole, *masks], strict=True)))
        elif given_.form == "named" and not masks:
            assert isinstance(batch, Row)
            assert alike(list(batch), whole)
        else:
            assert alike(batch, [*whole, *masks] if given_.form == "list" else (*whole, *masks))
    # The samples are the data set's: what is handed out next epoch is what was there.
    for sample, image in zip(given_.samples, given_.images, strict=True):
        assert torch.equal(torch.as_tensor(entries(sample)[at]), image)


@settings(max_examples=40, deadline=None)
@given(given_=drawn(), spec=st.sampled_from(SPECS[:3]), epoch=st.integers(0, 2**63 - 1), data=st.data())
def test_an_epoch_is_the_same_in_any_order_and_any_batch(
    given_: Drawn, spec: Spec, epoch: int, data: st.DataObject
) -> None:
    collate = BoxNoiseCollate(spec, "pair", image=given_.image, index=given_.index, seed=3)
    collate.set_epoch(epoch)
    noisy = collate(given_.samples)[0]
    order = data.draw(st.permutations(range(len(given_.samples))))
    cut = data.draw(st.integers(0, len(order)))
    parts = [collate([given_.samples[i] for i in some])[0] for some in (order[:cut], order[cut:]) if some]
    assert torch.equal(torch.cat(parts), noisy[list(order)])


@settings(max_examples=60, deadline=None)
@given(given_=drawn(), wrong=st.sampled_from(["key", "shape", "dtype", "entry"]), at=st.integers(1, 4))
def test_a_sample_that_does_not_go_with_the_first_is_refused(given_: Drawn, wrong: str, at: int) -> None:
    """No batch is made of samples that differ, and nothing but the two documented errors comes out."""
    samples = given_.samples * 2
    names = list(Row._fields) if given_.form == "named" else given_.names
    place = names.index(given_.image) if isinstance(given_.image, str) else given_.image % len(names)
    number = names.index(given_.index) if isinstance(given_.index, str) else given_.index % len(names)
    at = at % (len(samples) - 1) + 1
    held = entries(samples[at])
    if wrong == "key":
        held[number] = -1
    elif wrong == "shape":
        held[place] = held[place][..., :-1, :-1] if held[place].ndim == 2 else held[place][:, :-1, :-1]
    elif wrong == "dtype":
        held[place] = np.zeros((6, 6), np.float64) if held[place].dtype != np.float64 else held[place]
    else:
        held = held[:-1]
    if given_.form == "mapping":
        samples[at] = dict(zip(names, held, strict=False))
    elif given_.form == "named" and wrong != "entry":
        samples[at] = Row(*held)
    else:
        samples[at] = list(held) if given_.form == "list" else tuple(held)
    collate = BoxNoiseCollate(SPECS[0], image=given_.image, index=given_.index)
    with pytest.raises((ValueError, TypeError)) as error:
        collate(samples)
    assert len(str(error.value)) > 20
