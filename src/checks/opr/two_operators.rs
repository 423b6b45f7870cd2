use super::{OPERATOR, OWN_NAMESPACE_ONLY, watches};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy};
use crate::facts::{Facts, Gap};
use crate::objects::kube::Deployment;
use crate::say;

check! {
    /// # What it looks at
    /// All Deployments `rook-ceph-operator` that are not scaled to 0 and that look after the CephCluster's
    /// namespace: an operator does so for its own, and for all others unless its setting
    /// ROOK_CURRENT_NAMESPACE_ONLY (ConfigMap `rook-ceph-operator-config` before the environment) is "true". More
    /// than one of them, or one with several replicas, is reported.
    ///
    /// # Why it matters
    /// Rook elects no leader among operators. Two of them fail over the same monitor twice, undo each other's
    /// Deployments when their versions differ, and each believes that the other's changes are somebody's mistake.
    ///
    /// # Confirm by hand
    /// `kubectl get deploy -A --field-selector metadata.name=rook-ceph-operator` and
    /// `kubectl -n <operator-ns> set env deploy/rook-ceph-operator --list`.
    ///
    /// # Fix
    /// Keep one operator for all clusters, or set ROOK_CURRENT_NAMESPACE_ONLY to "true" for each one that shares
    /// its namespace with its only cluster. Never scale an operator beyond one replica.
    ///
    /// # References
    /// Rook: deploy/examples/operator.yaml (ROOK_CURRENT_NAMESPACE_ONLY, strategy Recreate); pkg/operator/ceph:
    /// the manager runs with LeaderElection off; Storage-Configuration/Advanced/ceph-configuration, "Deploying a second cluster".
    "OPR013" "two-operators" Opr,
    needs: [Operators, Objects],
    explained_by: [],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    let running = facts.operators()?.iter().filter(|it| it.metadata.deletion_timestamp.is_none() && replicas(it) > 0);
    let running: Vec<&Deployment> = running.collect();
    if running.iter().map(|operator| replicas(operator)).sum::<i64>() < 2 {
        return Ok(Answered::passed());
    }
    let watched = facts.each(running, |facts, operator| watches(facts, operator, &cluster.ns))?;
    let watching = watched.seen.iter().filter(|(_, watches)| *watches == Some(true)).map(|(operator, _)| *operator);
    let mut watching: Vec<&Deployment> = watching.collect();
    // The one that is the cluster's own names the finding.
    watching.sort_by_key(|operator| operator.metadata.namespace != cluster.operator_ns);
    let copies: i64 = watching.iter().map(|operator| replicas(operator)).sum();
    let finding = (copies >= 2).then(|| finding(&watching, &cluster.ns, copies)).flatten();
    Ok(Answered::judged(finding.into_iter().collect()).blind(watched.blind))
}

fn replicas(operator: &Deployment) -> i64 {
    operator.spec.replicas.unwrap_or(1).into()
}

fn finding(watching: &[&Deployment], ns: &str, copies: i64) -> Option<Finding> {
    let mut objects = watching.iter().map(|operator| ObjectRef::of::<Deployment>(&operator.metadata));
    let first = objects.next()?;
    let homes: Vec<&str> = watching.iter().map(|operator| operator.metadata.namespace.as_str()).collect();
    let summary = say!("{} operators look after the CephCluster in {} at once (in {})", copies, ns, homes.join(", "));
    let mut remedy = Remedy::guided(say!(
        "keep one: decide which, check that it has the version that the cluster runs with, and stop the others or keep them to their own namespace"
    ));
    for operator in watching.iter().filter(|operator| replicas(operator) > 1) {
        let home = &operator.metadata.namespace;
        remedy = remedy.command(format!("kubectl -n {home} scale deploy {OPERATOR} --replicas=1"));
    }
    // An operator in the cluster's own namespace looks after it whatever is set.
    for home in homes.iter().skip(1).filter(|home| **home != ns) {
        remedy = remedy.command(format!("kubectl -n {home} set env deploy/{OPERATOR} {OWN_NAMESPACE_ONLY}=true"));
    }
    let evidence = watching.iter().map(|operator| {
        let image = operator.spec.template.spec.containers.first().map_or("", |container| container.image.as_str());
        let excerpt = format!("{}, image {image}", replicas(operator));
        Evidence::field(&ObjectRef::of::<Deployment>(&operator.metadata), "spec.replicas", excerpt)
    });
    let evidence: Vec<Evidence> = evidence.collect();
    Some(Finding::warning(first, summary, remedy).also(objects).evidence(evidence))
}
