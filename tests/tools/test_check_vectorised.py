"""The check of the built library, on small listings in objdump's form."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

from tools.check_vectorised import complaints, functions

POLYNOMIALS = ["vfmadd231ps %zmm1,%zmm2,%zmm3"]
GAUSSIAN = [*POLYNOMIALS * 20, "vsqrtps %zmm1,%zmm1"]
LAPLACE = POLYNOMIALS * 12
PHILOX = ["vpmuludq %zmm1,%zmm2,%zmm3"] * 150
SCALAR_ROUND = ["imul %rax,%rbx", "imul %rax,%rcx", "shr $0x20,%rbx", "shr $0x20,%rcx", *["xor %rax,%rbx"] * 4]
JUMP = ["jne 9999"]


def _listing(code: Iterable[str], *, store: bool = True) -> list[str]:
    """A function with this code, then a short loop that rounds and stores."""
    lines = ["0000000000000000 <pulp::x86::v4::V4::vectorize::imp_fastcall>:"]
    addresses = count(0x10, 4)
    lines += [f"  {address:x}:\t{text}" for address, text in zip(addresses, code, strict=False)]
    if store:
        start = next(addresses)
        lines += [f"  {start:x}:\tvfmadd213ps %zmm1,%zmm2,%zmm3", f"  {start + 4:x}:\tjne {start:x} <somewhere>"]
    return lines


def _complaints(code: Iterable[str], *, store: bool = True) -> list[str]:
    (_, _), (_, body) = functions(_listing(code, store=store))
    return complaints(body, "zmm", 16)


GOOD = [*PHILOX, *JUMP, *GAUSSIAN, *JUMP, *LAPLACE, *JUMP]


def test_vector_code_passes() -> None:
    assert _complaints(GOOD) == []
    assert _complaints([*GOOD, *SCALAR_ROUND, *JUMP]) == []  # what all blocks of a stream share


def test_each_loss_is_named() -> None:
    cases = {
        "Philox: 0 packed": [line for line in GOOD if "vpmuludq" not in line],
        "Philox: 1 rounds on scalars": [*GOOD, *SCALAR_ROUND * 2, *JUMP],
        "Gaussian noise": [line for line in GOOD if "vsqrtps" not in line],
        "Laplace noise": [*PHILOX, *JUMP, *GAUSSIAN, *JUMP],
    }
    for start, code in cases.items():
        found = _complaints(code)
        assert len(found) == 1 and found[0].startswith(start), (start, found)
    found = _complaints(GOOD, store=False)
    assert len(found) == 1 and found[0].startswith("rounding and storing")


def test_narrower_registers_do_not_count() -> None:
    assert len(_complaints([line.replace("zmm", "ymm") for line in GOOD])) == 3


def test_scalar_polynomials_need_packed_ones_beside_them() -> None:
    twin = [line.replace("ps", "ss").replace("zmm", "xmm") for line in GAUSSIAN]
    assert _complaints([*GOOD, *twin, *JUMP]) == []
    found = _complaints([*GOOD, *[*twin, *JUMP] * 2])
    assert [text.split(" at ")[0] for text in found] == [
        "40 scalar multiply-adds for 32 packed ones in polynomials,",
        "2 scalar square roots for 1 packed ones in polynomials,",
    ]
