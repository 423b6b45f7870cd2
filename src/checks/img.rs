//! Images and versions.

pub mod ceph_versions_mixed;
pub mod image_overridden;

use jiff::{SignedDuration, Timestamp};

use crate::facts::tables::DeploymentRow;
use crate::objects::kube::condition;
use crate::objects::rook::CephCluster;

/// The daemons that run the CephCluster's image: the prefix of their Deployments, and the type of the daemon.
const DAEMONS: &[(&str, &str)] = &[
    ("rook-ceph-mon-", "mon"),
    ("rook-ceph-mgr-", "mgr"),
    ("rook-ceph-osd-", "osd"),
    ("rook-ceph-mds-", "mds"),
    ("rook-ceph-rgw-", "rgw"),
    ("rook-ceph-rbd-mirror-", "rbd-mirror"),
    ("rook-ceph-fs-mirror-", "fs-mirror"),
];

/// A daemon whose image is not the CephCluster's.
struct Other<'r> {
    deployment: &'r str,
    /// The daemon's type, which is also the name of its container.
    kind: &'static str,
    id: &'r str,
    image: &'r str,
}

fn others<'r>(rows: &'r [DeploymentRow], cluster: &CephCluster) -> Vec<Other<'r>> {
    let found = rows.iter().filter_map(|row| {
        let (id, kind) = DAEMONS.iter().find_map(|(prefix, kind)| Some((row.name.strip_prefix(prefix)?, *kind)))?;
        let image = row.image_of(kind)?;
        (image != cluster.spec.ceph_version.image).then_some(Other { deployment: &row.name, kind, id, image })
    });
    found.collect()
}

/// Whether the operator is at work: progressing, and heard of within the hour.
pub(crate) fn is_rolling(cluster: &CephCluster, now: Timestamp) -> bool {
    let progressing = condition(&cluster.status.conditions, "Progressing").filter(|it| it.status == "True");
    let heard = progressing.and_then(|it| it.last_heartbeat_time.max(it.last_transition_time));
    let recent = heard.is_some_and(|at| now.duration_since(at) < SignedDuration::from_hours(1));
    cluster.status.phase == "Progressing" && recent
}
