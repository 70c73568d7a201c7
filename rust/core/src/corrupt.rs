//! The batch driver: draw all boxes, then copy and fill bands of images side by side.
//!
//! A box is filled in pieces of some rows. For each piece a buffer runs through base, shot noise, Gaussian, Laplace and additive
//! Poisson noise, salt and pepper, and one clip and rounding at the end (the order of superimposed kinds). Values are
//! indexed by their place in the box, n = (channel · height + row) · width + column; salt and pepper that hit all
//! channels alike use channel 0.

mod blend;
mod copy;
mod flat;
mod marks;

use std::ops::Range;

use ndarray::{ArrayView3, ArrayView4, ArrayViewMut2, ArrayViewMut3, ArrayViewMut4, Axis, Slice};

use crate::Error;
use crate::boxes::{BoxDraw, Kinds};
use crate::geometry::{Index, Stop, draw};
use crate::level::{Level, Work};
use crate::noise::{Field, gaussian, laplace, salt_pepper};
use crate::overlay::Overlay;
use crate::philox::{self, GROUP, Keys, Lanes, Layer};
use crate::pixel::{Pixel, clip};
use crate::pool::{Crew, available_threads};
use crate::shape::covers;
use crate::spec::{Plan, PoissonTables};

use flat::Flat;

pub use marks::{Marks, mark_places};

/// A corruption of a batch: what is drawn and by what, and how to go about it.
///
/// ```
/// use ndarray::Array4;
/// use unblot_core::{Corruption, Images, Index, Plan, Spec};
///
/// # fn main() -> Result<(), unblot_core::Error> {
/// let plan = Plan::new(Spec { scale: (0.2, 0.2), ..Spec::default() })?;
/// let mut images = Array4::<f32>::zeros((2, 3, 64, 64));
/// let index = Index { seed: 1, keys: &[10, 11] };
/// let boxes = Corruption::new(&plan, index).run::<f32>(Images::in_place(images.view_mut()))?;
/// let covered: u32 = boxes.iter().filter(|b| b.image == 0).map(|b| b.height * b.width).sum();
/// assert!(covered.abs_diff(64 * 64 / 5) <= 16);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct Corruption<'a> {
    plan: &'a Plan,
    index: Index<'a>,
    range: (f32, f32),
    threads: usize,
    level: Level,
    stop: Stop<'a>,
}

impl<'a> Corruption<'a> {
    /// Pixels from 0 to 1, every core for all but small batches, the best instructions that the processor has.
    #[must_use]
    pub fn new(plan: &'a Plan, index: Index<'a>) -> Self {
        Self { plan, index, range: (0.0, 1.0), threads: 0, level: Level::best(), stop: &|| false }
    }

    /// The lowest and the highest pixel value.
    #[must_use]
    pub fn range(self, range: (f32, f32)) -> Self {
        Self { range, ..self }
    }

    /// 1 stays in the caller's thread, more use this process's pool, 0 takes every core for all but small batches.
    #[must_use]
    pub fn threads(self, threads: usize) -> Self {
        Self { threads, ..self }
    }

    /// The instructions to compute with; all make the same bits.
    #[must_use]
    pub fn level(self, level: Level) -> Self {
        Self { level, ..self }
    }

    /// What is asked now and then while boxes are drawn, in the caller's thread: true ends the work with [`Error::Stopped`]. Once pixels
    /// are being written it is not asked any more.
    #[must_use]
    pub fn stop(self, stop: Stop<'a>) -> Self {
        Self { stop, ..self }
    }

    /// Draw the boxes of a batch: in image order, then in drawing order.
    pub fn draw(&self, size: (usize, usize), channels: usize) -> Result<Vec<BoxDraw>, Error> {
        draw(self.plan, size, channels, self.index, self.stop)
    }

    /// How much is covered of every place of every box: the boxes in the order of [`draw`](Self::draw), each row by row; 0 where the
    /// box leaves a pixel alone, 1 where it covers it wholly.
    pub fn covers(&self, size: (usize, usize), channels: usize) -> Result<Vec<f32>, Error> {
        Ok(covers(self.plan, &self.draw(size, channels)?, self.index, self.level))
    }

