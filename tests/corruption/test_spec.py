"""The values that say what to draw: what they refuse, what they keep, and how they are stored."""

import json
import math
import pickle
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unblot.corruption.apply import corrupt
from unblot.corruption.noise import Gaussian, Laplace, Paste, Poisson, SaltPepper
from unblot.corruption.presets import NAMES, named
from unblot.corruption.spec import BoxNoise, FullGaussian, Spec
from unblot.corruption.spec_file import load_spec, save_spec
from unblot.errors import UserError

ADDITIVE = Poisson(mode="additive")
VALUES: list[Any] = [
    Gaussian(),
    SaltPepper(),
    SaltPepper((0.1, 0.2), per_channel=True),
    ADDITIVE,
    Laplace((0.1, 0.3), mean=-0.1),
    Paste(),
    Paste(1.5, (0.1, 0.2), opacity=0.5, flip=False, source="batch"),
    BoxNoise(),
    BoxNoise.patent(),
    BoxNoise.railway(),
    BoxNoise(base=(0.1, 0.5, 1), noise=[Gaussian(), ADDITIVE], weights=[1, 3], mode="superimpose", value_range=(-1, 1)),
    BoxNoise(base=0.25, num_boxes=3, p=0.5, noise=Laplace()),
    BoxNoise(scale=0.1, base="any", noise=[Paste(), Gaussian()], shapes=["scar", "blob"], shape_weights=[1, 3], edge=2),
    *(spec for name in NAMES if (spec := named(name)) is not None),
    FullGaussian(),
    FullGaussian((0.1, 0.3), mean=0.05, p=0.9, value_range=(0, 4095)),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_stores_and_comes_back_equal(value: Any) -> None:
    through_json = type(value).from_dict(json.loads(json.dumps(value.to_dict())))
    for back in (through_json, pickle.loads(pickle.dumps(value)), eval(repr(value))):
        assert back == value
        assert hash(back) == hash(value)
        assert back.to_dict() == value.to_dict()


def test_a_pickled_spec_draws_the_same() -> None:
    spec = BoxNoise()
    keys = np.arange(3, dtype=np.uint64)
    again = pickle.loads(pickle.dumps(spec))
    for one, other in zip(spec.plan.draw(20, 30, 1, 7, keys), again.plan.draw(20, 30, 1, 7, keys), strict=True):
        np.testing.assert_array_equal(one, other)


def test_values_are_immutable_and_hashable_whatever_they_were_built_from() -> None:
    given: dict[str, Any] = {"scale": [0.1, 0.2], "ratio": np.array([0.5, 2.0]), "base": [0.1, 0.2], "weights": [2]}
    spec = BoxNoise(noise=[Gaussian()], **given)
    same = BoxNoise(scale=(0.1, 0.2), ratio=(0.5, 2), base=(0.1, 0.2), noise=Gaussian(), weights=(2.0,))
    assert spec == same
    assert hash(spec) == hash(same)
    with pytest.raises(FrozenInstanceError):
        spec.p = 0.5  # type: ignore[misc]
    assert replace(spec, p=0.5).plan is not spec.plan


NOT_A_NUMBER = [math.nan, math.inf, -math.inf, (0.1, math.nan)]


@pytest.mark.parametrize("value", NOT_A_NUMBER, ids=repr)
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda v: BoxNoise(scale=v), "scale"),
        (lambda v: BoxNoise(ratio=v), "ratio"),
        (Gaussian, "Gaussian.sigma"),
        (lambda v: Gaussian(mean=v), "Gaussian.mean"),
        (SaltPepper, "SaltPepper.amount"),
        (lambda v: SaltPepper(salt_vs_pepper=v), "SaltPepper.salt_vs_pepper"),
        (Poisson, "Poisson.peak"),
        (lambda v: Poisson(strength=v), "Poisson.strength"),
        (Laplace, "Laplace.scale"),
        (lambda v: Laplace(mean=v), "Laplace.mean"),
        (Paste, "Paste.gain"),
        (lambda v: Paste(offset=v), "Paste.offset"),
        (lambda v: Paste(opacity=v), "Paste.opacity"),
        (FullGaussian, "FullGaussian.sigma"),
        (lambda v: FullGaussian(mean=v), "FullGaussian.mean"),
    ],
)
def test_nan_and_infinity_are_refused_by_name(make: Any, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} must be finite"):
        make(value)


