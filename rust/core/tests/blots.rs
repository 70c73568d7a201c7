//! What shapes, patches and marks promise: formulas pixel by pixel, area, determinism, exact masks.

mod common;

use common::{corrupt, covers, draw, gaussian, paste, salt_pepper};
use half::{bf16, f16};
use ndarray::{Array3, Array4, Axis, Slice};
use proptest::prelude::*;
use unblot_core::math::{cos_sin_word, minus_ln_word};
use unblot_core::rng::{ROUNDS, block};
use unblot_core::{
    Base, BoxDraw, Corruption, Error, Images, Index, Level, Marks, Mode, Noise, Overlap, Placement, Plan, Rendered,
    Shape, Spec, mark_places,
};

const SEED: u64 = 0x1234_5678_9abc_def0;

/// Word `n` of a layer of a box, straight from the contract.
fn word(key: u64, draw: &BoxDraw, layer: u32, n: u32) -> u32 {
    let counter = [16 * (n / 64) + n % 16, draw.number << 3 | layer, key as u32, (key >> 32) as u32];
    block(counter, [SEED as u32, (SEED >> 32) as u32], ROUNDS)[(n / 16 % 4) as usize]
}

/// Word `n` of the shape's layer as a number in (0, 1).
fn unit(key: u64, draw: &BoxDraw, n: u32) -> f32 {
    ((word(key, draw, 6, n) >> 8) as f32 + 0.5) / 16_777_216.0
}

/// Weight of a quadratic B-spline at a distance from its node.
fn spline(distance: f32) -> f32 {
    if distance < 0.5 {
        distance.mul_add(-distance, 0.75)
    } else if distance < 1.5 {
        0.5 * (1.5 - distance) * (1.5 - distance)
    } else {
        0.0
    }
}

/// The field that a shape is cut from, at one pixel of its box.
fn field(key: u64, draw: &BoxDraw, y: u32, x: u32) -> f32 {
    let (height, width) = (draw.height as f32, draw.width as f32);
    let (y, x) = (y as f32 + 0.5, x as f32 + 0.5);
    if draw.shape == Shape::Scar {
        let (along, across, long, short) = if width >= height { (x, y, width, height) } else { (y, x, height, width) };
        let [start, bend, end] = [0, 1, 2].map(|n| unit(key, draw, n).mul_add(0.8, 0.1) * short);
        let t = along / long;
        let rest = 1.0 - t;
        let middle = (rest * rest).mul_add(start, (2.0 * t * rest).mul_add(bend, t * t * end));
        let steep = 2.0 * rest.mul_add(bend - start, t * (end - bend)) / long;
        let gain = 1.0 / ((3.0 * t).mul_add(rest, 0.25) * steep.mul_add(steep, 1.0).sqrt());
        return (across - middle).abs() * gain;
    }
    let (v, u) = (y / height, x / width);
    let hold = |t: f32| 0.7 * t.mul_add(2.0, -1.0) * t.mul_add(2.0, -1.0);
    let mut sum = hold(u) + hold(v);
    for i in 0..6 {
        let mut column = 0.0_f32;
        for j in 0..6 {
            let node = unit(key, draw, 6 * j + i).mul_add(2.0, -1.0);
            column = spline(v.mul_add(4.0, 0.5 - j as f32).abs()).mul_add(node, column);
        }
        sum = column.mul_add(spline(u.mul_add(4.0, 0.5 - i as f32).abs()), sum);
    }
    sum
}

/// How much of each pixel of a box is covered, by the formulas and a full sort.
fn expected_cover(plan: &Plan, key: u64, draw: &BoxDraw) -> Vec<f32> {
    let area = (draw.height * draw.width) as usize;
    if draw.shape == Shape::Rectangle {
        return vec![1.0; area];
    }
    let values: Vec<f32> =
        (0..draw.height).flat_map(|y| (0..draw.width).map(move |x| field(key, draw, y, x))).collect();
    let mut sorted = values.clone();
    sorted.sort_unstable_by(f32::total_cmp);
    let pixels = draw.shape.pixels(area);
    let border = sorted[pixels - 1];
    let slope = match draw.shape {
        Shape::Blob => 2.0 * (border - sorted[0]) / (pixels as f32 / std::f32::consts::PI).sqrt(),
        _ => 1.0,
    };
    let reach = plan.spec().edge as f32 + 0.5;
    let gain = if slope > 0.0 { 1.0 / (slope * reach) } else { 0.0 };
    values.iter().map(|v| if *v <= border { (border - v).mul_add(gain, 0.5 / reach).min(1.0) } else { 0.0 }).collect()
}

