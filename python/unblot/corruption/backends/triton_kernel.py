"""The Triton kernel that fills boxes on a GPU: the twin of ``rust/core/src``, whose names stand beside each piece.

What makes its bits those of the core:

- every fused multiply-add of the core is a ``tl.fma``, and the launch tells the compiler to fuse nothing else
  (``enable_fp_fusion=False``);
- square roots are correctly rounded, only f64 is divided (which is IEEE), no function of a device library is called;
- a not-a-number of the image, whose bits processors treat differently, is led around the arithmetic.
"""

# Triton's dialect: capitals for what is known when it compiles, conditions on such values apart from others, no types.
# ruff: noqa: N803, PLR0124, SIM102
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

import triton
import triton.language as tl


@triton.jit
def _philox(block, stream, image_low, image_high, seed_low, seed_high):
    """The four words of blocks of Philox4x32-7 (rng::block); all uint32."""
    c0 = block
    c1 = stream
    c2 = image_low
    c3 = image_high
    k0 = seed_low
    k1 = seed_high
    for _ in tl.static_range(7):
        first = c0
        c0 = tl.umulhi(c2, 0xCD9E8D57) ^ c1 ^ k0
        c1 = c2 * 0xCD9E8D57
        c2 = tl.umulhi(first, 0xD2511F53) ^ c3 ^ k1
        c3 = first * 0xD2511F53
        k0 = k0 + 0x9E3779B9
        k1 = k1 + 0xBB67AE85
    return c0, c1, c2, c3


@triton.jit
def _words(block, stream, image_low, image_high, seed_low, seed_high, BLOCKS: tl.constexpr):
    """The words of blocks of shape (BLOCKS,) as (BLOCKS, 4)."""
    w0, w1, w2, w3 = _philox(block, stream, image_low, image_high, seed_low, seed_high)
    return tl.reshape(tl.join(tl.join(w0, w2), tl.join(w1, w3)), (BLOCKS, 4))


@triton.jit
def _minus_ln(w):
    """math::minus_ln_word."""
    u = tl.fma((w >> 1).to(tl.int32).to(tl.float32), 4.656612873077393e-10, 2.3283064365386963e-10)
    shifted = u.to(tl.int32, bitcast=True) - 0x3F3504F3
    e = (shifted >> 23).to(tl.float32)
    f = ((shifted & 0x007FFFFF) + 0x3F3504F3).to(tl.float32, bitcast=True) - 1.0
    z = f * f
    q0 = tl.fma(f, -0.2500082, 0.3333333)
    q2 = tl.fma(f, -0.16623357, 0.20001227)
    q4 = tl.fma(f, -0.13160183, 0.14201759)
    q6 = tl.fma(f, -0.07634493, 0.12761575)
    q = tl.fma(tl.fma(q6, z, q4), z * z, tl.fma(q2, z, q0))
    start = tl.fma(e, 0.6931471805599453, tl.fma(z, -0.5, f))
    return -1.0 * tl.fma(z * f, q, start)


@triton.jit
def _cos_sin(w):
    """math::cos_sin_word."""
    q = (w + 0x20000000) >> 30
    t = (w - (q << 30)).to(tl.int32, bitcast=True).to(tl.float32) * 9.313225746154785e-10
    z = t * t
    zz = z * z
    s = tl.fma(tl.fma(z, -0.0046020772, 0.079680227), zz, tl.fma(z, -0.6459635, 1.5707964)) * t
    c = tl.fma(tl.fma(tl.fma(z, 0.00090363163, -0.020860072), z, 0.2536692), zz, tl.fma(z, -1.2337005, 1.0))
    odd = (q & 1) == 1
    cos = tl.where(odd, s, c).to(tl.uint32, bitcast=True) ^ (((q + 1) & 2) << 30)
    sin = tl.where(odd, c, s).to(tl.uint32, bitcast=True) ^ ((q & 2) << 30)
    return cos.to(tl.float32, bitcast=True), sin.to(tl.float32, bitcast=True)


@triton.jit
def _exp_minus(x):
    """math::exp of -x for x in [0, 700], in float64; nothing is fused there."""
    turns = x / 0.6931471805599453
    whole = turns.to(tl.int32)
    whole = whole + (turns - whole.to(tl.float64) >= 0.5).to(tl.int32)
    r = whole.to(tl.float64) * 0.6931471805599453 - x
    s = r * 7.647163731819816e-13 + 1.1470745597729725e-11
    s = s * r + 1.6059043836821613e-10
    s = s * r + 2.08767569878681e-09
    s = s * r + 2.505210838544172e-08
    s = s * r + 2.755731922398589e-07
    s = s * r + 2.7557319223985893e-06
    s = s * r + 2.48015873015873e-05
    s = s * r + 0.0001984126984126984
    s = s * r + 0.001388888888888889
    s = s * r + 0.008333333333333333
    s = s * r + 0.041666666666666664
    s = s * r + 0.16666666666666666
    s = s * r + 0.5
    s = s * r + 1.0
    s = s * r + 1.0
    return s * ((1023 - whole).to(tl.int64) << 52).to(tl.float64, bitcast=True)


