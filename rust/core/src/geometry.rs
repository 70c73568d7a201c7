//! Draws the boxes of an image: total area, number, shares, ratios and positions (patent, paragraphs 15 to 19 and 28 to 32).
//!
//! The promise for boxes that lie inside and, where so asked, apart: their areas sum to the drawn target within
//! [`tolerance`], half the shorter side of the largest box. Whole pixels make that gap, and the largest box, which is shaped last,
//! takes up what rounding left over from the others. Where a ratio does not fit, its range is
//! intersected with what fits or the box is split; where boxes do not fit side by side, they are reshaped to the free rectangles
//! that are left. Every loop is bounded.

mod boxes;
mod content;
mod free;
mod rect;
mod sequence;
mod size;

use crate::Error;
use crate::rng;
use crate::simd::{Lanes, Level, Work};
use crate::spec::{BOXES_MAX, Base, Overlap, Placement, Plan, RatioPer, Shape};

pub use boxes::{BoxDraw, Kinds, Patch};

use content::{Batch, fill};
use free::Free;
use rect::{Rect, position};
use sequence::Sequence;
use size::{Part, choose_shape, densest, must_split, shape, share, split_largest, tolerance};

/// Positions tried for a box before it is reshaped to a free rectangle.
const TRIES: usize = 64;

/// Boxes up to which a place is compared with each of them.
const FEW: usize = 24;

/// By what the images of a batch are drawn.
///
/// ```
/// use unblot_core::{Corruption, Index, Plan, Spec};
///
/// # fn main() -> Result<(), unblot_core::Error> {
/// // An image with the key 7 gets the same boxes wherever it stands.
/// let plan = Plan::new(Spec::default())?;
/// let drawn = |keys| Corruption::new(&plan, Index { seed: 1, keys }).draw((64, 64), 3);
/// let (alone, second) = (drawn(&[7])?, drawn(&[5, 7])?);
/// let places = |boxes: &[unblot_core::BoxDraw]| boxes.iter().map(|b| (b.y, b.x)).collect::<Vec<_>>();
/// assert_eq!(places(&alone), places(&second[second.len() - alone.len()..]));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Index<'a> {
    /// The seed of everything random.
    pub seed: u64,
    /// A number for each image, by which it comes out the same in any batch.
    pub keys: &'a [u64],
}

/// Whether to stop.
pub(crate) type Stop<'a> = &'a (dyn Fn() -> bool + Sync);

/// Boxes and images that are drawn between two questions whether to stop: a few milliseconds.
const ASK_AFTER: usize = 1024;

/// Draw the boxes of a batch: in image order, then in drawing order.
pub(crate) fn draw(
    plan: &Plan,
    (height, width): (usize, usize),
    channels: usize,
    index: Index<'_>,
    stop: Stop<'_>,
) -> Result<Vec<BoxDraw>, Error> {
    check_size(plan, height, width, channels)?;
    Level::best().run_with_words(DrawAll { plan, size: (height, width), index, stop })
}

/// The boxes of all images.
struct DrawAll<'a> {
    plan: &'a Plan,
    size: (usize, usize),
    index: Index<'a>,
    stop: Stop<'a>,
}

impl Work for DrawAll<'_> {
    type Output = Result<Vec<BoxDraw>, Error>;

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) -> Self::Output {
        let Self { plan, size, index: Index { seed, keys }, stop } = self;
        let seed_keys = rng::keys(seed);
        let mut boxes = Vec::with_capacity(keys.len() * plan.spec().num_boxes.1.min(8));
        let mut drawer = Drawer::new(plan, keys.len());
        let mut ask_at = ASK_AFTER;
        for (image, &key) in keys.iter().enumerate() {
            let random = &mut Sequence::new(lanes, &seed_keys, key);
            drawer.draw(image, size, random, &mut boxes);
            if image + boxes.len() >= ask_at {
                if stop() {
                    return Err(Error::Stopped);
                }
                ask_at = image + boxes.len() + ASK_AFTER;
            }
        }
        Ok(boxes)
    }
}

