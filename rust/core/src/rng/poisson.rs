//! Poisson numbers from one random word by Walker's alias method, with tables made by elementary arithmetic alone.
//!
//! A rate that varies from pixel to pixel is split: λ = λ' + δ, where λ' is a multiple of the grid's step and has a table,
//! and δ is less than a step. P(λ') + P(δ) has the distribution of P(λ) exactly, so the grid costs no accuracy.

use crate::math::exp;

/// Highest accepted rate: a table has about 13·√λ entries.
pub(crate) const RATE_MAX: f64 = 65_536.0;

/// Columns that a table has room for at least: enough for rates up to about 90.
const SMALL: usize = 128;

/// Walker's alias table of one rate.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// log2 of the number of columns, at least 1.
    bits: u32,
    /// The lowest number that is drawn.
    first: u32,
    columns: Vec<Column>,
    /// The halves of small tables' columns apart: thresholds, and the numbers that go with them.
    halves: [Vec<u32>; 2],
}

/// One column in one word, so that lanes fetch it at once: from the highest bit on 32 bits of a threshold, then by how much the
/// number drawn above the threshold, and that drawn up to it, exceed the lowest one, 16 bits each.
#[derive(Debug, Clone, Copy)]
struct Column(u64);

impl Column {
    fn new(threshold: u32, below: usize, above: usize) -> Self {
        debug_assert!(u16::try_from(below.max(above)).is_ok());
        Self(u64::from(threshold) << 32 | (above as u64) << 16 | below as u64)
    }

    /// Threshold, what is drawn up to it, and what above it.
    #[inline(always)]
    fn parts(self) -> (u32, u32, u32) {
        ((self.0 >> 32) as u32, self.0 as u32 & 0xffff, self.0 as u32 >> 16)
    }

    /// High and low halves.
    fn halves(columns: &[Self]) -> [Vec<u32>; 2] {
        [32, 0].map(|shift| columns.iter().map(|column| (column.0 >> shift) as u32).collect())
    }
}

impl Table {
    /// Its columns: threshold, number drawn up to it, number drawn above it.
    pub(crate) fn columns(&self) -> impl Iterator<Item = [u32; 3]> {
        let columns = self.columns[..1 << self.bits].iter().map(|column| column.parts());
        columns.map(|(threshold, below, above)| [threshold, self.first + below, self.first + above])
    }

    /// Table of P(rate); what has less than 2⁻⁴⁰ of the mode's probability is left out.
    pub(crate) fn new(rate: f64) -> Self {
        const CUT: f64 = 1.0 / 1_099_511_627_776.0;
        let mode = rate.floor();
        let mut down = vec![];
        let (mut k, mut p) = (mode, 1.0);
        while k > 0.0 && p > CUT {
            p *= k / rate;
            k -= 1.0;
            down.push(p);
        }
        let first = k as u32;
        let mut weights: Vec<f64> = down.into_iter().rev().collect();
        let (mut k, mut p) = (mode, 1.0);
        while p > CUT {
            weights.push(p);
            k += 1.0;
            p *= rate / k;
        }
        Self::alias(first, &weights)
    }

    /// Vose's construction of the alias table.
    fn alias(first: u32, weights: &[f64]) -> Self {
        let size = weights.len().next_power_of_two().max(2);
        let total: f64 = weights.iter().sum();
        let mut share: Vec<f64> = weights.iter().map(|w| w / total * size as f64).collect();
        share.resize(size, 0.0);
        let whole = |i| Column::new(u32::MAX, i, i);
        let mut columns: Vec<Column> = (0..size).map(whole).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..size).partition(|&i| share[i] < 1.0);
        while let (Some(&poor), Some(&rich)) = (small.last(), large.last()) {
            small.pop();
            let own = if share[poor] > 0.0 { poor } else { rich };
            columns[poor] = Column::new((share[poor] * 4_294_967_296.0) as u32, own, rich);
            share[rich] -= 1.0 - share[poor];
            if share[rich] < 1.0 {
                large.pop();
                small.push(rich);
            }
        }
        // What is left differs from 1 by rounding alone and keeps its whole column, unless it is padding.
        for i in small.into_iter().filter(|i| *i >= weights.len()) {
            columns[i] = Column::new(0, 0, 0);
        }
        columns.resize(size.max(SMALL), Column::new(0, 0, 0));
        let halves = if columns.len() > SMALL { [vec![], vec![]] } else { Column::halves(&columns) };
        Self { bits: size.trailing_zeros(), first, columns, halves }
    }

    /// The number that the word stands for.
    #[inline(always)]
    pub(crate) fn draw(&self, w: u32) -> f32 {
        let (threshold, below, above) = self.columns[(w >> (32 - self.bits)) as usize].parts();
        let excess = if w << self.bits <= threshold { below } else { above };
        (self.first + excess).cast_signed() as f32
    }

    /// The numbers that words stand for.
    #[inline(always)]
    pub(crate) fn draw_all(&self, words: &[u32], counts: &mut [f32]) {
        match self.columns.first_chunk::<SMALL>() {
            Some(columns) if self.bits <= SMALL.ilog2() => {
                draw_from(columns, (self.bits, self.first), words, counts);
            }
            _ => {
                for (count, w) in counts.iter_mut().zip(words) {
                    *count = self.draw(*w);
                }
            }
        }
    }

    /// The halves of the columns of a table that has at most `N`, with its bits and its lowest number.
    #[inline(always)]
    pub(crate) fn within<const N: usize>(&self) -> Option<([&[u32; N]; 2], u32, u32)> {
        let [thresholds, numbers] = &self.halves;
        if 1 << self.bits > N {
            return None;
        }
        Some(([thresholds.first_chunk()?, numbers.first_chunk()?], self.bits, self.first))
    }
}

