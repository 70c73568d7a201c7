"""``corrupt`` at its edges: pixel types, layouts, kinds of memory, keys, and everything that it must refuse
untouched.
"""

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import ml_dtypes
import numpy as np
import pandas
import pytest
import torch
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray
from torchvision import tv_tensors

from unblot.corruption.apply import Box, corrupt
from unblot.corruption.noise import Gaussian, Laplace, Noise, Poisson, SaltPepper
from unblot.corruption.presets import named
from unblot.corruption.spec import BoxNoise, FullGaussian

SPEC = BoxNoise(scale=(0.2, 0.5))
ON_IMAGE = BoxNoise(scale=0.5, base="image", noise=[Gaussian(), Laplace(), Poisson()], value_range=(-1.0, 3.0))
SHAPE = (2, 3, 16, 12)


def random_images(dtype: Any = np.uint8, shape: tuple[int, ...] = SHAPE) -> NDArray[Any]:
    random = np.random.default_rng(0)
    return random.integers(0, 256, shape, np.uint8) if dtype == np.uint8 else random.random(shape).astype(dtype)


def raw(images: Any) -> bytes:
    if isinstance(images, torch.Tensor):
        images = images.detach().contiguous().view(torch.uint8).numpy()
    return np.ascontiguousarray(images).tobytes()


# --- pixel types ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [SPEC, ON_IMAGE, FullGaussian(value_range=(-1, 2))], ids=["flat", "image", "full"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_arrays_and_tensors_get_the_same_bits(dtype: str, spec: Any) -> None:
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    array = random_images(kind)
    tensor = torch.from_numpy(array.astype(np.float32)).to(getattr(torch, dtype))
    assert raw(array) == raw(tensor)
    got_array, got_tensor = corrupt(array, spec, seed=3), corrupt(tensor, spec, seed=3)
    assert got_array.images.dtype == array.dtype
    assert got_tensor.images.dtype == tensor.dtype
    assert raw(got_array.images) == raw(got_tensor.images) != raw(array)
    assert got_array.boxes == got_tensor.boxes


@pytest.mark.parametrize(("dtype", "step"), [("float16", 2**-11), ("bfloat16", 2**-8), ("uint8", 0.501 / 255)])
def test_all_pixel_types_are_one_rounding_of_the_same_values(dtype: str, step: float) -> None:
    flat = BoxNoise(scale=0.5, base=0.3, noise=[Gaussian(), Laplace(), SaltPepper(), Poisson()])
    exact = corrupt(torch.zeros(SHAPE), flat, seed=1).images
    zeros = torch.zeros(SHAPE, dtype=getattr(torch, dtype))
    coarse = corrupt(zeros, flat, seed=1).images.float() / (255 if dtype == "uint8" else 1)
    assert (coarse - exact).abs().max() <= step


def test_what_salt_and_pepper_miss_keeps_its_bits() -> None:
    images = random_images(np.float32) * 7 - 3
    images[0, :, :2] = np.nan
    spec = BoxNoise(scale=0.9, base="image", noise=SaltPepper((0.1, 0.4)), value_range=(-3.25, 4.5))
    done = corrupt(images, spec)
    hit = done.images.view(np.uint32) != images.view(np.uint32)
    assert set(done.images[hit]) == {np.float32(-3.25), np.float32(4.5)}
    share = hit.sum() / (done.mask().sum() * SHAPE[1])
    assert 0.05 < share < 0.45


# --- layouts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "tensor", "layout"),
    [
        ((16, 12), False, "HW"),
        ((16, 12), True, "HW"),
        ((16, 12, 3), False, "HWC"),
        ((4, 16, 12), False, "CHW"),
        ((1, 16, 12), True, "CHW"),
        ((2, 16, 12, 1), False, "NHWC"),
        ((2, 3, 16, 12), False, "NCHW"),
        ((2, 3, 16, 12), True, "NCHW"),
        ((2, 5, 16, 12), True, "NCHW"),
        ((2, 3, 16, 3), True, "NCHW"),
    ],
)
def test_layout_is_inferred(shape: tuple[int, ...], tensor: bool, layout: str) -> None:
    images: Any = random_images(shape=shape)
    images = torch.from_numpy(images) if tensor else images
    inferred, told = corrupt(images, SPEC), corrupt(images, SPEC, layout=layout)
    assert raw(inferred.images) == raw(told.images) != raw(images)
    assert inferred.boxes == told.boxes
    size = dict(zip(layout, shape, strict=True))
    assert inferred.mask().shape == tuple(size[axis] for axis in "NHW" if axis in size)