/// The content of a box at one value before it is blended; None where salt and pepper alone make it and miss.
fn content<T: Rendered>(
    plan: &Plan,
    (key, draw): (u64, &BoxDraw),
    (c, y, x): (usize, u32, u32),
    clean: &Array4<T::Raw>,
    own: f32,
    range: (f32, f32),
) -> Option<f32> {
    let scale = 1.0 / (range.1 - range.0);
    let base = draw.base(plan, c);
    let place = y * draw.width + x;
    let n = c as u32 * draw.height * draw.width + place;
    match draw.kinds.0 {
        16 => {
            let patch = draw.patch;
            let row = patch.y + if patch.flip_y { draw.height - 1 - y } else { y };
            let column = patch.x + if patch.flip_x { draw.width - 1 - x } else { x };
            let raw = clean[[patch.image as usize, c, row as usize, column as usize]];
            Some(patch.gain.mul_add((T::decode(raw) - range.0) * scale, patch.offset))
        }
        1 => {
            let pair = n - n / 16 % 2 * 16;
            let radius = (2.0 * minus_ln_word(word(key, draw, 1, pair))).sqrt();
            let (cos, sin) = cos_sin_word(word(key, draw, 1, pair + 16));
            let z = radius * if pair == n { cos } else { sin };
            let v = if base.is_nan() { own } else { base };
            Some(draw.gaussian.1.mul_add(z, v + draw.gaussian.0))
        }
        _ => {
            let u = f64::from(word(key, draw, 3, if draw.per_channel { n } else { place })) / 4_294_967_296.0;
            let (salt, pepper) = (f64::from(draw.salt_pepper.0), f64::from(draw.salt_pepper.1));
            if u < salt {
                Some(1.0)
            } else if u < salt + pepper {
                Some(0.0)
            } else {
                (!base.is_nan()).then_some(base)
            }
        }
    }
}

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

fn kinds(from_batch: bool) -> Vec<Noise> {
    vec![paste(from_batch), gaussian(0.3), salt_pepper(0.4, false), salt_pepper(0.3, true)]
}

/// All kinds in all shapes.
fn blots(base: Base, from_batch: bool) -> Spec {
    Spec {
        scale: (0.05, 0.16),
        num_boxes: (2, 5),
        base,
        noise: kinds(from_batch),
        weights: vec![2.0, 1.0, 1.0, 1.0],
        shapes: vec![Shape::Rectangle, Shape::Scar, Shape::Blob],
        shape_weights: vec![1.0; 3],
        ..Spec::default()
    }
}

fn check_against_formulas<T: Rendered>(spec: &Spec, shape: (usize, usize, usize, usize), range: (f32, f32)) {
    let plan = Plan::new(spec.clone()).unwrap();
    let before = images::<T>(shape, range);
    let keys: Vec<u64> = (0..shape.0 as u64).map(|i| i * 0x1_0000_0001).collect();
    let index = Index { seed: SEED, keys: &keys };
    let mut after = before.clone();
    let boxes = corrupt::<T>(&plan, after.view_mut(), None, range, index, 1, Level::best()).unwrap();
    let all = covers(&plan, (shape.2, shape.3), shape.1, index).unwrap();
    let (mut wanted, mut start) = (before.clone(), 0);
    let scale = 1.0 / (range.1 - range.0);
    for b in &boxes {
        let key = keys[b.image as usize];
        let cover = expected_cover(&plan, key, b);
        assert_eq!(all[start..start + cover.len()], cover, "{b:?}");
        start += cover.len();
        for (i, cover) in cover.iter().enumerate() {
            let (y, x) = (i as u32 / b.width, i as u32 % b.width);
            for c in 0..shape.1 {
                let at = [b.image as usize, c, (b.y + y) as usize, (b.x + x) as usize];
                let own = (T::decode(wanted[at]) - range.0) * scale;
                let Some(v) = content::<T>(&plan, (key, b), (c, y, x), &before, own, range) else { continue };
                let share = if b.kinds.0 == 16 { cover * b.patch.opacity } else { *cover };
                let v = v.clamp(0.0, 1.0);
                let mixed = if share >= 1.0 { v } else { share.mul_add(v, (1.0 - share) * own) };
                if share > 0.0 {
                    wanted[at] = T::encode(mixed.clamp(0.0, 1.0).mul_add(range.1 - range.0, range.0));
                }
            }
        }
    }
    assert_eq!(start, all.len());
    assert!(bits::<T>(&after) == bits::<T>(&wanted), "differs from the formulas: {spec:?}");
    for bit in [1, 2, 16] {
        assert!(boxes.iter().any(|b| b.kinds.0 == bit && b.shape != Shape::Rectangle), "no kind {bit} in a shape");
    }
}

