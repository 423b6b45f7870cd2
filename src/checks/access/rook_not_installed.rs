use super::api_server;
use crate::check;
use crate::check::{Answered, Evidence, Finding, Remedy, Text};
use crate::facts::{Facts, Gap, Select, both, kinds};
use crate::objects::rook::CephCluster;
use crate::say;

check! {
    /// # What it looks at
    /// Whether the API server serves `cephclusters.ceph.rook.io`, and whether any namespace has a Deployment of
    /// that name, `rook-ceph-operator`: manifests and charts label it differently. Where a CephCluster exists, an absent operator is OPR001's.
    ///
    /// # Why it matters
    /// Without both there is nothing here that this tool could diagnose: most often the context is the wrong one.
    ///
    /// # Confirm by hand
    /// `kubectl get crd cephclusters.ceph.rook.io` and
    /// `kubectl get deployments -A --field-selector metadata.name=rook-ceph-operator`.
    ///
    /// # Fix
    /// Choose the right context, or install Rook.
    ///
    /// # References
    /// Rook: Getting-Started/quickstart, "Deploy the Rook Operator".
    "ACC003" "rook-not-installed" Access,
    needs: [Discovery, CephClusters, Operators, Objects],
    explained_by: [],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    if !facts.installed(kinds::CEPH_CLUSTER)? {
        let summary = say!("Rook is not installed: the API server does not serve cephclusters.ceph.rook.io");
        return Ok(Answered::judged(vec![finding(summary, "cephclusters.ceph.rook.io is absent")]));
    }
    let (clusters, operators) = both(facts.ceph_clusters(), facts.operators())?;
    // In one namespace is not in all: only the whole list tells, and it may be refused.
    let is_there = !clusters.is_empty() || !operators.is_empty();
    if is_there || !facts.list::<CephCluster>(None, Select::all())?.is_empty() {
        return Ok(Answered::passed());
    }
    let summary = say!("Rook's CRDs are there, but neither an operator nor a CephCluster is, in any namespace");
    Ok(Answered::judged(vec![finding(summary, "no Deployment rook-ceph-operator, no CephCluster")]))
}

fn finding(summary: Text, excerpt: &str) -> Finding {
    let object = api_server();
    let remedy = Remedy::advice(say!("check that this is the right cluster; if it is, install Rook"))
        .command("kubectl config current-context")
        .command("kubectl get crd cephclusters.ceph.rook.io")
        .command("kubectl get deployments -A --field-selector metadata.name=rook-ceph-operator");
    let evidence = Evidence::field(&object, "discovery", excerpt);
    Finding::warning(object, summary, remedy).evidence([evidence])
}
