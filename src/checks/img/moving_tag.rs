use std::collections::{BTreeMap, BTreeSet};

use super::{others, release, running, tag};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Severity};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, both};
use crate::objects::kube::Pod;
use crate::objects::rook::CephCluster;
use crate::say;

check! {
    /// # What it looks at
    /// The tag of `spec.cephVersion.image`: one that moves with each release (`latest`, `v19`, `v19.2`, or none) and
    /// no digest beside it. Then, and where daemons run several versions though all Deployments have that one image,
    /// the digests (`imageID`) of some running daemons, one of each node, up to sixteen.
    ///
    /// # Why it matters
    /// Rook sees no change when the registry moves a tag, and each node pulls it on a day of its own. Daemons of one
    /// cluster then run different builds, a restart upgrades a daemon with none of Rook's checks before it, and
    /// nothing in the specification says so.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get pods -l rook_cluster=<ns> -o jsonpath='{range .items[*]}{.status.containerStatuses[0].imageID}{"\n"}{end}' | sort | uniq -c`.
    ///
    /// # Fix
    /// Set a full release in `spec.cephVersion.image` (`v19.2.3`, or one with its build date), not an older one than
    /// what runs. The operator then brings all daemons to it, with its checks.
    ///
    /// # References
    /// Rook: Upgrade/ceph-upgrade, "Ceph images".
    "IMG007" "moving-tag" Img,
    needs: [Discovery, CephClusters, DaemonDeployments, MonPods, MgrPods, OsdPods, Objects],
    explained_by: [],
}

const SAMPLE: usize = 16;

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    if facts.cluster()?.external {
        return Ok(Answered::NotApplicable("the daemons of an external cluster live elsewhere"));
    }
    let (cluster, rows) = both(facts.ceph_cluster(), facts.daemon_deployments())?;
    let image = &cluster.spec.ceph_version.image;
    let versions = running(cluster).len();
    let is_moving = moves(image);
    // A full release can be pushed again as well; then only the versions tell.
    let is_mixed = versions > 1 && !image.contains('@') && others(rows, cluster).is_empty();
    if !is_moving && !is_mixed {
        return Ok(Answered::passed());
    }
    let (mons, (mgrs, osds)) = both(facts.mon_pods(), both(facts.mgr_pods(), facts.osd_pods()))?;
    let pods = facts.each(sample(mons.iter().chain(mgrs).chain(osds)), |facts, row| facts.pod(&row.ns, &row.name))?;
    let builds = builds(pods.seen.iter().map(|(_, pod)| *pod), image);
    let finding = match builds.len() {
        0 | 1 if !is_moving => None,
        0 | 1 => Some(finding(cluster, Severity::Info, &builds)),
        // Several digests of one release may also be nodes of several architectures.
        _ if versions <= 1 => Some(finding(cluster, Severity::Info, &builds)),
        _ => Some(finding(cluster, Severity::Warning, &builds)),
    };
    Ok(Answered::judged(finding.into_iter().collect()).blind(pods.blind))
}

/// Whether a registry moves this tag with each release.
fn moves(image: &str) -> bool {
    if image.is_empty() || image.contains('@') {
        return false;
    }
    let Some(tag) = tag(image) else { return true };
    let numbers = tag.strip_prefix('v').unwrap_or(tag);
    let is_short = numbers.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    tag == "latest" || (is_short && release(tag).is_none())
}

/// One running pod of each node, in the order of nodes, with as many daemons as there is room for.
fn sample<'r>(rows: impl Iterator<Item = &'r PodRow>) -> Vec<&'r PodRow> {
    let mut nodes: BTreeMap<&str, &PodRow> = BTreeMap::new();
    for row in rows.filter(|row| row.is_well() && !row.node.is_empty()) {
        nodes.entry(&row.node).or_insert(row);
    }
    nodes.into_values().take(SAMPLE).collect()
}

/// The digests that run under this image, and the pods that run them.
fn builds<'p>(pods: impl Iterator<Item = &'p Pod>, image: &str) -> BTreeMap<&'p str, Vec<&'p Pod>> {
    let mut builds: BTreeMap<&str, Vec<&Pod>> = BTreeMap::new();
    for pod in pods {
        let ours = pod.containers().filter(|(container, _)| container.image == image);
        let digests = ours.filter_map(|(_, status)| status?.image_id.split_once('@'));
        for digest in digests.map(|(_, digest)| digest).collect::<BTreeSet<_>>() {
            builds.entry(digest).or_default().push(pod);
        }
    }
    builds
}

fn finding(cluster: &CephCluster, severity: Severity, builds: &BTreeMap<&str, Vec<&Pod>>) -> Finding {
    let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
    let image = &cluster.spec.ceph_version.image;
    let runs: Vec<String> = running(cluster).iter().map(|(a, b, c)| format!("{a}.{b}.{c}")).collect();
    let runs = runs.join(", ");
    let summary = match (builds.len(), severity) {
        (0 | 1, _) => {
            say!("the image {} moves with each release: the next restart on a new node may upgrade Ceph", image)
        }
        (count, Severity::Info) => {
            say!("{} stands for {} builds, all of {} (or for nodes of several architectures)", image, count, runs)
        }
        (count, _) => say!("{} stands for {} builds: daemons run {} under one image", image, count, runs),
    };
    let (ns, name) = (&cluster.metadata.namespace, &cluster.metadata.name);
    let remedy = Remedy::advice(match running(cluster).last() {
        Some((a, b, c)) => say!(
            "set a full release in spec.cephVersion.image (v{} or later); the operator then brings every daemon to it",
            format!("{a}.{b}.{c}")
        ),
        None => say!("set a full release in spec.cephVersion.image; the operator then brings every daemon to it"),
    })
    .command(format!("kubectl -n {ns} edit cephcluster {name}"));
    let pods = builds.iter().map(|(digest, pods)| {
        let on: BTreeSet<&str> = pods.iter().map(|pod| pod.spec.node_name.as_str()).collect();
        let on = on.into_iter().take(6).collect::<Vec<_>>().join(", ");
        let pod = pods.first().map_or_else(|| object.clone(), |pod| ObjectRef::pod(pod));
        Evidence::field(&pod, "status.containerStatuses[].imageID", format!("{digest} on {on}"))
    });
    Finding::new(severity, object.clone(), summary, remedy)
        .evidence([Evidence::field(&object, "spec.cephVersion.image", image)])
        .evidence(pods)
}

#[cfg(test)]
mod tests {
    use super::moves;

    #[test]
    fn tags_that_move_are_told_from_releases() {
        for (image, expected) in [
            ("quay.io/ceph/ceph:v19", true),
            ("quay.io/ceph/ceph:v19.2", true),
            ("quay.io/ceph/ceph:latest", true),
            ("registry:5000/ceph/ceph", true),
            ("quay.io/ceph/ceph:v19.2.3", false),
            ("quay.io/ceph/ceph:v19.2.3-20250717", false),
            ("quay.io/ceph/ceph:v19@sha256:00", false),
            ("registry/ceph:our-build", false),
            ("", false),
        ] {
            assert_eq!(moves(image), expected, "{image}");
        }
    }
}
