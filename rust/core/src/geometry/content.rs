//! Draws what fills a box: its base, its noise kinds and their parameters, and where a patch comes from.

use super::boxes::{BoxDraw, Kinds, Patch};
use super::rect::{Rect, position};
use super::sequence::Sequence;
use crate::spec::{Base, Mode, Noise, Placement, Plan, PoissonMode, Shape};

/// Places tried for a patch until one lies beside its box.
const PATCH_TRIES: usize = 16;

/// What a patch can be taken from.
#[derive(Clone, Copy)]
pub(super) struct Batch {
    pub images: usize,
    pub height: usize,
    pub width: usize,
}

/// Draw what fills a box: base, kinds and their parameters.
#[inline(always)]
pub(super) fn fill(
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
pub(super) fn choose(weights: &[f64], random: &mut Sequence) -> usize {
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
    draw.kinds.0 |= Kinds::of(noise);
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
        place = position(Placement::Inside, random, (h, w), (batch.height, batch.width));
        if elsewhere || !place.overlaps(own) {
            break;
        }
    }
    (image as u32, place.y as u32, place.x as u32)
}
