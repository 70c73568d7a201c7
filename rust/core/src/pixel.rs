//! The pixel types: how each becomes an f32 and how an f32 is rounded to each, once.

use half::{bf16, f16};

/// A pixel format: how values lie in memory and what they mean.
///
/// ```
/// use unblot_core::Pixel;
///
/// assert_eq!(<u8 as Pixel>::encode(127.5), 128);
/// assert_eq!(<f32 as Pixel>::decode(0.25), 0.25);
/// ```
pub trait Pixel: Copy + Send + Sync + 'static {
    /// The value in memory.
    type Raw: Copy + Send + Sync;
    /// Exact conversion.
    fn decode(raw: Self::Raw) -> f32;
    /// Rounding to nearest, ties to even; integers saturate.
    fn encode(x: f32) -> Self::Raw;
}

impl Pixel for u8 {
    type Raw = Self;
    #[inline(always)]
    fn decode(raw: u8) -> f32 {
        f32::from(raw)
    }
    #[inline(always)]
    fn encode(x: f32) -> u8 {
        // Adding 1.5 · 2²³ rounds to a whole number, ties to even, and leaves it in the low bits of the mantissa.
        (x.clamp(0.0, 255.0) + 12_582_912.0).to_bits() as u8
    }
}

impl Pixel for f32 {
    type Raw = Self;
    #[inline(always)]
    fn decode(raw: f32) -> f32 {
        raw
    }
    #[inline(always)]
    fn encode(x: f32) -> f32 {
        x
    }
}

impl Pixel for f16 {
    type Raw = u16;
    #[inline(always)]
    fn decode(raw: u16) -> f32 {
        f16::from_bits(raw).to_f32()
    }
    #[inline(always)]
    fn encode(x: f32) -> u16 {
        f16_bits(x)
    }
}

impl Pixel for bf16 {
    type Raw = u16;
    #[inline(always)]
    fn decode(raw: u16) -> f32 {
        bf16::from_bits(raw).to_f32()
    }
    #[inline(always)]
    fn encode(x: f32) -> u16 {
        bf16_bits(x)
    }
}

/// f32 to the bits of an f16, to nearest with ties to even; branch-free on a lane.
#[inline(always)]
fn f16_bits(x: f32) -> u16 {
    // Below 2⁻¹⁴ results are subnormal: adding ½ puts their last bit in the last place of the sum, which rounds it.
    const HALF: u32 = 126 << 23;
    let sign = x.to_bits() & 0x8000_0000;
    let size = x.to_bits() ^ sign;
    let subnormal = (f32::from_bits(size) + 0.5).to_bits().wrapping_sub(HALF);
    // Otherwise the exponent is moved by 127 − 15 and 13 bits of the mantissa are rounded off.
    let odd = (size >> 13) & 1;
    let normal = size.wrapping_sub(112 << 23).wrapping_add(0xfff + odd) >> 13;
    let special = if size > 0x7f80_0000 { 0x7e00 } else { 0x7c00 };
    let rounded = if size < 113 << 23 { subnormal } else { normal };
    let bits = if size >= 143 << 23 { special } else { rounded };
    (bits | sign >> 16) as u16
}

/// f32 to the bits of a bf16, to nearest with ties to even; branch-free on a lane.
#[inline(always)]
fn bf16_bits(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1));
    let nan = bits | 0x0040_0000;
    (if x.is_nan() { nan } else { rounded } >> 16) as u16
}

/// Bring a value into [0, 1]; NaN stays NaN, so that a broken pixel stays visible.
#[inline(always)]
pub(crate) fn clip(v: f32) -> f32 {
    let v = if v < 0.0 { 0.0 } else { v };
    if v > 1.0 { 1.0 } else { v }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_round_half_to_even_and_saturate() {
        for (x, byte) in [(-3.0, 0), (0.5, 0), (1.5, 2), (127.5, 128), (254.49, 254), (254.5, 254), (300.0, 255)] {
            assert_eq!(u8::encode(x), byte, "{x}");
        }
        for i in 0..=255_u8 {
            assert_eq!(u8::encode(u8::decode(i)), i);
        }
    }

    #[test]
    fn half_formats_round_like_the_half_crate() {
        for i in 0..3_000_000_u32 {
            let x = f32::from_bits(i.wrapping_mul(2_654_435_761));
            if x.is_nan() {
                assert!(f16::from_bits(f16_bits(x)).is_nan() && bf16::from_bits(bf16_bits(x)).is_nan());
                continue;
            }
            assert_eq!(f16_bits(x), f16::from_f32(x).to_bits(), "f16 of {x}");
            assert_eq!(bf16_bits(x), bf16::from_f32(x).to_bits(), "bf16 of {x}");
        }
        // Every f16 and every tie between two of them.
        for bits in 0..0x7c00_u16 {
            let (x, next) = (f16::from_bits(bits).to_f32(), f16::from_bits(bits + 1).to_f32());
            assert_eq!(f16_bits(x), bits);
            let tie = 0.5 * (x + next);
            assert_eq!(f16_bits(tie), f16::from_f32(tie).to_bits(), "tie after {bits:#x}");
        }
    }

    #[test]
    fn clip_keeps_nan() {
        assert!(clip(f32::NAN).is_nan());
        assert_eq!((clip(-0.5), clip(0.25), clip(7.0)), (0.0, 0.25, 1.0));
    }
}
