//! Images and versions.

pub mod ceph_versions_mixed;
mod gates;
pub mod image_overridden;
pub mod known_bad_version;
pub mod moving_tag;
pub mod rook_versions_mixed;
pub mod toolbox_stale;
pub mod upgrade_blocked;

use std::collections::BTreeSet;

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

/// A release, as (20, 2, 4).
pub(crate) type Release = (u32, u32, u32);

/// The release in `v20.2.4`, `20.2.4-0`, `v20.2.4-20260818` or `ceph version 20.2.4 (…)`; none if there is none.
pub(crate) fn release(text: &str) -> Option<Release> {
    let text = text.strip_prefix("ceph version ").unwrap_or(text);
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let mut numbers = text[..end].splitn(3, '.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next()??))
}

/// The releases that the daemons run, as the operator last saw them.
fn running(cluster: &CephCluster) -> BTreeSet<Release> {
    let seen = cluster.status.ceph.versions.get("overall").into_iter().flatten();
    seen.filter_map(|(text, _)| release(text)).collect()
}

/// The tag of an image; none if it has none, or only a digest.
fn tag(image: &str) -> Option<&str> {
    let (_, name) = image.rsplit_once('/').unwrap_or(("", image));
    let (_, tag) = name.split('@').next()?.split_once(':')?;
    Some(tag)
}

/// Whether the operator is at work: progressing, and heard of within the hour.
pub(crate) fn is_rolling(cluster: &CephCluster, now: Timestamp) -> bool {
    let progressing = condition(&cluster.status.conditions, "Progressing").filter(|it| it.status == "True");
    let heard = progressing.and_then(|it| it.last_heartbeat_time.max(it.last_transition_time));
    let recent = heard.is_some_and(|at| now.duration_since(at) < SignedDuration::from_hours(1));
    cluster.status.phase == "Progressing" && recent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_and_tags_are_read() {
        for (text, expected) in [
            ("v20.2.4", Some((20, 2, 4))),
            ("20.2.4-0", Some((20, 2, 4))),
            ("v19.2.3-20250717", Some((19, 2, 3))),
            ("ceph version 18.2.7 (6b0e988052ec84cf2d4a54ff9bbbc5e720b621ad) reef (stable)", Some((18, 2, 7))),
            ("v19.2", None),
            ("latest", None),
            ("v20.2.4.1", None),
        ] {
            assert_eq!(release(text), expected, "{text}");
        }
        for (image, expected) in [
            ("quay.io/ceph/ceph:v19", Some("v19")),
            ("registry:5000/ceph/ceph", None),
            ("registry:5000/ceph/ceph:v19.2.3@sha256:00", Some("v19.2.3")),
            ("ceph@sha256:00", None),
        ] {
            assert_eq!(tag(image), expected, "{image}");
        }
    }
}