/// Draws the boxes of one image after the other, in buffers that serve them all.
struct Drawer<'a> {
    plan: &'a Plan,
    /// Images in the batch.
    images: usize,
    areas: Vec<f64>,
    parts: Vec<Part>,
    pieces: Vec<Part>,
    sizes: Vec<(usize, usize, Shape)>,
    rects: Vec<Rect>,
    /// The shape in each of them.
    shapes: Vec<Shape>,
    /// What they leave, as far as that was asked.
    free: Free,
}

impl<'a> Drawer<'a> {
    fn new(plan: &'a Plan, images: usize) -> Self {
        let (areas, parts, pieces, sizes, rects, shapes) = (vec![], vec![], vec![], vec![], vec![], vec![]);
        Self { plan, images, areas, parts, pieces, sizes, rects, shapes, free: Free::default() }
    }

    /// Draw the boxes of one image from its words and append them to `out`.
    #[inline(always)]
    fn draw(&mut self, image: usize, (height, width): (usize, usize), random: &mut Sequence, out: &mut Vec<BoxDraw>) {
        if random.unit() >= self.plan.spec.p {
            return;
        }
        self.rects.clear();
        self.shapes.clear();
        if self.plan.spec.full {
            self.rects.push(Rect { y: 0, x: 0, h: height, w: width });
            self.shapes.push(Shape::Rectangle);
        } else {
            self.place(random, height, width);
        }
        let batch = Batch { images: self.images, height, width };
        for (number, (rect, shape)) in self.rects.iter().zip(&self.shapes).enumerate() {
            out.push(fill(self.plan, random, batch, image, number, (*rect, *shape)));
        }
    }

    /// Shapes and positions of one image's boxes, into `rects`.
    #[inline(always)]
    fn place(&mut self, random: &mut Sequence, height: usize, width: usize) {
        let spec = &self.plan.spec;
        let pixels = (height * width) as f64;
        // Never less than one pixel a box, never more than the image.
        let target = (random.range(spec.scale) * pixels).clamp(spec.num_boxes.0 as f64, pixels);
        let most = spec.num_boxes.1.min(target as usize);
        let number = spec.num_boxes.0 + random.below(most - spec.num_boxes.0 + 1);
        share(spec.area_split, random, target, number, &mut self.areas);
        self.parts.clear();
        self.parts.extend(self.areas.iter().map(|&area| Part { area, shape: choose_shape(spec, random) }));
        self.shape_all(random, height, width);

        // Largest first: what is hard to place is placed while there is room.
        self.free.clear();
        let size = (height, width);
        for i in (0..self.sizes.len()).rev() {
            let (h, w, shape) = self.sizes[i];
            match self.try_places(random, (h, w), size) {
                Some(rect) => self.rects.push(rect),
                None => self.squeeze(random, (h * w) as f64, size),
            }
            self.shapes.resize(self.rects.len(), shape);
        }
        if spec.placement == Placement::Inside && spec.overlap == Overlap::Forbid {
            let covered = self.rects.iter().zip(&self.shapes).map(|(rect, shape)| shape.pixels(rect.area()));
            let missing = target - covered.sum::<usize>() as f64;
            if missing > tolerance(target) {
                let part = Part { area: missing, shape: densest(spec) };
                self.squeeze(random, part.room(), size);
                self.shapes.resize(self.rects.len(), part.shape);
            }
            split_largest(&mut self.rects, &mut self.shapes, spec.num_boxes.0);
        }
    }

    /// The first of some random positions that is free.
    #[inline(always)]
    fn try_places(&mut self, random: &mut Sequence, (h, w): (usize, usize), size: (usize, usize)) -> Option<Rect> {
        let Self { plan, rects, free, .. } = self;
        let spec = &plan.spec;
        let many = rects.len() > FEW && spec.overlap == Overlap::Forbid;
        if many {
            free.follow(size, rects);
        }
        (0..TRIES).find_map(|_| {
            let rect = position(spec.placement, random, (h, w), size);
            let fits = spec.overlap == Overlap::Allow
                || if many { free.has(rect) } else { rects.iter().filter(|r| r.overlaps(rect)).count() == 0 };
            fits.then_some(rect)
        })
    }

