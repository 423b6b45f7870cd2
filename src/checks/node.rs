//! The ground: nodes, clocks, DNS.

pub mod cluster_dns_failing;
pub mod cni_not_ready;
pub mod daemon_unschedulable;
pub mod drain_blocked;
pub mod image_pull_failing;
pub mod memory_limit_too_small;
pub mod node_clock_skew;
pub mod node_not_ready;
pub mod node_rebooted;

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::check::{Evidence, ObjectRef};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, PodRowTable, Settled, Unknown, both};
use crate::objects::kube::{Event, Pod, Terminated};

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
    let mut boots = Boots::default();
    match events {
        Ok(events) => events.iter().filter(|event| of(&event.involved_object.name)).for_each(|it| boots.told(it)),
        Err(unknown) => boots.blind.push(unknown),
    }
    let mut witnesses: BTreeMap<&str, Vec<(&str, &PodRow)>> = BTreeMap::new();
    for table in tables {
        match table {
            Ok((ns, rows)) => rows.iter().filter(|row| may_have_rebooted(row) && of(&row.node)).for_each(|row| {
                witnesses.entry(&row.node).or_default().push((ns, row));
            }),
            Err(unknown) => boots.blind.push(unknown),
        }
    }
    let opened = witnesses.into_values().take(NODES).flat_map(|mut rows| {
        // One that restarted often has restarted since, and its older end is overwritten.
        rows.sort_by_key(|(_, row)| row.restarts);
        rows.into_iter().take(WITNESSES)
    });
    let opened = facts.each(opened, |facts, (ns, row)| facts.pod(ns, &row.name))?;
    opened.seen.iter().for_each(|(_, pod)| boots.witnessed(pod));
    boots.blind.extend(opened.blind);
    Ok(boots)
}

/// Pods of which most are on the host network of some node: CSI, kube-proxy or what replaces it, control plane.
fn host_pods<'s>(facts: &Facts<'s>) -> Result<[Result<(&'s str, PodRowTable<'s>), Unknown>; 3], Gap> {
    let operator_ns = facts.cluster()?.operator_ns.as_str();
    let proxies = facts.pods_where("kube-system", "k8s-app in (kube-proxy,calico-node,cilium)").settled();
    let control_plane = facts.pods_where("kube-system", "tier=control-plane").settled();
    let (csi, (proxies, control_plane)) = both(facts.csi_pods().settled(), both(proxies, control_plane))?;
    Ok([(operator_ns, csi), ("kube-system", proxies), ("kube-system", control_plane)]
        .map(|(ns, table)| table.map(|rows| (ns, rows))))
}

/// Restarted within two days, or down: the printer counts longer times in days and years.
fn may_have_rebooted(row: &PodRow) -> bool {
    let lately = row.restarts > 0 && !row.restarted.contains(['d', 'y']);
    !row.node.is_empty() && !row.is_done() && (lately || !row.is_well())
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
