//! A specification that was found valid, with everything that can be computed beforehand.

use super::check::check;
use super::{Base, Noise, PoissonMode, Range, Spec};
use crate::Error;
use crate::math::ln;
use crate::rng::poisson::{Grid, Table};

/// The most boxes that may be asked for in one image.
pub(crate) const BOXES_MAX: usize = 1024;

/// A valid specification with everything that can be computed beforehand.
///
/// ```
/// use unblot_core::{Plan, Spec};
///
/// assert!(Plan::new(Spec::default()).is_ok());
/// assert!(Plan::new(Spec { scale: (0.3, 0.2), ..Spec::default() }).is_err());
/// ```
#[derive(Debug, Clone)]
pub struct Plan {
    pub(crate) spec: Spec,
    pub(crate) ratio_ln: Range,
    pub(crate) poisson: Vec<PoissonTables>,
}

/// Tables for one entry of the noise list (empty for other kinds).
#[derive(Debug, Clone)]
pub(crate) enum PoissonTables {
    Unused,
    /// The few rates that occur, by their bits: flat bases and a fixed peak.
    Fixed(Vec<(f32, Table)>),
    /// Any rate up to the highest.
    Grid(Grid),
}

impl Plan {
    /// Check a specification and prepare it.
    ///
    /// # Errors
    /// [`Error::Parameter`] names the first parameter that is out of range or contradicts another.
    pub fn new(spec: Spec) -> Result<Self, Error> {
        check(&spec)?;
        let ratio_ln = (ln(spec.ratio.0), ln(spec.ratio.1));
        let poisson = spec.noise.iter().map(|noise| poisson_tables(noise, &spec.base)).collect();
        Ok(Self { spec, ratio_ln, poisson })
    }

    /// The specification that this plan was made from.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }
}

/// The levels that a flat base can take; none for the image's own pixels.
fn flat_levels(base: &Base) -> Vec<f32> {
    match base {
        Base::Black => vec![0.0],
        Base::White => vec![1.0],
        Base::Gray => vec![0.5],
        Base::Random => vec![0.0, 0.5, 1.0],
        Base::Levels(levels) => levels.clone(),
        Base::Image | Base::Any => vec![],
    }
}

fn poisson_tables(noise: &Noise, base: &Base) -> PoissonTables {
    let Noise::Poisson { peak, mode, .. } = noise else {
        return PoissonTables::Unused;
    };
    let peak_f32 = peak.0 as f32;
    let rates: Vec<f32> = match mode {
        PoissonMode::Additive => vec![peak_f32],
        PoissonMode::Shot => flat_levels(base).iter().map(|level| peak_f32 * level).collect(),
    };
    if peak.0 == peak.1 && !rates.is_empty() {
        PoissonTables::Fixed(rates.into_iter().map(|rate| (rate, Table::new(f64::from(rate)))).collect())
    } else {
        PoissonTables::Grid(Grid::new(f64::from(peak.1 as f32)))
    }
}
