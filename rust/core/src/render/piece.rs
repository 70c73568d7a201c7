//! Stretches of a box's values that are computed at a time, and the buffers for them.

use std::ops::Range;

use super::canvas::{Canvas, copy_box};
use crate::pixel::Pixel;
use crate::rng::GROUP;

/// Values of a box computed at a time. Pieces are small, so that the stores of one, which mostly miss the cache, are under way
/// while the next is computed; they begin where groups do, so that no group is computed twice.
pub(super) const PIECE: usize = 8 * GROUP;

/// Values of each channel that are interleaved at a time. They may begin within a group, which is then computed twice.
pub(super) const PLANE: usize = 16 * GROUP;

/// Pixels of a box whose salt and pepper is kept for all its channels.
pub(super) const KEPT: usize = 128 * GROUP;

/// Room for these, and for the groups that they begin and end in.
pub(super) const HITS: usize = KEPT + 2 * GROUP;

/// Buffers that one thread fills boxes with. Every place is written before it is read.
pub(super) struct Scratch<R> {
    pub values: [f32; PIECE],
    pub words: [u32; PIECE],
    pub rest: [u32; PIECE],
    pub encoded: [R; PIECE],
    /// The pixels of a small box, and those of the one before, in turn.
    pub small: [[R; PIECE]; 2],
    /// The small box whose pixels are not in the image yet.
    pub waiting: Option<Waiting>,
    /// A part for each channel of interleaved pixels, empty until there are such.
    pub planes: Vec<R>,
    /// Salt and pepper of boxes that go the general way, empty until there are such.
    pub hits: Vec<f32>,
}

impl<R: Copy> Scratch<R> {
    pub(super) fn new<T: Pixel<Raw = R>>() -> Self {
        Self {
            values: [0.0; PIECE],
            words: [0; PIECE],
            rest: [0; PIECE],
            encoded: [T::encode(0.0); PIECE],
            small: [[T::encode(0.0); PIECE]; 2],
            waiting: None,
            planes: vec![],
            hits: vec![],
        }
    }
}

/// Where a small box goes whose pixels are made. They wait until those of the next one are: what is read right after it was written, and
/// in other steps, waits for the writing to end.
#[derive(Clone, Copy)]
pub(super) struct Waiting {
    /// Which of the buffers holds the pixels.
    pub part: usize,
    pub top: usize,
    pub left: usize,
    pub width: usize,
    pub area: usize,
    /// From the pixels of a channel to those of the next; 0 where all hold the same.
    pub apart: usize,
}

/// A stretch of values of a box: whole groups, cut where the run of values begins and ends.
#[derive(Clone)]
pub(super) struct Piece {
    /// Number of its first group.
    pub group: usize,
    /// The values asked for; the buffers begin with the first value of the first group.
    pub values: Range<usize>,
    /// The channel of the first value.
    pub channel: usize,
    /// Pixels of the box.
    pub area: usize,
}

impl Piece {
    /// How much of the buffers its groups take.
    #[inline(always)]
    pub(super) fn length(&self) -> usize {
        (self.values.end - self.group * GROUP).next_multiple_of(GROUP)
    }

    /// Its parts by channel: one, but in small boxes.
    #[inline(always)]
    pub(super) fn segments(&self) -> Segments {
        Segments(self.clone())
    }
}

/// Values of one channel within a piece.
#[derive(Clone)]
pub(super) struct Segment {
    pub channel: usize,
    /// Where they lie in the channel's pixels of the box, counted row by row.
    pub places: Range<usize>,
    /// Where they stand in the buffers.
    pub at: Range<usize>,
}

pub(super) struct Segments(Piece);

impl Iterator for Segments {
    type Item = Segment;

    #[inline(always)]
    fn next(&mut self) -> Option<Segment> {
        let Piece { group, values, channel, area } = &mut self.0;
        if values.start >= values.end {
            return None;
        }
        let (first, end) = (values.start, values.end.min((*channel + 1) * *area));
        let (buffer, plane) = (*group * GROUP, *channel * *area);
        let segment =
            Segment { channel: *channel, places: first - plane..end - plane, at: first - buffer..end - buffer };
        values.start = end;
        *channel += 1;
        Some(segment)
    }
}

impl<R: Copy> Scratch<R> {
    /// Copy the small box that waits into the image, if there is one.
    #[inline(always)]
    pub(super) fn bring(&mut self, canvas: &mut Canvas<'_, '_, R>) {
        let Some(Waiting { part, top, left, width, area, apart }) = self.waiting.take() else {
            return;
        };
        let Canvas::Planar(planes, row) = canvas else { unreachable!("small boxes wait for planes alone") };
        for (channel, plane) in planes.iter_mut().enumerate() {
            copy_box(&mut plane[top * *row..], *row, left, &self.small[part][channel * apart..][..area], width);
        }
    }
}
