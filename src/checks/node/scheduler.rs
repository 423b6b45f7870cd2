//! The scheduler's own words for a pod that it cannot place, told for a person.

use crate::lang::{Text, Words};
use crate::say;

/// What is wrong with a node, which its row tells too: text, reason, what would help.
const NODES: &[(&str, Words, Words)] = &[
    (
        "node.kubernetes.io/unreachable",
        || say!("a node that could take it is unreachable"),
        || say!("bring the unreachable node back"),
    ),
    ("node.kubernetes.io/not-ready", || say!("a node that could take it is not Ready"), || say!("bring the node back")),
    (
        "were unschedulable",
        || say!("a node that could take it is cordoned"),
        || say!("uncordon the node, if no maintenance is going on"),
    ),
    (
        "node.kubernetes.io/unschedulable",
        || say!("a node that could take it is cordoned"),
        || say!("uncordon the node, if no maintenance is going on"),
    ),
];

/// Taints of a node that no row shows. They come first, as they say more than that a node is not Ready.
const TAINTS: &[(&str, Words, Words)] = &[
    (
        "node.kubernetes.io/out-of-service",
        || say!("its node still has the taint out-of-service"),
        || say!("take the taint out-of-service off the node once it is well again"),
    ),
    (
        "node.kubernetes.io/network-unavailable",
        || say!("a node that could take it has no network"),
        || say!("look at the CNI's agent on that node"),
    ),
];

/// What is wrong between the pod and the nodes, the most particular first.
const FITS: &[(&str, Words, Words)] = &[
    (
        "unbound immediate PersistentVolumeClaims",
        || say!("its PersistentVolumeClaim is not bound"),
        || say!("look at the claim and its StorageClass"),
    ),
    (
        "volume node affinity conflict",
        || say!("its volume lives where it may not run"),
        || say!("make its placement and the zone of its volume agree"),
    ),
    (
        "Insufficient ",
        || say!("no node has enough memory or CPU free"),
        || say!("free resources, add a node, or lower the request in the CephCluster's resources"),
    ),
    (
        "free ports",
        || say!("the host ports that it wants are taken"),
        || say!("find the other pod on the host network that holds the port"),
    ),
    (
        "Too many pods",
        || say!("its nodes are full of pods"),
        || say!("add a node or raise the kubelet's limit of pods"),
    ),
    (
        "topology spread constraints",
        || say!("its topology spread constraints leave it no node"),
        || say!("add a node in the domain that has too few, or loosen the constraint in the CephCluster's placement"),
    ),
    (
        "anti-affinity",
        || say!("its nodes already have one of its kind"),
        || say!("add a node: two of this kind may not share one"),
    ),
    (
        "node affinity/selector",
        || say!("no node matches its placement"),
        || say!("compare the node's labels with the CephCluster's placement"),
    ),
    (
        "untolerated taint",
        || say!("it does not tolerate the taints of the nodes"),
        || say!("add a toleration to the CephCluster's placement, or take the taint off"),
    ),
];

/// Why, and what would help. What is wrong with nodes counts only for a pod that may wait for any of them.
pub(super) fn decode(words: &str, any_node: bool) -> (Text, Text) {
    let nodes = if any_node { NODES } else { &[] };
    let found = TAINTS.iter().chain(nodes).chain(FITS).find(|(text, _, _)| words.contains(text));
    match found {
        Some((_, why, fix)) => (why(), fix()),
        None => (say!("the scheduler finds no node"), say!("read the scheduler's words")),
    }
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
            assert!(decode(words, any_node).0.english().contains(why), "{words}");
        }
    }
}
