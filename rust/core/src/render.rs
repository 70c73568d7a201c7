//! Pixels: copies and fills bands of images side by side.
//!
//! A box is filled in pieces of some rows. For each piece a buffer runs through base, shot noise, Gaussian, Laplace and additive
//! Poisson noise, salt and pepper, and one clip and rounding at the end (the order of superimposed kinds). Values are
//! indexed by their place in the box, n = (channel · height + row) · width + column; salt and pepper that hit all
//! channels alike use channel 0.

mod blend;
mod canvas;
mod copy;
mod cover;
mod flat;
mod marks;
mod overlay;
mod paint;
mod piece;

use std::ops::Range;

use half::{bf16, f16};
use ndarray::{ArrayView3, ArrayView4, ArrayViewMut2, ArrayViewMut3, ArrayViewMut4, Axis, Slice};

use crate::Error;
use crate::geometry::{BoxDraw, Index};
use crate::noise::Field;
use crate::pixel::Pixel;
use crate::pool::Crew;
use crate::rng::{self, Keys};
use crate::simd::{Lanes, Level, Work};
use crate::spec::Plan;

use canvas::Canvas;
use flat::Flat;
use overlay::Overlay;
use paint::Painter;
use piece::Scratch;

pub(crate) use cover::covers;
pub use marks::{Marks, mark_places};

/// The memory of a batch, of shape (N, C, H, W).
///
/// ```
/// use ndarray::Array4;
/// use unblot_core::{Corruption, Images, Index, Plan, Spec};
///
/// # fn main() -> Result<(), unblot_core::Error> {
/// let plan = Plan::new(Spec::default())?;
/// let clean = Array4::<f32>::zeros((1, 1, 32, 32));
/// let (mut noisy, mut own) = (clean.clone(), clean.clone());
/// let corruption = Corruption::new(&plan, Index { seed: 1, keys: &[0] });
/// corruption.run::<f32>(Images::copied(&clean.view(), noisy.view_mut()))?;
/// corruption.run::<f32>(Images::in_place(own.view_mut()))?;
/// assert!(noisy == own && noisy != clean);
/// # Ok(())
/// # }
/// ```
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

    /// Whether its parts, and so many keys, fit each other.
    pub(crate) fn check(&self, keys: usize) -> Result<(), Error> {
        let Self { dst, src, marks } = self;
        let (images, _, height, width) = dst.dim();
        if keys != images || src.is_some_and(|s| s.dim() != dst.dim()) {
            let from = src.map(ArrayView4::dim);
            return Err(Error::Image(format!("{keys} keys and source {from:?} for images {:?}", dst.dim())));
        }
        if let Some(marks) = marks
            && marks.mask.dim() != (images, height, width)
        {
            return Err(Error::Image(format!("a mask {:?} for images {:?}", marks.mask.dim(), dst.dim())));
        }
        Ok(())
    }

    /// Images, channels, rows and columns.
    pub(crate) fn dim(&self) -> (usize, usize, usize, usize) {
        self.dst.dim()
    }

    /// Values of all pixels.
    pub(crate) fn len(&self) -> usize {
        self.dst.len()
    }
}

/// What is to be rendered, and by what.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    pub plan: &'a Plan,
    pub boxes: &'a [BoxDraw],
    pub range: (f32, f32),
    pub index: Index<'a>,
    pub level: Level,
}

impl Job<'_> {
    /// Render a batch whose parts fit each other.
    fn render<T: Pixel>(&self, batch: Images<'_, '_, T::Raw>, crew: &Crew) {
        let Images { mut dst, src, mut marks } = batch;
        let (images, _, height, _) = dst.dim();
        let threshold = marks.as_ref().map_or(0.0, |marks| marks.threshold);
        let mut masks: Vec<_> =
            marks.iter_mut().flat_map(|marks| marks.mask.axis_iter_mut(Axis(0)).map(Some)).collect();
        masks.resize_with(images, || None);
        let clean = src.map_or_else(|| dst.view(), |s| s.view());
        let overlays = Overlay::all(self.plan, self.boxes, &clean, self.index, self.level, crew);
        let all = Bands { job: self, overlays: &overlays, keys: rng::keys(self.index.seed), threshold };
        // Each image is a band; where there are few of them, each is cut into enough bands that no thread waits long for the last.
        let threads = crew.threads();
        let bands_per_image = if threads == 1 { 1 } else { (16 * threads).div_ceil(images.max(1)) };
        let rows = height.div_ceil(bands_per_image).max(16);
        let mut bands = Vec::with_capacity(images * height.div_ceil(rows));
        let mut drawn = 0;
        for (image, (whole, mut mask)) in dst.axis_iter_mut(Axis(0)).zip(masks).enumerate() {
            let own = drawn..drawn + self.boxes[drawn..].iter().take_while(|b| b.image as usize == image).count();
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
            all.band::<T>(&part, band, src, mask, scratch);
        });
    }
}

