//! The pixel types: how each becomes an f32 and how an f32 is rounded to each, once.

use half::{bf16, f16};

/// A pixel format: how values lie in memory and what they mean.
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
        f16::from_f32(x).to_bits()
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
        bf16::from_f32(x).to_bits()
    }
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
    fn clip_keeps_nan() {
        assert!(clip(f32::NAN).is_nan());
        assert_eq!((clip(-0.5), clip(0.25), clip(7.0)), (0.0, 0.25, 1.0));
    }
}