#[test]
fn pixels_follow_the_formulas() {
    for (base, from_batch) in [(Base::Gray, false), (Base::Any, true), (Base::Image, false)] {
        let spec = blots(base, from_batch);
        check_against_formulas::<u8>(&spec, (12, 3, 60, 53), (0.0, 255.0));
        check_against_formulas::<f32>(&spec, (12, 3, 60, 53), (-1.0, 1.0));
        check_against_formulas::<f16>(&spec, (12, 1, 60, 53), (0.0, 1.0));
        check_against_formulas::<bf16>(&spec, (12, 3, 60, 53), (0.0, 1.0));
        check_against_formulas::<f32>(&Spec { edge: 0.0, ..spec.clone() }, (12, 1, 60, 53), (0.0, 1.0));
        let piled = Spec { overlap: Overlap::Allow, placement: Placement::Clip, edge: 2.5, ..spec };
        check_against_formulas::<f32>(&piled, (12, 2, 40, 61), (0.0, 1.0));
    }
    // Boxes of many buffers, whose border is found by a sample.
    let large = Spec { num_boxes: (1, 1), scale: (0.15, 0.16), ..blots(Base::Any, false) };
    check_against_formulas::<f32>(&large, (16, 1, 150, 160), (0.0, 1.0));
}

#[test]
fn only_a_sharp_border_is_all_or_nothing() {
    let sharp = Plan::new(Spec { edge: 0.0, ..blots(Base::Gray, false) }).unwrap();
    let soft = Plan::new(blots(Base::Gray, false)).unwrap();
    let index = Index { seed: 1, keys: &[0, 1, 2, 3, 4, 5] };
    let (sharp, soft) = (covers(&sharp, (64, 64), 1, index).unwrap(), covers(&soft, (64, 64), 1, index).unwrap());
    assert!(sharp.iter().all(|v| *v == 0.0 || *v == 1.0));
    assert!(soft.iter().any(|v| *v > 0.3 && *v < 1.0));
    assert!(sharp.iter().zip(&soft).all(|(a, b)| (*a > 0.0) == (*b > 0.0)), "the edge lies inside the shape");
}

/// A patch lies beside its box where there is room, is of the same image unless asked otherwise, and is mirrored as often as not.
#[test]
fn patches_come_from_where_they_should() {
    let keys: Vec<u64> = (0..400).collect();
    for from_batch in [false, true] {
        let spec = Spec {
            scale: (0.02, 0.05),
            noise: vec![paste(from_batch)],
            weights: vec![1.0],
            num_boxes: (2, 2),
            ..Spec::default()
        };
        let plan = Plan::new(spec).unwrap();
        let boxes = draw(&plan, (64, 64), 1, Index { seed: 3, keys: &keys }).unwrap();
        let (mut flips, mut sources) = ([0; 2], std::collections::HashSet::new());
        for b in &boxes {
            let p = b.patch;
            assert!(p.y + b.height <= 64 && p.x + b.width <= 64);
            assert_eq!(p.image == b.image, !from_batch);
            let apart = p.y >= b.y + b.height || b.y >= p.y + b.height || p.x >= b.x + b.width || b.x >= p.x + b.width;
            assert!(from_batch || apart, "{b:?}");
            flips[0] += u32::from(p.flip_y);
            flips[1] += u32::from(p.flip_x);
            sources.insert(p.image);
        }
        assert!(flips.iter().all(|n| (340..460).contains(n)), "{flips:?} of 800");
        assert!(sources.len() > 300, "{} images are sources", sources.len());
    }
    // An image alone is its own source, and boxes lie where they do in any batch.
    let plan = Plan::new(Spec { noise: vec![paste(true)], weights: vec![1.0], ..Spec::default() }).unwrap();
    let alone = draw(&plan, (64, 64), 1, Index { seed: 3, keys: &[7] }).unwrap();
    assert!(alone.iter().all(|b| b.patch.image == 0));
    let place = |b: &BoxDraw| (b.y, b.x, b.height, b.width, b.shape);
    let among = draw(&plan, (64, 64), 1, Index { seed: 3, keys: &keys }).unwrap();
    let among = among.iter().filter(|b| b.image == 7).map(place);
    assert!(alone.iter().map(place).eq(among));
}

