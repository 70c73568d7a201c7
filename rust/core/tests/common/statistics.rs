//! Distribution functions and distances that the tests of the crate and of its surface share.

/// 99.9 % point of the Kolmogorov distribution.
pub const KS: f64 = 1.95;

/// Kolmogorov's distance of a sample to a distribution function, times the root of its size.
pub fn kolmogorov(mut v: Vec<f64>, cdf: impl Fn(f64) -> f64) -> f64 {
    v.sort_unstable_by(f64::total_cmp);
    let n = v.len() as f64;
    let distance = v.iter().enumerate().fold(0.0, |worst: f64, (i, &x)| {
        let p = cdf(x);
        worst.max((p - i as f64 / n).abs()).max(((i + 1) as f64 / n - p).abs())
    });
    distance * n.sqrt()
}

/// Standard normal distribution function by its continued series (tests only need 1e-7).
pub fn normal_cdf(x: f64) -> f64 {
    let z = x.abs();
    let (mut term, mut sum) = (z, z);
    for k in 1..300 {
        term *= z * z / f64::from(2 * k + 1);
        sum += term;
    }
    let half = sum * (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if x < 0.0 { 0.5 - half } else { 0.5 + half }
}

/// Distribution function of Laplace's distribution with scale 1.
pub fn laplace_cdf(x: f64) -> f64 {
    if x < 0.0 { 0.5 * x.exp() } else { 1.0 - 0.5 * (-x).exp() }
}
