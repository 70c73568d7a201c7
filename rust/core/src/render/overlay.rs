//! What the pixels of shaped and pasted boxes need besides their draw: how much of each is covered, and the patch.
//!
//! Patches are copied before any box is filled, so that they show the uncorrupted image, also in place.

use ndarray::{ArrayView4, Axis};

use super::cover::cover;
use crate::geometry::{BoxDraw, Index, Kinds};
use crate::pool::Crew;
use crate::simd::Level;
use crate::spec::{Plan, Shape};

/// The planes of one box.
pub(crate) struct Overlay<R> {
    /// How much of each place is covered; empty for a rectangle, of which all is.
    pub cover: Vec<f32>,
    /// The patch, channel after channel, row after row; empty where none is pasted.
    pub patch: Vec<R>,
}

/// Whether a box needs neither plane.
fn is_plain(draw: &BoxDraw) -> bool {
    draw.shape == Shape::Rectangle && !draw.kinds.has(Kinds::PASTE)
}

impl<R: Copy + Send + Sync> Overlay<R> {
    /// Overlays of all boxes; none at all where no box needs one. `images` are uncorrupted.
    pub(crate) fn all(
        plan: &Plan,
        boxes: &[BoxDraw],
        images: &ArrayView4<'_, R>,
        index: Index<'_>,
        level: Level,
        crew: &Crew,
    ) -> Vec<Option<Self>> {
        if boxes.iter().all(is_plain) {
            return vec![];
        }
        let make = |draw: &BoxDraw| {
            let shaped = draw.shape != Shape::Rectangle;
            let pasted = draw.kinds.has(Kinds::PASTE);
            (shaped || pasted).then(|| Self {
                cover: if shaped { cover(plan, draw, index, level) } else { vec![] },
                patch: if pasted { patch(draw, images) } else { vec![] },
            })
        };
        let mut overlays: Vec<_> = boxes.iter().map(|_| None).collect();
        crew.share_out(boxes.iter().zip(&mut overlays).collect(), || (), |(), (draw, slot)| *slot = make(draw));
        overlays
    }
}

/// A copy of the patch of a box, mirrored as it says.
fn patch<R: Copy>(draw: &BoxDraw, images: &ArrayView4<'_, R>) -> Vec<R> {
    let (top, left) = (draw.patch.y as usize, draw.patch.x as usize);
    let (height, width) = (draw.height as usize, draw.width as usize);
    let image = images.index_axis(Axis(0), draw.patch.image as usize);
    let mut patch = Vec::with_capacity(image.dim().0 * height * width);
    for plane in image.axis_iter(Axis(0)) {
        for i in 0..height {
            let y = top + if draw.patch.flip_y { height - 1 - i } else { i };
            let row = plane.index_axis_move(Axis(0), y);
            let start = patch.len();
            match row.as_slice() {
                Some(row) => patch.extend_from_slice(&row[left..left + width]),
                None => patch.extend(row.iter().skip(left).take(width)),
            }
            if draw.patch.flip_x {
                patch[start..].reverse();
            }
        }
    }
    patch
}
