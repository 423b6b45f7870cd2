//! The ground: nodes, clocks, DNS.

mod budgets;
mod clocks;
pub mod cluster_dns_failing;
pub mod cni_not_ready;
pub mod daemon_unschedulable;
pub mod drain_blocked;
pub mod host_limits;
pub mod image_pull_failing;
pub mod kernel_too_old;
pub(crate) mod maintenance;
pub mod memory_limit_too_small;
pub mod node_clock_skew;
pub mod node_not_ready;
pub mod node_pressure;
pub mod node_rebooted;
pub mod pods_not_created;
pub(crate) mod quantity;
mod refusals;
mod scheduler;
pub mod service_proxy_down;

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::check::{Evidence, ObjectRef, Place};
use crate::facts::tables::PodRow;
use crate::facts::{Each, Facts, Gap, PodRowTable, Settled, Unknown, both};
use crate::objects::kube::{Condition, Event, Pod, Terminated, condition};

/// Rook's own pods as rows: the daemons, the operator and CSI.
pub(crate) struct RookPods<'s> {
    pub rows: Vec<&'s PodRow>,
    pub blind: Vec<Unknown>,
}

type PodTable<'s> = fn(&Facts<'s>) -> Result<PodRowTable<'s>, Gap>;

/// Touches the tables of mon, mgr, OSD, prepare, MDS, RGW, gateway and CSI pods.
pub(crate) fn rook_pods<'s>(facts: &Facts<'s>) -> Result<RookPods<'s>, Gap> {
    let tables: [PodTable<'s>; 8] = [
        Facts::mon_pods,
        Facts::mgr_pods,
        Facts::osd_pods,
        Facts::prepare_pods,
        Facts::mds_pods,
        Facts::rgw_pods,
        Facts::gateway_pods,
        Facts::csi_pods,
    ];
    let tables = facts.each(tables, |facts, table| table(facts))?;
    let rows = tables.seen.iter().flat_map(|(_, rows)| rows.iter()).filter(|row| is_of_rook(&row.name)).collect();
    Ok(RookPods { rows, blind: tables.blind })
}

/// The operator's namespace may hold other people's pods.
pub(crate) fn is_of_rook(pod: &str) -> bool {
    ["rook-", "csi-", "ceph-csi-"].iter().any(|prefix| pod.starts_with(prefix)) || pod.contains(".csi.ceph.com-")
}

/// The daemons whose pods are named `rook-ceph-<daemon>-<id>`.
pub(crate) const DAEMONS: &[&str] = &["mon", "mgr", "osd", "mds", "rgw", "nfs", "nvmeof", "rbd-mirror", "fs-mirror"];

/// The daemon that a pod is, `osd.3`, by its name.
pub(crate) fn daemon_of(row: &PodRow) -> Option<Place> {
    DAEMONS.iter().find_map(|kind| {
        let id = row.daemon_id(&format!("rook-ceph-{kind}-"))?;
        (!id.starts_with("prepare") && !id.ends_with("-canary")).then(|| Place::daemon(kind, id))
    })
}

/// Rook's pods that no node was found for, in full.
pub(crate) fn unplaced<'s>(facts: &Facts<'s>) -> Result<Each<&'s PodRow, &'s Pod>, Gap> {
    let pods = rook_pods(facts)?;
    let pending = pods.rows.into_iter().filter(|row| row.is_pending() && row.node.is_empty());
    let mut opened = facts.each(pending, |facts, row| facts.pod(&row.ns, &row.name))?;
    opened.blind.extend(pods.blind);
    Ok(opened)
}

/// kube-proxy, and what may stand in for it; in kube-system.
pub(crate) const SERVICE_PROXIES: &str = "k8s-app in (kube-proxy,calico-node,cilium)";

/// The pods of the jobs that ask an image for its version.
pub(crate) const VERSION_JOBS: &str = "app in (rook-ceph-detect-version,rook-ceph-csi-detect-version)";

/// What the scheduler says of a pod that it cannot place.
pub(crate) fn unschedulable(pod: &Pod) -> Option<&Condition> {
    condition(&pod.status.conditions, "PodScheduled").filter(|it| it.status == "False" && it.reason == "Unschedulable")
}

/// The one node that a pod may run on, as Rook binds the daemons that keep their data on a host.
pub(crate) fn bound_to(pod: &Pod) -> Option<&str> {
    pod.spec.node_selector.get("kubernetes.io/hostname").map(String::as_str)
}

/// Restarted within two days: the printer counts longer times in days and years.
pub(crate) fn restarted_lately(row: &PodRow) -> bool {
    row.restarts > 0 && !row.restarted.contains(['d', 'y'])
}

/// When a node last booted, and what says so.
#[derive(Clone, Debug)]
pub(crate) struct Boot {
    pub at: Timestamp,
    pub evidence: Vec<Evidence>,
}

/// The boots that left a trace in the last two days, by node, and what could not be seen of them.
#[derive(Debug, Default)]
pub(crate) struct Boots {
    pub seen: BTreeMap<String, Boot>,
    pub blind: Vec<Unknown>,
}

/// Pods on the host network are opened of at most this many nodes; each gives up to [`WITNESSES`].
const NODES: usize = 16;
const WITNESSES: usize = 2;