    /// Corrupt a batch of shape (N, C, H, W) and return its boxes. Everything that can fail fails before a pixel changes.
    pub fn run<T: Pixel>(&self, images: Images<'_, '_, T::Raw>) -> Result<Vec<BoxDraw>, Error> {
        run::<T>(self, images)
    }
}

/// The memory of a batch, of shape (N, C, H, W).
pub struct Images<'a, 'v, R> {
    dst: ArrayViewMut4<'a, R>,
    src: Option<&'a ArrayView4<'v, R>>,
    marks: Option<Marks<'a>>,
}

impl<'a, 'v, R> Images<'a, 'v, R> {
    /// Images that are changed where they lie.
    #[must_use]
    pub fn in_place(images: ArrayViewMut4<'a, R>) -> Self {
        Self { dst: images, src: None, marks: None }
    }

    /// Images that stay as they are, and where their corrupted copies go.
    #[must_use]
    pub fn copied(from: &'a ArrayView4<'v, R>, to: ArrayViewMut4<'a, R>) -> Self {
        Self { dst: to, src: Some(from), marks: None }
    }

    /// Mark the pixels that changed, too.
    #[must_use]
    pub fn marked(self, marks: Marks<'a>) -> Self {
        Self { marks: Some(marks), ..self }
    }
}

/// See [`Corruption::run`].
fn run<T: Pixel>(corruption: &Corruption<'_>, batch: Images<'_, '_, T::Raw>) -> Result<Vec<BoxDraw>, Error> {
    let Corruption { plan, index, range, threads, level, .. } = *corruption;
    let Images { mut dst, src, mut marks } = batch;
    let (images, channels, height, width) = dst.dim();
    if index.keys.len() != images || src.is_some_and(|s| s.dim() != dst.dim()) {
        return Err(Error::Image(format!(
            "{} keys and source {:?} for images {:?}",
            index.keys.len(),
            src.map(ArrayView4::dim),
            dst.dim()
        )));
    }
    if let Some(marks) = &marks
        && marks.mask.dim() != (images, height, width)
    {
        return Err(Error::Image(format!("a mask {:?} for images {:?}", marks.mask.dim(), dst.dim())));
    }
    let boxes = corruption.draw((height, width), channels)?;
    let threads = match threads {
        // Waking a pool takes longer than filling a small batch.
        0 if dst.len() < SMALL => 1,
        0 => available_threads(),
        asked => asked,
    };
    let crew = Crew::of(threads)?;
    let threshold = marks.as_ref().map_or(0.0, |marks| marks.threshold);
    let mut masks: Vec<_> = marks.iter_mut().flat_map(|marks| marks.mask.axis_iter_mut(Axis(0)).map(Some)).collect();
    masks.resize_with(images, || None);
    let clean = src.map_or_else(|| dst.view(), |s| s.view());
    let overlays = Overlay::all(plan, &boxes, &clean, index, level, &crew);
    let keys = philox::keys(index.seed);
    let job = Job { plan, boxes: &boxes, overlays: &overlays, range, index, keys, level, threshold };
    // Each image is a band; where there are few of them, each is cut into enough bands that no thread waits long for the last.
    let bands_per_image = if threads == 1 { 1 } else { (16 * threads).div_ceil(images.max(1)) };
    let rows = height.div_ceil(bands_per_image).max(16);
    let mut bands = Vec::with_capacity(images * height.div_ceil(rows));
    let mut drawn = 0;
    for (image, (whole, mut mask)) in dst.axis_iter_mut(Axis(0)).zip(masks).enumerate() {
        let own = drawn..drawn + boxes[drawn..].iter().take_while(|b| b.image as usize == image).count();
        drawn = own.end;
        for (i, band) in into_bands(whole, rows).enumerate() {
            let marked = mask.take().map(|mask| mask.split_at(Axis(0), band.dim().1));
            let (here, below) = marked.map_or((None, None), |(here, below)| (Some(here), Some(below)));
            mask = below;
            bands.push((Part { image, boxes: own.clone(), top: i * rows }, band, here));
        }
    }
    crew.share_out(bands, Scratch::new::<T>, |scratch, (part, band, mask)| {
        let rows = Slice::from(part.top..part.top + band.dim().1);
        let src = src.map(|s| s.index_axis(Axis(0), part.image).slice_axis_move(Axis(1), rows));
        job.band::<T>(&part, band, src, mask, scratch);
    });
    Ok(boxes)
}

