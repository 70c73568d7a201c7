//! Draws the boxes of an image: total area, number, shares, ratios and positions (patent, paragraphs 15 to 19 and 28 to 32).
//!
//! The promise for boxes that lie inside and, where so asked, apart: their areas sum to the drawn target within
//! [`tolerance`], half the shorter side of the largest box. Whole pixels make that gap, and the largest box, which is shaped last,
//! takes up what rounding left over from the others. Where a ratio does not fit, its range is
//! intersected with what fits or the box is split; where boxes do not fit side by side, they are reshaped to the free rectangles
//! that are left. Every loop is bounded.

use crate::Error;
use crate::math::exp;
use crate::noise;
use crate::philox::Sequence;
use crate::spec::{
    AreaSplit, BOXES_MAX, Base, Mode, Noise, Overlap, Placement, Plan, PoissonMode, RatioPer, RatioSampling, Shape,
    Spec,
};

/// Positions tried for a box before it is reshaped to a free rectangle.
const TRIES: usize = 64;

/// Places tried for a patch until one lies beside its box.
const PATCH_TRIES: usize = 16;

/// A set of noise kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kinds(pub u8);

impl Kinds {
    /// Gaussian noise.
    pub const GAUSSIAN: u8 = 1;
    /// Salt-and-pepper noise.
    pub const SALT_PEPPER: u8 = 2;
    /// Poisson noise.
    pub const POISSON: u8 = 4;
    /// Laplace noise.
    pub const LAPLACE: u8 = 8;
    /// A pasted patch, which stands alone.
    pub const PASTE: u8 = 16;

    /// Whether the kind is in the set.
    #[must_use]
    pub fn has(self, kind: u8) -> bool {
        self.0 & kind != 0
    }
}

/// Where a pasted patch comes from and what becomes of it. The patch has the size of its box.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Patch {
    /// Position in the batch of the image that it is taken from.
    pub image: u32,
    /// Its top row there.
    pub y: u32,
    /// Its left column there.
    pub x: u32,
    /// Whether it is mirrored top to bottom.
    pub flip_y: bool,
    /// Whether it is mirrored left to right.
    pub flip_x: bool,
    /// Factor of its values.
    pub gain: f32,
    /// What is added to them, in units of the value range.
    pub offset: f32,
    /// Its share in the blend with the box's pixels.
    pub opacity: f32,
}

/// One drawn box with everything that its pixels depend on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoxDraw {
    /// Position of the image in the batch.
    pub image: u32,
    /// Number of the box within its image; part of the random index.
    pub number: u32,
    /// Top row.
    pub y: u32,
    /// Left column.
    pub x: u32,
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
    /// Which of its pixels are covered.
    pub shape: Shape,
    /// The noise kinds in it.
    pub kinds: Kinds,
    /// Whether Poisson noise is additive.
    pub additive: bool,
    /// Whether salt and pepper hit each channel on its own.
    pub per_channel: bool,
    /// Gaussian mean and sigma.
    pub gaussian: (f32, f32),
    /// Laplace mean and scale.
    pub laplace: (f32, f32),
    /// Probabilities of salt and of pepper.
    pub salt_pepper: (f32, f32),
    /// Poisson peak and strength.
    pub poisson: (f32, f32),
    /// What is pasted.
    pub patch: Patch,
    /// Entry of the noise list that Poisson tables are taken from.
    pub(crate) poisson_entry: usize,
    /// Level of a flat base that is the same for all channels; NaN where channels differ or the image's pixels are the base.
    pub(crate) level: f32,
}

impl BoxDraw {
    /// Base of one channel in [0, 1]; NaN where the image's own pixels are the base.
    #[must_use]
    pub fn base(&self, plan: &Plan, channel: usize) -> f32 {
        match &plan.spec().base {
            Base::Levels(levels) => levels[if levels.len() == 1 { 0 } else { channel }],
            _ => self.level,
        }
    }

    /// Whether the image's own pixels are the base.
    pub(crate) fn on_image(&self, plan: &Plan) -> bool {
        self.base(plan, 0).is_nan()
    }
}

