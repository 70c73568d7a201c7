//! The pixels of a band by how they lie in memory, and where in them a box lies.

use std::ops::Range;

use ndarray::{ArrayViewMut3, Axis, Slice};

use super::piece::Segment;
use crate::simd::Lanes;

/// Bytes of a channel up to which an image is likely in the cache already, or soon.
const SMALL_PLANE: usize = 1 << 14;

/// The most channels that interleaved pixels are filled with at once.
pub(super) const PLANES: usize = 4;

/// Where a box lies in the canvas.
pub(super) struct Window {
    /// Row of the canvas that `first_row` of the box is.
    pub top: usize,
    pub first_row: usize,
    pub left: usize,
    pub width: usize,
}

/// Values of one row of a segment.
pub(super) struct Stretch {
    pub y: usize,
    pub x: usize,
    pub at: Range<usize>,
}

impl Window {
    /// The rows that some places of the box touch.
    #[inline(always)]
    pub(super) fn rows(&self, places: &Range<usize>) -> impl Iterator<Item = Stretch> {
        let (width, count) = (self.width, places.len());
        // Narrow numbers are divided several times as fast; a box of so many pixels has none.
        let mut y = if places.start == 0 { 0 } else { (places.start as u32 / width as u32) as usize };
        let mut column = places.start - y * width;
        y = y - self.first_row + self.top;
        let mut done = 0;
        std::iter::from_fn(move || {
            (done < count).then(|| {
                let at = done..count.min(done + width - column);
                let stretch = Stretch { y, x: self.left + column, at: at.clone() };
                done = at.end;
                y += 1;
                column = 0;
                stretch
            })
        })
    }
}

