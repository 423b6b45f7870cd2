//! Monitors.

pub mod all_mons_down;
mod ends;
pub mod mon_bind_address;
pub mod mon_count_unsafe;
pub mod mon_disk_low;
pub mod mon_endpoints_mismatch;
pub mod mon_failover_off;
pub mod mon_netsplit;
pub mod mon_network_changed;
pub mod mon_not_running;
pub mod mon_out_of_quorum;
pub mod mon_stale_store;
pub mod mon_unschedulable;
pub mod mons_start_slowly;
pub mod quorum_lost;

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use super::node::maintenance::in_maintenance;
use super::opr::older;
use crate::check::{ObjectRef, Place, Severity};
use crate::facts::tables::PodRow;
use crate::facts::{CephCommand, Fact, Facts, Gap, MonPod, Settled, Unknown, Why, kinds};
use crate::objects::ceph::{Mon as MapMon, MonStatus};
use crate::objects::kube::{ConfigMap, ContainerStatus, Deployment, Pod, PodSpec};
use crate::objects::rook::CephCluster;

/// What the names of all monitors' Deployments begin with.
pub(crate) const PREFIX: &str = "rook-ceph-mon-";

/// The ConfigMap in which Rook writes down its monitors.
pub(crate) const ENDPOINTS: &str = "rook-ceph-mon-endpoints";

/// Why the checks of monitors do not apply to an external cluster.
pub(crate) const EXTERNAL: &str = "the monitors of an external cluster live elsewhere";

/// A monitor that has pods here.
#[derive(Clone)]
pub(crate) struct Mon<'s> {
    pub id: &'s str,
    /// The pod that counts: not one that was replaced, if there is another.
    pub pod: &'s PodRow,
    /// Where one of its pods is or was; none if none was ever placed.
    pub node: Option<&'s str>,
}

impl Mon<'_> {
    pub fn runs(&self) -> bool {
        self.pod.status == "Running"
    }
}

/// The monitors by id. Canaries (`a-canary`) are Rook's probes for a place and maintenance pods
/// (`a-maintenance`) only sleep: neither is a monitor.
pub(crate) fn mons<'s>(facts: &Facts<'s>) -> Result<Vec<Mon<'s>>, Gap> {
    let mut pods: BTreeMap<&str, Vec<&PodRow>> = BTreeMap::new();
    for row in facts.mon_pods()? {
        if let Some(id) = row.daemon_id(PREFIX).filter(|id| !id.contains('-')) {
            pods.entry(id).or_default().push(row);
        }
    }
    let mon = |(id, mut pods): (&'s str, Vec<&'s PodRow>)| {
        pods.sort_by_key(|pod| pod.is_replaced());
        let node = pods.iter().map(|pod| pod.node.as_str()).find(|node| !node.is_empty());
        Some(Mon { id, pod: pods.first()?, node })
    };
    Ok(pods.into_iter().filter_map(mon).collect())
}

/// A monitor as a place and as the object that Rook keeps for it.
pub(crate) fn daemon(id: &str) -> Place {
    Place::daemon("mon", id)
}

pub(crate) fn deployment(ns: &str, id: &str) -> ObjectRef {
    ObjectRef::new(kinds::DEPLOYMENT, ns, &format!("{PREFIX}{id}"))
}

/// Rook's Deployments of monitors by id, without canaries and maintenance.
pub(crate) fn by_id(deployments: &[Deployment]) -> BTreeMap<&str, &Deployment> {
    let id = |it: &'_ Deployment| it.metadata.name.strip_prefix(PREFIX).is_some_and(|id| !id.contains('-'));
    deployments.iter().filter(|it| id(it)).map(|it| (&it.metadata.name[PREFIX.len()..], it)).collect()
}

/// The word of a monitor's command line behind this flag.
pub(crate) fn flag<'p>(pod: &'p PodSpec, flag: &str) -> Option<&'p str> {
    pod.containers.iter().find(|container| container.name == "mon")?.flag(flag)
}

/// Rook waits so long at most for a new monitor to join before it takes it away again.
const FAILOVER: SignedDuration = SignedDuration::from_mins(20);

/// Whether a monitor was added a moment ago: until it has joined and the old one is gone, lists differ.
pub(crate) fn failing_over(facts: &Facts<'_>, deployments: &BTreeMap<&str, &Deployment>) -> bool {
    deployments.values().any(|it| !older(facts, it.metadata.creation_timestamp, FAILOVER))
}

