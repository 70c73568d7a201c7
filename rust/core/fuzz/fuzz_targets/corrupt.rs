//! Any specification, on any images in any memory layout: what `corrupt` promises must hold, and nothing may panic.
//!
//! The fuzzer's bytes become a [`Case`]. Half of all numbers are drawn from where they are accepted, so that most cases reach the
//! pixels; the others are any bits at all, so that the checks of [`Plan::new`] are tried as well. For a case that is accepted:
//!
//! - `corrupt` returns the boxes that `draw` draws; they lie in the image, apart and of the asked area where that is promised;
//! - pixels outside them, and memory between them, keep their bits, and pixels inside stay in the value range;
//! - every layout, thread count, instruction level, in place or out of place, makes the same bits;
//! - an image alone comes out as it does in the batch.

#![no_main]

use std::fmt::Debug;

use arbitrary::{Arbitrary, Result, Unstructured};
use half::{bf16, f16};
use libfuzzer_sys::fuzz_target;
use ndarray::{Array4, ArrayView4, ArrayViewMut4, Axis, Slice};
use unblot_core::{
    AreaSplit, Base, BoxDraw, Corruption, Error, Images, Index, Kinds, Level, Mode, Noise, Overlap, Placement, Plan, PoissonMode, Rendered,
    RatioPer, RatioSampling, Shape, Spec,
};

#[derive(Debug)]
struct Case {
    spec: Spec,
    /// N, C, H, W.
    shape: (usize, usize, usize, usize),
    format: Format,
    pixels: u64,
    seed: u64,
    keys: Vec<u64>,
    threads: usize,
    layout: Layout,
    in_place: bool,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Format {
    U8,
    F16,
    Bf16,
    F32,
}

/// How the images of the second run lie in memory.
#[derive(Debug, Clone, Copy, Arbitrary)]
enum Layout {
    ChannelsFirst,
    ChannelsLast,
    /// Every second column, rows upside down.
    Strided,
    /// A window of larger images.
    Window,
    /// Width before height.
    Turned,
}

impl<'a> Arbitrary<'a> for Case {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let images = u.int_in_range(0..=3)?;
        let (height, width) = match u.int_in_range(0..=9)? {
            0 => (u.int_in_range(1..=3)?, u.int_in_range(1..=300)?),
            1 => (u.int_in_range(1..=300)?, u.int_in_range(1..=3)?),
            _ => (u.int_in_range(1..=70)?, u.int_in_range(1..=70)?),
        };
        Ok(Self {
            spec: spec(u)?,
            shape: (images, u.int_in_range(0..=6)?, height, width),
            format: u.arbitrary()?,
            pixels: u.arbitrary()?,
            seed: u.arbitrary()?,
            keys: (0..images).map(|_| u.arbitrary()).collect::<Result<_>>()?,
            threads: u.int_in_range(1..=3)?,
            layout: u.arbitrary()?,
            in_place: u.arbitrary()?,
        })
    }
}

/// A number, most often from the accepted interval.
fn number(u: &mut Unstructured<'_>, low: f64, high: f64) -> Result<f64> {
    Ok(match u.int_in_range(0..=15)? {
        0 => u.arbitrary()?,
        1 => low,
        2 => high,
        _ => low + (high - low) * f64::from(u.arbitrary::<u16>()?) / 65_535.0,
    })
}

fn range(u: &mut Unstructured<'_>, low: f64, high: f64) -> Result<(f64, f64)> {
    let (a, b) = (number(u, low, high)?, number(u, low, high)?);
    Ok(match u.int_in_range(0..=7)? {
        0 => (a, b),
        1..=3 => (a, a),
        _ => (a.min(b), a.max(b)),
    })
}

fn noise(u: &mut Unstructured<'_>) -> Result<Noise> {
    Ok(match u.int_in_range(0..=4)? {
        0 => Noise::Gaussian { sigma: range(u, 0.0, 2.0)?, mean: range(u, -1.0, 1.0)? },
        1 => Noise::Laplace { scale: range(u, 0.0, 2.0)?, mean: range(u, -1.0, 1.0)? },
        2 => Noise::SaltPepper { amount: range(u, 0.0, 1.0)?, salt: range(u, 0.0, 1.0)?, per_channel: u.arbitrary()? },
        3 => Noise::Paste {
            gain: range(u, -2.0, 2.0)?,
            offset: range(u, -1.0, 1.0)?,
            opacity: range(u, 0.0, 1.0)?,
            flip: u.arbitrary()?,
            from_batch: u.arbitrary()?,
        },
        _ => Noise::Poisson {
            peak: range(u, 1e-3, 100.0)?,
            strength: range(u, 0.0, 2.0)?,
            mode: *u.choose(&[PoissonMode::Shot, PoissonMode::Additive])?,
        },
    })
}

