import pytest
import torch

from unblot.detectors import to_signed, to_uint8


def test_every_byte_survives_the_round_trip() -> None:
    every = torch.arange(256, dtype=torch.uint8)
    signed = to_signed(every)
    assert signed.dtype == torch.float32
    assert signed[0] == -1 and signed[-1] == 1
    assert torch.equal(to_uint8(signed), every)


def test_values_outside_the_range_are_clipped() -> None:
    assert to_uint8(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]


def test_values_that_were_scaled_already_are_refused() -> None:
    with pytest.raises(TypeError, match=r"uint8.*float32"):
        to_signed(torch.zeros(1))
    with pytest.raises(TypeError, match=r"floating point.*uint8"):
        to_uint8(torch.zeros(1, dtype=torch.uint8))
