//! Philox4x32, the counter-based generator of Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3" (SC 2011).
//!
//! A block of four 32-bit words is a function of a 128-bit counter and a 64-bit key; nothing is drawn in sequence. The core uses
//!
//! - key: the 64-bit seed,
//! - counter: (block, stream, image key low, image key high),
//!
//! where a stream is one layer of one box. Within a stream, value `n` is word `(n / 16) % 4` of block
//! `16 * (n / 64) + n % 16`: sixteen blocks make a group of 64 consecutive values, whose words stand side by side in
//! vector registers of any width, so that every SIMD level makes the same values without a shuffle.

#[cfg(target_arch = "x86_64")]
mod x86;

use crate::poisson::Table;

/// Rounds of the core's generator: the fewest that the authors call Crush-resistant; they recommend 10 where time is no matter.
pub const ROUNDS: u32 = 7;

/// Blocks computed side by side.
pub const LANES: usize = 16;

/// Values of one group of blocks: [`LANES`] blocks of four words.
pub const GROUP: usize = 4 * LANES;

const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// The words of one group: word `j` of block `i` stands at `16 * j + i`.
pub type Words = [u32; GROUP];

/// One block of Philox4x32 with the given number of rounds.
///
/// ```
/// // Random123's known-answer vector for ten rounds of zeros.
/// let words = unblot_core::philox::block([0; 4], [0; 2], 10);
/// assert_eq!(words, [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
/// ```
#[must_use]
pub fn block(counter: [u32; 4], key: [u32; 2], rounds: u32) -> [u32; 4] {
    let mut c = counter;
    let mut k = key;
    for _ in 0..rounds {
        let p0 = u64::from(MULTIPLIER[0]) * u64::from(c[0]);
        let p1 = u64::from(MULTIPLIER[1]) * u64::from(c[2]);
        c = [(p1 >> 32) as u32 ^ c[1] ^ k[0], p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ k[1], p0 as u32];
        k = [k[0].wrapping_add(WEYL[0]), k[1].wrapping_add(WEYL[1])];
    }
    c
}

/// The key of each round.
pub(crate) type Keys = [[u32; 2]; ROUNDS as usize];

/// The keys that a seed gives.
pub(crate) fn keys(seed: u64) -> Keys {
    let mut next = halves(seed);
    std::array::from_fn(|_| {
        let this = next;
        next = [this[0].wrapping_add(WEYL[0]), this[1].wrapping_add(WEYL[1])];
        this
    })
}

/// Rounds in which the blocks of a stream differ in all words.
const LATE: usize = ROUNDS as usize - 2;

/// What the blocks of a stream have in common. They differ in one word of the counter, so in the first two rounds one product of
/// two is the same for all: with q = multiplier 0 · block and r = multiplier 1 · (high(q) ^ `first`), the words of a block after two
/// rounds are high(r) ^ `second[0]`, low(r), low(q) ^ `second[1]` and `second[2]`.
#[derive(Clone, Copy)]
pub(crate) struct Stream {
    first: u32,
    second: [u32; 3],
    /// Keys of the other rounds.
    keys: [[u32; 2]; LATE],
}

impl Stream {
    /// The stream of a layer of a box of an image.
    #[inline(always)]
    pub(crate) fn new(keys: &Keys, box_number: u32, layer: Layer, image: [u32; 2]) -> Self {
        let product = |i: usize, word: u32| halves(u64::from(MULTIPLIER[i]) * u64::from(word));
        let [k0, k1, keys @ ..] = *keys;
        let [low, high] = product(1, image[0]);
        let [same_low, same_high] = product(0, high ^ (box_number << 3 | layer as u32) ^ k0[0]);
        Self { first: image[1] ^ k0[1], second: [low ^ k1[0], same_high ^ k1[1], same_low], keys }
    }
}

/// How the words of a group are made: the same words in every way.
pub(crate) trait Lanes: Copy {
    /// A stream as the processor takes it.
    type Stream: Copy;

    /// Prepare a stream.
    fn prepare(self, stream: &Stream) -> Self::Stream;

    /// [`LANES`] consecutive blocks.
    fn group(self, stream: &Self::Stream, first_block: u32) -> Words;