/// The boots of the nodes that are asked about. A `Rebooted` event lives an hour. What lasts longer is the end
/// of the containers of host-network pods: they keep their pod object, and the runtime, back after the boot,
/// writes exit code 255 with reason `Unknown` and one time for all of them.
///
/// Touches `RebootEvents`, `CsiPods`, `PodTables` and `Objects`.
pub(crate) fn boots(facts: &Facts<'_>, of: impl Fn(&str) -> bool) -> Result<Boots, Gap> {
    let (events, tables) = both(facts.reboot_events().settled(), host_pods(facts))?;
    let mut boots = Boots { blind: tables.blind, ..Boots::default() };
    match events {
        Ok(events) => events.iter().filter(|event| of(&event.involved_object.name)).for_each(|it| boots.told(it)),
        Err(unknown) => boots.blind.push(unknown),
    }
    let mut witnesses: BTreeMap<&str, Vec<&PodRow>> = BTreeMap::new();
    let rows = tables.seen.iter().flat_map(|(_, rows)| rows.iter());
    for row in rows.filter(|row| may_have_rebooted(row) && of(&row.node)) {
        witnesses.entry(&row.node).or_default().push(row);
    }
    let opened = witnesses.into_values().take(NODES).flat_map(|mut rows| {
        // One that restarted often may have done so since the boot, which overwrites the older end.
        rows.sort_by_key(|row| (row.restarts == 0, row.restarts));
        rows.into_iter().take(WITNESSES)
    });
    let opened = facts.each(opened, |facts, row| facts.pod(&row.ns, &row.name))?;
    opened.seen.iter().for_each(|(_, pod)| boots.witnessed(pod));
    boots.blind.extend(opened.blind);
    Ok(boots)
}

/// Pods that are on the host network of their node: CSI's node plugins (among others), kube-proxy or what
/// replaces it, the control plane.
fn host_pods<'s>(facts: &Facts<'s>) -> Result<Each<&'static str, PodRowTable<'s>>, Gap> {
    facts.each(["", SERVICE_PROXIES, "tier=control-plane"], |facts, label| match *label {
        "" => facts.csi_pods(),
        label => facts.pods_where("kube-system", label),
    })
}

/// Restarted lately, or down; of the pods beside CSI's node plugins most have a network of their own.
fn may_have_rebooted(row: &PodRow) -> bool {
    let is_node_plugin = row.name.contains("plugin-") && !row.name.contains("-provisioner-");
    let is_witness = row.ns == "kube-system" || (is_node_plugin && !row.name.contains("-ctrlplugin-"));
    is_witness && !row.node.is_empty() && !row.is_done() && (restarted_lately(row) || !row.is_well())
}

impl Boots {
    fn told(&mut self, event: &Event) {
        if let Some(at) = event.last_seen() {
            self.add(&event.involved_object.name, at, Evidence::event(event));
        }
    }

    fn witnessed(&mut self, pod: &Pod) {
        if let Some((container, end)) = pod.spec.host_network.then(|| ended_by_boot(pod)).flatten() {
            let excerpt = format!("exit code {}, reason {}", end.exit_code, end.reason);
            let field = format!("last state of container {container}");
            let evidence = Evidence::field(&ObjectRef::pod(pod), field, excerpt).at(end.finished_at);
            if let Some(at) = end.finished_at {
                self.add(&pod.spec.node_name, at, evidence);
            }
        }
    }

    /// The youngest trace tells when the node was back.
    fn add(&mut self, node: &str, at: Timestamp, evidence: Evidence) {
        let boot = self.seen.entry(node.to_owned()).or_insert(Boot { at, evidence: Vec::new() });
        boot.at = boot.at.max(at);
        boot.evidence.push(evidence);
    }
}

/// The end that a boot leaves: every container that ended so did at one time. One alone among others that ran
/// on lost its shim, not its node.
fn ended_by_boot(pod: &Pod) -> Option<(&str, &Terminated)> {
    let lost = |end: &&Terminated| end.exit_code == 255 && end.reason == "Unknown";
    let statuses = &pod.status.container_statuses;
    let ends = statuses.iter().filter_map(|status| Some((status.name.as_str(), status.terminated().filter(lost)?)));
    let ends: Vec<_> = ends.collect();
    let first = *ends.first()?;
    let together = ends.iter().all(|(_, end)| end.finished_at == first.1.finished_at);
    (together && ends.len() == statuses.len()).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(ends: &[(i32, &str, &str)]) -> Pod {
        let statuses: Vec<_> = ends
            .iter()
            .map(|(code, reason, at)| {
                let end = serde_json::json!({"exitCode": code, "reason": reason, "finishedAt": at});
                serde_json::json!({"name": "c", "lastState": {"terminated": end}, "state": {"running": {}}})
            })
            .collect();
        serde_json::from_value(serde_json::json!({"status": {"containerStatuses": statuses}})).unwrap()
    }

    #[test]
    fn a_boot_ends_all_containers_at_once() {
        let (one, other) = ("2025-06-30T10:33:13Z", "2025-06-30T10:41:44Z");
        assert!(ended_by_boot(&pod(&[(255, "Unknown", one), (255, "Unknown", one)])).is_some());
        for not_a_boot in [
            vec![(255, "Unknown", one), (255, "Unknown", other)],
            vec![(255, "Unknown", one), (1, "Error", one)],
            vec![(255, "Error", one)],
            vec![],
        ] {
            assert!(ended_by_boot(&pod(&not_a_boot)).is_none(), "{not_a_boot:?}");
        }
    }
}
