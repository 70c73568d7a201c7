"""Size and cost of the systems of the sources."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from research.pages import filled
from research.systems.__main__ import DOCS, HERE, main
from research.systems.measure import SYSTEMS, Multiplications, measure, parameters, score_gmac, step_gmac
from research.systems.pages import differences, options_table, overview, pages
from torch import nn

from unblot.detectors import create

FIGURES = json.loads((HERE / "systems.json").read_text(encoding="utf-8"))


def test_a_convolution_is_counted_by_its_formula_and_its_backward_pass_twice() -> None:
    conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
    images = torch.zeros(2, 3, 16, 16, requires_grad=True)
    with Multiplications() as forward:
        made = conv(images)
    with Multiplications() as backward:
        made.sum().backward()
    assert forward.macs == 2 * 16 * 16 * 8 * 3 * 3 * 3
    assert backward.macs == 2 * forward.macs


def test_parameters_are_those_of_each_network() -> None:
    detector = create("nested", channels=1, size=16, width=0.1)
    counted = parameters(detector)
    assert set(counted) == {"generator", "discriminator"}
    assert sum(counted.values()) == sum(p.numel() for p in detector.parameters() if p.requires_grad)


def test_a_fully_convolutional_score_grows_with_the_area() -> None:
    assert score_gmac("dae", 64, width=4) == pytest.approx(4 * score_gmac("dae", 32, width=4))


def test_a_search_counted_by_two_short_ones_is_the_whole_search() -> None:
    """Were a further step not of the same cost, the figure would be wrong."""
    torch.manual_seed(0)
    detector = create("anogan", channels=1, size=16, width=2, search_steps=5).eval()
    with Multiplications() as counted:
        detector.score(torch.zeros(1, 1, 16, 16))
    assert score_gmac("anogan", 16, 1, width=2, search_steps=5) == pytest.approx(counted.macs / 1e9)


def test_training_costs_more_than_a_restoration_and_each_phase_is_counted() -> None:
    detector = create("f_anogan", channels=1, size=16, width=2, latent=4)
    counted = step_gmac(detector)
    assert list(counted) == ["gan", "encoder"]
    assert min(counted.values()) > score_gmac("f_anogan", 16, 1, width=2, latent=4) / 2


def test_what_is_measured_of_a_system_goes_into_a_table() -> None:
    of = measure("dae", images=16, size=16, channels=1, width=2)
    assert of["epoch_seconds"]["train"]["processor"] > 0
    text = overview({**FIGURES, "systems": {"dae": of}})
    assert text.startswith("| system |") and "[`dae`](dae.md)" in text


def test_the_command_refuses_a_system_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["measure", "--out", str(tmp_path / "x.json"), "--only", "resnet"]) == 2
    assert "resnet" in capsys.readouterr().err


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_stored_figures_are_of_the_networks_of_today(name: str) -> None:
    """A network that changes asks for new figures: python -m research.systems measure."""
    with torch.device("meta"):
        detector = create(name, channels=FIGURES["channels"], size=FIGURES["size"])
    of = FIGURES["systems"][name]
    assert of["parameters"] == parameters(detector)
    assert of["score_gmac"] == pytest.approx(score_gmac(name, FIGURES["size"], FIGURES["channels"]))


def test_the_pages_hold_what_the_command_puts_there() -> None:
    """Else: python -m research.systems pages."""
    for page, text in pages(FIGURES, DOCS).items():
        assert page.read_text(encoding="utf-8") == text, page.name


@pytest.mark.parametrize("name", SYSTEMS)
def test_each_page_names_the_options_and_the_differences(name: str) -> None:
    text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    assert options_table(name) in text
    said = differences(name)
    assert ("no public code" in text) if said is None else (":mod:" not in said and said in text)


def test_a_page_without_a_place_is_refused() -> None:
    with pytest.raises(ValueError, match="made: sizes"):
        filled("no place", {"sizes": "x"})
