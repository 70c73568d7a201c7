//! What the pixels promise: the random-number contract value by value, determinism, untouched surroundings, distributions.

mod common;

use common::statistics::{laplace_cdf, normal_cdf};
use common::{corrupt, gaussian, laplace, poisson, salt_pepper};
use half::{bf16, f16};
use ndarray::{Array4, Axis, Slice};
use proptest::prelude::*;
use unblot_core::math::{cos_sin_word, minus_ln_word};
use unblot_core::rng::{ROUNDS, block};
use unblot_core::{
    Base, BoxDraw, Index, Level, Mode, Noise, Overlap, Pixel as _, Placement, Plan, PoissonMode, Rendered, Spec,
};

const SEED: u64 = 0x1234_5678_9abc_def0;

/// Word `n` of a layer of a box, straight from the contract that `rng` documents.
fn word(key: u64, draw: &BoxDraw, layer: u32, n: u32) -> u32 {
    let counter = [16 * (n / 64) + n % 16, draw.number << 3 | layer, key as u32, (key >> 32) as u32];
    block(counter, [SEED as u32, (SEED >> 32) as u32], ROUNDS)[(n / 16 % 4) as usize]
}

/// One pixel of a box by the formulas, without buffers, pieces or lanes. None: the pixel keeps its bits.
fn expected<T: Rendered>(
    plan: &Plan,
    key: u64,
    draw: &BoxDraw,
    (c, y, x): (u32, u32, u32),
    own: T::Raw,
    range: (f32, f32),
) -> Option<T::Raw> {
    let (low, span) = (range.0, range.1 - range.0);
    let place = y * draw.width + x;
    let n = c * draw.height * draw.width + place;
    let base = draw.base(plan, c as usize);
    let mut v = if base.is_nan() { (T::decode(own) - low) * (1.0 / span) } else { base };
    if draw.kinds.0 & 1 != 0 {
        let pair = n - n / 16 % 2 * 16;
        let radius = (2.0 * minus_ln_word(word(key, draw, 1, pair))).sqrt();
        let (cos, sin) = cos_sin_word(word(key, draw, 1, pair + 16));
        let z = radius * if pair == n { cos } else { sin };
        v = draw.gaussian.1.mul_add(z, v + draw.gaussian.0);
    }
    if draw.kinds.0 & 8 != 0 {
        let w = word(key, draw, 2, n);
        let size = minus_ln_word(w);
        v = draw.laplace.1.mul_add(if w & 1 == 1 { -size } else { size }, v + draw.laplace.0);
    }
    let mut hit = false;
    if draw.kinds.0 & 2 != 0 {
        let u = f64::from(word(key, draw, 3, if draw.per_channel { n } else { place })) / 4_294_967_296.0;
        let (salt, pepper) = (f64::from(draw.salt_pepper.0), f64::from(draw.salt_pepper.1));
        hit = u < salt + pepper;
        v = if u < salt {
            1.0
        } else if hit {
            0.0
        } else {
            v
        };
    }
    (hit || !base.is_nan() || draw.kinds.0 != 2).then(|| T::encode(v.clamp(0.0, 1.0).mul_add(span, low)))
}

/// A batch with every value different enough to notice a change.
fn images<T: Rendered>(shape: (usize, usize, usize, usize), range: (f32, f32)) -> Array4<T::Raw> {
    let mut i = 0_u32;
    Array4::from_shape_simple_fn(shape, || {
        i = i.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        T::encode(range.0 + (range.1 - range.0) * (i >> 8) as f32 / 16_777_216.0)
    })
}

fn bits<T: Rendered>(a: &Array4<T::Raw>) -> Vec<u32> {
    a.iter().map(|raw| T::decode(*raw).to_bits()).collect()
}

fn check_against_formulas<T: Rendered>(spec: &Spec, shape: (usize, usize, usize, usize), range: (f32, f32)) {
    let plan = Plan::new(spec.clone()).unwrap();
    let before = images::<T>(shape, range);
    let keys: Vec<u64> = (0..shape.0 as u64).map(|i| i * 0x1_0000_0001).collect();
    let mut after = before.clone();
    let boxes = corrupt::<T>(&plan, after.view_mut(), None, range, Index { seed: SEED, keys: &keys }, 1, Level::best())
        .unwrap();
    assert!(!boxes.is_empty());
    let mut wanted = before.clone();
    for b in &boxes {
        for c in 0..shape.1 {
            for y in 0..b.height {
                for x in 0..b.width {
                    let at = [b.image as usize, c, (b.y + y) as usize, (b.x + x) as usize];
                    let key = keys[b.image as usize];
                    if let Some(v) = expected::<T>(&plan, key, b, (c as u32, y, x), wanted[at], range) {
                        wanted[at] = v;
                    }
                }
            }
        }
    }
    assert!(bits::<T>(&after) == bits::<T>(&wanted), "differs from the formulas: {spec:?}");
    assert!(bits::<T>(&after) != bits::<T>(&before), "nothing changed: {spec:?}");
}

