//! What is said to x86 processors in their own instructions: Philox, of which the compiler makes too much (the lane loop of
//! [`Plain`](super::Plain) needs more registers than AVX2 has; with AVX-512 it prepares keys anew for each group and packs
//! words one half register at a time), and which memory is wanted next.
//!
//! Words of 32 bits stand in lanes of 64, as in `Plain`. Which block stands in which lane of two registers is chosen so that the
//! words come out in order when one shuffle packs the two into one.
//!
//! pulp's tokens prove that the processor has the instructions, so nothing here is unsafe.

use std::arch::x86_64::{__m256i, __m512i, _MM_HINT_T0};

use pulp::x86::{V3, V4};

use super::Lanes;
use crate::rng::poisson::Table;
use crate::rng::{GROUP, LANES, LATE, MULTIPLIER, Stream, Words};

/// A [`Stream`] in registers: each word in all lanes.
#[derive(Clone, Copy)]
pub(crate) struct Wide<V> {
    multiplier: [V; 2],
    first: V,
    second: [V; 3],
    keys: [[V; 2]; LATE],
}

impl<V> Wide<V> {
    #[inline(always)]
    fn new(stream: &Stream, all: impl Fn(u32) -> V + Copy) -> Self {
        let Stream { first, second, keys } = *stream;
        Self {
            multiplier: MULTIPLIER.map(all),
            first: all(first),
            second: second.map(all),
            keys: keys.map(|pair| pair.map(all)),
        }
    }
}

impl Lanes for V3 {
    type Stream = Wide<__m256i>;

    #[inline(always)]
    fn prepare(self, stream: &Stream) -> Self::Stream {
        Wide::new(
            stream,
            #[inline(always)]
            |x| self.avx._mm256_set1_epi32(x.cast_signed()),
        )
    }

    /// Eight blocks at a time.
    #[inline(always)]
    fn group(self, stream: &Self::Stream, first_block: u32) -> Words {
        const WIDTH: usize = 8;
        let (avx, avx2) = (self.avx, self.avx2);
        let Wide { multiplier, first, second, keys } = *stream;
        let mut words = [0; GROUP];
        for half in (0..LANES).step_by(WIDTH) {
            let start = avx._mm256_set1_epi32(first_block.wrapping_add(half as u32).cast_signed());
            let even = avx2._mm256_add_epi32(start, avx._mm256_setr_epi32(0, 0, 1, 0, 4, 0, 5, 0));
            let odd = avx2._mm256_add_epi32(start, avx._mm256_setr_epi32(2, 0, 3, 0, 6, 0, 7, 0));
            let mut blocks = [[even; 4], [odd; 4]];
            for c in &mut blocks {
                let q = avx2._mm256_mul_epu32(c[0], multiplier[0]);
                let mixed = avx2._mm256_xor_si256(avx2._mm256_srli_epi64::<32>(q), first);
                let r = avx2._mm256_mul_epu32(mixed, multiplier[1]);
                let high = avx2._mm256_srli_epi64::<32>(r);
                let [s0, s2, s3] = second;
                *c = [avx2._mm256_xor_si256(high, s0), r, avx2._mm256_xor_si256(q, s2), s3];
                for k in keys {
                    let p0 = avx2._mm256_mul_epu32(c[0], multiplier[0]);
                    let p1 = avx2._mm256_mul_epu32(c[2], multiplier[1]);
                    let (high0, high1) = (avx2._mm256_srli_epi64::<32>(p0), avx2._mm256_srli_epi64::<32>(p1));
                    let c0 = avx2._mm256_xor_si256(high1, avx2._mm256_xor_si256(c[1], k[0]));
                    let c2 = avx2._mm256_xor_si256(high0, avx2._mm256_xor_si256(c[3], k[1]));
                    *c = [c0, p1, c2, p0];
                }
            }
            for j in 0..4 {
                let packed = avx._mm256_shuffle_ps::<0x88>(pulp::cast(blocks[0][j]), pulp::cast(blocks[1][j]));
                let eight: [u32; WIDTH] = pulp::cast(packed);
                words[j * LANES + half..][..WIDTH].copy_from_slice(&eight);
            }
        }
        words
    }

    #[inline(always)]
    fn fetch<R>(self, place: &R) {
        self.sse._mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(place).cast());
    }
}

impl Lanes for V4 {
    type Stream = Wide<__m512i>;

    #[inline(always)]
    fn prepare(self, stream: &Stream) -> Self::Stream {
        Wide::new(
            stream,
            #[inline(always)]
            |x| self.avx512f._mm512_set1_epi32(x.cast_signed()),
        )
    }

