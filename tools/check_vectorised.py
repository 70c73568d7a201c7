"""Are the hot loops of the core vector code? Looks into the built library: ``python tools/check_vectorised.py FILE``.

The noise loops are plain loops over lanes that the compiler turns into vector instructions where they are inlined into
one of pulp's dispatched functions (``V3``: AVX2, ``V4``: AVX-512). A new compiler or an innocent change may undo that
without any test of values noticing. So each dispatched function that fills boxes (the largest ones, one for each pixel
type and level) is disassembled and must have, in registers as wide as its level:

- Philox: enough packed multiplications, and no straight piece of code that computes a round on scalars;
- Gaussian noise: a piece of code with a packed square root and the polynomials of logarithm, cosine and sine;
- Laplace noise: a piece of code with the polynomial of the logarithm;
- rounding and storing: a short loop with packed multiply-adds.

Polynomials on scalars are allowed only beside at least as many packed ones: where the compiler cannot tell that two
buffers are apart, it asks at run time and keeps a scalar twin of the loop that is never run.

Needs objdump (binutils) and a library that still has its symbols (``cargo build --release -p unblot-python``). Where
there is nothing to look at (another processor, no objdump) it says so and ends with 0; with findings it ends with 1.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

# Names of the dispatched functions, demangled or not, and their registers: name in the assembly and 32-bit lanes.
LEVELS = {"avx2": (r"V3(::|9)vectorize", "ymm", 8), "avx512": (r"V4(::|9)vectorize", "zmm", 16)}
PIXEL_TYPES = 4
# Words are drawn for Gaussian, Laplace, salt and pepper, and Poisson noise at the least. A block takes two products in
# each of at least seven rounds; in the first two, one of them is the same for all lanes.
PHILOX_LOOPS, PHILOX_PRODUCTS = 4, 2 * 7 - 3
# Multiply-adds of the logarithm at the least; with a square root, of logarithm, cosine and sine.
LOGARITHM, GAUSSIAN = 8, 14
# A function without at least as many instructions fills no boxes.
SMALL = 2000


class Instruction(NamedTuple):
    """A line of the disassembly."""

    address: int
    name: str
    operands: str


class Piece(NamedTuple):
    """Straight code between jumps, and what counts in it.

    Attributes:
        start, end: addresses of its first and last instruction.
        counts: instructions by kind: "fma", "sqrt" and "mul" in vector registers of the level, the same with " scalar",
            and "xor" and "shift" on scalars.
    """

    start: int
    end: int
    counts: Counter[str]


def functions(listing: Iterable[str]) -> Iterator[tuple[str, list[Instruction]]]:
    """Name and instructions of each function in what objdump prints."""
    name, body = "", list[Instruction]()
    for line in listing:
        if head := re.match(r"[0-9a-f]+ <(.*)>:$", line):
            yield name, body
            name, body = head[1], []
        elif code := re.match(r"\s+([0-9a-f]+):\s+(?:\w+ (?=v))?(\S+)\s*(.*)$", line):
            body.append(Instruction(int(code[1], 16), code[2], code[3]))
    yield name, body


def _kind(instruction: Instruction, register: str) -> str | None:
    """What an instruction counts as; None where it does not matter."""
    _, name, operands = instruction
    packed = register in operands
    if re.match(r"vfn?m(add|sub)\d+ps$", name) and packed:
        return "fma"
    if name == "vsqrtps" and packed:
        return "sqrt"
    if name in ("vpmuludq", "vpmullq") and packed:
        return "mul"
    if re.match(r"vfn?m(add|sub)\d+ss$", name):
        return "fma scalar"
    if re.match(r"v?sqrtss$", name):
        return "sqrt scalar"
    if re.match(r"(i?mul|mulx)[lq]?$", name):
        return "mul scalar"
    if re.match(r"xor[lq]?$", name):
        return "xor"
    return "shift" if re.match(r"(shr|rorx|shrx)[lq]?$", name) else None


def pieces(body: list[Instruction], register: str) -> Iterator[Piece]:
    """Cut a function where it jumps and where jumps lead to."""
    targets = {target for _, target in jumps(body)}
    start, counts = body[0].address, Counter[str]()
    for instruction, following in pairwise([*body, None]):
        assert instruction is not None
        if kind := _kind(instruction, register):
            counts[kind] += 1
        if following is None or instruction.name.startswith("j") or following.address in targets:
            yield Piece(start, instruction.address, counts)
            if following is not None:
                start, counts = following.address, Counter()


def jumps(body: list[Instruction]) -> Iterator[tuple[int, int]]:
    """Source and target of each jump with a fixed target."""
    for address, name, operands in body:
        if name.startswith("j") and (target := re.match(r"[0-9a-f]+", operands)):
            yield address, int(target[0], 16)


def _is_scalar_round(counts: Counter[str]) -> bool:
    """Whether a piece of code computes rounds of Philox, each two products, four exclusive ors and two high halves. Two
    products on scalars are allowed: what all blocks of a stream share.
    """
    return counts["mul scalar"] >= 4 and counts["xor"] >= 4 and counts["shift"] >= 2


def complaints(body: list[Instruction], register: str, lanes: int) -> list[str]:
    """What is wrong with a function that fills boxes."""
    found = []
    parts = list(pieces(body, register))
    steps = 16 // lanes  # instructions of this level that make 16 lanes

    products = sum(part.counts["mul"] for part in parts)
    least = PHILOX_LOOPS * PHILOX_PRODUCTS * 2  # eight blocks in two registers of AVX2, sixteen in two of AVX-512
    if products < least:
        found.append(f"Philox: {products} packed multiplications in {register} registers, at least {least} are wanted")
    rounds = [part for part in parts if _is_scalar_round(part.counts)]
    if rounds:
        found.append(f"Philox: {len(rounds)} rounds on scalars, the first at {rounds[0].start:#x}")

    polynomials = [part for part in parts if part.counts["fma"] >= LOGARITHM]
    if not any(part.counts["sqrt"] and part.counts["fma"] >= GAUSSIAN * steps for part in polynomials):
        found.append(f"Gaussian noise: no packed square root among packed polynomials in {register} registers")
    if not any(not part.counts["sqrt"] for part in polynomials):
        found.append(f"Laplace noise: no packed polynomial in {register} registers")
    scalar = [part for part in parts if part.counts["fma scalar"] >= LOGARITHM]
    for name, what in (("fma", "multiply-adds"), ("sqrt", "square roots")):
        packed_steps = sum(part.counts[name] for part in polynomials) / steps
        scalar_steps = sum(part.counts[f"{name} scalar"] for part in scalar)
        if scalar_steps > packed_steps:
            places = ", ".join(f"{part.start:#x}" for part in scalar)
            found.append(f"{scalar_steps} scalar {what} for {packed_steps:g} packed ones in polynomials, at {places}")

    loops = {(target, source) for source, target in jumps(body) if target <= source}
    stores = [part for part in parts if 1 <= part.counts["fma"] < LOGARITHM and (part.start, part.end) in loops]
    if not stores:
        found.append(f"rounding and storing: no short loop with packed multiply-adds in {register} registers")
    return found


def main(library: Path) -> int:
    """Check a library and say what was found."""
    objdump = shutil.which("objdump")
    if objdump is None:
        print("vectorisation not checked: objdump (binutils) is not installed")
        return 0
    header = subprocess.run([objdump, "-f", str(library)], capture_output=True, text=True, check=False).stdout
    if "x86-64" not in header:
        print(f"vectorisation not checked: {library} is no library for x86-64")
        return 0
    command = [objdump, "-d", "-C", "--no-show-raw-insn", str(library)]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    code = [(name, body) for name, body in functions(listing.splitlines()) if len(body) >= SMALL]
    failed = False
    for level, (pattern, register, lanes) in LEVELS.items():
        bodies = sorted((body for name, body in code if re.search(pattern, name)), key=len)[-PIXEL_TYPES:]
        if len(bodies) < PIXEL_TYPES:
            print(f"{level}: {len(bodies)} functions that fill boxes, but there are {PIXEL_TYPES} pixel types;")
            print(f"  either nothing is dispatched to {level} any more, or {library} is stripped of its symbols")
            failed = True
        for body in bodies:
            found = complaints(body, register, lanes)
            verdict = "FAILS" if found else "vectorised"
            print(f"{level}: function at {body[0].address:#x}, {len(body)} instructions: {verdict}")
            for complaint in found:
                print(f"  {complaint}")
            failed |= bool(found)
    return int(failed)


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
        sys.exit("give the built library to look at, for example target/release/lib_core.so")
    sys.exit(main(Path(sys.argv[1])))
