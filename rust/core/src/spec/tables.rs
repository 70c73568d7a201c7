//! The Poisson tables of a plan in flat arrays.

use super::{Plan, PoissonTables};
use crate::rng::poisson::Table;

/// All Poisson tables of a plan in flat arrays, for a twin of this core on another device.
///
/// In a table of 2ᵇ columns (b ≥ 1) the word w falls into column w >> (32 − b); it draws the column's second number where
/// (w << b) is at most its first, and the third where not.
///
/// ```
/// use unblot_core::{Plan, Spec};
///
/// # fn main() -> Result<(), unblot_core::Error> {
/// // Of the four default kinds one is Poisson noise, on a gray base: one table.
/// let tables = Plan::new(Spec::default())?.poisson_tables();
/// assert_eq!(tables.rates, [15.0]);
/// assert_eq!(*tables.starts.last().unwrap() as usize, tables.columns.len());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct TableArrays {
    /// For each entry of the noise list the step of its grid of rates; 0 where the few rates that occur have tables of their own,
    /// or where the noise is of another kind.
    pub steps: Vec<f64>,
    /// Number of each entry's first table, and at the end of all tables. Table i of a grid has the rate i · step.
    pub entries: Vec<u32>,
    /// Rate of each table.
    pub rates: Vec<f64>,
    /// First column of each table, and at the end the number of all columns.
    pub starts: Vec<u32>,
    /// Columns: threshold, number drawn up to it, number drawn above it.
    pub columns: Vec<[u32; 3]>,
}

impl TableArrays {
    fn push(&mut self, rate: f64, table: &Table) {
        self.rates.push(rate);
        self.columns.extend(table.columns());
        self.starts.push(self.columns.len() as u32);
    }
}

impl Plan {
    /// The tables that Poisson numbers are drawn from.
    #[must_use]
    pub fn poisson_tables(&self) -> TableArrays {
        let mut arrays =
            TableArrays { steps: vec![], entries: vec![0], rates: vec![], starts: vec![0], columns: vec![] };
        for entry in &self.poisson {
            let step = match entry {
                PoissonTables::Unused => 0.0,
                PoissonTables::Fixed(tables) => {
                    for (rate, table) in tables {
                        arrays.push(f64::from(*rate), table);
                    }
                    0.0
                }
                PoissonTables::Grid(grid) => {
                    let (step, tables) = grid.parts();
                    for (i, table) in (0..).zip(tables) {
                        arrays.push(f64::from(i) * step, table);
                    }
                    step
                }
            };
            arrays.steps.push(step);
            arrays.entries.push(arrays.rates.len() as u32);
        }
        arrays
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a twin draws from the exported arrays is what the tables draw.
    #[test]
    fn arrays_draw_what_the_tables_draw() {
        use crate::spec::{Base, Noise, PoissonMode, Spec};
        let poisson = |peak| Noise::Poisson { peak, strength: (0.2, 0.2), mode: PoissonMode::Shot };
        let noise =
            vec![Noise::Gaussian { sigma: (0.2, 0.2), mean: (0.0, 0.0) }, poisson((7.0, 7.0)), poisson((2.0, 90.0))];
        let base = Base::Levels(vec![0.2, 1.0]);
        let plan = Plan::new(Spec { base, noise, weights: vec![1.0; 3], ..Spec::default() }).unwrap();
        let arrays = plan.poisson_tables();
        assert_eq!(arrays.entries, [0, 0, 2, 258]);
        assert_eq!(arrays.steps, [0.0, 0.0, 90.0 / 255.0]);
        assert_eq!(arrays.rates[..2], [f64::from(7.0_f32 * 0.2), 7.0]);
        let PoissonTables::Fixed(fixed) = &plan.poisson[1] else { panic!("a fixed peak") };
        let PoissonTables::Grid(grid) = &plan.poisson[2] else { panic!("a range of peaks") };
        let tables = fixed.iter().map(|(_, table)| table).chain(grid.parts().1);
        for (i, table) in tables.enumerate() {
            let columns = &arrays.columns[arrays.starts[i] as usize..arrays.starts[i + 1] as usize];
            let bits = columns.len().trailing_zeros();
            for w in (0..2000_u32).map(|i| i.wrapping_mul(2_654_435_761)).chain([u32::MAX]) {
                let [threshold, below, above] = columns[(w >> (32 - bits)) as usize];
                let drawn = if w << bits <= threshold { below } else { above };
                assert_eq!(drawn as f32, table.draw(w), "table {i}, word {w}");
            }
        }
    }
}
