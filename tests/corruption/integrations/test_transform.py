"""``RandomBoxNoise`` in torchvision pipelines."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2

from unblot.corruption.integrations.transform import RandomBoxNoise
from unblot.corruption.noise import Gaussian
from unblot.corruption.spec import BoxNoise, FullGaussian

WHITE = BoxNoise(scale=0.3, base="white", mode="none")
BLACK = torch.zeros(3, 12, 10, dtype=torch.uint8)


@pytest.mark.parametrize("spec", [WHITE, BoxNoise(scale=0.3, base=(1, 1, 1), mode="none")])
def test_boxes_of_one_sample_lie_alike_in_images_and_mask(spec: BoxNoise) -> None:
    image = tv_tensors.Image(BLACK)
    first = tv_tensors.Mask(torch.zeros(12, 10, dtype=torch.int64))
    second = tv_tensors.Mask(torch.eye(12, 10, dtype=torch.bool)[None])
    label = torch.tensor(3)
    outs = RandomBoxNoise(spec, mask="boxes")({"a": image, "b": image + 0, "m": first, "n": second, "y": label, "k": 7})
    boxes = outs["a"][0] == 255
    assert 0 < boxes.sum() < 120
    assert isinstance(outs["a"], tv_tensors.Image)
    for mask, before in ((outs["m"], first), (outs["n"], second)):
        assert isinstance(mask, tv_tensors.Mask)
        assert mask.dtype == before.dtype
        assert mask.shape == before.shape
        assert torch.equal(mask.bool(), before.bool() | boxes)
    assert outs["y"] is label
    assert outs["k"] == 7
    assert not image.any(), "the caller's image must stay"
    assert not first.any()


def test_masks_and_boxes_of_objects_pass_by_default() -> None:
    mask = tv_tensors.Mask(torch.ones(12, 10))
    objects = tv_tensors.BoundingBoxes(torch.tensor([[1, 2, 3, 4]]), format="XYXY", canvas_size=(12, 10))
    image, kept, same = RandomBoxNoise(WHITE)(tv_tensors.Image(BLACK), mask, objects)
    assert image.any()
    assert kept is mask
    assert same is objects


def test_all_images_of_a_sample_get_the_same_noise() -> None:
    one, two = RandomBoxNoise(BoxNoise(scale=0.5))(tv_tensors.Image(BLACK), tv_tensors.Image(BLACK.clone()))
    assert torch.equal(one, two)
    video = RandomBoxNoise(BoxNoise(scale=0.5))(tv_tensors.Video(BLACK.expand(4, 3, 12, 10)))
    assert isinstance(video, tv_tensors.Video)
    assert video.any()
    assert all(torch.equal(frame, video[0]) for frame in video)


@pytest.mark.parametrize("shape", [(12, 10), (1, 12, 10), (5, 12, 10), (2, 3, 12, 10), (2, 4, 3, 12, 10)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float32])
def test_plain_tensors_of_any_shape(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    images = torch.zeros(shape, dtype=dtype)
    noisy = RandomBoxNoise(WHITE)(images)
    assert noisy.shape == shape
    assert noisy.dtype == dtype
    assert noisy.any()
    assert not images.any()


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_pil_images(mode: str) -> None:
    image = Image.fromarray(np.zeros((12, 10, 3), np.uint8)).convert(mode)
    torch.manual_seed(0)
    noisy = RandomBoxNoise(WHITE)(image)
    assert noisy.mode == mode
    assert noisy.size == image.size
    torch.manual_seed(0)
    tensor = RandomBoxNoise(WHITE)(v2.functional.pil_to_tensor(image))
    assert torch.equal(v2.functional.pil_to_tensor(noisy), tensor)
    assert tensor.any()
    assert not np.asarray(image).any()


def test_torchs_seed_governs_and_every_call_differs() -> None:
    transform = v2.Compose([RandomBoxNoise(BoxNoise()), v2.ToDtype(torch.float32, scale=True)])
    runs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        runs.append(torch.stack([transform(BLACK), transform(BLACK)]))
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    assert not torch.equal(runs[0][0], runs[0][1])


def test_p_is_the_share_of_samples() -> None:
    transform = RandomBoxNoise(BoxNoise(p=0.25, base="white", mode="none"))
    torch.manual_seed(0)
    hit = sum(bool(transform(BLACK).any()) for _ in range(800))
    assert abs(hit / 800 - 0.25) < 4 * (0.25 * 0.75 / 800) ** 0.5


def test_full_gaussian_and_a_value_range() -> None:
    noisy = RandomBoxNoise(FullGaussian(0.1, value_range=(-1, 1)))(tv_tensors.Image(torch.zeros(1, 64, 64)))
    assert noisy.std().item() == pytest.approx(0.2, rel=0.1)


def test_repr_shows_the_spec() -> None:
    text = repr(RandomBoxNoise(BoxNoise(noise=Gaussian(0.4)), mask="boxes"))
    assert "RandomBoxNoise(BoxNoise(scale=(0.1, 0.2)" in text
    assert "Gaussian(sigma=0.4" in text
    assert "mask='boxes'" in text


@pytest.mark.parametrize(
    ("error", "text", "make"),
    [
        (TypeError, "spec.*'box'", lambda: RandomBoxNoise("box")),  # type: ignore[arg-type]
        (ValueError, "mask.*'drop'", lambda: RandomBoxNoise(WHITE, mask="drop")),
        (TypeError, "RGBA.*convert", lambda: RandomBoxNoise(WHITE)(Image.new("RGBA", (8, 8)))),
        (TypeError, "float64", lambda: RandomBoxNoise(WHITE)(BLACK.double())),
        (ValueError, "value_range", lambda: RandomBoxNoise(WHITE)(BLACK.float() - 1)),
    ],
)
def test_refuses_by_name(error: type[Exception], text: str, make: Any) -> None:
    with pytest.raises(error, match=text):
        make()
