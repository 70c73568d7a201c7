//! The batch driver: draw all boxes, then copy and fill bands of images side by side.
//!
//! A box is filled in pieces of some rows. For each piece a buffer runs through base, shot noise, Gaussian, Laplace and additive
//! Poisson noise, salt and pepper, and one clip and rounding at the end (the order of superimposed kinds). Values are
//! indexed by their place in the box, n = (channel · height + row) · width + column; salt and pepper that hit all
//! channels alike use channel 0.

use std::ops::Range;

use ndarray::{ArrayView3, ArrayView4, ArrayViewMut3, ArrayViewMut4, Axis, Slice};
use rayon::prelude::*;

use crate::Error;
use crate::boxes::{BoxDraw, Drawer, Kinds, check_size};
use crate::noise::{Field, Level};
use crate::philox::{GROUP, Layer};
use crate::pixel::{Pixel, clip};
use crate::pool::{available_threads, pool};
use crate::spec::{Base, Plan, PoissonTables};

/// By what the images of a batch are drawn.
#[derive(Debug, Clone, Copy)]
pub struct Index<'a> {
    /// The seed of everything random.
    pub seed: u64,
    /// A number for each image, by which it comes out the same in any batch.
    pub keys: &'a [u64],
}

/// Draw the boxes of a batch: in image order, then in drawing order.
pub fn draw(
    plan: &Plan,
    (height, width): (usize, usize),
    channels: usize,
    index: Index<'_>,
) -> Result<Vec<BoxDraw>, Error> {
    check_size(plan, height, width, channels)?;
    let mut boxes = Vec::with_capacity(index.keys.len() * plan.spec().num_boxes.1.min(8));
    let mut drawer = Drawer::new(plan);
    for (image, &key) in index.keys.iter().enumerate() {
        drawer.draw(image, (height, width), (index.seed, key), &mut boxes);
    }
    Ok(boxes)
}

/// Corrupt a batch of shape (N, C, H, W).
///
/// `dst` receives the images of `src` with their boxes filled; without `src` it holds the images already. `range` are the lowest and
/// the highest pixel value. `threads`: 1 stays in the caller's thread, more use this process's pool, 0 takes every core.
/// Everything that can fail fails before a pixel changes.
pub fn corrupt<T: Pixel>(
    plan: &Plan,
    mut dst: ArrayViewMut4<'_, T::Raw>,
    src: Option<&ArrayView4<'_, T::Raw>>,
    range: (f32, f32),
    index: Index<'_>,
    threads: usize,
    level: Level,
) -> Result<Vec<BoxDraw>, Error> {
    let (images, channels, height, width) = dst.dim();
    if index.keys.len() != images || src.is_some_and(|s| s.dim() != dst.dim()) {
        return Err(Error::Image(format!(
            "{} keys and source {:?} for images {:?}",
            index.keys.len(),
            src.map(ArrayView4::dim),
            dst.dim()
        )));
    }
    let boxes = draw(plan, (height, width), channels, index)?;
    let threads = if threads == 0 { available_threads() } else { threads };
    let job = Job { plan, boxes: &boxes, range, index, level };
    if threads == 1 {
        let mut scratch = Scratch::new::<T>();
        for (image, band) in dst.axis_iter_mut(Axis(0)).enumerate() {
            job.band::<T>(image, 0, band, src.map(|s| s.index_axis(Axis(0), image)), &mut scratch);
        }
        return Ok(boxes);
    }
    let pool = pool(threads)?;
    // Enough bands that every thread gets some, also of a single image.
    let bands_per_image = (4 * threads).div_ceil(images.max(1));
    let rows = height.div_ceil(bands_per_image).max(16);
    let mut bands = Vec::with_capacity(images * height.div_ceil(rows));
    for (image, whole) in dst.axis_iter_mut(Axis(0)).enumerate() {
        for (i, band) in whole.into_axis_chunks(rows).into_iter().enumerate() {
            bands.push((image, i * rows, band));
        }
    }
    pool.install(|| {
        bands.into_par_iter().for_each_init(Scratch::new::<T>, |scratch, (image, top, band)| {
            let rows = Slice::from(top..top + band.dim().1);
            let src = src.map(|s| s.index_axis(Axis(0), image).slice_axis_move(Axis(1), rows));
            job.band::<T>(image, top, band, src, scratch);
        });
    });
    Ok(boxes)
}

