//! What a diagnosis asks for does not grow with the cluster.

#[path = "../../benches/diagnose/synthetic.rs"]
#[expect(dead_code, reason = "the benchmark counts the pods")]
mod synthetic;

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
