"""The code block of ``docs/scale.md``: shards through the same collate give the blots of the images in memory."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import unblot

webdataset = pytest.importorskip("webdataset")


def test_shards_give_the_blots_that_images_in_memory_get(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), np.uint8)
    for shard in range(2):
        with webdataset.TarWriter(str(tmp_path / f"{shard}.tar")) as out:
            for i in range(20 * shard, 20 * shard + 20):
                out.write({"__key__": f"{i:06d}", "png": images[i]})
    text = (Path(__file__).parents[2] / "docs" / "scale.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, object] = {"shards": [str(tmp_path / f"{shard}.tar") for shard in range(2)]}
    exec(block, names)
    seen = []
    for batch in names["loader"]:  # type: ignore[attr-defined]
        noisy = torch.as_tensor(batch["noisy"])
        keys = batch["index"].tolist()
        wanted = unblot.corrupt(images[keys], unblot.BoxNoise(), seed=0, keys=keys, layout="NHWC").images
        assert np.array_equal(np.asarray(noisy).reshape(wanted.shape), wanted)
        seen += keys
    assert seen == list(range(40))