/// The rows of one image in bands of at most `rows`.
trait IntoBands<'a, T> {
    fn into_axis_chunks(self, rows: usize) -> Vec<ArrayViewMut3<'a, T>>;
}

impl<'a, T> IntoBands<'a, T> for ArrayViewMut3<'a, T> {
    fn into_axis_chunks(self, rows: usize) -> Vec<ArrayViewMut3<'a, T>> {
        let mut bands = vec![];
        let mut rest = self;
        while rest.dim().1 > rows {
            let (band, below) = rest.split_at(Axis(1), rows);
            bands.push(band);
            rest = below;
        }
        bands.push(rest);
        bands
    }
}

/// What all bands share.
struct Job<'a> {
    plan: &'a Plan,
    boxes: &'a [BoxDraw],
    range: (f32, f32),
    index: Index<'a>,
    level: Level,
}

impl Job<'_> {
    /// Copy a band of rows and fill the parts of the image's boxes that lie in it.
    fn band<T: Pixel>(
        &self,
        image: usize,
        top: usize,
        mut dst: ArrayViewMut3<'_, T::Raw>,
        src: Option<ArrayView3<'_, T::Raw>>,
        scratch: &mut Scratch<T::Raw>,
    ) {
        if let Some(src) = src {
            copy::<T>(&mut dst, &src);
        }
        let bottom = top + dst.dim().1;
        let mut canvas = Canvas::new(&mut dst);
        let first = self.boxes.partition_point(|b| (b.image as usize) < image);
        self.level.run(
            #[inline(always)]
            || {
                for draw in self.boxes[first..].iter().take_while(|b| b.image as usize == image) {
                    let (y, end) = (draw.y as usize, (draw.y + draw.height) as usize);
                    let (from, to) = (y.max(top), end.min(bottom));
                    if from < to {
                        let field = Field::new(self.index.seed, self.index.keys[image], draw);
                        let painter = Painter { plan: self.plan, draw, field, range: self.range };
                        painter.paint::<T>(&mut canvas, from - top, from - y..to - y, scratch);
                    }
                }
            },
        );
    }
}

fn copy<T: Pixel>(dst: &mut ArrayViewMut3<'_, T::Raw>, src: &ArrayView3<'_, T::Raw>) {
    if dst.strides() == src.strides()
        && let (Some(dst), Some(src)) = (dst.as_slice_memory_order_mut(), src.as_slice_memory_order())
    {
        dst.copy_from_slice(src);
        return;
    }
    dst.assign(src);
}

/// Channels that are filled together.
const PLANES: usize = 4;
/// Values of a channel in one piece.
const PIECE: usize = 1024;
/// Places for a channel's piece and the rest of its first and last group.
const PLANE: usize = PIECE + 2 * GROUP;
const BUFFER: usize = PLANES * PLANE;

/// Buffers that one thread fills boxes with. Every place is written before it is read.
struct Scratch<R> {
    values: Vec<f32>,
    words: Vec<u32>,
    rest: Vec<u32>,
    counts: Vec<f32>,
    hits: Vec<f32>,
    encoded: Vec<R>,
}

impl<R: Copy> Scratch<R> {
    fn new<T: Pixel<Raw = R>>() -> Self {
        Self {
            values: vec![0.0; BUFFER],
            words: vec![0; BUFFER],
            rest: vec![0; BUFFER],
            counts: vec![0.0; PLANE],
            hits: vec![0.0; BUFFER],
            encoded: vec![T::encode(0.0); BUFFER],
        }
    }
}

/// A stretch of consecutive values of a stream: whole groups in the buffer.
struct Run {
    /// Where its first group begins in the buffer.
    at: usize,
    /// Number of its first group.
    group: usize,
    /// Length in whole groups' values.
    length: usize,
}

impl Run {
    /// Values `start..start + count` of a stream, at `at` in the buffer.
    #[inline(always)]
    fn new(at: usize, start: usize, count: usize) -> Self {
        Self { at, group: start / GROUP, length: (start % GROUP + count).next_multiple_of(GROUP) }
    }

