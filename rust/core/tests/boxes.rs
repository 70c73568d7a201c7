//! What the drawn boxes promise: area, number, ratio, position; inside and apart where asked.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};

use common::draw;
use common::statistics::{KS, kolmogorov};
use ndarray::Array4;
use proptest::prelude::*;
use unblot_core::{
    AreaSplit, BoxDraw, Corruption, Error, Images, Index, Mode, Overlap, Placement, Plan, RatioPer, RatioSampling, Spec,
};

fn draw_many(spec: &Spec, size: (usize, usize), images: u64) -> Vec<Vec<BoxDraw>> {
    let plan = Plan::new(spec.clone()).unwrap();
    let keys: Vec<u64> = (0..images).collect();
    let mut by_image = vec![vec![]; images as usize];
    for b in draw(&plan, size, 3, Index { seed: 7, keys: &keys }).unwrap() {
        by_image[b.image as usize].push(b);
    }
    by_image
}

fn area(boxes: &[BoxDraw]) -> f64 {
    boxes.iter().map(|b| f64::from(b.height) * f64::from(b.width)).sum()
}

fn overlap(a: &BoxDraw, b: &BoxDraw) -> bool {
    a.y < b.y + b.height && b.y < a.y + a.height && a.x < b.x + b.width && b.x < a.x + a.width
}

#[test]
fn total_area_is_uniform_over_its_range() {
    let images = draw_many(&Spec::default(), (512, 512), 20_000);
    let shares = images.iter().map(|b| area(b) / (512.0 * 512.0)).collect();
    let d = kolmogorov(shares, |x| ((x - 0.1) / 0.1).clamp(0.0, 1.0));
    assert!(d < KS, "KS {d}");
}

#[test]
fn the_number_of_boxes_is_uniform() {
    let images = draw_many(&Spec::default(), (224, 224), 20_000);
    let mut counts = [0.0; 5];
    for boxes in &images {
        counts[boxes.len()] += 1.0;
    }
    assert!(counts[0] == 0.0, "every image has a box");
    let chi2: f64 = counts[1..].iter().map(|n| (n - 5000.0_f64).powi(2) / 5000.0).sum();
    assert!(chi2 < 16.3, "chi-square {chi2} of 3 degrees of freedom, counts {counts:?}");
}

#[test]
fn ratios_are_log_uniform_or_uniform() {
    let mut spec = Spec { num_boxes: (1, 1), ..Spec::default() };
    let (low, high) = spec.ratio;
    let ratios = |spec: &Spec| -> Vec<f64> {
        let images = draw_many(spec, (2048, 2048), 20_000);
        images.iter().map(|b| f64::from(b[0].height) / f64::from(b[0].width)).collect()
    };
    // Whole pixels blur the ends by about one in five hundred.
    let d = kolmogorov(ratios(&spec), |r| ((r / low).ln() / (high / low).ln()).clamp(0.0, 1.0));
    assert!(d < KS, "log: KS {d}");
    spec.ratio_sampling = RatioSampling::Uniform;
    let d = kolmogorov(ratios(&spec), |r| ((r - low) / (high - low)).clamp(0.0, 1.0));
    assert!(d < KS, "uniform: KS {d}");
}

#[test]
fn boxes_share_a_ratio_per_image_when_asked() {
    let spec = Spec { ratio_per: RatioPer::Image, area_split: AreaSplit::Equal, num_boxes: (3, 3), ..Spec::default() };
    let images = draw_many(&spec, (1024, 1024), 200);
    let ratio = |b: &BoxDraw| f64::from(b.height) / f64::from(b.width);
    for boxes in &images {
        assert!(boxes.iter().all(|b| (ratio(b) / ratio(&boxes[0]) - 1.0).abs() < 0.03), "{boxes:?}");
    }
    let spread = images.iter().map(|b| ratio(&b[0])).fold((9.0_f64, 0.0_f64), |(l, h), r| (l.min(r), h.max(r)));
    assert!(spread.0 < 0.5 && spread.1 > 2.0, "ratios differ between images: {spread:?}");
}

/// Given its size, a single box is equally likely at every place where it fits.
#[test]
fn positions_are_uniform_inside() {
    let spec = Spec { num_boxes: (1, 1), ..Spec::default() };
    let images = draw_many(&spec, (256, 256), 20_000);
    let place = |at: u32, side: u32| (f64::from(at) + 0.5) / f64::from(256 - side + 1);
    for (axis, v) in [
        ("y", images.iter().map(|b| place(b[0].y, b[0].height)).collect::<Vec<_>>()),
        ("x", images.iter().map(|b| place(b[0].x, b[0].width)).collect()),
    ] {
        let d = kolmogorov(v, |u| u.clamp(0.0, 1.0));
        assert!(d < KS, "{axis}: KS {d}");
    }
}

