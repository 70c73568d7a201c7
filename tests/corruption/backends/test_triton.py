"""The GPU twin: pixels equal the core's bit for bit. Here its kernel runs in Triton's interpreter on CPU tensors; where
there is a GPU it also runs there. Without one, what Triton's compiler makes of it for NVIDIA is read.
"""

import importlib
import importlib.util
import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("triton")

import triton
import triton.language as tl
from packaging.version import Version

from unblot.corruption import apply
from unblot.corruption.apply import Corrupted, corrupt
from unblot.corruption.backends import triton as triton_backend
from unblot.corruption.backends import triton_kernel
from unblot.corruption.backends.torch import corrupt_torch
from unblot.corruption.noise import Gaussian, Laplace, Noise, Paste, Poisson, SaltPepper
from unblot.corruption.spec import BoxNoise, FullGaussian, Spec

DTYPES = (torch.uint8, torch.float16, torch.bfloat16, torch.float32)
LARGE = 2**64 - 1

Twin = Callable[..., Corrupted]


@pytest.fixture
def rounds_once() -> None:
    """For tests in the interpreter, whose ``tl.fma`` must round once, as a GPU's does and the core's ``mul_add``."""
    if Version(triton.__version__) < Version("3.9"):
        pytest.skip(f"the interpreter of Triton {triton.__version__} rounds tl.fma twice; from 3.9 on it rounds once")


@lru_cache
def load_kernel(interpreted: bool) -> Any:
    """A copy of the kernel's module, made for the interpreter or for the compiler, whatever was imported before."""
    location = importlib.util.spec_from_file_location(f"_kernel_{interpreted}", triton_kernel.__file__)
    assert location is not None and location.loader is not None
    module = importlib.util.module_from_spec(location)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1" if interpreted else "0")
        location.loader.exec_module(module)
    return module


