//! What is said to x86 processors in their own instructions: Philox in the registers of AVX2, of which the lane loop of [`Plain`] would
//! need too many, and which memory is wanted next.
//!
//! pulp's tokens prove that the processor has the instructions, so nothing here is unsafe.

use std::arch::x86_64::{__m256i, _MM_HINT_T0};

use pulp::x86::{V3, V4};

use super::{GROUP, LANES, Lanes, MULTIPLIER, Plain, ROUNDS, Words, round_keys};

/// Lanes of 32 bits in a register.
const WIDTH: usize = 8;

impl Lanes for V3 {
    type Keys = [[__m256i; 2]; ROUNDS as usize];

    #[inline(always)]
    fn keys(self, key: [u32; 2]) -> Self::Keys {
        round_keys(key).map(|pair| pair.map(|k| self.avx._mm256_set1_epi32(k.cast_signed())))
    }

    /// Eight blocks at a time in two registers for each word, one block in 64 bits. Which block stands where is chosen so that
    /// the words come out in order when the two are packed into one.
    #[inline(always)]
    fn group(self, keys: &Self::Keys, first_block: u32, stream: u32, image: [u32; 2]) -> Words {
        let (avx, avx2) = (self.avx, self.avx2);
        let both = |x: u32| avx._mm256_set1_epi64x(i64::from(x));
        let multiplier = MULTIPLIER.map(both);
        let mut words = [0; GROUP];
        for half in (0..LANES).step_by(WIDTH) {
            let first = avx._mm256_set1_epi32(first_block.wrapping_add(half as u32).cast_signed());
            let even = avx2._mm256_add_epi32(first, avx._mm256_setr_epi32(0, 0, 1, 0, 4, 0, 5, 0));
            let odd = avx2._mm256_add_epi32(first, avx._mm256_setr_epi32(2, 0, 3, 0, 6, 0, 7, 0));
            let mut blocks = [even, odd].map(|c0| [c0, both(stream), both(image[0]), both(image[1])]);
            for k in keys {
                for c in &mut blocks {
                    let p0 = avx2._mm256_mul_epu32(c[0], multiplier[0]);
                    let p1 = avx2._mm256_mul_epu32(c[2], multiplier[1]);
                    let mix = |product, word, key| {
                        let high = avx2._mm256_srli_epi64::<32>(product);
                        avx2._mm256_xor_si256(high, avx2._mm256_xor_si256(word, key))
                    };
                    *c = [mix(p1, c[1], k[0]), p1, mix(p0, c[3], k[1]), p0];
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

/// The lane loop, in registers of eight words of 64 bits.
impl Lanes for V4 {
    type Keys = [u32; 2];

    #[inline(always)]
    fn keys(self, key: [u32; 2]) -> [u32; 2] {
        Plain.keys(key)
    }

    #[inline(always)]
    fn group(self, key: &[u32; 2], first_block: u32, stream: u32, image: [u32; 2]) -> Words {
        Plain.group(key, first_block, stream, image)
    }

    #[inline(always)]
    fn fetch<R>(self, place: &R) {
        self.sse._mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(place).cast());
    }
}
