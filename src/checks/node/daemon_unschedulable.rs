use super::{bound_to, daemon_of, unplaced, unschedulable};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy};
use crate::facts::tables::{NodeRow, PodRow};
use crate::facts::{Facts, Gap, both};
use crate::objects::kube::{Condition, Pod};
use crate::say;

check! {
    /// # What it looks at
    /// Rook's pods that no node was found for, and the scheduler's own words for it: taints, affinity, node
    /// selector, resources, volumes, ports. Monitors are MON006's, and CSI pods that lack a free host port are
    /// CSI004's or CSI005's; of these it is silent.
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
    needs: [Nodes, MonPods, MgrPods, OsdPods, PreparePods, MdsPods, RgwPods, CsiPods, Objects],
    explained_by: [(node::node_not_ready, Node), (node::node_pressure, Node), (node::drain_blocked, Node)],
}

/// The scheduler is given this long.
const PATIENCE: i64 = 60;

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (pods, nodes) = both(unplaced(facts), facts.nodes())?;
    let mut findings = Vec::new();
    for (row, pod) in &pods.seen {
        let Some(words) = unschedulable(pod).filter(|words| !is_owned(row, &words.message)) else { continue };
        let age = pod.metadata.creation_timestamp.map(|created| facts.now().duration_since(created).as_secs());
        if age.is_none_or(|age| age >= PATIENCE) {
            findings.push(finding(row, pod, words, nodes));
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
    let (why, fix) = decode(&words.message);
    let summary = say!("pod {} is Pending: {}", row.name, why);
    let remedy = Remedy::guided(say!("{}", fix))
        .command(format!("kubectl -n {} describe pod {}", row.ns, row.name))
        .command("kubectl get nodes -o custom-columns=NAME:.metadata.name,UNSCHEDULABLE:.spec.unschedulable,TAINTS:.spec.taints");
    let evidence = Evidence::field(&object, "status.conditions[PodScheduled]", &words.message);
    Finding::warning(object, summary, remedy)
        .at(wanted_nodes(pod, &words.message, nodes).into_iter().chain(daemon_of(row)))
        .since(words.last_transition_time)
        .evidence([evidence.at(words.last_transition_time)])
}

/// Where the pod would be: the node that it is bound to, else those that would have to come back to take it.
fn wanted_nodes(pod: &Pod, words: &str, nodes: &[NodeRow]) -> Vec<Place> {
    if let Some(node) = bound_to(pod) {
        return vec![Place::node(node)];
    }
    let lost =
        ["node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready"].iter().any(|taint| words.contains(taint));
    let cordoned = words.contains("were unschedulable") || words.contains("node.kubernetes.io/unschedulable");
    let missing = nodes.iter().filter(|node| (lost && !node.is_ready()) || (cordoned && node.is_cordoned()));
    missing.map(|node| Place::node(&node.name)).collect()
}

/// The scheduler's words for a person, and what would help. The most particular reason comes first.
fn decode(words: &str) -> (&'static str, &'static str) {
    let reasons = [
        (
            "node.kubernetes.io/out-of-service",
            "its node still has the taint out-of-service",
            "take the taint out-of-service off the node once it is well again",
        ),
        (
            "node.kubernetes.io/unreachable",
            "a node that could take it is unreachable",
            "bring the unreachable node back",
        ),
        (
            "node.kubernetes.io/network-unavailable",
            "a node that could take it has no network",
            "look at the CNI's agent on that node",
        ),
        ("node.kubernetes.io/not-ready", "a node that could take it is not Ready", "bring the node back"),
        (
            "were unschedulable",
            "a node that could take it is cordoned",
            "uncordon the node, if no maintenance is going on",
        ),
        (
            "node.kubernetes.io/unschedulable",
            "a node that could take it is cordoned",
            "uncordon the node, if no maintenance is going on",
        ),
        (
            "unbound immediate PersistentVolumeClaims",
            "its PersistentVolumeClaim is not bound",
            "look at the claim and its StorageClass",
        ),
        (
            "volume node affinity conflict",
            "its volume lives where it may not run",
            "make its placement and the zone of its volume agree",
        ),
        (
            "Insufficient ",
            "no node has enough memory or CPU free",
            "free resources, add a node, or lower the request in the CephCluster's resources",
        ),
        (
            "free ports",
            "the host ports that it wants are taken",
            "find the other pod on the host network that holds the port",
        ),
        ("Too many pods", "its nodes are full of pods", "add a node or raise the kubelet's limit of pods"),
        ("anti-affinity", "its nodes already have one of its kind", "add a node: two of this kind may not share one"),
        (
            "node affinity/selector",
            "no node matches its placement",
            "compare the node's labels with the CephCluster's placement",
        ),
        (
            "untolerated taint",
            "it does not tolerate the taints of the nodes",
            "add a toleration to the CephCluster's placement, or take the taint off",
        ),
    ];
    let found = reasons.iter().find(|(text, _, _)| words.contains(text));
    found.map_or(("the scheduler finds no node", "read the scheduler's words"), |(_, why, fix)| (*why, *fix))
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn the_particular_reason_wins_over_the_control_planes_taint() {
        for (words, why) in [
            (
                "0/4 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 3 Insufficient memory.",
                "memory",
            ),
            (
                "0/3 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }, 1 node(s) didn't match Pod's node affinity/selector.",
                "unreachable",
            ),
            (
                "0/4 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't match pod anti-affinity rules.",
                "cordoned",
            ),
            ("0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: db}.", "tolerate"),
            ("something new", "no node"),
        ] {
            assert!(decode(words).0.contains(why), "{words}");
        }
    }
}
