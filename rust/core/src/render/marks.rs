//! Marks the pixels that really changed, by comparison with those before.

use ndarray::{ArrayView3, ArrayViewMut2, ArrayViewMut3};

use crate::Error;
use crate::geometry::BoxDraw;
use crate::pixel::Pixel;

/// A mask to write, of shape (N, H, W).
///
/// ```
/// use ndarray::{Array3, Array4};
/// use unblot_core::{Corruption, Images, Index, Marks, Plan, Spec};
///
/// # fn main() -> Result<(), unblot_core::Error> {
/// let plan = Plan::new(Spec::default())?;
/// let (mut images, mut mask) = (Array4::<u8>::zeros((1, 3, 32, 32)), Array3::zeros((1, 32, 32)));
/// let marks = Marks { threshold: 0.01, mask: mask.view_mut() };
/// let corruption = Corruption::new(&plan, Index { seed: 1, keys: &[0] }).range((0.0, 255.0));
/// corruption.run::<u8>(Images::in_place(images.view_mut()).marked(marks))?;
/// assert!(mask.iter().any(|m| *m == 1) && mask.iter().any(|m| *m == 0));
/// # Ok(())
/// # }
/// ```
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

/// Write 1 into a mask (N, H, W) wherever a box covers a pixel: all of it, or where the covers, box after box and row by row, are above 0.
///
/// A place is the image, the first row and column, and the height and width of a box.
///
/// ```
/// use ndarray::Array3;
///
/// let mut mask = Array3::zeros((1, 4, 4));
/// unblot_core::mark_places(&mut mask.view_mut(), [[0, 1, 1, 2, 3]].into_iter(), None)?;
/// assert_eq!(mask.sum(), 6);
/// # Ok::<(), unblot_core::Error>(())
/// ```
pub fn mark_places(
    mask: &mut ArrayViewMut3<'_, u8>,
    places: impl Iterator<Item = [usize; 5]>,
    covers: Option<&[f32]>,
) -> Result<(), Error> {
    let (images, height, width) = mask.dim();
    let Some(pixels) = mask.as_slice_mut() else {
        return Err(Error::Image("a mask must be contiguous".into()));
    };
    let mut covers = covers;
    for [image, y, x, h, w] in places {
        if image >= images || y + h > height || x + w > width {
            return Err(Error::Image(format!(
                "a box of {h} x {w} at ({y}, {x}) of image {image} does not lie in {images} images of {height} x {width}"
            )));
        }
        let rows =
            pixels[(image * height + y) * width..].chunks_mut(width.max(1)).take(h).map(|row| &mut row[x..x + w]);
        let Some(all) = covers else {
            rows.for_each(ones);
            continue;
        };
        let Some((own, rest)) = all.split_at_checked(h * w) else {
            return Err(Error::Image(format!("{} covers are too few for the boxes", all.len())));
        };
        for (row, own) in rows.zip(own.chunks(w.max(1))) {
            for (pixel, cover) in row.iter_mut().zip(own) {
                *pixel |= u8::from(*cover > 0.0);
            }
        }
        covers = Some(rest);
    }
    Ok(())
}

/// Fill a row that is often short: so many at a time, the last ones over again where the length is no multiple.
fn ones(row: &mut [u8]) {
    match row.len() {
        64.. => row.fill(1),
        16.. => ones_by::<16>(row),
        8.. => ones_by::<8>(row),
        4.. => ones_by::<4>(row),
        _ => ones_by::<1>(row),
    }
}

#[inline(always)]
fn ones_by<const STEP: usize>(row: &mut [u8]) {
    for part in row.as_chunks_mut::<STEP>().0 {
        *part = [1; STEP];
    }
    if let Some(last) = row.last_chunk_mut::<STEP>() {
        *last = [1; STEP];
    }
}