fn spec(u: &mut Unstructured<'_>) -> Result<Spec> {
    let noise = (0..u.int_in_range(0..=5)?).map(|_| noise(u)).collect::<Result<Vec<_>>>()?;
    let weights = if u.ratio(1, 8)? { u.int_in_range(0..=5)? } else { noise.len() };
    let base = match u.int_in_range(0..=7)? {
        0 => Base::Black,
        1 => Base::White,
        2 => Base::Gray,
        3 => Base::Random,
        4 => Base::Levels((0..u.int_in_range(0..=4)?).map(|_| Ok(number(u, 0.0, 1.0)? as f32)).collect::<Result<_>>()?),
        5 => Base::Any,
        _ => Base::Image,
    };
    let shapes = if u.ratio(1, 2)? {
        vec![Shape::Rectangle]
    } else {
        let known = [Shape::Rectangle, Shape::Scar, Shape::Blob];
        (0..u.int_in_range(0..=4)?).map(|_| Ok(*u.choose(&known)?)).collect::<Result<_>>()?
    };
    // Half of the time an area that every shape can cover.
    let thinnest = shapes.iter().map(|shape| shape.share()).fold(1.0, f64::min);
    let most = if u.arbitrary()? { thinnest } else { 1.0 };
    let (fewest, more) = if u.ratio(1, 16)? {
        (u.arbitrary()?, u.arbitrary()?)
    } else {
        (u.int_in_range(1..=40)?, u.int_in_range(0..=40)?)
    };
    Ok(Spec {
        scale: range(u, 0.0, most)?,
        num_boxes: (fewest, fewest.wrapping_add(more)),
        area_split: *u.choose(&[AreaSplit::Dirichlet, AreaSplit::Equal])?,
        ratio: if u.ratio(1, 4)? { range(u, 1e-4, 1e4)? } else { range(u, 0.1, 10.0)? },
        ratio_sampling: *u.choose(&[RatioSampling::Log, RatioSampling::Uniform])?,
        ratio_per: *u.choose(&[RatioPer::Box, RatioPer::Image])?,
        placement: *u.choose(&[Placement::Inside, Placement::Clip])?,
        overlap: *u.choose(&[Overlap::Forbid, Overlap::Allow])?,
        base,
        noise,
        weights: (0..weights).map(|_| number(u, 0.0, 2.0)).collect::<Result<_>>()?,
        mode: *u.choose(&[Mode::Choose, Mode::Superimpose, Mode::None])?,
        shape_weights: shapes.iter().map(|_| number(u, 0.0, 2.0)).collect::<Result<_>>()?,
        shapes,
        edge: number(u, 0.0, 4.0)?,
        p: if u.ratio(1, 4)? { number(u, 0.0, 1.0)? } else { 1.0 },
        full: u.ratio(1, 16)?,
    })
}

/// A pixel's bits, for comparison.
trait Bits: Rendered<Raw: Debug + Default> {
    /// Lowest and highest value.
    const RANGE: (f32, f32);
    fn bits(raw: Self::Raw) -> u32;
    fn from_bits(bits: u32) -> Self::Raw;
}

impl Bits for u8 {
    const RANGE: (f32, f32) = (0.0, 255.0);
    fn bits(raw: u8) -> u32 {
        raw.into()
    }
    fn from_bits(bits: u32) -> u8 {
        bits as u8
    }
}

impl Bits for f16 {
    const RANGE: (f32, f32) = (-1.0, 1.0);
    fn bits(raw: u16) -> u32 {
        raw.into()
    }
    fn from_bits(bits: u32) -> u16 {
        bits as u16
    }
}

impl Bits for bf16 {
    const RANGE: (f32, f32) = (0.0, 1.0);
    fn bits(raw: u16) -> u32 {
        raw.into()
    }
    fn from_bits(bits: u32) -> u16 {
        bits as u16
    }
}

impl Bits for f32 {
    const RANGE: (f32, f32) = (0.0, 1.0);
    fn bits(raw: f32) -> u32 {
        raw.to_bits()
    }
    fn from_bits(bits: u32) -> f32 {
        f32::from_bits(bits)
    }
}

/// Half of the pixels from the value range, the others any bits: infinities and not-a-numbers too.
fn images<T: Bits>(shape: (usize, usize, usize, usize), mut state: u64) -> Array4<T::Raw> {
    Array4::from_shape_simple_fn(shape, || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let word = (state >> 32) as u32;
        if word & 1 == 0 {
            let (low, high) = T::RANGE;
            T::encode(low + (high - low) * (word >> 8) as f32 / 16_777_216.0)
        } else {
            T::from_bits(word ^ word >> 16)
        }
    })
}

