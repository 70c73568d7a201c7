"""The default: a memory and networks that mark, on the same features, each as good as without an image's group."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from tests.networks import blotted
from torch import Tensor
from torch.nn import functional as F

from unblot.calibration.pooling import spread, top_mean
from unblot.detectors import Batch, LeaveGroupOut, create
from unblot.detectors.auto import MARK, TOP, TRUST, Auto, _known
from unblot.layers.bank import Bank
from unblot.training.engine import set_modes


def small(**options: object) -> Auto:
    torch.manual_seed(0)
    made = create("auto", channels=1, size=64, **{"backbone": "filters", "coreset_size": 50, **options})
    assert isinstance(made, Auto)
    return made


def trained(batch: Batch, rounds: int = 2, **options: object) -> Auto:
    """Auto that has seen a batch's clean images, and its corrupted ones so many times."""
    made = small(**options)
    for phase in made.phases(2e-3):
        set_modes(made, phase)
        for _ in range(rounds if phase.name == MARK else 1):
            with torch.set_grad_enabled(bool(phase.optimizers)):
                for step in made.training_step(phase.name, batch):
                    phase.optimizers[step.optimizer].zero_grad()
                    torch.autograd.backward(torch.stack([*step.losses.values()]).sum())
                    phase.optimizers[step.optimizer].step()
        made.finish_phase(phase.name)
    return made.eval()


@torch.no_grad()
def calibrated(made: Auto, held_out: Tensor, groups: Tensor) -> LeaveGroupOut:
    found = made.calibrate(held_out.split(3) if len(held_out) else (), [], groups)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def ready() -> Auto:
    """Trained on 12 images of 12 groups and calibrated on 4 others."""
    torch.set_num_threads(1)
    made = trained(blotted(12, seed=0), rounds=16)
    calibrated(made, blotted(4, seed=1).clean, torch.arange(4))
    return made


def test_two_phases_of_which_only_the_networks_learn() -> None:
    remember, mark = small().phases(1e-3)
    assert not remember.optimizers
    assert remember.keeps
    assert mark.keeps
    assert list(mark.optimizers) == ["markers"]
    made = small()
    (mark,) = (phase for phase in made.phases(1e-3) if phase.name == MARK)
    learns = {id(p) for group in mark.optimizers["markers"].param_groups for p in group["params"]}
    assert learns == {id(p) for p in made.markers.parameters()}


@pytest.mark.parametrize(("size", "shown"), [(64, 90), (256, 90), (512, 22)])
def test_as_many_corrupted_pixels_are_shown_at_any_size_above_256(size: int, shown: int) -> None:
    made = create("auto", channels=1, size=size, backbone="filters")
    (mark,) = (phase for phase in made.phases(1e-3) if phase.name == MARK)
    assert mark.images == shown


def test_it_takes_its_steps_however_images_come_in_batches() -> None:
    batch = blotted(6, seed=0)
    for size in (6, 4, 1):
        made = trained(batch, rounds=0)
        (mark,) = (phase for phase in made.phases(1e-3) if phase.name == MARK)
        set_modes(made, mark)
        steps = 0
        for _ in range(5):
            for at in torch.arange(6).split(size):
                part = Batch(*(getattr(batch, name)[at] for name in ("noisy", "clean", "index", "group")))
                steps += sum(1 for _ in made.training_step(MARK, part))
        assert steps == int(30 * 400 / 900)


def test_corrupted_regions_stand_out_in_score_and_map(ready: Auto) -> None:
    unseen = blotted(12, seed=1000)
    with torch.no_grad():
        bad, good = ready.score(unseen.noisy), ready.score(unseen.clean)
    assert (bad.image > good.image).float().mean() > 0.9
    inside = (bad.map * unseen.mask).sum((1, 2, 3)) / unseen.mask.sum((1, 2, 3))
    outside = (bad.map * (1 - unseen.mask)).sum((1, 2, 3)) / (1 - unseen.mask).sum((1, 2, 3))
    assert (inside > outside).all()