@triton.jit
def _either(a, b):
    return a | b


@triton.jit
def _small_poisson(rate, w, wanted):
    """poisson::small: P(rate) by inversion, 0 where it is not wanted."""
    u = (w.to(tl.float64) + 0.5) / 4294967296.0
    rate = tl.where(wanted, rate, 0.0)
    p = _exp_minus(rate)
    total = p
    k = p * 0.0
    going = wanted & (u > total) & (p > 0.0)
    while tl.reduce(going.to(tl.int32), None, _either) > 0:
        k = tl.where(going, k + 1.0, k)
        p = tl.where(going, p * (rate / tl.where(going, k, 1.0)), p)
        last = total
        total = tl.where(going, last + p, last)
        stalled = (total == last) & (k > rate)
        going = going & (u > total) & (p > 0.0) & (stalled == 0)
    return tl.where(wanted, k, 0.0).to(tl.float32)


@triton.jit
def _clip(v):
    """pixel::clip: into [0, 1]; not-a-number stays."""
    v = tl.where(v < 0.0, 0.0, v)
    return tl.where(v > 1.0, 1.0, v)


@triton.jit
def _decode(raw, FORMAT: tl.constexpr):
    """Pixel::decode. A quiet not-a-number keeps its sign and, but for float16, its payload."""
    if FORMAT == "uint8":
        value = raw.to(tl.float32)
    elif FORMAT == "float32":
        value = raw.to(tl.float32, bitcast=True)
    elif FORMAT == "bfloat16":
        value = (raw.to(tl.uint16, bitcast=True).to(tl.uint32) << 16).to(tl.float32, bitcast=True)
    else:
        half = raw.to(tl.uint16, bitcast=True).to(tl.uint32)
        nan = ((half & 0x8000) << 16) | 0x7FC00000
        exact = raw.to(tl.float16, bitcast=True).to(tl.float32).to(tl.uint32, bitcast=True)
        value = tl.where((half & 0x7FFF) > 0x7C00, nan, exact).to(tl.float32, bitcast=True)
    return value


@triton.jit
def _encode(x, FORMAT: tl.constexpr):
    """Pixel::encode: round to nearest, ties to even."""
    bits = x.to(tl.uint32, bitcast=True)
    if FORMAT == "uint8":
        x = tl.where(x < 0.0, 0.0, x)
        x = tl.where(x > 255.0, 255.0, x)
        raw = ((x + 12582912.0).to(tl.int32, bitcast=True) & 0xFF).to(tl.uint8)
    elif FORMAT == "float32":
        raw = bits.to(tl.int32, bitcast=True)
    elif FORMAT == "bfloat16":
        rounded = tl.where(x != x, bits | 0x00400000, bits + (((bits >> 16) & 1) + 0x7FFF))
        raw = (rounded >> 16).to(tl.uint16).to(tl.int16, bitcast=True)
    else:
        size = bits & 0x7FFFFFFF
        subnormal = (size.to(tl.float32, bitcast=True) + 0.5).to(tl.uint32, bitcast=True) - 0x3F000000
        normal = (size - 0x38000000 + (((size >> 13) & 1) + 0xFFF)) >> 13
        rounded = tl.where(size < 0x38800000, subnormal, normal)
        special = tl.where(size > 0x7F800000, 0x7E00, 0x7C00).to(tl.uint32)
        half = tl.where(size >= 0x47800000, special, rounded) | ((bits ^ size) >> 16)
        raw = half.to(tl.uint16).to(tl.int16, bitcast=True)
    return raw


