//! What is free of an image: disjoint rectangles, in the order in which cutting made them.

use super::rect::Rect;
use crate::philox::Sequence;

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
    rect: Rect,
    /// What was cut out of it; without pixels in a leaf.
    hole: Rect,
    /// The root is its own.
    parent: u32,
    /// Nodes below it: the first, and how many.
    first: u32,
    below: u32,
    /// Area of the largest leaf in it, 0 where nothing is free.
    largest: usize,
}

const NOTHING: Rect = Rect { y: 0, x: 0, h: 0, w: 0 };

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
        self.open.clear();
        self.open.push(0);
        while let Some(at) = self.open.pop() {
            let node = self.nodes[at as usize];
            if node.hole.overlaps(place) {
                return false;
            }
            let touched = (node.first..node.first + node.below).filter(|&i| self.nodes[i as usize].rect.overlaps(place));
            self.open.extend(touched);
        }
        true
    }

    /// The largest rectangle, the last one of several.
    pub(crate) fn largest(&self) -> Option<Rect> {
        let area = self.nodes[0].largest;
        let mut node = self.nodes[0];
        while node.below > 0 {
            let children = &self.nodes[node.first as usize..(node.first + node.below) as usize];
            node = *children.iter().rev().find(|n| n.largest == area)?;
        }
        (area > 0).then_some(node.rect)
    }

    /// One of the rectangles that hold more than `area`, likelier the larger it is. There must be one.
    pub(crate) fn pick(&mut self, area: f64, random: &mut Sequence) -> Rect {
        self.rooms.clear();
        self.open.clear();
        self.open.push(0);
        while let Some(at) = self.open.pop() {
            let node = self.nodes[at as usize];
            if node.largest as f64 <= area {
                continue;
            }
            if node.below == 0 {
                self.rooms.push(node.rect);
            }
            // The first child is looked at first.
            self.open.extend((node.first..node.first + node.below).rev());
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
        self.nodes.push(Node { rect, hole: NOTHING, parent, first: 0, below: 0, largest: rect.area() });
    }

    fn cut_out(&mut self, hole: Rect) {
        self.open.clear();
        self.open.push(0);
        while let Some(at) = self.open.pop() {
            let node = self.nodes[at as usize];
            if node.largest == 0 || !node.rect.overlaps(hole) {
                continue;
            }
            if node.below > 0 {
                self.open.extend(node.first..node.first + node.below);
                continue;
            }
            let first = self.nodes.len() as u32;
            for rect in node.rect.without(hole) {
                self.leaf(rect, at);
            }
            let below = self.nodes.len() as u32 - first;
            self.nodes[at as usize] = Node { hole, first, below, largest: 0, ..node };
            self.measure(at);
        }
    }

    /// Find the largest leaf of a node anew, and of those above it as far as that changes anything.
    fn measure(&mut self, mut at: u32) {
        loop {
            let Node { first, below, parent, largest, .. } = self.nodes[at as usize];
            let children = &self.nodes[first as usize..(first + below) as usize];
            let now = children.iter().map(|n| n.largest).max().unwrap_or(0);
            self.nodes[at as usize].largest = now;
            // A node that was just cut has been set to 0 and passes on whatever it holds now.
            if at == parent || (now == largest && now > 0) {
                return;
            }
            at = parent;
        }
    }
}
