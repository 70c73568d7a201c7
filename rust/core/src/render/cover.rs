//! Shapes beyond the rectangle: which pixels of a box are covered, and how much.
//!
//! A shape is the pixels where a field over the box is lowest, as many of them as [`Shape::pixels`] promises, so its area is known
//! before it is drawn. The field is made of the words of [`Layer::Shape`] and the place alone:
//!
//! - scar: the distance to a parabola that runs from one end of the box to the other along its longer side (the width, where
//!   both are alike), made larger towards the ends so that the scar tapers;
//! - blob: a quadratic B-spline over 6 × 6 values in (−1, 1), and a paraboloid that keeps the spot in the middle.
//!
//! A covered pixel counts in full from `edge` pixels inside the border on and fades out towards it.

use crate::geometry::{BoxDraw, Index};
use crate::noise::Field;
use crate::rng::{self, LANES, Layer, Words};
use crate::simd::Level;
use crate::simd::Plain;
use crate::spec::{Plan, Shape};

/// Values along each side of a blob's grid.
const NODES: usize = 6;

/// Weight of the paraboloid against the grid's values.
const HOLD: f32 = 0.7;

/// How much is covered of every place of every box, row by row.
pub(crate) fn covers(plan: &Plan, boxes: &[BoxDraw], index: Index<'_>, level: Level) -> Vec<f32> {
    let mut all = vec![];
    for draw in boxes {
        let area = draw.height as usize * draw.width as usize;
        match draw.shape {
            Shape::Rectangle => all.resize(all.len() + area, 1.0),
            _ => all.append(&mut cover(plan, draw, index, level)),
        }
    }
    all
}

/// How much of each place of a scar or blob is covered.
pub(crate) fn cover(plan: &Plan, draw: &BoxDraw, index: Index<'_>, level: Level) -> Vec<f32> {
    let (height, width) = (draw.height as usize, draw.width as usize);
    let keys = rng::keys(index.seed);
    let random = Field::new(Plain, &keys, index.keys[draw.image as usize], draw.number);
    let mut field = vec![0.0; height * width];
    let words = random.group(Layer::Shape, 0);
    let bottom = level.run(
        #[inline(always)]
        || {
            match draw.shape {
                Shape::Blob => blob(&mut field, (height, width), &words),
                _ => scar(&mut field, (height, width), &words),
            }
            lowest(&field)
        },
    );
    let pixels = draw.shape.pixels(field.len());
    let border = nth(&field, pixels - 1);
    // How much the field rises from one pixel to the next at the border: a blob's is about a paraboloid over a disc of its area.
    let slope = match draw.shape {
        Shape::Blob => 2.0 * (border - bottom) / (pixels as f32 / std::f32::consts::PI).sqrt(),
        _ => 1.0,
    };
    let reach = plan.spec.edge as f32 + 0.5;
    let (least, gain) = (0.5 / reach, if slope > 0.0 { 1.0 / (slope * reach) } else { 0.0 });
    level.run(
        #[inline(always)]
        || {
            for v in &mut field {
                let inside = (border - *v).mul_add(gain, least);
                let inside = if inside > 1.0 { 1.0 } else { inside };
                *v = if *v <= border { inside } else { 0.0 };
            }
        },
    );
    field
}

/// The lowest number, in lanes.
#[inline(always)]
fn lowest(field: &[f32]) -> f32 {
    let least = |a: f32, b: f32| if b < a { b } else { a };
    let (whole, rest) = field.as_chunks::<LANES>();
    let mut lanes = [f32::INFINITY; LANES];
    for chunk in whole {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane = least(*lane, *v);
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::INFINITY, least)
}

/// The number that would stand at `n` if the field were sorted.
///
/// In a large field a sorted sample says about where it lies, and only what lies there is looked at closely.
fn nth(field: &[f32], n: usize) -> f32 {
    const SAMPLE: usize = 256;
    const MARGIN: usize = 16;
    let select = |mut values: Vec<f32>, n: usize| *values.select_nth_unstable_by(n, f32::total_cmp).1;
    if field.len() <= 2 * SAMPLE {
        return select(field.to_vec(), n);
    }
    let mut sample: Vec<f32> = field.iter().step_by((field.len() / SAMPLE) | 1).copied().collect();
    sample.sort_unstable_by(f32::total_cmp);
    let guess = n * sample.len() / field.len();
    let low = guess.checked_sub(MARGIN).map_or(f32::NEG_INFINITY, |i| sample[i]);
    let high = sample.get(guess + MARGIN).copied().unwrap_or(f32::INFINITY);
    let below: usize =
        field.chunks(SAMPLE).map(|part| part.iter().map(|v| u32::from(*v < low)).sum::<u32>() as usize).sum();
    let near: Vec<f32> = field.iter().filter(|v| (low..=high).contains(*v)).copied().collect();
    match n.checked_sub(below) {
        Some(rank) if rank < near.len() => select(near, rank),
        _ => select(field.to_vec(), n),
    }
}

