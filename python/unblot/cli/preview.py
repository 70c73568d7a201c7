"""``unblot preview``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unblot.cli import flags, output, places, settings
from unblot.cli.program import app

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from unblot.data import DataConfig

__all__ = ["preview"]


@app.command()
def preview(
    data: flags.Data = None,
    *,
    config: flags.Config = None,
    corruption: flags.Corruption = None,
    out: Annotated[Path, typer.Option(help="PNG file to write.")] = Path("preview.png"),
    number: Annotated[int, typer.Option("--count", help="Number of images.", min=1, max=50)] = 4,
    seed: Annotated[int, typer.Option(help="Chooses the images and draws the corruption.", min=0)] = 0,
    root: flags.Root = None,
    normal: flags.Normal = None,
    abnormal: flags.Abnormal = None,
    fit: flags.Fit = None,
    tile: flags.Tile = None,
    overlap: flags.Overlap = None,
    size: flags.OwnSize = None,
    channels: flags.Channels = None,
    json_: flags.Json = False,
) -> None:
    """Show what a corruption does to normal images of DATA: a PNG with each image beside five corrupted ones."""
    given = settings.given(locals())
    from unblot.data.own import mark
    from unblot.files import replacing
    from unblot.report.sheet import contact_sheet

    places.check_file(out, places.is_own_picture, "a preview")
    spec = settings.corruption(given.get("corruption", "mixed"))
    sheet = contact_sheet(_some_images(settings.data_config(given), number, seed), spec, seed=seed)
    output.make_folder(out.parent)
    with replacing(out) as temporary:
        sheet.save(temporary, format="PNG", pnginfo=mark("preview"))
    voice = output.Voice(json_)
    voice.say(f"corruption  {spec or 'none'}\npreview     {out}")
    voice.line(file=str(out), corruption=None if spec is None else spec.to_dict())


def _some_images(config: DataConfig, wanted: int, seed: int) -> NDArray[np.uint8]:
    """Normal images drawn by ``seed``, or the middle tile of each, shape (N, C, size, size); no others are read."""
    import numpy as np

    from unblot.data import find_images, find_reading, native_size, usual_side
    from unblot.data.pixels import decode, probe, whole

    found = find_images(config)
    size = config.size or native_size(usual_side(found, config.fit))
    normals = [source for source in found.pool if source.item.label == 0]
    drawn = np.random.default_rng(seed).permutation(len(normals))[:wanted]
    sources = [normals[i] for i in sorted(drawn.tolist())]
    channels = config.channels or (1 if all(probe(source.image)[0] for source in sources) else 3)
    reading = find_reading(sources, config, progress=False)
    if (tiling := reading.tiling) is None:
        return np.stack([decode(s.image, channels=channels, size=size, reading=reading) for s in sources])
    frames = [whole(source.image, channels=channels, reading=reading) for source in sources]
    boxes = [tiling.grid(frame.shape[1], frame.shape[0]).boxes for frame in frames]
    middle = (each[len(each) // 2] for each in boxes)
    return np.stack([tiling.cut(frame, box, size) for frame, box in zip(frames, middle, strict=True)])
