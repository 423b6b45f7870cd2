use super::{minor, operator};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy};
use crate::facts::{Facts, Gap, both};
use crate::objects::rook::CephCluster;
use crate::say;

check! {
    /// # What it looks at
    /// The version of Rook (the tag of the operator's image, 1.12 to 1.20) against the oldest Kubernetes (of the
    /// nodes' kubelets) and the oldest Ceph (`status.version` of the CephCluster) that its release notes support.
    ///
    /// # Why it matters
    /// It is information: such a cluster works until it does not, and nobody tests it. An upgrade of Rook alone is
    /// how one gets there; the operator itself refuses a Ceph that is too old, and then changes nothing any more.
    ///
    /// # Confirm by hand
    /// `kubectl get nodes`, `kubectl -n <operator-ns> get deploy rook-ceph-operator -o wide` and
    /// `kubectl -n <ns> get cephcluster -o jsonpath='{..status.version}'`.
    ///
    /// # Fix
    /// Bring Kubernetes or Ceph to what this release of Rook supports, one minor version after the other, before the
    /// next upgrade of Rook.
    ///
    /// # References
    /// Rook: release notes of v1.12.0 to v1.20.0, "Breaking Changes"; Getting-Started/Prerequisites, "Kubernetes Version";
    /// Upgrade/ceph-upgrade, "Supported Versions".
    "OPR009" "version-unsupported" Opr,
    needs: [Discovery, CephClusters, Operators, Nodes],
    explained_by: [],
}

type Version = (u32, u32);

/// A release of Rook, and the oldest Kubernetes and Ceph that it supports.
const SUPPORTED: &[(Version, Version, Version)] = &[
    ((1, 12), (1, 22), (16, 2)),
    ((1, 13), (1, 23), (17, 2)),
    ((1, 14), (1, 25), (17, 2)),
    ((1, 15), (1, 26), (17, 2)),
    ((1, 16), (1, 27), (18, 2)),
    ((1, 17), (1, 28), (18, 2)),
    ((1, 18), (1, 29), (18, 2)),
    ((1, 19), (1, 30), (19, 2)),
    ((1, 20), (1, 31), (19, 2)),
];

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ((cluster, operator), nodes) = both(both(facts.ceph_cluster(), operator(facts)), facts.nodes())?;
    let Some(rook) = operator.and_then(|operator| operator.image_tag()) else { return Ok(Answered::passed()) };
    let release = minor(rook);
    let Some((_, kubernetes, ceph)) = SUPPORTED.iter().find(|(of, ..)| release == Some(*of)) else {
        return Ok(Answered::passed());
    };
    let versions = nodes.iter().filter_map(|node| Some((minor(&node.version)?, node)));
    let oldest = versions.min_by_key(|(version, _)| *version).filter(|(version, _)| version < kubernetes);
    let mut findings = Vec::new();
    if let Some((_, node)) = oldest {
        let evidence = Evidence::field(&ObjectRef::node(&node.name), "status.nodeInfo.kubeletVersion", &node.version);
        findings.push(finding(cluster, rook, ("Kubernetes", &node.version, *kubernetes), evidence));
    }
    let running = &cluster.status.version.version;
    if minor(running).is_some_and(|version| version < *ceph) {
        let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
        let evidence = Evidence::field(&object, "status.version.version", running);
        findings.push(finding(cluster, rook, ("Ceph", running, *ceph), evidence));
    }
    Ok(Answered::judged(findings))
}

fn finding(cluster: &CephCluster, rook: &str, of: (&'static str, &str, Version), evidence: Evidence) -> Finding {
    let (what, running, (major, minor)) = of;
    let least = format!("{major}.{minor}");
    let summary = say!("Rook {} supports {} {} and later; {} runs here", rook, what, least, running);
    let remedy = Remedy::advice(say!("bring {} to {} or later before the next upgrade of Rook", what, least));
    let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
    Finding::info(object, summary, remedy).detail(what.to_lowercase()).evidence([evidence])
}
