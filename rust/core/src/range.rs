//! A look at some pixels: which values do images hold whose range nobody gave?

use ndarray::{ArrayView4, Axis, Slice};

use crate::pixel::Pixel;

/// Images from which on fewer pixels of each are looked at.
const MANY: usize = 32;

/// Lowest and highest value among evenly spread pixels of each image, (N, C, H, W): 64 of them or a few more, 16 in batches of 32 and
/// more. Not-a-number is passed over; without any other value the lowest is above the highest.
///
/// ```
/// use ndarray::Array4;
///
/// let images = Array4::from_elem((2, 3, 16, 16), 0.5_f32);
/// assert_eq!(unblot_core::sampled_range::<f32>(&images.view()), (0.5, 0.5));
/// ```
#[must_use]
pub fn sampled_range<T: Pixel>(images: &ArrayView4<'_, T::Raw>) -> (f32, f32) {
    let along = if images.dim().0 < MANY { 8 } else { 4 };
    let mut sample = images.view();
    for axis in [Axis(2), Axis(3)] {
        let length = sample.len_of(axis);
        // From the middle of the first strip on.
        let (first, step) = (length / (2 * along), (length / along).max(1));
        sample.slice_axis_inplace(axis, Slice::new(first.cast_signed(), None, step.cast_signed()));
    }
    let none = (f32::INFINITY, f32::NEG_INFINITY);
    let wider = |(low, high), (l, h)| (if l < low { l } else { low }, if h > high { h } else { high });
    // Row by row, so that not every pixel waits for the one before.
    let mut all = none;
    for image in sample.outer_iter() {
        for plane in image.outer_iter() {
            for row in plane.outer_iter() {
                let pixels = row.iter().map(|raw| T::decode(*raw));
                all = wider(all, pixels.fold(none, |range, v| wider(range, (v, v))));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array4;

    #[test]
    fn an_odd_pixel_in_every_strip_is_found() {
        for images in [1, 40] {
            let mut batch = Array4::from_elem((images, 2, 30, 50), 0.5_f32);
            assert_eq!(sampled_range::<f32>(&batch.view()), (0.5, 0.5));
            let along = if images < MANY { 8 } else { 4 };
            batch[[images - 1, 1, 30 / (2 * along), 50 / (2 * along)]] = -1.0;
            batch[[0, 0, 30 / (2 * along) + 30 / along, 50 / (2 * along)]] = 255.0;
            assert_eq!(sampled_range::<f32>(&batch.view()), (-1.0, 255.0));
        }
    }

    #[test]
    fn not_a_number_is_passed_over() {
        let mut batch = Array4::from_elem((1, 1, 1, 3), f32::NAN);
        let (low, high) = sampled_range::<f32>(&batch.view());
        assert!(low > high);
        batch[[0, 0, 0, 1]] = 7.0;
        assert_eq!(sampled_range::<f32>(&batch.view()), (7.0, 7.0));
    }
}
