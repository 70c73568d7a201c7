//! Marks the pixels that really changed, by comparison with those before.

use ndarray::{ArrayView3, ArrayViewMut2, ArrayViewMut3};

use crate::boxes::BoxDraw;
use crate::pixel::Pixel;

/// A mask to write, of shape (N, H, W).
pub struct Marks<'a> {
    /// By how much of the value range a channel of a pixel must change for the pixel to count.
    pub threshold: f32,
    /// Receives 1 where a pixel changed, else 0.
    pub mask: ArrayViewMut3<'a, u8>,
}

/// Mark a band, whose first row is row `top` of the image: 1 where a channel differs by more than `least`. Only pixels in boxes
/// are looked at; no others can have changed. What became or ceased to be a number has changed.
pub(super) fn mark<'b, T: Pixel>(
    mask: &mut ArrayViewMut2<'_, u8>,
    before: &ArrayView3<'_, T::Raw>,
    after: &ArrayViewMut3<'_, T::Raw>,
    boxes: impl Iterator<Item = &'b BoxDraw>,
    top: usize,
    least: f32,
) {
    mask.fill(0);
    let (channels, rows, _) = before.dim();
    for draw in boxes {
        let (from, to) = ((draw.y as usize).max(top), ((draw.y + draw.height) as usize).min(top + rows));
        for c in 0..channels {
            for y in from.saturating_sub(top)..to.saturating_sub(top) {
                for x in draw.x as usize..(draw.x + draw.width) as usize {
                    let (old, new) = (T::decode(before[[c, y, x]]), T::decode(after[[c, y, x]]));
                    let same = (new - old).abs() <= least || (old.is_nan() && new.is_nan()) || old == new;
                    mask[[y, x]] |= u8::from(!same);
                }
            }
        }
    }
}
