//! The random words that the boxes of an image are drawn from.

use crate::rng::{GROUP, Keys, LANES, Layer, Stream, Words, halves};
use crate::simd::{Lanes, Plain};

/// Words of one image's geometry stream, taken one after the other: how many are needed depends on what fits.
pub(crate) struct Sequence {
    stream: Stream,
    words: Words,
    taken: usize,
}

impl Sequence {
    /// The first group, which serves most images, is made with the caller's instructions.
    #[inline(always)]
    pub(crate) fn new<L: Lanes>(lanes: L, keys: &Keys, image: u64) -> Self {
        let stream = Stream::new(keys, 0, Layer::Geometry, halves(image));
        Self { words: lanes.group(&lanes.prepare(&stream), 0), stream, taken: 0 }
    }

    /// The next word: block after block, the four words of each in order.
    #[inline(always)]
    fn word(&mut self) -> u32 {
        let at = self.taken % GROUP;
        if at == 0 && self.taken > 0 {
            let block = self.taken / 4;
            self.words = Plain.group(&self.stream, block as u32);
        }
        self.taken += 1;
        self.words[at % 4 * LANES + at / 4]
    }

    /// Uniform in (0, 1), at the centre of one of 2³² equal cells.
    #[inline(always)]
    pub(crate) fn unit(&mut self) -> f64 {
        (f64::from(self.word()) + 0.5) / 4_294_967_296.0
    }

    /// Uniform between two bounds.
    #[inline(always)]
    pub(crate) fn range(&mut self, (low, high): (f64, f64)) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform in 0..n (n ≥ 1); its bias is below n / 2³².
    #[inline(always)]
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.word()) * n as u128) >> 32) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{ROUNDS, block, keys};

    /// A sequence takes the words of block 0, 1, 2 and so on, also past its first group.
    #[test]
    fn sequence_is_block_after_block() {
        let mut s = Sequence::new(Plain, &keys(0x0000_0008_0000_0007), 0x0000_0006_0000_0005);
        for counter in 0..40 {
            let words = [s.word(), s.word(), s.word(), s.word()];
            assert_eq!(words, block([counter, 0, 5, 6], [7, 8], ROUNDS));
        }
    }

    #[test]
    fn sequence_is_uniform_and_bounded() {
        let mut s = Sequence::new(Plain, &keys(1), 2);
        let mut counts = [0_u32; 7];
        for _ in 0..70_000 {
            counts[s.below(7)] += 1;
            let u = s.unit();
            assert!(u > 0.0 && u < 1.0);
        }
        let chi2: f64 = counts.iter().map(|&n| (f64::from(n) - 1e4).powi(2) / 1e4).sum();
        assert!(chi2 < 22.5, "chi-square {chi2} of 6 degrees of freedom passes 0.999");
    }
}
