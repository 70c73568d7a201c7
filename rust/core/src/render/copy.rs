//! Copies a band of an image to where its boxes will be filled, but for what they cover.

use std::ops::Range;

use ndarray::{ArrayView3, ArrayViewMut3, Axis};

use crate::geometry::BoxDraw;

/// Bytes of a row that a box must cover for it to be left out: shorter pieces are copied as fast as they are stepped over.
const WORTH: usize = 256;

/// Boxes up to which it is looked what they cover.
const FEW: usize = 8;

/// Copy a band, whose first row is row `top` of the image. What boxes cover in full may be left out: it is overwritten.
pub(super) fn copy<R: Copy>(dst: &mut ArrayViewMut3<'_, R>, src: &ArrayView3<'_, R>, boxes: &[BoxDraw], top: usize) {
    if dst.strides() != src.strides() {
        dst.assign(src);
        return;
    }
    let (channels, rows, width) = dst.dim();
    // Values that a pixel has side by side.
    let [_, row, step] = *dst.strides() else { unreachable!("a band has three axes") };
    let interleaved = step == channels.cast_signed() && row == (width * channels).cast_signed();
    let planar = step == 1 && row == width.cast_signed();
    let unit = if planar { 1 } else { channels };
    let wide = |b: &&BoxDraw| b.width as usize * unit * size_of::<R>() >= WORTH;
    let holes: Vec<_> = boxes.iter().filter(wide).collect();
    if holes.is_empty() || holes.len() > FEW || !(planar || interleaved) {
        if let (Some(dst), Some(src)) = (dst.as_slice_memory_order_mut(), src.as_slice_memory_order()) {
            dst.copy_from_slice(src);
        } else {
            dst.assign(src);
        }
        return;
    }
    let strips = strips(&holes, top..top + rows, width);
    if planar {
        for (mut to, from) in dst.axis_iter_mut(Axis(0)).zip(src.axis_iter(Axis(0))) {
            if let (Some(to), Some(from)) = (to.as_slice_mut(), from.as_slice()) {
                copy_strips(to, from, &strips, width, 1);
            } else {
                to.assign(&from);
            }
        }
    } else if let (Some(to), Some(from)) = (dst.as_slice_memory_order_mut(), src.as_slice_memory_order()) {
        copy_strips(to, from, &strips, width, unit);
    } else {
        dst.assign(src);
    }
}

/// Rows that the same columns are copied of, counted from the first of the band.
struct Strip {
    rows: Range<usize>,
    columns: Vec<Range<usize>>,
}

/// The rows of a band cut where boxes begin and end.
fn strips(holes: &[&BoxDraw], rows: Range<usize>, width: usize) -> Vec<Strip> {
    let sides = holes.iter().flat_map(|b| [b.y as usize, (b.y + b.height) as usize]);
    let mut edges: Vec<usize> = sides.map(|y| y.clamp(rows.start, rows.end)).chain([rows.start, rows.end]).collect();
    edges.sort_unstable();
    edges.dedup();
    let strip = |from: usize, to: usize| {
        let here = holes.iter().filter(|b| b.y as usize <= from && to <= (b.y + b.height) as usize);
        let mut covered: Vec<_> = here.map(|b| (b.x as usize, (b.x + b.width) as usize)).collect();
        covered.sort_unstable();
        let (mut columns, mut next) = (vec![], 0);
        for (left, right) in covered.into_iter().chain([(width, width)]) {
            if left > next {
                columns.push(next..left);
            }
            next = next.max(right);
        }
        Strip { rows: from - rows.start..to - rows.start, columns }
    };
    edges.windows(2).map(|pair| strip(pair[0], pair[1])).collect()
}

/// Copy strips of rows of `width` pixels of `unit` values.
fn copy_strips<R: Copy>(to: &mut [R], from: &[R], strips: &[Strip], width: usize, unit: usize) {
    let row = width * unit;
    for Strip { rows, columns } in strips {
        if columns.first().is_some_and(|all| all.len() == width) {
            let all = rows.start * row..rows.end * row;
            to[all.clone()].copy_from_slice(&from[all]);
            continue;
        }
        for y in rows.clone() {
            for Range { start, end } in columns {
                let part = y * row + start * unit..y * row + end * unit;
                to[part.clone()].copy_from_slice(&from[part]);
            }
        }
    }
}
