"""Patches, scars and blobs, and the mask of the pixels that really changed, as Python shows them. The core's own tests
hold the formulas.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torchvision import tv_tensors

from unblot.corruption.apply import corrupt
from unblot.corruption.backends.torch import corrupt_torch
from unblot.corruption.integrations.transform import RandomBoxNoise
from unblot.corruption.noise import Gaussian, Paste, SaltPepper
from unblot.corruption.presets import named
from unblot.corruption.spec import BoxNoise, FullGaussian, Spec

AS_IS: dict[str, Any] = {"gain": 1.0, "offset": 0.0, "opacity": 1.0, "flip": False}
EVERYTHING = BoxNoise(
    scale=(0.05, 0.16),
    base="any",
    noise=[Paste(), Gaussian((0.01, 0.3)), SaltPepper((0.02, 0.3))],
    shapes=["rectangle", "scar", "blob"],
)


def batch(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    return (images * 255).to(dtype) if dtype == torch.uint8 else images.to(dtype)


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.equal(one.contiguous().view(torch.uint8), other.contiguous().view(torch.uint8))


@pytest.mark.parametrize(("shape", "share"), [("scar", 1 / 6), ("blob", 1 / 2)])
def test_a_shape_covers_its_share_and_its_mask_is_exact(shape: str, share: float) -> None:
    black = np.zeros((8, 90, 70), np.uint8)
    spec = BoxNoise(scale=(0.02, 0.15), base="white", mode="none", shapes=shape, edge=0.0)
    done = corrupt(black, spec, seed=1, layout="NHW", changed=0.5)
    np.testing.assert_array_equal(done.mask(), done.images == 255)
    np.testing.assert_array_equal(done.changed, done.images == 255)
    for image, boxes in zip(done.images, done.boxes, strict=True):
        for box in boxes:
            assert box.shape == shape
            inside = image[box.y : box.y + box.height, box.x : box.x + box.width] == 255
            assert inside.sum() == pytest.approx(share * box.height * box.width, abs=2)
        assert 0.02 * 6300 - 15 < (image == 255).sum() < 0.15 * 6300 + 15


def test_an_edge_fades_out_inside_the_same_outline() -> None:
    black = np.zeros((64, 64), np.float32)
    sharp, soft = (
        corrupt(black, BoxNoise(scale=0.2, base="white", mode="none", shapes="blob", edge=edge), seed=2).images
        for edge in (0.0, 3.0)
    )
    np.testing.assert_array_equal(sharp > 0, soft > 0)
    assert set(np.unique(sharp)) == {0.0, 1.0}
    assert len(np.unique(soft)) > 50
    assert soft.max() == 1.0


@pytest.mark.parametrize("in_place", [False, True])
def test_a_patch_is_the_uncorrupted_image_elsewhere(in_place: bool) -> None:
    """Also where the patch lies in another box, and in the box's own image alone."""
    images = batch(20, 3, 32, 32)
    before = images.clone()
    spec = BoxNoise(scale=0.6, num_boxes=(3, 5), noise=Paste(**AS_IS))
    keys = np.arange(20, dtype=np.uint64)
    done = corrupt(images, spec, out=images if in_place else None)
    records, _ = spec.plan.draw(32, 32, 3, 0, keys)
    for image, y, x, height, width, kinds, _, _, _, source, top, left, turn in records.tolist():
        assert (kinds, source, turn) == (16, image, 0)
        box = done.images[image, :, y : y + height, x : x + width]
        patch = before[image, :, top : top + height, left : left + width]
        torch.testing.assert_close(box, patch, rtol=0, atol=1e-7)


def test_a_patch_of_the_batch_comes_from_another_image() -> None:
    images = torch.arange(6, dtype=torch.uint8)[:, None, None, None].repeat(1, 1, 24, 24) * 40
    done = corrupt(images, BoxNoise(noise=Paste(**AS_IS, source="batch")), seed=3)
    for image, noisy, mask in zip(images, done.images, done.mask(), strict=True):
        assert (noisy[0][mask == 1] != image[0, 0, 0]).all()
        assert set(noisy.unique().tolist()) <= set(range(0, 240, 40))
        assert torch.equal(noisy[0][mask == 0], image[0][mask == 0])


def test_gain_offset_and_opacity() -> None:
    image = np.full((16, 16), 0.5, np.float32)
    noisy = corrupt(image, BoxNoise(scale=0.3, noise=Paste(gain=0.5, offset=0.6, opacity=0.25)), seed=1)
    inside = noisy.mask() == 1
    np.testing.assert_allclose(noisy.images[inside], 0.25 * 0.85 + 0.75 * 0.5, rtol=1e-6)
    flat = corrupt(image, BoxNoise(scale=0.3, noise=Paste(gain=0.0, offset=2.0, opacity=1.0)), seed=1)
    np.testing.assert_array_equal(flat.images[inside], 1.0)  # clipped