/// Every pixel in and outside the boxes, for each format, base and mode, by the formulas.
#[test]
fn pixels_follow_the_formulas() {
    let kinds = vec![gaussian(0.3), salt_pepper(0.4, false), laplace(0.2)];
    for mode in [Mode::Choose, Mode::Superimpose, Mode::None] {
        for base in [Base::Gray, Base::Random, Base::Levels(vec![0.1, 0.6, 1.0]), Base::Image] {
            if mode == Mode::None && base == Base::Image {
                continue;
            }
            let spec = Spec { mode, base, noise: kinds.clone(), weights: vec![1.0; 3], ..Spec::default() };
            check_against_formulas::<u8>(&spec, (3, 3, 40, 33), (0.0, 255.0));
            check_against_formulas::<f32>(&spec, (3, 3, 40, 33), (-1.0, 1.0));
            check_against_formulas::<f16>(&spec, (3, 3, 40, 33), (0.0, 1.0));
            check_against_formulas::<bf16>(&spec, (3, 3, 40, 33), (0.0, 1.0));
        }
    }
    let per_channel =
        Spec { noise: vec![salt_pepper(0.3, true)], weights: vec![1.0], base: Base::Image, ..Spec::default() };
    check_against_formulas::<u8>(&per_channel, (2, 3, 40, 33), (0.0, 255.0));
    // Boxes wider than a buffer, and one over the whole image.
    let wide = Spec { ratio: (0.001, 0.002), noise: kinds.clone(), weights: vec![1.0; 3], ..Spec::default() };
    check_against_formulas::<f32>(&wide, (1, 2, 12, 9000), (0.0, 1.0));
    let full =
        Spec { full: true, base: Base::Image, noise: vec![gaussian(0.2)], weights: vec![1.0], ..Spec::default() };
    check_against_formulas::<f32>(&full, (2, 3, 70, 50), (0.0, 1.0));
    let clip = Spec {
        placement: Placement::Clip,
        overlap: Overlap::Allow,
        base: Base::Image,
        noise: kinds,
        weights: vec![1.0; 3],
        ..Spec::default()
    };
    check_against_formulas::<f32>(&clip, (6, 3, 30, 30), (0.0, 1.0));
}

