//! Noise kinds for the tests, of which each file takes some.
#![allow(dead_code)]

pub mod statistics;

use unblot_core::{Noise, PoissonMode};

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
