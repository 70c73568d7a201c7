//! Fills boxes the general way: base, shot noise, Gaussian, Laplace and additive Poisson noise, salt and pepper, one clip and rounding.

use std::ops::Range;

use super::canvas::{Canvas, Window};
use super::piece::{HITS, KEPT, PIECE, Piece, Scratch};
use crate::geometry::{BoxDraw, Kinds};
use crate::noise::{Field, gaussian, laplace, salt_pepper};
use crate::pixel::{Pixel, clip};
use crate::rng::{GROUP, Layer};
use crate::simd::Lanes;
use crate::spec::{Plan, PoissonTables};

/// Fills one box.
pub(super) struct Painter<'a, L: Lanes> {
    pub plan: &'a Plan,
    pub draw: &'a BoxDraw,
    pub field: Field<'a, L>,
    pub range: (f32, f32),
}

impl<L: Lanes> Painter<'_, L> {
    /// Fill some rows of the box, the first of which is row `top` of the canvas.
    #[inline(always)]
    pub(super) fn paint<T: Pixel>(
        &self,
        canvas: &mut Canvas<'_, '_, T::Raw>,
        top: usize,
        rows: Range<usize>,
        scratch: &mut Scratch<T::Raw>,
    ) {
        let (height, width) = (self.draw.height as usize, self.draw.width as usize);
        let (area, channels) = (height * width, canvas.channels());
        let places = rows.start * width..rows.end * width;
        let window = Window { top, left: self.draw.x as usize, width, first_row: rows.start };
        let kept = places.len() <= KEPT;
        scratch.hits.resize(HITS, 0.0);
        if kept && self.hits_alike() {
            self.draw_hits(&places, &mut scratch.hits);
        }
        // All rows of all channels are one run of values; some rows are one for each channel.
        let whole = rows == (0..height);
        let runs = if whole { 1 } else { channels };
        for run in 0..runs {
            let end = if whole { channels * area } else { run * area + places.end };
            let (mut n, mut channel) = (run * area + places.start, run);
            while n < end {
                let group = n / GROUP;
                let stop = end.min(group * GROUP + PIECE);
                let piece = Piece { group, values: n..stop, channel, area };
                self.compute::<T>(canvas, &window, &piece, scratch);
                self.store::<T>(canvas, &window, &piece, kept.then_some(places.start), scratch);
                while whole && (channel + 1) * area <= stop {
                    channel += 1;
                }
                n = stop;
            }
        }
    }

    /// Whether salt and pepper fall on the same pixels of all channels.
    #[inline(always)]
    pub(super) fn hits_alike(&self) -> bool {
        self.draw.kinds.has(Kinds::SALT_PEPPER) && !self.draw.per_channel
    }

    /// Salt and pepper of some places, in whole groups; the first place's stands at its number within its group.
    #[inline(always)]
    pub(super) fn draw_hits(&self, places: &Range<usize>, hits: &mut [f32]) {
        let group = places.start / GROUP;
        let length = (places.end - group * GROUP).next_multiple_of(GROUP);
        self.draw_hits_of(&mut hits[..length], group);
    }

    /// 1 where salt falls, 0 where pepper falls, NaN where neither does, in whole groups.
    #[inline(always)]
    pub(super) fn draw_hits_of(&self, hits: &mut [f32], first: usize) {
        let mut words = [0; PIECE];
        for (i, hits) in hits.chunks_mut(PIECE).enumerate() {
            let words = &mut words[..hits.len()];
            self.field.words(Layer::SaltPepper, words, first + i * (PIECE / GROUP));
            salt_pepper(hits, words, self.draw.salt_pepper, [1.0, 0.0, f32::NAN]);
        }
    }

    /// Whether salt and pepper alone change the image's own pixels, so that what is not hit keeps its bits.
    #[inline(always)]
    pub(super) fn hits_only(&self) -> bool {
        self.draw.kinds.0 == Kinds::SALT_PEPPER && self.draw.on_image(self.plan)
    }

    /// Base, shot noise, then the sum of Gaussian, Laplace and additive Poisson noise.
    #[inline(always)]
    pub(super) fn compute<T: Pixel>(
        &self,
        canvas: &mut Canvas<'_, '_, T::Raw>,
        window: &Window,
        piece: &Piece,
        scratch: &mut Scratch<T::Raw>,
    ) {
        if self.hits_only() {
            return;
        }
        let (low, scale) = (self.range.0, 1.0 / (self.range.1 - self.range.0));
        for segment in piece.segments() {
            let values = &mut scratch.values[segment.at.clone()];
            if self.draw.on_image(self.plan) {
                canvas.zip(window, &segment, values, |pixel, v| *v = (T::decode(*pixel) - low) * scale);
            } else {
                values.fill(self.draw.base(self.plan, segment.channel));
            }
        }
        if self.draw.kinds.has(Kinds::POISSON) {
            self.poisson(piece, scratch);
        }
        let (values, words) = (&mut scratch.values[..piece.length()], &mut scratch.words[..piece.length()]);
        if self.draw.kinds.has(Kinds::GAUSSIAN) {
            let (mean, sigma) = self.draw.gaussian;
            self.field.words(Layer::Gaussian, words, piece.group);
            gaussian(values, words, |v, normal| *v = sigma.mul_add(normal, *v + mean));
        }
        if self.draw.kinds.has(Kinds::LAPLACE) {
            let (mean, scale) = self.draw.laplace;
            self.field.words(Layer::Laplace, words, piece.group);
            laplace(values, words, |v, laplace| *v = scale.mul_add(laplace, *v + mean));
        }
    }

    /// By what Poisson numbers are multiplied.
    #[inline(always)]
    pub(super) fn poisson_gain(&self) -> f32 {
        let (peak, strength) = self.draw.poisson;
        if self.draw.additive { strength / peak.sqrt() } else { 1.0 / peak }
    }

    /// Shot or additive Poisson noise.
    #[inline(always)]
    pub(super) fn poisson<R>(&self, piece: &Piece, scratch: &mut Scratch<R>) {
        let draw = self.draw;
        let (peak, gain) = (draw.poisson.0, self.poisson_gain());
        let Scratch { values, words, rest, .. } = scratch;
        self.field.words(Layer::Poisson, &mut words[..piece.length()], piece.group);
        let tables = &self.plan.poisson[draw.poisson_entry];
        if matches!(tables, PoissonTables::Grid(_)) {
            self.field.words(Layer::PoissonRest, &mut rest[..piece.length()], piece.group);
        }
        let mut counts = [0.0; PIECE];
        for segment in piece.segments() {
            let at = segment.at;
            let (values, counts) = (&mut values[at.clone()], &mut counts[at.clone()]);
            let (words, rest) = (&words[at.clone()], &rest[at]);
            match tables {
                PoissonTables::Unused => unreachable!("a box with Poisson noise names a Poisson entry"),
                PoissonTables::Fixed(tables) => {
                    let rate = if draw.additive { peak } else { peak * draw.base(self.plan, segment.channel) };
                    let (_, table) = tables.iter().find(|(r, _)| *r == rate).expect("every flat rate has its table");
                    for (count, w) in counts.iter_mut().zip(words) {
                        *count = table.draw(*w);
                    }
                }
                PoissonTables::Grid(grid) => {
                    for (i, count) in counts.iter_mut().enumerate() {
                        let rate = if draw.additive { peak } else { peak * clip(values[i]) };
                        *count = grid.draw(f64::from(rate), words[i], rest[i]);
                    }
                }
            }
            for (v, count) in values.iter_mut().zip(counts.iter()) {
                let shot = if v.is_nan() { *v } else { *count * gain };
                *v = if draw.additive { gain.mul_add(*count - peak, *v) } else { shot };
            }
        }
    }

    /// Salt and pepper, one clip and one rounding, and into the image.
    ///
    /// `kept` is the first of the places whose salt and pepper the buffer holds for all channels, if it does.
    #[inline(always)]
    pub(super) fn store<T: Pixel>(
        &self,
        canvas: &mut Canvas<'_, '_, T::Raw>,
        window: &Window,
        piece: &Piece,
        kept: Option<usize>,
        scratch: &mut Scratch<T::Raw>,
    ) {
        let Scratch { values, encoded, hits, .. } = scratch;
        let salt_pepper = self.draw.kinds.has(Kinds::SALT_PEPPER);
        if salt_pepper && self.draw.per_channel {
            self.draw_hits_of(&mut hits[..piece.length()], piece.group);
        }
        for segment in piece.segments() {
            let (values, encoded) = (&values[segment.at.clone()], &mut encoded[segment.at.clone()]);
            if !salt_pepper {
                for (out, v) in encoded.iter_mut().zip(values) {
                    *out = self.encode::<T>(*v);
                }
                canvas.store(window, &segment, encoded);
                continue;
            }
            let first = match kept {
                _ if self.draw.per_channel => segment.at.start,
                Some(kept) => segment.places.start - kept + kept % GROUP,
                None => {
                    self.draw_hits(&segment.places, hits);
                    segment.places.start % GROUP
                }
            };
            let hits = &mut hits[first..][..values.len()];
            if self.hits_only() {
                canvas.zip(window, &segment, hits, |pixel, hit| {
                    if !hit.is_nan() {
                        *pixel = self.encode::<T>(*hit);
                    }
                });
                continue;
            }
            for ((out, v), hit) in encoded.iter_mut().zip(values).zip(hits) {
                *out = self.encode::<T>(if hit.is_nan() { *v } else { *hit });
            }
            canvas.store(window, &segment, encoded);
        }
    }

    /// Clip, scale and round once.
    #[inline(always)]
    pub(super) fn encode<T: Pixel>(&self, v: f32) -> T::Raw {
        self.finish::<T>()(v)
    }

    /// The same as a function that holds all it needs, so that lane loops need not ask again.
    #[inline(always)]
    pub(super) fn finish<T: Pixel>(&self) -> impl Fn(f32) -> T::Raw + Copy + use<T, L> {
        let (low, high) = self.range;
        let span = high - low;
        move |v| T::encode(clip(v).mul_add(span, low))
    }
}