/// A rectangle of whole pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rect {
    y: usize,
    x: usize,
    h: usize,
    w: usize,
}

impl Rect {
    fn area(self) -> usize {
        self.h * self.w
    }

    /// Whether they share a pixel; without a branch, as nobody can predict it.
    fn overlaps(self, other: Self) -> bool {
        let rows = [self.y < other.y + other.h, other.y < self.y + self.h];
        let columns = [self.x < other.x + other.w, other.x < self.x + self.w];
        [rows, columns] == [[true; 2]; 2]
    }

    /// The parts of `self` that `hole` leaves, as up to four disjoint rectangles.
    fn without(self, hole: Self) -> impl Iterator<Item = Self> {
        let (bottom, right) = (self.y + self.h, self.x + self.w);
        let (top_in, bottom_in) = (hole.y.max(self.y), (hole.y + hole.h).min(bottom));
        let (left_in, right_in) = (hole.x.max(self.x), (hole.x + hole.w).min(right));
        let rows = bottom_in - top_in;
        [
            Self { h: top_in - self.y, ..self },
            Self { y: bottom_in, h: bottom - bottom_in, ..self },
            Self { y: top_in, h: rows, w: left_in - self.x, ..self },
            Self { y: top_in, h: rows, x: right_in, w: right - right_in },
        ]
        .into_iter()
        .filter(|r| r.area() > 0)
    }
}

/// By how many pixels the summed area may miss its target.
fn tolerance(target: f64) -> f64 {
    0.5 * target.sqrt() + 0.5
}

/// Part of the area to cover, and the shape that covers it.
#[derive(Debug, Clone, Copy)]
struct Part {
    area: f64,
    shape: Shape,
}

impl Part {
    /// Area of the box that it takes.
    fn room(self) -> f64 {
        self.area / self.shape.share()
    }
}

/// Draws the boxes of one image after the other, in buffers that serve them all.
pub(crate) struct Drawer<'a> {
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
}

impl<'a> Drawer<'a> {
    pub(crate) fn new(plan: &'a Plan, images: usize) -> Self {
        let (areas, parts, pieces, sizes, rects, shapes) = (vec![], vec![], vec![], vec![], vec![], vec![]);
        Self { plan, images, areas, parts, pieces, sizes, rects, shapes }
    }

    /// Draw the boxes of one image from its words and append them to `out`.
    #[inline(always)]
    pub(crate) fn draw(
        &mut self,
        image: usize,
        (height, width): (usize, usize),
        random: &mut Sequence,
        out: &mut Vec<BoxDraw>,
    ) {
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
        let (plan, spec) = (self.plan, &self.plan.spec);
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
        for &(h, w, shape) in self.sizes.iter().rev() {
            let rects = &mut self.rects;
            let found = (0..TRIES).find_map(|_| {
                let rect = position(spec.placement, random, h, w, height, width);
                let free = spec.overlap == Overlap::Allow || rects.iter().filter(|r| r.overlaps(rect)).count() == 0;
                free.then_some(rect)
            });
            match found {
                Some(rect) => rects.push(rect),
                None => squeeze(plan, random, (h * w) as f64, (height, width), rects),
            }
            self.shapes.resize(self.rects.len(), shape);
        }
        if spec.placement == Placement::Inside && spec.overlap == Overlap::Forbid {
            let covered = self.rects.iter().zip(&self.shapes).map(|(rect, shape)| shape.pixels(rect.area()));
            let missing = target - covered.sum::<usize>() as f64;
            if missing > tolerance(target) {
                let part = Part { area: missing, shape: densest(spec) };
                squeeze(plan, random, part.room(), (height, width), &mut self.rects);
                self.shapes.resize(self.rects.len(), part.shape);
            }
            split_largest(&mut self.rects, &mut self.shapes, spec.num_boxes.0);
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
pub(crate) fn check_size(plan: &Plan, height: usize, width: usize, channels: usize) -> Result<(), Error> {
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
            "base={levels:?} has {} numbers but the images have {channels} channels; give one number, or one for each channel",
            levels.len()
        )));
    }
    let most = spec.scale.1 * (height * width) as f64;
    if !spec.full && most < spec.num_boxes.0 as f64 {
        return Err(Error::Image(format!(
            "scale=({}, {}) is at most {most:.2} pixels of a {height} x {width} image, too few for num_boxes={} of one pixel \
             or more each; raise scale, lower num_boxes or give larger images",
            spec.scale.0, spec.scale.1, spec.num_boxes.0
        )));
    }
    Ok(())
}