    /// Put `area` pixels into what is free, in one box if a free rectangle holds it, else in several.
    ///
    /// Never more than the area and less by at most half the side of its square. Each turn fills a free rectangle or takes at least
    /// one pixel off the area, so it ends.
    fn squeeze(&mut self, random: &mut Sequence, area: f64, size: (usize, usize)) {
        let Self { plan, rects, free, .. } = self;
        let mut left = area;
        while left >= 1.0 && left > 0.5 * area.sqrt() {
            free.follow(size, rects);
            let Some(largest) = free.largest() else {
                return;
            };
            let rect = if largest.area() as f64 <= left {
                largest
            } else {
                let room = free.pick(left, random);
                let (h, w) = shape(plan, random.unit(), left, (room.h as f64, room.w as f64));
                let (mut h, mut w) = (h as usize, w as usize);
                if (h * w) as f64 > left {
                    *if h > w { &mut h } else { &mut w } -= 1;
                }
                let inner = position(Placement::Inside, random, (h, w), (room.h, room.w));
                Rect { y: room.y + inner.y, x: room.x + inner.x, h, w }
            };
            left -= rect.area() as f64;
            rects.push(rect);
        }
    }

    /// Whole heights and widths for the areas, smallest area first; the last, largest one takes up the rounding of the others.
    #[inline(always)]
    fn shape_all(&mut self, random: &mut Sequence, height: usize, width: usize) {
        let (plan, spec) = (self.plan, &self.plan.spec);
        let clip = spec.placement == Placement::Clip;
        let shared = (spec.ratio_per == RatioPer::Image).then(|| random.unit());
        self.pieces.clear();
        while let Some(part) = self.parts.pop() {
            // Thousands of slivers would take long to place; beyond the most boxes that can be asked for, ratios give way.
            let few = self.pieces.len() + self.parts.len() < BOXES_MAX;
            if few && !clip && must_split(spec.ratio, part.room(), height, width) {
                self.parts.extend([Part { area: part.area / 2.0, ..part }; 2]);
            } else {
                self.pieces.push(part);
            }
        }
        self.pieces.sort_unstable_by(|a, b| a.room().total_cmp(&b.room()));
        self.sizes.clear();
        // In a clipped box the patent's numbers stand as they are drawn; the cut is made when it is placed.
        let room = if clip { (f64::from(u32::MAX), f64::from(u32::MAX)) } else { (height as f64, width as f64) };
        let mut carry = 0.0;
        for &Part { area, shape: kind } in &self.pieces {
            let unit = shared.unwrap_or_else(|| random.unit());
            let part = Part { area: (area + carry).max(1.0), shape: kind };
            let (h, w) = shape(plan, unit, part.room(), room);
            carry += area - kind.covered(h * w);
            self.sizes.push((h as usize, w as usize, kind));
        }
    }
}

/// Whether boxes can be drawn at all in images of this size.
fn check_size(plan: &Plan, height: usize, width: usize, channels: usize) -> Result<(), Error> {
    let spec = &plan.spec;
    if height * width * channels == 0 {
        return Err(Error::Image(format!(
            "images of {channels} x {height} x {width} have no pixels; give none instead"
        )));
    }
    if let Base::Levels(levels) = &spec.base
        && levels.len() != 1
        && levels.len() != channels
    {
        return Err(Error::Image(format!(
            "the base {levels:?} has {} numbers but the images have {channels} channels; give one number, or one for each channel",
            levels.len()
        )));
    }
    let most = spec.scale.1 * (height * width) as f64;
    if !spec.full && most < spec.num_boxes.0 as f64 {
        return Err(Error::Image(format!(
            "the scale ({}, {}) is at most {most:.2} pixels of a {height} x {width} image, too few for {} boxes of one pixel \
             or more each; raise scale, lower num_boxes or give larger images",
            spec.scale.0, spec.scale.1, spec.num_boxes.0
        )));
    }
    Ok(())
}
