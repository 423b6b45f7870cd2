//! OSDs.

mod crash_reasons;
pub mod device_skipped;
pub mod encryption_key_unavailable;
mod lost;
mod lost_told;
mod node_names;
pub mod osd_capacity;
pub mod osd_crashing;
pub mod osd_down;
pub mod osd_flags_left;
pub mod osd_missing;
pub mod osd_phantom;
pub mod osd_prepare_failed;
pub mod osd_pvc_pending;
pub mod osd_restarted_needlessly;
pub mod osd_slow_heartbeat;
pub mod osd_slow_ops;
pub mod osds_not_deployed;
mod prepare_jobs;
pub(crate) mod prepare_log;
pub mod storage_selection_empty;
mod template_diff;
mod volume_keys;

use std::collections::BTreeMap;

use crate::check::{ObjectRef, Place};
use crate::facts::kinds;
use crate::facts::tables::PodRow;
use crate::objects::multus::selections;
use crate::objects::rook::CephCluster;

/// The pods of one OSD: usually one; while a node is lost, the old one and its replacement.
#[derive(Clone)]
pub(crate) struct OsdPods<'r> {
    pub id: i64,
    pub rows: Vec<&'r PodRow>,
}

impl<'r> OsdPods<'r> {
    /// Whether one of them runs with every container ready.
    pub fn is_well(&self) -> bool {
        self.rows.iter().any(|row| row.status == "Running" && row.is_well())
    }

    /// Where the OSD runs, or ran: the old pod of a lost node still says so.
    pub fn node(&self) -> Option<&'r str> {
        self.rows.iter().map(|row| row.node.as_str()).find(|node| !node.is_empty())
    }
}

/// OSD pods by OSD.
pub(crate) fn by_osd(rows: &[PodRow]) -> BTreeMap<i64, OsdPods<'_>> {
    let mut osds: BTreeMap<i64, OsdPods<'_>> = BTreeMap::new();
    for row in rows {
        let Some(id) = row.daemon_id("rook-ceph-osd-").and_then(|id| id.parse().ok()) else { continue };
        osds.entry(id).or_insert_with(|| OsdPods { id, rows: Vec::new() }).rows.push(row);
    }
    osds
}

/// Where each OSD runs, or ran.
pub(crate) fn nodes_by_osd(rows: &[PodRow]) -> BTreeMap<i64, &str> {
    by_osd(rows).into_iter().filter_map(|(id, osd)| Some((id, osd.node()?))).collect()
}

/// The Deployment that Rook makes for an OSD.
pub(crate) fn deployment(ns: &str, osd: i64) -> ObjectRef {
    ObjectRef::new(kinds::DEPLOYMENT, ns, &format!("rook-ceph-osd-{osd}"))
}

/// The name that Rook gives a node's bucket in the CRUSH map, where dots are not allowed.
pub(crate) fn crush_name(node: &str) -> String {
    node.replace('.', "-")
}

/// The OSD that a Deployment of this name runs.
pub(crate) fn osd_of_deployment(name: &str) -> Option<i64> {
    name.strip_prefix("rook-ceph-osd-")?.parse().ok()
}

/// The storage networks of these roles (`public`, `cluster`), where the provider is Multus.
pub(crate) fn networks(cluster: &CephCluster, roles: &[&str]) -> Vec<Place> {
    let network = &cluster.spec.network;
    let selectors =
        roles.iter().filter_map(|role| network.selectors.get(*role)).filter(|_| network.provider == "multus");
    // A selector that cannot be read is NET005's to report.
    let names = selectors.flat_map(|text| selections(text, &cluster.metadata.namespace).unwrap_or_default());
    names.map(|selection| Place::Network(selection.full_name())).collect()
}

/// `osd.1, osd.4`
pub(crate) fn names(osds: impl IntoIterator<Item = i64>) -> String {
    osds.into_iter().map(|id| format!("osd.{id}")).collect::<Vec<_>>().join(", ")
}
