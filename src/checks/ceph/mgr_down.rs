use super::is_new;
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity, Text};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, Settled, both, known};
use crate::objects::ceph::Status;
use crate::say;

check! {
    /// # What it looks at
    /// Whether Ceph has an active mgr (`mgrmap.available`, MGR_DOWN), and the mgr pods: none at all where the
    /// CephCluster wants them, or none Ready.
    ///
    /// # Why it matters
    /// I/O goes on without a mgr, but nothing is measured: the states of placement groups are the last ones it
    /// sent, metrics stop, and every command that the mgr answers (`osd df`, `pg stat`, `crash ls`,
    /// `fs status`) hangs. Rook deploys the mgr after the monitors and the OSDs after the mgr, so on a new
    /// cluster nothing follows. Ceph raises MGR_DOWN only a minute after the loss.
    ///
    /// # Confirm by hand
    /// `ceph mgr stat` and `kubectl -n <ns> get pods -l app=rook-ceph-mgr`.
    ///
    /// # Fix
    /// Bring a mgr pod up: its events and log say what is missing. If none was ever made, repair the stage
    /// where the operator stands.
    ///
    /// # References
    /// Ceph: health code MGR_DOWN. Rook: `spec.mgr.count`.
    "CEPH009" "mgr-down" Ceph,
    needs: [Discovery, CephClusters, MgrPods, CephStatus],
    explained_by: [
        (net::multus_missing, Cluster), (net::nad_missing, Cluster), (net::nad_invalid, Cluster),
        (net::nad_default_route, Cluster), (net::nad_overlaps_cluster_network, Cluster),
        (opr::operator_down, Cluster), (mon::quorum_lost, Cluster), (mon::all_mons_down, Cluster),
        (mon::mons_start_slowly, Cluster),
    ],
    in_pod,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    let (status, pods) = both(facts.ceph_status().settled(), facts.mgr_pods().settled())?;
    let mut blind = Vec::new();
    let status = known(status, &mut blind);
    let rows = known(pods, &mut blind);
    let inactive = status.is_some_and(|status| !status.mgrmap.available);
    let none_well = !cluster.external && rows.is_some_and(|rows| !rows.iter().any(PodRow::is_well));
    if !inactive && !none_well {
        return Ok(Answered::passed().blind(blind));
    }
    let new = is_new(facts.ceph_cluster()?, facts.now());
    // Ceph notices a loss only after half a minute; pods that are not Ready may still serve.
    let severity = match status {
        _ if new => Severity::Info,
        Some(status) if status.mgrmap.available => Severity::Warning,
        _ => Severity::Critical,
    };
    let rows = rows.unwrap_or_default();
    let lost: Vec<&PodRow> = rows.iter().filter(|row| !row.is_well()).collect();
    let lines = status.into_iter().map(|status| {
        Evidence::ceph(
            "status",
            format!("mgrmap: available {}, {} standby", status.mgrmap.available, status.mgrmap.num_standbys),
        )
    });
    let object = ObjectRef::cluster(cluster);
    let count = Evidence::field(&object, "pods app=rook-ceph-mgr", format!("{} pods", rows.len()));
    let finding = Finding::new(severity, object, summary(status, rows, none_well), remedy(&cluster.ns, &lost))
        .at(lost.iter().filter_map(|row| Some(Place::daemon("mgr", row.daemon_id("rook-ceph-mgr-")?))))
        .at(lost.iter().filter(|row| !row.node.is_empty()).map(|row| Place::node(&row.node)))
        .evidence(lines)
        .evidence((!cluster.external && rows.is_empty()).then_some(count))
        .evidence(lost.iter().map(|row| Evidence::pod_row(row, &cluster.ns)));
    Ok(Answered::judged(vec![finding]).blind(blind))
}

fn summary(status: Option<&Status>, rows: &[PodRow], none_well: bool) -> Text {
    match status {
        Some(status) if status.mgrmap.available => {
            say!("no mgr pod is Ready, though Ceph still counts a mgr as active")
        }
        Some(_) if none_well && !rows.is_empty() => say!("no mgr is active: none of its {} pods is Ready", rows.len()),
        _ if none_well && rows.is_empty() => say!("no mgr was deployed: there is no mgr pod"),
        Some(_) => say!("no mgr is active, though a mgr pod is Ready"),
        None => say!("none of the {} mgr pods is Ready", rows.len()),
    }
}

fn remedy(ns: &str, lost: &[&PodRow]) -> Remedy {
    match lost.first() {
        Some(row) => Remedy::guided(say!("bring a mgr pod up: its events and log say what is missing"))
            .command(format!("kubectl -n {ns} describe pod {}", row.name))
            .command(format!("kubectl -n {ns} logs {} -c mgr --tail=50", row.name)),
        None => Remedy::guided(say!("see what holds the operator; it deploys the mgr once the monitors have a quorum"))
            .command(format!("kubectl -n {ns} get pods -l app=rook-ceph-mgr"))
            .command(format!("kubectl -n {ns} get cephcluster -o yaml")),
    }
}