@pytest.mark.parametrize(
    ("shape", "tensor"),
    [
        ((16, 12, 8), False),
        ((3, 16, 3), False),
        ((2, 3, 16, 3), False),
        ((2, 5, 16, 12), False),
        ((16, 12, 3), True),
        ((2, 16, 12, 3), True),
    ],
)
def test_an_ambiguous_layout_is_asked_for(shape: tuple[int, ...], tensor: bool) -> None:
    images: Any = random_images(shape=shape)
    images = torch.from_numpy(images) if tensor else images
    with pytest.raises(ValueError, match=r"layout='N?HWC'"):
        corrupt(images, SPEC)


def test_one_image_gives_one_list_and_one_mask() -> None:
    done = corrupt(random_images(shape=(16, 12, 3)), BoxNoise(scale=0.25, num_boxes=2, mode="none", base="white"))
    assert len(done.boxes) == 2
    assert all(isinstance(box, Box) and box.kind == "none" for box in done.boxes)
    assert done.mask().dtype == np.uint8
    np.testing.assert_array_equal(done.mask() == 1, (done.images == 255).all(axis=-1))


def test_kinds_are_named_in_the_order_in_which_they_act() -> None:
    noise: list[Noise] = [SaltPepper(), Laplace(), Gaussian(), Poisson()]
    boxes = corrupt(random_images(shape=(200, 1, 8, 8)), BoxNoise(noise=noise, mode="superimpose")).boxes
    kinds = {box.kind for its in boxes for box in its}
    assert "poisson+gaussian+laplace+salt_pepper" in kinds
    assert all("+" in kind for kind in kinds)
    chosen = {box.kind for its in corrupt(random_images(shape=(200, 1, 8, 8)), SPEC).boxes for box in its}
    assert chosen == {"poisson", "gaussian", "laplace", "salt_pepper"}


# --- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "float16", "bfloat16", "float32"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_new_in_place_and_out_agree_for_tensors(dtype: str, channels_last: bool) -> None:
    form = torch.channels_last if channels_last else torch.contiguous_format
    images = torch.from_numpy(random_images(np.float32)).mul(255 if dtype == "uint8" else 1).to(getattr(torch, dtype))
    images = images.contiguous(memory_format=form)
    before, version = raw(images), images._version
    new = corrupt(images, SPEC, seed=5)
    assert raw(images) == before
    assert images._version == version
    assert new.images.stride() == images.stride()
    out = torch.empty_like(images)
    assert corrupt(images, SPEC, seed=5, out=out).images is out
    same = images.clone()
    for target in (same, same[:]):
        same.copy_(images)
        version = same._version
        assert corrupt(same, SPEC, seed=5, out=target).images is target
        assert same._version > version, "autograd must see that the tensor changed"
        assert raw(same) == raw(new.images)
    assert raw(out) == raw(new.images) != before


def test_new_in_place_and_out_agree_for_arrays() -> None:
    images = np.asfortranarray(random_images())
    new = corrupt(images, SPEC).images
    assert new.strides == images.strides
    whole = np.zeros((4, 3, 16, 24), np.uint8)
    out = whole[::-2, :, :, ::2]
    corrupt(images, SPEC, out=out)
    np.testing.assert_array_equal(out, new)
    whole[:, :, :, ::2][::-2] = 0
    assert not whole.any(), "the pixels between those of a strided out must stay"
    corrupt(images, SPEC, out=images[:])
    np.testing.assert_array_equal(images, new)


def test_interleaved_memory_is_no_overlap() -> None:
    both = np.stack([random_images(), random_images()], axis=2)  # N, C, 2, H, W
    expected = corrupt(both[:, :, 0], SPEC).images
    corrupt(both[:, :, 0], SPEC, out=both[:, :, 1])
    np.testing.assert_array_equal(both[:, :, 1], expected)
    np.testing.assert_array_equal(both[:, :, 0], random_images())


