//! The causal graph: what of it is drawn, and the section around it.
//!
//! A few findings are drawn one by one. Of very many, those of one check with the same causes become one node, and
//! what a layer cannot hold is one node more: a picture of everything shows nothing.

use std::collections::{BTreeMap, BTreeSet};

use maud::html;

use super::links::{self, Link};
use super::{Part, Section, outline, picture, tables, words};
use crate::say;

/// From how many findings on those that are alike are drawn as one.
const MANY: usize = 28;
/// Nodes of one layer.
const LAYER: usize = 16;
/// Layers that are drawn.
const LAYERS: usize = 10;

/// A node stands for one finding, or for several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub findings: Vec<usize>,
    pub layer: usize,
    /// It stands for what its layer could not hold.
    pub rest: bool,
}

/// What is drawn.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub nodes: Vec<Node>,
    /// With the places where the two meet.
    pub edges: BTreeMap<Link, BTreeSet<String>>,
    /// Findings that no node stands for.
    pub left_out: usize,
}

pub(super) fn section(part: &Part<'_>) -> Option<Section> {
    if part.links.direct.is_empty() || part.links.roots.is_empty() {
        return None;
    }
    let graph = graph(part);
    let together: usize = graph.nodes.iter().map(|node| node.findings.len()).filter(|&count| count > 1).sum();
    let title = say!("What follows from what");
    let body = html! {
        (tables::sideways(&title, picture::draw(part, &graph)))
        @if together > 0 { p.note { (say!("Boxes with a number stand for {} findings together; the list has each.", together)) } }
        @if graph.left_out > 0 { p.note { (say!("{} findings are not in the picture; the list has each.", graph.left_out)) } }
        details.rest.list { summary { (say!("The same as a list")) } (outline::outline(part)) }
    };
    Some(Section { name: "graph", title, count: None, body })
}

/// What of a report is drawn: its root causes, and what follows from them.
pub(super) fn graph(part: &Part<'_>) -> Graph {
    let links = &part.links;
    let roots: BTreeSet<usize> = links.roots.iter().copied().collect();
    let drawn = |&at: &usize| roots.contains(&at) || !part.report.findings[at].causes.is_empty();
    let all: Vec<usize> = (0..part.report.findings.len()).filter(drawn).collect();
    let shallow = |&at: &usize| links.depth[at].is_some_and(|depth| depth < LAYERS);
    let mut those: Vec<usize> = all.iter().copied().filter(shallow).collect();
    // Layer by layer, the best root first and the worst of the rest before what only informs.
    let rank = |at: usize| links.roots.iter().position(|&root| root == at).unwrap_or(usize::MAX);
    those.sort_by_key(|&at| (links.depth[at], rank(at), std::cmp::Reverse(part.report.findings[at].severity), at));
    let mut graph = Graph { left_out: all.len() - those.len(), ..Graph::default() };
    let mut node_of = BTreeMap::new();
    let code = |at: usize| part.report.findings[at].code.as_str();
    let mut alike: BTreeMap<(&str, usize, BTreeSet<usize>), usize> = BTreeMap::new();
    for &at in &those {
        let layer = links.depth[at].unwrap_or_default();
        let causes: BTreeSet<usize> =
            links.direct.keys().filter(|link| link.1 == at).filter_map(|link| node_of.get(&link.0).copied()).collect();
        let same = alike.get(&(code(at), layer, causes.clone())).copied().filter(|_| those.len() > MANY);
        let node = same.unwrap_or_else(|| place(&mut graph.nodes, layer));
        alike.entry((code(at), layer, causes)).or_insert(node);
        graph.nodes[node].findings.push(at);
        node_of.insert(at, node);
    }
    for ((cause, effect), because) in &links.direct {
        if let (Some(&from), Some(&to)) = (node_of.get(cause), node_of.get(effect))
            && from != to
        {
            graph.edges.entry((from, to)).or_default().insert(because.clone());
        }
    }
    graph.reduce();
    graph
}

/// The node that the next finding of a layer belongs to: a new one while there is room.
fn place(nodes: &mut Vec<Node>, layer: usize) -> usize {
    let count = nodes.iter().filter(|node| node.layer == layer).count();
    match nodes.iter().position(|node| node.layer == layer && node.rest) {
        Some(rest) => rest,
        None => {
            nodes.push(Node { findings: Vec::new(), layer, rest: count + 1 == LAYER });
            nodes.len() - 1
        }
    }
}

