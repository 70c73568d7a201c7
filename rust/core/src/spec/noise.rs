//! The kinds of noise and their parameters.

use super::Range;

/// The two kinds of Poisson noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoissonMode {
    /// P(peak · v) / peak.
    Shot,
    /// v + strength · (P(peak) − peak) / √peak.
    Additive,
}

/// A noise kind.
///
/// ```
/// use unblot_core::Noise;
///
/// let noise = Noise::Gaussian { sigma: (0.1, 0.3), mean: (0.0, 0.0) };
/// assert_eq!(noise.name(), "gaussian");
/// ```
///
/// Its parameters are in units of the value range and are drawn per box.
#[derive(Debug, Clone, PartialEq)]
pub enum Noise {
    /// v + mean + sigma · N(0, 1).
    Gaussian {
        /// Standard deviation.
        sigma: Range,
        /// Mean.
        mean: Range,
    },
    /// With probability `amount` a pixel becomes the highest (share `salt`) or the lowest value.
    SaltPepper {
        /// Probability that a pixel is hit.
        amount: Range,
        /// Share of the highest value among the hits.
        salt: Range,
        /// Whether channels are hit independently.
        per_channel: bool,
    },
    /// Poisson noise.
    Poisson {
        /// Expected count of the highest value.
        peak: Range,
        /// Standard deviation of the additive mode.
        strength: Range,
        /// Shot or additive.
        mode: PoissonMode,
    },
    /// v + mean + scale · L(0, 1).
    Laplace {
        /// The distribution's b; the standard deviation is b·√2.
        scale: Range,
        /// Mean.
        mean: Range,
    },
    /// gain · v + offset of a patch of an uncorrupted image, blended with the box's pixels; the base is not used.
    Paste {
        /// Factor of the patch's values.
        gain: Range,
        /// What is added to them.
        offset: Range,
        /// Share of the patch in the blend.
        opacity: Range,
        /// Whether the patch is mirrored at random, top to bottom and left to right.
        flip: bool,
        /// Whether the patch comes from another image of the batch instead of another place of the same image.
        from_batch: bool,
    },
}

impl Noise {
    /// Name of the kind.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Gaussian { .. } => "gaussian",
            Self::SaltPepper { .. } => "salt_pepper",
            Self::Poisson { .. } => "poisson",
            Self::Laplace { .. } => "laplace",
            Self::Paste { .. } => "paste",
        }
    }

    pub(super) fn is_shot(&self) -> bool {
        matches!(self, Self::Poisson { mode: PoissonMode::Shot, .. })
    }
}