/// The rows of one image in bands of at most `rows`.
fn into_bands<R>(image: ArrayViewMut3<'_, R>, rows: usize) -> impl Iterator<Item = ArrayViewMut3<'_, R>> {
    let mut rest = Some(image);
    std::iter::from_fn(move || {
        let all = rest.take()?;
        if all.dim().1 <= rows {
            return Some(all);
        }
        let (band, below) = all.split_at(Axis(1), rows);
        rest = Some(below);
        Some(band)
    })
}

/// What all bands share.
struct Job<'a, R> {
    plan: &'a Plan,
    boxes: &'a [BoxDraw],
    /// For each box, or none at all.
    overlays: &'a [Option<Overlay<R>>],
    range: (f32, f32),
    index: Index<'a>,
    /// Those of the seed.
    keys: Keys,
    level: Level,
    /// By how much of the value range a marked pixel changed.
    threshold: f32,
}

/// What a band is.
struct Part {
    image: usize,
    /// Numbers of the image's boxes in the batch.
    boxes: Range<usize>,
    /// Its first row.
    top: usize,
}

impl<R: Copy + Send + Sync> Job<'_, R> {
    /// Copy a band of rows, fill the parts of the image's boxes that lie in it, and mark what changed.
    fn band<T: Pixel<Raw = R>>(
        &self,
        part: &Part,
        mut dst: ArrayViewMut3<'_, R>,
        src: Option<ArrayView3<'_, R>>,
        mask: Option<ArrayViewMut2<'_, u8>>,
        scratch: &mut Scratch<R>,
    ) {
        let boxes = &self.boxes[part.boxes.clone()];
        if let Some(src) = &src {
            // What is blended with the pixels below, or made of them, needs them.
            let opaque = self.overlays.is_empty() && !boxes.iter().any(|b| b.on_image(self.plan));
            copy::copy(&mut dst, src, if opaque { boxes } else { &[] }, part.top);
        }
        let Some(mut mask) = mask else {
            return self.fill::<T>(part, &mut dst, scratch);
        };
        let own = src.is_none().then(|| dst.to_owned());
        self.fill::<T>(part, &mut dst, scratch);
        if let Some(before) = src.or(own.as_ref().map(|own| own.view())) {
            let least = self.threshold * (self.range.1 - self.range.0);
            marks::mark::<T>(&mut mask, &before, &dst, boxes.iter(), part.top, least);
        }
    }

    /// Fill the parts of the image's boxes that lie in a band.
    fn fill<T: Pixel<Raw = R>>(&self, part: &Part, dst: &mut ArrayViewMut3<'_, R>, scratch: &mut Scratch<R>) {
        self.level.run_with_words(Fill::<T> { job: self, part, dst, scratch });
    }
}

/// See [`Job::fill`].
struct Fill<'a, 'v, T: Pixel> {
    job: &'a Job<'a, T::Raw>,
    part: &'a Part,
    dst: &'a mut ArrayViewMut3<'v, T::Raw>,
    scratch: &'a mut Scratch<T::Raw>,
}

impl<T: Pixel> Work for Fill<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self { job, part, dst, scratch } = self;
        let (top, bottom) = (part.top, part.top + dst.dim().1);
        let mut canvas = Canvas::new(dst);
        for i in part.boxes.clone() {
            let draw = &job.boxes[i];
            let (y, end) = (draw.y as usize, (draw.y + draw.height) as usize);
            let (from, to) = (y.max(top), end.min(bottom));
            if from < to {
                let field = Field::new(lanes, &job.keys, job.index.keys[part.image], draw.number);
                let painter = Painter { plan: job.plan, draw, field, range: job.range };
                let (start, rows) = (from - top, from - y..to - y);
                let overlay = job.overlays.get(i).and_then(Option::as_ref);
                let flat = if overlay.is_none() { Flat::of(&painter) } else { None };
                if let Some(flat) = &flat
                    && flat.paint_small::<T>(&mut canvas, start, &rows, scratch)
                {
                    continue;
                }
                scratch.bring(&mut canvas);
                match (overlay, flat) {
                    (Some(overlay), _) => painter.blend::<T>(&mut canvas, start, rows, overlay, scratch),
                    (None, Some(flat)) => flat.paint::<T>(&mut canvas, start, rows, scratch),
                    (None, None) => painter.paint::<T>(&mut canvas, start, rows, scratch),
                }
            }
        }
        scratch.bring(&mut canvas);
    }
}

