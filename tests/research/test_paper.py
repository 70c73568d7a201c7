"""The paper's figures beside ours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from research.paper.__main__ import DOCS, RESULTS, main
from research.paper.beside import class_table, page, training_table
from research.paper.kept import keep, read_kept
from research.paper.pictures import histograms, restorations
from research.paper.printed import TABLE_1, TABLE_2, printed

from unblot.comparison import plan, run_grid, summarise, write_tables
from unblot.data import DataConfig
from unblot.data.cifar10 import CLASSES
from unblot.evaluation import CLEAN, NOT_REACHABLE, PUBLISHED
from unblot.training import TrainConfig


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CIFAR-10 as it lies in folders, five images a class and part."""
    folder = tmp_path_factory.mktemp("cifar")
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in CLASSES:
            place = folder / part / name
            place.mkdir(parents=True)
            for i in range(5):
                Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(place / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def compared(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison of all ten classes, of one step each."""
    folder = tmp_path_factory.mktemp("compared")
    data = DataConfig("cifar10", root=str(root), size=32, limit=8, test_limit=20, held_out=0.25)
    config = TrainConfig("nested", model_options={"width": 0.0625}, epochs=1, batch_size=8, device="cpu")
    options = {"nested": {"width": 0.0625}}
    trainings = plan(
        data, config, models=["nested"], corruptions={"none": "none"}, seeds=[0], classes=["all"], options=options
    )
    outcomes = run_grid(trainings, [CLEAN, PUBLISHED], folder, progress=False)
    assert [outcome.error for outcome in outcomes] == [None] * 10
    write_tables(summarise(outcomes, data, config), folder)
    return folder


def test_what_is_kept_makes_the_tables(compared: Path, root: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    assert main(["keep", str(compared), "--results", str(results)]) == 0
    found = read_kept(results)
    assert found == list(keep(compared).values())
    cells = {(c["left_out"], c["protocol"]): c["auroc"] for c in found[0]["cells"]}
    clean, published, paper = class_table("auroc", found).splitlines()[2:]
    assert [float(text) for text in clean.split("|")[3:13]] == [
        pytest.approx(cells[name, "clean"], abs=6e-4) for name in CLASSES
    ]
    assert NOT_REACHABLE in published and NOT_REACHABLE not in clean
    assert "as printed" in paper and paper.rstrip(" |").endswith("0.927")
    assert "| `nested` | width 0.0625 |" in training_table(found)
    limits = ["--limits", "8", "20"]
    control = ["controls", "--root", str(root), "--width", "0.0625", "--results", str(results), *limits]
    assert main([*control, "--classes", "bird"]) == 0
    first = (results / "controls-cifar10.json").read_bytes()
    assert main([*control, "--classes", "bird"]) == 0
    assert (results / "controls-cifar10.json").read_bytes() == first, "what is there is not made again"
    controls, *_ = read_kept(results)
    assert [(c["control"], c["protocol"]) for c in controls["cells"]] == [
        ("untrained network", "clean"),
        ("mean colour", "clean"),
        ("untrained network", "published"),
        ("mean colour", "published"),
    ]
    last = class_table("auroc", [*found, controls]).splitlines()[-1]
    assert last.count("–") == 10, "nine classes and the average are not there yet"


def test_the_figures_are_drawn(compared: Path, root: Path, tmp_path: Path) -> None:
    histograms(compared, "nested", tmp_path / "h.png")
    restorations(compared, "nested", ["airplane", "bird"], root, tmp_path / "r.png")
    for name in ("h.png", "r.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.width > 500
            assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 20


def test_several_corruptions_are_no_row(compared: Path, tmp_path: Path) -> None:
    summary = json.loads((compared / "table.json").read_text(encoding="utf-8"))
    summary["cells"].append(summary["cells"][0] | {"corruption": "box"})
    (tmp_path / "table.json").write_text(json.dumps(summary), encoding="utf-8")
    with pytest.raises(ValueError, match="several corruptions"):
        keep(tmp_path)


def test_a_folder_that_is_none_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keep", str(tmp_path)]) == 2
    assert "table.json" in capsys.readouterr().err


def test_the_page_holds_the_kept_figures() -> None:
    text = (DOCS / "paper.md").read_text(encoding="utf-8")
    assert text == page(text, read_kept(RESULTS))


def test_other_data_have_no_printed_figures() -> None:
    assert printed("digits", "nested", "auroc") == {}


@pytest.mark.parametrize("row", [*TABLE_1.values(), *TABLE_2.values()])
def test_the_papers_averages_are_those_of_its_rows(row: tuple[float, ...]) -> None:
    """A slip in typing would show."""
    assert sum(row[:10]) / 10 == pytest.approx(row[10], abs=6e-4)