/// The word as a number in (0, 1).
#[inline(always)]
fn unit(word: u32) -> f32 {
    ((word >> 8) as f32 + 0.5) * (1.0 / 16_777_216.0)
}

#[inline(always)]
fn scar(field: &mut [f32], (height, width): (usize, usize), words: &Words) {
    let (long, short) = (width.max(height), width.min(height));
    // Ends and bend, away from the long sides of the box.
    let [start, bend, end] = [0, 1, 2].map(|i| unit(words[i]).mul_add(0.8, 0.1) * short as f32);
    // At each place along the scar: where its middle is, and by what distances across are multiplied.
    let (middles, gains): (Vec<f32>, Vec<f32>) = (0..long)
        .map(|i| {
            let t = (i as f32 + 0.5) / long as f32;
            let rest = 1.0 - t;
            let middle = (rest * rest).mul_add(start, (2.0 * t * rest).mul_add(bend, t * t * end));
            let steep = 2.0 * rest.mul_add(bend - start, t * (end - bend)) / long as f32;
            let taper = (3.0 * t).mul_add(rest, 0.25);
            (middle, 1.0 / (taper * steep.mul_add(steep, 1.0).sqrt()))
        })
        .unzip();
    for (y, row) in field.chunks_exact_mut(width).enumerate() {
        if width >= height {
            let across = y as f32 + 0.5;
            for ((v, middle), gain) in row.iter_mut().zip(&middles).zip(&gains) {
                *v = (across - middle).abs() * gain;
            }
        } else {
            let (middle, gain) = (middles[y], gains[y]);
            for (x, v) in row.iter_mut().enumerate() {
                *v = (x as u32 as f32 + 0.5 - middle).abs() * gain;
            }
        }
    }
}

#[inline(always)]
fn blob(field: &mut [f32], (height, width): (usize, usize), words: &Words) {
    let columns = Side::new(width);
    let rows = Side::new(height);
    for (y, row) in field.chunks_exact_mut(width).enumerate() {
        for (v, hold) in row.iter_mut().zip(&columns.hold) {
            *v = *hold + rows.hold[y];
        }
        for (i, weights) in columns.weights.iter().enumerate() {
            let mut value = 0.0_f32;
            for j in 0..NODES {
                let node = unit(words[NODES * j + i]).mul_add(2.0, -1.0);
                value = rows.weights[j][y].mul_add(node, value);
            }
            for (v, weight) in row.iter_mut().zip(weights) {
                *v = value.mul_add(*weight, *v);
            }
        }
    }
}

/// What each place along a side gives to a blob's field.
struct Side {
    /// The weight of each node.
    weights: [Vec<f32>; NODES],
    /// The paraboloid.
    hold: Vec<f32>,
}

impl Side {
    #[inline(always)]
    fn new(length: usize) -> Self {
        let at = |i: usize| (i as f32 + 0.5) / length as f32;
        let weights = std::array::from_fn(|node| {
            (0..length)
                .map(|i| {
                    let distance = at(i).mul_add((NODES - 2) as f32, 0.5 - node as f32).abs();
                    let far = 1.5 - distance;
                    let tail = if far > 0.0 { 0.5 * far * far } else { 0.0 };
                    if distance < 0.5 { distance.mul_add(-distance, 0.75) } else { tail }
                })
                .collect()
        });
        let hold = (0..length)
            .map(|i| {
                let r = at(i).mul_add(2.0, -1.0);
                HOLD * r * r
            })
            .collect();
        Self { weights, hold }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Selection by a sample must find what sorting finds, also where the sample misleads.
    #[test]
    fn nth_is_what_sorting_gives() {
        let noise = |i: usize| (i as u32).wrapping_mul(2_654_435_761) as f32;
        // In the last field every sampled value is 0.
        let fields: [Vec<f32>; 4] = [
            (0..700).map(noise).collect(),
            (0..50_000).map(noise).collect(),
            (0..50_000).map(|i| (i as f32 * 0.01).sin()).collect(),
            (0..50_000).map(|i| if i % ((50_000 / 256) | 1) == 0 { 0.0 } else { noise(i) }).collect(),
        ];
        for field in fields {
            let mut sorted = field.clone();
            sorted.sort_unstable_by(f32::total_cmp);
            for n in [0, 1, field.len() / 6, field.len() / 2, field.len() - 1] {
                assert_eq!(nth(&field, n), sorted[n], "{n} of {}", field.len());
            }
        }
    }
}
