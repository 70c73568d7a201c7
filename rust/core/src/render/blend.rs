//! Fills shaped and pasted boxes: their content is blended with the pixels that it covers.
//!
//! With the content v in [0, 1], the pixel u and the share a = cover · opacity, the pixel becomes a · v + (1 − a) · u, v itself
//! where a is 1, and keeps its bits where a is 0.

use std::ops::Range;

use super::canvas::{Canvas, Window};
use super::overlay::Overlay;
use super::paint::Painter;
use super::piece::{HITS, PIECE, Piece, Scratch, Segment};
use crate::geometry::Kinds;
use crate::pixel::{Pixel, clip};
use crate::rng::GROUP;
use crate::simd::Lanes;

/// Whether anything of some places is covered.
#[inline(always)]
fn covers<R>(overlay: &Overlay<R>, places: Range<usize>) -> bool {
    overlay.cover.get(places).is_none_or(|cover| cover.iter().fold(0, |any, share| any | share.to_bits()) != 0)
}

impl<L: Lanes> Painter<'_, L> {
    /// Fill some rows of the box, the first of which is row `top` of the canvas.
    #[inline(always)]
    pub(super) fn blend<T: Pixel>(
        &self,
        canvas: &mut Canvas<'_, '_, T::Raw>,
        top: usize,
        rows: Range<usize>,
        overlay: &Overlay<T::Raw>,
        scratch: &mut Scratch<T::Raw>,
    ) {
        let (height, width) = (self.draw.height as usize, self.draw.width as usize);
        let area = height * width;
        scratch.hits.resize(HITS, 0.0);
        let window = Window { top, left: self.draw.x as usize, width, first_row: rows.start };
        for channel in 0..canvas.channels() {
            let end = channel * area + rows.end * width;
            let mut n = channel * area + rows.start * width;
            // Most of a scar's box is not covered: only groups that are, and at most a piece of them, are computed together.
            let group_end = |n: usize| end.min((n / GROUP + 1) * GROUP);
            let plane = channel * area;
            while n < end {
                let group = n / GROUP;
                let mut stop = n;
                while stop < end.min(group * GROUP + PIECE) && covers(overlay, stop - plane..group_end(stop) - plane) {
                    stop = group_end(stop);
                }
                let piece = Piece { group, values: n..stop, channel, area };
                // A piece of one channel is one segment.
                for segment in piece.segments() {
                    self.blend_piece::<T>(canvas, &window, &piece, &segment, overlay, scratch);
                }
                n = if stop == n { group_end(n) } else { stop };
            }
        }
    }

    #[inline(always)]
    fn blend_piece<T: Pixel>(
        &self,
        canvas: &mut Canvas<'_, '_, T::Raw>,
        window: &Window,
        piece: &Piece,
        segment: &Segment,
        overlay: &Overlay<T::Raw>,
        scratch: &mut Scratch<T::Raw>,
    ) {
        let (low, scale) = (self.range.0, 1.0 / (self.range.1 - self.range.0));
        let count = segment.places.len();
        let mut kept = [T::encode(0.0); PIECE];
        let mut shares = [1.0_f32; PIECE];
        let (kept, shares) = (&mut kept[..count], &mut shares[..count]);
        canvas.zip(window, segment, kept, |pixel, copy| *copy = *pixel);
        if let Some(cover) = overlay.cover.get(segment.places.clone()) {
            shares.copy_from_slice(cover);
        }
        if self.draw.kinds.has(Kinds::PASTE) {
            let patch = self.draw.patch;
            let first = segment.channel * piece.area;
            let pasted = &overlay.patch[first + segment.places.start..first + segment.places.end];
            for (v, raw) in scratch.values[segment.at.clone()].iter_mut().zip(pasted) {
                *v = patch.gain.mul_add((T::decode(*raw) - low) * scale, patch.offset);
            }
            for share in &mut *shares {
                *share *= patch.opacity;
            }
        } else {
            self.compute::<T>(canvas, window, piece, scratch);
        }
        if self.draw.kinds.has(Kinds::SALT_PEPPER) {
            self.hit(piece, segment, shares, scratch);
        }
        let values = &scratch.values[segment.at.clone()];
        let encoded = &mut scratch.encoded[segment.at.clone()];
        for (((out, kept), v), share) in encoded.iter_mut().zip(&*kept).zip(values).zip(&*shares) {
            let (v, own) = (clip(*v), (T::decode(*kept) - low) * scale);
            let mixed = share.mul_add(v, (1.0 - share) * own);
            let new = self.encode::<T>(if *share >= 1.0 { v } else { mixed });
            *out = if *share > 0.0 { new } else { *kept };
        }
        canvas.store(window, segment, encoded);
    }

    /// Salt and pepper into the content; where they alone make it, what they miss is not covered.
    #[inline(always)]
    fn hit<R>(&self, piece: &Piece, segment: &Segment, shares: &mut [f32], scratch: &mut Scratch<R>) {
        let Scratch { values, hits, .. } = scratch;
        let first = if self.draw.per_channel {
            self.draw_hits_of(&mut hits[..piece.length()], piece.group);
            segment.at.start
        } else {
            self.draw_hits(&segment.places, hits);
            segment.places.start % GROUP
        };
        let only = self.hits_only();
        for ((v, hit), share) in values[segment.at.clone()].iter_mut().zip(&hits[first..]).zip(shares) {
            *share = if only && hit.is_nan() { 0.0 } else { *share };
            *v = if hit.is_nan() { *v } else { *hit };
        }
    }
}
