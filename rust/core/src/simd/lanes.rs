//! How the words of a group are made: in lane loops that any compiler can vectorise, or in a processor's own instructions.

use crate::rng::poisson::Table;
use crate::rng::{GROUP, LANES, MULTIPLIER, Stream, Words};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Layer, ROUNDS, block, keys};

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
}
