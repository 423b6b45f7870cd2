//! What a drain of a node waits for.

use crate::facts::tables::PodRow;
use crate::objects::kube::{DisruptionBudget, Node};

/// A budget that allows no eviction of the pods that it covers.
pub(super) fn is_tight(budget: &&DisruptionBudget) -> bool {
    budget.status.disruptions_allowed == 0 && budget.status.expected_pods > 0
}

/// Budgets that hold up a drain of this node: all that is left there of Rook's pods, beside the node plugins, is
/// what a budget without allowance covers. Something else that stayed shows that nobody drains.
pub(super) fn held_up<'b>(
    node: &Node,
    carried: &[&PodRow],
    tight: &[&'b DisruptionBudget],
) -> Vec<&'b DisruptionBudget> {
    let covers = |budget: &DisruptionBudget, pod: &PodRow| covers(budget, pod, node);
    let stays = |pod: &&PodRow| !pod.is_done() && !pod.is_replaced() && !is_of_daemon_set(pod);
    let left: Vec<&PodRow> = carried.iter().copied().filter(stays).collect();
    if left.iter().any(|pod| !tight.iter().any(|budget| covers(budget, pod))) {
        return Vec::new();
    }
    tight.iter().copied().filter(|budget| left.iter().any(|pod| covers(budget, pod))).collect()
}

/// CSI's node plugins, which a drain leaves alone.
fn is_of_daemon_set(pod: &PodRow) -> bool {
    let is_controller = ["-provisioner-", "-ctrlplugin-"].iter().any(|part| pod.name.contains(part));
    pod.name.contains("csi") && pod.name.contains("plugin-") && !is_controller
}

/// Whether a budget of Rook's is for this pod: by the application, and by the failure domain of a drain's own budgets.
fn covers(budget: &DisruptionBudget, pod: &PodRow, node: &Node) -> bool {
    let labels = &budget.spec.selector.match_labels;
    let is_app = labels.get("app").is_some_and(|app| pod.name.starts_with(&format!("{app}-")));
    let domain = labels.iter().find_map(|(key, value)| Some((key.strip_prefix("topology-location-")?, value)));
    is_app
        && domain.is_none_or(|(kind, name)| {
            let label = if kind == "host" { "kubernetes.io/hostname" } else { "topology.kubernetes.io/zone" };
            // Names in the CRUSH map have no dots.
            node.metadata.labels.get(label).is_some_and(|at| at.replace('.', "-") == *name)
        })
}