@pytest.mark.parametrize("spec", [EVERYTHING, BoxNoise(overlap="allow", num_boxes=6), FullGaussian(0.02)], ids=repr)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float32])
def test_the_changed_mask_is_what_a_comparison_gives(spec: Spec, dtype: torch.dtype) -> None:
    images = batch(5, 3, 40, 31, dtype=dtype)
    if dtype != torch.uint8:
        images[0, 1, ::3] = torch.nan  # stays, unless a flat base covers it
    span = 255 if dtype == torch.uint8 else 1
    for least in (0.0, 1 / 255, 0.1):
        done = corrupt(images, spec, seed=4, changed=least)
        old, new = images.double(), done.images.double()
        far = (new - old).abs() > np.float32(least) * np.float32(span)
        wanted = (far | (old.isnan() != new.isnan())).any(1).to(torch.uint8)
        assert torch.equal(done.changed, wanted)
        for threads, layout in ((1, torch.channels_last), (3, torch.contiguous_format)):
            again = images.clone(memory_format=layout)
            same = corrupt(again, spec, seed=4, out=again, threads=threads, changed=least)
            assert same_bits(same.images, done.images)
            assert torch.equal(same.changed, wanted)
        assert (done.mask() >= wanted).all()
    assert corrupt(images, spec).changed is None


def test_a_changed_mask_has_the_form_of_the_images() -> None:
    gray = np.zeros((20, 24), np.uint8)
    done = corrupt(gray, BoxNoise(scale=0.2), changed=0.1)
    assert isinstance(done.changed, np.ndarray)
    assert (done.changed.shape, done.changed.dtype) == ((20, 24), np.uint8)
    for wrong, error in ((1.0, ValueError), (-0.1, ValueError), (float("nan"), ValueError), (True, TypeError)):
        with pytest.raises(error, match="changed"):
            corrupt(gray, BoxNoise(), changed=wrong)


@pytest.mark.parametrize("source", ["image", "batch"])
@pytest.mark.parametrize("overlap", ["forbid", "allow"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.bfloat16, torch.float32])
def test_the_torch_backend_draws_the_same_blots(source: Any, overlap: str, dtype: torch.dtype) -> None:
    spec = BoxNoise(
        scale=(0.1, 0.16),
        num_boxes=(2, 6),
        overlap=overlap,
        base="any",
        noise=[Paste(source=source), Gaussian(0.0, mean=0.2)],
        shapes=["rectangle", "scar", "blob"],
        edge=2.0,
    )
    images = batch(6, 3, 37, 41, dtype=dtype)
    core, ours = corrupt(images, spec, seed=4), corrupt_torch(images, spec, seed=4)
    assert core.boxes == ours.boxes
    assert torch.equal(core.mask(), ours.mask())
    # The core's fused multiply-adds round once less; halves may round the other way.
    atol = {torch.uint8: 1.0, torch.bfloat16: 0.005, torch.float32: 1e-6}[dtype]
    torch.testing.assert_close(ours.images.float(), core.images.float(), rtol=0, atol=atol)
    again = images.clone()
    assert same_bits(corrupt_torch(again, spec, seed=4, out=again).images, ours.images)


def test_a_device_gets_the_changed_mask_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``corrupt`` does for tensors that are not on the CPU, played on it."""
    from unblot.corruption import apply

    monkeypatch.setattr(apply, "_backend", lambda *_: corrupt_torch)
    images = batch(3, 3, 24, 24)
    out = images.clone()
    done = apply._on_device(out, EVERYTHING, 5, None, None, out, 0.05)
    assert torch.equal(done.changed, ((done.images - images).abs() > 0.05).any(1).to(torch.uint8))
    assert 0 < done.changed.sum() <= done.mask().sum()


def test_transform_joins_the_shape_to_the_mask() -> None:
    image = tv_tensors.Image(torch.zeros(1, 60, 60, dtype=torch.uint8))
    spec = BoxNoise(scale=0.1, base="white", mode="none", shapes=["scar", "blob"], edge=0.0)
    noisy, mask = RandomBoxNoise(spec, mask="boxes")(image, tv_tensors.Mask(torch.zeros(60, 60, dtype=torch.uint8)))
    assert noisy.any()
    assert torch.equal(noisy[0] == 255, mask == 1)


@pytest.mark.parametrize(
    ("name", "low", "high"), [("mixed", 0.01, 0.15), ("scars", 0.003, 0.03), ("blobs", 0.005, 0.05)]
)
def test_named_families_are_small_and_show(name: str, low: float, high: float) -> None:
    images = batch(40, 1, 64, 64)
    spec = named(name)
    assert spec is not None
    done = corrupt(images, spec, seed=6, changed=1 / 255)
    share = done.mask().float().mean((1, 2))
    assert share.min() > low - 0.005
    assert share.max() < high + 0.01
    assert (done.changed.sum((1, 2)) > 0).all()
    boxes = [box for boxes in done.boxes for box in boxes]
    shapes = {box.shape for box in boxes}
    assert shapes == ({"rectangle", "scar", "blob"} if name == "mixed" else {name.removesuffix("s")})
    if name == "mixed":
        assert 0.3 < sum(box.kind == "paste" for box in boxes) / len(boxes) < 0.7