/// An all-kinds specification in which every stage takes part.
fn busy() -> Spec {
    Spec {
        mode: Mode::Superimpose,
        base: Base::Image,
        noise: vec![gaussian(0.2), salt_pepper(0.3, false), poisson(PoissonMode::Shot), laplace(0.1)],
        ..Spec::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// The determinism sentence: batch, threads, memory layout and instructions do not change a bit.
    #[test]
    fn same_image_same_bits(
        seed in any::<u64>(), n in 1_usize..6, height in 8_usize..70, width in 8_usize..70, threads in 2_usize..5, additive in any::<bool>(),
    ) {
        let mut spec = busy();
        if additive {
            spec.noise[2] = poisson(PoissonMode::Additive);
        }
        let plan = Plan::new(spec).unwrap();
        let keys: Vec<u64> = (0..n as u64).map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
        let range = (0.0, 1.0);
        let before = images::<f32>((n, 3, height, width), range);
        let mut whole = before.clone();
        corrupt::<f32>(&plan, whole.view_mut(), None, range, Index { seed, keys: &keys }, 1, Level::scalar()).unwrap();

        let mut threaded = before.clone();
        corrupt::<f32>(&plan, threaded.view_mut(), None, range, Index { seed, keys: &keys }, threads, Level::best()).unwrap();
        prop_assert!(bits::<f32>(&whole) == bits::<f32>(&threaded), "threads and level");

        let mut out = Array4::from_elem(before.raw_dim(), 9.0);
        corrupt::<f32>(&plan, out.view_mut(), Some(&before.view()), range, Index { seed, keys: &keys }, threads, Level::best()).unwrap();
        prop_assert!(bits::<f32>(&whole) == bits::<f32>(&out), "out of place");

        for (i, image) in before.axis_chunks_iter(Axis(0), 1).enumerate() {
            let mut alone = image.to_owned();
            corrupt::<f32>(&plan, alone.view_mut(), None, range, Index { seed, keys: &keys[i..=i] }, 1, Level::best()).unwrap();
            let there = whole.slice_axis(Axis(0), Slice::from(i..=i)).to_owned();
            prop_assert!(bits::<f32>(&alone) == bits::<f32>(&there), "image {} alone", i);
        }

        // Channels last, every second column of a wider array, rows upside down.
        let mut last = Array4::zeros((n, height, width, 3));
        last.view_mut().permuted_axes([0, 3, 1, 2]).assign(&before);
        corrupt::<f32>(&plan, last.view_mut().permuted_axes([0, 3, 1, 2]), None, range, Index { seed, keys: &keys }, threads, Level::best()).unwrap();
        prop_assert!(bits::<f32>(&whole) == bits::<f32>(&last.permuted_axes([0, 3, 1, 2]).as_standard_layout().to_owned()), "NHWC");

        let mut wide = Array4::from_elem((n, 3, height, 2 * width), 7.0);
        {
            let mut view = wide.view_mut();
            view.slice_axis_inplace(Axis(3), Slice::new(0, None, 2));
            view.slice_axis_inplace(Axis(2), Slice::new(0, None, -1));
            view.assign(&before);
            corrupt::<f32>(&plan, view, None, range, Index { seed, keys: &keys }, threads, Level::best()).unwrap();
        }
        let between = wide.slice_axis(Axis(3), Slice::new(1, None, 2));
        prop_assert!(between.iter().all(|v| *v == 7.0), "columns of somebody else changed");
        let mut view = wide.view();
        view.slice_axis_inplace(Axis(3), Slice::new(0, None, 2));
        view.slice_axis_inplace(Axis(2), Slice::new(0, None, -1));
        prop_assert!(bits::<f32>(&whole) == bits::<f32>(&view.as_standard_layout().to_owned()), "strided");
    }
}

/// Values of one kind over a whole large box, as the caller sees them.
fn sample<T: Rendered>(noise: Noise, base: Base, range: (f32, f32)) -> Vec<f64> {
    let spec = Spec {
        scale: (1.0, 1.0),
        num_boxes: (1, 1),
        ratio: (1.0, 1.0),
        base,
        noise: vec![noise],
        weights: vec![1.0],
        ..Spec::default()
    };
    let plan = Plan::new(spec).unwrap();
    let mut a = Array4::from_elem((1, 1, 1000, 1000), T::encode(range.0));
    corrupt::<T>(&plan, a.view_mut(), None, range, Index { seed: 11, keys: &[12] }, 1, Level::best()).unwrap();
    a.iter().map(|raw| f64::from(T::decode(*raw))).collect()
}

fn moments(v: &[f64]) -> (f64, f64) {
    let n = v.len() as f64;
    let mean = v.iter().sum::<f64>() / n;
    (mean, (v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt())
}

/// Mean and deviation of a million pixels as they come out, for the ranges where nothing is clipped.
#[test]
fn outputs_have_the_stated_mean_and_deviation() {
    let check = |name: &str, v: &[f64], mean: f64, deviation: f64| {
        let (m, s) = moments(v);
        assert!((m - mean).abs() < 5.0 * deviation / 1000.0, "{name}: mean {m} for {mean}");
        assert!((s / deviation - 1.0).abs() < 0.01, "{name}: deviation {s} for {deviation}");
    };
    let unit = (0.0, 1.0);
    check("gaussian", &sample::<f32>(gaussian(0.08), Base::Gray, unit), 0.5, 0.08);
    check("laplace", &sample::<f32>(laplace(0.03), Base::Gray, unit), 0.5, 0.03 * 2_f64.sqrt());
    check("shot", &sample::<f32>(poisson(PoissonMode::Shot), Base::Gray, unit), 0.5, (0.5_f64 / 30.0).sqrt());
    let additive = Noise::Poisson { peak: (30.0, 30.0), strength: (0.08, 0.08), mode: PoissonMode::Additive };
    check("additive", &sample::<f32>(additive, Base::Gray, (-10.0, 10.0)), 0.0, 20.0 * 0.08);
    let bytes = sample::<u8>(gaussian(0.08), Base::Gray, (0.0, 255.0));
    check("gaussian in bytes", &bytes, 127.5, (0.08_f64 * 255.0).hypot((1.0_f64 / 12.0).sqrt()));
    let hits = sample::<f32>(salt_pepper(0.5, false), Base::Gray, unit);
    for (value, share) in [(0.0, 0.25), (0.5, 0.5), (1.0, 0.25)] {
        let seen = hits.iter().filter(|v| **v == value).count() as f64;
        assert!((seen - share * 1e6).abs() < 4.0 * (1e6 * share * (1.0_f64 - share)).sqrt(), "{value}: {seen}");
    }
}

/// A million pixels of each kind, in bytes and in floats rounded to bytes, beside what each byte's probability is.
#[test]
fn bytes_fall_as_often_as_they_should() {
    // What lies between the halves around a byte becomes that byte; what lies beyond the range, its end.
    let smooth = |cdf: fn(f64) -> f64, scale: f64| -> Vec<f64> {
        let below = |k: f64| cdf((k / 255.0 - 0.5) / scale);
        (0..256)
            .map(f64::from)
            .map(|k| {
                let low = if k == 0.0 { 0.0 } else { below(k - 0.5) };
                let high = if k == 255.0 { 1.0 } else { below(k + 0.5) };
                high - low
            })
            .collect()
    };
    let counts = |rate: f64, pixel: &dyn Fn(f64) -> f64| {
        let (mut share, mut p) = (vec![0.0; 256], (-rate).exp());
        for count in 0..200 {
            share[usize::from(u8::encode((pixel(f64::from(count)).clamp(0.0, 1.0) * 255.0) as f32))] += p;
            p *= rate / f64::from(count + 1);
        }
        share
    };
    let mut hits = vec![0.0; 256];
    (hits[0], hits[128], hits[255]) = (0.25, 0.5, 0.25);
    let kinds = [
        ("gaussian", gaussian(0.2), smooth(normal_cdf, 0.2)),
        ("laplace", laplace(0.15), smooth(laplace_cdf, 0.15)),
        ("salt and pepper", salt_pepper(0.5, false), hits),
        // In f32, as half of the counts fall between two bytes.
        ("shot", poisson(PoissonMode::Shot), counts(15.0, &|n| f64::from(n as f32 * (1.0 / 30.0_f32)))),
        ("additive", poisson(PoissonMode::Additive), counts(30.0, &|n| 0.5 + 0.2 * (n - 30.0) / 30_f64.sqrt())),
    ];
    for (name, noise, share) in kinds {
        let bytes = sample::<u8>(noise.clone(), Base::Gray, (0.0, 255.0));
        let floats = sample::<f32>(noise, Base::Gray, (0.0, 1.0));
        let rounded = floats.into_iter().map(|v| f64::from(u8::encode((v * 255.0) as f32)));
        for (format, pixels) in [("u8", bytes), ("f32", rounded.collect())] {
            let mut seen = vec![0.0; 256];
            for v in pixels {
                seen[v as usize] += 1.0;
            }
            let (chi2, freedom) = chi_square(&seen, &share);
            let limit = freedom + 4.0 * (2.0 * freedom).sqrt();
            assert!(chi2 < limit, "{name} in {format}: chi-square {chi2} of {freedom} degrees of freedom");
        }
    }
}

/// The statistic of a million draws, and its degrees of freedom; bytes that are seldom wait for their neighbours.
fn chi_square(seen: &[f64], share: &[f64]) -> (f64, f64) {
    let (mut sum, mut bins, mut pending) = (0.0, 0.0, (0.0, 0.0));
    for (n, p) in seen.iter().zip(share) {
        pending = (pending.0 + n, pending.1 + 1e6 * p);
        if pending.1 >= 20.0 {
            sum += (pending.0 - pending.1).powi(2) / pending.1;
            bins += 1.0;
            pending = (0.0, 0.0);
        }
    }
    // A rest too small for a bin: it must be small in truth.
    assert!((pending.0 - pending.1).abs() < 40.0, "{} pixels where {} were to be", pending.0, pending.1);
    (sum, f64::max(bins - 1.0, 1.0))
}

/// Shot noise on the image's own pixels: mean v and variance v / peak at every level.
#[test]
fn shot_noise_follows_the_pixel() {
    let spec = Spec {
        scale: (1.0, 1.0),
        num_boxes: (1, 1),
        base: Base::Image,
        noise: vec![poisson(PoissonMode::Shot)],
        weights: vec![1.0],
        ..Spec::default()
    };
    let plan = Plan::new(spec).unwrap();
    for level in [0.0_f32, 0.037, 0.25, 0.333, 0.5] {
        let mut a = Array4::from_elem((1, 1, 600, 600), level);
        corrupt::<f32>(&plan, a.view_mut(), None, (0.0, 1.0), Index { seed: 3, keys: &[4] }, 1, Level::best()).unwrap();
        let v: Vec<f64> = a.iter().map(|x| f64::from(*x)).collect();
        let (mean, deviation) = moments(&v);
        let (level, sigma) = (f64::from(level), (f64::from(level) / 30.0).sqrt());
        assert!((mean - level).abs() <= 5.0 * sigma / 600.0, "mean {mean} at {level}");
        assert!((deviation - sigma).abs() <= 0.01 * sigma, "deviation {deviation} at {level}");
    }
}

/// A change of any value is a decision: these sums change with the random-number contract and nothing else.
#[test]
fn values_are_stable() {
    fn hash<T: Rendered>(noise: Noise, range: (f32, f32)) -> u64 {
        let spec = Spec { noise: vec![noise], weights: vec![1.0], ..Spec::default() };
        let plan = Plan::new(spec).unwrap();
        let mut a = images::<T>((4, 3, 64, 48), range);
        corrupt::<T>(
            &plan,
            a.view_mut(),
            None,
            range,
            Index { seed: SEED, keys: &[1, 2, 3, u64::MAX] },
            1,
            Level::best(),
        )
        .unwrap();
        bits::<T>(&a).iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3))
    }
    let kinds = [gaussian(0.2), salt_pepper(0.5, false), poisson(PoissonMode::Shot), laplace(0.15)];
    let mut seen = vec![];
    for noise in kinds {
        seen.push([
            hash::<u8>(noise.clone(), (0.0, 255.0)),
            hash::<f32>(noise.clone(), (0.0, 1.0)),
            hash::<f16>(noise.clone(), (0.0, 1.0)),
            hash::<bf16>(noise.clone(), (0.0, 1.0)),
        ]);
    }
    assert_eq!(seen, GOLDEN, "{seen:#x?}");
}