def test_subclasses_gradients_and_expanded_or_read_only_input() -> None:
    images = random_images(np.float32)
    expected = raw(corrupt(images, SPEC).images)
    tensor = torch.from_numpy(images)
    for given in (tensor.clone().requires_grad_(), tv_tensors.Image(tensor)):
        got = corrupt(given, SPEC).images
        assert type(got) is torch.Tensor
        assert not got.requires_grad
        assert raw(got) == expected
    images.setflags(write=False)
    assert raw(corrupt(images, SPEC).images) == expected
    one = np.broadcast_to(images[:1], SHAPE)
    assert raw(corrupt(one, SPEC).images) == raw(corrupt(one.copy(), SPEC).images)
    shared = tensor[:1].expand(SHAPE)
    assert raw(corrupt(shared, SPEC).images) == raw(corrupt(shared.clone(), SPEC).images)


def test_inference_tensors() -> None:
    with torch.inference_mode():
        images = torch.from_numpy(random_images(np.float32)).clone()
        expected = raw(corrupt(images, SPEC).images)
        assert raw(corrupt(images, SPEC, out=images).images) == expected


# --- keys and seed ----------------------------------------------------------------------------------------------------


def test_keys_of_every_kind_are_read_alike() -> None:
    images, big = random_images(), 2**64 - 1
    expected = corrupt(images, SPEC, keys=[7, 2**40]).boxes
    for keys in (
        (7, 2**40),
        np.array([7, 2**40]),
        np.array([7, 2**40], np.uint64),
        torch.tensor([7, 2**40]),
        [np.int64(7), torch.tensor(2**40)],
        np.array([7, 2**40], dtype=object),
        pandas.Series([7, 2**40], index=["a", "b"]),
        pandas.array([7, 2**40], dtype="Int64"),
    ):
        assert corrupt(images, SPEC, keys=keys).boxes == expected
    assert corrupt(images, SPEC).boxes == corrupt(images, SPEC, keys=range(2)).boxes
    assert corrupt(images[0], SPEC, keys=big, layout="CHW").boxes == corrupt(images, SPEC, keys=[big, 0]).boxes[0]
    assert corrupt(images, SPEC, seed=big).boxes != corrupt(images, SPEC, seed=0).boxes
    five: Any = np.uint64(5)
    assert corrupt(images, SPEC, seed=five).boxes == corrupt(images, SPEC, seed=5).boxes


def test_keys_given_as_an_array_stay_as_they_are() -> None:
    keys = np.array([3, 4], np.uint64)
    corrupt(random_images(), SPEC, keys=keys)
    np.testing.assert_array_equal(keys, [3, 4])


# --- refusals ---------------------------------------------------------------------------------------------------------


def read_only(images: NDArray[Any]) -> NDArray[Any]:
    images = images.copy()
    images.setflags(write=False)
    return images


def misaligned() -> NDArray[Any]:
    return np.zeros(4 * 16 * 12 + 1, np.uint8)[1:].view(np.float32).reshape(16, 12)


IMAGES = random_images()
FLOATS = random_images(np.float32)
TENSOR = torch.from_numpy(random_images(np.float32))
BUFFER = np.zeros((3, 3, 16, 12), np.uint8)
MEMORY = torch.zeros(3, 3, 16, 12)

