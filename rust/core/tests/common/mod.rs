//! Specifications for the tests.

use unblot_core::{AreaSplit, Base, Mode, Noise, Overlap, Placement, PoissonMode, RatioPer, RatioSampling, Spec};

/// The defaults that users see.
pub fn default_spec() -> Spec {
    Spec {
        scale: (0.1, 0.2),
        num_boxes: (1, 4),
        area_split: AreaSplit::Dirichlet,
        ratio: (0.3, 3.3),
        ratio_sampling: RatioSampling::Log,
        ratio_per: RatioPer::Box,
        placement: Placement::Inside,
        overlap: Overlap::Forbid,
        base: Base::Gray,
        noise: vec![gaussian(0.2), salt_pepper(0.5, false), poisson(PoissonMode::Shot), laplace(0.15)],
        weights: vec![1.0; 4],
        mode: Mode::Choose,
        p: 1.0,
        full: false,
    }
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
