"""The torch backend and the core: the same boxes, the same distributions, the same bits where nothing is random."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from unblot.corruption.apply import corrupt
from unblot.corruption.backends.torch import corrupt_torch
from unblot.corruption.noise import Gaussian, Laplace, Noise, Poisson, SaltPepper
from unblot.corruption.spec import BoxNoise, FullGaussian, Spec

ADDITIVE = Poisson(mode="additive")


def batch(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    return (images * 255).to(dtype) if dtype == torch.uint8 else images.to(dtype)


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.equal(one.contiguous().view(torch.uint8), other.contiguous().view(torch.uint8))


@pytest.mark.parametrize("overlap", ["forbid", "allow"])
@pytest.mark.parametrize("placement", ["inside", "clip"])
@pytest.mark.parametrize(
    ("noise", "base"),
    [
        (None, "random"),
        (None, (0.1, 0.4, 0.9)),
        (Gaussian(0.0, mean=0.1), "random"),
        (Laplace(0.0, mean=(-0.2, 0.2)), 0.5),
        (SaltPepper(1.0, salt_vs_pepper=1.0), "gray"),
        (SaltPepper(0.0), "image"),
        (Poisson(5.0, "additive", strength=0.0), "white"),
    ],
)
def test_what_is_not_random_agrees_to_the_bit(overlap: str, placement: str, noise: Noise | None, base: Any) -> None:
    kinds: dict[str, Any] = {"mode": "none"} if noise is None else {"noise": noise}
    spec = BoxNoise(scale=(0.3, 0.8), num_boxes=(1, 6), base=base, overlap=overlap, placement=placement, p=0.8, **kinds)
    for dtype in (torch.uint8, torch.bfloat16):
        images = batch(6, 3, 17, 23, dtype=dtype)
        core, ours = corrupt(images, spec, seed=4), corrupt_torch(images, spec, seed=4)
        assert core.boxes == ours.boxes
        assert torch.equal(core.mask(), ours.mask())
        assert same_bits(core.images, ours.images)


SAME: dict[str, Spec] = {
    "gaussian": BoxNoise(scale=0.5, noise=Gaussian((0.05, 0.15), mean=0.05)),
    "laplace": BoxNoise(scale=0.5, noise=Laplace(0.06, mean=(-0.1, 0.1))),
    "shot": BoxNoise(scale=0.5, base=(0.1, 0.5, 0.7), noise=Poisson(20.0)),
    "shot on the image": BoxNoise(scale=0.5, base="image", noise=Poisson((5.0, 300.0))),
    "additive": BoxNoise(scale=0.5, base="black", noise=Poisson(8.0, "additive", strength=0.1)),
    "salt and pepper": BoxNoise(scale=0.5, noise=SaltPepper(0.3, salt_vs_pepper=0.2)),
    "salt and pepper per channel": BoxNoise(scale=0.5, base="image", noise=SaltPepper(0.3, 0.8, per_channel=True)),
    "superimposed": BoxNoise(noise=[Gaussian(), Laplace(), ADDITIVE, SaltPepper(0.1)], mode="superimpose"),
    "full": FullGaussian(0.2, mean=-0.05),
    "overlapping on the image": BoxNoise(scale=0.9, num_boxes=4, base="image", overlap="allow", noise=Laplace(0.1)),
}


@pytest.mark.parametrize("name", SAME)
def test_distributions_agree(name: str) -> None:
    images = batch(24, 3, 40, 40)
    # The same boxes and parameters: pixels differ in the noise alone.
    core = corrupt(images, SAME[name], seed=11)
    ours = corrupt_torch(images, SAME[name], seed=11)
    assert core.boxes == ours.boxes
    inside = core.mask().bool()[:, None].expand_as(images)
    outside_bits = same_bits(core.images[~inside], ours.images[~inside])
    assert outside_bits
    a, b = ((done.images - images)[inside].double().numpy() for done in (core, ours))
    assert not np.array_equal(a, b)
    error = np.hypot(a.std(), b.std()) / len(a) ** 0.5
    # Per-pixel salt and pepper hits three channels at once, so the error is up to √3 of that of independent values.
    assert abs(a.mean() - b.mean()) < 4 * 3**0.5 * error
    assert a.std() == pytest.approx(b.std(), rel=0.02)
    thinned = slice(None, None, 3)
    assert stats.ks_2samp(a[thinned], b[thinned]).pvalue > 1e-3


def test_salt_and_pepper_hit_all_channels_unless_told() -> None:
    images = batch(4, 3, 32, 32)
    for per_channel in (False, True):
        spec = BoxNoise(scale=0.5, base="image", noise=SaltPepper(0.4, per_channel=per_channel))
        hits = (corrupt_torch(images, spec).images != images).sum(dim=1)
        assert set(hits.unique().tolist()) == ({0, 1, 2, 3} if per_channel else {0, 3})


def test_what_salt_and_pepper_miss_keeps_its_bits() -> None:
    images = batch(4, 3, 16, 16) * 7.3 - 3.1
    images[0, :, :2] = torch.nan
    spec = BoxNoise(scale=1.0, base="image", noise=SaltPepper(0.4), value_range=(-3.5, 4.5))
    done = corrupt_torch(images, spec).images
    changed = done.view(torch.int32) != images.view(torch.int32)
    assert 0.3 < changed.float().mean() < 0.5
    assert set(done[changed].tolist()) == {-3.5, 4.5}


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float32])
def test_new_in_place_and_out_agree(dtype: torch.dtype) -> None:
    images = batch(3, 3, 16, 12, dtype=dtype).contiguous(memory_format=torch.channels_last)
    before = images.clone()
    spec = BoxNoise(scale=0.5)
    new = corrupt_torch(images, spec, seed=2)
    assert same_bits(images, before)
    assert new.images.stride() == images.stride()
    out = torch.zeros(3, 16, 12, 3, dtype=dtype).permute(0, 3, 1, 2)
    assert corrupt_torch(images, spec, seed=2, out=out).images is out
    assert same_bits(out, new.images)
    last = images.permute(0, 2, 3, 1).contiguous()
    assert same_bits(corrupt_torch(last, spec, 2, layout="NHWC").images.permute(0, 3, 1, 2), new.images)
    assert corrupt_torch(images, spec, seed=2, out=images).images is images
    assert same_bits(images, new.images)
    assert not same_bits(images, before)


def test_noise_follows_seed_keys_or_generator() -> None:
    images = torch.zeros(2, 1, 16, 16)
    spec = FullGaussian(0.3, mean=0.5)

    def run(seed: int = 0, keys: Any = None, generator: int | None = None) -> torch.Tensor:
        source = None if generator is None else torch.Generator().manual_seed(generator)
        done: torch.Tensor = corrupt_torch(images, spec, seed, keys, generator=source).images
        return done

    state = torch.get_rng_state()
    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    assert not torch.equal(run(keys=[0, 1]), run(keys=[2, 3]))
    assert torch.equal(run(1, generator=5), run(2, generator=5))
    assert not torch.equal(run(generator=5), run(generator=6))
    assert torch.equal(torch.get_rng_state(), state), "torch's own generator must not move"


def test_refuses_as_corrupt_does() -> None:
    images = batch(2, 3, 16, 12)
    before = images.clone()
    cases: list[tuple[type[Exception], str, Any, dict[str, Any]]] = [
        (TypeError, "torch tensor.*ndarray", images.numpy(), {}),
        (TypeError, "float64", images.double(), {}),
        (TypeError, "spec", images, {"spec": "box"}),
        (ValueError, "images.*meta", images.to("meta"), {}),
        (TypeError, "generator.*'cpu'", images, {"generator": "cpu"}),
        (ValueError, "layout", images[:, :, :, :1].repeat(1, 2, 1, 1), {}),
        (ValueError, "keys", images, {"keys": [1]}),
        (ValueError, "seed", images, {"seed": -1}),
        (ValueError, "out overlaps", images[:1], {"out": images.view(-1)[12:588].view(1, 3, 16, 12)}),
        (ValueError, "several", images, {"out": torch.zeros(1, 3, 16, 12).expand(2, 3, 16, 12)}),
        (ValueError, "value_range", images * 2 - 1, {}),
        (ValueError, "num_boxes", images, {"spec": BoxNoise(scale=0.01, num_boxes=9), "out": images}),
    ]
    for error, text, given, arguments in cases:
        with pytest.raises(error, match=text):
            corrupt_torch(given, **({"spec": BoxNoise()} | arguments))
    assert same_bits(images, before)


@pytest.mark.parametrize("shape", [(0, 3, 16, 12), (2, 3, 16, 0)])
def test_an_empty_batch_comes_back(shape: tuple[int, ...]) -> None:
    images = torch.zeros(shape)
    for out in (None, images, torch.ones(shape)):
        done = corrupt_torch(images, BoxNoise(), out=out)
        assert done.images.shape == shape
        assert done.images is out or out is None
        assert done.boxes == [[]] * shape[0]
        assert done.mask().shape == (shape[0], *shape[2:])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", SAME)
def test_tensors_on_a_gpu(name: str) -> None:
    images = batch(8, 3, 40, 40)
    there = images.cuda()
    core, ours = corrupt(images, SAME[name], seed=11), corrupt_torch(there, SAME[name], seed=11)
    assert ours.images.device == ours.mask().device == there.device
    assert core.boxes == ours.boxes
    inside = core.mask().bool()[:, None].expand_as(images)
    assert same_bits(core.images[~inside], ours.images.cpu()[~inside])
    # A GPU divides by a peak otherwise than a CPU: the same counts of Poisson differ in the last bit, which would tell
    # the samples apart.
    a, b = (np.round(values.numpy(), 5)[::3] for values in (core.images[inside], ours.images.cpu()[inside]))
    assert stats.ks_2samp(a, b).pvalue > 1e-4
    with pytest.raises(ValueError, match="overlap"):
        corrupt_torch(there[:4], SAME[name], out=there[2:6])


@pytest.mark.parametrize("count", [3, 40])
def test_every_pixel_that_the_core_looks_at_is_looked_at(count: int) -> None:
    """Without a value range both backends refuse the same images, wherever the odd pixel stands."""
    along, side = (8 if count < 32 else 4), 50
    places = range(side // (2 * along), side, side // along)
    for image, place in enumerate(places):
        images = torch.full((count, 3, side, side), 0.5, dtype=torch.float16)
        images[image % count, 1, place, places[0]] = 2.0
        for work in (corrupt, corrupt_torch):
            with pytest.raises(ValueError, match=r"float16 images .* from 0\.5 to 2"):
                work(images, BoxNoise())