Case = tuple[type[Exception], str, Callable[[], Any], dict[str, Any]]
REFUSED: list[Case] = [
    (TypeError, "images.*list.*np.asarray", lambda: [[1, 2]], {}),
    (TypeError, "images has dtype float64.*float32", lambda: FLOATS.astype(np.float64), {}),
    (TypeError, "images has dtype float64.*torch.float32", TENSOR.double, {}),
    (TypeError, "dtype int8", lambda: IMAGES.astype(np.int8), {}),
    (TypeError, "dtype bool", lambda: IMAGES > 5, {}),
    (ValueError, r"2 to 4 axes.*got shape \(\)", lambda: np.zeros((), np.uint8), {}),
    (ValueError, "2 to 4 axes", lambda: IMAGES[None], {}),
    (ValueError, "2 to 4 axes", lambda: IMAGES[0, 0, 0], {}),
    (ValueError, "byte.*newbyteorder", lambda: FLOATS.astype(">f4"), {}),
    (ValueError, r"aligned.*copy\(\)", misaligned, {}),
    (ValueError, "to_dense", lambda: torch.zeros(16, 12).to_sparse(), {}),
    (TypeError, "images has dtype complex64", lambda: torch.zeros(16, 12, dtype=torch.complex64), {}),
    (TypeError, "layout", lambda: IMAGES, {"layout": 4}),
    (TypeError, "layout", lambda: IMAGES, {"layout": ["HW"]}),
    (ValueError, "layout.*NCHW.*'NWHC'", lambda: IMAGES, {"layout": "NWHC"}),
    (ValueError, "layout 'HWC' has 3 axes.*4", lambda: IMAGES, {"layout": "HWC"}),
    (TypeError, "spec.*BoxNoise.*'box'", lambda: IMAGES, {"spec": "box"}),
    (TypeError, "spec", lambda: IMAGES, {"spec": None}),
    (TypeError, "seed.*1.5", lambda: IMAGES, {"seed": 1.5}),
    (TypeError, "seed.*True", lambda: IMAGES, {"seed": True}),
    (ValueError, "seed.*-1", lambda: IMAGES, {"seed": -1}),
    (ValueError, f"seed.*{2**64}", lambda: IMAGES, {"seed": 2**64}),
    (ValueError, "keys.*2 images.*1", lambda: IMAGES, {"keys": 3}),
    (ValueError, "keys.*2 images.*3", lambda: IMAGES, {"keys": [1, 2, 3]}),
    (ValueError, "keys.*-1", lambda: IMAGES, {"keys": [1, -1]}),
    (ValueError, "keys.*-1", lambda: IMAGES, {"keys": np.array([1, -1])}),
    (ValueError, f"keys.*{2**64}", lambda: IMAGES, {"keys": [0, 2**64]}),
    (TypeError, "keys.*float64", lambda: IMAGES, {"keys": np.array([0.0, 1.0])}),
    (TypeError, "keys.*bool", lambda: IMAGES, {"keys": np.array([False, True])}),
    (TypeError, "keys.*shape", lambda: IMAGES, {"keys": np.array([[0, 1]])}),
    (TypeError, "keys.*0.5", lambda: IMAGES, {"keys": [0, 0.5]}),
    (TypeError, "keys.*'ab'", lambda: IMAGES, {"keys": "ab"}),
    (TypeError, "keys.*'a'", lambda: IMAGES, {"keys": np.array([1, "a"], object)}),
    (ValueError, f"keys.*{2**64}", lambda: IMAGES, {"keys": np.array([1, 2**64], object)}),
    (TypeError, "keys.*object.*shape", lambda: IMAGES, {"keys": np.array([[1, 2]], object)}),
    (TypeError, "keys.*bfloat16.*int64", lambda: IMAGES, {"keys": torch.zeros(2, dtype=torch.bfloat16)}),
    (TypeError, "keys.*bool.*int64", lambda: IMAGES, {"keys": torch.ones(2, dtype=torch.bool)}),
    (TypeError, "keys.*meta", lambda: IMAGES, {"keys": torch.zeros(2, dtype=torch.int64, device="meta")}),
    (TypeError, "keys.*float64", lambda: IMAGES, {"keys": pandas.Series([0.5, 1.0])}),
    (ValueError, "threads.*-1", lambda: IMAGES, {"threads": -1}),
    (TypeError, "threads", lambda: IMAGES, {"threads": "all"}),
    (TypeError, "out.*NumPy array.*Tensor", lambda: FLOATS, {"out": torch.empty(SHAPE)}),
    (TypeError, "out.*torch tensor.*ndarray", lambda: TENSOR, {"out": np.empty(SHAPE, np.float32)}),
    (TypeError, "out.*list", lambda: IMAGES, {"out": []}),
    (TypeError, "out.*uint8.*float32", lambda: IMAGES, {"out": np.ones(SHAPE, np.float32)}),
    (ValueError, r"out.*\(2, 3, 16, 12\).*\(3, 3, 16, 12\)", lambda: IMAGES, {"out": BUFFER}),
    (ValueError, "out is read-only", lambda: IMAGES, {"out": read_only(IMAGES)}),
    (
        ValueError,
        "out holds several.*copy",
        lambda: IMAGES,
        {"out": as_strided(BUFFER, SHAPE, (576, 192, 4, 1))},
    ),
    (ValueError, "out holds several.*copy", lambda: TENSOR, {"out": torch.zeros(1, 3, 16, 12).expand(SHAPE)}),
    (ValueError, "out overlaps", lambda: BUFFER[:2], {"out": BUFFER[1:]}),
    (ValueError, "out overlaps", lambda: BUFFER[:2], {"out": BUFFER[1::-1]}),
    (ValueError, "out overlaps", lambda: MEMORY[:2], {"out": MEMORY[1:]}),
    (ValueError, r"gradient.*detach\(\)", lambda: TENSOR, {"out": torch.zeros(SHAPE, requires_grad=True)}),
    (ValueError, r"float32.*\[0, 1\].*-0.9.*BoxNoise\(value_range=", lambda: FLOATS * 2 - 1, {}),
    (ValueError, r"float16.*\[0, 1\].*to 2.*value_range", lambda: np.full((16, 12), 2, np.float16), {}),
    (ValueError, r"FullGaussian\(value_range=", lambda: TENSOR * 255, {"spec": FullGaussian()}),
    (ValueError, "value_range.*uint8.*255", lambda: IMAGES, {"spec": BoxNoise(value_range=(-1, 1))}),
    (ValueError, "value_range.*uint8.*whole", lambda: IMAGES, {"spec": BoxNoise(value_range=(0.5, 1))}),
    (ValueError, "value_range.*float16", TENSOR.half, {"spec": BoxNoise(value_range=(0, 1e5))}),
    (ValueError, "value_range.*narrower than bfloat16", TENSOR.bfloat16, {"spec": BoxNoise(value_range=(100, 100.4))}),
    (ValueError, "value_range.*narrower than float16", TENSOR.half, {"spec": BoxNoise(value_range=(0, 1e-8))}),
    (ValueError, "base.*2 numbers.*3 channels", lambda: IMAGES, {"spec": BoxNoise(base=(0.1, 0.2))}),
    (ValueError, "scale.*num_boxes", lambda: IMAGES, {"spec": BoxNoise(scale=0.01, num_boxes=9)}),
]


