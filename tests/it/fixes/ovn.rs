//! Kube-OVN.

use super::{Case, heal};
use crate::double::Double;

pub const CASES: &[Case] = &[Case {
    name: "OVN007",
    on: "story5-kubeovn-after-reboot",
    fix: "OVN007",
    heals: the_node_comes_back,
    changes: &[],
}];

/// With a new ovs-ovn pod everything on the node starts by itself.
fn the_node_comes_back(double: &Double) {
    double.on("DELETE /api/v1/namespaces/kube-system/pods/ovs-ovn-*", |cluster| heal::node(cluster, "ash-w2"));
}
