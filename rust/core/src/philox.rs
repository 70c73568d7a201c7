//! Philox4x32, the counter-based generator of Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3" (SC 2011).
//!
//! A block of four 32-bit words is a function of a 128-bit counter and a 64-bit key; nothing is drawn in sequence. The core uses
//!
//! - key: the 64-bit seed,
//! - counter: (block, stream, image key low, image key high),
//!
//! where a stream is one layer of one box ([`stream`]). Within a stream, value `n` is word `(n / 16) % 4` of block
//! `16 * (n / 64) + n % 16`: sixteen blocks make a group of 64 consecutive values, whose words stand side by side in
//! vector registers of any width, so that every SIMD level makes the same values without a shuffle.

#[cfg(target_arch = "x86_64")]
mod x86;

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

/// How the words of a group are made: the same words in every way.
pub(crate) trait Lanes: Copy {
    /// What the rounds need of a key.
    type Keys: Copy;

    /// Prepare a key.
    fn keys(self, key: [u32; 2]) -> Self::Keys;

    /// [`LANES`] consecutive blocks.
    fn group(self, keys: &Self::Keys, first_block: u32, stream: u32, image: [u32; 2]) -> Words;

    /// Have a place of memory on its way to the cache, where the processor can be asked to.
    fn fetch<R>(self, _place: &R) {}
}

/// Lane loops that the compiler turns into vector code, best where a register holds eight words or more of 64 bits.
///
/// Words stand in 64-bit lanes, where a multiplication takes the low half of each and leaves the whole product; high halves hold
/// leftovers that the next multiplication or the final truncation drops.
#[derive(Clone, Copy)]
pub(crate) struct Plain;

impl Lanes for Plain {
    type Keys = [u32; 2];

    #[inline(always)]
    fn keys(self, key: [u32; 2]) -> [u32; 2] {
        key
    }

    #[inline(always)]
    fn group(self, key: &[u32; 2], first_block: u32, stream: u32, image: [u32; 2]) -> Words {
        const LOW: u64 = 0xffff_ffff;
        let mut c0: [u64; LANES] = std::array::from_fn(|i| u64::from(first_block.wrapping_add(i as u32)));
        let mut c1 = [u64::from(stream); LANES];
        let mut c2 = [u64::from(image[0]); LANES];
        let mut c3 = [u64::from(image[1]); LANES];
        for k in round_keys(*key) {
            for i in 0..LANES {
                let p0 = u64::from(MULTIPLIER[0]) * (c0[i] & LOW);
                let p1 = u64::from(MULTIPLIER[1]) * (c2[i] & LOW);
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

/// The key of each round.
#[inline(always)]
fn round_keys(key: [u32; 2]) -> [[u32; 2]; ROUNDS as usize] {
    let mut next = key;
    std::array::from_fn(|_| {
        let this = next;
        next = [this[0].wrapping_add(WEYL[0]), this[1].wrapping_add(WEYL[1])];
        this
    })
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

/// The second counter word: box number and layer.
pub(crate) fn stream(box_number: u32, layer: Layer) -> u32 {
    box_number << 3 | layer as u32
}

/// Low and high half of a 64-bit number.
pub(crate) fn halves(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

/// Words of one image's geometry stream, taken one after the other: how many are needed depends on what fits.
pub(crate) struct Sequence {
    key: [u32; 2],
    image: [u32; 2],
    words: Words,
    taken: usize,
}

impl Sequence {
    /// The first group, which serves most images, is made with the caller's instructions.
    #[inline(always)]
    pub(crate) fn new<L: Lanes>(lanes: L, keys: &L::Keys, seed: u64, image: u64) -> Self {
        let (key, image) = (halves(seed), halves(image));
        Self { key, image, words: lanes.group(keys, 0, stream(0, Layer::Geometry), image), taken: 0 }
    }

    /// The next word: block after block, the four words of each in order.
    fn word(&mut self) -> u32 {
        let at = self.taken % GROUP;
        if at == 0 && self.taken > 0 {
            let block = self.taken / 4;
            self.words = Plain.group(&self.key, block as u32, stream(0, Layer::Geometry), self.image);
        }
        self.taken += 1;
        self.words[at % 4 * LANES + at / 4]
    }

    /// Uniform in (0, 1), at the centre of one of 2³² equal cells.
    pub(crate) fn unit(&mut self) -> f64 {
        (f64::from(self.word()) + 0.5) / 4_294_967_296.0
    }

    /// Uniform between two bounds.
    pub(crate) fn range(&mut self, (low, high): (f64, f64)) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform in 0..n (n ≥ 1); its bias is below n / 2³².
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
            let words = Plain.group(&[7, 8], first, 77, [5, 6]);
            for (i, counter) in (first..=first + (LANES as u32 - 1)).enumerate() {
                let expected = block([counter, 77, 5, 6], [7, 8], ROUNDS);
                assert_eq!([words[i], words[LANES + i], words[2 * LANES + i], words[3 * LANES + i]], expected);
            }
        }
    }

    /// A sequence takes the words of block 0, 1, 2 and so on, also past its first group.
    #[test]
    fn sequence_is_block_after_block() {
        let mut s = Sequence::new(Plain, &[7, 8], 0x0000_0008_0000_0007, 0x0000_0006_0000_0005);
        for counter in 0..40 {
            let words = [s.word(), s.word(), s.word(), s.word()];
            assert_eq!(words, block([counter, 0, 5, 6], [7, 8], ROUNDS));
        }
    }

    #[test]
    fn sequence_is_uniform_and_bounded() {
        let mut s = Sequence::new(Plain, &[1, 0], 1, 2);
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
