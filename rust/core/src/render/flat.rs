//! Fills the boxes that most images get: rectangles of one noise kind on a flat base that is the same for all channels.
//!
//! Nothing of the image is read, so base, noise, clip and rounding are one pass from random words to pixels. The values are those of
//! the general way in `paint.rs`.

use std::ops::Range;

use super::canvas::{Canvas, PLANES, Window};
use super::paint::Painter;
use super::piece::{PIECE, PLANE, Piece, Scratch, Segment, Waiting};
use crate::geometry::Kinds;
use crate::noise::{gaussian, laplace, salt_pepper};
use crate::pixel::Pixel;
use crate::rng::poisson::Table;
use crate::rng::{GROUP, Layer};
use crate::simd::Lanes;
use crate::spec::{Base, PoissonTables};

/// A box on a flat base.
pub(super) struct Flat<'p, 'a, L: Lanes> {
    painter: &'p Painter<'a, L>,
    base: f32,
    kind: Kind<'p>,
}

/// What is on the base.
enum Kind<'p> {
    Gaussian,
    Laplace,
    SaltPepper,
    Poisson(&'p Table),
}

impl<'p, 'a, L: Lanes> Flat<'p, 'a, L> {
    /// The box as such a one, if it is.
    #[inline(always)]
    pub(super) fn of(painter: &'p Painter<'a, L>) -> Option<Self> {
        let draw = painter.draw;
        let same = !matches!(&painter.plan.spec.base, Base::Levels(levels) if levels.len() > 1);
        let base = draw.base(painter.plan, 0);
        if !same || base.is_nan() {
            return None;
        }
        let kind = match draw.kinds.0 {
            Kinds::GAUSSIAN => Kind::Gaussian,
            Kinds::LAPLACE => Kind::Laplace,
            Kinds::SALT_PEPPER => Kind::SaltPepper,
            Kinds::POISSON => {
                let PoissonTables::Fixed(tables) = &painter.plan.poisson[draw.poisson_entry] else {
                    return None;
                };
                let rate = if draw.additive { draw.poisson.0 } else { draw.poisson.0 * base };
                Kind::Poisson(&tables.iter().find(|(r, _)| *r == rate)?.1)
            }
            _ => return None,
        };
        Some(Self { painter, base, kind })
    }

    /// Whether all channels hold the same.
    #[inline(always)]
    fn alike(&self) -> bool {
        matches!(self.kind, Kind::SaltPepper) && !self.painter.draw.per_channel
    }

    /// Fill a small box as a whole, if it is one. Its pixels are in the image when those of the next one are asked for.
    #[inline(always)]
    pub(super) fn paint_small<T: Pixel>(
        &self,
        canvas: &mut Canvas<'_, '_, T::Raw>,
        top: usize,
        rows: &Range<usize>,
        scratch: &mut Scratch<T::Raw>,
    ) -> bool {
        let draw = self.painter.draw;
        let (height, width) = (draw.height as usize, draw.width as usize);
        let area = height * width;
        let apart = if self.alike() { 0 } else { area };
        let count = area + (canvas.channels() - 1) * apart;
        if *rows != (0..height) || count > PIECE || !matches!(canvas, Canvas::Planar(..)) {
            return false;
        }
        let part = scratch.waiting.map_or(0, |before| 1 - before.part);
        let Scratch { small, words, values, .. } = scratch;
        self.values::<T>(&mut small[part][..count.next_multiple_of(GROUP)], (words, values), 0);
        scratch.bring(canvas);
        scratch.waiting = Some(Waiting { part, top, left: draw.x as usize, width, area, apart });
        true
    }

    /// Fill some rows of the box, the first of which is row `top` of the canvas.
    #[inline(always)]
    pub(super) fn paint<T: Pixel>(
        &self,
        canvas: &mut Canvas<'_, '_, T::Raw>,
        top: usize,
        rows: Range<usize>,
        scratch: &mut Scratch<T::Raw>,
    ) {
        let draw = self.painter.draw;
        let (height, width) = (draw.height as usize, draw.width as usize);
        let window = Window { top, left: draw.x as usize, width, first_row: rows.start };
        let places = rows.start * width..rows.end * width;
        let channels = canvas.channels();
        let whole = rows == (0..height);
        match canvas {
            Canvas::Interleaved(..) => self.paint_interleaved::<T>(canvas, &window, places, scratch),
            _ if self.alike() => self.paint_run::<T>(canvas, &window, places, channels, scratch),
            // All rows of all channels are one run of values; some rows are one for each channel.
            _ if whole => self.paint_run::<T>(canvas, &window, 0..channels * places.end, 1, scratch),
            _ => {
                for channel in 0..channels {
                    let plane = channel * height * width;
                    let run = plane + places.start..plane + places.end;
                    self.paint_run::<T>(canvas, &window, run, 1, scratch);
                }
            }
        }
    }

