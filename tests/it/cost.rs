//! What a diagnosis asks for does not grow with the cluster.

#[path = "../../benches/diagnose/synthetic.rs"]
#[expect(dead_code, reason = "the benchmark counts the pods")]
mod synthetic;

use rookdoctor::checks;
use rookdoctor::diagnosis::{Scope, diagnose};
use rookdoctor::facts::Source;

use crate::support;

/// The facts that are read, and the root causes.
fn cost(nodes: usize, osds: usize) -> (u64, Vec<String>) {
    let source = support::bundle(synthetic::cluster(nodes, osds, 0));
    let diagnosis = support::run(&source);
    let roots = diagnosis.roots.iter().map(|&at| diagnosis.findings[at].id.clone()).collect();
    (source.cost().requests, roots)
}

#[test]
fn reads_do_not_grow_with_the_number_of_osds() {
    let (few, roots) = cost(14, 30);
    assert_eq!(roots, ["NODE001/Node/store-0006", "NODE001/Node/store-0007"]);
    let (many, roots) = cost(14, 120);
    assert_eq!(roots, ["NODE001/Node/store-0006", "NODE001/Node/store-0007"]);
    assert_eq!(few, many);
    let (wide, _) = cost(30, 120);
    assert_eq!(few, wide, "nor with the number of nodes");
}

/// The facts that are read where the story is told as well.
fn cost_of_story(nodes: usize, osds: usize) -> u64 {
    let source = support::bundle(synthetic::cluster(nodes, osds, 0));
    let scope = Scope { timeline: true, ..Scope::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let told = runtime.block_on(diagnose(&source, checks::ALL, &scope, &|_, _| {})).remove(0).story.unwrap();
    assert!(told.moments.iter().any(|moment| moment.first_bad));
    source.cost().requests
}

/// It opens a few pods and nodes of its own, and which of them the checks open as well differs.
#[test]
fn a_story_costs_little_whatever_the_size() {
    for (nodes, osds) in [(14, 30), (14, 120), (30, 120)] {
        let (without, _) = cost(nodes, osds);
        let story = cost_of_story(nodes, osds);
        assert!(story > without && story <= without + 16, "{story} with the story, {without} without");
    }
}