fn bits<T: Bits>(images: &ArrayView4<'_, T::Raw>) -> Vec<u32> {
    images.iter().map(|raw| T::bits(*raw)).collect()
}

/// Memory in which images of this shape lie in the given layout, full of a mark.
fn memory<T: Bits>(layout: Layout, (n, c, h, w): (usize, usize, usize, usize)) -> Array4<T::Raw> {
    let shape = match layout {
        Layout::ChannelsFirst => (n, c, h, w),
        Layout::ChannelsLast => (n, h, w, c),
        Layout::Strided => (n, c, h, 2 * w),
        Layout::Window => (n + 1, c + 1, h + 3, w + 5),
        Layout::Turned => (n, c, w, h),
    };
    Array4::from_elem(shape, T::from_bits(0x5a5a_5a5a))
}

/// The images in such memory.
fn view<R>(layout: Layout, memory: &mut Array4<R>, (n, _, h, w): (usize, usize, usize, usize)) -> ArrayViewMut4<'_, R> {
    let mut view = memory.view_mut();
    match layout {
        Layout::ChannelsFirst => {}
        Layout::ChannelsLast => view = view.permuted_axes([0, 3, 1, 2]),
        Layout::Turned => view = view.permuted_axes([0, 1, 3, 2]),
        Layout::Strided => {
            view.slice_axis_inplace(Axis(3), Slice::new(0, None, 2));
            view.slice_axis_inplace(Axis(2), Slice::new(0, None, -1));
        }
        Layout::Window => {
            for (axis, slice) in [(0, 0..n), (2, 1..h + 1), (3, 2..w + 2)] {
                view.slice_axis_inplace(Axis(axis), Slice::from(slice));
            }
            view.slice_axis_inplace(Axis(1), Slice::from(1..));
        }
    }
    view
}

/// What is promised of the boxes of one image.
fn check_boxes(case: &Case, boxes: &[&BoxDraw]) {
    let (spec, (_, _, height, width)) = (&case.spec, case.shape);
    assert!(spec.p < 1.0 || !boxes.is_empty(), "an image without a box");
    for (i, b) in boxes.iter().enumerate() {
        assert_eq!(b.number as usize, i);
        assert!(b.height > 0 && b.width > 0, "an empty box: {b:?}");
        assert!((b.y + b.height) as usize <= height && (b.x + b.width) as usize <= width, "outside: {b:?}");
        if spec.overlap == Overlap::Forbid {
            let overlaps = |a: &BoxDraw| {
                a.y < b.y + b.height && b.y < a.y + a.height && a.x < b.x + b.width && b.x < a.x + a.width
            };
            assert!(!boxes[..i].iter().any(|a| overlaps(a)), "{b:?} overlaps another");
        }
    }
    if spec.overlap == Overlap::Forbid && spec.placement == Placement::Inside && !spec.full && !boxes.is_empty() {
        let pixels = (height * width) as f64;
        let tolerance = |target: f64| 0.5 * target.sqrt() + 0.5;
        let [low, high] = [spec.scale.0, spec.scale.1].map(|s| (s * pixels).clamp(spec.num_boxes.0 as f64, pixels));
        let room: u32 = boxes.iter().map(|b| b.height * b.width).sum();
        let area = boxes.iter().map(|b| b.shape.pixels((b.height * b.width) as usize) as f64).sum::<f64>();
        let shaped = boxes.iter().filter(|b| b.shape != Shape::Rectangle).count() as f64;
        assert!(boxes.len() >= spec.num_boxes.0.min(room as usize), "{} boxes", boxes.len());
        let (low, high) = (low - tolerance(low) - shaped, high + tolerance(high) + shaped);
        assert!(low <= area && area <= high, "{area} is not from {low} to {high}");
    }
}

