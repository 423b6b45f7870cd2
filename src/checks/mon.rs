//! Monitors.

pub mod all_mons_down;
pub mod mon_count_unsafe;
pub mod mon_not_running;
pub mod mon_out_of_quorum;
pub mod mon_unschedulable;
pub mod mons_start_slowly;
pub mod quorum_lost;

use std::collections::{BTreeMap, BTreeSet};

use crate::check::{ObjectRef, Place};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, MonPod, Settled, Unknown, kinds};
use crate::objects::ceph::{Mon as MapMon, MonStatus};
use crate::objects::kube::ConfigMap;
use crate::objects::rook::CephCluster;

/// What the names of all monitors' Deployments begin with.
pub(crate) const PREFIX: &str = "rook-ceph-mon-";

/// Why the checks of monitors do not apply to an external cluster.
pub(crate) const EXTERNAL: &str = "the monitors of an external cluster live elsewhere";

/// A monitor that has pods here.
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
    pub map: Vec<&'s str>,
    pub answered: Vec<&'s MonStatus>,
    pub missing: Vec<&'s str>,
    /// Nodes that are not Ready.
    pub gone: BTreeSet<&'s str>,
    /// Why Ceph did not answer.
    pub asked: Option<Unknown>,
}

/// Asks Ceph, and if it does not answer, each running monitor's own socket, which answers without a quorum.
pub(crate) fn quorum<'s>(facts: &Facts<'s>) -> Result<Quorum<'s>, Gap> {
    let asked = match facts.ceph_status().settled()? {
        Ok(status) if !status.quorum_names.is_empty() => {
            let inside = status.quorum_names.iter().map(String::as_str).collect();
            return Ok(Quorum::Holds { inside, mons: status.monmap.num_mons, map: None });
        }
        Ok(_) => None,
        Err(unknown) => Some(unknown),
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
        None => Quorum::Open(sockets.blind.into_iter().chain(asked).collect()),
    })
}

/// Counts who may still be a member: a monitor that runs on a node in sight and was not heard. Epoch 0 is the map
/// that a monitor is born with: it never had a quorum, and cannot tell of one that is lost.
fn lost<'s>(
    mons: &[Mon<'s>],
    answered: Vec<&'s MonStatus>,
    gone: BTreeSet<&'s str>,
    asked: Option<Unknown>,
) -> Option<Lost<'s>> {
    let newest = answered.iter().map(|status| &status.monmap).max_by_key(|map| map.epoch)?;
    let map: Vec<&str> = newest.mons.iter().map(|mon| mon.name.as_str()).collect();
    let silent = |id: &&str| answered.iter().all(|status| status.name != **id);
    let missing: Vec<&str> = map.iter().copied().filter(silent).collect();
    let in_sight = |mon: &&Mon<'_>| mon.runs() && !mon.node.is_some_and(|node| gone.contains(node));
    let may_serve = mons.iter().filter(in_sight).filter(|mon| missing.contains(&mon.id)).count();
    let decided = newest.epoch > 0 && may_serve < majority(map.len());
    decided.then_some(Lost { map, answered, missing, gone, asked })
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
    let map = match facts.object::<ConfigMap>(ns, "rook-ceph-mon-endpoints").settled()? {
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