REFUSED: list[tuple[type[Exception], str, Any]] = [
    # out of range, or at odds with another parameter
    (ValueError, "scale", lambda: BoxNoise(scale=(0.3, 0.2))),
    (ValueError, "scale", lambda: BoxNoise(scale=1.5)),
    (ValueError, "scale", lambda: BoxNoise(scale=0)),
    (ValueError, "scale.*3 values", lambda: BoxNoise(scale=(0.1, 0.2, 0.3))),  # type: ignore[arg-type]
    (ValueError, "num_boxes", lambda: BoxNoise(num_boxes=0)),
    (ValueError, "num_boxes", lambda: BoxNoise(num_boxes=-1)),
    (ValueError, "num_boxes", lambda: BoxNoise(num_boxes=(4, 1))),
    (ValueError, "num_boxes", lambda: BoxNoise(num_boxes=2**70)),
    (ValueError, "ratio", lambda: BoxNoise(ratio=0)),
    (ValueError, "ratio", lambda: BoxNoise(ratio=(3.0, 0.3))),
    (ValueError, "area_split.*dirichlet", lambda: BoxNoise(area_split="half")),
    (ValueError, "ratio_sampling.*log", lambda: BoxNoise(ratio_sampling="lin")),
    (ValueError, "ratio_per.*image", lambda: BoxNoise(ratio_per="batch")),
    (ValueError, "placement.*clip", lambda: BoxNoise(placement="outside")),
    (ValueError, "overlap.*allow", lambda: BoxNoise(overlap="yes")),
    (ValueError, "mode.*superimpose", lambda: BoxNoise(mode="all")),
    (ValueError, "base.*gray", lambda: BoxNoise(base="grey")),
    (ValueError, "base", lambda: BoxNoise(base=128)),
    (ValueError, "base", lambda: BoxNoise(base=(0.1, 2.0))),
    (ValueError, "base", lambda: BoxNoise(base=())),
    (ValueError, "noise", lambda: BoxNoise(noise=[])),
    (ValueError, "weights.*1.*2", lambda: BoxNoise(noise=[Gaussian()], weights=[1, 2])),
    (ValueError, "weights", lambda: BoxNoise(noise=[Gaussian()], weights=[0])),
    (ValueError, "weights", lambda: BoxNoise(noise=[Gaussian(), ADDITIVE], weights=[1, -1])),
    (ValueError, "weights must be finite", lambda: BoxNoise(noise=[Gaussian()], weights=[math.nan])),
    (ValueError, "superimpos", lambda: BoxNoise(noise=[Gaussian()], mode="superimpose")),
    (ValueError, "superimpos", lambda: BoxNoise(noise=[Gaussian(), Gaussian(0.3)], mode="superimpose")),
    (ValueError, "p=", lambda: BoxNoise(p=1.5)),
    (ValueError, "p must be finite", lambda: BoxNoise(p=math.nan)),
    (ValueError, "p=", lambda: FullGaussian(p=-0.1)),
    (ValueError, "Gaussian.sigma", lambda: Gaussian(-0.1)),
    (ValueError, "Laplace.scale", lambda: Laplace((0.3, 0.1))),
    (ValueError, "SaltPepper.amount", lambda: SaltPepper(1.1)),
    (ValueError, "SaltPepper.salt_vs_pepper", lambda: SaltPepper(salt_vs_pepper=-1)),
    (ValueError, "Poisson.peak", lambda: Poisson(0)),
    (ValueError, "Poisson.mode.*additive", lambda: Poisson(mode="shott")),  # type: ignore[arg-type]
    (ValueError, "value_range", lambda: BoxNoise(value_range=(1, 0))),
    (ValueError, "value_range", lambda: BoxNoise(value_range=(0, 0, 1))),  # type: ignore[arg-type]
    (ValueError, "value_range", lambda: FullGaussian(value_range=(0, math.inf))),
    (ValueError, "value_range", lambda: BoxNoise(value_range=(1e9, 1e9 + 1))),
    (ValueError, "value_range", lambda: BoxNoise(value_range=(-3e38, 3e38))),
    (ValueError, "value_range.*1e-40", lambda: BoxNoise(value_range=(0, 1e-40))),
    (ValueError, "value_range.*1e-31", lambda: FullGaussian(value_range=(-1e-31, 0))),
    (ValueError, "value_range.*1e\\+31", lambda: BoxNoise(value_range=(0, 1e31))),
    # black shot noise is no noise
    (ValueError, "base.*additive", lambda: BoxNoise(base="black")),
    (ValueError, "base.*black", lambda: BoxNoise(base="random", noise=Poisson())),
    (ValueError, "base.*black", lambda: BoxNoise(base=(0, 0, 0), noise=Poisson())),
    # shapes and patches
    (ValueError, "shapes.*rectangle.*blob", lambda: BoxNoise(shapes="circle")),
    (ValueError, "shapes", lambda: BoxNoise(shapes=[])),
    (ValueError, "shape_weights.*1.*2", lambda: BoxNoise(shapes="scar", scale=0.1, shape_weights=[1, 2])),
    (ValueError, "shape_weights", lambda: BoxNoise(shapes="scar", scale=0.1, shape_weights=[0])),
    (ValueError, "scale.*scar covers 0.1667", lambda: BoxNoise(shapes=("rectangle", "scar"))),
    (ValueError, "scale.*blob covers 0.5", lambda: BoxNoise(shapes="blob", scale=0.6)),
    (ValueError, "edge", lambda: BoxNoise(edge=-1)),
    (ValueError, "edge must be finite", lambda: BoxNoise(edge=math.nan)),
    (ValueError, "Paste.opacity", lambda: Paste(opacity=1.5)),
    (ValueError, "Paste.opacity", lambda: Paste(opacity=0)),
    (ValueError, "Paste.source.*'batch'", lambda: Paste(source="other")),  # type: ignore[arg-type]
    (ValueError, "Paste is not superimposed", lambda: BoxNoise(noise=[Paste(), Gaussian()], mode="superimpose")),
    (ValueError, "base.*any.*black", lambda: BoxNoise(base="any", noise=Poisson())),
    (TypeError, "shapes.*3", lambda: BoxNoise(shapes=3)),  # type: ignore[arg-type]
    (TypeError, "shapes.*None", lambda: BoxNoise(shapes=[None])),  # type: ignore[list-item]
    (TypeError, "shape_weights.*1", lambda: BoxNoise(shape_weights=1)),  # type: ignore[arg-type]
    (TypeError, "edge", lambda: BoxNoise(edge=(0, 1))),  # type: ignore[arg-type]
    (TypeError, "Paste.flip.*1", lambda: Paste(flip=1)),  # type: ignore[arg-type]
    # wrong types
    (TypeError, "scale.*'0.1'", lambda: BoxNoise(scale="0.1")),  # type: ignore[arg-type]
    (TypeError, "scale.*True", lambda: BoxNoise(scale=True)),
    (TypeError, "scale.*None", lambda: BoxNoise(scale=(0.1, None))),  # type: ignore[arg-type]
    (TypeError, "num_boxes.*1.5", lambda: BoxNoise(num_boxes=1.5)),  # type: ignore[arg-type]
    (TypeError, "num_boxes.*True", lambda: BoxNoise(num_boxes=True)),
    (TypeError, "placement.*1", lambda: BoxNoise(placement=1)),  # type: ignore[arg-type]
    (TypeError, "base.*None", lambda: BoxNoise(base=None)),  # type: ignore[arg-type]
    (TypeError, "noise.*Gaussian\\(\\).*'gaussian'", lambda: BoxNoise(noise="gaussian")),  # type: ignore[arg-type]
    (TypeError, "noise.*Gaussian\\(\\)", lambda: BoxNoise(noise=[Gaussian])),  # type: ignore[list-item]
    (TypeError, "weights.*3", lambda: BoxNoise(weights=3)),  # type: ignore[arg-type]
    (TypeError, "p must be", lambda: BoxNoise(p=(0.1, 0.2))),  # type: ignore[arg-type]
    (TypeError, r"scale.*array\(0\.1\)", lambda: BoxNoise(scale=np.array(0.1))),  # type: ignore[arg-type]
    (TypeError, r"base.*array\(0\.5\)", lambda: BoxNoise(base=np.array(0.5))),  # type: ignore[arg-type]
    (TypeError, r"weights.*array\(1\.\)", lambda: BoxNoise(weights=np.array(1.0))),  # type: ignore[arg-type]
    (TypeError, "num_boxes.*array", lambda: BoxNoise(num_boxes=np.array(2))),  # type: ignore[arg-type]
    (TypeError, "value_range.*array", lambda: BoxNoise(value_range=np.array(1.0))),  # type: ignore[arg-type]
    (TypeError, "scale.*array", lambda: BoxNoise(scale=np.ones((2, 2)))),  # type: ignore[arg-type]
    (TypeError, "value_range.*255", lambda: BoxNoise(value_range=255)),  # type: ignore[arg-type]
    (TypeError, "SaltPepper.per_channel.*1", lambda: SaltPepper(per_channel=1)),  # type: ignore[arg-type]
    (TypeError, "Poisson.mode", lambda: Poisson(mode=None)),  # type: ignore[arg-type]
    (TypeError, "Gaussian.sigma.*'a'", lambda: Gaussian("a")),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("error", "text", "make"), REFUSED)