    /// Fill a run of values of the box, and the same pixels of `copies - 1` channels after theirs.
    #[inline(always)]
    fn paint_run<T: Pixel>(
        &self,
        canvas: &mut Canvas<'_, '_, T::Raw>,
        window: &Window,
        run: Range<usize>,
        copies: usize,
        scratch: &mut Scratch<T::Raw>,
    ) {
        let (draw, Scratch { encoded: pixels, words, values, .. }) = (self.painter.draw, scratch);
        let area = draw.height as usize * draw.width as usize;
        let cut = |start: usize| {
            let group = start / GROUP;
            Piece { group, values: start..run.end.min(group * GROUP + PIECE), channel: start / area, area }
        };
        let fetch = |canvas: &Canvas<'_, '_, T::Raw>, piece: &Piece| {
            for segment in piece.segments() {
                for channel in segment.channel..segment.channel + copies {
                    canvas.fetch(self.painter.field.lanes(), window, &segment.places, channel);
                }
            }
        };
        let mut piece = cut(run.start);
        fetch(canvas, &piece);
        loop {
            let following = cut(piece.values.end);
            if following.values.start < run.end {
                fetch(canvas, &following);
            }
            self.values::<T>(&mut pixels[..piece.length()], (words, values), piece.group);
            for segment in piece.segments() {
                for channel in segment.channel..segment.channel + copies {
                    canvas.store(window, &Segment { channel, ..segment.clone() }, &mut pixels[segment.at.clone()]);
                }
            }
            if following.values.start >= run.end {
                return;
            }
            piece = following;
        }
    }

    /// Fill places of all channels, some at a time, so that the channels of a pixel are written together.
    #[inline(always)]
    fn paint_interleaved<T: Pixel>(
        &self,
        canvas: &mut Canvas<'_, '_, T::Raw>,
        window: &Window,
        places: Range<usize>,
        scratch: &mut Scratch<T::Raw>,
    ) {
        let Scratch { planes, words, values, .. } = scratch;
        planes.resize(PLANES * PLANE, T::encode(0.0));
        let area = self.painter.draw.height as usize * window.width;
        let channels = canvas.channels();
        let lanes = self.painter.field.lanes();
        if !self.alike() && places == (0..area) && channels * area <= planes.len() {
            // A small box, as one run of values.
            canvas.fetch(lanes, window, &places, 0);
            self.values::<T>(&mut planes[..(channels * area).next_multiple_of(GROUP)], (words, values), 0);
            let part = |c: usize| if c < channels { &planes[c * area..(c + 1) * area] } else { &[] };
            canvas.interleave(window, &places, std::array::from_fn(part));
            return;
        }
        let runs = if self.alike() { 1 } else { channels };
        let mut start = places.start;
        while start < places.end {
            let end = places.end.min(start + PLANE - GROUP);
            canvas.fetch(lanes, window, &(start..end), 0);
            for run in 0..runs {
                let first = run * area + start;
                let length = (first % GROUP + end - start).next_multiple_of(GROUP);
                self.values::<T>(&mut planes[run * PLANE..][..length], (words, values), first / GROUP);
            }
            let part = |c: usize| {
                let run = if self.alike() { 0 } else { c };
                &planes[run * PLANE + (run * area + start) % GROUP..][..end - start]
            };
            canvas.interleave(window, &(start..end), std::array::from_fn(part));
            start = end;
        }
    }

    /// The pixels of whole groups of values of the box.
    #[inline(always)]
    fn values<T: Pixel>(
        &self,
        out: &mut [T::Raw],
        (words, values): (&mut [u32; PIECE], &mut [f32; PIECE]),
        group: usize,
    ) {
        for (i, out) in out.chunks_mut(PIECE).enumerate() {
            self.piece::<T>(out, (words, values), group + i * (PIECE / GROUP));
        }
    }

    /// The same for at most as many as a piece.
    #[inline(always)]
    fn piece<T: Pixel>(
        &self,
        out: &mut [T::Raw],
        (words, values): (&mut [u32; PIECE], &mut [f32; PIECE]),
        group: usize,
    ) {
        let Self { painter, base, kind } = self;
        let draw = painter.draw;
        let layer = match kind {
            Kind::Gaussian => Layer::Gaussian,
            Kind::Laplace => Layer::Laplace,
            Kind::SaltPepper => Layer::SaltPepper,
            Kind::Poisson(_) => Layer::Poisson,
        };
        let words = &mut words[..out.len()];
        painter.field.words(layer, words, group);
        let (base, finish) = (*base, painter.finish::<T>());
        match kind {
            Kind::Gaussian => {
                let (mean, sigma) = draw.gaussian;
                let middle = base + mean;
                if size_of::<T::Raw>() == size_of::<f32>() {
                    gaussian(out, words, |out, normal| *out = finish(sigma.mul_add(normal, middle)));
                    return;
                }
                // In two passes: narrow pixels would keep so long a loop from lanes.
                let values = &mut values[..out.len()];
                gaussian(values, words, |v, normal| *v = sigma.mul_add(normal, middle));
                for (out, v) in out.iter_mut().zip(values) {
                    *out = finish(*v);
                }
            }
            Kind::Laplace => {
                let (mean, scale) = draw.laplace;
                let middle = base + mean;
                laplace(out, words, |out, laplace| *out = finish(scale.mul_add(laplace, middle)));
            }
            Kind::SaltPepper => {
                salt_pepper(out, words, draw.salt_pepper, [finish(1.0), finish(0.0), finish(base)]);
            }
            Kind::Poisson(table) => {
                let (peak, gain) = (draw.poisson.0, painter.poisson_gain());
                let counts = &mut values[..out.len()];
                painter.field.lanes().counts(table, words, counts);
                if draw.additive {
                    for (out, count) in out.iter_mut().zip(counts) {
                        *out = finish(gain.mul_add(*count - peak, base));
                    }
                } else {
                    for (out, count) in out.iter_mut().zip(counts) {
                        *out = finish(*count * gain);
                    }
                }
            }
        }
    }
}