/// The patent's literal rule: the corner is uniform over the image, and much of the area is cut away at the border.
#[test]
fn clipped_corners_are_uniform_over_the_image_and_lose_area() {
    let spec = Spec {
        num_boxes: (1, 1),
        placement: Placement::Clip,
        overlap: Overlap::Allow,
        ratio_sampling: RatioSampling::Uniform,
        ..Spec::default()
    };
    let images = draw_many(&spec, (256, 256), 20_000);
    for v in [
        images.iter().map(|b| (f64::from(b[0].y) + 0.5) / 256.0).collect::<Vec<_>>(),
        images.iter().map(|b| (f64::from(b[0].x) + 0.5) / 256.0).collect(),
    ] {
        let d = kolmogorov(v, |u| u.clamp(0.0, 1.0));
        assert!(d < KS, "KS {d}");
    }
    let short = images.iter().filter(|b| area(b) < 0.1 * 65536.0).count() as f64 / 20_000.0;
    assert!((0.42..0.50).contains(&short), "{short} of the images fall under the range");
}

#[test]
fn an_image_is_corrupted_with_probability_p() {
    let spec = Spec { p: 0.3, ..Spec::default() };
    let hit = draw_many(&spec, (64, 64), 20_000).iter().filter(|b| !b.is_empty()).count() as f64;
    assert!((hit - 6000.0).abs() < 4.0 * (20_000.0_f64 * 0.21).sqrt(), "{hit} of 20000");
}

#[test]
fn kinds_are_chosen_by_weight() {
    let spec = Spec { weights: vec![4.0, 1.0, 0.0, 5.0], num_boxes: (1, 1), ..Spec::default() };
    let images = draw_many(&spec, (64, 64), 20_000);
    for (bit, share) in [(1, 0.4), (2, 0.1), (4, 0.0), (8, 0.5)] {
        let seen = images.iter().filter(|b| b[0].kinds.0 == bit).count() as f64;
        assert!((seen - share * 2e4).abs() <= 4.0 * (2e4 * share * (1.0_f64 - share)).sqrt(), "kind {bit}: {seen}");
    }
}

#[test]
fn superimposed_boxes_have_two_or_more_kinds() {
    let spec = Spec { mode: Mode::Superimpose, ..Spec::default() };
    let mut seen = [0; 5];
    for b in draw_many(&spec, (64, 64), 3000).iter().flatten() {
        seen[b.kinds.0.count_ones() as usize] += 1;
    }
    assert!(seen[0] == 0 && seen[1] == 0 && seen[2] > 500 && seen[3] > 500 && seen[4] > 500, "{seen:?}");
}

/// The railway example of paragraph 33: one square of a tenth of 2048 × 2048.
#[test]
fn the_railway_example() {
    let spec = Spec { scale: (0.1, 0.1), num_boxes: (1, 1), ratio: (1.0, 1.0), ..Spec::default() };
    for boxes in draw_many(&spec, (2048, 2048), 50) {
        assert_eq!(boxes.len(), 1);
        assert!(boxes[0].height.abs_diff(boxes[0].width) <= 1);
        assert!((area(&boxes) - 419_430.4).abs() <= 0.5 * 648.0);
    }
}

/// Narrow images with a ratio that does not fit split their boxes; that stays quick because it stays bounded.
#[test]
fn slivers_are_bounded() {
    let spec = Spec { scale: (1.0, 1.0), ratio: (1.39, 1.39), ..Spec::default() };
    for boxes in draw_many(&spec, (2400, 2), 2) {
        assert!(boxes.len() <= 2 * 1024, "{} boxes", boxes.len());
        assert!((area(&boxes) - 4800.0).abs() <= 0.5 * 4800_f64.sqrt() + 0.5, "{}", area(&boxes));
    }
}

#[test]
fn images_without_pixels_are_refused() {
    let plan = Plan::new(Spec { full: true, ..Spec::default() }).unwrap();
    assert!(draw(&plan, (1, 0), 3, Index { seed: 0, keys: &[1] }).is_err());
}