def test_refuses_by_name(error: type[Exception], text: str, make: Any) -> None:
    with pytest.raises(error, match=text):
        make()


def test_a_value_is_shown_in_one_line_that_can_be_read() -> None:
    with pytest.raises(TypeError, match=r"^scale must be") as caught:
        BoxNoise(scale=dict.fromkeys(range(1000), "x" * 50))  # type: ignore[arg-type]
    assert len(str(caught.value)) < 400
    with pytest.raises(TypeError, match=r"^scale must be") as caught:
        BoxNoise(scale=np.ones((2, 90)))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("span", [(0, 1e-30), (0, 1e30), (-1e30, -1e29), (1e9, 1e9 + 1024)])
@pytest.mark.parametrize("noise", [Gaussian(), SaltPepper(0.2), Poisson(), Laplace(), Paste()])
def test_the_most_extreme_ranges_give_numbers(span: tuple[float, float], noise: Any) -> None:
    images = np.random.default_rng(0).uniform(*span, (4, 1, 16, 16)).astype(np.float32)
    low, high = np.asarray(span, np.float32)
    done = corrupt(images, BoxNoise(scale=0.5, base="image", noise=noise, value_range=span)).images
    assert np.isfinite(done).all()
    assert low <= done.min() < done.max() <= high


def test_black_takes_noise_that_shows_on_it() -> None:
    for noise in (Gaussian(), SaltPepper(), ADDITIVE, Laplace()):
        assert BoxNoise(base="black", noise=noise).noise == (noise,)
    assert BoxNoise(base="black", mode="none").base == "black"