/// Halve the largest box until there are as many as asked: whole pixels may have left no room for the last ones.
fn split_largest(rects: &mut Vec<Rect>, shapes: &mut Vec<Shape>, fewest: usize) {
    while rects.len() < fewest {
        let largest = rects.iter_mut().zip(&*shapes).max_by_key(|(r, _)| r.area()).filter(|(r, _)| r.area() > 1);
        let Some((rect, &shape)) = largest else {
            return;
        };
        let Rect { y, x, h, w } = *rect;
        let second = if h > w {
            rect.h = h / 2;
            Rect { y: y + rect.h, x, h: h - rect.h, w }
        } else {
            rect.w = w / 2;
            Rect { y, x: x + rect.w, h, w: w - rect.w }
        };
        rects.push(second);
        shapes.push(shape);
    }
}

/// Areas of the boxes, each at least one pixel, summing to `target`.
#[inline(always)]
fn share(split: AreaSplit, random: &mut Sequence, target: f64, number: usize, areas: &mut Vec<f64>) {
    areas.clear();
    if split == AreaSplit::Equal || number == 1 {
        areas.resize(number, target / number as f64);
        return;
    }
    // The gaps between sorted uniform numbers have the flat Dirichlet distribution.
    areas.extend((1..number).map(|_| random.unit()));
    areas.push(1.0);
    areas.sort_unstable_by(f64::total_cmp);
    let spare = target - number as f64;
    let mut last = 0.0;
    for area in areas {
        let cut = *area;
        *area = 1.0 + spare * (cut - last);
        last = cut;
    }
}

/// Range of ratios that a box of this area can have within (h, w).
#[inline(always)]
fn fitting(area: f64, h: f64, w: f64) -> (f64, f64) {
    (area / (w * w), h * h / area)
}

/// Whether no ratio of the range fits and half the area would come closer.
#[inline(always)]
fn must_split(ratio: (f64, f64), area: f64, height: usize, width: usize) -> bool {
    let (low, high) = fitting(area, height as f64, width as f64);
    // A piece must be large enough to be at least one pixel wide and high at the asked ratio.
    let half = area / 2.0;
    half >= 1.0 && ((ratio.0 > high && half >= ratio.0) || (ratio.1 < low && half >= 1.0 / ratio.1))
}

/// Height and width, whole numbers, of about the given area, with a ratio from the range as far as it fits the room. Each box
/// waits for the rounding of the one before, so there is no way to integers and back here, and no branch that nobody can predict.
#[inline(always)]
fn shape(plan: &Plan, unit: f64, area: f64, (room_h, room_w): (f64, f64)) -> (f64, f64) {
    let (low, high) = fitting(area, room_h, room_w);
    let (r_low, r_high) = plan.spec.ratio;
    let ratio = if r_low > high {
        high
    } else if r_high < low {
        low
    } else {
        match plan.spec.ratio_sampling {
            RatioSampling::Uniform => r_low.max(low) + (r_high.min(high) - r_low.max(low)) * unit,
            RatioSampling::Log => {
                let (l, h) = plan.ratio_ln;
                let l = if low > r_low { crate::math::ln(low) } else { l };
                let h = if high < r_high { crate::math::ln(high) } else { h };
                exp(l + (h - l) * unit)
            }
        }
    };
    let (h, w) = ((area * ratio).sqrt(), (area / ratio).sqrt());
    let wide = h <= w;
    let (short, room_short, room_long) = if wide { (h, room_h, room_w) } else { (w, room_w, room_h) };
    // The shorter side is rounded first, up where the longer one would not fit: that one then misses the area by at most half of it.
    let least = (area / (room_long + 0.5)).ceil();
    let short = nearest(short).max(least).clamp(1.0, room_short);
    let long = nearest(area / short).clamp(1.0, room_long);
    if wide { (short, long) } else { (long, short) }
}

