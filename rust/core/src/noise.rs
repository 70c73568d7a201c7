//! The noise kinds as runs of values: each function fills or changes a buffer with the values of one stream from a place on.
//!
//! The loops run over groups of 64 values in lanes, so that the compiler can vectorise them; [`Level`](crate::simd::Level) picks the widest
//! instructions that the processor has. Every level computes the same operations in the same order on each lane, so the bits agree.

use crate::math::{cos_sin_word, minus_ln_word};
use crate::rng::{GROUP, Keys, LANES, Layer, Stream, Words, halves};
use crate::simd::Lanes;

/// Values that pairs of words in two runs of lanes make.
const PAIRS: usize = 2 * LANES;

/// The random words of one box.
#[derive(Clone, Copy)]
pub(crate) struct Field<'k, L: Lanes> {
    lanes: L,
    keys: &'k Keys,
    image: [u32; 2],
    number: u32,
}

impl<'k, L: Lanes> Field<'k, L> {
    /// `keys` are those of the seed, `number` is that of the box in its image.
    #[inline(always)]
    pub(crate) fn new(lanes: L, keys: &'k Keys, image_key: u64, number: u32) -> Self {
        Self { lanes, keys, image: halves(image_key), number }
    }

    #[inline(always)]
    pub(crate) fn lanes(&self) -> L {
        self.lanes
    }

    #[inline(always)]
    fn stream(&self, layer: Layer) -> L::Stream {
        self.lanes.prepare(&Stream::new(self.keys, self.number, layer, self.image))
    }

    #[inline(always)]
    pub(crate) fn group(&self, layer: Layer, index: usize) -> Words {
        self.lanes.group(&self.stream(layer), (index * LANES) as u32)
    }

    /// The words of a layer from the group `first` on; `out` holds whole groups.
    #[inline(always)]
    pub(crate) fn words(&self, layer: Layer, out: &mut [u32], first: usize) {
        let (lanes, stream) = (self.lanes, self.stream(layer));
        for (g, out) in out.as_chunks_mut::<GROUP>().0.iter_mut().enumerate() {
            *out = lanes.group(&stream, ((first + g) * LANES) as u32);
        }
    }
}

/// Visit pixels with numbers of N(0, 1), in whole groups. Box and Muller's transform: two words make two values.
#[inline(always)]
pub(crate) fn gaussian<R>(out: &mut [R], words: &[u32], visit: impl Fn(&mut R, f32)) {
    for (out, words) in out.as_chunks_mut::<PAIRS>().0.iter_mut().zip(words.as_chunks::<PAIRS>().0) {
        let (a, b) = out.split_at_mut(LANES);
        for i in 0..LANES {
            let radius = (2.0 * minus_ln_word(words[i])).sqrt();
            let (cos, sin) = cos_sin_word(words[LANES + i]);
            visit(&mut a[i], radius * cos);
            visit(&mut b[i], radius * sin);
        }
    }
}

/// Visit pixels with numbers of L(0, 1): the lowest bit is the sign, the others the exponential size.
#[inline(always)]
pub(crate) fn laplace<R>(out: &mut [R], words: &[u32], visit: impl Fn(&mut R, f32)) {
    for (out, w) in out.iter_mut().zip(words) {
        visit(out, f32::from_bits(minus_ln_word(*w).to_bits() ^ (w << 31)));
    }
}

