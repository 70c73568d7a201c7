//! What a specification must meet; the first parameter that does not is named.

use super::{BOXES_MAX, Base, Mode, Noise, Range, Spec};
use crate::Error;
use crate::rng::poisson::RATE_MAX;

/// Check all parameters.
pub(super) fn check(spec: &Spec) -> Result<(), Error> {
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
    check_base(spec)?;
    check_noise(spec)?;
    check_shapes(spec)
}

fn show((low, high): Range) -> String {
    if low == high { format!("{low}") } else { format!("({low}, {high})") }
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
        let remedy = "on the image's own pixels nothing would change; give another base or mode";
        return Err(Error::parameter("mode", "none", remedy));
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
            "give at least one noise kind, or the mode none for the base alone",
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
            return Err(Error::parameter("mode", "superimpose", remedy));
        }
    }
    for (noise, weight) in spec.noise.iter().zip(&spec.weights) {
        if noise.is_shot() && *weight > 0.0 {
            check_shot(&spec.base)?;
        }
        if matches!(noise, Noise::Paste { .. }) && *weight > 0.0 && spec.mode == Mode::Superimpose {
            let remedy = "Paste is not superimposed; take the mode choose, or leave Paste out";
            return Err(Error::parameter("mode", "superimpose", remedy));
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
        let remedy = "give one or more of rectangle, scar and blob";
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
            check_range("SaltPepper.salt", *salt, 0.0, 1.0)
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
        Base::Random => "random (which includes black)",
        Base::Any => "any (which includes black)",
        _ => "black",
    };
    let remedy = "Poisson shot noise of black is always black; take a gray base, or additive Poisson noise";
    Err(Error::parameter("base", name, remedy))
}

#[cfg(test)]
mod tests {
    use super::super::{Plan, PoissonMode};
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
                Err(Error::Parameter { name, value, remedy }) => {
                    assert_eq!(name, parameter, "{spec:?}");
                    // Words of no language: callers quote and spell names as theirs does.
                    assert!(!format!("{value}{remedy}").contains('"'), "{value}: {remedy}");
                }
                other => panic!("{parameter}: {other:?} for {spec:?}"),
            }
        }
        assert!(Plan::new(Spec::default()).is_ok());
    }
}
