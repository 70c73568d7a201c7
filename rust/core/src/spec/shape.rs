//! The shapes of what covers an image.

/// Which pixels of its box a blot covers.
///
/// ```
/// use unblot_core::Shape;
///
/// assert_eq!((Shape::Rectangle.pixels(60), Shape::Scar.pixels(60), Shape::Blob.pixels(60)), (60, 10, 30));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// All.
    Rectangle,
    /// A thin, bent line from one end of the box to the other, along its longer side.
    Scar,
    /// A round, irregular spot.
    Blob,
}

impl Shape {
    /// Share of the box that is covered, up to whole pixels.
    #[must_use]
    pub fn share(self) -> f64 {
        match self {
            Self::Rectangle => 1.0,
            Self::Scar => 1.0 / 6.0,
            Self::Blob => 0.5,
        }
    }

    /// Pixels that are covered in a box of so many, at least one.
    #[must_use]
    pub fn pixels(self, area: usize) -> usize {
        self.covered(area as f64) as usize
    }

    /// The same of whole numbers.
    #[inline(always)]
    pub(crate) fn covered(self, area: f64) -> f64 {
        match self {
            Self::Rectangle => area.max(1.0),
            _ => (area * self.share() + 0.5).floor().max(1.0),
        }
    }
}