/// How bad a monitor is that cannot start: a new cluster stops there, an old one has the others.
pub(crate) fn severity_of_one(cluster: &CephCluster) -> Severity {
    if existed(cluster) { Severity::Warning } else { Severity::Critical }
}

/// A monitor that starts is given this long to join.
const JOINING: SignedDuration = SignedDuration::from_mins(2);

/// Whether a monitor was started moments ago, and not time after time: an upgrade or a new cluster starts them one by
/// one, and each takes a moment to join.
pub(crate) fn is_joining(facts: &Facts<'_>, pod: &Pod) -> bool {
    let once = |status: &&ContainerStatus| status.name == "mon" && status.restart_count < 2;
    let running = pod.status.container_statuses.iter().find(once).and_then(|status| status.state.running.as_ref());
    let started = running.and_then(|running| running.started_at);
    started.is_some() && !older(facts, started, JOINING)
}

/// Whether it is expected that this monitor is out: it was started moments ago, or waits for a node that somebody works
/// on. Where that cannot be seen it is not.
pub(crate) fn is_expected(facts: &Facts<'_>, mon: Option<&Mon<'_>>, node: Option<&str>) -> Result<bool, Gap> {
    let planned = in_maintenance(facts)?;
    let Some(mon) = mon else { return Ok(false) };
    if !mon.runs() {
        return Ok(node.is_some_and(|node| planned.contains(node)));
    }
    let Ok(pod) = facts.pod(&facts.cluster()?.ns, &mon.pod.name).settled()? else { return Ok(false) };
    Ok(is_joining(facts, pod))
}

/// Whether this cluster ever had a quorum: only then could Rook write down its fsid and the daemons' versions.
pub(crate) fn existed(cluster: &CephCluster) -> bool {
    let ceph = &cluster.status.ceph;
    !ceph.fsid.is_empty() || !ceph.versions.is_empty()
}

/// How many of this many monitors make a quorum.
pub(crate) fn majority(mons: usize) -> usize {
    mons / 2 + 1
}

/// What is known of the quorum.
pub(crate) enum Quorum<'s> {
    /// Ceph answers, which it does only with a quorum; or a monitor that is a member says so.
    Holds { inside: Vec<&'s str>, mons: usize, map: Option<&'s [MapMon]> },
    /// Too few of the monmap can be members.
    Lost(Box<Lost<'s>>),
    /// Ceph does not answer, and what would decide was not seen.
    Open(Vec<Unknown>),
}

/// A quorum that is lost: who counts, who answers, and who does not.
pub(crate) struct Lost<'s> {
    /// The newest map that a monitor told.
    pub monmap: &'s [MapMon],
    pub map: Vec<&'s str>,
    pub answered: Vec<&'s MonStatus>,
    pub missing: Vec<&'s str>,
    /// Nodes that are not Ready.
    pub gone: BTreeSet<&'s str>,
    /// Why Ceph did not answer.
    pub asked: Unknown,
}

/// Asks Ceph, and if it does not answer, each running monitor's own socket, which answers without a quorum.
pub(crate) fn quorum<'s>(facts: &Facts<'s>) -> Result<Quorum<'s>, Gap> {
    let asked = match facts.ceph_status().settled()? {
        Ok(status) if !status.quorum_names.is_empty() => {
            let inside = status.quorum_names.iter().map(String::as_str).collect();
            return Ok(Quorum::Holds { inside, mons: status.monmap.num_mons, map: None });
        }
        // An answer that names no monitor leaves the question open.
        Ok(_) => Unknown {
            fact: Fact::Ceph { ns: facts.cluster()?.ns.clone(), command: CephCommand::Status },
            why: Why::Malformed("it names no monitor in quorum".into()),
        },
        Err(unknown) => unknown,
    };
    let mons = mons(facts)?;
    let running = mons.iter().filter(|mon| mon.runs()).map(|mon| MonPod { id: mon.id, pod: &mon.pod.name });
    let sockets = facts.each(running, |facts, mon| facts.mon_socket(mon))?;
    let answered: Vec<&MonStatus> = sockets.seen.into_iter().map(|(_, status)| status).collect();
    if let Some(status) = answered.iter().find(|status| is_member(status)) {
        let map = &status.monmap.mons;
        let inside = map.iter().filter(|mon| status.quorum.contains(&mon.rank)).map(|mon| mon.name.as_str());
        return Ok(Quorum::Holds { inside: inside.collect(), mons: map.len(), map: Some(map) });
    }
    let gone = gone_nodes(facts)?;
    Ok(match lost(&mons, answered, gone, asked.clone()) {
        Some(lost) => Quorum::Lost(Box::new(lost)),
        None => Quorum::Open(sockets.blind.into_iter().chain([asked]).collect()),
    })
}

