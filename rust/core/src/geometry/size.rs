//! How large the boxes of an image are: shares of the area, ratios, whole heights and widths.

use super::content::choose;
use super::rect::Rect;
use super::sequence::Sequence;
use crate::math::{exp, ln};
use crate::spec::{AreaSplit, Plan, RatioSampling, Shape, Spec};

/// Part of the area to cover, and the shape that covers it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub area: f64,
    pub shape: Shape,
}

impl Part {
    /// Area of the box that it takes.
    pub(super) fn room(self) -> f64 {
        self.area / self.shape.share()
    }
}

/// By how many pixels the summed area may miss its target.
pub(super) fn tolerance(target: f64) -> f64 {
    0.5 * target.sqrt() + 0.5
}

/// Halve the largest box until there are as many as asked: whole pixels may have left no room for the last ones.
pub(super) fn split_largest(rects: &mut Vec<Rect>, shapes: &mut Vec<Shape>, fewest: usize) {
    while rects.len() < fewest {
        let largest = rects.iter_mut().zip(&*shapes).max_by_key(|(r, _)| r.area()).filter(|(r, _)| r.area() > 1);
        let Some((rect, &shape)) = largest else {
            return;
        };
        let Rect { y, x, h, w } = *rect;
        let second = if h > w {
            rect.h = h / 2;
            Rect { y: y + rect.h, x, h: h - rect.h, w }
        } else {
            rect.w = w / 2;
            Rect { y, x: x + rect.w, h, w: w - rect.w }
        };
        rects.push(second);
        shapes.push(shape);
    }
}

/// Areas of the boxes, each at least one pixel, summing to `target`.
#[inline(always)]
pub(super) fn share(split: AreaSplit, random: &mut Sequence, target: f64, number: usize, areas: &mut Vec<f64>) {
    areas.clear();
    if split == AreaSplit::Equal || number == 1 {
        areas.resize(number, target / number as f64);
        return;
    }
    // The gaps between sorted uniform numbers have the flat Dirichlet distribution.
    areas.extend((1..number).map(|_| random.unit()));
    areas.push(1.0);
    areas.sort_unstable_by(f64::total_cmp);
    let spare = target - number as f64;
    let mut last = 0.0;
    for area in areas {
        let cut = *area;
        *area = 1.0 + spare * (cut - last);
        last = cut;
    }
}

/// Range of ratios that a box of this area can have within (h, w).
#[inline(always)]
fn fitting(area: f64, h: f64, w: f64) -> (f64, f64) {
    (area / (w * w), h * h / area)
}

/// Whether no ratio of the range fits and half the area would come closer.
#[inline(always)]
pub(super) fn must_split(ratio: (f64, f64), area: f64, height: usize, width: usize) -> bool {
    let (low, high) = fitting(area, height as f64, width as f64);
    // A piece must be large enough to be at least one pixel wide and high at the asked ratio.
    let half = area / 2.0;
    half >= 1.0 && ((ratio.0 > high && half >= ratio.0) || (ratio.1 < low && half >= 1.0 / ratio.1))
}

/// Height and width, whole numbers, of about the given area, with a ratio from the range as far as it fits the room. Each box
/// waits for the rounding of the one before, so there is no way to integers and back here, and no branch that nobody can predict.
#[inline(always)]
pub(super) fn shape(plan: &Plan, unit: f64, area: f64, (room_h, room_w): (f64, f64)) -> (f64, f64) {
    let (low, high) = fitting(area, room_h, room_w);
    let (r_low, r_high) = plan.spec.ratio;
    let ratio = if r_low > high {
        high
    } else if r_high < low {
        low
    } else {
        match plan.spec.ratio_sampling {
            RatioSampling::Uniform => r_low.max(low) + (r_high.min(high) - r_low.max(low)) * unit,
            RatioSampling::Log => {
                let (l, h) = plan.ratio_ln;
                let l = if low > r_low { ln(low) } else { l };
                let h = if high < r_high { ln(high) } else { h };
                exp(l + (h - l) * unit)
            }
        }
    };
    let (h, w) = ((area * ratio).sqrt(), (area / ratio).sqrt());
    let wide = h <= w;
    let (short, room_short, room_long) = if wide { (h, room_h, room_w) } else { (w, room_w, room_h) };
    // The shorter side is rounded first, up where the longer one would not fit: that one then misses the area by at most half of it.
    let least = (area / (room_long + 0.5)).ceil();
    let short = nearest(short).max(least).clamp(1.0, room_short);
    let long = nearest(area / short).clamp(1.0, room_long);
    if wide { (short, long) } else { (long, short) }
}

/// The nearest whole number of one that is not negative.
#[inline(always)]
fn nearest(x: f64) -> f64 {
    (x + 0.5).floor()
}

/// The shape of a part; where there is only one, no word is taken for it.
pub(super) fn choose_shape(spec: &Spec, random: &mut Sequence) -> Shape {
    match spec.shapes[..] {
        [only] => only,
        _ => spec.shapes[choose(&spec.shape_weights, random)],
    }
}

/// The shape that covers most of its box.
pub(super) fn densest(spec: &Spec) -> Shape {
    let used = spec.shapes.iter().zip(&spec.shape_weights).filter(|(_, w)| **w > 0.0).map(|(s, _)| *s);
    used.max_by(|a, b| a.share().total_cmp(&b.share())).expect("a weight is above 0")
}