/// Values of a batch below which one thread is as fast as several.
const SMALL: usize = 1 << 20;

/// Values of a box computed at a time. Pieces are small, so that the stores of one, which mostly miss the cache, are under way
/// while the next is computed; they begin where groups do, so that no group is computed twice.
const PIECE: usize = 8 * GROUP;

/// Bytes of a channel up to which an image is likely in the cache already, or soon.
const SMALL_PLANE: usize = 1 << 14;

/// Values of each channel that are interleaved at a time. They may begin within a group, which is then computed twice.
const PLANE: usize = 16 * GROUP;

/// The most channels that interleaved pixels are filled with at once.
const PLANES: usize = 4;

/// Pixels of a box whose salt and pepper is kept for all its channels.
const KEPT: usize = 128 * GROUP;

/// Room for these, and for the groups that they begin and end in.
const HITS: usize = KEPT + 2 * GROUP;

/// Buffers that one thread fills boxes with. Every place is written before it is read.
struct Scratch<R> {
    values: [f32; PIECE],
    words: [u32; PIECE],
    rest: [u32; PIECE],
    encoded: [R; PIECE],
    /// The pixels of a small box, and those of the one before, in turn.
    small: [[R; PIECE]; 2],
    /// The small box whose pixels are not in the image yet.
    waiting: Option<Waiting>,
    /// A part for each channel of interleaved pixels, empty until there are such.
    planes: Vec<R>,
    /// Salt and pepper of boxes that go the general way, empty until there are such.
    hits: Vec<f32>,
}