def test_presets_are_the_patents() -> None:
    three = {"Gaussian", "SaltPepper", "Poisson"}
    patent = BoxNoise.patent()
    assert patent.scale == (0.10, 0.20)
    assert (patent.placement, patent.overlap, patent.ratio_sampling) == ("clip", "allow", "uniform")
    assert {kind["type"] for kind in patent.to_dict()["noise"]} == three
    railway = BoxNoise.railway()
    assert {kind["type"] for kind in railway.to_dict()["noise"]} == three
    records, _ = railway.plan.draw(2048, 2048, 1, 0, np.arange(50, dtype=np.uint64))
    assert len(records) == 50
    height, width = records[:, 3], records[:, 4]
    # 10 % of 2048 × 2048 is a square of 647.6 pixels.
    assert (np.abs(height - width) <= 1).all()
    assert (np.abs(height.astype(float) * width / 2048**2 - 0.10) < 0.5 * 648 / 2048**2).all()
    assert set(records[:, 5]) == {1, 2, 4}


@pytest.mark.parametrize(("base", "share"), [("gray", 0.5), ("image", 0.05), ("any", 0.05)])
def test_salt_and_pepper_amount_depends_on_the_base(base: str, share: float) -> None:
    spec = BoxNoise(base=base, noise=SaltPepper())
    _, reals = spec.plan.draw(32, 32, 1, 0, np.arange(4, dtype=np.uint64))
    assert reals[:, 4] + reals[:, 5] == pytest.approx(share)


def test_named() -> None:
    assert named("box") == BoxNoise()
    assert named("gaussian") == FullGaussian()
    assert named("none") is None
    with pytest.raises(ValueError, match=r"'boxes'.*box, gaussian, none, mixed, scars, blobs"):
        named("boxes")


@pytest.mark.parametrize("spec", [BoxNoise.patent(), FullGaussian(0.1)], ids=repr)
def test_files(spec: Spec, tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    path.write_text("what stood there before")
    save_spec(spec, path)
    assert load_spec(path) == spec
    assert [entry.name for entry in tmp_path.iterdir()] == ["spec.json"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "spec.json"),
        ("[1]", "expected a mapping"),
        ('{"scale": 0.1}', "type None.*BoxNoise.*FullGaussian"),
        ('{"type": "StripeNoise"}', "StripeNoise.*newer version"),
        ('{"type": "Gaussian"}', "'Gaussian'"),
        ('{"type": "BoxNoise", "sacle": 0.1}', "no parameter sacle.*scale"),
        ('{"type": "BoxNoise", "noise": [{"type": "Perlin"}]}', "Perlin.*Laplace"),
        ('{"type": "BoxNoise", "noise": [{"type": "Gaussian", "sd": 1}]}', "Gaussian has no parameter sd"),
        ('{"type": "BoxNoise", "scale": "0.1"}', "scale"),
        ('{"type": "BoxNoise", "scale": NaN}', "scale must be finite"),
    ],
)
def test_a_wrong_file_is_named_and_explained(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=said) as caught:
        load_spec(path)
    assert "spec.json" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing\.json"):
        load_spec(tmp_path / "nothing.json")


def test_missing_fields_take_their_defaults() -> None:
    assert BoxNoise.from_dict({"type": "BoxNoise", "scale": [0.1, 0.3]}) == BoxNoise(scale=(0.1, 0.3))
    with pytest.raises(ValueError, match="FullGaussian"):
        BoxNoise.from_dict(FullGaussian().to_dict())
