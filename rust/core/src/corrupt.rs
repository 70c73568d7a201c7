//! The batch driver: draw all boxes, then copy and fill bands of images side by side.
//!
//! A box is filled in pieces of some rows. For each piece a buffer runs through base, shot noise, Gaussian, Laplace and additive
//! Poisson noise, salt and pepper, and one clip and rounding at the end (the order of superimposed kinds). Values are
//! indexed by their place in the box, n = (channel · height + row) · width + column; salt and pepper that hit all
//! channels alike use channel 0.

use ndarray::{ArrayView3, ArrayView4, ArrayViewMut2, ArrayViewMut3, ArrayViewMut4, Axis, Slice};
use rayon::prelude::*;

use crate::Error;
use crate::boxes::{BoxDraw, Kinds, check_size, draw_image};
use crate::noise::{Field, Level, PEPPER, SALT};
use crate::philox::{GROUP, Layer};
use crate::pixel::{Pixel, clip};
use crate::pool::{available_threads, pool};
use crate::spec::{Base, Plan, PoissonTables};

/// Values that a buffer holds besides the rest of its first group.
const PIECE: usize = 2048;
const BUFFER: usize = PIECE + 2 * GROUP;

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
    for (image, &key) in index.keys.iter().enumerate() {
        draw_image(plan, image, (height, width), index.seed, key, &mut boxes);
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
        for (image, band) in dst.axis_iter_mut(Axis(0)).enumerate() {
            job.band::<T>(image, 0, band, src.map(|s| s.index_axis(Axis(0), image)));
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
        bands.into_par_iter().for_each(|(image, top, band)| {
            let bottom = top + band.dim().1;
            let rows = Slice::from(top..bottom);
            job.band::<T>(image, top, band, src.map(|s| s.index_axis(Axis(0), image).slice_axis_move(Axis(1), rows)));
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
    ) {
        if let Some(src) = src {
            copy::<T>(&mut dst, &src);
        }
        let first = self.boxes.partition_point(|b| (b.image as usize) < image);
        let bottom = top + dst.dim().1;
        for draw in self.boxes[first..].iter().take_while(|b| b.image as usize == image) {
            let (y, end) = (draw.y as usize, (draw.y + draw.height) as usize);
            let (y, end) = (y.max(top), end.min(bottom));
            if y < end {
                let field = Field::new(self.index.seed, self.index.keys[image], draw);
                let painter = Painter { plan: self.plan, draw, field, range: self.range };
                let mut pixels = dst.slice_axis_mut(Axis(1), Slice::from(y - top..end - top));
                pixels.slice_axis_inplace(Axis(2), Slice::from(draw.x as usize..(draw.x + draw.width) as usize));
                let row = y - draw.y as usize;
                self.level.run(
                    #[inline(always)]
                    || painter.paint::<T>(&mut pixels, row),
                );
            }
        }
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

/// Fills one box.
struct Painter<'a> {
    plan: &'a Plan,
    draw: &'a BoxDraw,
    field: Field,
    range: (f32, f32),
}

impl Painter<'_> {
    /// Fill rows of the box, beginning with its row `first`.
    #[inline(always)]
    fn paint<T: Pixel>(&self, pixels: &mut ArrayViewMut3<'_, T::Raw>, first: usize) {
        let (channels, rows, width) = pixels.dim();
        let (height, own_pixels) = (self.draw.height as usize, self.plan.spec().base == Base::Image);
        let rows_per_piece = (PIECE / width).max(1);
        // A row wider than the buffer is filled in pieces of columns.
        let columns_per_piece = width.min(PIECE);
        for piece in (0..rows).step_by(rows_per_piece) {
            let piece_rows = rows_per_piece.min(rows - piece);
            for left in (0..width).step_by(columns_per_piece) {
                let columns = columns_per_piece.min(width - left);
                let count = piece_rows * columns;
                let place = (first + piece) * width + left;
                let mut hits = Hits::new();
                for channel in 0..channels {
                    let mut part = pixels.index_axis_mut(Axis(0), channel);
                    part.slice_axis_inplace(Axis(0), Slice::from(piece..piece + piece_rows));
                    part.slice_axis_inplace(Axis(1), Slice::from(left..left + columns));
                    let start = channel * height * width + place;
                    let mut values = Values::new(start, count);
                    self.base::<T>(&mut values, &part, channel, own_pixels);
                    self.noise(&mut values, channel);
                    if self.draw.kinds.has(Kinds::SALT_PEPPER) {
                        if channel == 0 || self.draw.per_channel {
                            hits.draw(
                                &self.field,
                                if self.draw.per_channel { start } else { place },
                                count,
                                self.draw.salt_pepper,
                            );
                        }
                        if own_pixels && self.draw.kinds.0 == Kinds::SALT_PEPPER {
                            self.store_hits::<T>(&mut part, hits.get());
                            continue;
                        }
                        strike(values.get_mut(), hits.get());
                    }
                    self.store::<T>(&mut part, values.get());
                }
            }
        }
    }

    /// The base in units of the value range.
    #[inline(always)]
    fn base<T: Pixel>(&self, values: &mut Values, part: &ArrayViewMut2<'_, T::Raw>, channel: usize, own_pixels: bool) {
        if own_pixels {
            let (low, high) = self.range;
            let scale = 1.0 / (high - low);
            for (v, pixel) in values.get_mut().iter_mut().zip(part.iter()) {
                *v = (T::decode(*pixel) - low) * scale;
            }
        } else {
            values.get_mut().fill(self.draw.base(self.plan, channel));
        }
    }

    /// Shot noise, then the sum of Gaussian, Laplace and additive Poisson noise.
    #[inline(always)]
    fn noise(&self, values: &mut Values, channel: usize) {
        let draw = self.draw;
        if draw.kinds.has(Kinds::POISSON) {
            self.poisson(values, channel);
        }
        if draw.kinds.has(Kinds::GAUSSIAN) {
            let (v, first) = values.groups();
            self.field.add_gaussian(v, first, draw.gaussian);
        }
        if draw.kinds.has(Kinds::LAPLACE) {
            let (v, first) = values.groups();
            self.field.add_laplace(v, first, draw.laplace);
        }
    }

    #[inline(always)]
    fn poisson(&self, values: &mut Values, channel: usize) {
        let draw = self.draw;
        let (peak, strength) = draw.poisson;
        let mut words = [0; BUFFER];
        let (groups, first) = values.groups();
        let words = &mut words[..groups.len()];
        self.field.poisson_words(Layer::Poisson, words, first);
        let gain = if draw.additive { strength / peak.sqrt() } else { 1.0 / peak };
        let finish = |v: f32, k: u32| if draw.additive { gain.mul_add(k as f32 - peak, v) } else { k as f32 * gain };
        match &self.plan.poisson[draw.poisson_entry] {
            PoissonTables::Unused => unreachable!("a box with Poisson noise names a Poisson entry"),
            PoissonTables::Fixed(tables) => {
                let rate = if draw.additive { peak } else { peak * draw.base(self.plan, channel) };
                let (_, table) = tables.iter().find(|(r, _)| *r == rate).expect("every flat rate has its table");
                for (v, w) in groups.iter_mut().zip(words.iter()) {
                    *v = finish(*v, table.draw(*w));
                }
            }
            PoissonTables::Grid(grid) => {
                let mut rest = [0; BUFFER];
                let rest = &mut rest[..words.len()];
                self.field.poisson_words(Layer::PoissonRest, rest, first);
                for ((v, w), w_rest) in groups.iter_mut().zip(words.iter()).zip(rest.iter()) {
                    let rate = f64::from(if draw.additive { peak } else { peak * clip(*v) });
                    *v = finish(*v, grid.draw(rate, *w, *w_rest));
                }
            }
        }
    }

    /// Clip, scale and round once.
    #[inline(always)]
    fn store<T: Pixel>(&self, part: &mut ArrayViewMut2<'_, T::Raw>, values: &[f32]) {
        let (low, high) = self.range;
        let span = high - low;
        let columns = part.dim().1;
        for (mut row, values) in part.rows_mut().into_iter().zip(values.chunks_exact(columns)) {
            if let Some(row) = row.as_slice_mut() {
                for (pixel, v) in row.iter_mut().zip(values) {
                    *pixel = T::encode(clip(*v).mul_add(span, low));
                }
            } else {
                for (pixel, v) in row.iter_mut().zip(values) {
                    *pixel = T::encode(clip(*v).mul_add(span, low));
                }
            }
        }
    }

    /// Salt and pepper alone on the image's own pixels: what is not hit keeps its bits.
    #[inline(always)]
    fn store_hits<T: Pixel>(&self, part: &mut ArrayViewMut2<'_, T::Raw>, hits: &[u8]) {
        let (low, high) = (T::encode(self.range.0), T::encode(self.range.1));
        for (pixel, hit) in part.iter_mut().zip(hits) {
            match *hit {
                SALT => *pixel = high,
                PEPPER => *pixel = low,
                _ => {}
            }
        }
    }
}

/// Salt becomes 1, pepper 0.
#[inline(always)]
fn strike(values: &mut [f32], hits: &[u8]) {
    for (v, hit) in values.iter_mut().zip(hits) {
        *v = match *hit {
            SALT => 1.0,
            PEPPER => 0.0,
            _ => *v,
        };
    }
}

/// Values `start..start + count` of a stream, in a buffer that begins with their first whole group.
struct Values {
    buffer: [f32; BUFFER],
    start: usize,
    count: usize,
}

impl Values {
    #[inline(always)]
    fn new(start: usize, count: usize) -> Self {
        Self { buffer: [0.0; BUFFER], start, count }
    }

    /// The values asked for.
    #[inline(always)]
    fn get(&self) -> &[f32] {
        &self.buffer[self.start % GROUP..][..self.count]
    }

    #[inline(always)]
    fn get_mut(&mut self) -> &mut [f32] {
        &mut self.buffer[self.start % GROUP..][..self.count]
    }

    /// All groups that hold them, and the number of the first.
    #[inline(always)]
    fn groups(&mut self) -> (&mut [f32], usize) {
        let length = (self.start % GROUP + self.count).next_multiple_of(GROUP);
        (&mut self.buffer[..length], self.start / GROUP)
    }
}

/// Salt-and-pepper hits of a piece.
struct Hits {
    buffer: [u8; BUFFER],
    offset: usize,
    count: usize,
}

impl Hits {
    #[inline(always)]
    fn new() -> Self {
        Self { buffer: [0; BUFFER], offset: 0, count: 0 }
    }

    #[inline(always)]
    fn draw(&mut self, field: &Field, start: usize, count: usize, probabilities: (f32, f32)) {
        self.offset = start % GROUP;
        self.count = count;
        let length = (self.offset + count).next_multiple_of(GROUP);
        field.salt_pepper(&mut self.buffer[..length], start / GROUP, probabilities);
    }

    #[inline(always)]
    fn get(&self) -> &[u8] {
        &self.buffer[self.offset..][..self.count]
    }
}
