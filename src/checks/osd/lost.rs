//! Which OSDs are not well, as Ceph sees it and as their pods show it.

use std::collections::{BTreeMap, BTreeSet};

use super::{OsdPods, by_osd, crush_name};
use crate::facts::{Facts, Gap, Settled, Unknown, both};
use crate::objects::ceph::{OsdTree, Status, TreeNode};

/// An OSD that is not well.
pub(super) struct Lost<'s> {
    pub id: i64,
    /// As Ceph sees it, if Ceph counts it as down.
    pub ceph: Option<&'s TreeNode>,
    pub pods: Option<OsdPods<'s>>,
    /// Its node; the CRUSH host of an OSD that lives elsewhere; empty if unknown.
    pub host: String,
}

impl Lost<'_> {
    /// Taken out of service, or destroyed for a new disk, and with nothing that should run: OSD013 tells of these.
    fn is_retired(&self) -> bool {
        self.pods.is_none() && self.ceph.is_some_and(|osd| osd.reweight == 0.0 || osd.status == "destroyed")
    }

    /// Its pod was made minutes ago and has not failed: an OSD needs a while until it is up.
    pub fn is_starting(&self) -> bool {
        let calm = ["Running", "Pending", "ContainerCreating", "PodInitializing", "Terminating"];
        self.pods.as_ref().is_some_and(|pods| {
            let new = pods.rows.iter().any(|row| row.is_new() && row.restarts == 0);
            new && pods.rows.iter().all(|row| {
                calm.contains(&row.status.as_str())
                    || row.status.strip_prefix("Init:").is_some_and(|at| at.contains('/'))
            })
        })
    }

    /// The process runs, and Ceph does not hear it.
    pub fn is_unheard(&self) -> bool {
        self.ceph.is_some() && !self.is_starting() && self.pods.as_ref().is_some_and(OsdPods::is_well)
    }

    /// The states of its pods: `Pending, Terminating`.
    pub fn states(&self) -> BTreeSet<&str> {
        self.pods.iter().flat_map(|pods| pods.rows.iter()).map(|row| row.status.as_str()).collect()
    }
}

/// Everything that was seen of the OSDs.
pub(super) struct Sight<'s> {
    pub lost: Vec<Lost<'s>>,
    pub pods: BTreeMap<i64, OsdPods<'s>>,
    /// None if Ceph could not be asked.
    pub status: Option<&'s Status>,
    pub tree: Option<&'s OsdTree>,
    pub blind: Vec<Unknown>,
}

/// Looks at the pods and, only where Ceph counts an OSD as down, at the tree.
pub(super) fn look<'s>(facts: &Facts<'s>) -> Result<Sight<'s>, Gap> {
    let (status, rows) = both(facts.ceph_status().settled(), facts.osd_pods().settled())?;
    let mut sight = Sight { lost: Vec::new(), pods: BTreeMap::new(), status: None, tree: None, blind: Vec::new() };
    match rows {
        Ok(rows) => sight.pods = by_osd(rows),
        Err(unknown) => sight.blind.push(unknown),
    }
    match status {
        Ok(status) => {
            sight.status = Some(status);
            if status.osdmap.num_up_osds < status.osdmap.num_osds {
                match facts.osd_tree().settled()? {
                    Ok(tree) => sight.tree = Some(tree),
                    Err(unknown) => sight.blind.push(unknown),
                }
            }
        }
        Err(unknown) => sight.blind.push(unknown),
    }
    sight.find();
    sight.find_hosts(facts)?;
    Ok(sight)
}

impl<'s> Sight<'s> {
    fn find(&mut self) {
        let all = self.tree.into_iter().flat_map(|tree| tree.osds().chain(&tree.stray));
        let ceph: BTreeMap<i64, &TreeNode> = all.filter(|osd| osd.is_down()).map(|osd| (osd.id, osd)).collect();
        let not_ready = self.pods.values().filter(|pods| !pods.is_well()).map(|pods| pods.id);
        let ids: BTreeSet<i64> = ceph.keys().copied().chain(not_ready).collect();
        let lost = ids.into_iter().map(|id| {
            let pods = self.pods.get(&id).cloned();
            let by_pod = pods.as_ref().and_then(OsdPods::node);
            let host = by_pod.or_else(|| self.tree?.host_of(id)).unwrap_or_default().to_owned();
            Lost { id, ceph: ceph.get(&id).copied(), pods, host }
        });
        self.lost = lost.filter(|osd| !osd.is_retired()).collect();
    }

    /// A pod that is not placed names its node in its selector.
    fn find_hosts(&mut self, facts: &Facts<'s>) -> Result<(), Gap> {
        let ns = &facts.cluster()?.ns;
        let unplaced = self.lost.iter_mut().filter(|osd| osd.host.is_empty());
        let unplaced: Vec<_> =
            unplaced.filter_map(|osd| Some((osd.pods.as_ref()?.rows.first()?.name.clone(), osd))).collect();
        let each = facts.each(unplaced, |facts, (pod, _)| facts.pod(ns, pod))?;
        for ((_, osd), pod) in each.seen {
            osd.host = pod.spec.node_selector.get("kubernetes.io/hostname").cloned().unwrap_or_default();
        }
        self.blind.extend(each.blind);
        Ok(())
    }

    /// How many OSDs a host has.
    pub fn count_on(&self, host: &str) -> usize {
        let pods = self.pods.values().filter(|pods| pods.node() == Some(host)).count();
        let bucket =
            self.tree.and_then(|tree| tree.nodes.iter().find(|it| it.kind == "host" && it.name == crush_name(host)));
        pods.max(bucket.map_or(0, |bucket| bucket.children.len()))
    }
}