/// Rows: gaussian, salt and pepper, poisson, laplace; columns: uint8, float32, float16, bfloat16.
const GOLDEN: [[u64; 4]; 4] = [
    [0x2df1b87922686325, 0xa3e86aac83454b15, 0xa7f09377dbee8325, 0xfa71e5edc4256325],
    [0xf4ea3e2ac28f6325, 0xaa17581aa9060c35, 0xad68fae13ab82325, 0x02575463f8176325],
    [0x8f87f0165dbb6325, 0xf46fda026ae5d14a, 0x5aaaf37cd3ea2325, 0xf88acc7cb36e6325],
    [0xc0b91e459aee6325, 0xb727e63b2bab658a, 0xb0103cb87b506325, 0x57e89c49da236325],
];

/// Out of place, what boxes cover is not copied first; every other pixel is, whatever the boxes hide of each other.
#[test]
fn what_boxes_leave_is_copied() {
    let (images, channels, height, width) = (3, 3, 150, 260);
    let keys = [5, 6, 7];
    let index = Index { seed: SEED, keys: &keys };
    let flat = Spec { scale: (0.3, 0.8), num_boxes: (1, 7), ..Spec::default() };
    let specs = [
        flat.clone(),
        Spec { overlap: Overlap::Allow, base: Base::Levels(vec![0.2, 0.5, 0.9]), ..flat.clone() },
        Spec { overlap: Overlap::Allow, placement: Placement::Clip, mode: Mode::None, ..flat.clone() },
        Spec { num_boxes: (30, 40), ..flat.clone() },
        Spec {
            overlap: Overlap::Allow,
            base: Base::Any,
            noise: vec![gaussian(0.2)],
            weights: vec![1.0],
            ..flat.clone()
        },
        Spec { p: 0.0, ..flat },
    ];
    for spec in specs {
        let plan = Plan::new(spec.clone()).unwrap();
        let before = self::images::<f32>((images, channels, height, width), (0.0, 1.0));
        let mut wanted = before.clone();
        corrupt::<f32>(&plan, wanted.view_mut(), None, (0.0, 1.0), index, 1, Level::best()).unwrap();
        let last = before.clone().permuted_axes([0, 2, 3, 1]).as_standard_layout().to_owned();
        for threads in [1, 3] {
            let mut planar = Array4::from_elem(before.dim(), 9.0);
            corrupt::<f32>(&plan, planar.view_mut(), Some(&before.view()), (0.0, 1.0), index, threads, Level::best())
                .unwrap();
            assert!(planar == wanted, "{spec:?}");
            let mut interleaved = Array4::from_elem(last.dim(), 9.0);
            let from = last.view().permuted_axes([0, 3, 1, 2]);
            let to = interleaved.view_mut().permuted_axes([0, 3, 1, 2]);
            corrupt::<f32>(&plan, to, Some(&from), (0.0, 1.0), index, threads, Level::best()).unwrap();
            assert!(interleaved.permuted_axes([0, 3, 1, 2]) == wanted, "{spec:?}, channels last");
        }
    }
}