@pytest.fixture
def twin(rounds_once: None, monkeypatch: pytest.MonkeyPatch) -> Twin:
    """``corrupt_triton`` with its kernel in Triton's interpreter."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(triton_backend, "fill", load_kernel(interpreted=True).fill)
    return triton_backend.corrupt_triton


# Rows of the table in docs/gpu.md, each with a specification of its kind.
WHERE: dict[str, Spec] = {
    "`Gaussian`": BoxNoise(mode="superimpose"),
    "`FullGaussian`": FullGaussian(),
    "`base` black": BoxNoise(base="image"),
    '`base="any"`': BoxNoise(base="any", noise=Gaussian()),
    '`placement="clip"`': BoxNoise(placement="clip", overlap="allow"),
    "`Paste`": BoxNoise(noise=[Gaussian(), Paste()]),
    "`shapes`": BoxNoise(scale=0.1, shapes=["rectangle", "blob"]),
}


@pytest.mark.parametrize("row", WHERE)
def test_torch_takes_over_where_the_kernel_does_not_draw(row: str) -> None:
    """``corrupt`` asks the backend that the documentation names, and never one that refuses."""
    page = (Path(__file__).parents[3] / "docs/gpu.md").read_text(encoding="utf-8")
    (line,) = (line for line in page.splitlines() if line.startswith(f"| {row}"))
    _, gpu, others = (cell.strip() for cell in line.strip("|").split("|")[1:])
    backends: dict[str, Any] = {"Triton": triton_backend.corrupt_triton, "torch": corrupt_torch}
    assert apply._backend("cuda", WHERE[row]) is backends[gpu]
    assert apply._backend("mps", WHERE[row]) is backends[others]


def batch(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    return (images * 255).to(dtype) if dtype == torch.uint8 else images.to(dtype)


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    integers = {1: torch.uint8, 2: torch.int16, 4: torch.int32}[one.element_size()]
    return torch.equal(one.cpu().view(integers), other.cpu().view(integers))


def check(twin: Twin, images: torch.Tensor, spec: Spec, **arguments: Any) -> torch.Tensor:
    """The twin's images, which must be the core's and differ from what was given."""
    before = images.clone()
    core, ours = corrupt(images, spec, **arguments), twin(images, spec, **arguments)
    assert same_bits(images, before), "the input changed"
    assert core.boxes == ours.boxes
    assert same_bits(core.images, ours.images), f"{(core.images != ours.images).sum()} values differ: {spec}"
    assert not same_bits(ours.images, images), f"nothing changed: {spec}"
    done: torch.Tensor = ours.images
    return done


KINDS: dict[str, dict[str, Any]] = {
    "gaussian": {"noise": Gaussian((0.1, 0.4), mean=0.05)},
    "laplace": {"noise": Laplace(0.2, mean=(-0.1, 0.1))},
    "salt and pepper": {"noise": SaltPepper(0.4, salt_vs_pepper=0.3)},
    "salt and pepper per channel": {"noise": SaltPepper((0.2, 0.9), per_channel=True)},
    "shot": {"noise": Poisson(30.0)},
    "shot of drawn peak": {"noise": Poisson((2.0, 60.0))},
    "additive": {"noise": Poisson(8.0, "additive", strength=0.3)},
    "additive of drawn peak": {"noise": Poisson((5.0, 9.0), "additive", strength=(0.1, 0.3))},
    "superimposed": {
        "noise": (Gaussian(), Laplace(), Poisson((5.0, 50.0)), SaltPepper(0.2)),
        "mode": "superimpose",
    },
    "superimposed, additive": {
        "noise": (Gaussian(), Poisson(9.0, "additive"), SaltPepper(0.2, per_channel=True)),
        "mode": "superimpose",
    },
    "no noise": {"mode": "none"},
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("base", ["gray", (0.1, 0.6, 1.0), "image"], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_every_pixel_type_kind_and_base(twin: Twin, kind: str, base: Any, dtype: torch.dtype) -> None:
    if kind == "no noise" and base == "image":
        pytest.skip("the core refuses what changes nothing")
    value_range = (3.0, 200.0) if dtype == torch.uint8 else (-1.0, 1.0)
    spec = BoxNoise(scale=0.5, num_boxes=2, base=base, value_range=value_range, **KINDS[kind])
    check(twin, batch(1, 3, 14, 11, dtype=dtype), spec, seed=5)


SPECS: dict[str, Spec] = {
    "default": BoxNoise(),
    "patent": BoxNoise.patent(),
    "railway": BoxNoise.railway(),
    "black, white or gray": BoxNoise(scale=0.4, base="random", noise=(Gaussian(), Poisson(20.0, "additive"))),
    "some images": BoxNoise(scale=0.3, p=0.5),
    "full": FullGaussian(0.2, mean=-0.1),
    "full, some images": FullGaussian((0.0, 0.5), p=0.5),
    "many boxes": BoxNoise(scale=0.8, num_boxes=(8, 20), area_split="equal", noise=(Laplace(), SaltPepper())),
    "cut boxes that overlap": BoxNoise(
        scale=(0.6, 0.9), num_boxes=(3, 5), placement="clip", overlap="allow", base="image", noise=Laplace(0.05)
    ),
    "salt and pepper that overlap": BoxNoise(
        scale=0.9, num_boxes=5, overlap="allow", base="image", noise=SaltPepper(0.3)
    ),
    "layers that overlap": BoxNoise(
        scale=0.9,
        num_boxes=4,
        overlap="allow",
        base="image",
        noise=(Gaussian(0.1), SaltPepper(0.2), Poisson((5.0, 90.0))),
        mode="superimpose",
    ),
    "no salt": BoxNoise(scale=0.5, base="image", noise=SaltPepper(0.5, salt_vs_pepper=0.0)),
    "salt alone": BoxNoise(scale=0.5, base="gray", noise=SaltPepper(1.0, salt_vs_pepper=1.0)),
    "several tables": BoxNoise(
        scale=0.8,
        num_boxes=9,
        base=(0.2, 0.6, 1.0),
        noise=(Poisson(7.0), Gaussian(), Poisson((1.0, 50.0)), Poisson((1.0, 100.0)), Poisson(7.0, "additive")),
    ),
    "low peaks": BoxNoise(scale=0.8, num_boxes=6, base="image", noise=Poisson((0.001, 0.5))),
}


@pytest.mark.parametrize("name", SPECS)
def test_every_way_to_place_and_fill(twin: Twin, name: str) -> None:
    check(twin, batch(4, 3, 20, 17), SPECS[name], seed=8)


@pytest.mark.parametrize(
    ("noise", "base"),
    [(Gaussian(0.125), 0.0), (Laplace(0.03125), 0.0), (Poisson(7.0, "additive", strength=0.1), 0.03)],
    ids=str,
)
def test_every_bit_of_the_noise(twin: Twin, monkeypatch: pytest.MonkeyPatch, noise: Noise, base: float) -> None:
    """On (nearly) black, scaled by a power of two, no rounding hides what one fused multiply-add less would change."""
    monkeypatch.setattr(triton_backend, "_BLOCKS", 2**12)
    done = check(twin, torch.ones(1, 1, 256, 256), BoxNoise(scale=1.0, num_boxes=1, base=base, noise=noise), seed=9)
    assert ((done > 0) & (done < 1)).float().mean() > 0.4


def test_highest_peaks(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates of up to 257 beside the grid are counted out one by one, slowly in the interpreter: few, small programs."""
    monkeypatch.setattr(triton_backend, "_BLOCKS", 16)
    spec = BoxNoise(scale=0.9, num_boxes=2, base="image", noise=Poisson((60_000.0, 65_536.0)))
    check(twin, batch(1, 1, 8, 8), spec)