    /// The Poisson numbers that words stand for; there are whole groups of both.
    #[inline(always)]
    fn counts(self, table: &Table, words: &[u32], counts: &mut [f32]) {
        table.draw_all(words, counts);
    }

    /// Have a place of memory on its way to the cache, where the processor can be asked to.
    fn fetch<R>(self, _place: &R) {}
}

/// Lane loops that the compiler turns into vector code.
///
/// Words stand in 64-bit lanes, where a multiplication takes the low half of each and leaves the whole product; high halves hold
/// leftovers that the next multiplication or the final truncation drops.
#[derive(Clone, Copy)]
pub(crate) struct Plain;

impl Lanes for Plain {
    type Stream = Stream;

    #[inline(always)]
    fn prepare(self, stream: &Stream) -> Stream {
        *stream
    }

    #[inline(always)]
    fn group(self, stream: &Stream, first_block: u32) -> Words {
        let product = |i: usize, word: u64| u64::from(MULTIPLIER[i]) * (word & 0xffff_ffff);
        let Stream { first, second, keys } = stream;
        let [mut c0, mut c1, mut c2, mut c3] = [[0_u64; LANES]; 4];
        for i in 0..LANES {
            let q = product(0, u64::from(first_block.wrapping_add(i as u32)));
            let r = product(1, (q >> 32) ^ u64::from(*first));
            c0[i] = (r >> 32) ^ u64::from(second[0]);
            c1[i] = r;
            c2[i] = q ^ u64::from(second[1]);
            c3[i] = u64::from(second[2]);
        }
        for k in keys {
            for i in 0..LANES {
                let p0 = product(0, c0[i]);
                let p1 = product(1, c2[i]);
                c0[i] = (p1 >> 32) ^ c1[i] ^ u64::from(k[0]);
                c1[i] = p1;
                c2[i] = (p0 >> 32) ^ c3[i] ^ u64::from(k[1]);
                c3[i] = p0;
            }
        }
        let mut words = [0; GROUP];
        for (out, lanes) in words.as_chunks_mut::<LANES>().0.iter_mut().zip([c0, c1, c2, c3]) {
            *out = lanes.map(|lane| lane as u32);
        }
        words
    }
}

/// What a stream of one box is used for; the boxes of an image themselves are drawn from [`Layer::Geometry`] of box 0.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Layer {
    Geometry = 0,
    Gaussian = 1,
    Laplace = 2,
    SaltPepper = 3,
    Poisson = 4,
    PoissonRest = 5,
    Shape = 6,
}

/// Low and high half of a 64-bit number.
pub(crate) fn halves(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

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

    /// Random123's `kat_vectors` for philox4x32: zeros, ones and the digits of pi.
    #[test]
    fn known_answers() {
        let pi = ([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]);
        let cases = [
            (7, [0; 4], [0; 2], [0x5f6fb709, 0x0d893f64, 0x4f121f81, 0x4f730a48]),
            (7, [u32::MAX; 4], [u32::MAX; 2], [0x5207ddc2, 0x45165e59, 0x4d8ee751, 0x8c52f662]),
            (7, pi.0, pi.1, [0x4dfccaba, 0x190a87f0, 0xc47362ba, 0xb6b5242a]),
            (10, [0; 4], [0; 2], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]),
            (10, [u32::MAX; 4], [u32::MAX; 2], [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]),
            (10, pi.0, pi.1, [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]),
        ];
        for (rounds, counter, key, words) in cases {
            assert_eq!(block(counter, key, rounds), words, "{rounds} rounds of {counter:x?} under {key:x?}");
        }
    }

    /// The lane form must be the scalar form sixteen times, also where the block number is large.
    #[test]
    fn lanes_are_blocks() {
        for first in [0, 16, 0x1234_5670, u32::MAX - 15] {
            let stream = Stream::new(&keys(0x0000_0008_0000_0007), 9, Layer::Poisson, [5, 6]);
            let words = Plain.group(&stream, first);
            for (i, counter) in (first..=first + (LANES as u32 - 1)).enumerate() {
                let expected = block([counter, 9 << 3 | 4, 5, 6], [7, 8], ROUNDS);
                assert_eq!([words[i], words[LANES + i], words[2 * LANES + i], words[3 * LANES + i]], expected);
            }
        }
    }

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