/// The nearest whole number of one that is not negative.
#[inline(always)]
fn nearest(x: f64) -> f64 {
    (x + 0.5).floor()
}

#[inline(always)]
fn position(placement: Placement, random: &mut Sequence, h: usize, w: usize, height: usize, width: usize) -> Rect {
    match placement {
        Placement::Inside => Rect { y: random.below(height - h + 1), x: random.below(width - w + 1), h, w },
        Placement::Clip => {
            let (y, x) = (random.below(height), random.below(width));
            Rect { y, x, h: h.min(height - y), w: w.min(width - x) }
        }
    }
}

/// Put `area` pixels into what is free, in one box if a free rectangle holds it, else in several.
///
/// Never more than the area and less by at most half the side of its square. Each turn fills a free rectangle or takes at least
/// one pixel off the area, so it ends.
fn squeeze(plan: &Plan, random: &mut Sequence, area: f64, (height, width): (usize, usize), rects: &mut Vec<Rect>) {
    let mut free = vec![Rect { y: 0, x: 0, h: height, w: width }];
    for &hole in rects.iter() {
        free = free.into_iter().flat_map(|r| remove(r, hole)).collect();
    }
    let mut left = area;
    while left >= 1.0 && left > 0.5 * area.sqrt() {
        let Some(&largest) = free.iter().max_by_key(|r| r.area()) else {
            return;
        };
        let rect = if largest.area() as f64 <= left {
            largest
        } else {
            let room = pick_room(&free, left, random);
            let (h, w) = shape(plan, random.unit(), left, (room.h as f64, room.w as f64));
            let (mut h, mut w) = (h as usize, w as usize);
            if (h * w) as f64 > left {
                *if h > w { &mut h } else { &mut w } -= 1;
            }
            let inner = position(Placement::Inside, random, h, w, room.h, room.w);
            Rect { y: room.y + inner.y, x: room.x + inner.x, h, w }
        };
        left -= rect.area() as f64;
        rects.push(rect);
        free = free.into_iter().flat_map(|r| remove(r, rect)).collect();
    }
}

/// One of the rectangles that hold more than `area`, likelier the larger it is.
fn pick_room(free: &[Rect], area: f64, random: &mut Sequence) -> Rect {
    let rooms = free.iter().filter(|r| r.area() as f64 > area);
    let mut pick = random.below(rooms.clone().map(|r| r.area()).sum());
    for room in rooms {
        if pick < room.area() {
            return *room;
        }
        pick -= room.area();
    }
    unreachable!("the areas sum to more than the picked number")
}

fn remove(from: Rect, hole: Rect) -> Vec<Rect> {
    if from.overlaps(hole) { from.without(hole).collect() } else { vec![from] }
}

/// The shape of a part; where there is only one, no word is taken for it.
fn choose_shape(spec: &Spec, random: &mut Sequence) -> Shape {
    match spec.shapes[..] {
        [only] => only,
        _ => spec.shapes[choose(&spec.shape_weights, random)],
    }
}

/// The shape that covers most of its box.
fn densest(spec: &Spec) -> Shape {
    let used = spec.shapes.iter().zip(&spec.shape_weights).filter(|(_, w)| **w > 0.0).map(|(s, _)| *s);
    used.max_by(|a, b| a.share().total_cmp(&b.share())).expect("a weight is above 0")
}

/// What a patch can be taken from.
#[derive(Clone, Copy)]
struct Batch {
    images: usize,
    height: usize,
    width: usize,
}

