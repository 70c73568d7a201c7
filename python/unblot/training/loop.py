"""THE training loop. It trains any detector and knows none; read it from top to bottom.

What a detector provides, and why it yields its steps, stands in ``docs/design.md``. Sources: alternate steps of
discriminator and generator (the paper's section 1.3), learning rate with "lambda" decay (section 2.2.1), taken as
linear to zero. Public code of this family multiplies the rate by a lambda that is constantly 1; ours decays.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor
from tqdm import tqdm

from unblot.corruption.spec import BoxNoise, FullGaussian
from unblot.data import DataConfig, Kept, Splits
from unblot.data.copies import refuse_one_image
from unblot.data.fitting import PAD
from unblot.detectors import Batch, Detector, Phase, create
from unblot.errors import UserError
from unblot.training.checkpoint import Position, better, read, write
from unblot.training.config import TrainConfig
from unblot.training.defaults import resolve
from unblot.training.draws import own_draws, seed_draws
from unblot.training.engine import (
    average_gradients,
    average_statistics,
    average_values,
    make_fabric,
    others_ended,
    set_modes,
    set_up,
    share,
    slow_precision,
    with_devices,
)
from unblot.training.feed import Feed, derived_seed, loading_failed
from unblot.training.monitor import Log, LostProcessError, Means, NonFiniteLossError, collapse
from unblot.training.run import corruption_of, describe, load_run, only_writer, prepare, weights_of
from unblot.training.run_files import CHECKPOINT, add_provenance, provenance_of
from unblot.training.threshold import settle
from unblot.training.validator import SyntheticValidator, due, validator_of

__all__ = ["build", "train"]

logger = logging.getLogger("unblot.training")


@own_draws()
def train(
    config: TrainConfig,
    splits: Splits | DataConfig,
    out: str | Path,
    *,
    data: DataConfig | None = None,
    resume: bool = False,
    progress: bool = True,
    after_epoch: Callable[[Detector, int], None] | None = None,
) -> Detector:
    """Train a detector on ``splits.train``, take its threshold from ``splits.held_out``, keep all in a run directory.

    The same settings give the same bits on the CPU (same machine, same number of threads). A checkpoint is written
    after each epoch; a run that was stopped in any way continues from there with ``resume`` and ends with the bits of
    one that was not. Torch's global generator is left alone, so trainings may run in threads.

    Args:
        config: the settings.
        splits: training and held-out normal images; or what the data are asked for, which also decides their size.
        out: the run directory: new or empty, or with ``resume`` that of the run to continue.
        data: what the data were asked for, where ``splits`` are loaded images; kept with the run so that an evaluation
            finds them again.
        resume: continue the run in ``out``. All settings but ``device`` and ``workers`` must be the same.
        progress: show a progress bar (only where stderr is a terminal).
        after_epoch: called in the first process with the detector and the number of finished epochs, after each epoch
            of the last phase and before its checkpoint is written: of a run that was killed it sees every epoch, one
            perhaps twice. It may score with the detector; training goes on to the same bits as without it.

    Returns:
        The trained detector, on the CPU, in eval mode, as :func:`load_run` gives it.

    Raises:
        UserError: settings, images or the run directory cannot be used (another process trains into it, say). Nothing
            that was there is changed. Or, in the middle, an image that can no longer be read or a loading process that
            was ended: the last whole checkpoint stays and can be continued.
        NonFiniteLossError: a loss became NaN or infinite; the last whole checkpoint stays.
        LostProcessError: of several processes one ended; the last whole checkpoint stays and can be continued.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> data = DataConfig("digits", size=16, limit=64)
        >>> with TemporaryDirectory() as folder:
        ...     train(TrainConfig("dae", epochs=1), data, folder, progress=False).name
        'dae'
    """
    if isinstance(splits, DataConfig):
        config, data, splits = resolve(config, splits, progress=None if progress else False)
    config = with_devices(config.resolved(len(splits.train.inputs), splits.train.size))
    out, spec = Path(out), corruption_of(config.corruption)
    judge = validator_of(config, spec, splits)
    fabric = make_fabric(config)
    if slow := slow_precision(config, fabric.device):
        logger.warning("%s", slow)
    detector = build(config, splits)
    if len(splits.train) < (least := detector.images_min) * fabric.world_size:
        each = f" for each of {fabric.world_size} devices" if fabric.world_size > 1 else ""
        raise UserError(
            f"training needs at least {least} images{each}, got {len(splits.train)}. Give more normal images; "
            "subspace learns from one"
        )
    refuse_one_image(splits.train)
    if spec is None and (why := detector.needs_corruption):
        raise UserError(
            f"{why}, and this training makes none; give it a corruption (--corruption mixed), or take a detector that "
            "needs none, such as memory with pretrained weights"
        )
    description = describe(config, data, detector, spec)
    with only_writer(out, resume=resume) if fabric.is_global_zero else nullcontext():
        if fabric.is_global_zero:
            prepare(out, description, resume=resume, images=Kept.of(splits))
        if resume and (out / CHECKPOINT).exists() and read(out / CHECKPOINT).position.finished:
            logger.warning("%s is finished: there is nothing to resume", out)
        else:
            try:
                built = detector if fabric.world_size == 1 else None
                work = partial(_train, built=built, config=config, spec=spec, splits=splits, judge=judge, out=out)
                fabric.launch(partial(work, progress=progress, after_epoch=after_epoch))
            except KeyboardInterrupt as stop:
                stop.add_note(f"{out} keeps all finished epochs; continue it with resume=True (--resume)")
                raise
            except Exception as error:
                if not others_ended(error):
                    raise
                kept = "keeps the last finished epoch; continue with resume=True (--resume)"
                where = f"{out / CHECKPOINT} {kept}" if (out / CHECKPOINT).exists() else "No epoch was finished"
                first = str(error).strip().splitlines()[0]
                raise LostProcessError(f"another process of this training ended ({first}). {where}") from error
    return load_run(out).detector


@own_draws()
def _train(
    fabric: Fabric,
    *,
    built: Detector | None,
    config: TrainConfig,
    spec: BoxNoise | FullGaussian | None,
    splits: Splits,
    judge: SyntheticValidator | None,
    out: Path,
    progress: bool,
    after_epoch: Callable[[Detector, int], None] | None,
) -> None:
    """What each process does; where there is one alone, the detector is built already.

    The first one decides, :func:`share` gives what it decided to all.
    """
    detector = (build(config, splits) if built is None else built).to(fabric.device)
    first = fabric.is_global_zero
    saved = read(out / CHECKPOINT) if first and (out / CHECKPOINT).exists() else None
    saved = fabric.broadcast(saved)  # another machine may not see the file
    if saved:
        saved.restore_model(detector)
    elif first:
        detector.start()
        if sources := detector.sources():
            add_provenance(out, sources=sources)
    share(fabric, detector)
    phases = detector.phases(config.lr)
    epochs = [phase.epochs or ((config.epochs or 1) if phase.optimizers else 1) for phase in phases]
    at = saved.position if saved else Position()
    best = saved.best if saved else None
    log = Log(out / "log") if first else None
    chosen = (
        any(entry["kept_by"] != "last" for entry in provenance_of(out).get("weights", {}).values()) if saved else False
    )
    detector.expect(len(splits.train.inputs))

    for number in range(at.phase, len(phases)):
        phase = phases[number]
        rates = {name: [g["lr"] for g in optimizer.param_groups] for name, optimizer in phase.optimizers.items()}
        if saved and at.epoch > 0:
            saved.restore_optimizers(phase.optimizers)
        phase = replace(phase, optimizers=set_up(fabric, phase.optimizers))
        feed = Feed(
            splits.train.inputs,
            spec,
            batch_size=config.batch_size,
            seed=config.seed,
            workers=config.workers,
            device=fabric.device,
            # A phase without gradient steps (a memory) must see every image on every device.
            rank=fabric.global_rank if phase.optimizers else 0,
            world=fabric.world_size if phase.optimizers else 1,
            smallest=2 if phase.optimizers else 1,
            shown=phase.images,
        )
        for epoch in range(at.epoch, epochs[number]):
            for name, optimizer in phase.optimizers.items():
                for group, rate in zip(optimizer.param_groups, rates[name], strict=True):
                    group["lr"] = rate * (1 - epoch / epochs[number])
            set_modes(detector, phase)
            title, start = f"{phase.name} {epoch + 1}/{epochs[number]}", time.perf_counter()
            hidden = None if progress and log else True  # None: hidden unless stderr is a terminal
            batches = feed.epoch(sum(epochs[:number]) + epoch)
            try:
                with tqdm(total=feed.images, desc=title, unit="img", disable=hidden) as bar:
                    values = _epoch(fabric, detector, phase, batches, bar)
            except (UserError, RuntimeError) as error:
                kept = f"{out / CHECKPOINT} keeps the last finished epoch" if at.step else "No epoch was finished"
                if not isinstance(error, NonFiniteLossError):
                    if (said := loading_failed(error)) is None:
                        raise
                    raise UserError(f"{title}: {said}. {kept}; continue with resume=True (--resume)") from error
                remedy = f"a lower lr (this was {config.lr:g})" + (" or in fp32" if config.precision != "fp32" else "")
                raise NonFiniteLossError(f"{title}: {error}. {kept}. Train again with {remedy}") from error
            values = average_values(fabric, values)
            average_statistics(fabric, detector)
            seconds = time.perf_counter() - start
            at = replace(at, epoch=epoch + 1, step=at.step + len(feed))
            last = at.epoch == epochs[number]
            chosen_epoch: int | None = None
            if first and judge and phase.judged is not None and due(at.epoch, epochs[number]):
                values["judged_auroc"] = judge.auroc(phase.judged, fabric.device)
                best = better(best, values["judged_auroc"], at.epoch, phase.judged)
                if last:
                    chosen_epoch = best.epoch
                    phase.judged.load_state_dict(best.tensors)
                    best = None
            if last:
                detector.finish_phase(phase.name)
                at = replace(at, phase=number + 1, epoch=0)
                chosen = chosen or chosen_epoch is not None
                if log and phase.optimizers:
                    add_provenance(out, weights={phase.name: weights_of(epoch + 1, chosen_epoch)})
            share(fabric, detector)
            if log:
                values |= {f"lr_{name}": o.param_groups[0]["lr"] for name, o in phase.optimizers.items()}
                log.epoch(phase.name, epoch, at.step, values | {"images_per_second": feed.images / seconds})
                if problem := collapse(values):
                    log.say_once(*problem)
                if after_epoch and number == len(phases) - 1:
                    after_epoch(detector, epoch + 1)
                if not any(begun.keeps for begun in phases[: number + 1]):
                    write(out / CHECKPOINT, detector, {} if last else phase.optimizers, at, best)

    settle(fabric, detector, config, splits, judge, out, log, chosen=chosen)
    if log:
        write(out / CHECKPOINT, detector, {}, replace(at, finished=True))
        log.close()
    fabric.barrier()


def _epoch(fabric: Fabric, detector: Detector, phase: Phase, batches: Iterator[Batch], bar: tqdm) -> dict[str, float]:
    """One pass over the images; returns the means of all losses and logs."""
    means = Means()
    with torch.set_grad_enabled(bool(phase.optimizers)):
        for number, batch in enumerate(batches, start=1):
            shown: list[tuple[str, Tensor]] = []
            steps = detector.training_step(phase.name, batch)
            while True:
                with fabric.autocast():
                    step = next(steps, None)  # the detector runs until its next gradient step
                if step is None:
                    break
                optimizer = phase.optimizers[step.optimizer]
                optimizer.zero_grad(set_to_none=True)
                fabric.backward(torch.stack([*step.losses.values()]).sum())
                average_gradients(fabric, optimizer)
                optimizer.step()
                shown += [*step.losses.items(), *step.logs.items()]
            means.add(shown, number, len(batch.index))
            bar.set_postfix({name: f"{value:.3g}" for name, value in means.values().items()}, refresh=False)
            bar.update(len(batch.index))
    return means.values()


@own_draws()
def build(config: TrainConfig, splits: Splits) -> Detector:
    """The untrained detector: initial weights from ``config.seed``, the same in every process."""
    seed_draws(derived_seed(config.seed, "weights"))
    images = splits.train
    try:
        detector = create(config.model, channels=images.channels, size=images.size, **config.model_options)
    except ValueError as error:
        raise UserError(str(error)) from error
    if images.reading.fit == PAD:
        facts = [*images.facts(False), *splits.held_out.facts(False)]
        detector.look_within(*images.reading.learnt(facts).shown(images.size))
    return detector