fn any_spec() -> impl Strategy<Value = Spec> {
    let scale = (0.0..1.0_f64, 0.0..1.0_f64).prop_map(|(a, b)| (a.min(b), a.max(b).max(0.05)));
    let boxes = (1_usize..6, 0_usize..6).prop_map(|(low, more)| (low, low + more));
    let ratio = (-4.0..4.0_f64, 0.0..3.0_f64).prop_map(|(low, more)| (low.exp(), (low + more).exp()));
    (scale, boxes, ratio, any::<[bool; 5]>()).prop_map(|(scale, num_boxes, ratio, flags)| Spec {
        scale,
        num_boxes,
        ratio,
        area_split: if flags[0] { AreaSplit::Equal } else { AreaSplit::Dirichlet },
        ratio_sampling: if flags[1] { RatioSampling::Log } else { RatioSampling::Uniform },
        ratio_per: if flags[2] { RatioPer::Box } else { RatioPer::Image },
        placement: if flags[3] { Placement::Inside } else { Placement::Clip },
        overlap: if flags[4] { Overlap::Forbid } else { Overlap::Allow },
        ..Spec::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// For any valid specification and image: boxes lie inside, are apart where asked, and keep the promise on their area.
    #[test]
    fn promises_hold(spec in any_spec(), height in 1_usize..80, width in 1_usize..80, seed in any::<u64>()) {
        let plan = Plan::new(spec.clone()).unwrap();
        let keys: Vec<u64> = (0..4).collect();
        let pixels = (height * width) as f64;
        let boxes = match draw(&plan, (height, width), 1, Index { seed, keys: &keys }) {
            Ok(boxes) => boxes,
            Err(error) => {
                prop_assert!(spec.scale.1 * pixels < spec.num_boxes.0 as f64, "{error}");
                return Ok(());
            }
        };
        for image in 0..4 {
            let own: Vec<_> = boxes.iter().filter(|b| b.image == image).collect();
            if spec.overlap == Overlap::Forbid && spec.placement == Placement::Inside {
                let pixels: u32 = own.iter().map(|b| b.height * b.width).sum();
                prop_assert!(own.len() >= spec.num_boxes.0.min(pixels as usize), "{:?}", own);
            }
            for (i, b) in own.iter().enumerate() {
                prop_assert_eq!(b.number as usize, i);
                prop_assert!(b.height > 0 && b.width > 0);
                prop_assert!((b.y + b.height) as usize <= height && (b.x + b.width) as usize <= width);
                if spec.overlap == Overlap::Forbid {
                    prop_assert!(own[..i].iter().all(|a| !overlap(a, b)), "{:?}", own);
                }
            }
            if spec.placement == Placement::Inside {
                let total: f64 = own.iter().map(|b| f64::from(b.height * b.width)).sum();
                let fewest = spec.num_boxes.0 as f64;
                let (low, high) = ((spec.scale.0 * pixels).max(fewest).min(pixels), (spec.scale.1 * pixels).max(fewest));
                prop_assert!(total >= low - 0.5 * low.sqrt() - 0.5 - 1e-6, "{} of {}: {:?}", total, low, own);
                prop_assert!(total <= high + 0.5 * high.sqrt() + 0.5 + 1e-6, "{} of {}: {:?}", total, high, own);
            }
        }
    }
}

/// Many boxes in one image, and many images: the caller is asked now and then whether to go on.
#[test]
fn drawing_stops_when_asked_to() {
    let plan = Plan::new(Spec { num_boxes: (64, 64), scale: (0.5, 0.5), ..Spec::default() }).unwrap();
    let keys: Vec<u64> = (0..1000).collect();
    let index = Index { seed: 1, keys: &keys };
    let asked = AtomicUsize::new(0);
    let third = || asked.fetch_add(1, Ordering::Relaxed) == 2;
    let mut images = Array4::from_elem((1000, 1, 64, 64), 7_u8);
    let stopped = Corruption::new(&plan, index).range((0.0, 255.0)).stop(&third);
    assert_eq!(stopped.run::<u8>(Images::in_place(images.view_mut())), Err(Error::Stopped));
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    assert!(images.iter().all(|pixel| *pixel == 7), "nothing has changed");
    let never = || {
        asked.fetch_add(1, Ordering::Relaxed);
        false
    };
    let boxes = Corruption::new(&plan, index).stop(&never).draw((64, 64), 1).unwrap();
    assert_eq!(boxes, draw(&plan, (64, 64), 1, index).unwrap());
    let asked = asked.load(Ordering::Relaxed);
    assert!((20..200).contains(&asked), "asked {asked} times for {} boxes", boxes.len());
}

/// Boxes at extreme scales, which take every way that there is to place them, are part of the contract as well.
#[test]
fn crowded_boxes_are_stable() {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let rows = [
        ((0.9, 0.9), (1, 4), (1.0, 1.0), (8, 600)),
        ((0.85, 1.0), (200, 300), (0.3, 3.3), (120, 90)),
        ((1.0, 1.0), (40, 90), (3.5, 3.5), (64, 64)),
        ((0.6, 0.7), (30, 60), (0.01, 100.0), (50, 200)),
    ];
    for (scale, num_boxes, ratio, size) in rows {
        let spec = Spec { scale, num_boxes, ratio, ..Spec::default() };
        for b in draw_many(&spec, size, 5).iter().flatten() {
            for word in [b.image, b.number, b.y, b.x, b.height, b.width, u32::from(b.kinds.0)] {
                hash = (hash ^ u64::from(word)).wrapping_mul(0x100_0000_01b3);
            }
        }
    }
    assert_eq!(hash, CROWDED, "{hash:#x}");
}

const CROWDED: u64 = 0x53c3_a416_48ac_a304;