/// Those of the monmap that a quorum which holds is without.
pub(crate) fn outside<'s>(facts: &Facts<'s>, quorum: &Quorum<'s>) -> Result<Vec<&'s str>, Gap> {
    let Quorum::Holds { inside, mons, map } = quorum else { return Ok(Vec::new()) };
    if inside.len() >= *mons {
        return Ok(Vec::new());
    }
    let map = match map {
        Some(map) => *map,
        None => facts.quorum_status()?.monmap.mons.as_slice(),
    };
    Ok(map.iter().map(|mon| mon.name.as_str()).filter(|id| !inside.contains(id)).collect())
}

/// Counts who may still be a member: a monitor that runs on a node in sight and was not heard. Epoch 0 is the map
/// that a monitor is born with: it never had a quorum, and cannot tell of one that is lost.
fn lost<'s>(
    mons: &[Mon<'s>],
    answered: Vec<&'s MonStatus>,
    gone: BTreeSet<&'s str>,
    asked: Unknown,
) -> Option<Lost<'s>> {
    let newest = answered.iter().map(|status| &status.monmap).max_by_key(|map| map.epoch)?;
    let map: Vec<&str> = newest.mons.iter().map(|mon| mon.name.as_str()).collect();
    let silent = |id: &&str| answered.iter().all(|status| status.name != **id);
    let missing: Vec<&str> = map.iter().copied().filter(silent).collect();
    let in_sight = |mon: &&Mon<'_>| mon.runs() && !mon.node.is_some_and(|node| gone.contains(node));
    let may_serve = mons.iter().filter(in_sight).filter(|mon| missing.contains(&mon.id)).count();
    let decided = newest.epoch > 0 && may_serve < majority(map.len());
    decided.then_some(Lost { monmap: &newest.mons, map, answered, missing, gone, asked })
}

/// Nodes that are not Ready. If nodes cannot be read none is called gone, and the question stays open.
fn gone_nodes<'s>(facts: &Facts<'s>) -> Result<BTreeSet<&'s str>, Gap> {
    let Ok(nodes) = facts.nodes().settled()? else { return Ok(BTreeSet::new()) };
    Ok(nodes.iter().filter(|node| !node.is_ready()).map(|node| node.name.as_str()).collect())
}

/// Whether this monitor counts itself among a majority of its map.
fn is_member(status: &MonStatus) -> bool {
    let needed = majority(status.monmap.mons.len());
    matches!(status.state.as_str(), "leader" | "peon") && status.quorum.len() >= needed
}

/// The nodes that Rook assigned its monitors to; empty for those that the scheduler places. Only for places in
/// findings: an unreadable map costs a link, never a finding.
pub(crate) fn assigned_nodes(facts: &Facts<'_>) -> Result<BTreeMap<String, String>, Gap> {
    let ns = &facts.cluster()?.ns;
    let map = match facts.object::<ConfigMap>(ns, ENDPOINTS).settled()? {
        Ok(Some(map)) => map,
        Ok(None) | Err(_) => return Ok(BTreeMap::new()),
    };
    Ok(map.data.get("mapping").map_or_else(BTreeMap::new, |text| assigned(text)))
}

fn assigned(mapping: &str) -> BTreeMap<String, String> {
    let Ok(mapping) = serde_json::from_str::<serde_json::Value>(mapping) else { return BTreeMap::new() };
    let nodes = mapping.get("node").and_then(serde_json::Value::as_object);
    let name = |(id, node): (&String, &serde_json::Value)| Some((id.clone(), node.get("Name")?.as_str()?.to_owned()));
    nodes.map(|nodes| nodes.iter().filter_map(name).collect()).unwrap_or_default()
}

/// `mon.a, mon.c`
pub(crate) fn list<'i>(ids: impl IntoIterator<Item = &'i str>) -> String {
    ids.into_iter().map(|id| format!("mon.{id}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_is_more_than_half() {
        assert_eq!([1, 2, 3, 4, 5].map(majority), [1, 2, 2, 3, 3]);
    }

    #[test]
    fn a_monitor_without_a_node_is_not_assigned() {
        let nodes = assigned(r#"{"node":{"a":{"Name":"w1","Hostname":"w1"},"b":null}}"#);
        assert_eq!(nodes.into_iter().collect::<Vec<_>>(), [("a".to_owned(), "w1".to_owned())]);
        assert!(assigned("{").is_empty());
    }
}
