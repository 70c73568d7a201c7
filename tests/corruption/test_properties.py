"""What holds for every valid specification: areas, places, untouched pixels, and the same bits however they are
computed.
"""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from unblot.corruption.apply import Box, corrupt
from unblot.corruption.noise import Gaussian, Laplace, Noise, Poisson, SaltPepper
from unblot.corruption.spec import BoxNoise, FullGaussian, Spec


def numbers(low: float, high: float) -> st.SearchStrategy[Any]:
    """A number in low..high, or a range in it."""
    one = st.floats(low, high, allow_subnormal=False)
    return one | st.tuples(one, one).map(lambda pair: (min(pair), max(pair)))


KINDS: dict[str, st.SearchStrategy[Noise]] = {
    "gaussian": st.builds(Gaussian, numbers(0, 1), numbers(-0.5, 0.5)),
    "salt_pepper": st.builds(SaltPepper, st.none() | numbers(0, 1), numbers(0, 1), st.booleans()),
    "shot": st.builds(Poisson, numbers(0.01, 500)),
    "additive": st.builds(Poisson, numbers(0.01, 500), st.just("additive"), numbers(0, 1)),
    "laplace": st.builds(Laplace, numbers(0, 1), numbers(-0.5, 0.5)),
}


@st.composite
def box_noises(draw: st.DrawFn, /, channels: int = 3, **fixed: Any) -> BoxNoise:
    level = st.just(0.0) | st.floats(0.01, 1)
    base = draw(
        st.sampled_from(["black", "white", "gray", "random", "image"])
        | level
        | st.lists(level, min_size=channels, max_size=channels)
    )
    dark = base in ("black", "random", 0.0) or (isinstance(base, list) and not any(base))
    modes = ["choose", "superimpose"] + ([] if base == "image" else ["none"])
    mode = draw(st.sampled_from(modes))
    poisson = "additive" if dark else draw(st.sampled_from(["shot", "additive"]))
    names = draw(
        st.lists(
            st.sampled_from(["gaussian", "salt_pepper", poisson, "laplace"]),
            min_size=2 if mode == "superimpose" else 1,
            max_size=4,
            unique=True,
        )
    )
    noise: list[Noise] = [draw(KINDS[name]) for name in names]
    weights = draw(st.none() | st.lists(st.floats(0.1, 5), min_size=len(noise), max_size=len(noise)))
    low = draw(st.integers(1, 6))
    choices: dict[str, Any] = {
        "scale": draw(numbers(0.02, 1.0)),
        "num_boxes": draw(st.just(low) | st.just((low, low + draw(st.integers(0, 6))))),
        "area_split": draw(st.sampled_from(["dirichlet", "equal"])),
        "ratio": draw(numbers(0.05, 20)),
        "ratio_sampling": draw(st.sampled_from(["log", "uniform"])),
        "ratio_per": draw(st.sampled_from(["box", "image"])),
        "placement": draw(st.sampled_from(["inside", "clip"])),
        "overlap": draw(st.sampled_from(["forbid", "allow"])),
        "p": draw(st.just(1.0) | st.floats(0, 1)),
        "value_range": draw(st.none() | st.just((0.0, 1.0)) | st.just((0.0, 200.0))),
    }
    return BoxNoise(base=base, noise=noise, weights=weights, mode=mode, **(choices | fixed))


SPECS: st.SearchStrategy[Spec] = box_noises() | st.builds(
    FullGaussian, numbers(0, 1), numbers(-0.5, 0.5), st.floats(0, 1), st.none() | st.just((1.0, 100.0))
)
SIZES = st.tuples(st.integers(1, 24), st.integers(1, 24))
DTYPES = st.sampled_from(["uint8", "float16", "float32"])


def fits(spec: Spec, height: int, width: int) -> bool:
    """Whether the largest area that may be drawn gives each box a pixel."""
    if isinstance(spec, FullGaussian):
        return True
    high = spec.scale[1] if isinstance(spec.scale, tuple) else spec.scale
    fewest = spec.num_boxes[0] if isinstance(spec.num_boxes, tuple) else spec.num_boxes
    return high * height * width >= fewest


