use jiff::SignedDuration;

use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Severity};
use crate::facts::{Facts, Gap, Select, both};
use crate::objects::kube::Deployment;
use crate::objects::rook::CephCluster;
use crate::say;

check! {
    /// # What it looks at
    /// A Rook operator without any CephCluster, in all namespaces or in the one that was asked for.
    ///
    /// # Why it matters
    /// The operator deploys nothing until a CephCluster asks for it. Where one is expected, it was created in
    /// another cluster, was refused by the API server, or was deleted.
    ///
    /// # Confirm by hand
    /// `kubectl get cephclusters -A`.
    ///
    /// # Fix
    /// Create the CephCluster, or look in the right namespace or context. A cluster whose namespace was deleted can be
    /// had back as long as its disks and `dataDirHostPath` are whole, which is not observable from the API: on the host
    /// of a monitor the files `<ns>/*.config` and `<ns>/client.admin.keyring` below it hold what the Secret
    /// `rook-ceph-mon` and the ConfigMap `rook-ceph-mon-endpoints` must hold again before the operator starts.
    ///
    /// # References
    /// Rook: Getting-Started/quickstart, "Create a Ceph Cluster"; CRDs/Cluster/ceph-cluster-crd.
    /// Troubleshooting/disaster-recovery, "Restoring the Rook cluster after the Rook namespace is deleted".
    "ACC004" "cephcluster-missing" Access,
    needs: [Discovery, CephClusters, Operators, Objects],
    explained_by: [],
}

/// The operator is installed first, and what it shall build a little later.
const INSTALLING: SignedDuration = SignedDuration::from_mins(15);

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (clusters, operators) = both(facts.ceph_clusters(), facts.operators())?;
    if !clusters.is_empty() {
        return Ok(Answered::passed());
    }
    let Some(operator) = operators.first() else {
        return Ok(Answered::NotApplicable("there is no Rook operator"));
    };
    let object = ObjectRef::of::<Deployment>(&operator.metadata);
    let ns = &operator.metadata.namespace;
    // In one namespace is not in all: only the whole list tells, and it may be refused.
    let everywhere = facts.list::<CephCluster>(None, Select::all())?;
    let summary = match everywhere.first() {
        Some(other) => say!("there is no CephCluster in this namespace, but one in {}", other.metadata.namespace),
        None => say!("there is no CephCluster in any namespace; the operator runs in {}", ns),
    };
    let remedy = Remedy::advice(say!("create a CephCluster, or choose the namespace or context that has one"))
        .command("kubectl get cephclusters -A")
        .command(format!("kubectl -n {ns} logs deployment/{} --tail=20", operator.metadata.name));
    let evidence = Evidence::field(&object, "metadata.name", "an operator, and no CephCluster");
    let young = operator.metadata.creation_timestamp.is_some_and(|made| facts.now().duration_since(made) < INSTALLING);
    let severity = if young { Severity::Info } else { Severity::Warning };
    Ok(Answered::judged(vec![Finding::new(severity, object, summary, remedy).evidence([evidence])]))
}
