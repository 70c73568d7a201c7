//! What is free of an image: disjoint rectangles, in the order in which cutting made them.

use super::rect::Rect;
use super::sequence::Sequence;

/// A tree whose root is the image. A box that is cut out of a leaf leaves up to four smaller leaves below it, in their order.
///
/// So whatever is asked is looked for only where it can be, under nodes that touch a place or have a leaf large enough, and the time
/// for each box grows with the depth of the tree instead of the number of boxes. Nothing here recurses.
#[derive(Debug, Default)]
pub(crate) struct Free {
    nodes: Vec<Node>,
    /// How many boxes of the image are cut out.
    cut: usize,
    /// Nodes still to be looked at; kept for its memory.
    open: Vec<u32>,
    /// Leaves to choose from; kept for its memory.
    rooms: Vec<Rect>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    rect: Edges,
    /// What was cut out of it; without pixels in a leaf.
    hole: Edges,
    /// The root is its own.
    parent: u32,
    /// Nodes below it: the first, and how many.
    first: u32,
    below: u32,
    /// Area of the largest leaf in it, 0 where nothing is free.
    largest: usize,
}

/// A rectangle as a node keeps it: the first row and column, and those after the last. Narrow numbers, so that the tree stays in the cache.
#[derive(Debug, Clone, Copy)]
struct Edges {
    top: u32,
    left: u32,
    bottom: u32,
    right: u32,
}

const NOTHING: Edges = Edges { top: 0, left: 0, bottom: 0, right: 0 };

impl Edges {
    fn of(Rect { y, x, h, w }: Rect) -> Self {
        Self { top: y as u32, left: x as u32, bottom: (y + h) as u32, right: (x + w) as u32 }
    }

    fn rect(self) -> Rect {
        let [y, x, bottom, right] = [self.top, self.left, self.bottom, self.right].map(|edge| edge as usize);
        Rect { y, x, h: bottom - y, w: right - x }
    }

    /// Whether they share a pixel.
    fn overlaps(self, other: Self) -> bool {
        let rows = [self.top < other.bottom, other.top < self.bottom];
        let columns = [self.left < other.right, other.left < self.right];
        [rows, columns] == [[true; 2]; 2]
    }
}

impl Node {
    fn children(&self) -> std::ops::Range<u32> {
        self.first..self.first + self.below
    }
}

impl Free {
    /// Begin with an empty image.
    pub(crate) fn clear(&mut self) {
        self.nodes.clear();
        self.cut = 0;
    }

    /// Cut out those of the boxes that are not cut out yet.
    pub(crate) fn follow(&mut self, (height, width): (usize, usize), boxes: &[Rect]) {
        if self.nodes.is_empty() {
            self.leaf(Rect { y: 0, x: 0, h: height, w: width }, 0);
        }
        for &hole in &boxes[self.cut..] {
            self.cut_out(hole);
        }
        self.cut = boxes.len();
    }

    /// Whether none of the boxes covers a pixel of a place in the image.
    pub(crate) fn has(&mut self, place: Rect) -> bool {
        let place = Edges::of(place);
        self.open.clear();
        self.open.push(0);
        while let Some(at) = self.open.pop() {
            let node = &self.nodes[at as usize];
            if node.hole.overlaps(place) {
                return false;
            }
            self.open.extend(node.children().filter(|&i| self.nodes[i as usize].rect.overlaps(place)));
        }
        true
    }

    /// The largest rectangle, the last one of several.
    pub(crate) fn largest(&self) -> Option<Rect> {
        let area = self.nodes[0].largest;
        let mut node = self.nodes[0];
        while node.below > 0 {
            node = node.children().rev().map(|i| self.nodes[i as usize]).find(|n| n.largest == area)?;
        }
        (area > 0).then_some(node.rect.rect())
    }