def images_for(spec: Spec, dtype: str, shape: tuple[int, ...], seed: int) -> NDArray[Any]:
    random = np.random.default_rng(seed)
    if dtype == "uint8":
        return random.integers(0, 256, shape, np.uint8)
    low, high = spec.value_range or (0.0, 1.0)
    return random.uniform(low, high, shape).astype(dtype)


def bits(array: NDArray[Any]) -> NDArray[Any]:
    return array.view({1: np.uint8, 2: np.uint16, 4: np.uint32}[array.itemsize])


def cover(boxes: list[list[Box]], height: int, width: int) -> NDArray[np.int64]:
    """How many boxes lie on each pixel; a box that sticks out raises."""
    count = np.zeros((len(boxes), height, width), np.int64)
    for image, its in zip(count, boxes, strict=True):
        for box in its:
            assert box.y >= 0
            assert box.x >= 0
            assert box.height >= 1
            assert box.width >= 1
            assert box.y + box.height <= height
            assert box.x + box.width <= width
            image[box.y : box.y + box.height, box.x : box.x + box.width] += 1
    return count


@settings(max_examples=150, deadline=None)
@given(spec=SPECS, dtype=DTYPES, size=SIZES, seed=st.integers(0, 2**64 - 1))
def test_boxes_are_inside_and_all_else_keeps_its_bits(spec: Spec, dtype: str, size: tuple[int, int], seed: int) -> None:
    height, width = size
    assume(fits(spec, height, width))
    images = images_for(spec, dtype, (4, 3, height, width), seed % 1000)
    before = images.copy()
    done = corrupt(images, spec, seed=seed, layout="NCHW")
    np.testing.assert_array_equal(bits(images), bits(before))
    count = cover(done.boxes, height, width)
    np.testing.assert_array_equal(done.mask(), (count > 0).astype(np.uint8))
    outside = np.broadcast_to((count == 0)[:, None], images.shape)
    np.testing.assert_array_equal(bits(done.images)[outside], bits(before)[outside])
    low, high = spec.value_range or ((0, 255) if dtype == "uint8" else (0, 1))
    inside = done.images[~outside].astype(np.float64)
    hit = bits(done.images)[~outside] != bits(before)[~outside]
    assert ((inside[hit] >= np.float32(low)) & (inside[hit] <= np.float32(high))).all()
    if isinstance(spec, BoxNoise) and spec.overlap == "forbid":
        assert count.max(initial=0) <= 1


@settings(max_examples=150, deadline=None)
@given(data=st.data(), size=SIZES, seed=st.integers(0, 2**64 - 1), share=st.floats(0.02, 1.0))
def test_area_is_kept_where_boxes_lie_inside_and_apart(
    data: st.DataObject, size: tuple[int, int], seed: int, share: float
) -> None:
    height, width = size
    spec = data.draw(box_noises(scale=share, placement="inside", overlap="forbid", p=1.0))
    assume(fits(spec, height, width))
    boxes = corrupt(np.zeros((8, 3, height, width), np.uint8), spec, seed, layout="NCHW").boxes
    target = min(share * height * width, height * width)
    for its in boxes:
        area = sum(box.height * box.width for box in its)
        # Half the shorter side of the largest box, at most the root of the area; half a pixel for boxes of one pixel.
        assert abs(area - target) <= 0.5 * target**0.5 + 0.5
        assert len(its) >= (spec.num_boxes[0] if isinstance(spec.num_boxes, tuple) else 1)


