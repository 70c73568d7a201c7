//! Short forms for the tests, of which each file takes some.
#![allow(dead_code)]

pub mod statistics;

use ndarray::{ArrayView4, ArrayViewMut4};
use unblot_core::{BoxDraw, Corruption, Error, Images, Index, Level, Noise, Plan, PoissonMode, Rendered};

/// The boxes of a batch.
pub fn draw(plan: &Plan, size: (usize, usize), channels: usize, index: Index<'_>) -> Result<Vec<BoxDraw>, Error> {
    Corruption::new(plan, index).draw(size, channels)
}

/// How much of each of their places is covered.
pub fn covers(plan: &Plan, size: (usize, usize), channels: usize, index: Index<'_>) -> Result<Vec<f32>, Error> {
    Corruption::new(plan, index).covers(size, channels)
}

/// Corrupt `src` into `dst`, or `dst` in place.
pub fn corrupt<T: Rendered>(
    plan: &Plan,
    dst: ArrayViewMut4<'_, T::Raw>,
    src: Option<&ArrayView4<'_, T::Raw>>,
    range: (f32, f32),
    index: Index<'_>,
    threads: usize,
    level: Level,
) -> Result<Vec<BoxDraw>, Error> {
    let images = match src {
        Some(src) => Images::copied(src, dst),
        None => Images::in_place(dst),
    };
    Corruption::new(plan, index).range(range).threads(threads).level(level).run::<T>(images)
}

pub fn gaussian(sigma: f64) -> Noise {
    Noise::Gaussian { sigma: (sigma, sigma), mean: (0.0, 0.0) }
}

pub fn laplace(scale: f64) -> Noise {
    Noise::Laplace { scale: (scale, scale), mean: (0.0, 0.0) }
}

pub fn salt_pepper(amount: f64, per_channel: bool) -> Noise {
    Noise::SaltPepper { amount: (amount, amount), salt: (0.5, 0.5), per_channel }
}

pub fn poisson(mode: PoissonMode) -> Noise {
    Noise::Poisson { peak: (30.0, 30.0), strength: (0.2, 0.2), mode }
}

pub fn paste(from_batch: bool) -> Noise {
    Noise::Paste { gain: (0.8, 1.2), offset: (-0.1, 0.1), opacity: (0.4, 1.0), flip: true, from_batch }
}
