//! Where the boxes and lines of a layered picture go. Pure: the same graph, the same picture.
//!
//! Each layer is a column. What hangs together is laid out by itself and set below what came before; within a column
//! boxes are ordered by where their neighbours are, and a line that passes a column gets a place of its own in it.

use std::collections::BTreeMap;

/// Of a box, and between columns.
pub(super) const WIDTH: i32 = 236;
const GAP: i32 = 48;
/// Between boxes of a column, and between parts that do not hang together.
const APART: i32 = 14;
const PARTS: i32 = 26;
/// What a passing line takes.
const WAY: i32 = 10;
/// How often the order is bettered.
const SWEEPS: usize = 6;

/// A box to be placed.
#[derive(Clone, Copy)]
pub(super) struct Item {
    pub layer: usize,
    pub height: i32,
}

/// A line from the middle of one box to a height in another.
#[derive(Clone, Copy)]
pub(super) struct Edge {
    pub from: usize,
    pub to: usize,
    pub port: i32,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    pub width: i32,
    pub height: i32,
    /// The upper left corner of each item.
    pub corners: Vec<(i32, i32)>,
    /// The points of each edge: from the first to the second it bends, to the third it goes straight, and so on.
    pub lines: Vec<Vec<(i32, i32)>>,
}

/// A place in a column: an item's, or that of a line that passes.
struct Slot {
    layer: usize,
    height: i32,
    y: i32,
    before: Vec<usize>,
    after: Vec<usize>,
}

pub(super) fn layout(items: &[Item], edges: &[Edge]) -> Layout {
    let (mut slots, ways) = slots(items, edges);
    let mut top = 0;
    let mut bottom = 0;
    for part in parts(&slots) {
        bottom = place(&mut slots, &part, top);
        top = bottom + PARTS;
    }
    let corner = |slot: usize| (x(slots[slot].layer), slots[slot].y);
    let deepest = items.iter().map(|item| item.layer).max().unwrap_or_default();
    Layout {
        width: if items.is_empty() { 0 } else { x(deepest) + WIDTH },
        height: bottom,
        corners: (0..items.len()).map(corner).collect(),
        lines: edges.iter().zip(&ways).map(|(edge, way)| line(&slots, edge, way)).collect(),
    }
}

fn x(layer: usize) -> i32 {
    i32::try_from(layer).unwrap_or_default() * (WIDTH + GAP)
}

/// The slots of the items, then those of the ways; and which of these each edge takes. Lines of one box pass a column
/// together, as one, and part behind it.
fn slots(items: &[Item], edges: &[Edge]) -> (Vec<Slot>, Vec<Vec<usize>>) {
    let slot = |layer, height| Slot { layer, height, y: 0, before: Vec::new(), after: Vec::new() };
    let mut slots: Vec<Slot> = items.iter().map(|item| slot(item.layer, item.height)).collect();
    let mut shared: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    let mut ways = Vec::new();
    for edge in edges {
        let mut way = Vec::new();
        let mut at = edge.from;
        for layer in items[edge.from].layer + 1..items[edge.to].layer {
            let next = *shared.entry((edge.from, layer)).or_insert_with(|| {
                slots.push(slot(layer, WAY));
                slots.len() - 1
            });
            join(&mut slots, at, next);
            way.push(next);
            at = next;
        }
        join(&mut slots, at, edge.to);
        ways.push(way);
    }
    (slots, ways)
}

fn join(slots: &mut [Slot], at: usize, next: usize) {
    if !slots[at].after.contains(&next) {
        slots[at].after.push(next);
        slots[next].before.push(at);
    }
}

/// What hangs together, in the order of the first of each.
fn parts(slots: &[Slot]) -> Vec<Vec<usize>> {
    let mut seen = vec![false; slots.len()];
    let mut parts = Vec::new();
    for start in 0..slots.len() {
        let mut part = Vec::new();
        let mut open = vec![start];
        while let Some(at) = open.pop() {
            if !std::mem::replace(&mut seen[at], true) {
                part.push(at);
                open.extend(slots[at].before.iter().chain(&slots[at].after));
            }
        }
        if !part.is_empty() {
            part.sort_unstable();
            parts.push(part);
        }
    }
    parts
}

