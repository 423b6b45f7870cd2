use super::maintenance::in_maintenance;
use super::scheduler::decode;
use super::{bound_to, daemon_of, unplaced, unschedulable};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity, Text};
use crate::facts::tables::{NodeRow, PodRow};
use crate::facts::{Facts, Gap, both};
use crate::objects::kube::{Condition, Pod};
use crate::say;

check! {
    /// # What it looks at
    /// Rook's pods that no node was found for, and the scheduler's own words for it: taints, affinity, node
    /// selector, resources, volumes, ports, and a node that no longer exists. Monitors are MON006's, and CSI pods that lack a free host port are
    /// CSI004's or CSI005's; of these it is silent. Pods that wait for the claim of a device set hang below OSD012.
    ///
    /// # Why it matters
    /// A pod that is Pending for a minute will not start by itself: the words say what would have to change, and
    /// each node that was refused is counted once.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> describe pod <pod>`, the event FailedScheduling.
    ///
    /// # Fix
    /// By reason: bring the node back or uncordon it, add a toleration or a label by the CephCluster's
    /// `placement`, free or add memory and CPU, bind the claim.
    ///
    /// # References
    /// Kubernetes: Scheduling, "Assigning Pods to Nodes" and "Taints and Tolerations"; Rook: CRDs/Cluster,
    /// "Placement Configuration Settings".
    "NODE008" "daemon-unschedulable" Node,
    needs: [Nodes, MonPods, MgrPods, OsdPods, PreparePods, MdsPods, RgwPods, GatewayPods, CsiPods, Objects],
    explained_by: [
        (node::node_not_ready, Node), (node::node_pressure, Node), (node::drain_blocked, Node),
        (node::cni_not_ready, Node), (csi::host_port_conflict, Object), (csi::csi_addons_port_conflict, Object),
        (osd::osd_pvc_pending, Object),
    ],
}

/// The scheduler is given this long.
const PATIENCE: i64 = 60;

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (pods, nodes) = both(unplaced(facts), facts.nodes())?;
    let planned = in_maintenance(facts)?;
    let mut findings = Vec::new();
    for (row, pod) in &pods.seen {
        let Some(words) = unschedulable(pod).filter(|words| !is_owned(row, &words.message)) else { continue };
        let age = pod.metadata.creation_timestamp.map(|created| facts.now().duration_since(created).as_secs());
        if age.is_none_or(|age| age >= PATIENCE) {
            let found = finding(row, pod, words, nodes);
            let waits = bound_to(pod).and_then(|host| node_of(host, nodes));
            let waits = waits.is_some_and(|node| planned.contains(node.name.as_str()));
            findings.push(if waits { Finding { severity: Severity::Info, ..found } } else { found });
        }
    }
    Ok(Answered::judged(findings).blind(pods.blind))
}

/// Whether a check knows more of this pod.
fn is_owned(row: &PodRow, words: &str) -> bool {
    let is_mon = row.name.starts_with("rook-ceph-mon-");
    let is_csi = row.name.contains("csi");
    is_mon || (is_csi && words.contains("free ports"))
}

fn finding(row: &PodRow, pod: &Pod, words: &Condition, nodes: &[NodeRow]) -> Finding {
    let object = ObjectRef::pod(pod);
    let (why, fix) = reason(pod, &words.message, nodes);
    let summary = say!("pod {} is Pending: {}", row.name, why);
    let remedy = Remedy::guided(fix).command(format!("kubectl -n {} describe pod {}", row.ns, row.name)).command(
        "kubectl get nodes -o custom-columns=NAME:.metadata.name,UNSCHEDULABLE:.spec.unschedulable,TAINTS:.spec.taints",
    );
    let evidence = Evidence::field(&object, "status.conditions[PodScheduled]", &words.message);
    Finding::warning(object, summary, remedy)
        .at(wanted_nodes(pod, &words.message, nodes).into_iter().chain(daemon_of(row)))
        .since(words.last_transition_time)
        .evidence([evidence.at(words.last_transition_time)])
}

/// A pod that is bound to a node waits for that one, whatever the others lack.
fn reason(pod: &Pod, words: &str, nodes: &[NodeRow]) -> (Text, Text) {
    let Some(host) = bound_to(pod) else { return decode(words, true) };
    match node_of(host, nodes) {
        None => (
            say!("it is bound to {}, and no node has that name", host),
            say!(
                "bring that node back under its name; only if it is gone for good, replace the daemon by Rook's procedure"
            ),
        ),
        Some(node) if !node.is_ready() => (say!("its node {} is not Ready", node.name), say!("bring the node back")),
        Some(node) if node.is_cordoned() => {
            (say!("its node {} is cordoned", node.name), say!("uncordon the node, if no maintenance is going on"))
        }
        Some(_) => decode(words, false),
    }
}

/// The hostname that a pod is bound by may be the short form of the node's name.
fn node_of<'n>(host: &str, nodes: &'n [NodeRow]) -> Option<&'n NodeRow> {
    let short = |name: &'n str| name.split('.').next().unwrap_or(name);
    let exact = nodes.iter().find(|node| node.name == host);
    exact.or_else(|| nodes.iter().find(|node| short(&node.name) == host))
}

/// Where the pod would be: the node that it is bound to, else those that would have to come back to take it.
fn wanted_nodes(pod: &Pod, words: &str, nodes: &[NodeRow]) -> Vec<Place> {
    if let Some(node) = bound_to(pod) {
        return vec![Place::node(node_of(node, nodes).map_or(node, |node| node.name.as_str()))];
    }
    let lost =
        ["node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready"].iter().any(|taint| words.contains(taint));
    let cordoned = words.contains("were unschedulable") || words.contains("node.kubernetes.io/unschedulable");
    let no_network = words.contains("node.kubernetes.io/network-unavailable");
    // Which node has no network no row tells: NODE007 finds it.
    let missing = nodes.iter().filter(|node| {
        (no_network && node.is_ready()) || (lost && !node.is_ready()) || (cordoned && node.is_cordoned())
    });
    missing.map(|node| Place::node(&node.name)).collect()
}
