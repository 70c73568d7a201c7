//! What to draw: the parameters of a corruption, and the [`Plan`] that they become once they are found valid.
//!
//! Sources in the patent US 12387466 B2: area, paragraphs 15, 16 and 28 and claim 19; number, 17 and claim 3; ratio, 18, 31 and
//! claims 4, 12 to 14; position, 19 and 31; content, 21 and claim 16; noise, 22 to 24, 31 and claims 6, 7 and 17.

mod check;
mod noise;
mod plan;
mod shape;
mod tables;

pub use noise::{Noise, PoissonMode};
pub use plan::Plan;
pub(crate) use plan::{BOXES_MAX, PoissonTables};
pub use shape::Shape;
pub use tables::TableArrays;

/// A closed range from which a value is drawn uniformly; both ends may agree.
pub type Range = (f64, f64);

/// How the target area is shared out over the boxes of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AreaSplit {
    /// Shares from a flat Dirichlet distribution.
    Dirichlet,
    /// Equal shares.
    Equal,
}

/// How a ratio is drawn from its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RatioSampling {
    /// Log-uniform: tall and wide are equally likely.
    Log,
    /// Uniform, the patent's literal rule.
    Uniform,
}

/// Whether the boxes of one image differ in ratio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RatioPer {
    /// Each box draws its own.
    Box,
    /// All boxes of an image share one.
    Image,
}

/// Where a box may lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Wholly in the image.
    Inside,
    /// Its corner uniform over the image, the rest cut at the border (the patent's literal rule).
    Clip,
}

/// Whether boxes of one image may overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// Boxes are disjoint.
    Forbid,
    /// They may overlap; a later box lies on top.
    Allow,
}

/// What a box holds before noise, in units of the value range.
#[derive(Debug, Clone, PartialEq)]
pub enum Base {
    /// The lowest value.
    Black,
    /// The highest value.
    White,
    /// The middle.
    Gray,
    /// One of those three, drawn per box.
    Random,
    /// One number in [0, 1] for each channel (a single one serves all).
    Levels(Vec<f32>),
    /// The image's own pixels.
    Image,
    /// Black, white, gray or the image's own pixels, drawn per box.
    Any,
}

/// How many noise kinds a box gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One.
    Choose,
    /// Two or more distinct ones.
    Superimpose,
    /// None: the base alone.
    None,
}

/// All parameters of a corruption; the default covers 10 to 20 % of an image with one to four boxes of the four kinds of noise.
///
/// ```
/// use unblot_core::{Base, Noise, Spec};
///
/// let spec = Spec {
///     base: Base::Image,
///     noise: vec![Noise::Laplace { scale: (0.1, 0.2), mean: (0.0, 0.0) }],
///     weights: vec![1.0],
///     ..Spec::default()
/// };
/// assert_eq!(spec.num_boxes, (1, 4));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Range of the total occluded area over the image area.
    pub scale: Range,
    /// Range of the number of boxes.
    pub num_boxes: (usize, usize),
    /// How the area is shared out.
    pub area_split: AreaSplit,
    /// Range of height over width.
    pub ratio: Range,
    /// How a ratio is drawn.
    pub ratio_sampling: RatioSampling,
    /// Whether boxes of one image differ in ratio.
    pub ratio_per: RatioPer,
    /// Where a box may lie.
    pub placement: Placement,
    /// Whether boxes may overlap.
    pub overlap: Overlap,
    /// What a box holds before noise.
    pub base: Base,
    /// The noise kinds.
    pub noise: Vec<Noise>,
    /// Probability of each kind; they need not sum to 1.
    pub weights: Vec<f64>,
    /// How many kinds a box gets.
    pub mode: Mode,
    /// The shapes.
    pub shapes: Vec<Shape>,
    /// Probability of each shape; they need not sum to 1.
    pub shape_weights: Vec<f64>,
    /// Pixels over which a scar or blob fades in from its border; 0 is a sharp border.
    pub edge: f64,
    /// Probability that an image is corrupted at all.
    pub p: f64,
    /// One box over the whole image instead of drawn ones (full-image noise).
    pub full: bool,
}

/// The defaults that users see.
impl Default for Spec {
    fn default() -> Self {
        Self {
            scale: (0.1, 0.2),
            num_boxes: (1, 4),
            area_split: AreaSplit::Dirichlet,
            ratio: (0.3, 3.3),
            ratio_sampling: RatioSampling::Log,
            ratio_per: RatioPer::Box,
            placement: Placement::Inside,
            overlap: Overlap::Forbid,
            base: Base::Gray,
            noise: vec![
                Noise::Gaussian { sigma: (0.2, 0.2), mean: (0.0, 0.0) },
                Noise::SaltPepper { amount: (0.5, 0.5), salt: (0.5, 0.5), per_channel: false },
                Noise::Poisson { peak: (30.0, 30.0), strength: (0.2, 0.2), mode: PoissonMode::Shot },
                Noise::Laplace { scale: (0.15, 0.15), mean: (0.0, 0.0) },
            ],
            weights: vec![1.0; 4],
            mode: Mode::Choose,
            shapes: vec![Shape::Rectangle],
            shape_weights: vec![1.0],
            edge: 1.0,
            p: 1.0,
            full: false,
        }
    }
}
