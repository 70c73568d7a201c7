"""Engines give what torch gives, are left where they do not, and are no part of what is copied or stored."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unblot.backbones import engines, folding
from unblot.backbones.engines import openvino_engine
from unblot.backbones.folding import WORTH, FusedInference
from unblot.backbones.frozen import PACKAGED, Backbone
from unblot.detectors import Detector, create


def network() -> nn.Module:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3))
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
    return made.eval().requires_grad_(False)


class Counted:
    """An engine that is torch and counts what it runs."""

    def __init__(self) -> None:
        self.made = self.runs = 0

    def __call__(self, network: nn.Module, *example: Tensor) -> Callable[..., Any]:
        self.made += 1

        def run(*images: Tensor) -> Any:
            self.runs += 1
            return network(*images)

        return run


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    engine = Counted()
    monkeypatch.setattr(folding, "openvino_engine", lambda: engine)
    return engine


@pytest.fixture
def openvino() -> None:
    pytest.importorskip("openvino")


@pytest.mark.usefixtures("openvino")
def test_openvino_gives_the_features_of_torch() -> None:
    pytest.importorskip("timm")
    torch.manual_seed(0)
    plain = Backbone(PACKAGED, (8, 16, 32))
    plain.load_pretrained()
    fast = deepcopy(plain)
    fast.expect(10**6, 96)
    images = torch.rand(5, 3, 96, 96) * 2 - 1
    with torch.no_grad():
        wanted, found = plain(images), fast(images)
    assert isinstance(fast._run, FusedInference)
    assert fast._run._fast is not None, "it is OpenVINO that ran"
    assert isinstance(plain._run, FusedInference)
    assert plain._run._fast is None
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4 * other.abs().max().item())


@pytest.mark.usefixtures("openvino")
def test_openvino_takes_any_number_of_images_and_owns_its_results() -> None:
    made = network()
    lean = FusedInference(made)
    lean.expect(torch.zeros(1, 3, 32, 32), 10**6)
    one, other = torch.rand(1, 3, 32, 32), torch.rand(7, 3, 32, 32)
    with torch.no_grad():
        first = lean(one)
        kept = [f.clone() for f in first] if isinstance(first, list) else [first.clone()]
        second = lean(other)
    first, second = ([x] if isinstance(x, Tensor) else x for x in (first, second))
    torch.testing.assert_close(first[0], made(one), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(second[0], made(other), rtol=1e-4, atol=1e-5)
    assert torch.equal(first[0], kept[0]), "a later call writes over nothing"


@pytest.mark.usefixtures("openvino")
@pytest.mark.parametrize("fault", ["raises", "other values", "too few"])
def test_what_openvino_cannot_run_torch_runs(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(network: nn.Module, *example: Tensor) -> Callable[..., list[Tensor]]:
        if fault == "raises":
            raise RuntimeError("no such operator")
        return lambda *images: [network(*images) * 1.01] if fault == "other values" else []

    monkeypatch.setattr(engines, "_convert", broken)
    assert engines._compiled(network(), torch.rand(1, 3, 32, 32)) is None
    made, images = network(), torch.rand(2, 3, 32, 32)
    lean = FusedInference(made)
    lean.expect(torch.zeros(1, 3, 32, 32), 10**6)
    with torch.no_grad():
        torch.testing.assert_close(lean(images), made(images), rtol=1e-4, atol=1e-5)


def test_an_engine_is_made_for_many_pixels_alone(counted: Counted) -> None:
    images = torch.rand(2, 3, 64, 64)
    few, many = FusedInference(network()), FusedInference(network())
    few.expect(torch.zeros(1, 3, 64, 64), WORTH // 64**2 - 1)
    many.expect(torch.zeros(1, 3, 64, 64), WORTH // 64**2)
    with torch.no_grad():
        few(images)
        assert counted.made == 0
        many(images)
        many(images)
    assert (counted.made, counted.runs) == (1, 2)


def test_images_of_another_size_are_torchs(counted: Counted) -> None:
    lean = FusedInference(made := network())
    lean.expect(torch.zeros(1, 3, 64, 64), 10**6)
    with torch.no_grad():
        lean(torch.rand(1, 3, 64, 64))
        large = torch.rand(1, 3, 96, 96)
        torch.testing.assert_close(lean(large), made(large), rtol=1e-4, atol=1e-5)
    assert counted.runs == 1


def test_an_engine_never_runs_old_weights(counted: Counted) -> None:
    lean, images = FusedInference(made := network()), torch.rand(1, 3, 64, 64)
    lean.expect(torch.zeros(1, 3, 64, 64), 10**6)
    with torch.no_grad():
        before = lean(images)
        next(iter(list(made.children())[3].parameters())).mul_(2)
        after = lean(images)
    assert counted.made == 2
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, made(images), rtol=1e-4, atol=1e-5)


def test_what_learns_runs_the_network_itself(counted: Counted) -> None:
    lean = FusedInference(network())
    lean.expect(torch.zeros(1, 3, 64, 64), 10**6)
    images = torch.rand(1, 3, 64, 64, requires_grad=True)
    lean(images).sum().backward()
    assert images.grad is not None
    assert counted.runs == 0


def with_engine() -> Detector:
    """A memory whose backbone runs in an engine, with something remembered."""
    pytest.importorskip("timm")
    torch.manual_seed(0)
    made = create("memory", channels=1, size=64, coreset_size=20).eval()
    made.expect(10**6)
    images = torch.rand(4, 1, 64, 64) * 2 - 1
    number = torch.arange(4)
    from unblot.detectors import Batch

    with torch.no_grad():
        list(made.training_step("remember", Batch(images, images, number, number)))
        made.finish_phase("remember")
    return made


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_a_detector_with_an_engine_is_copied_and_pickled(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    else:
        count = Counted()
        monkeypatch.setattr(folding, "openvino_engine", lambda: count)
    made, images = with_engine(), torch.rand(3, 1, 64, 64) * 2 - 1
    assert made.backbone._run._fast is not None  # type: ignore[union-attr]
    file = io.BytesIO()
    torch.save(made, file)
    file.seek(0)
    copies = [deepcopy(made), pickle.loads(pickle.dumps(made)), torch.load(file, weights_only=False)]
    with torch.no_grad():
        wanted = made.score(images)
        for copy in copies:
            found = copy.score(images)
            assert copy.backbone._run._fast is None, "a copy makes its own"
            torch.testing.assert_close(found.image, wanted.image, rtol=1e-3, atol=1e-3)
            torch.testing.assert_close(found.map, wanted.map, rtol=1e-3, atol=1e-3)
            assert set(copy.state_dict()) == set(made.state_dict())
    assert not any("_fast" in name or "_copy" in name for name in made.state_dict())


def test_there_is_no_engine_where_openvino_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    assert openvino_engine() is None
    made, images = network(), torch.rand(1, 3, 64, 64)
    lean = FusedInference(made)
    lean.expect(torch.zeros(1, 3, 64, 64), 10**6)
    with torch.no_grad():
        torch.testing.assert_close(lean(images), made(images), rtol=1e-4, atol=1e-5)