impl Graph {
    /// Drops the edges that a longer way replaces.
    fn reduce(&mut self) {
        let edges: BTreeSet<Link> = self.edges.keys().copied().collect();
        let kept = links::reduced(&links::depths(self.nodes.len(), &edges), &edges);
        self.edges.retain(|link, _| kept.contains(link));
    }

    /// Where the causes of a node meet it: what is said of the place, and the nodes that it comes from.
    pub fn entries(&self, node: usize) -> BTreeMap<String, Vec<usize>> {
        let mut entries: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (&(from, _), places) in self.edges.iter().filter(|((_, to), _)| *to == node) {
            let mut places = places.iter();
            let first = places.next().map_or("", String::as_str);
            let said = match places.count() {
                0 => first.to_owned(),
                more => words::told(&say!("{} and {} more", first, more)),
            };
            entries.entry(said).or_default().push(from);
        }
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{Told, report};
    use super::*;
    use crate::check::Severity::{Critical, Info, Warning};

    /// How many findings each node of a layer stands for.
    fn counts(graph: &Graph, layer: usize) -> Vec<usize> {
        graph.nodes.iter().filter(|node| node.layer == layer).map(|node| node.findings.len()).collect()
    }

    /// Every finding is in one node, or counted as left out.
    fn is_whole(graph: &Graph, findings: usize) {
        let all: BTreeSet<usize> = graph.nodes.iter().flat_map(|node| node.findings.iter().copied()).collect();
        let sum: usize = graph.nodes.iter().map(|node| node.findings.len()).sum();
        assert_eq!((sum, sum + graph.left_out), (all.len(), findings));
        assert!(graph.edges.keys().all(|&(from, to)| graph.nodes[from].layer < graph.nodes[to].layer));
    }

    #[test]
    fn few_are_drawn_one_by_one_with_what_is_nearest() {
        let told = [
            Told("NODE001", Critical, &[]),
            Told("MON004", Warning, &[0]),
            Told("MON002", Info, &[0, 1]),
            Told("MON004", Warning, &[0]),
        ];
        let report = report(&told);
        let graph = graph(&Part::new(&report, 0, true));
        is_whole(&graph, told.len());
        assert_eq!((counts(&graph, 0), counts(&graph, 1), counts(&graph, 2)), (vec![1], vec![1, 1], vec![1]));
        // The direct link from the node to the quorum says nothing that the way over the monitor does not.
        assert_eq!(graph.edges.len(), 3);
        let last = graph.nodes.iter().position(|node| node.layer == 2).unwrap();
        assert_eq!(graph.entries(last).keys().collect::<Vec<_>>(), ["node n1"]);
    }

    #[test]
    fn of_many_the_alike_become_one() {
        let mut told = vec![Told("NODE001", Critical, &[]), Told("NODE002", Critical, &[])];
        told.extend((0..50).map(|_| Told("OSD007", Warning, &[0])));
        told.extend((0..50).map(|_| Told("OSD007", Warning, &[1])));
        let report = report(&told);
        let graph = graph(&Part::new(&report, 0, true));
        is_whole(&graph, told.len());
        // Those of one cause together, and not with those of the other.
        assert_eq!((counts(&graph, 0), counts(&graph, 1)), (vec![1, 1], vec![50, 50]));
    }

    #[test]
    fn a_layer_holds_so_many_and_counts_the_rest() {
        let codes: Vec<String> = (0..60).map(|at| format!("CSI{at:03}")).collect();
        let mut told = vec![Told("NODE001", Critical, &[])];
        told.extend(codes.iter().map(|code| Told(code, if code < &codes[50] { Info } else { Critical }, &[0])));
        let report = report(&told);
        let graph = graph(&Part::new(&report, 0, true));
        is_whole(&graph, told.len());
        let counts = counts(&graph, 1);
        assert_eq!((counts.len(), counts[LAYER - 1]), (LAYER, 60 - (LAYER - 1)));
        // What is left to the rest is not the worst.
        let rest = graph.nodes.iter().find(|node| node.rest).unwrap();
        assert!(rest.findings.iter().all(|&at| report.findings[at].severity == Info));
    }

    #[test]
    fn what_is_too_deep_is_counted() {
        let causes: Vec<[usize; 1]> = (0..20).map(|at| [at]).collect();
        let codes: Vec<String> = (0..20).map(|at| format!("MON{at:03}")).collect();
        let mut told = vec![Told("NODE001", Critical, &[])];
        told.extend(codes.iter().zip(&causes).map(|(code, causes)| Told(code, Warning, causes)));
        let report = report(&told);
        let graph = graph(&Part::new(&report, 0, true));
        is_whole(&graph, told.len());
        assert_eq!(graph.left_out, 21 - LAYERS);
    }
}
