//! Draws the causal graph. The boxes are links to the findings; where a cause meets its effect is written where its
//! line enters the effect's box.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::graph::{Graph, Node};
use super::layout::{Edge, Item, WIDTH, layout};
use super::{Part, fit, words};
use crate::check::{Severity, Text};
use crate::report::Finding;
use crate::say;

/// Entries of a box that are told apart; what else comes in shares the last.
const ENTRIES: usize = 3;
/// Heights of a row of them, and of what a box says of itself.
const ROW: i32 = 18;
const BODY: i32 = 62;
/// Around the whole picture.
const EDGE: i32 = 6;
/// Between a box and its text, and how wide that may be.
const PAD: i32 = 12;
const ROOM: usize = 212;

/// What a box shows.
struct Shown {
    entries: Vec<(String, Vec<usize>)>,
    height: i32,
}

impl Shown {
    fn of(graph: &Graph, at: usize) -> Self {
        let mut entries: Vec<(String, Vec<usize>)> = graph.entries(at).into_iter().collect();
        if entries.len() > ENTRIES {
            let rest = entries.split_off(ENTRIES - 1);
            let from = rest.iter().flat_map(|(_, from)| from.iter().copied()).collect();
            entries.push((words::told(&say!("{} more places", rest.len())), from));
        }
        if entries.is_empty() {
            entries.push((words::told(&say!("root cause")), Vec::new()));
        }
        let height = ROW * i32::try_from(entries.len()).unwrap_or_default() + BODY;
        Self { entries, height }
    }
}

pub(super) fn draw(part: &Part<'_>, graph: &Graph) -> Markup {
    let shown: Vec<Shown> = (0..graph.nodes.len()).map(|at| Shown::of(graph, at)).collect();
    let items: Vec<Item> =
        graph.nodes.iter().zip(&shown).map(|(node, shown)| Item { layer: node.layer, height: shown.height }).collect();
    let laid = layout(&items, &edges(&shown));
    let [width, height] = [laid.width + 2 * EDGE, laid.height + 2 * EDGE];
    let [title, about] = ["picture-title", "picture-about"].map(|name| part.anchor(name));
    // A wide picture is not made so small that nobody can read it: it moves sideways.
    let class = if width > 1420 { "picture large" } else { "picture" };
    html! {
        svg class=(class) role="img" aria-labelledby={ (title) " " (about) } width=(width) height=(height)
            viewBox={ (-EDGE) " " (-EDGE) " " (width) " " (height) } {
            title id=(title) { (say!("What follows from what")) }
            desc id=(about) { (about_it(graph)) }
            g { (lines(&laid.lines)) }
            g { @for (at, node) in graph.nodes.iter().enumerate() { (boxed(part, node, &shown[at], laid.corners[at])) } }
        }
    }
}

fn about_it(graph: &Graph) -> Text {
    let layers = graph.nodes.iter().map(|node| node.layer + 1).max().unwrap_or_default();
    say!(
        "{} boxes in {} columns, from root causes on the left to their consequences on the right. The list below says the same.",
        graph.nodes.len(),
        layers
    )
}

fn edges(shown: &[Shown]) -> Vec<Edge> {
    let mut edges = Vec::new();
    for (to, shown) in shown.iter().enumerate() {
        for (row, (_, from)) in (0..).zip(&shown.entries) {
            edges.extend(from.iter().map(|&from| Edge { from, to, port: ROW * row + ROW / 2 + 2 }));
        }
    }
    edges
}

/// Lines that leave and enter level, and their arrows. What several have in common is drawn once.
fn lines(all: &[Vec<(i32, i32)>]) -> Markup {
    let mut pieces = BTreeSet::new();
    let mut ends = BTreeSet::new();
    for points in all {
        for (at, pair) in points.windows(2).enumerate() {
            let [(x, y), (to_x, to_y)] = [pair[0], pair[1]];
            let half = (x + to_x) / 2;
            let bends = format!("M{x} {y}C{half} {y} {half} {to_y} {to_x} {to_y}");
            pieces.insert(if at % 2 == 0 { bends } else { format!("M{x} {y}H{to_x}") });
        }
        ends.extend(points.last());
    }
    html! {
        @for piece in &pieces { path.line d=(piece) {} }
        @for (x, y) in &ends { path.arrow d={ "M" (x) " " (y) "l-7 -4v8z" } {} }
    }
}

fn boxed(part: &Part<'_>, node: &Node, shown: &Shown, (x, y): (i32, i32)) -> Markup {
    let those: Vec<&Finding> = node.findings.iter().map(|&at| &part.report.findings[at]).collect();
    let Some(first) = those.first() else { return html! {} };
    let worst = words::severity(those.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Info));
    let anchors: Vec<String> = node.findings.iter().map(|&at| part.finding(at)).collect();
    let title = title(node, &those);
    let rows = ROW * i32::try_from(shown.entries.len()).unwrap_or_default();
    let says = if node.rest && those.len() > 1 { codes(&those) } else { first.summary.clone() };
    html! {
        a.node.(worst.class) href={ "#" (anchors[0]) } data-findings=(anchors.join(" "))
            aria-label=(say!("{}: {} {}, {}", worst.word, title.0, title.1, says)) {
            title { (title.0) " " (title.1) ": " (says) }
            rect.box x=(x) y=(y) width=(WIDTH) height=(shown.height) rx="6" {}
            path.entry d={ "M" (x + 6) " " (y) "h" (WIDTH - 12) "a6 6 0 0 1 6 6v" (rows - 3) "h-" (WIDTH) "v-" (rows - 3) "a6 6 0 0 1 6 -6z" } {}
            @for (row, (place, _)) in (0..).zip(&shown.entries) {
                text.place x=(x + PAD) y=(y + ROW * row + 15) { (one_line(place, 11, ROOM)) }
            }
            text.title x=(x + PAD) y=(y + rows + 20) {
                tspan.mark { (worst.mark) } " " tspan.code { (title.0) } " "
                tspan { (one_line(&title.1, 12, ROOM.saturating_sub(24 + fit::width(&title.0, 13)))) }
            }
            @for (row, text) in (0..).zip(fit::lines(&says, 12, ROOM, 2)) {
                text.says x=(x + PAD) y=(y + rows + 38 + 15 * row) { (text) }
            }
        }
    }
}

fn one_line(text: &str, size: usize, room: usize) -> String {
    fit::lines(text, size, room, 1).concat()
}

/// `OVN007 stale-after-reboot`, `CSI002 × 14 controller-unhealthy`, `12 more findings`
fn title(node: &Node, those: &[&Finding]) -> (String, String) {
    match those {
        [one] => (one.code.clone(), one.name.clone()),
        [first, ..] if !node.rest => (format!("{} × {}", first.code, those.len()), first.name.clone()),
        _ => (words::told(&say!("{} more findings", those.len())), String::new()),
    }
}

/// Each code once.
fn codes(those: &[&Finding]) -> String {
    let codes: BTreeSet<&str> = those.iter().map(|finding| finding.code.as_str()).collect();
    codes.into_iter().collect::<Vec<_>>().join(", ")
}
