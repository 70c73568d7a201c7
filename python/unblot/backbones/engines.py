"""Engines that run a frozen network on a CPU faster than torch does.

torch is the reference: an engine is tried on an example, and one that does not give the same, or fails, is not used.
OpenVINO takes about half of torch's time for EfficientNet-Lite0 in float32 (``python -m benches.default``).
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Engine", "alike", "openvino_engine"]

logger = logging.getLogger("unblot.detectors")

TOLERANCE = 1e-3  # of the largest value; rounding makes about 1e-5

Engine = Callable[..., "Callable[..., list[Tensor]] | None"]
"""Takes a network in eval mode and an example of each of its inputs; gives what runs it, None where it cannot."""


def alike(found: Tensor | Sequence[Tensor], expected: Tensor | Sequence[Tensor]) -> bool:
    """Whether a faster way through a network gives what the network gives, but for rounding.

    Example:
        >>> alike(torch.tensor([1.0, 2.0]), [torch.tensor([1.0, 2.0001])]), alike(torch.zeros(2), torch.zeros(3))
        (True, False)
    """
    one, other = ([given] if isinstance(given, Tensor) else list(given) for given in (found, expected))
    return len(one) == len(other) and all(
        a.shape == b.shape and bool((a - b).abs().max() <= TOLERANCE * b.abs().max())
        for a, b in zip(one, other, strict=True)
    )


def openvino_engine() -> Engine | None:
    """The engine of OpenVINO, or None where it is not installed."""
    return _compiled if find_spec("openvino") is not None else None


def _compiled(network: nn.Module, *example: Tensor) -> Callable[..., list[Tensor]] | None:
    """The network in OpenVINO, for float32 images of the example's height and width, on as many threads as torch."""
    try:
        run = _convert(network, *example)
        given, expected = run(*example), network(*example)
    except Exception as error:  # what a converter raises is its own
        logger.info("OpenVINO does not take %s (%s); torch runs it", type(network).__name__, error)
        return None
    if not alike(given, expected):
        logger.info("OpenVINO gives other values for %s; torch runs it", type(network).__name__)
        return None
    return run


def _convert(network: nn.Module, *example: Tensor) -> Callable[..., list[Tensor]]:
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, and OpenVINO still reads it best
        traced = torch.jit.freeze(
            torch.jit.trace(network, example, check_trace=False)  # type: ignore[no-untyped-call]
        )
    # Not openvino.convert_model, which reports its use over the network.
    front = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchScriptPythonDecoder(traced)  # must live until the model is converted
    model = front.convert(front.load(decoder))
    model.reshape({number: [-1, *given.shape[1:]] for number, given in enumerate(example)})
    settings = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.Core().compile_model(model, "CPU", settings)

    def run(*images: Tensor) -> list[Tensor]:
        found: Sequence[Any] = compiled([given.float().contiguous().numpy() for given in images]).to_tuple()
        return [torch.from_numpy(each.copy()) for each in found]

    return run
