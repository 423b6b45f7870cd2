use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::{DAEMONS, is_rolling};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Severity};
use crate::checks::opr::{ago, older, operator, operator_pod};
use crate::facts::tables::DeploymentRow;
use crate::facts::{Cluster, Facts, Gap, both, kinds};
use crate::objects::kube::Deployment;
use crate::objects::rook::CephCluster;
use crate::say;

check! {
    /// # What it looks at
    /// Deployments of the CephCluster whose label `rook-version` is not the operator's version, an hour and more after
    /// the operator started and while it rolls nothing out. The version is the tag of the operator's image; where the
    /// tag is not a release of Rook, or a reconcile is over and no monitor has it, it is what the monitors' Deployments
    /// say, which the operator writes first. Jobs are left out: those that are done keep the version of their day.
    ///
    /// # Why it matters
    /// The operator wrote these Deployments with its last version and has not come to them since: fixes of their
    /// pods' specification have not arrived, and the next upgrade of Rook skips a version for them. Something
    /// holds the reconcile, or a resource of their own does not reconcile.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get deployments -l rook_cluster=<ns> -L rook-version` and
    /// `kubectl -n <operator-ns> get deploy rook-ceph-operator -o wide`.
    ///
    /// # Fix
    /// Remove what keeps the operator from them: a failing reconcile of the CephCluster or of the CephFilesystem or
    /// CephObjectStore that they belong to, HEALTH_ERR, the label `ceph.rook.io/do-not-reconcile`.
    ///
    /// # References
    /// Rook: Upgrade/rook-upgrade, "Wait for the upgrade to complete"; pkg/operator/ceph/controller/label.go.
    "IMG002" "rook-versions-mixed" Img,
    needs: [Discovery, CephClusters, Operators, OperatorPods, MonDeployments, DeploymentTables, Objects],
    explained_by: [
        (opr::operator_down, Cluster), (opr::operator_crashing, Cluster), (opr::reconcile_failing, Cluster),
        (opr::reconcile_stalled, Cluster), (opr::two_operators, Cluster), (opr::do_not_reconcile_left, Object),
        (opr::operator_rights_or_crds_stale, Cluster), (mon::quorum_lost, Cluster), (mon::all_mons_down, Cluster),
        (img::upgrade_blocked, Cluster), (node::image_pull_failing, Cluster),
    ],
}

/// What an operator needs to come to every Deployment of a cluster that is not large. A large one says Progressing.
const PATIENCE: SignedDuration = SignedDuration::from_mins(60);
const LABEL: &str = "rook-version";

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    if cluster.external {
        return Ok(Answered::NotApplicable("the daemons of an external cluster live elsewhere"));
    }
    let ((object, operator), mons) = both(both(facts.ceph_cluster(), operator(facts)), facts.mon_deployments())?;
    let tag = operator.and_then(Deployment::image_tag);
    let Some(expected) = expected(tag, mons, object) else { return Ok(Answered::passed()) };
    let ns = &cluster.ns;
    let behind = facts.deployments_where(&format!("rook_cluster={ns},{LABEL},{LABEL}!={expected}"))?;
    if behind.is_empty() || is_rolling(object, facts.now()) {
        return Ok(Answered::passed());
    }
    let started = match operator_pod(facts)? {
        Some(row) => facts.pod(&row.ns, &row.name)?.metadata.creation_timestamp,
        None => None,
    };
    if started.is_some() && !older(facts, started, PATIENCE) {
        return Ok(Answered::passed());
    }
    let mut behind: Vec<&DeploymentRow> = behind.iter().collect();
    behind.sort_by_key(|row| !is_daemon(row));
    let shown = facts.each(behind.iter().take(3), |facts, row| facts.object::<Deployment>(ns, &row.name))?;
    let since = started.map(|at| ago(facts, at));
    let shown = shown.seen.iter().filter_map(|(_, deployment)| *deployment);
    Ok(Answered::judged(vec![finding(cluster, expected, &behind, since.as_deref()).evidence(shown.filter_map(label))]))
}

