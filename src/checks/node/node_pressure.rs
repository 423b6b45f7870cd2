use std::collections::BTreeSet;

use super::rook_pods;
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, both};
use crate::lang::{Words, listed};
use crate::objects::kube::{Condition, Node};
use crate::say;

check! {
    /// # What it looks at
    /// The conditions MemoryPressure, DiskPressure and PIDPressure of the nodes that an event
    /// `EvictionThresholdMet` of the last hour names (the kubelet repeats it as long as it lasts), or from which a
    /// pod of Rook was evicted; and those evictions.
    ///
    /// # Why it matters
    /// A node under pressure takes no new pods and puts out those that it has, Ceph's among them, in the order of
    /// their priority and use. Under disk pressure it also deletes images, which must then be pulled again. Rook's own
    /// priority classes keep its daemons to the last only where the CephCluster sets them.
    ///
    /// # Confirm by hand
    /// `kubectl describe node <node>`, its conditions and events; on the host `df -h /var /var/lib/kubelet
    /// /var/lib/containerd`, `df -i` and `free -m`.
    ///
    /// # Fix
    /// Free what is short on that node: old logs, unused images, a pod without limits. The data of a monitor below
    /// `dataDirHostPath` often shares the full disk; nothing in it may be deleted by hand.
    ///
    /// # References
    /// Kubernetes: Node-pressure Eviction. Rook: CRDs/Cluster, "Priority Class Names"; Prerequisites.
    "NODE002" "node-pressure" Node,
    needs: [PressureEvents, MonPods, MgrPods, OsdPods, PreparePods, MdsPods, RgwPods, GatewayPods, CsiPods, Objects],
    explained_by: [],
}

/// Each condition, what is short, and what would help.
const PRESSURES: &[(&str, Words, Words)] = &[
    (
        "MemoryPressure",
        || say!("memory"),
        || say!("find what uses it (`kubectl top pods -A`), give it a limit or another node"),
    ),
    (
        "DiskPressure",
        || say!("disk"),
        || {
            say!(
                "free the disk of the kubelet and the images: old logs, unused images; nothing below the cluster's dataDirHostPath"
            )
        },
    ),
    (
        "PIDPressure",
        || say!("process ids"),
        || say!("find the pod that makes so many processes, or raise the kubelet's and the host's limit"),
    ),
];

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (events, rook) = both(facts.pressure_events(), rook_pods(facts))?;
    let evicted: Vec<&PodRow> =
        rook.rows.iter().copied().filter(|row| row.status == "Evicted" && !row.node.is_empty()).collect();
    let told = events.iter().map(|event| event.involved_object.name.as_str());
    let suspects: BTreeSet<&str> = told.chain(evicted.iter().map(|row| row.node.as_str())).collect();
    let nodes = facts.each(suspects, |facts, name| facts.object::<Node>("", name))?;
    let findings = nodes.seen.iter().filter_map(|(name, node)| {
        let evicted: Vec<&PodRow> = evicted.iter().copied().filter(|row| row.node == *name).collect();
        let carries = rook.rows.iter().any(|row| row.node == *name && row.status == "Running");
        finding(name, (*node)?, &evicted, carries)
    });
    Ok(Answered::judged(findings.collect()).blind(nodes.blind).blind(rook.blind))
}

fn finding(name: &str, node: &Node, evicted: &[&PodRow], carries: bool) -> Option<Finding> {
    let object = ObjectRef::node(name);
    let under = |condition: &&Condition| {
        condition.status == "True" && PRESSURES.iter().any(|(kind, ..)| *kind == condition.kind)
    };
    let pressures: Vec<&Condition> = node.status.conditions.iter().filter(under).collect();
    let known = pressures.iter().filter_map(|it| PRESSURES.iter().find(|(kind, ..)| *kind == it.kind));
    let short = listed(known.clone().map(|(_, what, _)| what()));
    let (severity, summary) = match (pressures.is_empty(), evicted.len()) {
        (true, 0) => return None,
        (true, count) => (Severity::Info, say!("node {} evicted {} pods of Rook, and is well again", name, count)),
        (false, 0) if carries => (Severity::Warning, say!("node {} is short of {} and takes no new pods", name, short)),
        (false, 0) => (Severity::Info, say!("node {} is short of {}; no pod of Rook runs there", name, short)),
        (false, count) => {
            (Severity::Critical, say!("node {} is short of {} and has evicted {} pods of Rook", name, short, count))
        }
    };
    let fix = known.clone().map(|(.., fix)| fix()).next();
    let fix = fix.unwrap_or_else(|| say!("delete what is left of the evicted pods"));
    let mut remedy = Remedy::guided(fix).command(format!("kubectl describe node {name}"));
    let namespaces: BTreeSet<&str> = evicted.iter().map(|row| row.ns.as_str()).collect();
    for ns in namespaces {
        remedy = remedy
            .command(format!("kubectl -n {ns} delete pods --field-selector status.phase=Failed,spec.nodeName={name}"));
    }
    let conditions = pressures.iter().map(|it| {
        let excerpt = format!("{}: {}", it.reason, it.message);
        Evidence::field(&object, format!("status.conditions[{}]", it.kind), excerpt).at(it.last_transition_time)
    });
    let conditions: Vec<Evidence> = conditions.collect();
    Some(
        Finding::new(severity, object, summary, remedy)
            .at([Place::node(name)])
            .since(pressures.iter().filter_map(|it| it.last_transition_time).min())
            .evidence(conditions)
            .evidence(evicted.iter().take(5).map(|row| Evidence::pod_row(row, &row.ns))),
    )
}