@settings(max_examples=100, deadline=None)
@given(
    spec=SPECS,
    dtype=DTYPES,
    size=SIZES,
    seed=st.integers(0, 2**64 - 1),
    keys=st.lists(st.integers(0, 2**64 - 1), min_size=3, max_size=3),
    threads=st.integers(0, 4),
)
def test_same_bits_whatever_batch_threads_layout_and_memory(
    spec: Spec, dtype: str, size: tuple[int, int], seed: int, keys: list[int], threads: int
) -> None:
    height, width = size
    assume(fits(spec, height, width))
    images = images_for(spec, dtype, (3, 3, height, width), seed % 1000)
    expected = bits(corrupt(images, spec, seed, keys, "NCHW", threads=1).images)

    def check(name: str, got: NDArray[Any]) -> None:
        np.testing.assert_array_equal(bits(np.ascontiguousarray(got)), expected, err_msg=name)

    check("threads", corrupt(images, spec, seed, keys, "NCHW", threads=threads).images)
    singles = [corrupt(image, spec, seed, key, "CHW").images for image, key in zip(images, keys, strict=True)]
    check("one by one", np.stack(singles))
    check("reversed batch", corrupt(images[::-1], spec, seed, keys[::-1], "NCHW", threads=threads).images[::-1])
    last = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    check("NHWC", corrupt(last, spec, seed, keys, "NHWC", threads=threads).images.transpose(0, 3, 1, 2))
    single = [corrupt(image, spec, seed, key, "HWC").images for image, key in zip(last, keys, strict=True)]
    check("HWC", np.stack(single).transpose(0, 3, 1, 2))
    wide = np.zeros((3, 5, 2 * height, 3 * width), dtype)
    view = wide[:, 3:0:-1, ::-2, 1::3]
    view[...] = images
    check("strided", corrupt(view, spec, seed, keys, "NCHW", threads=threads).images)
    check("strided in place", corrupt(view, spec, seed, keys, "NCHW", out=view, threads=threads).images)
    tensor = torch.from_numpy(images).to(memory_format=torch.channels_last)
    check("channels_last tensor", corrupt(tensor, spec, seed, keys, "NCHW", threads=threads).images.numpy())


@settings(max_examples=30, deadline=None)
@given(data=st.data(), size=SIZES, seed=st.integers(0, 2**64 - 1))
def test_gray_images_agree_in_every_layout(data: st.DataObject, size: tuple[int, int], seed: int) -> None:
    height, width = size
    spec = data.draw(box_noises(channels=1))
    assume(fits(spec, height, width))
    images = images_for(spec, "float32", (2, height, width), seed % 1000)
    expected = corrupt(images, spec, seed, layout="NHW").images
    for layout, shape in (("NCHW", (2, 1, height, width)), ("NHWC", (2, height, width, 1))):
        got = corrupt(images.reshape(shape), spec, seed, layout=layout).images
        np.testing.assert_array_equal(bits(got.reshape(images.shape)), bits(expected))
    np.testing.assert_array_equal(bits(corrupt(images[1], spec, seed, 1).images), bits(expected[1]))


@pytest.mark.parametrize("scale", [0.98, 1.0])
@pytest.mark.parametrize("size", [(2, 2), (1, 37), (64, 64), (5, 200)])
@pytest.mark.parametrize("ratio", [1.0, (0.3, 3.3), 20.0])
def test_a_scale_near_one_ends_and_is_met(scale: float, size: tuple[int, int], ratio: Any) -> None:
    spec = BoxNoise(scale=scale, num_boxes=1, ratio=ratio)
    mask = corrupt(np.zeros((5, *size), np.uint8), spec, layout="NHW").mask()
    target = max(1.0, scale * size[0] * size[1])
    assert (np.abs(mask.sum(axis=(1, 2)) - target) <= 0.5 * target**0.5 + 0.5).all()


def test_p_is_the_share_of_corrupted_images() -> None:
    boxes = corrupt(np.zeros((4000, 8, 8), np.uint8), BoxNoise(p=0.3), layout="NHW").boxes
    share = np.mean([len(its) > 0 for its in boxes])
    assert abs(share - 0.3) < 4 * (0.3 * 0.7 / 4000) ** 0.5