def test_the_score_is_the_soft_maximum_of_both_parts_in_their_own_units(ready: Auto) -> None:
    images = torch.cat([blotted(3, seed=5).clean, blotted(3, seed=6).noisy])
    with torch.no_grad():
        *distances, logits = ready._looked_at(ready.backbone(images))
        memory = ready.memory(distances)
        marks = torch.stack([ready.marks(logits[:, i : i + 1]) for i in range(3)])
        found = ready.score(images)
    each = [ready.memory.pooled(memory), torch.stack([top_mean(one, TOP) for one in marks]).mean(0)]
    units = [
        trust * (x - ready.scale[0, i]) / ready.scale[1, i]
        for i, (trust, x) in enumerate(zip(TRUST, each, strict=True))
    ]
    torch.testing.assert_close(found.image, torch.stack(units).logsumexp(0))
    coarse = torch.stack(
        [t * (x - m) / d for t, x, m, d in zip(TRUST, (memory, marks.mean(0)), *ready.scale[2:], strict=True)]
    ).logsumexp(0)
    torch.testing.assert_close(found.map, F.interpolate(coarse, 64, mode="bilinear"))


class Combined(torch.nn.Module):
    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        return Auto._combined([one, other], torch.tensor([[0.0, 0.0], [1.0, 1.0]]))


