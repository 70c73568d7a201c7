import math
from typing import Any

import pytest

from unblot.detectors import default_model, recommended
from unblot.errors import UserError
from unblot.training import TrainConfig


def test_round_trip() -> None:
    config = TrainConfig("dae", model_options={"width": 8}, corruption="none", epochs=2, lr=1e-3)
    assert TrainConfig.from_dict(config.to_dict()) == config


def test_defaults() -> None:
    config = TrainConfig()
    assert config.model == default_model()
    own = recommended(config.model)
    assert (config.corruption, config.batch_size, config.lr) == (own.corruption, own.batch_size, own.lr)
    assert config.epochs is None
    assert config.resolved(1000, 256).epochs == own.epochs(1000, 256)
    paper = TrainConfig("nested").resolved(1000, 32)
    assert (paper.epochs, paper.lr) == (15, 2e-4), "the paper's"
    assert TrainConfig("dae", epochs=3).resolved(1000, 32).epochs == 3


def test_what_was_left_open_follows_another_detector_and_what_was_given_stays() -> None:
    config = TrainConfig("dae", lr=0.5).changed(model="memory", seed=3)
    own = recommended("memory")
    assert (config.model, config.seed, config.lr) == ("memory", 3, 0.5)
    assert (config.corruption, config.batch_size) == (own.corruption, own.batch_size)
    assert config.changed(corruption="box").changed(model="auto").corruption == "box"
    assert TrainConfig("dae", corruption="none").changed(corruption=None).corruption == recommended("dae").corruption


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", "vae"),
        ("epochs", 0),
        ("epochs", 1.5),
        ("batch_size", 1),
        ("lr", 0.0),
        ("lr", math.inf),
        ("seed", -1),
        ("seed", 2**63),
        ("device", "tpu"),
        ("devices", 0),
        ("precision", "fp8"),
        ("workers", -1),
        ("quantile", 1.0),
    ],
)
def test_values_out_of_range_are_named(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=name):
        TrainConfig(**{name: value})


@pytest.mark.parametrize("value", [{1, 2}, math.nan, 0, "4"])
def test_options_of_the_detector_are_checked_when_a_configuration_is_built(value: Any) -> None:
    with pytest.raises(UserError, match="dae: width must be a whole number, 1 or more; got "):
        TrainConfig("dae", model_options={"width": value})
    with pytest.raises(UserError, match="dae: there is no option 'depth'; there are width, latent"):
        TrainConfig("dae", model_options={"depth": value})


def test_unknown_names_are_named() -> None:
    with pytest.raises(UserError, match=r"learning_rate.*lr"):
        TrainConfig.from_dict({"learning_rate": 0.1})
