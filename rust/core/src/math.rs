//! Elementary functions of our own: no libm, so that every machine rounds alike.
//!
//! The f64 functions serve the geometry of boxes. The f32 functions serve the noise; they are branch-free on a lane, and every fused
//! multiply-add is written out, so that a compiler has no freedom left. Coefficients are minimax fits on the stated
//! intervals; the tests hold the errors against f64.

use std::f64::consts::LN_2;

/// 1 / (2k + 1), of the series of artanh.
const ODD: [f64; 12] = {
    let mut c = [1.0; 12];
    let mut k = 1;
    while k < c.len() {
        c[k] = 1.0 / (2 * k + 1) as f64;
        k += 1;
    }
    c
};

/// 1 / k!, of the series of the exponential.
const FACTORIAL: [f64; 14] = {
    let mut c = [1.0; 14];
    let mut k = 1;
    while k < c.len() {
        c[k] = c[k - 1] / k as f64;
        k += 1;
    }
    c
};

/// Natural logarithm of a positive, normal f64; absolute error below 1e-14.
///
/// ```
/// assert!((unblot_core::math::ln(2.0) - std::f64::consts::LN_2).abs() < 1e-14);
/// ```
#[must_use]
pub fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as i64 - 1023;
    let mut m = f64::from_bits(bits & 0x000f_ffff_ffff_ffff | 0x3ff0_0000_0000_0000);
    if m > std::f64::consts::SQRT_2 {
        m *= 0.5;
        exponent += 1;
    }
    // ln m = 2 artanh s, |s| <= 0.172
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let series = ODD.iter().rev().fold(0.0, |sum, c| sum * z + c);
    2.0 * s * series + exponent as f64 * LN_2
}

/// Exponential of an f64 with |x| ≤ 700; relative error below 1e-13.
///
/// ```
/// assert!((unblot_core::math::exp(1.0) - std::f64::consts::E).abs() < 1e-12);
/// ```
#[inline(always)]
#[must_use]
pub fn exp(x: f64) -> f64 {
    let k = (x / LN_2 + if x < 0.0 { -0.5 } else { 0.5 }) as i64;
    let r = x - k as f64 * LN_2;
    let series = FACTORIAL.iter().rev().fold(0.0, |sum, c| sum * r + c);
    series * f64::from_bits(((k + 1023) as u64) << 52)
}

/// −ln u of u = (w >> 1 + ½) / 2³¹ in f32: exponential noise from one random word.
///
/// u lies in [2⁻³², 1], so the value lies in [0, 22.2]; relative error below 4e-6 where the value exceeds 0.01.
///
/// ```
/// assert!((unblot_core::math::minus_ln_word(1 << 31) - std::f32::consts::LN_2).abs() < 1e-6);
/// ```
#[inline(always)]
#[must_use]
pub fn minus_ln_word(w: u32) -> f32 {
    const SQRT_HALF: i32 = 0x3f35_04f3;
    let u = ((w >> 1) as i32 as f32).mul_add(1.0 / 2_147_483_648.0, 1.0 / 4_294_967_296.0);
    // u = m · 2^e with m in [√½, √2)
    let shifted = u.to_bits() as i32 - SQRT_HALF;
    let e = (shifted >> 23) as f32;
    let f = f32::from_bits(((shifted & 0x007f_ffff) + SQRT_HALF) as u32) - 1.0;
    // ln(1 + f) = f − f²/2 + f³ q(f); q in pairs, which wait for each other less than one term after the other would.
    let z = f * f;
    let q0 = f.mul_add(-0.2500082, 0.3333333);
    let q2 = f.mul_add(-0.16623357, 0.20001227);
    let q4 = f.mul_add(-0.13160183, 0.14201759);
    let q6 = f.mul_add(-0.07634493, 0.12761575);
    let q = q6.mul_add(z, q4).mul_add(z * z, q2.mul_add(z, q0));
    let start = e.mul_add(std::f32::consts::LN_2, z.mul_add(-0.5, f));
    -(z * f).mul_add(q, start)
}

/// Cosine and sine of 2π·w / 2³² in f32; absolute error below 2e-7.
///
/// ```
/// let (cos, sin) = unblot_core::math::cos_sin_word(1 << 30);
/// assert!(cos.abs() < 2e-7 && (sin - 1.0).abs() < 2e-7);
/// ```
#[inline(always)]
#[must_use]
pub fn cos_sin_word(w: u32) -> (f32, f32) {
    // quarter turn q and the rest t in [-½, ½) quarters
    let nearest = w.wrapping_add(1 << 29);
    let q = nearest >> 30;
    let t = (w.wrapping_sub(q << 30) as i32) as f32 * (1.0 / 1_073_741_824.0);
    let z = t * t;
    let zz = z * z;
    let s = z.mul_add(-0.0046020772, 0.079680227).mul_add(zz, z.mul_add(-0.6459635, 1.5707964)) * t;
    let c = z.mul_add(0.00090363163, -0.020860072).mul_add(z, 0.2536692).mul_add(zz, z.mul_add(-1.2337005, 1.0));
    // rotate by q quarter turns: swap where q is odd, then set the signs
    let odd = (q & 1).wrapping_neg();
    let (cb, sb) = (c.to_bits(), s.to_bits());
    let swap = (cb ^ sb) & odd;
    let cos = f32::from_bits((cb ^ swap) ^ (((q + 1) & 2) << 30));
    let sin = f32::from_bits((sb ^ swap) ^ ((q & 2) << 30));
    (cos, sin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f64_functions_match_the_standard_library() {
        for i in 1..200_000 {
            let x = f64::from(i) * 0.003_7;
            assert!((ln(x) - x.ln()).abs() < 1e-14 * x.ln().abs().max(1.0), "ln {x}");
            let y = (f64::from(i) - 100_000.0) * 0.006_9;
            assert!((exp(y) / y.exp() - 1.0).abs() < 1e-13, "exp {y}");
        }
    }

    /// Words spread over the whole range, with both ends and all powers of two.
    fn words() -> impl Iterator<Item = u32> {
        let ends = (0..2000).chain((u32::MAX - 2000)..=u32::MAX);
        let powers = (0..32).flat_map(|k| [(1_u32 << k).wrapping_sub(1), 1 << k, (1 << k) + 1]);
        ends.chain(powers).chain((0..4_000_000_u32).map(|i| i.wrapping_mul(2_654_435_761)))
    }

    #[test]
    fn logarithm_over_its_whole_range() {
        let mut worst = 0.0_f64;
        for w in words() {
            let value = minus_ln_word(w);
            let exact = -((f64::from(w >> 1) + 0.5) / 2_147_483_648.0).ln();
            assert!((0.0..22.2).contains(&value), "{w}: {value}");
            // u itself is rounded to f32, an absolute error of up to 2^-25 near 1
            let error = (f64::from(value) - exact).abs();
            assert!(error < 6.1e-8 + 2.5e-7 * exact, "{w}: {value} for {exact}");
            if exact > 0.01 {
                worst = worst.max(error / exact);
            }
        }
        assert!(worst < 4e-6, "relative error {worst}");
    }

    #[test]
    fn cosine_and_sine_over_the_whole_turn() {
        for w in words() {
            let (c, s) = cos_sin_word(w);
            let angle = f64::from(w) / 4_294_967_296.0 * std::f64::consts::TAU;
            assert!((f64::from(c) - angle.cos()).abs() < 2e-7, "cos {w}: {c}");
            assert!((f64::from(s) - angle.sin()).abs() < 2e-7, "sin {w}: {s}");
        }
    }
}
