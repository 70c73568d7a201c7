"""``corrupt`` in functions that torch follows: the same bits as without, or a word."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from unblot.corruption.apply import corrupt
from unblot.corruption.integrations.transform import RandomBoxNoise
from unblot.corruption.noise import Gaussian, Paste
from unblot.corruption.spec import BoxNoise

SPEC = BoxNoise(scale=0.4, base="image", noise=Gaussian(0.3))
IMAGES = torch.rand(3, 3, 16, 12, generator=torch.Generator().manual_seed(0))
KEYS = [5, 2**64 - 2, 7]
LARGE = 2**64 - 3


def with_masks(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    done = corrupt(images, SPEC, seed=LARGE, keys=KEYS, changed=0.1)
    return done.images, done.mask(), done.changed


def in_place(images: Tensor) -> Tensor:
    images = images * 1
    corrupt(images, SPEC, seed=4, out=images)
    return images


def followers(run: Callable[..., Any]) -> dict[str, Callable[[], Any]]:
    """The function as each way of torch to follow it runs it."""

    class Module(torch.nn.Module):
        def forward(self, images: Tensor) -> Any:
            return run(images)

    return {
        "eager": lambda: torch.compile(run, backend="eager", fullgraph=True)(IMAGES),
        "aot_eager": lambda: torch.compile(run, backend="aot_eager", fullgraph=True)(IMAGES),
        "strict": lambda: torch.export.export(Module(), (IMAGES,), strict=True).module()(IMAGES),
        "export": lambda: torch.export.export(Module(), (IMAGES,), strict=False).module()(IMAGES),
        "fx": lambda: make_fx(run)(IMAGES * 0)(IMAGES),
        "functionalize": lambda: torch.func.functionalize(run)(IMAGES),
        "trace": lambda: torch.jit.trace(run, IMAGES * 0)(IMAGES),
    }


@pytest.mark.parametrize("how", followers(in_place))
@pytest.mark.parametrize("run", [with_masks, in_place])
def test_whoever_follows_finds_the_same_bits(run: Callable[..., Any], how: str) -> None:
    torch._dynamo.reset()
    before = IMAGES.clone()
    wanted, got = run(IMAGES), followers(run)[how]()
    for one, other in zip(wanted, got, strict=True) if isinstance(wanted, tuple) else [(wanted, got)]:
        assert torch.equal(one, other)
    assert torch.equal(IMAGES, before)


def test_vmap_is_a_loop() -> None:
    alone = lambda image: corrupt(image, SPEC, seed=1)  # noqa: E731
    made, mask = torch.vmap(lambda image: (alone(image).images, alone(image).mask()))(IMAGES)
    assert torch.equal(made, torch.stack([alone(image).images for image in IMAGES]))
    assert torch.equal(mask, torch.stack([alone(image).mask() for image in IMAGES]))
    keyed = torch.vmap(lambda image, key: corrupt(image, SPEC, keys=key).images)(IMAGES, torch.tensor([4, 9, 4]))
    assert torch.equal(keyed, corrupt(IMAGES, SPEC, keys=[4, 9, 4]).images)
    batches = IMAGES.expand(2, *IMAGES.shape)
    made = torch.vmap(lambda batch: corrupt(batch, SPEC, keys=KEYS).images)(batches)
    assert torch.equal(made[0], corrupt(IMAGES, SPEC, keys=KEYS).images)
    assert torch.equal(made[0], made[1])
    with pytest.raises(ValueError, match=r'source="batch".*vmap'):
        torch.vmap(lambda image: corrupt(image, BoxNoise(noise=Paste(source="batch"))).images)(IMAGES)


def test_no_gradient_flows_through() -> None:
    found = torch.func.grad(lambda images: (images * corrupt(images, SPEC).images).sum())(IMAGES)
    assert torch.equal(found, corrupt(IMAGES, SPEC).images)


def test_shapes_are_known_without_pixels() -> None:
    with FakeTensorMode():
        done = corrupt(torch.zeros(2, 3, 8, 9), SPEC, changed=0.0)
        assert done.images.shape == (2, 3, 8, 9)
        assert done.mask().shape == done.changed.shape == (2, 8, 9)
        assert done.mask().dtype == torch.uint8
        with pytest.raises(ValueError, match=r"boxes.*mask\(\)"):
            _ = done.boxes
        with pytest.raises(TypeError, match="float64"):
            corrupt(torch.zeros(2, 3, 8, 9, dtype=torch.float64), SPEC)


def test_a_compiled_function_may_return_the_result() -> None:
    torch._dynamo.reset()
    done = torch.compile(lambda images: corrupt(images, SPEC, seed=4), backend="eager")(IMAGES)
    wanted = corrupt(IMAGES, SPEC, seed=4)
    assert done.boxes == wanted.boxes
    assert torch.equal(done.mask(), wanted.mask())


def test_a_compiled_transform_draws_anew_and_compiles_once() -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    transform = RandomBoxNoise(SPEC)
    step = torch.compile(transform, backend="eager")
    torch.manual_seed(3)
    made = [step(IMAGES) for _ in range(6)]
    torch.manual_seed(3)
    assert all(torch.equal(one, transform(IMAGES)) for one in made)
    assert len({one.numpy().tobytes() for one in made}) == 6
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


@pytest.mark.parametrize(("name", "arguments"), [("corrupt", (None, 0.1)), ("box_mask", ())])
def test_the_operators_keep_torchs_rules(name: str, arguments: tuple[Any, ...]) -> None:
    operator = getattr(torch.ops.unblot, name).default
    torch.library.opcheck(operator, (IMAGES, SPEC.text, -3, None, [1, 2, -1], "NCHW", *arguments))
