//! The drawn boxes: where each lies, and all that its pixels depend on.

use crate::spec::{Base, Noise, Plan, Shape};

/// A set of noise kinds.
///
/// ```
/// use unblot_core::Kinds;
///
/// let both = Kinds(Kinds::GAUSSIAN | Kinds::LAPLACE);
/// assert!(both.has(Kinds::LAPLACE) && !both.has(Kinds::POISSON));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kinds(pub u8);

impl Kinds {
    /// Gaussian noise.
    pub const GAUSSIAN: u8 = 1;
    /// Salt-and-pepper noise.
    pub const SALT_PEPPER: u8 = 2;
    /// Poisson noise.
    pub const POISSON: u8 = 4;
    /// Laplace noise.
    pub const LAPLACE: u8 = 8;
    /// A pasted patch, which stands alone.
    pub const PASTE: u8 = 16;

    /// The bit of a noise kind.
    pub(crate) fn of(noise: &Noise) -> u8 {
        match noise {
            Noise::Gaussian { .. } => Self::GAUSSIAN,
            Noise::SaltPepper { .. } => Self::SALT_PEPPER,
            Noise::Poisson { .. } => Self::POISSON,
            Noise::Laplace { .. } => Self::LAPLACE,
            Noise::Paste { .. } => Self::PASTE,
        }
    }

    /// Whether the kind is in the set.
    #[must_use]
    pub fn has(self, kind: u8) -> bool {
        self.0 & kind != 0
    }
}

/// Where a pasted patch comes from and what becomes of it. The patch has the size of its box.
///
/// ```
/// use unblot_core::{Corruption, Index, Noise, Plan, Spec};
///
/// # fn main() -> Result<(), unblot_core::Error> {
/// let paste = Noise::Paste { gain: (1.0, 1.0), offset: (0.0, 0.0), opacity: (0.5, 0.5), flip: false, from_batch: true };
/// let plan = Plan::new(Spec { noise: vec![paste], weights: vec![1.0], ..Spec::default() })?;
/// let boxes = Corruption::new(&plan, Index { seed: 1, keys: &[0, 1] }).draw((64, 64), 3)?;
/// assert!(boxes.iter().all(|b| b.patch.image != b.image && b.patch.opacity == 0.5));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Patch {
    /// Position in the batch of the image that it is taken from.
    pub image: u32,
    /// Its top row there.
    pub y: u32,
    /// Its left column there.
    pub x: u32,
    /// Whether it is mirrored top to bottom.
    pub flip_y: bool,
    /// Whether it is mirrored left to right.
    pub flip_x: bool,
    /// Factor of its values.
    pub gain: f32,
    /// What is added to them, in units of the value range.
    pub offset: f32,
    /// Its share in the blend with the box's pixels.
    pub opacity: f32,
}

/// One drawn box with everything that its pixels depend on.
///
/// ```
/// use unblot_core::{Corruption, Index, Plan, Spec};
///
/// # fn main() -> Result<(), unblot_core::Error> {
/// let plan = Plan::new(Spec { num_boxes: (2, 2), ..Spec::default() })?;
/// let boxes = Corruption::new(&plan, Index { seed: 1, keys: &[7] }).draw((48, 64), 1)?;
/// assert!(boxes.iter().all(|b| b.y + b.height <= 48 && b.x + b.width <= 64));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoxDraw {
    /// Position of the image in the batch.
    pub image: u32,
    /// Number of the box within its image; part of the random index.
    pub number: u32,
    /// Top row.
    pub y: u32,
    /// Left column.
    pub x: u32,
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
    /// Which of its pixels are covered.
    pub shape: Shape,
    /// The noise kinds in it.
    pub kinds: Kinds,
    /// Whether Poisson noise is additive.
    pub additive: bool,
    /// Whether salt and pepper hit each channel on its own.
    pub per_channel: bool,
    /// Gaussian mean and sigma.
    pub gaussian: (f32, f32),
    /// Laplace mean and scale.
    pub laplace: (f32, f32),
    /// Probabilities of salt and of pepper.
    pub salt_pepper: (f32, f32),
    /// Poisson peak and strength.
    pub poisson: (f32, f32),
    /// What is pasted.
    pub patch: Patch,
    /// Entry of the noise list that Poisson tables are taken from.
    pub(crate) poisson_entry: usize,
    /// Level of a flat base that is the same for all channels; NaN where channels differ or the image's pixels are the base.
    pub(crate) level: f32,
}

impl BoxDraw {
    /// Base of one channel in [0, 1]; NaN where the image's own pixels are the base.
    #[must_use]
    pub fn base(&self, plan: &Plan, channel: usize) -> f32 {
        match &plan.spec().base {
            Base::Levels(levels) => levels[if levels.len() == 1 { 0 } else { channel }],
            _ => self.level,
        }
    }

    /// The entry of the noise list that the box takes its Poisson tables from.
    #[must_use]
    pub fn poisson_entry(&self) -> usize {
        self.poisson_entry
    }

    /// Whether the image's own pixels are the base.
    pub(crate) fn on_image(&self, plan: &Plan) -> bool {
        self.base(plan, 0).is_nan()
    }
}
