//! Rectangles of whole pixels.

use super::sequence::Sequence;
use crate::spec::Placement;

/// A rectangle of whole pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rect {
    pub y: usize,
    pub x: usize,
    pub h: usize,
    pub w: usize,
}

impl Rect {
    pub(crate) fn area(self) -> usize {
        self.h * self.w
    }

    /// Whether they share a pixel; without a branch, as nobody can predict it.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        let rows = [self.y < other.y + other.h, other.y < self.y + self.h];
        let columns = [self.x < other.x + other.w, other.x < self.x + self.w];
        [rows, columns] == [[true; 2]; 2]
    }

    /// The parts of `self` that `hole` leaves, as up to four disjoint rectangles.
    pub(crate) fn without(self, hole: Self) -> impl Iterator<Item = Self> {
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

/// A random place for a box of so many rows and columns in an image.
#[inline(always)]
pub(crate) fn position(
    placement: Placement,
    random: &mut Sequence,
    (h, w): (usize, usize),
    (height, width): (usize, usize),
) -> Rect {
    match placement {
        Placement::Inside => Rect { y: random.below(height - h + 1), x: random.below(width - w + 1), h, w },
        Placement::Clip => {
            let (y, x) = (random.below(height), random.below(width));
            Rect { y, x, h: h.min(height - y), w: w.min(width - x) }
        }
    }
}
