//! The corruption of a batch as a builder: draw all boxes, then fill them.

use crate::Error;
use crate::geometry::{BoxDraw, Index, Stop, draw};
use crate::pool::{Crew, available_threads};
use crate::render::{Images, Job, Rendered, covers};
use crate::simd::Level;
use crate::spec::Plan;

/// Values of a batch below which one thread is as fast as several.
const SMALL: usize = 1 << 20;

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

    /// The lowest and the highest pixel value. [`run`](Self::run) refuses a range that is not finite, or whose first number is not the lower.
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
    pub fn run<T: Rendered>(&self, images: Images<'_, '_, T::Raw>) -> Result<Vec<BoxDraw>, Error> {
        let Self { plan, index, range, threads, level, .. } = *self;
        check_range(range)?;
        images.check(index.keys.len())?;
        let (_, channels, height, width) = images.dim();
        let boxes = self.draw((height, width), channels)?;
        let threads = match threads {
            // Waking a pool takes longer than filling a small batch.
            0 if images.len() < SMALL => 1,
            0 => available_threads(),
            asked => asked,
        };
        let crew = Crew::of(threads)?;
        T::render(&Job { plan, boxes: &boxes, range, index, level }, images, &crew);
        Ok(boxes)
    }
}

/// Whether pixels can have values of such a range.
fn check_range((low, high): (f32, f32)) -> Result<(), Error> {
    if low < high && (high - low).is_finite() {
        return Ok(());
    }
    let remedy = "give the lowest and the highest pixel value, two finite numbers of which the first is less";
    Err(Error::parameter("range", format!("({low}, {high})"), remedy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Spec;
    use ndarray::Array4;

    #[test]
    fn a_range_that_no_pixel_can_have_is_refused() {
        let plan = Plan::new(Spec::default()).unwrap();
        for range in [(1.0, 0.0), (0.5, 0.5), (f32::NAN, 1.0), (0.0, f32::INFINITY), (f32::MIN, f32::MAX)] {
            let mut images = Array4::<f32>::zeros((1, 1, 16, 16));
            let corruption = Corruption::new(&plan, Index { seed: 1, keys: &[0] }).range(range);
            let done = corruption.run::<f32>(Images::in_place(images.view_mut()));
            assert!(matches!(done, Err(Error::Parameter { name: "range", .. })), "{range:?}: {done:?}");
            assert!(images.iter().all(|v| *v == 0.0));
        }
    }
}
