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

use crate::Error;
use crate::boxes::BoxDraw;
use crate::corrupt::{Index, draw};
use crate::noise::{Field, Level};
use crate::philox::{Layer, Words};
use crate::spec::{Plan, Shape};

/// Values along each side of a blob's grid.
const NODES: usize = 6;

/// Weight of the paraboloid against the grid's values.
const HOLD: f32 = 0.7;

/// How much is covered of every place of every box: the boxes in the order of [`draw`], each row by row; 0 where the box leaves a
/// pixel alone, 1 where it covers it wholly.
pub fn covers(plan: &Plan, size: (usize, usize), channels: usize, index: Index<'_>) -> Result<Vec<f32>, Error> {
    let boxes = draw(plan, size, channels, index)?;
    let mut all = vec![];
    for draw in &boxes {
        let area = draw.height as usize * draw.width as usize;
        match draw.shape {
            Shape::Rectangle => all.resize(all.len() + area, 1.0),
            _ => all.append(&mut cover(plan, draw, index, Level::best())),
        }
    }
    Ok(all)
}

/// How much of each place of a scar or blob is covered.
pub(crate) fn cover(plan: &Plan, draw: &BoxDraw, index: Index<'_>, level: Level) -> Vec<f32> {
    let (height, width) = (draw.height as usize, draw.width as usize);
    let random = Field::new(index.seed, index.keys[draw.image as usize], draw);
    let mut field = vec![0.0; height * width];
    let mut ranks = vec![0; field.len()];
    level.run(
        #[inline(always)]
        || {
            let words = random.group(Layer::Shape, 0);
            match draw.shape {
                Shape::Blob => blob(&mut field, (height, width), &words),
                _ => scar(&mut field, (height, width), &words),
            }
            for (rank, v) in ranks.iter_mut().zip(&field) {
                *rank = to_rank(*v);
            }
        },
    );
    let pixels = draw.shape.pixels(field.len());
    let (below, border, _) = ranks.select_nth_unstable(pixels - 1);
    let border = from_rank(*border);
    let lowest = below.iter().min().map_or(border, |rank| from_rank(*rank));
    // How much the field rises from one pixel to the next at the border: a blob's is about a paraboloid over a disc of its area.
    let slope = match draw.shape {
        Shape::Blob => 2.0 * (border - lowest) / (pixels as f32 / std::f32::consts::PI).sqrt(),
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

/// A whole number that orders as the finite numbers do.
#[inline(always)]
fn to_rank(v: f32) -> u32 {
    let bits = v.to_bits();
    bits ^ ((bits.cast_signed() >> 31).cast_unsigned() | 0x8000_0000)
}

fn from_rank(rank: u32) -> f32 {
    f32::from_bits(if rank >> 31 == 1 { rank ^ 0x8000_0000 } else { !rank })
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
    let line: Vec<(f32, f32)> = (0..long)
        .map(|i| {
            let t = (i as f32 + 0.5) / long as f32;
            let rest = 1.0 - t;
            let middle = (rest * rest).mul_add(start, (2.0 * t * rest).mul_add(bend, t * t * end));
            let steep = 2.0 * rest.mul_add(bend - start, t * (end - bend)) / long as f32;
            let taper = (3.0 * t).mul_add(rest, 0.25);
            (middle, 1.0 / (taper * steep.mul_add(steep, 1.0).sqrt()))
        })
        .collect();
    for (y, row) in field.chunks_exact_mut(width).enumerate() {
        if width >= height {
            let across = y as f32 + 0.5;
            for (v, (middle, gain)) in row.iter_mut().zip(&line) {
                *v = (across - middle).abs() * gain;
            }
        } else {
            let (middle, gain) = line[y];
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

    #[test]
    fn ranks_order_as_numbers_do() {
        let numbers = [-3.5_f32, -1e-3, -0.0, 0.0, 1e-30, 0.25, 7.0, 1e9];
        assert!(numbers.windows(2).all(|pair| to_rank(pair[0]) < to_rank(pair[1])));
        assert!(numbers.iter().all(|v| from_rank(to_rank(*v)).to_bits() == v.to_bits()));
    }
}
