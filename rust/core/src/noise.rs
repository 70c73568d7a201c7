//! The noise kinds as runs of values: each function fills or changes a buffer with the values of one stream from a place on.
//!
//! The loops run over groups of 64 values in lanes, so that the compiler can vectorise them; [`Level`] picks the widest
//! instructions that the processor has. Every level computes the same operations in the same order on each lane, so the bits agree.

use pulp::Arch;

use crate::boxes::{BoxDraw, Kinds};
use crate::math::{cos_sin_word, minus_ln_word};
use crate::philox::{self, GROUP, LANES, Layer, Words, group, halves};
use crate::spec::Noise;

/// Bit of a noise kind.
pub(crate) fn kind(noise: &Noise) -> u8 {
    match noise {
        Noise::Gaussian { .. } => Kinds::GAUSSIAN,
        Noise::SaltPepper { .. } => Kinds::SALT_PEPPER,
        Noise::Poisson { .. } => Kinds::POISSON,
        Noise::Laplace { .. } => Kinds::LAPLACE,
        Noise::Paste { .. } => Kinds::PASTE,
    }
}

/// A set of processor instructions to compute with.
#[derive(Debug, Clone, Copy)]
pub struct Level(Arch);

impl Level {
    /// The best that this processor has.
    #[must_use]
    pub fn best() -> Self {
        Self(Arch::new())
    }

    /// Plain instructions of the build's target.
    #[must_use]
    pub fn scalar() -> Self {
        Self(Arch::Scalar)
    }

    /// Every level that this processor has, by name; the best comes last.
    #[must_use]
    pub fn all() -> Vec<(&'static str, Self)> {
        #[allow(unused_mut)]
        let mut levels = vec![("scalar", Self::scalar())];
        #[cfg(target_arch = "x86_64")]
        {
            levels.extend(pulp::x86::V3::try_new().map(|v3| ("avx2", Self(Arch::V3(v3)))));
            levels.extend(pulp::x86::V4::try_new().map(|v4| ("avx512", Self(Arch::V4(v4)))));
        }
        #[cfg(target_arch = "aarch64")]
        levels.extend(pulp::aarch64::Neon::try_new().map(|neon| ("neon", Self(Arch::Neon(neon)))));
        levels
    }

    /// Run `work`, compiled for this level as far as it is inlined.
    #[inline(always)]
    pub(crate) fn run<R>(self, work: impl FnOnce() -> R) -> R {
        self.0.dispatch(work)
    }
}

/// The random words of one box.
#[derive(Clone, Copy)]
pub(crate) struct Field {
    key: [u32; 2],
    image: [u32; 2],
    number: u32,
}

impl Field {
    pub(crate) fn new(seed: u64, image_key: u64, draw: &BoxDraw) -> Self {
        Self { key: halves(seed), image: halves(image_key), number: draw.number }
    }

    #[inline(always)]
    pub(crate) fn group(&self, layer: Layer, index: usize) -> Words {
        group((index * LANES) as u32, philox::stream(self.number, layer), self.image, self.key)
    }

    /// v + mean + sigma · N(0, 1) from the group `first` on; `v` holds whole groups. Box and Muller's transform: two words
    /// make two values.
    #[inline(always)]
    pub(crate) fn add_gaussian(&self, v: &mut [f32], first: usize, (mean, sigma): (f32, f32)) {
        for (g, out) in v.chunks_exact_mut(GROUP).enumerate() {
            let words = self.group(Layer::Gaussian, first + g);
            for (out, words) in out.chunks_exact_mut(2 * LANES).zip(words.chunks_exact(2 * LANES)) {
                let (a, b) = out.split_at_mut(LANES);
                for i in 0..LANES {
                    let radius = (2.0 * minus_ln_word(words[i])).sqrt();
                    let (cos, sin) = cos_sin_word(words[LANES + i]);
                    a[i] = sigma.mul_add(radius * cos, a[i] + mean);
                    b[i] = sigma.mul_add(radius * sin, b[i] + mean);
                }
            }
        }
    }

    /// v + mean + scale · L(0, 1): the lowest bit is the sign, the others the exponential size.
    #[inline(always)]
    pub(crate) fn add_laplace(&self, v: &mut [f32], first: usize, (mean, scale): (f32, f32)) {
        for (g, out) in v.chunks_exact_mut(GROUP).enumerate() {
            let words = self.group(Layer::Laplace, first + g);
            for (out, w) in out.iter_mut().zip(&words) {
                let signed = f32::from_bits(minus_ln_word(*w).to_bits() ^ (w << 31));
                *out = scale.mul_add(signed, *out + mean);
            }
        }
    }

    /// 1 where salt falls, 0 where pepper falls, NaN where neither does; `hits` holds whole groups.
    #[inline(always)]
    pub(crate) fn salt_pepper(&self, hits: &mut [f32], first: usize, (salt, pepper): (f32, f32)) {
        let salt_share = Share::new(f64::from(salt));
        let both_share = Share::new(f64::from(salt) + f64::from(pepper));
        for (g, out) in hits.chunks_exact_mut(GROUP).enumerate() {
            let words = self.group(Layer::SaltPepper, first + g);
            for (out, w) in out.iter_mut().zip(&words) {
                let pepper_or_none = if both_share.has(*w) { 0.0 } else { f32::NAN };
                *out = if salt_share.has(*w) { 1.0 } else { pepper_or_none };
            }
        }
    }