impl<R: Copy> Scratch<R> {
    fn new<T: Pixel<Raw = R>>() -> Self {
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

impl<R: Copy> Scratch<R> {
    /// Copy the small box that waits into the image, if there is one.
    #[inline(always)]
    fn bring(&mut self, canvas: &mut Canvas<'_, '_, R>) {
        let Some(Waiting { part, top, left, width, area, apart }) = self.waiting.take() else {
            return;
        };
        let Canvas::Planar(planes, row) = canvas else { unreachable!("small boxes wait for planes alone") };
        for (channel, plane) in planes.iter_mut().enumerate() {
            copy_box(&mut plane[top * *row..], *row, left, &self.small[part][channel * apart..][..area], width);
        }
    }
}

/// Where a small box goes whose pixels are made. They wait until those of the next one are: what is read right after it was written, and
/// in other steps, waits for the writing to end.
#[derive(Clone, Copy)]
struct Waiting {
    /// Which of the buffers holds the pixels.
    part: usize,
    top: usize,
    left: usize,
    width: usize,
    area: usize,
    /// From the pixels of a channel to those of the next; 0 where all hold the same.
    apart: usize,
}

/// A stretch of values of a box: whole groups, cut where the run of values begins and ends.
#[derive(Clone)]
struct Piece {
    /// Number of its first group.
    group: usize,
    /// The values asked for; the buffers begin with the first value of the first group.
    values: Range<usize>,
    /// The channel of the first value.
    channel: usize,
    /// Pixels of the box.
    area: usize,
}

impl Piece {
    /// How much of the buffers its groups take.
    #[inline(always)]
    fn length(&self) -> usize {
        (self.values.end - self.group * GROUP).next_multiple_of(GROUP)
    }

    /// Its parts by channel: one, but in small boxes.
    #[inline(always)]
    fn segments(&self) -> Segments {
        Segments(self.clone())
    }
}

/// Values of one channel within a piece.
#[derive(Clone)]
struct Segment {
    channel: usize,
    /// Where they lie in the channel's pixels of the box, counted row by row.
    places: Range<usize>,
    /// Where they stand in the buffers.
    at: Range<usize>,
}

struct Segments(Piece);

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

/// Fills one box.
struct Painter<'a, L: Lanes> {
    plan: &'a Plan,
    draw: &'a BoxDraw,
    field: Field<'a, L>,
    range: (f32, f32),
}

impl<L: Lanes> Painter<'_, L> {
    /// Fill some rows of the box, the first of which is row `top` of the canvas.
    #[inline(always)]
    fn paint<T: Pixel>(
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
    fn hits_alike(&self) -> bool {
        self.draw.kinds.has(Kinds::SALT_PEPPER) && !self.draw.per_channel
    }

    /// Salt and pepper of some places, in whole groups; the first place's stands at its number within its group.
    #[inline(always)]
    fn draw_hits(&self, places: &Range<usize>, hits: &mut [f32]) {
        let group = places.start / GROUP;
        let length = (places.end - group * GROUP).next_multiple_of(GROUP);
        self.draw_hits_of(&mut hits[..length], group);
    }

    /// 1 where salt falls, 0 where pepper falls, NaN where neither does, in whole groups.
    #[inline(always)]
    fn draw_hits_of(&self, hits: &mut [f32], first: usize) {
        let mut words = [0; PIECE];
        for (i, hits) in hits.chunks_mut(PIECE).enumerate() {
            let words = &mut words[..hits.len()];
            self.field.words(Layer::SaltPepper, words, first + i * (PIECE / GROUP));
            salt_pepper(hits, words, self.draw.salt_pepper, [1.0, 0.0, f32::NAN]);
        }
    }

    /// Whether salt and pepper alone change the image's own pixels, so that what is not hit keeps its bits.
    #[inline(always)]
    fn hits_only(&self) -> bool {
        self.draw.kinds.0 == Kinds::SALT_PEPPER && self.draw.on_image(self.plan)
    }

    /// Base, shot noise, then the sum of Gaussian, Laplace and additive Poisson noise.
    #[inline(always)]
    fn compute<T: Pixel>(
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
    fn poisson_gain(&self) -> f32 {
        let (peak, strength) = self.draw.poisson;
        if self.draw.additive { strength / peak.sqrt() } else { 1.0 / peak }
    }

    /// Shot or additive Poisson noise.
    #[inline(always)]
    fn poisson<R>(&self, piece: &Piece, scratch: &mut Scratch<R>) {
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
    fn store<T: Pixel>(
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
    fn encode<T: Pixel>(&self, v: f32) -> T::Raw {
        self.finish::<T>()(v)
    }

    /// The same as a function that holds all it needs, so that lane loops need not ask again.
    #[inline(always)]
    fn finish<T: Pixel>(&self) -> impl Fn(f32) -> T::Raw + Copy + use<T, L> {
        let (low, high) = self.range;
        let span = high - low;
        move |v| T::encode(clip(v).mul_add(span, low))
    }
}

/// Where a box lies in the canvas.
struct Window {
    /// Row of the canvas that `first_row` of the box is.
    top: usize,
    first_row: usize,
    left: usize,
    width: usize,
}

/// Values of one row of a segment.
struct Stretch {
    y: usize,
    x: usize,
    at: Range<usize>,
}

impl Window {
    /// The rows that some places of the box touch.
    #[inline(always)]
    fn rows(&self, places: &Range<usize>) -> impl Iterator<Item = Stretch> {
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
enum Canvas<'a, 'v, R> {
    /// Planes, each row after row: the first pixels of each, and the pixels of a row.
    Planar(Vec<&'a mut [R]>, usize),
    /// Row after row, the channels of a pixel side by side: the values, the number of channels (2 to 4), the pixels of a row.
    Interleaved(&'a mut [R], usize, usize),
    /// Any other way.
    View(&'a mut ArrayViewMut3<'v, R>),
}

impl<'a, 'v, R: Copy> Canvas<'a, 'v, R> {
    fn new(band: &'a mut ArrayViewMut3<'v, R>) -> Self {
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

    fn channels(&self) -> usize {
        match self {
            Self::Planar(planes, _) => planes.len(),
            Self::Interleaved(_, channels, _) => *channels,
            Self::View(band) => band.dim().0,
        }
    }

    /// Overwrite a segment.
    #[inline(always)]
    fn store(&mut self, window: &Window, segment: &Segment, values: &mut [R]) {
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
    fn fetch<L: Lanes>(&self, lanes: L, window: &Window, places: &Range<usize>, channel: usize) {
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
    fn interleave(&mut self, window: &Window, places: &Range<usize>, parts: [&[R]; PLANES]) {
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
    fn zip<V>(&mut self, window: &Window, segment: &Segment, values: &mut [V], visit: impl Fn(&mut R, &mut V)) {
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
fn copy_box<R: Copy>(pixels: &mut [R], row: usize, left: usize, values: &[R], width: usize) {
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
