//! Which places of memory an array takes, and whether two arrays share one.

/// Steps after which two regions are taken to meet: no two views of one array by slices or turns come near.
const WORK: u32 = 10_000;

/// The bytes of an array with any strides.
///
/// ```
/// use unblot_core::Region;
///
/// // The left and the right half of rows of eight bytes.
/// let half = |first| Region::new(first, [(4, 8), (4, 1)].into_iter(), 1);
/// assert!(!half(0).meets(&half(4)) && half(0).meets(&half(3)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Address of its first byte.
    start: isize,
    /// Stride, above 0, and length, above 1, of each axis that takes memory; the longest stride first.
    axes: Vec<(isize, isize)>,
    /// Bytes of an element.
    item: isize,
}

impl Region {
    /// The memory of an array by the address of its first element, and by length and stride in bytes of each axis.
    pub fn new(first: usize, axes: impl Iterator<Item = (usize, isize)>, item: usize) -> Self {
        let (mut start, item) = (first.cast_signed(), item.cast_signed());
        let mut taken = vec![];
        let mut empty = false;
        for (length, stride) in axes {
            let length = length.cast_signed();
            empty |= length == 0;
            start += (stride * (length - 1)).min(0);
            if length > 1 && stride != 0 {
                taken.push((stride.abs(), length));
            }
        }
        taken.sort_unstable_by(|a, b| b.cmp(a));
        if empty {
            return Self { start, axes: vec![], item: 0 };
        }
        Self { start, axes: taken, item }
    }

    /// Whether all its elements lie apart, as those of slices and turns of a plain array do.
    #[must_use]
    pub fn is_apart(&self) -> bool {
        (0..self.axes.len()).all(|i| self.axes[i].0 >= reach(&self.axes[i + 1..], self.item))
    }

    /// Whether they share a byte. In doubt they do; of two views of one array by slices and turns there is none.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        let sizes = (self.item, other.item);
        // Without an element there is no byte to share.
        sizes.0 > 0 && sizes.1 > 0 && meet(&self.axes, &other.axes, other.start - self.start, sizes, &mut WORK.clone())
    }
}

/// Bytes from the first to the last.
fn reach(axes: &[(isize, isize)], item: isize) -> isize {
    item + axes.iter().map(|(stride, length)| stride * (length - 1)).sum::<isize>()
}

/// Whether two regions share a byte, where the second begins `gap` bytes after the first.
fn meet(a: &[(isize, isize)], b: &[(isize, isize)], gap: isize, sizes: (isize, isize), work: &mut u32) -> bool {
    let (here, there) = (reach(a, sizes.0), reach(b, sizes.1));
    if gap >= here || -gap >= there {
        return false;
    }
    *work = work.saturating_sub(1);
    if *work == 0 {
        return true;
    }
    // From here on the longest stride is taken off, and only those of its steps are looked at that bring the rests together.
    match (a, b) {
        ([], []) => true,
        ([(s, n), a @ ..], [(t, m), b @ ..]) if s == t => {
            // Of equal strides the difference of steps counts.
            steps(gap, *s, (1 - m, n - 1), (reach(a, sizes.0), reach(b, sizes.1)))
                .any(|k| meet(a, b, gap - k * s, sizes, work))
        }
        ([(s, n), rest @ ..], [(t, _), ..]) if s > t => {
            steps(gap, *s, (0, n - 1), (reach(rest, sizes.0), there)).any(|k| meet(rest, b, gap - k * s, sizes, work))
        }
        ([(s, n), rest @ ..], []) => {
            steps(gap, *s, (0, n - 1), (reach(rest, sizes.0), there)).any(|k| meet(rest, b, gap - k * s, sizes, work))
        }
        _ => meet(b, a, -gap, (sizes.1, sizes.0), work),
    }
}

/// The steps k within bounds for which -there < gap - k · stride < here.
fn steps(
    gap: isize,
    stride: isize,
    (low, high): (isize, isize),
    (here, there): (isize, isize),
) -> std::ops::RangeInclusive<isize> {
    let first = (gap - here).div_euclid(stride) + 1;
    let last = (gap + there - 1).div_euclid(stride);
    first.max(low)..=last.min(high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    /// Every byte of an array, one element after the other.
    fn bytes(first: usize, axes: &[(usize, isize)], item: usize) -> Vec<isize> {
        let mut elements = vec![first.cast_signed()];
        for &(length, stride) in axes {
            elements = elements.iter().flat_map(|e| (0..length.cast_signed()).map(move |i| e + i * stride)).collect();
        }
        elements.iter().flat_map(|e| (0..item.cast_signed()).map(move |i| e + i)).collect()
    }

    fn any_array() -> impl Strategy<Value = (usize, Vec<(usize, isize)>, usize)> {
        (1000_usize..1060, prop::collection::vec((0_usize..5, -24_isize..24), 0..4), 1_usize..5)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        #[test]
        fn arrays_meet_where_they_share_a_byte(a in any_array(), b in any_array()) {
            let region = |(first, axes, item): &(usize, Vec<(usize, isize)>, usize)| Region::new(*first, axes.iter().copied(), *item);
            let taken: HashSet<isize> = bytes(a.0, &a.1, a.2).into_iter().collect();
            let shared = bytes(b.0, &b.1, b.2).iter().any(|byte| taken.contains(byte));
            prop_assert_eq!(region(&a).meets(&region(&b)), shared);
            prop_assert_eq!(region(&b).meets(&region(&a)), shared);
        }

        /// What passes for apart is; slices of plain arrays pass.
        #[test]
        fn slices_are_apart(
            lengths in prop::collection::vec((1_usize..6, 1_usize..4, any::<bool>()), 1..5), odd in any_array(),
        ) {
            let (mut stride, mut axes) = (2_isize, vec![]);
            for &(length, step, back) in &lengths {
                let step = step.cast_signed() * if back { -1 } else { 1 };
                axes.push((length.div_ceil(step.unsigned_abs()), stride * step));
                stride *= length.cast_signed();
            }
            prop_assert!(Region::new(5000, axes.iter().copied(), 2).is_apart());
            let all = bytes(odd.0, &odd.1, odd.2);
            if odd.1.iter().all(|(_, stride)| *stride != 0) && Region::new(odd.0, odd.1.iter().copied(), odd.2).is_apart() {
                prop_assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
            }
        }
    }

    /// Tiles of large arrays are told apart at once, whatever the sides of the tile.
    #[test]
    fn tiles_of_an_array_are_apart() {
        let tile = |y: usize, x: usize, h: usize, w: usize, step: isize| {
            let first = (y * 4000 + x) * 4;
            Region::new(first, [(h, 16_000 * step), (w, 4 * step)].into_iter(), 4)
        };
        let (left, right) = (tile(0, 0, 3000, 2000, 1), tile(0, 2000, 3000, 2000, 1));
        assert!(!left.meets(&right) && !right.meets(&left) && left.meets(&tile(2999, 1999, 1, 2, 1)));
        // Every second pixel beside those between, and a block of whole rows.
        assert!(!tile(0, 0, 1500, 2000, 2).meets(&tile(1, 0, 1500, 2000, 2)));
        assert!(!tile(0, 0, 1500, 2000, 2).meets(&tile(0, 1, 1500, 2000, 2)));
        let rows = Region::new(1000 * 16_000, [(4000 * 100, 4)].into_iter(), 4);
        assert!(left.meets(&rows) && !tile(0, 0, 1000, 2000, 1).meets(&rows) && tile(0, 0, 1001, 2, 1).meets(&rows));
        assert!(!tile(0, 0, 0, 2000, 1).meets(&left));
    }
}
