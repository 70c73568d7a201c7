//! What to draw: the parameters of a corruption, and the [`Plan`] that they become once they are found valid.
//!
//! Sources in the patent US 12387466 B2: area, paragraphs 15, 16 and 28 and claim 19; number, 17 and claim 3; ratio, 18, 31 and
//! claims 4, 12 to 14; position, 19 and 31; content, 21 and claim 16; noise, 22 to 24, 31 and claims 6, 7 and 17.

use crate::Error;
use crate::math::ln;
use crate::poisson::{Grid, RATE_MAX, Table};

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

/// The two kinds of Poisson noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoissonMode {
    /// P(peak · v) / peak.
    Shot,
    /// v + strength · (P(peak) − peak) / √peak.
    Additive,
}

/// A noise kind; its parameters are in units of the value range and are drawn per box.
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

    fn is_shot(&self) -> bool {
        matches!(self, Self::Poisson { mode: PoissonMode::Shot, .. })
    }
}

/// Which pixels of its box a blot covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// All.
    Rectangle,
    /// A thin, bent line from one end of the box to the other, along its longer side.
    Scar,
    /// A round, irregular spot.
    Blob,
}

impl Shape {
    /// Share of the box that is covered, up to whole pixels.
    #[must_use]
    pub fn share(self) -> f64 {
        match self {
            Self::Rectangle => 1.0,
            Self::Scar => 1.0 / 6.0,
            Self::Blob => 0.5,
        }
    }

    /// Pixels that are covered in a box of so many, at least one.
    #[must_use]
    pub fn pixels(self, area: usize) -> usize {
        self.covered(area as f64) as usize
    }

