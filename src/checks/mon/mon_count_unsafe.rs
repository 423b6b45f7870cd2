use std::collections::BTreeMap;

use super::{EXTERNAL, Mon, daemon, list, majority, mons};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::facts::tables::NodeRow;
use crate::facts::{Facts, Gap, both};
use crate::objects::rook::CephCluster;
use crate::say;

check! {
    /// # What it looks at
    /// How many monitors the CephCluster wants (`spec.mon.count`) and has, and on which nodes they are: an even
    /// number, a single one, fewer than wanted, or so many on one node that its loss costs the quorum. A cluster with
    /// fewer than three nodes for pods is a test cluster: there it is only mentioned.
    ///
    /// # Why it matters
    /// A quorum needs more than half. One monitor is a single point of failure; two stop when one stops; four bear no
    /// more than three; two of three on one node stop with that node.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get pods -l app=rook-ceph-mon -o wide` and `spec.mon` of the CephCluster. Of two nodes with a
    /// floating monitor (`app=rook-ceph-floating-mon`, ConfigMap `drbd-configure`) the DRBD below it is not observable
    /// from the API: on both hosts `lsmod | grep drbd`, `drbdadm status r0` and `nc -zv <peer> 7794`; before the
    /// monitor starts the roles must be Secondary on both.
    ///
    /// # Fix
    /// Three monitors (five on many nodes) on as many nodes, and `allowMultiplePerNode: false`; Rook adds and
    /// moves them by itself, one at a time, while the quorum holds.
    ///
    /// # References
    /// Rook: CRDs/Cluster/ceph-cluster-crd, "Mon Settings"; cluster-test.yaml wants one by design.
    "MON008" "mon-count-unsafe" Mon,
    needs: [Discovery, CephClusters, MonPods, Nodes],
    explained_by: [
        (node::node_not_ready, Node), (mon::mon_not_running, Cluster), (mon::mon_unschedulable, Cluster),
    ],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    if facts.cluster()?.external {
        return Ok(Answered::NotApplicable(EXTERNAL));
    }
    let (mons, nodes) = both(mons(facts), facts.nodes())?;
    let cluster = facts.ceph_cluster()?;
    let wanted = if cluster.spec.mon.count == 0 { 3 } else { cluster.spec.mon.count };
    let small = serving(nodes, &mons) < 3;
    let severity = if small { Severity::Info } else { Severity::Warning };
    let mut per_node: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for mon in &mons {
        per_node.entry(mon.node.unwrap_or_default()).or_default().push(mon.id);
    }
    // A cluster that is being made, or a failover under way, is not done counting.
    let settled = cluster.status.phase == "Ready" && !mons.is_empty();
    let crowded = per_node.iter().filter(|(node, ids)| {
        !node.is_empty() && mons.len() > 1 && mons.len() - ids.len() < majority(mons.len()) && ids.len() > 1
    });
    let mut findings: Vec<Finding> = number(cluster, wanted, severity).into_iter().collect();
    findings.extend((settled && mons.len() < wanted).then(|| missing(cluster, mons.len(), wanted, severity)));
    findings.extend(crowded.map(|(node, ids)| together(cluster, node, ids, mons.len(), severity)));
    Ok(Answered::judged(findings))
}

/// How many nodes take ordinary pods. A row shows no taints: a control plane takes them if it is a worker too, if a
/// monitor is there, or if there is nothing else (compact clusters, k3s, Talos).
fn serving(nodes: &[NodeRow], mons: &[Mon<'_>]) -> usize {
    let has = |node: &NodeRow, wanted: &[&str]| node.roles.split(',').any(|role| wanted.contains(&role));
    let is_control = |node: &NodeRow| has(node, &["control-plane", "master"]) && !has(node, &["worker"]);
    if nodes.iter().all(is_control) {
        return nodes.len();
    }
    let hosts = |node: &NodeRow| mons.iter().any(|mon| mon.node == Some(node.name.as_str()));
    nodes.iter().filter(|node| !is_control(node) || hosts(node)).count()
}

fn number(cluster: &CephCluster, wanted: usize, severity: Severity) -> Option<Finding> {
    let (risk, severity) = match wanted {
        1 => (say!("a single monitor: its loss stops the cluster"), severity),
        2 => (say!("two monitors: the loss of either stops the cluster"), severity),
        even if even % 2 == 0 => (say!("an even number bears no more losses than one less"), Severity::Info),
        _ => return None,
    };
    let summary = say!("the CephCluster wants {} monitor(s): {}", wanted, risk);
    let evidence = |object: &ObjectRef| Evidence::field(object, "spec.mon.count", wanted);
    Some(finding(cluster, "count", summary, severity, evidence))
}

fn missing(cluster: &CephCluster, has: usize, wanted: usize, severity: Severity) -> Finding {
    let summary = say!("the cluster has {} monitors where {} are wanted", has, wanted);
    finding(cluster, "missing", summary, severity, |object| Evidence::field(object, "spec.mon.count", wanted))
}

fn together(cluster: &CephCluster, node: &str, ids: &[&str], total: usize, severity: Severity) -> Finding {
    let names = list(ids.iter().copied());
    let summary =
        say!("{} of {} monitors ({}) are on node {}: its loss costs the quorum", ids.len(), total, names, node);
    let allow = cluster.spec.mon.allow_multiple_per_node;
    finding(cluster, node, summary, severity, |object| Evidence::field(object, "spec.mon.allowMultiplePerNode", allow))
        .at(ids.iter().map(|id| daemon(id)).chain([Place::node(node)]))
}

fn finding(
    cluster: &CephCluster,
    detail: &str,
    summary: crate::check::Text,
    severity: Severity,
    evidence: impl Fn(&ObjectRef) -> Evidence,
) -> Finding {
    let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
    let ns = &cluster.metadata.namespace;
    let remedy = Remedy::advice(say!("run three monitors (five on many nodes) on as many nodes, with allowMultiplePerNode false; Rook adds and moves them one at a time while the quorum holds"))
        .command(format!("kubectl -n {ns} get pods -l app=rook-ceph-mon -o wide"));
    let evidence = [evidence(&object)];
    Finding::new(severity, object, summary, remedy).detail(detail).evidence(evidence)
}
