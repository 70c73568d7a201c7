"""Generators of a training's own: the numbers of torch's, without touching it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unblot.training.draws import own_draws, seed_draws


def network() -> Tensor:
    made = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(4, 4), nn.ConvTranspose2d(8, 3, 2))
    nn.init.trunc_normal_(next(iter(made[1].parameters())))
    return torch.cat([p.detach().flatten() for p in made.parameters()])


X = torch.linspace(-1, 1, 240).view(2, 5, 4, 6)
DRAWS: dict[str, Callable[[], Tensor]] = {
    "rand": lambda: torch.rand(3, 4),
    "randn": lambda: torch.randn(5, dtype=torch.float64),
    "randint": lambda: torch.randint(100, (7,)),
    "randint from": lambda: torch.randint(2, 9, (7,)),
    "randperm": lambda: torch.randperm(9),
    "rand_like": lambda: torch.rand_like(X),
    "randn_like": lambda: torch.randn_like(X),
    "normal": lambda: torch.normal(0.0, X.abs()),
    "normal of numbers": lambda: torch.normal(0.0, 1.0, (4,)),
    "bernoulli": lambda: torch.bernoulli(X.abs()),
    "multinomial": lambda: torch.multinomial(torch.ones(9), 4),
    "poisson": lambda: torch.poisson(X.abs() * 5),
    "in place": lambda: torch.cat([X.clone().normal_(), X.clone().uniform_(-1, 2), X.clone().exponential_()]),
    "dropout": lambda: F.dropout(X, 0.3),
    "dropout2d": lambda: nn.Dropout2d(0.4)(X),
    "dropout of all": lambda: F.dropout(X, 1.0),
    "network": network,
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_seed_gives_torchs_numbers_and_leaves_torch_alone(name: str) -> None:
    draw = DRAWS[name]
    torch.manual_seed(5)
    wanted = [draw(), draw()]
    torch.manual_seed(11)
    untouched = torch.rand(3)
    torch.manual_seed(11)
    with own_draws():
        seed_draws(5)
        found = [draw(), draw()]
    assert all(torch.equal(one, other) for one, other in zip(wanted, found, strict=True))
    assert torch.equal(torch.rand(3), untouched)


def test_dropout_passes_gradients_and_rests_in_eval_mode() -> None:
    with own_draws():
        seed_draws(0)
        x = X.clone().requires_grad_()
        out = F.dropout(x, 0.5)
        out.sum().backward()
        assert x.grad is not None
        assert set(x.grad.unique().tolist()) == {0.0, 2.0}
        assert torch.equal(nn.Dropout(0.5).eval()(X), X)


def test_threads_do_not_draw_from_each_other() -> None:
    def run(seed: int) -> list[float]:
        with own_draws():
            seed_draws(seed)
            return [torch.rand(()).item() for _ in range(300)]

    alone = [run(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(4))) == alone


def test_an_inner_one_is_its_outer_one() -> None:
    with own_draws():
        seed_draws(1)
        first = torch.rand(2)
        seed_draws(1)
        with own_draws():
            assert torch.equal(torch.rand(2), first)


def test_a_network_without_memory_is_built_and_draws_nothing() -> None:
    """Whether a process knows an architecture already must not change what its training draws next."""
    with own_draws():
        seed_draws(1)
        wanted = torch.rand(2)
        seed_draws(1)
        with torch.device("meta"):
            made = network()
            assert torch.rand_like(made).device.type == made.device.type == "meta"
        assert torch.equal(torch.rand(2), wanted)
