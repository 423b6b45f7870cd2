use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Severity};
use crate::checks::ceph::is_new;
use crate::facts::{Facts, Gap, both};
use crate::objects::kube::condition;
use crate::objects::rook::CephCluster;
use crate::say;

use super::osd_of_deployment;

check! {
    /// # What it looks at
    /// A CephCluster without any OSD pod, OSD Deployment or prepare job, and the message of its `Progressing`
    /// condition, which names the stage where the operator stands: "Detecting Ceph version", "Configuring Ceph
    /// Mons", "Configuring Ceph Mgr(s)", "Configuring Ceph OSDs".
    ///
    /// # Why it matters
    /// Without OSDs there is no storage. Disks are not the question yet: the operator works in order and has
    /// not begun with OSDs, so what stopped it lies before them. In the first fifteen minutes of a cluster this
    /// is normal and only information.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get cephcluster -o jsonpath='{.items[*].status.message}'` and
    /// `kubectl -n <ns> get jobs -l app=rook-ceph-osd-prepare`.
    ///
    /// # Fix
    /// Repair the stage that it names; the operator then goes on by itself. If the cluster is Ready and still
    /// has no OSD, `spec.storage` selects no node and no device.
    ///
    /// # References
    /// Rook: "Common Issues", "OSD pods are not created on my devices"; conditions in `status.conditions`.
    "OSD001" "osds-not-deployed" Osd,
    needs: [Discovery, CephClusters, OsdPods, PrepareJobs, DaemonDeployments],
    explained_by: [
        (node::cni_not_ready, Cluster),
        (net::multus_missing, Cluster),
        (net::nad_missing, Cluster),
        (net::nad_invalid, Cluster),
        (net::nad_default_route, Cluster), (net::nad_overlaps_cluster_network, Cluster),
        (opr::operator_down, Cluster),
        (mon::quorum_lost, Cluster),
        (mon::all_mons_down, Cluster),
        (mon::mons_start_slowly, Cluster),
        (mon::mon_unschedulable, Cluster),
        (ceph::mgr_down, Cluster),
        (osd::storage_selection_empty, Cluster),
    ],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    if cluster.external {
        return Ok(Answered::NotApplicable("the OSDs of an external cluster live elsewhere"));
    }
    let ((pods, jobs), deployments) = both(both(facts.osd_pods(), facts.prepare_jobs()), facts.daemon_deployments())?;
    let deployed = deployments.iter().any(|row| osd_of_deployment(&row.name).is_some());
    if deployed || !pods.is_empty() || !jobs.is_empty() {
        return Ok(Answered::passed());
    }
    let object = facts.ceph_cluster()?;
    let new = is_new(object, facts.now());
    Ok(Answered::judged(vec![finding(object, ObjectRef::cluster(cluster), new)]))
}

fn finding(cluster: &CephCluster, object: ObjectRef, new: bool) -> Finding {
    let status = &cluster.status;
    let ns = &cluster.metadata.namespace;
    let progressing = condition(&status.conditions, "Progressing");
    let stage = progressing.map_or(status.message.as_str(), |condition| condition.message.as_str());
    let ready = status.phase == "Ready";
    let summary = if ready {
        say!("the cluster is Ready and has no OSD: spec.storage selects no node or no device")
    } else {
        say!("no OSD was deployed: the operator stands at \"{}\"", stage)
    };
    let remedy = if ready {
        Remedy::advice(say!("name nodes and devices, or device sets, in spec.storage"))
            .command(format!("kubectl -n {ns} edit cephcluster {}", cluster.metadata.name))
    } else {
        Remedy::advice(say!("repair what holds the operator at this stage; OSDs follow by themselves"))
            .command(format!("kubectl -n {ns} get cephcluster {} -o yaml", cluster.metadata.name))
    };
    let severity = if new { Severity::Info } else { Severity::Critical };
    let since = progressing.and_then(|condition| condition.last_transition_time);
    let field = if progressing.is_some() { "status.conditions[Progressing]" } else { "status.message" };
    Finding::new(severity, object.clone(), summary, remedy)
        .since(since)
        .evidence([Evidence::field(&object, field, stage).at(since)])
}