@triton.jit(do_not_specialize=["first"])
def fill(
    pixels,
    records,
    floats,
    owners,
    directory,
    columns,
    steps,
    first,
    stride_n,
    stride_c,
    stride_h,
    stride_w,
    channels,
    low,
    span,
    scale,
    ROW: tl.constexpr,
    FORMAT: tl.constexpr,
    OWN: tl.constexpr,
    GRID: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    """Fill the values of one tile of one box (corrupt::Painter).

    ``records`` and ``floats`` are the same memory. OWN: the base is the image's own pixels. GRID: there are
    boxes whose Poisson rates lie on a grid and beside it. WIDE: indices need 64 bits.
    """
    tile = tl.program_id(0) + first
    at = tl.load(owners + tile) * ROW
    words = records + at
    reals = floats + at
    image = tl.load(words)
    top = tl.load(words + 1)
    left = tl.load(words + 2)
    height = tl.load(words + 3)
    width = tl.load(words + 4)
    kinds = tl.load(words + 5)
    flags = tl.load(words + 6)
    stream = tl.load(words + 7).to(tl.uint32, bitcast=True)
    tile -= tl.load(words + 8)
    image_low = tl.load(words + 9).to(tl.uint32, bitcast=True)
    image_high = tl.load(words + 10).to(tl.uint32, bitcast=True)
    seed_low = tl.load(words + 11).to(tl.uint32, bitcast=True)
    seed_high = tl.load(words + 12).to(tl.uint32, bitcast=True)

    # Value n of the box is word n / 16 % 4 of block 16 (n / 64) + n % 16.
    if WIDE:
        tile = tile.to(tl.int64)
        height = height.to(tl.int64)
    block = tile * BLOCKS + tl.arange(0, BLOCKS)
    n = ((block >> 4) * 64 + (block & 15))[:, None] + 16 * tl.arange(0, 4)[None, :]
    area = height * width
    inside = n < area * channels
    channel = n // area
    place = n - channel * area
    row = place // width
    column = place - row * width
    offset = channel * stride_c + (top + row) * stride_h + (left + column) * stride_w
    target = pixels + image.to(tl.int64) * stride_n + offset
    channel = tl.where(inside, channel, 0).to(tl.int32)
    block = block.to(tl.uint32)

    if OWN:
        own = _decode(tl.load(target, mask=inside, other=0), FORMAT)
        v = (own - low) * scale
    else:
        own = tl.load(reals + 22 + channel)
        v = own

    if (kinds & 4) != 0:
        w = _words(block, stream | 4, image_low, image_high, seed_low, seed_high, BLOCKS)
        additive = (flags & 1) != 0
        peak = tl.load(reals + 20)
        gain = tl.load(reals + 21)
        table = tl.load(words + 22 + channels + channel)
        rest_count = tl.full((BLOCKS, 4), 0.0, tl.float32)
        if GRID:
            if (flags & 4) != 0:
                rate = tl.where(additive, peak, peak * _clip(v)).to(tl.float64)
                step = tl.load(steps + tl.load(words + 15))
                node = tl.minimum(tl.where(rate == rate, rate / step, 0.0).to(tl.int32), 255)
                rest = rate - node.to(tl.float64) * step
                table += node
                rest_words = _words(block, stream | 5, image_low, image_high, seed_low, seed_high, BLOCKS)
                rest_count = _small_poisson(rest, rest_words, inside & (rest > 0.0))
        start = tl.load(directory + 2 * table)
        bits = tl.load(directory + 2 * table + 1).to(tl.uint32)
        found = columns + 3 * (start + (w >> (32 - bits)).to(tl.int32))
        threshold = tl.load(found).to(tl.uint32, bitcast=True)
        drawn = tl.where((w << bits) <= threshold, tl.load(found + 1), tl.load(found + 2))
        count = drawn.to(tl.float32) + rest_count
        v = tl.where(additive, tl.fma(count - peak, gain, v), tl.where(v != v, v, count * gain))

    if (kinds & 1) != 0:
        w0, w1, w2, w3 = _philox(block, stream | 1, image_low, image_high, seed_low, seed_high)
        radius = tl.sqrt_rn(2.0 * _minus_ln(tl.join(w0, w2)))
        cos, sin = _cos_sin(tl.join(w1, w3))
        z = tl.reshape(tl.join(radius * cos, radius * sin), (BLOCKS, 4))
        v = tl.fma(z, tl.load(reals + 17), v + tl.load(reals + 16))

    if (kinds & 8) != 0:
        w = _words(block, stream | 2, image_low, image_high, seed_low, seed_high, BLOCKS)
        signed = (_minus_ln(w).to(tl.uint32, bitcast=True) ^ (w << 31)).to(tl.float32, bitcast=True)
        v = tl.fma(signed, tl.load(reals + 19), v + tl.load(reals + 18))

    if (kinds & 2) != 0:
        if (flags & 2) != 0:
            w = _words(block, stream | 3, image_low, image_high, seed_low, seed_high, BLOCKS)
        else:
            # All channels take the words of the first, which stand elsewhere: a block for each value.
            shared = ((place >> 6) * 16 + (place & 15)).to(tl.uint32)
            w0, w1, w2, w3 = _philox(shared, stream | 3, image_low, image_high, seed_low, seed_high)
            word = (place >> 4) & 3
            w = tl.where(word < 2, tl.where(word == 0, w0, w1), tl.where(word == 2, w2, w3))
        salt = tl.where((flags & 8) != 0, w <= tl.load(words + 13).to(tl.uint32, bitcast=True), False)
        hit = tl.where((flags & 16) != 0, w <= tl.load(words + 14).to(tl.uint32, bitcast=True), False)
        v = tl.where(salt, 1.0, tl.where(hit, 0.0, v))
        if OWN:
            if kinds == 2:  # what salt and pepper miss keeps its bits
                inside = inside & hit

    x = tl.fma(_clip(v), span, low)
    if OWN:
        quiet = (own.to(tl.uint32, bitcast=True) | 0x00400000).to(tl.float32, bitcast=True)
        x = tl.where(v != v, quiet, x)
    tl.store(target, _encode(x, FORMAT), mask=inside)