@pytest.mark.parametrize(("error", "text", "images", "arguments"), REFUSED)
def test_refuses_by_name_and_changes_nothing(
    error: type[Exception], text: str, images: Callable[[], Any], arguments: dict[str, Any]
) -> None:
    given = images()
    dense = [x for x in (given, arguments.get("out")) if hasattr(x, "shape") and not getattr(x, "is_sparse", False)]
    before = [raw(x) for x in dense]
    with pytest.raises(error, match=text):
        corrupt(given, **({"spec": SPEC} | arguments))
    assert [raw(x) for x in dense] == before


@pytest.mark.parametrize("arguments", [{"keys": [0]}, {"seed": -1}, {"spec": BoxNoise(scale=0.01, num_boxes=9)}])
@pytest.mark.parametrize("tensor", [False, True])
def test_a_refusal_in_place_changes_nothing(arguments: dict[str, Any], tensor: bool) -> None:
    images: Any = torch.from_numpy(IMAGES.copy()) if tensor else IMAGES.copy()
    with pytest.raises(ValueError, match=next(iter(arguments)) if "spec" not in arguments else "scale"):
        corrupt(images, **({"spec": SPEC, "out": images} | arguments))
    assert raw(images) == raw(IMAGES)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_the_guard_sees_every_small_image(dtype: str) -> None:
    for place in ((0, 0), (7, 7), (3, 4)):
        images = torch.zeros(3, 1, 8, 8, dtype=getattr(torch, dtype))
        images[(2, 0, *place)] = 1.5
        with pytest.raises(ValueError, match=r"to 1\.5"):
            corrupt(images, SPEC)
    images.fill_(torch.nan)
    corrupt(images, SPEC)  # not a number is no value outside a range