@pytest.mark.filterwarnings("ignore")
def test_large_scores_stay_finite_in_an_exported_graph(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    one, other = torch.tensor([500.0, -500.0, 3.0, 0.0]), torch.tensor([2.0, 900.0, 5.0, 0.0])
    program = torch.onnx.export(Combined(), (one, other), dynamo=True, verbose=False)
    assert program is not None
    program.save(tmp_path / "combined.onnx")
    session = runtime.InferenceSession(tmp_path / "combined.onnx")
    (found,) = session.run(None, {"one": one.numpy(), "other": other.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), Combined()(one, other))
    torch.testing.assert_close(Combined()(one, other), torch.logaddexp(one, TRUST[1] * other))


def test_scores_are_measured_in_what_left_out_images_reach() -> None:
    made = trained(blotted(9, seed=0))
    seen: list[list[Tensor]] = []
    plain = made._scores

    def noted(maps: list[Tensor]) -> list[Tensor]:
        seen.append(plain(maps))
        return seen[-1]

    made._scores = noted  # type: ignore[assignment]
    left_out = calibrated(made, blotted(5, seed=1).clean, torch.arange(5))
    (scores,) = seen
    assert [len(x) for x in scores] == [14, 14], "both kinds of left-out images"
    for part in range(2):
        torch.testing.assert_close(made.scale[:2, part], torch.stack(spread(scores[part])))
    units = [
        trust * (x - made.scale[0, i]) / made.scale[1, i]
        for i, (trust, x) in enumerate(zip(TRUST, scores, strict=True))
    ]
    torch.testing.assert_close(torch.cat([left_out.training, left_out.held_out]), torch.logaddexp(*units))
    assert left_out.groups.tolist() == list(range(9))


def test_a_training_image_is_looked_at_without_its_group() -> None:
    batch = blotted(9, seed=0)
    made = trained(batch, coreset_size=5000)
    groups = batch.group
    with torch.no_grad():
        features = made.backbone(batch.clean)
        *distances, logits = made._looked_at(features, groups)
        for own in (0, 4, 8):
            blind = deepcopy(made)
            for bank in blind.memory._banks():
                assert isinstance(bank, Bank)
                others = bank.groups != own
                bank.centre, bank.axes, entries, typical = bank._apart(own)  # group and fold have one number
                bank.memory, bank.typical, bank.groups = entries[others], typical[others], bank.groups[others]
            one = [f[own : own + 1] for f in features]
            *expected, _ = blind._looked_at(one)
            for found, wanted in zip(distances, expected, strict=True):
                torch.testing.assert_close(found[own : own + 1], wanted)
            alone = made.markers.networks[own % 3]
            rows = _known(one, expected).permute(0, 2, 3, 1).flatten(0, 2)
            torch.testing.assert_close(logits[own].flatten(), alone(rows)[:, 0])


def test_a_held_out_image_is_marked_by_one_network_as_a_training_image_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The map of the mean of all is smoother, and places would be learnt from two kinds of maps."""
    made, asked = trained(blotted(6, seed=0)), []
    plain = made._looked_at

    def noted(features: list[Tensor], without: Tensor | None = None) -> list[Tensor]:
        asked.append(without)
        return plain(features, without)

    monkeypatch.setattr(made, "_looked_at", noted)
    calibrated(made, blotted(5, seed=1).clean, torch.tensor([0, 0, 1, 2, 3]))
    training, *held_out = (own.tolist() for own in asked if own is not None)
    assert training == list(range(6))
    assert held_out == [[6, 6, 7], [8, 9]], "groups that no memory holds"


def test_networks_learn_from_distances_without_the_images_group(monkeypatch: pytest.MonkeyPatch) -> None:
    batch, made = blotted(6, seed=0), small()
    with torch.no_grad():
        list(made.training_step("remember", batch))
        made.finish_phase("remember")
    asked: list[Tensor | None] = []
    plain = made.memory.distances

    def noted(features: list[Tensor], without: Tensor | None = None) -> list[Tensor]:
        asked.append(without)
        return plain(features, without)

    monkeypatch.setattr(made.memory, "distances", noted)
    list(made.training_step(MARK, batch))
    assert [None if a is None else a.tolist() for a in asked] == [batch.group.tolist()]


def test_nothing_is_kept_after_its_phase_but_what_calibration_needs() -> None:
    made = trained(blotted(6, seed=0))
    assert made._cells._rows == []
    assert made._due == 0
    assert len(made._kept) == 6
    calibrated(made, blotted(2, seed=1).clean, torch.arange(2))
    assert len(made._kept) == 0


@pytest.mark.parametrize("groups", [[3] * 6, [0, 1] * 3, [0, 1, 2] * 2])
def test_few_groups_train_and_score(groups: list[int]) -> None:
    """Of two groups none is left out: the other alone cannot tell how far its patches usually lie."""
    batch = blotted(6, seed=0)
    batch = Batch(batch.noisy, batch.clean, batch.index, torch.tensor(groups))
    made = trained(batch)
    left_out = calibrated(made, blotted(3, seed=1).clean, torch.arange(3))
    assert len(left_out.training) == (6 if len(set(groups)) > 2 else 0)
    assert left_out.training.isfinite().all()
    assert left_out.held_out.isfinite().all()
    with torch.no_grad():
        assert made.score(batch.noisy).map.isfinite().all()


def test_three_images_and_none_held_out() -> None:
    batch = blotted(3, seed=0)
    made = trained(batch)
    left_out = calibrated(made, batch.clean[:0], torch.zeros(0, dtype=torch.int64))
    assert left_out.training.shape == (3,)
    assert len(left_out.held_out) == 0
    with torch.no_grad():
        found = made.score(batch.noisy)
    assert left_out.training.isfinite().all()
    assert found.image.isfinite().all()


def test_images_that_are_all_equal_give_finite_scores() -> None:
    first = blotted(1, seed=0)
    other = blotted(6, seed=0)
    clean = first.clean.expand(6, -1, -1, -1).clone()
    noisy = torch.where(other.mask > 0, other.noisy, clean)
    batch = Batch(noisy, clean, other.index, other.group)
    made = trained(batch)
    left_out = calibrated(made, clean[:3], torch.arange(3))
    assert left_out.training.isfinite().all()
    with torch.no_grad():
        good, bad = made.score(clean[:1]), made.score(noisy)
    assert good.map.isfinite().all()
    assert bad.map.isfinite().all()
    assert (bad.image >= good.image).all()


def test_a_batch_in_which_nothing_was_changed_is_learnt_from() -> None:
    clean, number = blotted(4, seed=0).clean, torch.arange(4)
    made = trained(Batch(clean, clean, number, number))
    with torch.no_grad():
        assert made.score(clean).image.isfinite().all()


def test_the_same_seed_makes_the_same_bits() -> None:
    batch, unseen = blotted(6, seed=0), blotted(3, seed=1)
    found = []
    for _ in range(2):
        made = trained(batch)
        left_out = calibrated(made, unseen.clean, torch.arange(3))
        with torch.no_grad():
            scores = made.score(unseen.noisy)
        found.append([left_out.held_out, left_out.training, scores.image, scores.map])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_notes_say_what_the_parts_reach(ready: Auto) -> None:
    notes = ready.notes()
    assert set(notes["parts"]) == {"memory", "marks"}
    for i, part in enumerate(("memory", "marks")):
        assert notes["parts"][part]["median"] == pytest.approx(ready.scale[0, i].item(), abs=1e-4)
        assert notes["parts"][part]["spread"] == pytest.approx(ready.scale[1, i].item(), abs=1e-4)


def test_the_backbone_is_the_one_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unblot.detectors.auto.packaged", lambda: False)
    assert create("auto", channels=1, size=64).options["backbone"] == "scratch"
    assert create("auto", channels=1, size=64, backbone="filters").options["backbone"] == "filters"
