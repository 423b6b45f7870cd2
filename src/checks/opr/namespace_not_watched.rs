use jiff::{SignedDuration, Timestamp};

use super::{OPERATOR, OPERATOR_CONFIG, OWN_NAMESPACE_ONLY, older, watches};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Severity};
use crate::facts::{Facts, Gap};
use crate::objects::kube::Deployment;
use crate::objects::rook::CephCluster;
use crate::say;

check! {
    /// # What it looks at
    /// Whether any operator looks after the namespace of the CephCluster. One with the setting
    /// ROOK_CURRENT_NAMESPACE_ONLY = "true" (in the ConfigMap `rook-ceph-operator-config`, which goes before the
    /// environment; also Rook's default where neither sets it) sees only its own namespace. A cluster whose
    /// `status.ceph.lastChecked` is minutes old is looked after by somebody, and nothing is reported.
    ///
    /// # Why it matters
    /// Nothing happens and nothing says so: the CephCluster has no events and no new status, and the operator is
    /// healthy. Its log does not name the namespace even once.
    ///
    /// # Confirm by hand
    /// `kubectl -n <operator-ns> get cm rook-ceph-operator-config -o yaml` and
    /// `kubectl -n <operator-ns> set env deploy/rook-ceph-operator --list`, for ROOK_CURRENT_NAMESPACE_ONLY.
    ///
    /// # Fix
    /// Set it to "false" and give the operator its rights in the cluster's namespace (`common-second-cluster.yaml`,
    /// or the chart rook-ceph-cluster), or create the CephCluster in the operator's namespace.
    ///
    /// # References
    /// Rook: deploy/examples/operator.yaml; pkg/operator/ceph/operator.go (`namespaceToWatch`);
    /// deploy/examples/common-second-cluster.yaml.
    "OPR011" "namespace-not-watched" Opr,
    needs: [Discovery, CephClusters, Operators, Objects],
    explained_by: [],
}

/// An operator at work renews `lastChecked` every minute.
const STALE: SignedDuration = SignedDuration::from_mins(15);

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.ceph_cluster()?;
    let checked: Option<Timestamp> = cluster.status.ceph.last_checked.parse().ok();
    if checked.is_some() && !older(facts, checked, STALE) {
        return Ok(Answered::passed());
    }
    let ns = &cluster.metadata.namespace;
    let operators = facts.operators()?;
    let watched = facts.each(operators, |facts, operator| watches(facts, operator, ns))?;
    let kept_home = watched.seen.iter().filter(|(_, watches)| *watches == Some(false)).count();
    // Without any operator there is nothing to set: OPR001 reports that.
    if operators.is_empty() || kept_home < operators.len() {
        let is_seen = watched.seen.iter().any(|(_, watches)| *watches == Some(true));
        return Ok(Answered::passed().blind(watched.blind.into_iter().filter(|_| !is_seen)));
    }
    Ok(Answered::judged(vec![finding(cluster, operators)]))
}

fn finding(cluster: &CephCluster, operators: &[Deployment]) -> Finding {
    let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
    let homes: Vec<&str> = operators.iter().map(|operator| operator.metadata.namespace.as_str()).collect();
    let ns = &cluster.metadata.namespace;
    let summary = say!(
        "no operator looks after the namespace {}: those in {} are kept to their own namespace",
        ns,
        homes.join(", ")
    );
    let mut remedy = Remedy::guided(say!(
        "let one operator look after all namespaces, and give it its rights in {} (common-second-cluster.yaml); or create the CephCluster in the operator's namespace",
        ns
    ));
    if let Some(home) = homes.first() {
        remedy = remedy
            .command(format!("kubectl -n {home} patch cm {OPERATOR_CONFIG} --type merge -p '{{\"data\":{{\"{OWN_NAMESPACE_ONLY}\":\"false\"}}}}'"))
            .command(format!("kubectl -n {home} rollout restart deploy/{OPERATOR}"));
    }
    let never = cluster.status.phase.is_empty();
    let severity = if never { Severity::Critical } else { Severity::Warning };
    let status = if never { "empty: no operator ever saw it" } else { cluster.status.ceph.last_checked.as_str() };
    let field = if never { "status" } else { "status.ceph.lastChecked" };
    let settings = operators.iter().map(|operator| {
        let object = ObjectRef::of::<Deployment>(&operator.metadata);
        Evidence::field(&object, "setting", format!("{OWN_NAMESPACE_ONLY} is true, by setting or by default"))
    });
    let settings: Vec<Evidence> = settings.collect();
    let seen = Evidence::field(&object, field, status);
    Finding::new(severity, object, summary, remedy)
        .since(cluster.metadata.creation_timestamp.filter(|_| never))
        .evidence([seen])
        .evidence(settings)
}