    #[inline(always)]
    fn range(&self) -> Range<usize> {
        self.at..self.at + self.length
    }
}

/// Where the values of some channels of a piece stand in the buffers.
///
/// A small box is one run over all its channels, a larger one has a run for each channel of each piece.
struct Layout {
    channels: Range<usize>,
    count: usize,
    /// First value of each channel in the buffers.
    at: [usize; PLANES],
    runs: [Run; PLANES],
    used: usize,
}

impl Layout {
    #[inline(always)]
    fn new(channels: Range<usize>, plane: usize, place: usize, count: usize) -> Self {
        let whole = place == 0 && count == plane && channels.len() * count <= BUFFER - 2 * GROUP;
        let start = |i: usize| (channels.start + i) * plane + place;
        let runs = std::array::from_fn(|i| match (whole, i) {
            (true, 0) => Run::new(0, start(0), channels.len() * count),
            (true, _) => Run { at: 0, group: 0, length: 0 },
            (false, _) => Run::new(i * PLANE, start(i), count),
        });
        let at =
            std::array::from_fn(|i| if whole { start(0) % GROUP + i * count } else { i * PLANE + start(i) % GROUP });
        let used = if whole { 1 } else { channels.len() };
        Self { channels, count, at, runs, used }
    }

    #[inline(always)]
    fn runs(&self) -> &[Run] {
        &self.runs[..self.used]
    }

    /// Each channel with its place in the buffers.
    #[inline(always)]
    fn planes(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        self.channels.clone().zip(self.at).map(|(channel, at)| (channel, at..at + self.count))
    }
}

/// Fills one box.
struct Painter<'a> {
    plan: &'a Plan,
    draw: &'a BoxDraw,
    field: Field,
    range: (f32, f32),
}

