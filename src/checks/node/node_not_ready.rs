use std::collections::BTreeSet;

use super::{bound_to, daemon_of, rook_pods, unplaced};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::facts::tables::NodeRow;
use crate::facts::{Facts, Gap, both};
use crate::objects::kube::{Condition, Node, condition};
use crate::say;

check! {
    /// # What it looks at
    /// The Ready condition of every node, since when it is not True, and which Ceph daemons the node carries.
    ///
    /// # Why it matters
    /// With `Unknown` the node is off, cut off, or its kubelet is dead; with `False` the kubelet lives and says
    /// what it lacks. Monitors and OSDs on host paths are bound to their node and come back only with it. Two
    /// monitors on one lost node can cost the quorum. A node that is only cut off may still run its daemons,
    /// so nothing may be rebuilt in its place before it is proved to be off.
    ///
    /// # Confirm by hand
    /// `kubectl describe node <node>`, then the console of the machine: `systemctl status kubelet`,
    /// `journalctl -u kubelet`.
    ///
    /// # Fix
    /// Bring the node back: power, network, kubelet. Only if it is lost for good: prove it is off, then replace
    /// its daemons one after the other by Rook's own procedures.
    ///
    /// # References
    /// Kubernetes: Architecture, Nodes, "Node status"; Rook:
    /// Storage-Configuration/Block-Storage-RBD/block-storage, on the loss of a node; Troubleshooting/disaster-recovery, "Restoring Mon Quorum".
    "NODE001" "node-not-ready" Node,
    needs: [Nodes, MonPods, MgrPods, OsdPods, PreparePods, MdsPods, RgwPods, GatewayPods, CsiPods, Objects],
    explained_by: [(node::cni_not_ready, Node), (node::node_rebooted, Node)],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let down: Vec<&NodeRow> = facts.nodes()?.iter().filter(|row| !row.is_ready()).collect();
    if down.is_empty() {
        return Ok(Answered::passed());
    }
    let objects = facts.each(down.iter().copied(), |facts, row| facts.object::<Node>("", &row.name));
    let ((pods, waiting), objects) = both(both(rook_pods(facts), unplaced(facts)), objects)?;
    let findings = down.iter().map(|row| {
        let node = objects.seen.iter().find(|(seen, _)| seen.name == row.name).and_then(|(_, node)| *node);
        let ready = node.and_then(|node| condition(&node.status.conditions, "Ready"));
        // Pods that were deleted off a lost node wait for it under new names.
        let host = node.and_then(|node| node.metadata.labels.get("kubernetes.io/hostname")).unwrap_or(&row.name);
        let bound = waiting.seen.iter().filter(|(_, pod)| bound_to(pod) == Some(host)).map(|(row, _)| *row);
        let pods = pods.rows.iter().copied().filter(|pod| pod.node == row.name).chain(bound);
        finding(row, ready, pods.filter_map(daemon_of).collect())
    });
    Ok(Answered::judged(findings.collect()).blind(waiting.blind).blind(objects.blind))
}

fn finding(row: &NodeRow, ready: Option<&Condition>, daemons: BTreeSet<Place>) -> Finding {
    let object = ObjectRef::node(&row.name);
    let carried: Vec<&str> = daemons
        .iter()
        .filter_map(|place| if let Place::Daemon(name) = place { Some(name.as_str()) } else { None })
        .collect();
    let summary = match carried.is_empty() {
        true => say!("node {} is not Ready", row.name),
        false => say!("node {} is not Ready; it carried {}", row.name, carried.join(", ")),
    };
    let severity = if carried.is_empty() { Severity::Warning } else { Severity::Critical };
    let remedy = Remedy::guided(say!(
        "bring {} back (power, network, kubelet); replace its daemons only once it is proved to be off for good",
        row.name
    ))
    .command(format!("kubectl describe node {}", row.name))
    .command(format!("kubectl get pods -A -o wide --field-selector spec.nodeName={}", row.name));
    let evidence = match ready {
        Some(ready) => {
            let excerpt = format!("{}, {}: {}", ready.status, ready.reason, ready.message);
            Evidence::field(&object, "status.conditions[Ready]", excerpt).at(ready.last_transition_time)
        }
        None => Evidence::field(&object, "status", &row.status),
    };
    Finding::new(severity, object, summary, remedy)
        .at(daemons.into_iter().chain([Place::node(&row.name)]))
        .since(ready.and_then(|ready| ready.last_transition_time))
        .evidence([evidence])
}