/// Salt, pepper or neither (what `or` holds in this order), with the probabilities of the first two.
#[inline(always)]
pub(crate) fn salt_pepper<R: Copy>(out: &mut [R], words: &[u32], (salt, pepper): (f32, f32), or: [R; 3]) {
    let salt_share = Share::new(f64::from(salt));
    let both_share = Share::new(f64::from(salt) + f64::from(pepper));
    for (out, w) in out.iter_mut().zip(words) {
        let pepper_or_none = if both_share.has(*w) { or[1] } else { or[2] };
        *out = if salt_share.has(*w) { or[0] } else { pepper_or_none };
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
    use crate::rng::keys;
    use crate::simd::{Level, Plain, Work};
    use crate::statistics::{KS, kolmogorov, laplace_cdf, normal_cdf};

    fn words(layer: Layer, first: usize, count: usize) -> Vec<u32> {
        let mut words = vec![0; count];
        let field = Field { lanes: Plain, keys: &keys(0x0000_0002_0000_0001), image: [3, 4], number: 5 };
        field.words(layer, &mut words, first);
        words
    }

    /// Some values of each kind.
    struct Values;

    impl Work for Values {
        type Output = (Vec<u32>, Vec<u32>);

        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) -> Self::Output {
            let keys = keys(0x0000_0002_0000_0001);
            let field = Field { lanes, keys: &keys, image: [3, 4], number: 5 };
            let mut words = vec![0; 64 * GROUP];
            let mut v = vec![0.25_f32; 64 * GROUP];
            let mut hits = vec![0.0; 64 * GROUP];
            field.words(Layer::Gaussian, &mut words, 3);
            gaussian(&mut v, &words, |v, normal| *v = 0.7_f32.mul_add(normal, *v + 0.1));
            field.words(Layer::Laplace, &mut words, 5);
            laplace(&mut v, &words, |v, laplace| *v = 0.3_f32.mul_add(laplace, *v));
            field.words(Layer::SaltPepper, &mut words, 1);
            salt_pepper(&mut hits, &words, (0.2, 0.3), [1.0, 0.0, f32::NAN]);
            (bits(&v), bits(&hits))
        }
    }

    fn bits(v: &[f32]) -> Vec<u32> {
        v.iter().map(|x| x.to_bits()).collect()
    }

    /// The promise behind runtime dispatch: each level gives the same bits.
    #[test]
    fn levels_agree_bit_for_bit() {
        let expected = Level::scalar().run_with_words(Values);
        for (name, level) in Level::all() {
            assert!(level.run_with_words(Values) == expected, "{name} differs from scalar");
        }
    }

    /// A value must not depend on where a run starts.
    #[test]
    fn runs_continue_each_other() {
        let whole = words(Layer::Gaussian, 10, 8 * GROUP);
        assert_eq!(&whole[5 * GROUP..], words(Layer::Gaussian, 15, 3 * GROUP));
    }

    const N: usize = 1 << 20;

    #[test]
    fn gaussian_is_normal() {
        let mut v = vec![0.0_f32; N];
        gaussian(&mut v, &words(Layer::Gaussian, 0, N), |v, normal| *v = normal);
        let d = kolmogorov(v.iter().map(|&x| f64::from(x)).collect(), normal_cdf);
        assert!(d < KS, "KS distance {d}");
        let fourth: f64 = v.iter().map(|&x| f64::from(x).powi(4)).sum::<f64>() / N as f64;
        assert!((fourth - 3.0).abs() < 0.05, "fourth moment {fourth}");
        let next: f64 = v.windows(2).map(|w| f64::from(w[0]) * f64::from(w[1])).sum::<f64>() / N as f64;
        let partner: f64 = v.windows(17).map(|w| f64::from(w[0]) * f64::from(w[16])).sum::<f64>() / N as f64;
        assert!(next.abs() < 0.004 && partner.abs() < 0.004, "correlation {next}, {partner}");
    }

    #[test]
    fn laplace_is_laplace() {
        let mut v = vec![0.0_f32; N];
        laplace(&mut v, &words(Layer::Laplace, 0, N), |v, laplace| *v = laplace);
        let d = kolmogorov(v.iter().map(|&x| f64::from(x)).collect(), laplace_cdf);
        assert!(d < KS, "KS distance {d}");
    }

    #[test]
    fn salt_and_pepper_fall_as_often_as_asked() {
        let words = words(Layer::SaltPepper, 0, N);
        let mut hits = vec![0.0; N];
        for (salt, pepper) in [(0.1_f32, 0.3), (0.0, 0.5), (1.0, 0.0), (0.0, 0.0), (0.5, 0.5)] {
            salt_pepper(&mut hits, &words, (salt, pepper), [1.0, 0.0, f32::NAN]);
            for (code, p) in [(1.0, salt), (0.0, pepper)] {
                let seen: f64 = hits.iter().map(|h| f64::from(u8::from(*h == code))).sum();
                let expected = f64::from(p) * N as f64;
                let sigma = (expected * f64::from(1.0 - p)).sqrt();
                assert!((seen - expected).abs() <= 4.0 * sigma, "{code}: {seen} for {expected}");
            }
        }
    }
}