    /// The words of a Poisson layer; `out` holds whole groups.
    #[inline(always)]
    pub(crate) fn poisson_words(&self, layer: Layer, out: &mut [u32], first: usize) {
        for (g, out) in out.chunks_exact_mut(GROUP).enumerate() {
            out.copy_from_slice(&self.group(layer, first + g));
        }
    }
}

/// The share of all words that stands for a probability.
#[derive(Clone, Copy)]
struct Share {
    /// The last word of the share.
    last: u32,
    /// All bits, or none for an empty share: a mask instead of a branch, which would keep the loop from lanes.
    any: u32,
}

impl Share {
    fn new(p: f64) -> Self {
        let words = (p.min(1.0) * 4_294_967_296.0).round() as u64;
        Self { last: words.wrapping_sub(1) as u32, any: if words == 0 { 0 } else { u32::MAX } }
    }

    #[inline(always)]
    fn has(self, w: u32) -> bool {
        u32::from(w <= self.last) & self.any != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field() -> Field {
        Field { key: [1, 2], image: [3, 4], number: 5 }
    }

    fn bits(v: &[f32]) -> Vec<u32> {
        v.iter().map(|x| x.to_bits()).collect()
    }

    /// The promise behind runtime dispatch: each level gives the same bits.
    #[test]
    fn levels_agree_bit_for_bit() {
        let run = |level: Level| {
            level.run(
                #[inline(always)]
                || {
                    let mut v = vec![0.25_f32; 64 * GROUP];
                    let mut hits = vec![0.0; 64 * GROUP];
                    field().add_gaussian(&mut v, 3, (0.1, 0.7));
                    field().add_laplace(&mut v, 5, (0.0, 0.3));
                    field().salt_pepper(&mut hits, 1, (0.2, 0.3));
                    (bits(&v), bits(&hits))
                },
            )
        };
        let expected = run(Level::scalar());
        for (name, level) in Level::all() {
            assert!(run(level) == expected, "{name} differs from scalar");
        }
    }

    /// A value must not depend on where a run starts.
    #[test]
    fn runs_continue_each_other() {
        let mut whole = vec![0.0; 8 * GROUP];
        field().add_gaussian(&mut whole, 10, (0.0, 1.0));
        let mut tail = vec![0.0; 3 * GROUP];
        field().add_gaussian(&mut tail, 15, (0.0, 1.0));
        assert_eq!(bits(&whole[5 * GROUP..]), bits(&tail));
    }

    /// Largest distance between the empirical and the exact distribution function.
    fn kolmogorov(mut v: Vec<f64>, cdf: impl Fn(f64) -> f64) -> f64 {
        v.sort_unstable_by(f64::total_cmp);
        let n = v.len() as f64;
        v.iter().enumerate().fold(0.0, |worst: f64, (i, &x)| {
            let p = cdf(x);
            worst.max((p - i as f64 / n).abs()).max(((i + 1) as f64 / n - p).abs())
        })
    }

    /// Standard normal distribution function by its continued series (tests only need 1e-7).
    fn normal_cdf(x: f64) -> f64 {
        let z = x.abs();
        let (mut term, mut sum) = (z, z);
        for k in 1..300 {
            term *= z * z / f64::from(2 * k + 1);
            sum += term;
        }
        let half = sum * (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        if x < 0.0 { 0.5 - half } else { 0.5 + half }
    }

    const N: usize = 1 << 20;
    /// 99.9 % point of the Kolmogorov distribution.
    const KS: f64 = 1.95;

    #[test]
    fn gaussian_is_normal() {
        let mut v = vec![0.0_f32; N];
        field().add_gaussian(&mut v, 0, (0.0, 1.0));
        let d = kolmogorov(v.iter().map(|&x| f64::from(x)).collect(), normal_cdf);
        assert!(d * (N as f64).sqrt() < KS, "KS distance {d}");
        let fourth: f64 = v.iter().map(|&x| f64::from(x).powi(4)).sum::<f64>() / N as f64;
        assert!((fourth - 3.0).abs() < 0.05, "fourth moment {fourth}");
        let next: f64 = v.windows(2).map(|w| f64::from(w[0]) * f64::from(w[1])).sum::<f64>() / N as f64;
        let partner: f64 = v.windows(17).map(|w| f64::from(w[0]) * f64::from(w[16])).sum::<f64>() / N as f64;
        assert!(next.abs() < 0.004 && partner.abs() < 0.004, "correlation {next}, {partner}");
    }

    #[test]
    fn laplace_is_laplace() {
        let mut v = vec![0.0_f32; N];
        field().add_laplace(&mut v, 0, (0.0, 1.0));
        let cdf = |x: f64| if x < 0.0 { 0.5 * x.exp() } else { 1.0 - 0.5 * (-x).exp() };
        let d = kolmogorov(v.iter().map(|&x| f64::from(x)).collect(), cdf);
        assert!(d * (N as f64).sqrt() < KS, "KS distance {d}");
    }

    #[test]
    fn salt_and_pepper_fall_as_often_as_asked() {
        let mut hits = vec![0.0; N];
        for (salt, pepper) in [(0.1_f32, 0.3), (0.0, 0.5), (1.0, 0.0), (0.0, 0.0), (0.5, 0.5)] {
            field().salt_pepper(&mut hits, 0, (salt, pepper));
            for (code, p) in [(1.0, salt), (0.0, pepper)] {
                let seen: f64 = hits.iter().map(|h| f64::from(u8::from(*h == code))).sum();
                let expected = f64::from(p) * N as f64;
                let sigma = (expected * f64::from(1.0 - p)).sqrt();
                assert!((seen - expected).abs() <= 4.0 * sigma, "{code}: {seen} for {expected}");
            }
        }
    }
}