def test_tensors_without_pixels_in_memory_are_refused_by_name() -> None:
    nested = torch.nested.nested_tensor([torch.zeros(3, 8, 8), torch.zeros(3, 9, 8)], layout=torch.jagged)
    for images, text in (
        (torch.zeros(2, 3, 8, 8, device="meta"), "images.*meta"),
        (nested, "images.*nested.*unbind"),
        (torch.tensor(0.5), r"images.*2 to 4 axes.*shape \(\)"),
    ):
        with pytest.raises(ValueError, match=text):
            corrupt(images, SPEC)


@pytest.mark.parametrize(("dtype", "beyond"), [("float16", 2**-9), ("bfloat16", 2**-6), ("float32", 4e-6)])
def test_what_lies_outside_by_rounding_is_taken_and_no_more(dtype: str, beyond: float) -> None:
    images = torch.full((2, 3, 16, 16), 1 + beyond).to(getattr(torch, dtype))
    images[1] = -beyond
    assert images.max() > 1
    on_image = BoxNoise(scale=0.5, base="image", noise=Gaussian(0.3))
    done = corrupt(images, on_image)
    inside = done.mask()[:, None].bool().expand(images.shape)
    assert done.images[inside].min() >= 0
    assert done.images[inside].max() <= 1, "blots are clipped to the range"
    assert torch.equal(done.images[~inside], images[~inside]), "no pixel outside a blot changes"
    images[0] = 1 + 16 * beyond
    with pytest.raises(ValueError, match=r"to 1\.\d"):
        corrupt(images, on_image)


def test_a_refused_pixel_is_shown_with_all_its_digits() -> None:
    with pytest.raises(ValueError, match=r"from -2\.5e-05 to 1\.0000305 "):
        corrupt(np.array([[1.0000305, -2.5e-05]], np.float32), SPEC)


@pytest.mark.parametrize("shape", [(0, 3, 16, 12), (2, 3, 0, 12), (3, 16, 0), (0, 0)])
@pytest.mark.parametrize("tensor", [False, True])
def test_nothing_comes_back_as_nothing(shape: tuple[int, ...], tensor: bool) -> None:
    images: Any = torch.zeros(shape) if tensor else np.zeros(shape, np.float32)
    layout = {4: "NCHW", 3: "CHW", 2: "HW"}[len(shape)]
    done = corrupt(images, BoxNoise(shapes="blob"), layout=layout, changed=0.0)
    assert type(done.images) is type(images)
    assert done.images is not images
    assert tuple(done.images.shape) == shape
    single = "N" not in layout
    assert done.boxes == ([] if single else [[] for _ in range(shape[0])])
    wanted = tuple(n for n, axis in zip(shape, layout, strict=True) if axis in "NHW")
    assert tuple(done.mask().shape) == tuple(done.changed.shape) == wanted
    assert corrupt(images, SPEC, layout=layout, out=images).images is images
    with pytest.raises(ValueError, match="keys"):
        corrupt(images, SPEC, layout=layout, keys=[1, 2, 3])


def in_another_process(function: Callable[[Any, Any], Any], *arguments: Any) -> Any:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result(timeout=120)


@pytest.mark.parametrize("spec", [SPEC, named("mixed"), FullGaussian()], ids=["boxes", "shapes", "full"])
@pytest.mark.parametrize("tensor", [False, True])
def test_a_result_comes_back_from_another_process(spec: Any, tensor: bool) -> None:
    images: Any = torch.from_numpy(IMAGES) if tensor else IMAGES
    here = corrupt(images, spec, changed=0.0)
    for there in (in_another_process(corrupt, images, spec), copy.deepcopy(here)):
        assert raw(there.images) == raw(here.images)
        assert there.boxes == here.boxes
        assert (there.mask() == here.mask()).all()
    assert (pickle.loads(pickle.dumps(here)).changed == here.changed).all()


def test_threads_are_one_in_a_worker_process() -> None:
    code = (
        "import multiprocessing as m\n"
        "from unblot.corruption.apply import _threads\n"
        "if __name__ == '__main__':\n"
        "    with m.get_context('fork').Pool(1) as pool:\n"
        "        print(_threads(None), pool.apply(_threads, (None,)), pool.apply(_threads, (3,)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "1", "3"]