#[test]
fn shapes_are_chosen_by_weight() {
    let spec = Spec { num_boxes: (1, 1), shape_weights: vec![5.0, 1.0, 4.0], ..blots(Base::Gray, false) };
    let keys: Vec<u64> = (0..10_000).collect();
    let boxes = draw(&Plan::new(spec).unwrap(), (64, 64), 1, Index { seed: 5, keys: &keys }).unwrap();
    for (shape, share) in [(Shape::Rectangle, 0.5), (Shape::Scar, 0.1), (Shape::Blob, 0.4)] {
        let seen = boxes.iter().filter(|b| b.shape == shape).count() as f64;
        assert!((seen - share * 1e4).abs() < 4.0 * (1e4 * share * (1.0_f64 - share)).sqrt(), "{shape:?}: {seen}");
    }
}

#[test]
fn what_cannot_be_drawn_is_refused_by_name() {
    let cases: [(&str, Spec); 9] = [
        ("shapes", Spec { shapes: vec![], shape_weights: vec![], ..Spec::default() }),
        ("shape_weights", Spec { shape_weights: vec![1.0, 1.0], ..Spec::default() }),
        ("shape_weights", Spec { shape_weights: vec![0.0], ..Spec::default() }),
        ("edge", Spec { edge: -1.0, ..Spec::default() }),
        ("scale", Spec { shapes: vec![Shape::Scar], scale: (0.1, 0.2), ..Spec::default() }),
        ("scale", Spec { shapes: vec![Shape::Blob], scale: (0.1, 0.6), ..Spec::default() }),
        ("mode", Spec { mode: Mode::Superimpose, ..blots(Base::Gray, false) }),
        ("base", Spec { base: Base::Any, ..Spec::default() }),
        (
            "Paste.opacity",
            Spec {
                noise: vec![Noise::Paste {
                    gain: (1.0, 1.0),
                    offset: (0.0, 0.0),
                    opacity: (0.0, 0.0),
                    flip: true,
                    from_batch: false,
                }],
                weights: vec![1.0],
                ..Spec::default()
            },
        ),
    ];
    for (parameter, mut spec) in cases {
        if parameter == "mode" {
            spec.noise.pop();
            spec.weights.pop();
        }
        match Plan::new(spec.clone()) {
            Err(Error::Parameter { name, .. }) => assert_eq!(name, parameter, "{spec:?}"),
            other => panic!("{parameter}: {other:?} for {spec:?}"),
        }
    }
    // A shape that is never drawn does not bound the area.
    let unused = Spec { shapes: vec![Shape::Rectangle, Shape::Scar], shape_weights: vec![1.0, 0.0], ..Spec::default() };
    assert!(Plan::new(unused).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// The covered pixels, counted, meet the target; every box holds as many as its shape promises.
    #[test]
    fn the_shaped_area_is_kept(
        scale in (0.0..1.0_f64, 0.0..1.0_f64), fewest in 1_usize..4, shapes in 1_usize..8, edge in 0.0..3.0_f64,
        height in 1_usize..80, width in 1_usize..80, seed in any::<u64>(),
    ) {
        let all = [Shape::Rectangle, Shape::Scar, Shape::Blob];
        let shapes: Vec<_> = all.into_iter().enumerate().filter(|(i, _)| shapes >> i & 1 == 1).map(|(_, s)| s).collect();
        let most = shapes.iter().map(|s| s.share()).fold(1.0, f64::min);
        let scale = (most * scale.0.min(scale.1), most * scale.0.max(scale.1));
        prop_assume!(scale.1 > 0.0);
        let spec = Spec { scale, num_boxes: (fewest, fewest + 2), shape_weights: vec![1.0; shapes.len()], shapes, edge, ..Spec::default() };
        let plan = Plan::new(spec).unwrap();
        let pixels = (height * width) as f64;
        let index = Index { seed, keys: &[1] };
        let Ok(boxes) = draw(&plan, (height, width), 1, index) else {
            prop_assert!(scale.1 * pixels < fewest as f64);
            return Ok(());
        };
        let covers = covers(&plan, (height, width), 1, index).unwrap();
        let (mut start, mut total) = (0, 0);
        for b in &boxes {
            let area = (b.height * b.width) as usize;
            let covered = covers[start..start + area].iter().filter(|v| **v > 0.0).count();
            start += area;
            total += covered;
            // Places of equal value at the border are covered together.
            prop_assert!(covered >= b.shape.pixels(area) && covered <= b.shape.pixels(area) + 1 + area / 50, "{} of {:?}", covered, b);
        }
        let count = boxes.iter().filter(|b| b.shape != Shape::Rectangle).count() as f64;
        let bound = |target: f64| 0.5 * target.sqrt() + 0.5 + count;
        let (low, high) = ((scale.0 * pixels).max(fewest as f64).min(pixels), (scale.1 * pixels).max(fewest as f64));
        prop_assert!(total as f64 >= low - bound(low) && total as f64 <= high + bound(high), "{} of {} to {}: {:?}", total, low, high, boxes);
    }

    /// Batch, threads, memory layout and instructions do not change a bit, of the pixels or of the marks.
    #[test]
    fn same_image_same_bits(
        seed in any::<u64>(), n in 1_usize..5, height in 8_usize..70, width in 8_usize..70, threads in 2_usize..5, from_batch in any::<bool>(),
    ) {
        let plan = Plan::new(blots(Base::Any, from_batch)).unwrap();
        let keys: Vec<u64> = (0..n as u64).map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
        let (range, index) = ((0.0, 1.0), Index { seed, keys: &keys });
        let before = images::<f32>((n, 3, height, width), range);
        let mut whole = before.clone();
        let mut marked = Array3::from_elem((n, height, width), 7);
        let marks = Marks { threshold: 0.05, mask: marked.view_mut() };
        let in_place = Images::in_place(whole.view_mut()).marked(marks);
        Corruption::new(&plan, index).threads(1).level(Level::scalar()).run::<f32>(in_place).unwrap();

        // The marks are what a comparison gives.
        for (at, mark) in marked.indexed_iter() {
            let far = (0..3).any(|c| (whole[[at.0, c, at.1, at.2]] - before[[at.0, c, at.1, at.2]]).abs() > 0.05);
            prop_assert_eq!(*mark == 1, far, "{:?}", at);
        }
        for (name, level) in Level::all() {
            let mut out = Array4::from_elem((n, height, width, 3), 9.0);
            let mut again = Array3::zeros((n, height, width));
            let marks = Marks { threshold: 0.05, mask: again.view_mut() };
            let dst = out.view_mut().permuted_axes([0, 3, 1, 2]);
            let before = before.view();
            let apart = Images::copied(&before, dst).marked(marks);
            Corruption::new(&plan, index).threads(threads).level(level).run::<f32>(apart).unwrap();
            let out = out.permuted_axes([0, 3, 1, 2]).as_standard_layout().to_owned();
            prop_assert!(bits::<f32>(&whole) == bits::<f32>(&out), "{}, {} threads, channels last", name, threads);
            prop_assert!(marked == again, "marks: {}, {} threads", name, threads);
        }
        if !from_batch {
            for (i, image) in before.axis_chunks_iter(Axis(0), 1).enumerate() {
                let mut alone = image.to_owned();
                corrupt::<f32>(&plan, alone.view_mut(), None, range, Index { seed, keys: &keys[i..=i] }, threads, Level::best()).unwrap();
                let there = whole.slice_axis(Axis(0), Slice::from(i..=i)).to_owned();
                prop_assert!(bits::<f32>(&alone) == bits::<f32>(&there), "image {} alone", i);
            }
        }
    }
}

/// A change of any value is a decision, as in `corrupt.rs`.
#[test]
fn values_are_stable() {
    fn hash<T: Rendered>(noise: Noise, shape: Shape, range: (f32, f32)) -> u64 {
        let spec =
            Spec { scale: (0.1, 0.16), noise: vec![noise], weights: vec![1.0], shapes: vec![shape], ..Spec::default() };
        let mut a = images::<T>((4, 3, 64, 48), range);
        let index = Index { seed: SEED, keys: &[1, 2, 3, u64::MAX] };
        corrupt::<T>(&Plan::new(spec).unwrap(), a.view_mut(), None, range, index, 1, Level::best()).unwrap();
        bits::<T>(&a).iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3))
    }
    let rows = [
        (paste(false), Shape::Rectangle),
        (paste(true), Shape::Blob),
        (gaussian(0.2), Shape::Scar),
        (gaussian(0.2), Shape::Blob),
    ];
    let seen = rows.map(|(noise, shape)| {
        [
            hash::<u8>(noise.clone(), shape, (0.0, 255.0)),
            hash::<f32>(noise.clone(), shape, (0.0, 1.0)),
            hash::<f16>(noise.clone(), shape, (0.0, 1.0)),
            hash::<bf16>(noise, shape, (0.0, 1.0)),
        ]
    });
    assert_eq!(seen, GOLDEN, "{seen:#x?}");
}

