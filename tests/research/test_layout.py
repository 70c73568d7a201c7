"""Recipes lay sets out so that no group stands on both sides and nothing is half written."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from research.suite.__main__ import main
from research.suite.placing import Placed, Recipe, layout, smaller, spread
from research.suite.recipes import RECIPES
from research.suite.source import Source, SourceError
from tests.research.conftest import Repository, picture

from unblot.data import DataConfig, load_data
from unblot.data.groups import find_groups


def laid_out(name: str, clone: Path, commit: str, out: Path) -> dict[str, int]:
    with Source(clone, commit) as source:
        return layout(RECIPES[name], source, out)


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name != "set.json")


def test_boards_are_divided_by_board_and_load(repository: Repository, tmp_path: Path) -> None:
    files = {}
    for number, board in enumerate(("00041", "12000", "12300", "44000", "92000")):
        for crop in range(3):
            for part in ("temp", "test"):
                data = picture(100 * number + 10 * crop + len(part), (16, 16), "jpeg")
                files[f"PCBData/group{board}/{board}/{board}00{crop}_{part}.jpg"] = data
    lonely = "PCBData/group00041/00041/00041009_temp.jpg"  # its other half is missing
    clone, commit = repository({**files, lonely: picture(7, kind="jpeg")})
    counts = laid_out("boards-a", clone, commit, tmp_path / "set")
    assert counts == {"train good": 3, "test good": 12, "test bad": 12}
    found = names(tmp_path / "set")
    assert "test/defect/b12000-002.jpg" in found
    rule = RECIPES["boards-a"].group
    trained, tested = ({find_groups([n], rule)[0] for n in found if n.startswith(p)} for p in ("train/", "test/"))
    assert trained == {"00041"}
    assert tested == {"12000", "12300", "44000", "92000"}


def test_magnetic_tiles_keep_captures_together_and_masks_beside(repository: Repository, tmp_path: Path) -> None:
    files: dict[str, bytes] = {}
    for tile in range(8):
        for exposure in (1, 2):
            stem = f"MT_Free/Imgs/exp{exposure}_num_{10_000 * tile + exposure}"
            files |= {f"{stem}.jpg": picture(10 * tile + exposure, kind="jpeg"), f"{stem}.png": b"no mask is needed"}
    mask = np.zeros((12, 8), np.uint8)
    mask[2:4, 3] = 7
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "png")
    files |= {"MT_Crack/Imgs/exp1_num_50050.jpg": picture(1, kind="jpeg")}
    files |= {"MT_Crack/Imgs/exp1_num_50050.png": buffer.getvalue()}
    clone, commit = repository(files)
    laid_out("magnetic-tile-1", clone, commit, tmp_path / "set")
    splits = load_data(DataConfig(str(tmp_path / "set"), size=16, group=RECIPES["magnetic-tile-1"].group))
    assert not any("groups have images in the training" in warning for warning in splits.warnings)
    assert {i.group for i in splits.test.items if i.name.startswith("test/crack")} == {"50001"}
    assert sum(i.group == "50001" for i in splits.test.items) == 3  # both normal images of that tile are tested, too
    stored = np.asarray(Image.open(tmp_path / "set" / "ground_truth" / "crack" / "c50001_exp1_num_50050_mask.png"))
    assert (stored == np.where(mask, 255, 0)).all()


def test_cells_of_uncertain_label_and_defective_training_cells_are_left_out(
    repository: Repository, tmp_path: Path
) -> None:
    rows = [(1, 0.0), (2, 1.0), (3, 0.33), (361, 0.0), (400, 1.0), (401, 0.66), (421, 0.0), (1540, 0.0)]
    files = {f"src/elpv_dataset/data/images/cell{n:04d}.png": picture(n) for n, _ in rows}
    table = "".join(f"images/cell{n:04d}.png  {p}  mono\n" for n, p in rows)
    clone, commit = repository({**files, "src/elpv_dataset/data/labels.csv": table.encode()})
    laid_out("solar-cells", clone, commit, tmp_path / "set")
    assert names(tmp_path / "set") == [
        "test/defect/m100-cell0400.png",
        "test/good/m100-cell0361.png",
        "test/good/m101-cell0421.png",
        "train/good/m000-cell0001.png",
    ]


def test_commutators_are_divided_and_repeated_images_left_out(repository: Repository, tmp_path: Path) -> None:
    black, spot = np.zeros((12, 8), np.uint8), np.zeros((12, 8), np.uint8)
    spot[5, 5] = 2
    masks = []
    for pixels in (black, spot):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "bmp")
        masks.append(buffer.getvalue())
    parts = {
        ("kos03", 0): (1, 0),
        ("kos03", 1): (2, 1),
        ("kos40", 0): (3, 0),
        ("kos40", 1): (4, 1),
        ("kos41", 0): (3, 0),
    }
    files: dict[str, bytes] = {}
    for (folder, number), (seed, bad) in parts.items():
        stem = f"data/{folder}/Part{number}"
        files |= {f"{stem}.jpg": picture(seed, kind="jpeg"), f"{stem}_label.bmp": masks[bad]}
    clone, commit = repository(files)
    laid_out("commutators", clone, commit, tmp_path / "set")
    assert names(tmp_path / "set") == [
        "ground_truth/defect/kos40-Part1_mask.png",
        "test/defect/kos40-Part1.jpg",
        "test/good/kos40-Part0.jpg",
        "train/good/kos03-Part0.jpg",
    ]


def test_thermal_frames_become_images_of_their_temperatures(repository: Repository, tmp_path: Path) -> None:
    row = ",".join(["15.0"] * 767 + ["40.0"])
    hot = ",".join(["99.0"] * 768)
    files = {"dataset/empty/data_empty.csv": "\n".join([row] * 160), "dataset/person/data_person.csv": f"{hot},\n"}
    clone, commit = repository({name: text.encode() for name, text in files.items()})
    assert laid_out("thermal", clone, commit, tmp_path / "set") == {"train good": 150, "test good": 10, "test bad": 1}
    frame = np.asarray(Image.open(tmp_path / "set" / "train" / "good" / "t14-149.png"))
    assert frame.shape == (24, 32)
    assert (frame.flat[0], frame.flat[-1]) == (0, 255)


def test_the_built_in_digits_need_no_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["layout", "digits-without-0", "--out", str(tmp_path / "set")]) == 0
    assert len(names(tmp_path / "set")) == 1797
    assert "178 test bad" in capsys.readouterr().out


def test_a_reduced_set_keeps_shape_and_small_marks() -> None:
    mask = np.zeros((40, 80), np.uint8)
    mask[10:12, 20:22] = 255
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "png")
    image, marked = smaller(
        [Placed("test/x/a.jpg", picture(1, (40, 80), "jpeg")), Placed("ground_truth/x/a_mask.png", buffer.getvalue())],
        40,
    )
    assert image.path == "test/x/a.png"
    assert Image.open(io.BytesIO(image.data)).size == (40, 20)
    assert np.argwhere(np.asarray(Image.open(io.BytesIO(marked.data)))).tolist() == [[5, 10]]


def test_spread_takes_items_at_even_distances() -> None:
    assert spread(range(9), 3) == [0, 3, 6]
    assert spread("ab", 3) == ["a", "b"]


def test_every_recipe_says_where_it_comes_from_and_what_its_groups_are() -> None:
    for name, recipe in RECIPES.items():
        assert recipe.name == name
        assert recipe.title
        assert recipe.division
        assert bool(recipe.repository) == bool(recipe.commit)
        assert recipe.commit == "" or (len(recipe.commit) == 40 and int(recipe.commit, 16) >= 0)


def recipe(*paths: str) -> Recipe:
    def place(_: Source) -> Iterator[Placed]:
        yield from (Placed(path, b"x") for path in paths)

    return Recipe("tiny", "", "someone/something", "0" * 40, "", place)


def test_a_set_that_lacks_a_part_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for paths in (["train/good/a.png", "test/good/b.png"], ["train/good/a.png", "train/good/a.png"]):
        with pytest.raises(SourceError, match=r"gave no images for test bad|names train/good/a.png twice"):
            layout(recipe(*paths), Source(tmp_path / "empty"), tmp_path / "set")
        assert [p.name for p in tmp_path.iterdir()] == ["empty"]


def test_a_folder_with_something_in_it_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine").write_text("mine")
    with pytest.raises(SourceError, match="exists already; name a new folder"):
        layout(recipe("train/good/a.png", "test/good/b.png", "test/x/c.png"), Source(tmp_path), tmp_path / "set")
    assert [p.name for p in (tmp_path / "set").iterdir()] == ["mine"]


def test_layout_says_which_sets_there_are_and_what_to_clone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["layout", "tiles", "--out", str(tmp_path / "set")]) == 2
    assert "there is no set 'tiles'; there are magnetic-tile-0" in capsys.readouterr().err
    assert main(["layout", "screws", "--out", str(tmp_path / "set")]) == 2
    assert "git clone --no-checkout https://github.com/dungdao1995/SkipGanomaly-MVTECAD" in capsys.readouterr().err
