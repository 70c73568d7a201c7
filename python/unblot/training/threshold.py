"""After training: a detector settles on held-out normals, and the threshold is taken from images that it never saw.

Those are the held-out images, each scored as if the detector had not been calibrated on its group; and, where one
can tell how it would score a training image had it not been trained on that image's group, training images, too. A
memory can: it leaves out what it remembers of the group. So the threshold rests on hundreds of images of many groups
where tens of few are held out (cross-conformal prediction: Vovk, arXiv 1208.0806; jackknife+: Barber et al., arXiv
1905.02928).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch.utils.data import DataLoader

from unblot.calibration import Calibration, calibrate, fewest
from unblot.data import Splits
from unblot.data.tileset import TileSet
from unblot.detectors import Detector, LeaveGroupOut, to_signed
from unblot.evaluation import score_batches
from unblot.evaluation.maps import MapRange
from unblot.files import write_json
from unblot.training.config import TrainConfig
from unblot.training.engine import share
from unblot.training.feed import Anew
from unblot.training.monitor import Log
from unblot.training.run_files import CALIBRATION, add_provenance
from unblot.training.validator import SyntheticValidator
from unblot.training.whole_frames import of_frames

__all__ = ["settle"]


def settle(
    fabric: Fabric,
    detector: Detector,
    config: TrainConfig,
    splits: Splits,
    judge: SyntheticValidator | None,
    out: Path,
    log: Log | None,
    *,
    chosen: bool,
) -> None:
    """Let a trained detector weigh its parts on held-out normal images, then take the threshold; both are kept in the
    run directory.

    Args:
        fabric: of the training.
        detector: trained; is put into eval mode.
        config: of the training.
        splits: of the training; only normal images are looked at.
        judge: makes defects that no part was trained on; None where there is none.
        out: the run directory. Of several processes the first calibrates for all and writes.
        log: None in all processes but the one that writes.
        chosen: whether weights were chosen on the held-out images.
    """
    held_out = splits.held_out.inputs
    detector.eval()
    left_out: LeaveGroupOut | None = None
    if fabric.is_global_zero:
        with torch.no_grad():
            loader = DataLoader(held_out, batch_size=config.batch_size) if len(held_out) else ()
            normal = Anew(lambda: (to_signed(sample["image"].to(fabric.device)) for sample in loader))
            blotted = Anew(partial(judge.blotted, fabric.device)) if judge else ()
            left_out = detector.calibrate(normal, blotted, torch.from_numpy(held_out.groups))
    share(fabric, detector)
    scores, maps = np.zeros(len(held_out)), MapRange()
    for batch in score_batches(
        detector, held_out, batch_size=config.batch_size, device=fabric.device, progress=False, fabric=fabric
    ):
        scores[batch.index] = batch.image
        maps.add(batch.maps)
    promise = "chosen" if chosen else "split" if left_out is None else "cross"
    if left_out is None:
        left_out = LeaveGroupOut(torch.from_numpy(scores))
    if not log:
        return
    add_provenance(out, decided=dict(detector.notes()))
    tiles = None
    if isinstance(held_out, TileSet):
        left_out, tiles = of_frames(left_out, held_out, splits.train.inputs)
    if not len(left_out.held_out) + len(left_out.training):
        log.say_once("no threshold", "no normal images are held out, so this run can rank images but judge none")
        return
    scores_of = torch.cat([left_out.held_out.cpu(), left_out.training.cpu()]).double().numpy()
    if len(scores_of) == 1 and config.threshold_by == "normal":
        log.say_once(
            "no threshold", "one left-out score has no distribution, so this run can rank images but judge none"
        )
        return
    calibration = calibrate(
        scores_of, config.quantile, left_out=len(left_out.training), promise=promise, by=config.threshold_by
    )
    calibration = replace(calibration, map_range=maps.bounds() if len(held_out) else None, tiles=tiles)
    groups = len(np.unique(held_out.groups)) + len(torch.unique(left_out.groups))
    _say_doubts(log, calibration, groups, config.quantile)
    write_json(out / CALIBRATION, calibration.to_dict())


def _say_doubts(log: Log, calibration: Calibration, groups: int, quantile: float) -> None:
    """Warn of a threshold from few images or of few groups."""
    enough, n = fewest(quantile), calibration.n
    if calibration.promise == "normal":
        log.say_once("assumed distribution", f"the threshold assumes a distribution: {calibration.promised}")
    elif n < enough:
        log.say_once(
            "few held-out images",
            f"the threshold is the highest of {n} left-out scores, above which about 1 normal image in {n + 1} lies; "
            f"the quantile {quantile:g} takes {enough} (more normal images, a larger --held-out, or --threshold-by "
            "normal, which assumes a distribution)",
        )
    elif groups < min(n, enough):
        log.say_once(
            "few groups",
            f"the {n} images that the threshold comes from are of {groups} groups, and from so few it is not known how "
            f"much the next differs: of its normal images more than {100 * (1 - quantile):.3g} % may lie above the "
            "threshold (images of more groups would tell)",
        )
