//! The scheduler's own words for a pod that it cannot place, told for a person.

/// What is wrong with a node, which its row tells too: text, reason, what would help.
const NODES: &[(&str, &str, &str)] = &[
    ("node.kubernetes.io/unreachable", "a node that could take it is unreachable", "bring the unreachable node back"),
    ("node.kubernetes.io/not-ready", "a node that could take it is not Ready", "bring the node back"),
    ("were unschedulable", "a node that could take it is cordoned", "uncordon the node, if no maintenance is going on"),
    (
        "node.kubernetes.io/unschedulable",
        "a node that could take it is cordoned",
        "uncordon the node, if no maintenance is going on",
    ),
];

/// Taints of a node that no row shows. They come first, as they say more than that a node is not Ready.
const TAINTS: &[(&str, &str, &str)] = &[
    (
        "node.kubernetes.io/out-of-service",
        "its node still has the taint out-of-service",
        "take the taint out-of-service off the node once it is well again",
    ),
    (
        "node.kubernetes.io/network-unavailable",
        "a node that could take it has no network",
        "look at the CNI's agent on that node",
    ),
];

/// What is wrong between the pod and the nodes, the most particular first.
const FITS: &[(&str, &str, &str)] = &[
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
    (
        "topology spread constraints",
        "its topology spread constraints leave it no node",
        "add a node in the domain that has too few, or loosen the constraint in the CephCluster's placement",
    ),
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

/// Why, and what would help. What is wrong with nodes counts only for a pod that may wait for any of them.
pub(super) fn decode(words: &str, any_node: bool) -> (String, &'static str) {
    let nodes = if any_node { NODES } else { &[] };
    let found = TAINTS.iter().chain(nodes).chain(FITS).find(|(text, _, _)| words.contains(text));
    let (_, why, fix) = found.unwrap_or(&("", "the scheduler finds no node", "read the scheduler's words"));
    ((*why).to_owned(), fix)
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn the_particular_reason_wins_over_the_control_planes_taint() {
        for (words, any_node, why) in [
            (
                "0/4 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 3 Insufficient memory.",
                true,
                "memory",
            ),
            (
                "0/3 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }, 1 node(s) didn't match Pod's node affinity/selector.",
                true,
                "unreachable",
            ),
            (
                "0/4 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't match pod anti-affinity rules.",
                true,
                "cordoned",
            ),
            (
                "0/4 nodes are available: 1 Insufficient memory, 1 node(s) were unschedulable, 2 node(s) didn't match Pod's node affinity/selector.",
                false,
                "memory",
            ),
            ("0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: db}.", true, "tolerate"),
            ("something new", true, "no node"),
        ] {
            assert!(decode(words, any_node).0.contains(why), "{words}");
        }
    }
}