/// Sets a part below `top`; returns where it ends.
fn place(slots: &mut [Slot], part: &[usize], top: i32) -> i32 {
    let mut columns: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    part.iter().for_each(|&slot| columns.entry(slots[slot].layer).or_default().push(slot));
    let tall = |slots: &[Slot], column: &[usize]| {
        let apart = APART * i32::try_from(column.len().saturating_sub(1)).unwrap_or_default();
        column.iter().map(|&slot| slots[slot].height).sum::<i32>() + apart
    };
    let height = columns.values().map(|column| tall(slots, column)).max().unwrap_or_default();
    for sweep in 0..=SWEEPS {
        let forth = sweep % 2 == 0;
        let mut order: Vec<&mut Vec<usize>> = columns.values_mut().collect();
        if !forth {
            order.reverse();
        }
        for column in order {
            if sweep > 0 {
                column.sort_by_key(|&slot| middle(slots, slot, forth));
            }
            let mut y = top + (height - tall(slots, column)) / 2;
            for &slot in column.iter() {
                slots[slot].y = y;
                y += slots[slot].height + APART;
            }
        }
    }
    top + height
}

/// Where the neighbours of a slot are on the average, in the column before or after it.
fn middle(slots: &[Slot], slot: usize, forth: bool) -> i32 {
    let neighbours = if forth { &slots[slot].before } else { &slots[slot].after };
    let centre = |&at: &usize| slots[at].y + slots[at].height / 2;
    match i32::try_from(neighbours.len()) {
        Ok(count) if count > 0 => neighbours.iter().map(centre).sum::<i32>() / count,
        _ => centre(&slot),
    }
}

fn line(slots: &[Slot], edge: &Edge, way: &[usize]) -> Vec<(i32, i32)> {
    let centre = |slot: usize| slots[slot].y + slots[slot].height / 2;
    let mut points = vec![(x(slots[edge.from].layer) + WIDTH, centre(edge.from))];
    for &slot in way {
        let left = x(slots[slot].layer);
        points.extend([(left, centre(slot)), (left + WIDTH, centre(slot))]);
    }
    points.push((x(slots[edge.to].layer), slots[edge.to].y + edge.port));
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(layer: usize) -> Item {
        Item { layer, height: 60 }
    }

    fn edge(from: usize, to: usize) -> Edge {
        Edge { from, to, port: 10 }
    }

    fn overlap(layout: &Layout, items: &[Item]) -> bool {
        let boxes: Vec<_> = layout.corners.iter().zip(items).collect();
        boxes.iter().enumerate().any(|(at, ((x, y), item))| {
            boxes[..at]
                .iter()
                .any(|((left, top), other)| x == left && *y < top + other.height && *top < y + item.height)
        })
    }

    #[test]
    fn layers_are_columns_and_boxes_keep_apart() {
        let items = [item(0), item(1), item(1), item(1), item(2)];
        let edges = [edge(0, 1), edge(0, 2), edge(0, 3), edge(2, 4)];
        let layout = layout(&items, &edges);
        assert!(!overlap(&layout, &items));
        assert!(layout.corners[1].0 > layout.corners[0].0 && layout.corners[4].0 > layout.corners[1].0);
        // The one cause is before the middle of its effects, and the last effect behind its cause.
        assert_eq!(layout.corners[0].1, layout.corners[2].1);
        assert_eq!(layout.corners[4].1, layout.corners[2].1);
        assert_eq!(layout.height, 3 * 60 + 2 * APART);
    }

    #[test]
    fn a_long_line_passes_between_the_boxes() {
        let items = [item(0), item(1), item(2)];
        let layout = layout(&items, &[edge(0, 1), edge(1, 2), edge(0, 2)]);
        let [_, (left, y), (right, _), _] = layout.lines[2][..] else { panic!("{:?}", layout.lines) };
        let (box_x, box_y) = layout.corners[1];
        assert_eq!((left, right), (box_x, box_x + WIDTH));
        assert!(y < box_y || y > box_y + 60, "{y} is within the box at {box_y}");
    }

    #[test]
    fn parts_stand_below_each_other() {
        let items = [item(0), item(1), item(0), item(1)];
        let layout = layout(&items, &[edge(0, 1), edge(2, 3)]);
        assert!(layout.corners[2].1 >= layout.corners[1].1 + 60 + PARTS);
        assert_eq!(layout.corners[2].1, layout.corners[3].1);
    }

    #[test]
    fn crossings_are_turned_apart() {
        // 0 leads to 3 and 1 to 2: drawn in the order given, the lines would cross.
        let items = [item(0), item(0), item(1), item(1), item(2)];
        let layout = layout(&items, &[edge(0, 3), edge(1, 2), edge(2, 4), edge(3, 4)]);
        let above = |a: usize, b: usize| layout.corners[a].1 < layout.corners[b].1;
        assert_eq!(above(0, 1), above(3, 2));
    }

    #[test]
    fn nothing_is_laid_out_as_nothing() {
        assert_eq!(layout(&[], &[]), Layout::default());
    }
}
