"""Training speed beside the original: ``python -m benches.training``.

``ganomaly`` at 32 px, RGB, batches of 64, on two threads: images per second of an epoch of our loop, feed and
corruption included, beside the step of the authors' public code. They are measured in turn, A B C A B C, so that what
slows the machine slows all of them; the ratio is the median over the turns.

The original is written anew here from what its public code does (samet-akcay/ganomaly, ``lib/model.py`` and
``lib/networks.py`` as of its last change, read for the work that they do):

- the generator runs once; the discriminator runs four times on each batch: over real and restored images for its own
  loss, and once more over both for the generator's, although nothing has changed in between;
- the generator's backward pass goes through both of these into the discriminator's weights, whose gradients are
  then thrown away, and keeps the graph;
- Adam as it comes, float32, images in NCHW, sigmoid and BCE, a code of 100 through convolutions of 4×4 on 4×4;
- the loss is read (``.item()``) in every step, to see whether the discriminator must be set back.

Its images lie ready in memory, so it waits for no loader, and nothing is corrupted, drawn or logged: all of that is
given to it for free.

``--profile nested`` shows instead where the time of an epoch of our loop goes, for any detector: in which operators of
torch, and how much is left outside of them, which is Python, the feed and the corruption.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from tqdm import tqdm

from unblot.corruption.spec import BoxNoise
from unblot.data import DataConfig, load_data
from unblot.detectors import create
from unblot.layers.blocks import dcgan_init
from unblot.training import TrainConfig
from unblot.training.config import PRECISIONS
from unblot.training.engine import make_fabric, set_modes, set_up
from unblot.training.feed import Feed
from unblot.training.loop import _epoch

BATCH = 64
SIZE = 32

#: Trains on some images and says on how many.
Work = Callable[[], int]


class Original:
    """The public code's step for ganomaly at 32 px, RGB, in our own words."""

    def __init__(self, steps: int) -> None:
        torch.manual_seed(0)
        self.steps = steps
        self.encoder, self.second = _encoder(100), _encoder(100)
        self.decoder = nn.Sequential(
            *_rising(100, 256, stride=1),
            *_rising(256, 128),
            *_rising(128, 64),
            nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False),
            nn.Tanh(),
        )
        self.features, self.classifier = _falling(), nn.Sequential(nn.Conv2d(256, 1, 4, bias=False), nn.Sigmoid())
        self.generator = nn.ModuleList([self.encoder, self.decoder, self.second]).apply(dcgan_init)
        self.discriminator = nn.ModuleList([self.features, self.classifier]).apply(dcgan_init)
        self.adam_g = torch.optim.Adam(self.generator.parameters(), 2e-4, betas=(0.5, 0.999))
        self.adam_d = torch.optim.Adam(self.discriminator.parameters(), 2e-4, betas=(0.5, 0.999))
        self.images = torch.rand(BATCH, 3, SIZE, SIZE) * 2 - 1
        self.real, self.fake = torch.ones(BATCH), torch.zeros(BATCH)

    def __call__(self) -> int:
        for _ in range(self.steps):
            self.step()
        return self.steps * BATCH

    def step(self) -> None:
        """One batch."""
        x = self.images
        z = self.encoder(x)
        restored = self.decoder(z)
        z_restored = self.second(restored)
        on_real, on_fake = self.judge(x)[0], self.judge(restored.detach())[0]

        self.adam_g.zero_grad()
        adversarial = F.mse_loss(self.judge(x)[1], self.judge(restored)[1])
        loss = adversarial + 50 * F.l1_loss(restored, x) + F.mse_loss(z_restored, z)
        torch.autograd.backward(loss, retain_graph=True)
        self.adam_g.step()

        self.adam_d.zero_grad()
        loss = 0.5 * (F.binary_cross_entropy(on_real, self.real) + F.binary_cross_entropy(on_fake, self.fake))
        torch.autograd.backward(loss)
        self.adam_d.step()
        loss.item()

    def judge(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities of "real", shape (N,), and features."""
        features = self.features(images)
        return self.classifier(features).flatten(), features


def _falling() -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
    for a, b in ((64, 128), (128, 256)):
        layers += [nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(*layers)


def _encoder(latent: int) -> nn.Sequential:
    return nn.Sequential(*_falling(), nn.Conv2d(256, latent, 4, bias=False))


def _rising(a: int, b: int, stride: int = 2) -> list[nn.Module]:
    up = nn.ConvTranspose2d(a, b, 4, stride, padding=stride // 2, bias=False)
    return [up, nn.BatchNorm2d(b), nn.ReLU(inplace=True)]


class Ours:
    """Epochs of :func:`unblot.train` for any detector, on digits in three channels, box noise included."""

    def __init__(self, steps: int, model: str, precision: str) -> None:
        data = DataConfig("digits", size=SIZE, channels=3, limit=steps * BATCH)
        config = TrainConfig(model, precision=precision, batch_size=BATCH, device="cpu")
        self.fabric = make_fabric(config)
        self.detector = create(model, channels=3, size=SIZE)
        (phase,) = self.detector.phases(config.lr)
        self.phase = replace(phase, optimizers=set_up(self.fabric, phase.optimizers))
        self.feed = Feed(
            load_data(data).train,
            BoxNoise(),
            batch_size=BATCH,
            seed=0,
            workers=0,
            device=torch.device("cpu"),
            smallest=2,
        )
        self.epoch = 0
        set_modes(self.detector, self.phase)

    def __call__(self) -> int:
        with tqdm(disable=True) as bar:
            _epoch(self.fabric, self.detector, self.phase, self.feed.epoch(self.epoch), bar)
        self.epoch += 1
        return self.feed.images


class Line(NamedTuple):
    """What was measured of one way.

    Attributes:
        name: in words.
        rate: images per second, the median over the turns.
        times: how many times as fast as the first way, of which the median, the least and the most over the turns.
    """

    name: str
    rate: float
    times: tuple[float, float, float]


def measure(ways: dict[str, Work], turns: int) -> Iterator[Line]:
    """Run all ways in turn, after one turn that does not count; the first is what the others are compared with."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns + 1):
        for name, work in ways.items():
            start = time.perf_counter()
            images = work()
            if turn:
                rates[name].append(images / (time.perf_counter() - start))
    first = next(iter(rates.values()))
    for name, mine in rates.items():
        times = [a / b for a, b in zip(mine, first, strict=True)]
        yield Line(name, statistics.median(mine), (statistics.median(times), min(times), max(times)))


# What operators of torch belong together; the first that fits counts.
_PARTS = {
    "convolutions": ("conv",),
    "normalisation": ("norm",),
    "optimizers": ("adam", "zero_grad"),
    "everything else in torch": ("",),
}


def shares(model: str, steps: int) -> dict[str, float]:
    """Share of an epoch's time by what it is spent on; the first epoch does not count. They add up to 1.

    In one thread, since operators that run side by side would count twice.
    """
    ours = Ours(steps, model, "fp32")
    ours()
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        start = time.perf_counter()
        ours()
        whole = (time.perf_counter() - start) * 1e6
    times = dict.fromkeys(_PARTS, 0.0)
    for event in seen.key_averages():
        # The loop's own marks, such as "Optimizer.step#Adam.step", hold Python; operators stand in namespaces.
        if "::" in event.key:
            part = next(name for name, words in _PARTS.items() if any(word in event.key.lower() for word in words))
            times[part] += event.self_cpu_time_total
    return {name: value / whole for name, value in times.items()} | {
        "outside of torch": 1 - sum(times.values()) / whole
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=10, help="how often each way is measured")
    parser.add_argument("--steps", type=int, default=4, help="batches of 64 in one turn")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    parser.add_argument(
        "--precisions",
        nargs="+",
        choices=PRECISIONS,
        default=list(PRECISIONS),
        help="of our side; without AVX-512, bf16 takes minutes a turn",
    )
    parser.add_argument("--profile", metavar="MODEL", help="show where the time of this detector goes, and no ratios")
    args = parser.parse_args(argv)
    if args.profile:
        torch.set_num_threads(1)
        print(f"{args.profile}, {SIZE} px, RGB, batch {BATCH}, fp32, one thread, torch {torch.__version__}\n")
        print("| part | share of the time |\n|---|---|")
        for name, share in shares(args.profile, args.steps).items():
            print(f"| {name} | {share:.1%} |")
        return
    torch.set_num_threads(args.threads)
    ways: dict[str, Work] = {"the original's step, fp32": Original(args.steps)}
    ways |= {f"ganomaly, {name}": Ours(args.steps, "ganomaly", name) for name in args.precisions}
    print(
        f"{SIZE} px, RGB, batch {BATCH}, {args.threads} threads of {os.cpu_count()} cores, torch {torch.__version__}\n"
    )
    print("| way | images/s | times the original (least to most of the turns) |")
    print("|---|---|---|")
    for line in measure(ways, args.turns):
        print("| {} | {:.0f} | {:.2f} ({:.2f} to {:.2f}) |".format(line.name, line.rate, *line.times))


if __name__ == "__main__":
    main()