    /// The same of whole numbers.
    #[inline(always)]
    pub(crate) fn covered(self, area: f64) -> f64 {
        match self {
            Self::Rectangle => area.max(1.0),
            _ => (area * self.share() + 0.5).floor().max(1.0),
        }
    }
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

/// All parameters of a corruption.
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

/// The most boxes that may be asked for in one image.
pub(crate) const BOXES_MAX: usize = 1024;

/// A valid specification with everything that can be computed beforehand.
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
        check_range("scale", spec.scale, 0.0, 1.0)?;
        if spec.scale.1 <= 0.0 {
            return Err(Error::parameter("scale", show(spec.scale), "the highest share of the area must exceed 0"));
        }
        let (fewest, most) = spec.num_boxes;
        if fewest < 1 || fewest > most || most > BOXES_MAX {
            return Err(Error::parameter(
                "num_boxes",
                format!("({fewest}, {most})"),
                format!("give (low, high) with 1 <= low <= high <= {BOXES_MAX}"),
            ));
        }
        check_range("ratio", spec.ratio, 0.0, f64::INFINITY)?;
        if spec.ratio.0 < 1e-4 || spec.ratio.1 > 1e4 {
            return Err(Error::parameter("ratio", show(spec.ratio), "give height / width within 0.0001 to 10000"));
        }
        check_range("p", (spec.p, spec.p), 0.0, 1.0)?;
        check_base(&spec)?;
        check_noise(&spec)?;
        check_shapes(&spec)?;
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

fn show((low, high): Range) -> String {
    format!("({low}, {high})")
}

fn check_range(name: &'static str, range: Range, low: f64, high: f64) -> Result<(), Error> {
    let finite = range.0.is_finite() && range.1.is_finite();
    if finite && low <= range.0 && range.0 <= range.1 && range.1 <= high {
        return Ok(());
    }
    let bounds = if high.is_finite() { format!("within {low} to {high}") } else { format!("of at least {low}") };
    let remedy = format!("give a finite number or (low, high) with low <= high, {bounds}");
    Err(Error::parameter(name, show(range), remedy))
}

fn check_base(spec: &Spec) -> Result<(), Error> {
    if let Base::Levels(levels) = &spec.base
        && (levels.is_empty() || !levels.iter().all(|v| (0.0..=1.0).contains(v)))
    {
        let remedy = "give one number in [0, 1] for each channel, in units of the value range";
        return Err(Error::parameter("base", format!("{levels:?}"), remedy));
    }
    if spec.base == Base::Image && spec.mode == Mode::None {
        let remedy = "with base=\"image\" nothing would change; give another base or mode";
        return Err(Error::parameter("mode", "\"none\"", remedy));
    }
    Ok(())
}

fn check_noise(spec: &Spec) -> Result<(), Error> {
    for noise in &spec.noise {
        check_kind(noise)?;
    }
    if spec.mode == Mode::None {
        return Ok(());
    }
    if spec.noise.is_empty() {
        return Err(Error::parameter(
            "noise",
            "[]",
            "give at least one noise kind, or mode=\"none\" for the base alone",
        ));
    }
    check_weights("weights", &spec.weights, spec.noise.len(), "noise kinds")?;
    if spec.mode == Mode::Superimpose {
        let mut names: Vec<_> = spec.noise.iter().map(Noise::name).collect();
        names.sort_unstable();
        names.dedup();
        let usable = spec.weights.iter().filter(|w| **w > 0.0).count();
        if names.len() != spec.noise.len() || usable < 2 {
            let remedy = "superimposing takes two or more distinct noise kinds, each listed once, with weights above 0";
            return Err(Error::parameter("mode", "\"superimpose\"", remedy));
        }
    }
    for (noise, weight) in spec.noise.iter().zip(&spec.weights) {
        if noise.is_shot() && *weight > 0.0 {
            check_shot(&spec.base)?;
        }
        if matches!(noise, Noise::Paste { .. }) && *weight > 0.0 && spec.mode == Mode::Superimpose {
            let remedy = "Paste is not superimposed; take mode=\"choose\", or leave Paste out";
            return Err(Error::parameter("mode", "\"superimpose\"", remedy));
        }
    }
    Ok(())
}

fn check_weights(name: &'static str, weights: &[f64], count: usize, of: &str) -> Result<(), Error> {
    if weights.len() != count {
        let remedy = format!("give one weight for each of the {count} {of}");
        return Err(Error::parameter(name, format!("{weights:?}"), remedy));
    }
    let valid = weights.iter().all(|w| w.is_finite() && *w >= 0.0);
    if !valid || weights.iter().sum::<f64>() <= 0.0 {
        let remedy = "weights are finite, at least 0, and one of them is above 0";
        return Err(Error::parameter(name, format!("{weights:?}"), remedy));
    }
    Ok(())
}

fn check_shapes(spec: &Spec) -> Result<(), Error> {
    if spec.shapes.is_empty() {
        let remedy = "give one or more of \"rectangle\", \"scar\" and \"blob\"";
        return Err(Error::parameter("shapes", "[]", remedy));
    }
    check_weights("shape_weights", &spec.shape_weights, spec.shapes.len(), "shapes")?;
    check_range("edge", (spec.edge, spec.edge), 0.0, 1e3)?;
    // Boxes of a shape are larger than what it covers, and those of all shapes must fit the image side by side.
    let used = spec.shapes.iter().zip(&spec.shape_weights).filter(|(_, w)| **w > 0.0).map(|(s, _)| *s);
    let thinnest = used.min_by(|a, b| a.share().total_cmp(&b.share())).expect("a weight is above 0");
    if spec.scale.1 > thinnest.share() {
        let remedy = format!(
            "a {} covers {:.4} of its box, so no larger share of the image can be covered; lower scale, or leave that shape out",
            format!("{thinnest:?}").to_lowercase(),
            thinnest.share()
        );
        return Err(Error::parameter("scale", show(spec.scale), remedy));
    }
    Ok(())
}

fn check_kind(noise: &Noise) -> Result<(), Error> {
    match noise {
        Noise::Gaussian { sigma, mean } => {
            check_range("Gaussian.sigma", *sigma, 0.0, 1e6)?;
            check_range("Gaussian.mean", *mean, -1e6, 1e6)
        }
        Noise::Laplace { scale, mean } => {
            check_range("Laplace.scale", *scale, 0.0, 1e6)?;
            check_range("Laplace.mean", *mean, -1e6, 1e6)
        }
        Noise::SaltPepper { amount, salt, .. } => {
            check_range("SaltPepper.amount", *amount, 0.0, 1.0)?;
            check_range("SaltPepper.salt_vs_pepper", *salt, 0.0, 1.0)
        }
        Noise::Poisson { peak, strength, .. } => {
            check_range("Poisson.peak", *peak, 1e-3, RATE_MAX)?;
            check_range("Poisson.strength", *strength, 0.0, 1e6)
        }
        Noise::Paste { gain, offset, opacity, .. } => {
            check_range("Paste.gain", *gain, -1e6, 1e6)?;
            check_range("Paste.offset", *offset, -1e6, 1e6)?;
            check_range("Paste.opacity", *opacity, 0.0, 1.0)?;
            if opacity.1 <= 0.0 {
                return Err(Error::parameter("Paste.opacity", show(*opacity), "the highest opacity must exceed 0"));
            }
            Ok(())
        }
    }
}

/// Shot noise of black is black: a base that can be all black would give boxes without noise.
fn check_shot(base: &Base) -> Result<(), Error> {
    let black = match base {
        Base::Black | Base::Random | Base::Any => true,
        Base::Levels(levels) => levels.iter().all(|v| *v == 0.0),
        Base::White | Base::Gray | Base::Image => false,
    };
    if !black {
        return Ok(());
    }
    let name = match base {
        Base::Random => "\"random\" (which includes black)",
        Base::Any => "\"any\" (which includes black)",
        _ => "black",
    };
    let remedy = "Poisson shot noise of black is always black; take base=\"gray\", or Poisson(mode=\"additive\")";
    Err(Error::parameter("base", name, remedy))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A way to spoil a specification.
    type Spoil = fn(&mut Spec);

    #[test]
    fn each_wrong_parameter_is_named() {
        let cases: [(&str, Spoil); 15] = [
            ("scale", |s| s.scale = (0.3, 0.2)),
            ("scale", |s| s.scale = (f64::NAN, 0.2)),
            ("scale", |s| s.scale = (0.0, 0.0)),
            ("scale", |s| s.scale = (0.5, 1.5)),
            ("num_boxes", |s| s.num_boxes = (0, 3)),
            ("ratio", |s| s.ratio = (0.0, 1.0)),
            ("p", |s| s.p = 1.1),
            ("base", |s| s.base = Base::Levels(vec![2.0])),
            ("base", |s| s.base = Base::Black),
            ("base", |s| s.base = Base::Random),
            ("noise", |s| s.noise.clear()),
            ("weights", |s| s.weights = vec![1.0]),
            ("weights", |s| s.weights = vec![0.0; 4]),
            ("Poisson.peak", |s| {
                s.noise[2] = Noise::Poisson { peak: (0.0, 1.0), strength: (0.0, 0.0), mode: PoissonMode::Additive }
            }),
            ("Gaussian.sigma", |s| s.noise[0] = Noise::Gaussian { sigma: (-1.0, 1.0), mean: (0.0, 0.0) }),
        ];
        for (parameter, spoil) in cases {
            let mut spec = Spec::default();
            spoil(&mut spec);
            match Plan::new(spec.clone()) {
                Err(Error::Parameter { name, .. }) => assert_eq!(name, parameter, "{spec:?}"),
                other => panic!("{parameter}: {other:?} for {spec:?}"),
            }
        }
        assert!(Plan::new(Spec::default()).is_ok());
    }
}
