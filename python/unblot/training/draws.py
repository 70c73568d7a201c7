"""Random numbers of a training come from generators of its own, not from torch's global one.

Networks initialise themselves, drop features and draw noise with ``torch.rand`` and its kin, which take the generator
that the whole process shares: trainings in several threads would draw from each other, and from the caller. Within
:func:`own_draws` these calls get generators that belong to the running thread, one for each device, by torch's own
means of looking at calls (``TorchFunctionMode``, which is per thread). A seed gives the same numbers as
``torch.manual_seed`` would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn import init
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack

__all__ = ["own_draws", "seed_draws"]

# Calls that take ``generator=``: makers of new tensors, and those that fill a tensor or draw by one.
_MAKERS = {torch.rand, torch.randn, torch.randint, torch.randperm}
_BY_TENSOR = {torch.normal, torch.bernoulli, torch.multinomial, torch.poisson, torch.binomial, Tensor.bernoulli}
_BY_TENSOR |= {Tensor.multinomial, Tensor.normal_, Tensor.uniform_, Tensor.bernoulli_, Tensor.exponential_}
_BY_TENSOR |= {Tensor.random_, Tensor.cauchy_, Tensor.geometric_, Tensor.log_normal_}
_BY_TENSOR |= {init.uniform_, init.normal_, init.trunc_normal_, init.kaiming_uniform_, init.kaiming_normal_}
_BY_TENSOR |= {init.xavier_uniform_, init.xavier_normal_, init.orthogonal_, init.sparse_}
_LIKE = {torch.rand_like: torch.rand, torch.randn_like: torch.randn}


class _Draws(TorchFunctionMode):
    """Gives random calls the generators of one training."""

    def __init__(self) -> None:
        super().__init__()
        self.seed = 0
        self._generators: dict[torch.device, torch.Generator] = {}

    def reseed(self, seed: int) -> None:
        self.seed = seed
        self._generators.clear()

    def generator(self, device: Any) -> torch.Generator | None:
        """That of a device; None where tensors have no memory, so that nothing is drawn."""
        device = torch.device(device)
        if device.type == "meta":
            return None
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self.seed)
        return self._generators[device]

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _BY_TENSOR or func in _MAKERS:
            if kwargs.get("generator") is None:
                given = next((x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)), None)
                device = kwargs.get("device") or (torch.get_default_device() if given is None else given.device)
                kwargs = {**kwargs, "generator": self.generator(device)}
        elif func in _LIKE:
            like = args[0]
            options = {"dtype": like.dtype, "device": like.device} | kwargs
            options.pop("memory_format", None)
            return _LIKE[func](like.shape, generator=self.generator(options["device"]), **options)
        elif func in _DROPOUTS:
            return self._dropout(func, *args, **kwargs)
        return func(*args, **kwargs)

    def _dropout(
        self, func: Callable[..., Any], images: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Tensor:
        """As torch computes it on a CPU, to the same bits."""
        if not training or p == 0:
            return func(images, p, training, inplace)  # type: ignore[no-any-return]
        shape = _DROPOUTS[func](images)
        kept = torch.empty(shape, dtype=images.dtype, device=images.device)
        kept.bernoulli_(1 - p, generator=self.generator(images.device))
        kept = kept.div_(1 - p) if p < 1 else kept
        return images.mul_(kept) if inplace else images * kept


def _maps(images: Tensor) -> tuple[int, ...]:
    """Shape of what is kept where whole feature maps are dropped."""
    return (*images.shape[:2], *(1 for _ in images.shape[2:]))


_DROPOUTS: dict[Callable[..., Any], Callable[[Tensor], tuple[int, ...]]] = {
    F.dropout: lambda images: tuple(images.shape),
    F.dropout1d: _maps,
    F.dropout2d: _maps,
    F.dropout3d: _maps,
}


def _running() -> _Draws | None:
    modes = _get_current_function_mode_stack()  # type: ignore[no-untyped-call]
    return next((mode for mode in reversed(modes) if isinstance(mode, _Draws)), None)


@contextmanager
def own_draws() -> Iterator[None]:
    """Within it the running thread draws from generators of its own; an inner one is its outer one."""
    if _running() is not None:
        yield
        return
    with _Draws():
        yield


def seed_draws(seed: int) -> None:
    """Seed the generators of :func:`own_draws`; outside of it, torch's global ones."""
    draws = _running()
    if draws is None:
        torch.manual_seed(seed)
    else:
        draws.reseed(seed)