/// The version that the operator writes.
fn expected<'s>(tag: Option<&'s str>, mons: &'s [Deployment], cluster: &CephCluster) -> Option<&'s str> {
    let written = mons.iter().filter_map(|mon| mon.metadata.labels.get(LABEL)).map(String::as_str);
    let written: BTreeSet<&str> = written.filter(|version| is_label(version)).collect();
    let release = tag.filter(|tag| tag.starts_with('v') && super::release(tag).is_some() && !tag.contains('-'));
    // A reconcile is over, and no monitor has this version: the image was only tagged so.
    let is_foreign = release.is_some_and(|tag| !written.contains(tag)) && cluster.status.phase == "Ready";
    let by_mons = written.first().copied().filter(|_| written.len() == 1);
    release.filter(|_| !is_foreign).or(by_mons)
}

/// It ends up in commands; a bundle may hold any text.
fn is_label(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn label(deployment: &Deployment) -> Option<Evidence> {
    let version = deployment.metadata.labels.get(LABEL)?;
    Some(Evidence::field(
        &ObjectRef::of::<Deployment>(&deployment.metadata),
        format!("metadata.labels[{LABEL}]"),
        version,
    ))
}

/// Not a collector of crashes or of metrics, which do nothing for the data.
fn is_daemon(row: &DeploymentRow) -> bool {
    DAEMONS.iter().any(|(prefix, _)| row.name.starts_with(prefix))
}

fn finding(cluster: &Cluster, expected: &str, behind: &[&DeploymentRow], since: Option<&str>) -> Finding {
    let ns = &cluster.ns;
    let objects = behind.iter().map(|row| ObjectRef::new(kinds::DEPLOYMENT, ns, &row.name));
    let names: Vec<&str> = behind.iter().take(6).map(|row| row.name.as_str()).collect();
    let shown = names.join(", ");
    let names = match behind.len() - names.len() {
        0 => say!("{}", shown),
        more => say!("{} and {} more", shown, more),
    };
    let severity = if behind.iter().any(|row| is_daemon(row)) { Severity::Warning } else { Severity::Info };
    let summary = match since {
        Some(since) => {
            say!("the operator writes Rook {} and has not come to {}, {} after it started", expected, names, since)
        }
        None => say!("the operator writes Rook {} and has not come to {}", expected, names),
    };
    let remedy = Remedy::guided(say!(
        "find what keeps the operator from them: a reconcile that fails, HEALTH_ERR, or the label do-not-reconcile; it then updates them by itself"
    ))
    .command(format!("kubectl -n {ns} get deployments -l rook_cluster={ns},{LABEL}!={expected} -L {LABEL},ceph.rook.io/do-not-reconcile"))
    .command(format!("kubectl -n {ns} get cephcluster,cephfilesystem,cephobjectstore"));
    Finding::new(severity, ObjectRef::cluster(cluster), summary, remedy).also(objects)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::kube::Meta;
    use crate::objects::rook::ClusterStatus;

    #[test]
    fn the_tag_counts_unless_a_reconcile_shows_otherwise() {
        for (tag, mons, phase, version) in [
            (Some("v1.18.0"), ["v1.18.0", "v1.17.8"], "Ready", Some("v1.18.0")),
            (Some("v1.18.0"), ["v1.17.8", "v1.17.8"], "Progressing", Some("v1.18.0")),
            (Some("v9.0.0"), ["v1.17.8", "v1.17.8"], "Ready", Some("v1.17.8")),
            (Some("our-build"), ["v1.17.8", "v1.17.8"], "Ready", Some("v1.17.8")),
            (Some("our-build"), ["v1.17.8", "v1.18.0"], "Progressing", None),
            (Some("v1.17.8-hotfix"), ["v1.17.8", "v1.17.8"], "Ready", Some("v1.17.8")),
            (None, ["v1.17.8", "v1.17.8"], "Ready", Some("v1.17.8")),
            (None, ["v1.17.8;id", "v1.17.8;id"], "Ready", None),
        ] {
            let mons = mons.map(|version| Deployment {
                metadata: Meta { labels: [(LABEL.to_owned(), version.to_owned())].into(), ..Meta::default() },
                ..Deployment::default()
            });
            let status = ClusterStatus { phase: phase.to_owned(), ..ClusterStatus::default() };
            let cluster = CephCluster { status, ..CephCluster::default() };
            assert_eq!(expected(tag, &mons, &cluster), version, "{tag:?} {phase}");
        }
    }
}