/// The pixels of a band, (C, H, W), by how they lie in memory.
pub(super) enum Canvas<'a, 'v, R> {
    /// Planes, each row after row: the first pixels of each, and the pixels of a row.
    Planar(Vec<&'a mut [R]>, usize),
    /// Row after row, the channels of a pixel side by side: the values, the number of channels (2 to 4), the pixels of a row.
    Interleaved(&'a mut [R], usize, usize),
    /// Any other way.
    View(&'a mut ArrayViewMut3<'v, R>),
}

impl<'a, 'v, R: Copy> Canvas<'a, 'v, R> {
    pub(super) fn new(band: &'a mut ArrayViewMut3<'v, R>) -> Self {
        let (channels, height, width) = band.dim();
        let [_, rows, columns] = *band.strides() else { unreachable!("a band has three axes") };
        if columns == 1 && (rows == width.cast_signed() || height == 1) {
            let planes = band.axis_iter_mut(Axis(0));
            return Self::Planar(planes.map(|p| p.into_slice().expect("rows are contiguous")).collect(), width);
        }
        let interleaved = [1, width * channels, channels].map(usize::cast_signed);
        if (2..=PLANES).contains(&channels) && height > 1 && width > 1 && band.strides() == interleaved {
            let pixels = band.as_slice_memory_order_mut().expect("interleaved rows are contiguous");
            return Self::Interleaved(pixels, channels, width);
        }
        Self::View(band)
    }

    pub(super) fn channels(&self) -> usize {
        match self {
            Self::Planar(planes, _) => planes.len(),
            Self::Interleaved(_, channels, _) => *channels,
            Self::View(band) => band.dim().0,
        }
    }

    /// Overwrite a segment.
    #[inline(always)]
    pub(super) fn store(&mut self, window: &Window, segment: &Segment, values: &mut [R]) {
        if let Self::Planar(planes, width) = self {
            let plane = &mut *planes[segment.channel];
            for row in window.rows(&segment.places) {
                let values = &values[row.at];
                copy_row(&mut plane[row.y * *width + row.x..][..values.len()], values);
            }
        } else {
            self.zip(window, segment, values, |pixel, v| *pixel = *v);
        }
    }

    /// Have the pixels of some places on their way to the cache: of one channel, or of all that are interleaved.
    #[inline(always)]
    pub(super) fn fetch<L: Lanes>(&self, lanes: L, window: &Window, places: &Range<usize>, channel: usize) {
        const LINE: usize = 64;
        let (pixels, row_length, step) = match self {
            Self::Planar(planes, width) => (&*planes[channel], *width, 1),
            Self::Interleaved(pixels, channels, width) => (&**pixels, *width * *channels, *channels),
            Self::View(_) => return,
        };
        if size_of_val(pixels) <= SMALL_PLANE {
            return;
        }
        for row in window.rows(places) {
            let pixels = &pixels[row.y * row_length + row.x * step..][..row.at.len() * step];
            for line in pixels.chunks(LINE / size_of::<R>()) {
                lanes.fetch(&line[0]);
            }
            lanes.fetch(&pixels[pixels.len() - 1]);
        }
    }

    /// Overwrite places of all channels of interleaved pixels, with a part of values for each. Zipped parts become vector code.
    #[inline(always)]
    pub(super) fn interleave(&mut self, window: &Window, places: &Range<usize>, parts: [&[R]; PLANES]) {
        let Self::Interleaved(pixels, channels, width) = self else {
            unreachable!("asked of interleaved pixels alone");
        };
        for row in window.rows(places) {
            let [a, b, c, d] = parts.map(|part| part.get(row.at.clone()).unwrap_or_default());
            let first = (row.y * *width + row.x) * *channels;
            let pixels = &mut pixels[first..][..row.at.len() * *channels];
            match channels {
                2 => {
                    for ((pixel, a), b) in pixels.as_chunks_mut().0.iter_mut().zip(a).zip(b) {
                        *pixel = [*a, *b];
                    }
                }
                3 => {
                    for (((pixel, a), b), c) in pixels.as_chunks_mut().0.iter_mut().zip(a).zip(b).zip(c) {
                        *pixel = [*a, *b, *c];
                    }
                }
                _ => {
                    for ((((pixel, a), b), c), d) in pixels.as_chunks_mut().0.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                        *pixel = [*a, *b, *c, *d];
                    }
                }
            }
        }
    }

    /// Visit the pixels of a segment together with as many values.
    #[inline(always)]
    pub(super) fn zip<V>(
        &mut self,
        window: &Window,
        segment: &Segment,
        values: &mut [V],
        visit: impl Fn(&mut R, &mut V),
    ) {
        match self {
            Self::Planar(planes, width) => {
                let plane = &mut *planes[segment.channel];
                for row in window.rows(&segment.places) {
                    let values = &mut values[row.at];
                    let pixels = &mut plane[row.y * *width + row.x..][..values.len()];
                    for (pixel, v) in pixels.iter_mut().zip(values) {
                        visit(pixel, v);
                    }
                }
            }
            Self::Interleaved(pixels, channels, width) => {
                for row in window.rows(&segment.places) {
                    let values = &mut values[row.at];
                    let first = (row.y * *width + row.x) * *channels;
                    let pixels = &mut pixels[first..][..values.len() * *channels];
                    for (pixel, v) in pixels.chunks_exact_mut(*channels).zip(values) {
                        visit(&mut pixel[segment.channel], v);
                    }
                }
            }
            Self::View(band) => {
                let mut plane = band.index_axis_mut(Axis(0), segment.channel);
                for row in window.rows(&segment.places) {
                    let mut pixels = plane.index_axis_mut(Axis(0), row.y);
                    pixels.slice_axis_inplace(Axis(0), Slice::from(row.x..row.x + row.at.len()));
                    for (pixel, v) in pixels.iter_mut().zip(&mut values[row.at]) {
                        visit(pixel, v);
                    }
                }
            }
        }
    }
}

/// Copy the rows of a box from column `left` on into an image whose rows have `row` pixels.
#[inline(always)]
pub(super) fn copy_box<R: Copy>(pixels: &mut [R], row: usize, left: usize, values: &[R], width: usize) {
    for (to, from) in pixels.chunks_mut(row).zip(values.chunks_exact(width)) {
        copy_row(&mut to[left..left + width], from);
    }
}

/// Copy a row that is often short: so many at a time, the last ones over again where the length is no multiple.
#[inline(always)]
fn copy_row<R: Copy>(row: &mut [R], values: &[R]) {
    match row.len() {
        8.. => copy_steps::<R, 8>(row, values),
        4.. => copy_steps::<R, 4>(row, values),
        2.. => copy_steps::<R, 2>(row, values),
        _ => copy_steps::<R, 1>(row, values),
    }
}

#[inline(always)]
fn copy_steps<R: Copy, const STEP: usize>(row: &mut [R], values: &[R]) {
    let (whole, _) = row.as_chunks_mut::<STEP>();
    for (to, from) in whole.iter_mut().zip(values.as_chunks::<STEP>().0) {
        *to = *from;
    }
    if let (Some(to), Some(from)) = (row.last_chunk_mut::<STEP>(), values.last_chunk::<STEP>()) {
        *to = *from;
    }
}