/// A pixel type that can be rendered: u8, f16, bf16 and f32.
///
/// The code of each is long, with a copy for each [`Level`]. It is compiled in this crate, once, and not in every crate that calls it.
pub trait Rendered: Pixel {
    /// Render a batch whose parts fit each other.
    #[doc(hidden)]
    fn render(job: &Job<'_>, batch: Images<'_, '_, Self::Raw>, crew: &Crew);
}

macro_rules! rendered {
    ($($pixel:ty),*) => {$(
        impl Rendered for $pixel {
            fn render(job: &Job<'_>, batch: Images<'_, '_, Self::Raw>, crew: &Crew) {
                job.render::<Self>(batch, crew);
            }
        }
    )*};
}
rendered!(u8, f16, bf16, f32);

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
struct Bands<'a, R> {
    job: &'a Job<'a>,
    /// For each box, or none at all.
    overlays: &'a [Option<Overlay<R>>],
    /// Those of the seed.
    keys: Keys,
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

impl<R: Copy + Send + Sync> Bands<'_, R> {
    /// Copy a band of rows, fill the parts of the image's boxes that lie in it, and mark what changed.
    fn band<T: Pixel<Raw = R>>(
        &self,
        part: &Part,
        mut dst: ArrayViewMut3<'_, R>,
        src: Option<ArrayView3<'_, R>>,
        mask: Option<ArrayViewMut2<'_, u8>>,
        scratch: &mut Scratch<R>,
    ) {
        let boxes = &self.job.boxes[part.boxes.clone()];
        if let Some(src) = &src {
            // What is blended with the pixels below, or made of them, needs them.
            let opaque = self.overlays.is_empty() && !boxes.iter().any(|b| b.on_image(self.job.plan));
            copy::copy(&mut dst, src, if opaque { boxes } else { &[] }, part.top);
        }
        let Some(mut mask) = mask else {
            return self.fill::<T>(part, &mut dst, scratch);
        };
        let own = src.is_none().then(|| dst.to_owned());
        self.fill::<T>(part, &mut dst, scratch);
        if let Some(before) = src.or(own.as_ref().map(|own| own.view())) {
            let least = self.threshold * (self.job.range.1 - self.job.range.0);
            marks::mark::<T>(&mut mask, &before, &dst, boxes.iter(), part.top, least);
        }
    }

    /// Fill the parts of the image's boxes that lie in a band.
    fn fill<T: Pixel<Raw = R>>(&self, part: &Part, dst: &mut ArrayViewMut3<'_, R>, scratch: &mut Scratch<R>) {
        self.job.level.run_with_words(Fill::<T> { bands: self, part, dst, scratch });
    }
}

/// See [`Bands::fill`].
struct Fill<'a, 'v, T: Pixel> {
    bands: &'a Bands<'a, T::Raw>,
    part: &'a Part,
    dst: &'a mut ArrayViewMut3<'v, T::Raw>,
    scratch: &'a mut Scratch<T::Raw>,
}

impl<T: Pixel> Work for Fill<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self { bands, part, dst, scratch } = self;
        let job = bands.job;
        let (top, bottom) = (part.top, part.top + dst.dim().1);
        let mut canvas = Canvas::new(dst);
        for i in part.boxes.clone() {
            let draw = &job.boxes[i];
            let (y, end) = (draw.y as usize, (draw.y + draw.height) as usize);
            let (from, to) = (y.max(top), end.min(bottom));
            if from < to {
                let field = Field::new(lanes, &bands.keys, job.index.keys[part.image], draw.number);
                let painter = Painter { plan: job.plan, draw, field, range: job.range };
                let (start, rows) = (from - top, from - y..to - y);
                let overlay = bands.overlays.get(i).and_then(Option::as_ref);
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