/// A loop without a branch, and with everything in arguments, which tell the compiler that they lie apart in memory: lanes.
#[inline(always)]
fn draw_from(columns: &[Column; SMALL], (bits, first): (u32, u32), words: &[u32], counts: &mut [f32]) {
    for (count, w) in counts.iter_mut().zip(words) {
        let (threshold, below, above) = columns[(w >> (32 - bits)) as usize % SMALL].parts();
        let excess = if w << bits <= threshold { below } else { above };
        *count = (first + excess).cast_signed() as f32;
    }
}

/// Tables for every rate up to a highest one.
#[derive(Debug, Clone)]
pub(crate) struct Grid {
    step: f64,
    tables: Vec<Table>,
}

impl Grid {
    /// From one rate to the next, and the tables of 0, 1, 2, ... steps.
    pub(crate) fn parts(&self) -> (f64, &[Table]) {
        (self.step, &self.tables)
    }

    /// Grid of 256 tables for rates in [0, `highest`]; the pixels of an 8-bit image fall on it.
    pub(crate) fn new(highest: f64) -> Self {
        let step = highest / 255.0;
        let tables = (0..=255).map(|i| Table::new(f64::from(i) * step)).collect();
        Self { step, tables }
    }

    /// A draw of P(rate) from two words.
    pub(crate) fn draw(&self, rate: f64, w: u32, w_rest: u32) -> f32 {
        let node = ((rate / self.step) as usize).min(255);
        let rest = rate - node as f64 * self.step;
        self.tables[node].draw(w) + if rest > 0.0 { small(rest, w_rest) } else { 0.0 }
    }
}

/// P(rate) for a rate up to 257 by inversion from below: the loop ends at the latest where the terms no longer add up.
fn small(rate: f64, w: u32) -> f32 {
    let u = (f64::from(w) + 0.5) / 4_294_967_296.0;
    let mut p = exp(-rate);
    let (mut k, mut sum) = (0.0, p);
    while u > sum && p > 0.0 {
        k += 1.0;
        p *= rate / k;
        let next = sum + p;
        if next == sum && k > rate {
            break;
        }
        sum = next;
    }
    k as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::GROUP;
    use crate::simd::{Lanes, Level, Work};

    /// Chi-square of draws from evenly spread words against the exact probabilities.
    fn check(rate: f64, draw: impl Fn(u32, u32) -> f32) {
        let n = 400_000_u32;
        let mut counts = std::collections::BTreeMap::new();
        for i in 0..n {
            let a = crate::rng::block([i, 1, 2, 3], [4, 5], crate::rng::ROUNDS);
            *counts.entry(draw(a[0], a[1]) as u32).or_insert(0_u32) += 1;
        }
        let (mut chi2, mut cells, mut expected_tail, mut seen_tail) = (0.0, 0, f64::from(n), f64::from(n));
        let mut ln_p = -rate;
        for k in 0..(rate + 12.0 * rate.sqrt() + 30.0) as u32 {
            if k > 0 {
                ln_p += (rate / f64::from(k)).ln();
            }
            let expected = ln_p.exp() * f64::from(n);
            if expected >= 10.0 {
                let seen = f64::from(*counts.get(&k).unwrap_or(&0));
                chi2 += (seen - expected).powi(2) / expected;
                cells += 1;
                expected_tail -= expected;
                seen_tail -= seen;
            }
        }
        chi2 += (seen_tail - expected_tail).powi(2) / expected_tail.max(1.0);
        let freedom = f64::from(cells);
        assert!(chi2 < freedom + 5.0 * (2.0 * freedom).sqrt() + 8.0, "rate {rate}: chi-square {chi2} of {cells} cells");
    }

    #[test]
    fn tables_have_the_poisson_distribution() {
        for rate in [0.003, 0.5, 1.0, 2.5, 15.0, 30.0, 400.0] {
            let table = Table::new(rate);
            check(rate, |w, _| table.draw(w));
        }
    }

    /// Numbers of many words at a level of instructions.
    struct Counts<'a>(&'a Table, &'a [u32]);

    impl Work for Counts<'_> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) -> Vec<f32> {
            let mut counts = vec![0.0; self.1.len()];
            lanes.counts(self.0, self.1, &mut counts);
            counts
        }
    }

    #[test]
    fn levels_draw_what_the_tables_draw() {
        let spread = (0..64_000_u32).map(|i| i.wrapping_mul(2_654_435_761));
        let words: Vec<u32> = spread.chain((0..GROUP as u32).map(|i| u32::MAX - i)).collect();
        for rate in [0.0, 0.003, 2.5, 15.0, 30.0, 80.0, 400.0] {
            let table = Table::new(rate);
            let expected: Vec<f32> = words.iter().map(|w| table.draw(*w)).collect();
            for (name, level) in Level::all() {
                assert!(level.run_with_words(Counts(&table, &words)) == expected, "rate {rate}, {name}");
            }
        }
    }

    #[test]
    fn grid_plus_rest_has_the_poisson_distribution() {
        let grid = Grid::new(60.0);
        for rate in [0.01, 0.2, 3.37, 29.9, 59.99] {
            check(rate, |w, v| grid.draw(rate, w, v));
        }
        let coarse = Grid::new(RATE_MAX);
        check(2.0 / 3.0 * 256.0, |w, v| coarse.draw(2.0 / 3.0 * 256.0, w, v));
    }

    #[test]
    fn rate_zero_gives_zero_for_every_word() {
        let table = Table::new(0.0);
        for w in [0, 1, u32::MAX / 2, u32::MAX] {
            assert_eq!(table.draw(w), 0.0);
            assert_eq!(Grid::new(10.0).draw(0.0, w, w), 0.0);
        }
    }
}
