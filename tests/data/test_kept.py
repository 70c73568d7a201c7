"""What a run keeps of its images finds them again by their pixels, whatever they are called."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from unblot.data import DataConfig, Kept, Reading, load_data
from unblot.errors import UserError

Picture = Callable[..., Path]


@pytest.fixture
def data(tmp_path: Path, picture: Picture) -> DataConfig:
    for i in range(20):
        picture(tmp_path / f"fine/{i:02}.png")
    return DataConfig(str(tmp_path), normal=("fine",), size=8)


def test_after_a_rename_the_images_of_the_training_are_known(data: DataConfig) -> None:
    splits = load_data(data)
    kept = Kept.of(splits)

    def said(config: DataConfig) -> list[str]:
        test = load_data(config, reading=kept.reading).test
        return kept.said_of([(i.name, d) for i, d in zip(test.items, test.digests(), strict=True)])

    assert said(data) == []
    for path in sorted(Path(data.data, "fine").iterdir()):
        path.rename(path.with_name(f"part {path.name}"))
    names = {name for name, _ in (*kept.train, *kept.held_out)}
    tested = {i.name.replace("part ", "") for i in load_data(data).test.items}
    assert len(tested & names) > 0
    (text,) = said(data)
    assert text.startswith(f"{len(tested & names)} of {len(tested)} images are images that the run learnt from")
    assert kept.gone(load_data(data)) == []


def test_what_is_gone_or_new_is_named(data: DataConfig, picture: Picture) -> None:
    kept = Kept.of(load_data(data))
    assert kept.differs(Kept.of(load_data(data))) == ""
    name = kept.train[0][0]
    picture(Path(data.data, name), (9, 9))
    now = load_data(data)
    assert name in kept.gone(now)[0]
    text = kept.differs(Kept.of(now))
    assert f"1 of {len(kept.train)} training images are no longer among them: {name}" in text
    assert f"1 training images are new: {name}" in text


def test_it_survives_json_and_refuses_another_format(data: DataConfig) -> None:
    kept = Kept.of(load_data(data))
    assert kept.reading.width == (8, 8)
    assert Kept.from_dict(json.loads(json.dumps(kept.to_dict()))) == kept
    with pytest.raises(UserError, match="is of format 2"):
        Kept.from_dict({**kept.to_dict(), "format": 2})


def test_another_reading_is_a_difference() -> None:
    one, other = Kept(Reading(bits=12), (), ()), Kept(Reading(bits=16), (), ())
    assert one.differs(other) == "values were read as 12 bits, now as 16"
