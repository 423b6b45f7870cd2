//! Sidecars of CSI-Addons that the controller does not know.

use super::{Plugin, is_young};
use crate::check::{Evidence, Finding, Place, Remedy};
use crate::facts::Facts;
use crate::facts::tables::PodRow;
use crate::lang::listed;
use crate::objects::csi_addons::CsiAddonsNode;
use crate::objects::kube::{Pod, condition};
use crate::say;

/// Sidecars that run and have no CSIAddonsNode.
pub(super) fn unregistered<'p, 's>(
    nodes: &[CsiAddonsNode],
    plugins: &'p [Plugin<'s>],
    rows: &'s [PodRow],
) -> Vec<(&'p Plugin<'s>, &'s PodRow)> {
    // Old releases name an address, which does not tell the pod.
    if nodes.iter().any(|node| node.pod().is_none()) {
        return Vec::new();
    }
    let has_sidecar = |plugin: &Plugin<'_>| plugin.template.spec.containers.iter().any(|it| it.name == "csi-addons");
    // The object is named after owner and node, so two pods of one owner on a node share one.
    let is_known = |plugin: &Plugin<'_>, row: &PodRow| {
        let mut of_node = rows.iter().filter(|other| other.node == row.node && plugin.owns(other));
        of_node.any(|other| nodes.iter().any(|node| node.pod() == Some(&other.name)))
    };
    let owner = |row: &PodRow| plugins.iter().find(|plugin| has_sidecar(plugin) && plugin.owns(row));
    let running = rows.iter().filter(|row| row.is_well() && !row.is_done());
    let owned = running.filter_map(|row| Some((owner(row)?, row)));
    owned.filter(|(plugin, row)| !is_known(plugin, row)).collect()
}

/// Ready for so long that its sidecar should have registered.
pub(super) fn is_settled(facts: &Facts<'_>, pod: &Pod) -> bool {
    let ready = condition(&pod.status.conditions, "Ready").filter(|ready| ready.status == "True");
    ready.is_some_and(|ready| !is_young(facts, ready.last_transition_time))
}

pub(super) fn missing(ns: &str, lacking: &[(&Plugin<'_>, &PodRow)]) -> Option<Finding> {
    let mut objects = lacking.iter().map(|(plugin, row)| plugin.pod_object(row));
    let first = objects.next()?;
    let names: Vec<String> = lacking.iter().take(4).map(|(_, row)| row.name.clone()).collect();
    let summary = say!(
        "{} CSI-Addons sidecars have no CSIAddonsNode: {}; the controller gave them up, or they cannot write it",
        lacking.len(),
        listed(&names)
    );
    let remedy = Remedy::guided(say!("see why in the sidecar's log, then delete the pod: its sidecar registers anew"))
        .command(format!("kubectl -n {ns} logs {} -c csi-addons --tail=50", names.first()?))
        .command(format!("kubectl -n {ns} get csiaddonsnodes"));
    let evidence = lacking.iter().take(4).map(|(_, row)| Evidence::pod_row(row, ns));
    Some(
        Finding::warning(first, summary, remedy)
            .also(objects)
            .detail("missing")
            .at(lacking.iter().map(|(_, row)| Place::node(&row.node)))
            .evidence(evidence),
    )
}