def test_boxes_of_many_programs(twin: Twin) -> None:
    """A box takes several programs, which start and end within its planes."""
    noise = (Gaussian(), Laplace(), Poisson(9.0, "additive"), SaltPepper(0.1))
    images = batch(2, 3, 37, 61)
    for spec in (FullGaussian(), BoxNoise(scale=0.7, num_boxes=1, base="image", mode="superimpose", noise=noise)):
        check(twin, images, spec)


@pytest.mark.parametrize("seed", [0, 1, 2**32 + 7, LARGE])
def test_seeds_and_keys_of_64_bits(twin: Twin, seed: int) -> None:
    keys = np.array([0, 2**32, 2**63 + 5, LARGE], np.uint64)
    done = check(twin, torch.zeros(4, 1, 9, 9), FullGaussian(0.3, mean=0.5), seed=seed, keys=keys)
    assert len({image.numpy().tobytes() for image in done}) == 4


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_any_memory_layout(twin: Twin, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, wide: bool) -> None:
    """Contiguous, channels last, every second column, grayscale, one image; with 64-bit indices too."""
    if wide:
        monkeypatch.setattr(triton_backend, "_NARROW", 0)
    spec = BoxNoise(scale=0.5, noise=(Gaussian(), Laplace()), base="image")
    images = batch(3, 3, 16, 12, dtype=dtype)
    wanted = check(twin, images, spec)
    last = images.contiguous(memory_format=torch.channels_last)
    done = twin(last, spec).images
    assert done.stride() == last.stride()
    assert same_bits(done.contiguous(), wanted)
    done = twin(images.permute(0, 2, 3, 1).contiguous(), spec, layout="NHWC").images
    assert same_bits(done.permute(0, 3, 1, 2), wanted)
    apart = torch.full((3, 3, 16, 24), 7, dtype=dtype)
    apart[..., ::2] = images
    assert twin(apart[..., ::2], spec, out=apart[..., ::2]).images.data_ptr() == apart.data_ptr()
    assert same_bits(apart[..., ::2], wanted)
    assert (apart[..., 1::2] == 7).all(), "columns of somebody else changed"
    out = torch.zeros(3, 16, 12, 3, dtype=dtype).permute(0, 3, 1, 2)
    assert twin(images, spec, out=out).images is out
    assert same_bits(out, wanted)
    check(twin, images[0], spec, keys=5)
    check(twin, images[:, 0], spec, layout="NHW")
    check(twin, images[0, 0], spec)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's on such numbers, in the interpreter
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-2.0, 60_000.0), (0.0, 3e-5), (-1e-7, 1e-7)])
def test_all_half_precision_numbers(
    twin: Twin, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, value_range: tuple[float, float]
) -> None:
    """Every bit pattern is read, infinities and not-a-numbers among them; small ranges end in subnormal results."""
    monkeypatch.setattr(triton_backend, "_BLOCKS", 2**12)
    images = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype).view(1, 1, 256, 256)
    check(twin, images, FullGaussian(0.05, value_range=value_range))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_values_that_are_not_numbers(twin: Twin) -> None:
    images = batch(1, 3, 16, 16)
    odd = [torch.nan, -torch.nan, torch.inf, -torch.inf, 0.0, -0.0, 1e-40, -1e-40, 3e38, -3e38]
    images.view(-1)[: len(odd)] = torch.tensor(odd)
    images.view(-1).view(torch.int32)[20:24] = torch.tensor([0x7FC12345, 0x7F812345, -0x3EDCBB, -0x7EDCBB])  # payloads
    images = images.repeat(4, 1, 1, 1)
    whole: dict[str, Any] = {"scale": 1.0, "num_boxes": 1, "base": "image", "value_range": (-1.0, 2.0)}
    for noise in (Gaussian(), Laplace(), Poisson(8.0, "additive"), Poisson(8.0), SaltPepper(0.3)):
        check(twin, images, BoxNoise(noise=noise, **whole))