    /// One of the rectangles that hold more than `area`, likelier the larger it is. There must be one.
    pub(crate) fn pick(&mut self, area: f64, random: &mut Sequence) -> Rect {
        self.rooms.clear();
        self.open.clear();
        self.open.push(0);
        while let Some(at) = self.open.pop() {
            let node = &self.nodes[at as usize];
            if node.below == 0 {
                self.rooms.push(node.rect.rect());
            }
            // The first child is looked at first.
            self.open.extend(node.children().rev().filter(|&i| self.nodes[i as usize].largest as f64 > area));
        }
        let mut pick = random.below(self.rooms.iter().map(|r| r.area()).sum());
        for room in &self.rooms {
            if pick < room.area() {
                return *room;
            }
            pick -= room.area();
        }
        unreachable!("the areas sum to more than the picked number")
    }

    fn leaf(&mut self, rect: Rect, parent: u32) {
        self.nodes.push(Node {
            rect: Edges::of(rect),
            hole: NOTHING,
            parent,
            first: 0,
            below: 0,
            largest: rect.area(),
        });
    }

    fn cut_out(&mut self, hole: Rect) {
        let edges = Edges::of(hole);
        self.open.clear();
        self.open.push(0);
        while let Some(at) = self.open.pop() {
            let node = self.nodes[at as usize];
            if node.largest == 0 || !node.rect.overlaps(edges) {
                continue;
            }
            if node.below > 0 {
                self.open.extend(node.children());
                continue;
            }
            let first = self.nodes.len() as u32;
            for rect in node.rect.rect().without(hole) {
                self.leaf(rect, at);
            }
            let below = self.nodes.len() as u32 - first;
            self.nodes[at as usize] = Node { hole: edges, first, below, largest: 0, ..node };
            self.measure(at);
        }
    }

    /// Find the largest leaf of a node anew, and of those above it as far as that changes anything.
    fn measure(&mut self, mut at: u32) {
        loop {
            let node = self.nodes[at as usize];
            let Node { parent, largest, .. } = node;
            let now = node.children().map(|i| self.nodes[i as usize].largest).max().unwrap_or(0);
            self.nodes[at as usize].largest = now;
            // A node that was just cut has been set to 0 and passes on whatever it holds now.
            if at == parent || (now == largest && now > 0) {
                return;
            }
            at = parent;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::keys;
    use crate::simd::Plain;

    /// The same by a plain list.
    fn cut_from(list: Vec<Rect>, hole: Rect) -> Vec<Rect> {
        let parts = |r: Rect| if r.overlaps(hole) { r.without(hole).collect() } else { vec![r] };
        list.into_iter().flat_map(parts).collect()
    }

    #[test]
    fn the_tree_is_the_list_of_what_is_left() {
        for seed in 0..40 {
            let mut random = Sequence::new(Plain, &keys(seed), 0);
            let size = (1 + random.below(40), 1 + random.below(40));
            let mut list = vec![Rect { y: 0, x: 0, h: size.0, w: size.1 }];
            let (mut tree, mut boxes) = (Free::default(), vec![]);
            tree.clear();
            tree.follow(size, &boxes);
            for _ in 0..60 {
                let (y, x) = (random.below(size.0), random.below(size.1));
                let (h, w) = (1 + random.below((size.0 - y).min(7)), 1 + random.below((size.1 - x).min(7)));
                let hole = Rect { y, x, h, w };
                assert_eq!(tree.has(hole), boxes.iter().all(|b| !hole.overlaps(*b)));
                list = cut_from(list, hole);
                boxes.push(hole);
                tree.follow(size, &boxes);
                assert_eq!(tree.largest(), list.iter().copied().max_by_key(|r| r.area()));
                let area = list.iter().map(|r| r.area()).max().unwrap_or(0) as f64 * 0.4;
                let rooms: Vec<_> = list.iter().copied().filter(|r| r.area() as f64 > area).collect();
                if !rooms.is_empty() {
                    let pick = tree.pick(area, &mut random);
                    assert_eq!(tree.rooms, rooms);
                    assert!(rooms.contains(&pick));
                }
            }
        }
    }
}
