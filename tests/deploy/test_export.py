"""An exported file gives what the run gives, for every detector there is, or the detector says why there is none."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from unblot.data import Kept, Reading, load_paths
from unblot.data.fitting import fitted
from unblot.data.reading import Facts
from unblot.deploy.export import export, metadata_of, refusal, without_places
from unblot.deploy.graph import resize
from unblot.deploy.parity import check, check_images, frames_of, gap
from unblot.deploy.runtime import load_onnx
from unblot.detectors import available
from unblot.errors import UserError
from unblot.training import Run

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

MakeRun = Callable[..., Run]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("model", available())
def test_every_detector_is_exported_with_its_scores_or_says_why(
    model: str, make_run: MakeRun, photos: Path, tmp_path: Path
) -> None:
    run, file = make_run(model), tmp_path / "model.onnx"
    if why := refusal(run.detector):
        assert len(why) > 40
        with pytest.raises(UserError, match=f"{model} cannot be exported"):
            export(run, file)
        assert not file.exists()
        return
    export(run, file)
    detector = load_onnx(file, device="cpu", threads=1)
    assert json.loads(json.dumps(metadata_of(run))) == detector.metadata
    assert detector.threshold == 0.5
    images = check_images(run, [photos])
    for batch in (1, 4):  # the batch is dynamic: 1, 4, and a last one of 2
        parity = check(run, file, images, batch_size=batch, threads=1)
        assert parity.resized.images == parity.frames.images == 6
        assert parity.passed, parity
        assert parity.resized.map < 1e-3
        assert min(parity.torch_speed, parity.graph_speed) > 0
    names, scores = detector.score_paths([photos], batch_size=4, progress=False)
    assert [Path(name).name for name in names] == [f"{i}.png" for i in range(6)]
    # Whole pictures, resized in the graph instead of on the way from the file.
    for name, score in zip(names, scores.image, strict=True):
        with Image.open(name) as picture:
            whole = np.asarray(picture.convert("RGB"))
        assert detector.run(whole[None])[0][0] == pytest.approx(score, rel=5e-3, abs=5e-3 * np.abs(scores.image).max())


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_a_graph_that_resizes_otherwise_is_caught(
    mode: str, make_run: MakeRun, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def otherwise(images: torch.Tensor, size: int, _: str) -> torch.Tensor:
        return torch.nn.functional.interpolate(images.float(), (size, size), mode=mode)  # of few pixels, no mean

    run, file = make_run("dae", size=32), tmp_path / "model.onnx"
    images = check_images(run, [photos])
    monkeypatch.setattr("unblot.deploy.graph.resize", otherwise)
    export(run, file)
    parity = check(run, file, images, threads=1)
    assert parity.resized.passed, "at the network's size there is nothing to resize"
    assert not parity.frames.passed
    assert parity.frames.score > 1e-3, parity
    assert not parity.passed


def test_an_image_that_is_judged_otherwise_is_caught_and_rounding_is_not() -> None:
    ours, found = np.array([1.0, 2.0, 2.0 + 1e-7, 3.0]), np.array([1.0, 2.0 + 1e-7, 2.0, 1.9])
    apart = gap(ours, found, 0.0, 1.0, threshold=2.0)
    assert (apart.judged, apart.passed) == (1, False)
    assert gap(ours[:3], found[:3], 0.0, 1.0, threshold=2.0).passed
    assert gap(ours, found, 0.0, 1.0, threshold=None).judged == 0
    assert not gap(ours[:3], found[:3], 0.1, 1.0, threshold=2.0).passed, "a map may not differ either"


@pytest.mark.parametrize(("channels", "size"), [(3, 64), (1, 64), (3, 32)])
def test_frames_are_larger_than_the_network_not_square_and_of_several_sizes(
    channels: int, size: int, photos: Path
) -> None:
    images = load_paths([photos], channels=channels, size=size)
    frames = frames_of(images)
    assert len(frames) == 6
    assert all(size < frame.shape[0] < frame.shape[1] and frame.shape[2] == channels for frame in frames)
    assert len({frame.shape for frame in frames}) >= 4
    assert (frames[5] == images.whole(5)).all(), "a photograph that is such a frame is taken as it is"


def test_only_a_search_is_refused(make_run: MakeRun) -> None:
    assert [name for name in available() if refusal(make_run(name).detector)] == ["anogan"]


def test_a_detector_with_a_part_that_is_no_graph_is_refused(make_run: MakeRun) -> None:
    run = make_run("dae")
    run.detector.add_module("part", make_run("anogan").detector)
    assert "anogan cannot be exported" in str(refusal(run.detector))


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(9, 10, 8), (37, 100, 32), (120, 120, 64), (5, 7, 32), (33, 33, 33), (1, 1, 4), (97, 255, 64), (2, 3, 16)],
)
def test_the_resize_is_pillows_byte_for_byte(height: int, width: int, size: int) -> None:
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    wanted = np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))
    found = resize(torch.from_numpy(pixels).permute(2, 0, 1)[None], size)[0].permute(1, 2, 0).numpy()
    assert (found == wanted).all()


@pytest.mark.parametrize("fit", ["pad", "crop"])
@pytest.mark.parametrize(
    ("height", "width", "size"), [(37, 100, 32), (120, 120, 64), (5, 7, 32), (1, 9, 4), (480, 640, 64), (2, 300, 16)]
)
def test_a_frame_is_padded_and_cropped_in_the_graph_as_when_it_is_read(
    fit: str, height: int, width: int, size: int
) -> None:
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    wanted = np.asarray(fitted(Image.fromarray(pixels), fit, size))
    found = resize(torch.from_numpy(pixels).permute(2, 0, 1)[None], size, fit)[0].permute(1, 2, 0).numpy()
    assert (found == wanted).all()


@pytest.mark.parametrize("fit", ["pad", "crop"])
@pytest.mark.parametrize("model", ["dae", "memory"])
def test_a_run_that_keeps_the_shape_is_exported_so(
    model: str, fit: str, make_run: MakeRun, photos: Path, tmp_path: Path
) -> None:
    plain, file = make_run(model), tmp_path / "model.onnx"
    reading = Reading(fit=fit).learnt([Facts(128, 64), Facts(256, 128)])
    plain.detector.look_within(*reading.shown(plain.detector.size))
    run = replace(plain, images=Kept(reading, (), ()))
    export(run, file)
    graph = load_onnx(file, device="cpu", threads=1)
    assert (graph.reading, graph.metadata["input"]["fit"]) == (reading, fit)
    parity = check(run, file, check_images(run, [photos]), threads=1)
    assert parity.passed, parity
    # A run that reads frames otherwise is told from the graph by its frames.
    assert not check(plain, file, check_images(plain, [photos]), threads=1).frames.passed


def test_of_a_tall_image_a_byte_may_differ_by_one() -> None:
    """Pillow resizes tall images along the height first, in versions that find it faster; we always do it last."""
    pixels = np.random.default_rng(1).integers(0, 256, (200, 50, 3), np.uint8)
    wanted = np.asarray(Image.fromarray(pixels).resize((32, 32), Image.Resampling.BILINEAR)).astype(int)
    found = resize(torch.from_numpy(pixels).permute(2, 0, 1)[None], 32)[0].permute(1, 2, 0).numpy()
    assert np.abs(found - wanted).max() <= 1


def test_gray_images_have_one_channel(make_run: MakeRun, photos: Path, tmp_path: Path) -> None:
    run = make_run("dae", channels=1, size=16)
    export(run, tmp_path / "g.onnx")
    detector = load_onnx(tmp_path / "g.onnx", device="cpu")
    assert detector.run(np.zeros((3, 20, 30, 1), np.uint8))[1].shape == (3, 16, 16)
    wrong: list[Any] = [
        np.zeros((3, 20, 30, 3), np.uint8),
        np.zeros((3, 20, 30, 1), np.float32),
        np.zeros((20, 30, 1), np.uint8),
    ]
    for images in wrong:
        with pytest.raises(ValueError, match=r"uint8 of shape \(N, height, width, 1\)"):
            detector.run(images)
    assert len(detector.score_paths([photos], progress=False)[0]) == 6


def test_the_file_holds_no_path_of_the_training_machine(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("dae", size=16)
    assert run.data_config is not None
    secret = tmp_path / "secret place"
    data = replace(
        run.data_config, data=str(secret / "parts"), normal=(str(secret / "good"),), root=str(secret / "sets")
    )
    run = replace(run, data_config=data, train=replace(run.train, corruption=str(secret / "own noise.json")))
    export(run, tmp_path / "m.onnx")
    held = (tmp_path / "m.onnx").read_bytes()
    places = [tmp_path, Path.home(), Path.cwd(), Path(sys.prefix), Path(sys.base_prefix), Path(torch.__file__).parent]
    for place in (
        *map(str, places),
        *(str(place.resolve()) for place in places),
        "secret place",
        "site-packages",
        '.py"',
    ):
        assert len(place) < 3 or place.encode() not in held, place
    metadata = load_onnx(tmp_path / "m.onnx").metadata
    assert (metadata["data"]["data"], metadata["data"]["normal"]) == ("parts", ["good"])
    assert metadata["training"]["corruption"] == "own noise.json"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"data": "C:\\Users\\jo\\parts"}, {"data": "parts"}),
        ({"data": "digits", "corruption": "box"}, {"data": "digits", "corruption": "box"}),
        ({"group": "(part\\d+)/"}, {"group": "(part\\d+)/"}),
        ({"group": "../customer/groups.CSV"}, {"group": "groups.CSV"}),
        ({"options": {"weights": "/home/jo/w.pt", "width": 3}}, {"options": {"weights": "w.pt", "width": 3}}),
        ({"masks": ("../customer/masks/",), "lr": 1e-3}, {"masks": ["masks"], "lr": 1e-3}),
        ({"data": "/", "root": None}, {"data": "", "root": None}),
    ],
)
def test_settings_keep_the_last_name_of_a_place(given: dict[str, Any], kept: dict[str, Any]) -> None:
    assert without_places(given) == kept


def test_a_run_without_a_threshold_is_exported_and_says_so(make_run: MakeRun, tmp_path: Path) -> None:
    run = replace(make_run("dae", size=16), threshold=None)
    export(run, tmp_path / "x.onnx")
    with pytest.raises(UserError, match="no threshold"):
        _ = load_onnx(tmp_path / "x.onnx").threshold