def test_in_place_counts_as_a_change(twin: Twin) -> None:
    images = batch(2, 3, 12, 12)
    wanted = corrupt(images, BoxNoise()).images
    weight = torch.ones((), requires_grad=True)
    product = (images * weight).sum()
    assert twin(images, BoxNoise(), out=images).images is images
    assert same_bits(images, wanted)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.backward()


def test_one_launch_unless_boxes_may_overlap(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = load_kernel(interpreted=True).fill
    grids: list[int] = []

    class Recorder:
        def __getitem__(self, grid: tuple[int]) -> Any:
            grids.append(grid[0])
            return inner[grid]

    monkeypatch.setattr(triton_backend, "fill", Recorder())
    images = batch(6, 1, 40, 40)
    for overlap, launches in (("forbid", 1), ("allow", 3)):
        grids.clear()
        spec = BoxNoise(scale=0.2, num_boxes=(2, 3), overlap=overlap, noise=Gaussian())
        check(twin, images, spec)
        assert len(grids) == launches
        assert sum(grids) == sum(map(len, corrupt(images, spec).boxes)), "a program for each of these small boxes"
    grids.clear()
    assert same_bits(twin(images, BoxNoise(p=0.0)).images, images)
    assert grids == []


def test_refuses_as_corrupt_does(twin: Twin) -> None:
    images = batch(2, 3, 16, 12)
    before = images.clone()
    cases: list[tuple[type[Exception], str, Any, dict[str, Any]]] = [
        (TypeError, "float64", images.double(), {}),
        (TypeError, "spec", images, {"spec": "box"}),
        (ValueError, "images.*meta", images.to("meta"), {}),
        (TypeError, "torch tensor.*ndarray", images.cpu().numpy(), {}),
        (ValueError, "keys", images, {"keys": [1]}),
        (ValueError, "seed", images, {"seed": -1}),
        (ValueError, "out overlaps", images[:1], {"out": images.view(-1)[12:588].view(1, 3, 16, 12)}),
        (ValueError, "value_range", images * 2 - 1, {}),
        (ValueError, "num_boxes", images, {"spec": BoxNoise(scale=0.01, num_boxes=9), "out": images}),
        (ValueError, "Paste.*CPU", images, {"spec": BoxNoise(noise=[Gaussian(), Paste()]), "out": images}),
        (ValueError, "shapes.*CPU", images, {"spec": BoxNoise(scale=0.1, shapes="blob"), "out": images}),
        (ValueError, "base.*any.*CPU", images, {"spec": BoxNoise(base="any", noise=Gaussian()), "out": images}),
    ]
    for error, text, given, arguments in cases:
        with pytest.raises(error, match=text):
            twin(given, **({"spec": BoxNoise()} | arguments))
    assert same_bits(images, before)


def test_an_empty_batch_comes_back(twin: Twin) -> None:
    images = batch(2, 3, 16, 12)[:0]
    done = twin(images, BoxNoise())
    assert done.images.shape == (0, 3, 16, 12)
    assert done.boxes == []
    assert done.mask().shape == (0, 16, 12)


def test_who_corrupts_what(monkeypatch: pytest.MonkeyPatch) -> None:
    assert apply._backend("cuda", BoxNoise()) is triton_backend.corrupt_triton
    assert apply._backend("mps", BoxNoise()) is corrupt_torch
    monkeypatch.setattr(torch.version, "hip", "6.2")
    assert apply._backend("cuda", BoxNoise()) is corrupt_torch
    monkeypatch.undo()
    monkeypatch.setattr(apply, "find_spec", lambda name: None)
    assert apply._backend("cuda", BoxNoise()) is corrupt_torch


# --- what the interpreter and the compiler do -------------------------------------------------------------------------


def _fma(x, y, z, out, COUNT: tl.constexpr):  # type: ignore[no-untyped-def] # noqa: N803
    at = tl.arange(0, COUNT)
    tl.store(out + at, tl.fma(tl.load(x + at), tl.load(y + at), tl.load(z + at)))


def exact_fma(x: Any, y: Any, z: Any) -> Any:
    """x · y + z of float32, rounded once: in float64 to odd, which the rounding to float32 then cannot mistake."""
    product, wide = x.astype(np.float64) * y, z.astype(np.float64)
    total = product + wide
    part = total - product
    rest = (product - (total - part)) + (wide - part)
    bits = total.view(np.int64)
    even = (rest != 0) & (bits & 1 == 0)
    return (bits + np.where(even, np.where((rest > 0) == (total > 0), 1, -1), 0)).view(np.float64).astype(np.float32)


@pytest.mark.usefixtures("rounds_once")
def test_the_interpreter_fuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests above mean something only if ``tl.fma`` rounds once."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    count = 2**16
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, count)).astype(np.float32)
    z = (-x * y * rng.choice([1, 1.001, 0.3, 1e-6], count)).astype(np.float32)  # often cancels what is rounded
    out = torch.zeros(count)
    triton.jit(_fma)[(1,)](*map(torch.from_numpy, (x, y, z)), out, COUNT=count)
    assert np.array_equal(out.numpy().view(np.int32), exact_fma(x, y, z).view(np.int32))
    assert (out.numpy() != x * y + z).mean() > 0.2


