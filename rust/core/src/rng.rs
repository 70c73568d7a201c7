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

pub(crate) mod poisson;

/// Rounds of the core's generator: the fewest that the authors call Crush-resistant; they recommend 10 where time is no matter.
pub const ROUNDS: u32 = 7;

/// Blocks computed side by side.
pub const LANES: usize = 16;

/// Values of one group of blocks: [`LANES`] blocks of four words.
pub const GROUP: usize = 4 * LANES;

pub(crate) const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// The words of one group: word `j` of block `i` stands at `16 * j + i`.
pub type Words = [u32; GROUP];

/// One block of Philox4x32 with the given number of rounds.
///
/// ```
/// // Random123's known-answer vector for ten rounds of zeros.
/// let words = unblot_core::rng::block([0; 4], [0; 2], 10);
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
pub(crate) const LATE: usize = ROUNDS as usize - 2;

/// What the blocks of a stream have in common. They differ in one word of the counter, so in the first two rounds one product of
/// two is the same for all: with q = multiplier 0 · block and r = multiplier 1 · (high(q) ^ `first`), the words of a block after two
/// rounds are high(r) ^ `second[0]`, low(r), low(q) ^ `second[1]` and `second[2]`.
#[derive(Clone, Copy)]
pub(crate) struct Stream {
    pub first: u32,
    pub second: [u32; 3],
    /// Keys of the other rounds.
    pub keys: [[u32; 2]; LATE],
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
}