/// Draw what fills a box: base, kinds and their parameters.
#[inline(always)]
fn fill(
    plan: &Plan,
    random: &mut Sequence,
    batch: Batch,
    image: usize,
    number: usize,
    (rect, shape): (Rect, Shape),
) -> BoxDraw {
    let spec = &plan.spec;
    let level = match spec.base {
        Base::Black => 0.0,
        Base::White => 1.0,
        Base::Gray => 0.5,
        Base::Random => [0.0, 0.5, 1.0][random.below(3)],
        Base::Any => [0.0, 0.5, 1.0, f32::NAN][random.below(4)],
        Base::Levels(_) | Base::Image => f32::NAN,
    };
    let mut draw = BoxDraw {
        image: image as u32,
        number: number as u32,
        y: rect.y as u32,
        x: rect.x as u32,
        height: rect.h as u32,
        width: rect.w as u32,
        shape,
        kinds: Kinds::default(),
        additive: false,
        per_channel: false,
        gaussian: (0.0, 0.0),
        laplace: (0.0, 0.0),
        salt_pepper: (0.0, 0.0),
        poisson: (0.0, 0.0),
        patch: Patch::default(),
        poisson_entry: 0,
        level,
    };
    match spec.mode {
        Mode::None => {}
        Mode::Choose => {
            let entry = choose(&spec.weights, random);
            add(&mut draw, &spec.noise[entry], entry, batch, random);
        }
        Mode::Superimpose => {
            let mut weights = spec.weights.clone();
            let usable = weights.iter().filter(|w| **w > 0.0).count();
            for _ in 0..2 + random.below(usable - 1) {
                let entry = choose(&weights, random);
                weights[entry] = 0.0;
                add(&mut draw, &spec.noise[entry], entry, batch, random);
            }
        }
    }
    draw
}

/// An index with probability in proportion to its weight.
#[inline(always)]
fn choose(weights: &[f64], random: &mut Sequence) -> usize {
    let mut left = random.unit() * weights.iter().sum::<f64>();
    let (mut chosen, mut open) = (0, true);
    for (i, &w) in weights.iter().enumerate() {
        chosen = if open && w > 0.0 { i } else { chosen };
        open &= left >= w;
        left -= w;
    }
    chosen
}

#[inline(always)]
fn add(draw: &mut BoxDraw, noise: &Noise, entry: usize, batch: Batch, random: &mut Sequence) {
    let mut value = |range| random.range(range) as f32;
    draw.kinds.0 |= noise::kind(noise);
    match noise {
        Noise::Gaussian { sigma, mean } => draw.gaussian = (value(*mean), value(*sigma)),
        Noise::Laplace { scale, mean } => draw.laplace = (value(*mean), value(*scale)),
        Noise::SaltPepper { amount, salt, per_channel } => {
            let (amount, salt) = (value(*amount), value(*salt));
            draw.salt_pepper = (amount * salt, amount * (1.0 - salt));
            draw.per_channel = *per_channel;
        }
        Noise::Poisson { peak, strength, mode } => {
            draw.poisson = (value(*peak), value(*strength));
            draw.additive = *mode == PoissonMode::Additive;
            draw.poisson_entry = entry;
        }
        Noise::Paste { gain, offset, opacity, flip, from_batch } => {
            let (gain, offset, opacity) = (value(*gain), value(*offset), value(*opacity));
            let turn = random.below(4);
            let (flip_y, flip_x) = (*flip && turn & 1 != 0, *flip && turn & 2 != 0);
            let (image, y, x) = patch_place(draw, *from_batch, batch, random);
            draw.patch = Patch { image, y, x, flip_y, flip_x, gain, offset, opacity };
        }
    }
}

/// Image, row and column of a patch of the size of the box: in another image of the batch, or in the same image beside the
/// box. Where no tried place is beside it, the last one stands.
fn patch_place(draw: &BoxDraw, from_batch: bool, batch: Batch, random: &mut Sequence) -> (u32, u32, u32) {
    let (h, w) = (draw.height as usize, draw.width as usize);
    let own = Rect { y: draw.y as usize, x: draw.x as usize, h, w };
    let mut image = draw.image as usize;
    if from_batch && batch.images > 1 {
        let other = random.below(batch.images - 1);
        image = other + usize::from(other >= image);
    }
    let elsewhere = image != draw.image as usize;
    let mut place = own;
    for _ in 0..PATCH_TRIES {
        place = position(Placement::Inside, random, h, w, batch.height, batch.width);
        if elsewhere || !place.overlaps(own) {
            break;
        }
    }
    (image as u32, place.y as u32, place.x as u32)
}