def compiled(pixels: str, capability: int, **constants: Any) -> str:
    """The PTX of the kernel for a GPU that need not be there."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    fill = load_kernel(interpreted=False).fill
    pointers = {"records": "*i32", "floats": "*fp32", "owners": "*i32", "directory": "*i32", "columns": "*i32"}
    kinds = dict.fromkeys(fill.arg_names, "i32") | dict.fromkeys(("low", "span", "scale"), "fp32")
    kinds |= pointers | {"pixels": pixels, "steps": "*fp64"} | dict.fromkeys(constants, "constexpr")
    values = {(fill.arg_names.index(name),): value for name, value in constants.items()}
    source = ASTSource(fill, kinds, values)
    done = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"enable_fp_fusion": False})
    assert done.asm["cubin"]
    return str(done.asm["ptx"])


@pytest.mark.parametrize(
    ("pixels", "capability", "constants"),
    [
        ("*i32", 90, {"FORMAT": "float32", "OWN": True, "GRID": True, "WIDE": False}),
        ("*u8", 75, {"FORMAT": "uint8", "OWN": False, "GRID": False, "WIDE": False}),
        ("*i16", 80, {"FORMAT": "float16", "OWN": True, "GRID": False, "WIDE": True}),
        ("*i16", 90, {"FORMAT": "bfloat16", "OWN": True, "GRID": False, "WIDE": False}),
    ],
)
def test_the_compiler_rounds_as_written(
    pixels: str, capability: int, constants: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """For NVIDIA: the fused multiply-adds are those of the source, and every other operation rounds to nearest."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    ptx = compiled(pixels, capability, ROW=32, BLOCKS=256, **constants)
    operations = Counter(re.findall(r"^\s*(?:@!?%p\d+ )?([a-z][a-z0-9_.:]+)\s", ptx, re.MULTILINE))
    # For four values: two logarithms (11), two angles (7) and four sums make Gaussian noise, four logarithms and sums
    # Laplace noise, four sums additive Poisson noise, and four bring the values into their range.
    in_four = 2 * 11 + 2 * 7 + 4 + 4 * (11 + 1) + 4 + 4
    per_thread = 256 // 128
    assert operations["fma.rn.f32"] == in_four * per_thread
    assert operations["sqrt.rn.f32"] == 2 * per_thread
    arithmetic = {name for name in operations if re.match(r"(add|sub|mul|fma|mad|div|sqrt)\..*f(32|64)$", name)}
    wide = {"add.rn.f64", "sub.rn.f64", "mul.rn.f64", "div.rn.f64"} if constants["GRID"] else set()
    assert arithmetic <= {"add.rn.f32", "sub.rn.f32", "mul.rn.f32", "fma.rn.f32", "sqrt.rn.f32"} | wide
    assert not [name for name in operations if re.search(r"ftz|approx|full|call|min\.f|max\.f", name)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("name", [*KINDS, *SPECS])
def test_on_a_gpu(name: str) -> None:
    if name in SPECS:
        specs = [SPECS[name]]
    else:
        bases: list[Any] = ["gray", (0.1, 0.6, 1.0)] + ["image"] * (name != "no noise")
        specs = [BoxNoise(scale=0.5, base=base, **KINDS[name]) for base in bases]
    for dtype in DTYPES:
        images = batch(8, 3, 57, 83, dtype=dtype)
        for spec in specs:
            core = corrupt(images, spec, seed=3)
            there = images.cuda()
            done = corrupt(there, spec, seed=3)
            assert done.images.device == done.mask().device == there.device
            assert done.boxes == core.boxes
            assert same_bits(done.images, core.images), f"{(done.images.cpu() != core.images).sum()} values differ"
            assert same_bits(there, images)
            last = there.contiguous(memory_format=torch.channels_last)
            assert corrupt(last, spec, seed=3, out=last).images is last
            assert same_bits(last.contiguous(), core.images)