/// What is promised of the pixels after the first run.
fn check_pixels<T: Bits>(
    case: &Case,
    before: &Array4<T::Raw>,
    after: &Array4<T::Raw>,
    boxes: &[BoxDraw],
    covers: &[f32],
) {
    let mut inside = Array4::from_elem(before.raw_dim(), false);
    let mut covers = covers.iter();
    for b in boxes {
        let mut part = inside.index_axis_mut(Axis(0), b.image as usize);
        part.slice_axis_inplace(Axis(1), Slice::from(b.y as usize..(b.y + b.height) as usize));
        part.slice_axis_inplace(Axis(2), Slice::from(b.x as usize..(b.x + b.width) as usize));
        for mut pixel in part.lanes_mut(Axis(0)) {
            let cover = *covers.next().expect("a cover for every pixel of a box");
            assert!((0.0..=1.0).contains(&cover), "a cover of {cover}");
            if cover > 0.0 {
                pixel.fill(true);
            }
        }
    }
    assert!(covers.next().is_none(), "covers of no box");
    let pasted = boxes.iter().any(|b| b.kinds.has(Kinds::PASTE));
    let rectangles = boxes.iter().all(|b| b.shape == Shape::Rectangle) && !pasted;
    let own_pixels = matches!(case.spec.base, Base::Image | Base::Any) || case.spec.full || !rectangles;
    let (low, high) = T::RANGE;
    for ((old, new), inside) in before.iter().zip(after).zip(&inside) {
        let same = T::bits(*old) == T::bits(*new);
        let value = T::decode(*new);
        if *inside {
            // What is not a number may also be pasted from elsewhere.
            let kept = own_pixels && (same || T::decode(*old).is_nan() || (pasted && value.is_nan()));
            assert!(kept || (low <= value && value <= high), "{old:?} became {value}");
        } else {
            assert!(same, "{old:?} outside the boxes became {new:?}");
        }
    }
}

fn run<T: Bits>(
    plan: &Plan,
    dst: ArrayViewMut4<'_, T::Raw>,
    src: Option<&ArrayView4<'_, T::Raw>>,
    case: &Case,
    keys: &[u64],
    (threads, level): (usize, Level),
) -> Result<Vec<BoxDraw>, Error> {
    let images = match src {
        Some(src) => Images::copied(src, dst),
        None => Images::in_place(dst),
    };
    let index = Index { seed: case.seed, keys };
    Corruption::new(plan, index).range(T::RANGE).threads(threads).level(level).run::<T>(images)
}

fn check<T: Bits>(case: &Case) {
    let plan = match Plan::new(case.spec.clone()) {
        Ok(plan) => plan,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let (_, channels, height, width) = case.shape;
    let before = images::<T>(case.shape, case.pixels);
    let mut after = before.clone();
    let corruption = Corruption::new(&plan, Index { seed: case.seed, keys: &case.keys });
    let drawn = corruption.draw((height, width), channels);
    let boxes = match run::<T>(&plan, after.view_mut(), None, case, &case.keys, (1, Level::scalar())) {
        Ok(boxes) => boxes,
        Err(error) => {
            assert_eq!(drawn, Err(error));
            assert_eq!(bits::<T>(&before.view()), bits::<T>(&after.view()), "pixels changed before an error");
            return;
        }
    };
    // A level is not-a-number where the base is not flat, so boxes are compared as text.
    assert_eq!(format!("{:?}", drawn.unwrap()), format!("{boxes:?}"));
    for image in 0..case.keys.len() {
        let of_image: Vec<_> = boxes.iter().filter(|b| b.image as usize == image).collect();
        check_boxes(case, &of_image);
    }
    check_pixels::<T>(case, &before, &after, &boxes, &corruption.covers((height, width), channels).unwrap());

    let wanted = bits::<T>(&after.view());
    for (name, level) in Level::all() {
        let mut memory = memory::<T>(case.layout, case.shape);
        let mut images = view(case.layout, &mut memory, case.shape);
        if case.in_place {
            images.assign(&before);
        }
        let src = (!case.in_place).then(|| before.view());
        run::<T>(&plan, images.view_mut(), src.as_ref(), case, &case.keys, (case.threads, level)).unwrap();
        assert_eq!(bits::<T>(&images.view()), wanted, "{name}");
        let mark = T::from_bits(0x5a5a_5a5a);
        images.fill(mark);
        assert!(memory.iter().all(|raw| T::bits(*raw) == T::bits(mark)), "memory between the images changed");
    }
    let from_batch = boxes.iter().any(|b| b.patch.image != b.image && b.kinds.has(Kinds::PASTE));
    for (i, key) in case.keys.iter().enumerate().filter(|_| !from_batch) {
        let mut alone = before.slice_axis(Axis(0), Slice::from(i..=i)).to_owned();
        run::<T>(&plan, alone.view_mut(), None, case, &[*key], (case.threads, Level::best())).unwrap();
        assert_eq!(bits::<T>(&alone.view()), bits::<T>(&after.slice_axis(Axis(0), Slice::from(i..=i))), "alone");
    }
}

fuzz_target!(|case: Case| match case.format {
    Format::U8 => check::<u8>(&case),
    Format::F16 => check::<f16>(&case),
    Format::Bf16 => check::<bf16>(&case),
    Format::F32 => check::<f32>(&case),
});