impl Painter<'_> {
    /// Fill some rows of the box, the first of which is row `top` of the canvas.
    #[inline(always)]
    fn paint<T: Pixel>(
        &self,
        canvas: &mut Canvas<'_, '_, T::Raw>,
        top: usize,
        rows: Range<usize>,
        scratch: &mut Scratch<T::Raw>,
    ) {
        let channels = canvas.channels();
        let (height, width) = (self.draw.height as usize, self.draw.width as usize);
        let rows_per_piece = if width * rows.len() <= PIECE { rows.len() } else { (PIECE / width).max(1) };
        // A row that is wider than a piece is filled in pieces of columns.
        let columns_per_piece = width.min(PIECE);
        // Loops by hand: a stepped range divides, which costs as much as filling a small box.
        let mut row = rows.start;
        while row < rows.end {
            let piece_rows = rows_per_piece.min(rows.end - row);
            let mut left = 0;
            while left < width {
                let columns = columns_per_piece.min(width - left);
                let (place, count) = (row * width + left, piece_rows * columns);
                let column = self.draw.x as usize + left;
                let tile = Tile { top: top + row - rows.start, left: column, rows: piece_rows, columns };
                let mut first = 0;
                while first < channels {
                    let planes = first..channels.min(first + PLANES);
                    let layout = Layout::new(planes, height * width, place, count);
                    self.piece::<T>(canvas, &tile, &layout, place, scratch);
                    first += PLANES;
                }
                left += columns;
            }
            row += piece_rows;
        }
    }

    /// Compute and store the values of one piece.
    #[inline(always)]
    fn piece<T: Pixel>(
        &self,
        canvas: &mut Canvas<'_, '_, T::Raw>,
        tile: &Tile,
        layout: &Layout,
        place: usize,
        scratch: &mut Scratch<T::Raw>,
    ) {
        let (kinds, own_pixels) = (self.draw.kinds, self.plan.spec().base == Base::Image);
        let salt_pepper = kinds.has(Kinds::SALT_PEPPER);
        if salt_pepper && self.draw.per_channel {
            for run in layout.runs() {
                self.field.salt_pepper(&mut scratch.hits[run.range()], run.group, self.draw.salt_pepper);
            }
        } else if salt_pepper {
            let run = Run::new(0, place, layout.count);
            self.field.salt_pepper(&mut scratch.hits[run.range()], run.group, self.draw.salt_pepper);
        }
        let hits_at = |plane: &Range<usize>| {
            if self.draw.per_channel { plane.clone() } else { place % GROUP..place % GROUP + layout.count }
        };
        if own_pixels && kinds.0 == Kinds::SALT_PEPPER {
            for (channel, plane) in layout.planes() {
                let hits = &mut scratch.hits[hits_at(&plane)];
                canvas.zip(tile, channel, hits, |pixel, hit| {
                    if !hit.is_nan() {
                        *pixel = self.encode::<T>(*hit);
                    }
                });
            }
            return;
        }
        for (channel, plane) in layout.planes() {
            let values = &mut scratch.values[plane];
            if own_pixels {
                let (low, scale) = (self.range.0, 1.0 / (self.range.1 - self.range.0));
                canvas.zip(tile, channel, values, |pixel, v| *v = (T::decode(*pixel) - low) * scale);
            } else {
                values.fill(self.draw.base(self.plan, channel));
            }
        }
        if kinds.has(Kinds::POISSON) {
            self.poisson(layout, scratch);
        }
        for run in layout.runs() {
            let values = &mut scratch.values[run.range()];
            if kinds.has(Kinds::GAUSSIAN) {
                self.field.add_gaussian(values, run.group, self.draw.gaussian);
            }
            if kinds.has(Kinds::LAPLACE) {
                self.field.add_laplace(values, run.group, self.draw.laplace);
            }
        }
        for (channel, plane) in layout.planes() {
            let encoded = &mut scratch.encoded[plane.clone()];
            let values = &scratch.values[plane.clone()];
            if salt_pepper {
                let hits = &scratch.hits[hits_at(&plane)];
                for ((out, v), hit) in encoded.iter_mut().zip(values).zip(hits) {
                    *out = self.encode::<T>(if hit.is_nan() { *v } else { *hit });
                }
            } else {
                for (out, v) in encoded.iter_mut().zip(values) {
                    *out = self.encode::<T>(*v);
                }
            }
            canvas.store(tile, channel, encoded);
        }
    }

    /// Clip, scale and round once.
    #[inline(always)]
    fn encode<T: Pixel>(&self, v: f32) -> T::Raw {
        let (low, high) = self.range;
        T::encode(clip(v).mul_add(high - low, low))
    }

    /// Shot or additive Poisson noise.
    #[inline(always)]
    fn poisson<R>(&self, layout: &Layout, scratch: &mut Scratch<R>) {
        let draw = self.draw;
        let (peak, strength) = draw.poisson;
        let gain = if draw.additive { strength / peak.sqrt() } else { 1.0 / peak };
        for run in layout.runs() {
            self.field.poisson_words(Layer::Poisson, &mut scratch.words[run.range()], run.group);
        }
        let tables = &self.plan.poisson[draw.poisson_entry];
        if matches!(tables, PoissonTables::Grid(_)) {
            for run in layout.runs() {
                self.field.poisson_words(Layer::PoissonRest, &mut scratch.rest[run.range()], run.group);
            }
        }
        for (channel, plane) in layout.planes() {
            let (words, rest) = (&scratch.words[plane.clone()], &scratch.rest[plane.clone()]);
            let (values, counts) = (&mut scratch.values[plane.clone()], &mut scratch.counts[..plane.len()]);
            match tables {
                PoissonTables::Unused => unreachable!("a box with Poisson noise names a Poisson entry"),
                PoissonTables::Fixed(tables) => {
                    let rate = if draw.additive { peak } else { peak * draw.base(self.plan, channel) };
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
}

/// A rectangle of pixels within a canvas.
struct Tile {
    top: usize,
    left: usize,
    rows: usize,
    columns: usize,
}

/// The pixels of a band, (C, H, W), by how they lie in memory.
enum Canvas<'a, 'v, R> {
    /// Plane after plane, row after row: the pixels, the number of planes, the places of a plane and of a row.
    Planar(&'a mut [R], usize, usize, usize),
    /// Row after row, the channels of a pixel side by side: the pixels, the number of channels, the pixels of a row.
    Interleaved(&'a mut [R], usize, usize),
    /// Any other way.
    View(&'a mut ArrayViewMut3<'v, R>),
}

impl<'a, 'v, R: Copy> Canvas<'a, 'v, R> {
    fn new(band: &'a mut ArrayViewMut3<'v, R>) -> Self {
        let (channels, height, width) = band.dim();
        if band.is_standard_layout() {
            let pixels = band.as_slice_mut().expect("a standard layout is a slice");
            return Self::Planar(pixels, channels, height * width, width);
        }
        let interleaved = [1, width * channels, channels].map(usize::cast_signed);
        if channels > 1 && height > 1 && width > 1 && band.strides() == interleaved {
            let pixels = band.as_slice_memory_order_mut().expect("interleaved rows are contiguous");
            return Self::Interleaved(pixels, channels, width);
        }
        Self::View(band)
    }

    fn channels(&self) -> usize {
        match self {
            Self::Planar(_, channels, _, _) | Self::Interleaved(_, channels, _) => *channels,
            Self::View(band) => band.dim().0,
        }
    }

    /// Overwrite one channel of a tile.
    #[inline(always)]
    fn store(&mut self, tile: &Tile, channel: usize, values: &mut [R]) {
        if let Self::Planar(pixels, _, plane, width) = self {
            for (i, y) in (tile.top..tile.top + tile.rows).enumerate() {
                let row = &mut pixels[channel * *plane + y * *width + tile.left..][..tile.columns];
                copy_row(row, &values[i * tile.columns..][..tile.columns]);
            }
        } else {
            self.zip(tile, channel, values, |pixel, v| *pixel = *v);
        }
    }

    /// Visit the pixels of one channel of a tile together with as many values.
    #[inline(always)]
    fn zip<V>(&mut self, tile: &Tile, channel: usize, values: &mut [V], visit: impl Fn(&mut R, &mut V)) {
        match self {
            Self::Planar(pixels, _, plane, width) => {
                zip_rows(&mut pixels[channel * *plane..][..*plane], *width, tile, values, visit);
            }
            Self::Interleaved(pixels, channels, width) => {
                for (i, y) in (tile.top..tile.top + tile.rows).enumerate() {
                    let values = &mut values[i * tile.columns..][..tile.columns];
                    let row = &mut pixels[(y * *width + tile.left) * *channels..][..tile.columns * *channels];
                    for (pixel, v) in row.chunks_exact_mut(*channels).zip(values) {
                        visit(&mut pixel[channel], v);
                    }
                }
            }
            Self::View(band) => {
                let width = band.dim().2;
                let mut plane = band.index_axis_mut(Axis(0), channel);
                if let Some(pixels) = plane.as_slice_mut() {
                    zip_rows(pixels, width, tile, values, visit);
                    return;
                }
                plane.slice_axis_inplace(Axis(0), Slice::from(tile.top..tile.top + tile.rows));
                plane.slice_axis_inplace(Axis(1), Slice::from(tile.left..tile.left + tile.columns));
                for (pixel, v) in plane.iter_mut().zip(values) {
                    visit(pixel, v);
                }
            }
        }
    }
}

/// Copy a row that is often short: eight at a time, the last eight over again where the length is no multiple.
#[inline(always)]
fn copy_row<R: Copy>(row: &mut [R], values: &[R]) {
    const STEP: usize = 8;
    let n = row.len();
    if n < STEP {
        for (pixel, v) in row.iter_mut().zip(values) {
            *pixel = *v;
        }
        return;
    }
    let (whole, _) = row.as_chunks_mut::<STEP>();
    for (to, from) in whole.iter_mut().zip(values.as_chunks::<STEP>().0) {
        *to = *from;
    }
    if let (Some(to), Some(from)) = (row.last_chunk_mut::<STEP>(), values.last_chunk::<STEP>()) {
        *to = *from;
    }
}

#[inline(always)]
fn zip_rows<R, V>(plane: &mut [R], width: usize, tile: &Tile, values: &mut [V], visit: impl Fn(&mut R, &mut V)) {
    for (i, y) in (tile.top..tile.top + tile.rows).enumerate() {
        let values = &mut values[i * tile.columns..][..tile.columns];
        let row = &mut plane[y * width + tile.left..][..tile.columns];
        for (pixel, v) in row.iter_mut().zip(values) {
            visit(pixel, v);
        }
    }
}
