//! Prepare jobs that made fewer OSDs than the CephCluster asks for.

use std::collections::BTreeMap;

use super::OsdPods;
use crate::facts::tables::PodRow;
use crate::objects::rook::Storage;

/// The pods of jobs that ended well and should have made more OSDs than there are.
pub(super) fn short<'r>(
    storage: &'r Storage,
    prepare: &'r [PodRow],
    present: &'r BTreeMap<i64, OsdPods<'r>>,
) -> impl Iterator<Item = &'r PodRow> {
    prepare.iter().filter(|pod| pod.is_done() && is_short(storage, pod, present))
}

/// Whether OSDs of this job are certainly wanted: the CephCluster names its node, or there is no OSD at all.
/// Where any node may be used, one without OSDs is an ordinary one.
pub(super) fn is_wanted(storage: &Storage, pod: &PodRow, present: &BTreeMap<i64, OsdPods<'_>>) -> bool {
    !storage.use_all_nodes || present.is_empty() || storage.nodes.iter().any(|node| is_of(pod, &node.name))
}

/// Fewer OSDs than devices are named for the job's node, or claims, or none at all.
fn is_short(storage: &Storage, pod: &PodRow, present: &BTreeMap<i64, OsdPods<'_>>) -> bool {
    let here = present.values().filter(|osd| osd.node() == Some(pod.node.as_str())).count();
    let node = storage.nodes.iter().find(|node| is_of(pod, &node.name));
    let claims = storage.claims();
    match node {
        Some(node) if !node.devices.is_empty() => here < node.devices.len(),
        Some(_) => here == 0,
        None if claims > 0 && !pod.name.contains(pod.node.as_str()) => present.len() < claims,
        None if !storage.devices.is_empty() => here < storage.devices.len(),
        None => here == 0,
    }
}

/// Jobs are named after their node; a long name is hashed, and the pod then still runs there.
pub(super) fn is_of(pod: &PodRow, node: &str) -> bool {
    pod.node == node || pod.is_of_daemon_set(&format!("rook-ceph-osd-prepare-{node}"))
}