/// Rows: a patch, a patch from the batch in a blob, a Gaussian scar, a Gaussian blob; columns: uint8, float32, float16, bfloat16.
const GOLDEN: [[u64; 4]; 4] = [
    [0x98cb323a07b56325, 0xd4a25f1f530b2c48, 0x4006e56e72e6a325, 0x9ef108443d5c6325],
    [0xb0febd54428d6325, 0x3a8d1aa82f5404ab, 0xda32a9a40e01e325, 0x9d61d542e11f6325],
    [0x9110b36d070e6325, 0x209d3aeda8c07043, 0x3b7bb3f4118c0325, 0x009ead74936b6325],
    [0x1dbf01aafc716325, 0x10bc023db6c10ac7, 0xa6305a174614c325, 0xa6abb6e5569f6325],
];

/// The mask of places is 1 where a box covers a pixel, and wrong places are refused.
#[test]
fn places_are_marked() {
    let plan = Plan::new(Spec {
        num_boxes: (1, 30),
        shapes: vec![Shape::Rectangle],
        shape_weights: vec![1.0],
        ..blots(Base::Gray, false)
    })
    .unwrap();
    let shaped = Plan::new(blots(Base::Gray, false)).unwrap();
    let keys: Vec<u64> = (0..6).collect();
    let index = Index { seed: 5, keys: &keys };
    for (plan, size) in [(&plan, (40, 90)), (&plan, (7, 33)), (&shaped, (64, 50))] {
        let boxes = draw(plan, size, 1, index).unwrap();
        let all = covers(plan, size, 1, index).unwrap();
        let mut expected = Array3::<u8>::zeros((6, size.0, size.1));
        let mut cover = all.iter();
        for b in &boxes {
            for y in b.y..b.y + b.height {
                for x in b.x..b.x + b.width {
                    let at = [b.image as usize, y as usize, x as usize];
                    expected[at] |= u8::from(*cover.next().unwrap() > 0.0);
                }
            }
        }
        let places = || boxes.iter().map(|b| [b.image, b.y, b.x, b.height, b.width].map(|n| n as usize));
        let mut mask = Array3::zeros(expected.dim());
        mark_places(&mut mask.view_mut(), places(), Some(&all)).unwrap();
        assert_eq!(mask, expected);
        if plan.spec().shapes == [Shape::Rectangle] {
            mask.fill(0);
            mark_places(&mut mask.view_mut(), places(), None).unwrap();
            assert_eq!(mask, expected);
        }
        let few = mark_places(&mut mask.view_mut(), places(), Some(&all[1..])).unwrap_err();
        assert!(few.to_string().contains("too few"), "{few}");
        let outside = mark_places(&mut mask.view_mut(), [[5, 0, 1, size.0, size.1]].into_iter(), None).unwrap_err();
        assert!(outside.to_string().contains("does not lie in"), "{outside}");
    }
}