    #[inline(always)]
    fn group(self, stream: &Self::Stream, first_block: u32) -> Words {
        /// The exclusive or of three, by its table of truth.
        const XOR: i32 = 0x96;
        let avx = self.avx512f;
        let Wide { multiplier, first, second, keys } = *stream;
        let start = avx._mm512_set1_epi32(first_block.cast_signed());
        let even = avx._mm512_setr_epi32(0, 0, 1, 0, 4, 0, 5, 0, 8, 0, 9, 0, 12, 0, 13, 0);
        let odd = avx._mm512_setr_epi32(2, 0, 3, 0, 6, 0, 7, 0, 10, 0, 11, 0, 14, 0, 15, 0);
        let mut blocks = [[avx._mm512_add_epi32(start, even); 4], [avx._mm512_add_epi32(start, odd); 4]];
        for c in &mut blocks {
            let q = avx._mm512_mul_epu32(c[0], multiplier[0]);
            let mixed = avx._mm512_xor_si512(avx._mm512_srli_epi64::<32>(q), first);
            let r = avx._mm512_mul_epu32(mixed, multiplier[1]);
            let high = avx._mm512_srli_epi64::<32>(r);
            let [s0, s2, s3] = second;
            *c = [avx._mm512_xor_si512(high, s0), r, avx._mm512_xor_si512(q, s2), s3];
            for k in keys {
                let p0 = avx._mm512_mul_epu32(c[0], multiplier[0]);
                let p1 = avx._mm512_mul_epu32(c[2], multiplier[1]);
                let (high0, high1) = (avx._mm512_srli_epi64::<32>(p0), avx._mm512_srli_epi64::<32>(p1));
                let c0 = avx._mm512_ternarylogic_epi32::<XOR>(high1, c[1], k[0]);
                let c2 = avx._mm512_ternarylogic_epi32::<XOR>(high0, c[3], k[1]);
                *c = [c0, p1, c2, p0];
            }
        }
        let mut words = [0; GROUP];
        for (j, words) in words.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            *words = pulp::cast(avx._mm512_shuffle_ps::<0x88>(pulp::cast(blocks[0][j]), pulp::cast(blocks[1][j])));
        }
        words
    }

    #[inline(always)]
    fn counts(self, table: &Table, words: &[u32], counts: &mut [f32]) {
        if let Some(columns) = table.within::<64>() {
            counts_from(self, columns, words, counts);
        } else if let Some(columns) = table.within::<128>() {
            counts_from(self, columns, words, counts);
        } else {
            table.draw_all(words, counts);
        }
    }

    #[inline(always)]
    fn fetch<R>(self, place: &R) {
        self.sse._mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(place).cast());
    }
}

/// Poisson numbers from tables that are looked up in registers, in a part of the time that fetching one column after the other takes.
#[inline(always)]
fn counts_from<const N: usize>(
    v4: V4,
    ([thresholds, numbers], bits, first): ([&[u32; N]; 2], u32, u32),
    words: &[u32],
    counts: &mut [f32],
) {
    let avx = v4.avx512f;
    let [into, out] = [bits, 32 - bits].map(|count| v4.sse2._mm_cvtsi32_si128(count.cast_signed()));
    let (first, half) = (avx._mm512_set1_epi32(first.cast_signed()), avx._mm512_set1_epi32(0xffff));
    for (counts, words) in counts.as_chunks_mut::<LANES>().0.iter_mut().zip(words.as_chunks::<LANES>().0) {
        let w: __m512i = pulp::cast(*words);
        let column = avx._mm512_srl_epi32(w, out);
        let above = avx._mm512_cmpgt_epu32_mask(avx._mm512_sll_epi32(w, into), look_up(v4, thresholds, column));
        let number = look_up(v4, numbers, column);
        let number = avx._mm512_and_si512(avx._mm512_mask_srli_epi32::<16>(number, above, number), half);
        *counts = pulp::cast(avx._mm512_cvtepi32_ps(avx._mm512_add_epi32(number, first)));
    }
}

/// The entries of a table that indices name. A register takes 16 entries, and an instruction looks into two of them.
#[inline(always)]
fn look_up<const N: usize>(v4: V4, table: &[u32; N], index: __m512i) -> __m512i {
    let avx = v4.avx512f;
    let mut found = index;
    for (i, pair) in table.as_chunks::<32>().0.iter().enumerate() {
        let [low, high]: [__m512i; 2] = pulp::cast(*pair);
        let here = avx._mm512_permutex2var_epi32(low, index, high);
        let reached = avx._mm512_cmpge_epu32_mask(index, avx._mm512_set1_epi32(32 * i as i32));
        found = avx._mm512_mask_blend_epi32(reached, found, here);
    }
    found
}
