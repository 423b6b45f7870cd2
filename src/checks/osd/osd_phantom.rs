use std::collections::BTreeSet;

use super::{by_osd, deployment, names, osd_of_deployment};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::checks::ceph::{ceph_command, is_new, osds_of, toned};
use crate::checks::img::is_rolling;
use crate::facts::{Cluster, Facts, Gap, both};
use crate::objects::ceph::{HealthCheck, TreeNode};
use crate::objects::kube::Deployment;
use crate::say;

check! {
    /// # What it looks at
    /// The OSDs of `ceph osd tree` that are out, destroyed or outside of the CRUSH tree, and those that OSD_ORPHAN
    /// names, against the Deployments; and Deployments whose OSD Ceph does not know. An OSD that is still in is OSD005's.
    ///
    /// # Why it matters
    /// What is left of an OSD that was removed by halves takes part in the arithmetic: its weight counts for its host,
    /// its key is valid, its number is not free, and data moves when somebody cleans up at a bad moment. A Deployment
    /// without an OSD in Ceph's map can only crash. An OSD that is being replaced (annotation `osd.rook.io/replace` on
    /// its Deployment) is none of these, and one that is destroyed waits for its new disk: information.
    ///
    /// # Confirm by hand
    /// `ceph osd tree`, `ceph osd dump`, `kubectl -n <ns> get deployments -l app=rook-ceph-osd`.
    ///
    /// # Fix
    /// Once `ceph osd safe-to-destroy <id>` says so, and its disk is not needed any more,
    /// `ceph osd purge <id> --yes-i-really-mean-it` takes the OSD out of the CRUSH map, the OSD map and the keys. A
    /// Deployment whose OSD is gone is deleted. This tool does neither. To change a disk annotate its Deployment
    /// `osd.rook.io/replace=yes-really-replace-osd-<id>`, and swap it once `osd.rook.io/replace-ready-for-swap` is
    /// there (not for OSDs on claims or with a shared DB device); then restart the operator, which without the
    /// discovery daemon does not see the new disk.
    ///
    /// # References
    /// Rook: "Ceph OSD Management", "Remove an OSD", "OSD replacement". Ceph: health code OSD_ORPHAN, "Removing OSDs".
    "OSD013" "osd-phantom" Osd,
    needs: [Discovery, CephClusters, CephStatus, CephHealth, OsdPods, PreparePods, OsdTree, DaemonDeployments, Objects],
    explained_by: [],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    if cluster.external {
        return Ok(Answered::NotApplicable("the OSDs of an external cluster live elsewhere"));
    }
    let ((status, health), rows) = both(both(facts.ceph_status(), facts.ceph_health()), facts.osd_pods())?;
    let orphans = health.checks.get("OSD_ORPHAN");
    let (known, up) = (status.osdmap.num_osds, status.osdmap.num_up_osds);
    let pods: BTreeSet<i64> = by_osd(rows).into_keys().collect();
    if orphans.is_none() && known == up && usize::try_from(known) == Ok(pods.len()) {
        return Ok(Answered::passed());
    }
    let ((tree, deployments), prepare) =
        both(both(facts.osd_tree(), facts.daemon_deployments()), facts.prepare_pods())?;
    let deployed: BTreeSet<i64> = deployments.iter().filter_map(|row| osd_of_deployment(&row.name)).collect();
    let object = facts.ceph_cluster()?;
    // Between the preparing of a disk and its Deployment an OSD is in the map alone.
    let at_work = is_new(object, facts.now())
        || is_rolling(object, facts.now())
        || prepare.iter().any(|pod| !pod.is_done() && (pod.status == "Running" || pod.is_new()));
    let orphaned = orphans.map(osds_of).unwrap_or_default();
    let known: BTreeSet<i64> = tree.osds().chain(&tree.stray).map(|osd| osd.id).collect();
    let idle = tree.osds().chain(&tree.stray).filter(|osd| osd.is_down() && !orphaned.contains(&osd.id));
    let idle: Vec<&TreeNode> = idle.filter(|osd| osd.reweight == 0.0 || osd.status == "destroyed").collect();
    let (left, retired): (Vec<&TreeNode>, Vec<&TreeNode>) =
        idle.into_iter().partition(|osd| !deployed.contains(&osd.id));
    let (destroyed, left): (Vec<&TreeNode>, Vec<&TreeNode>) =
        left.into_iter().partition(|osd| osd.status == "destroyed");
    // Whoever stopped a Deployment on purpose scaled it to 0; a pod that is there is OSD007's.
    let stopped = retired.into_iter().filter(|osd| !pods.contains(&osd.id));
    let stopped = facts
        .each(stopped, |facts, osd| facts.object::<Deployment>(&cluster.ns, &deployment(&cluster.ns, osd.id).name))?;
    let (stopped, blind) = (stopped.seen, stopped.blind);
    let replaced = |it: &Option<&Deployment>| it.is_some_and(is_being_replaced);
    let stopped: Vec<&TreeNode> = stopped.iter().filter(|(_, it)| !replaced(it)).map(|(osd, _)| *osd).collect();
    let unknown = deployed.iter().filter(|osd| !known.contains(osd) && !at_work).copied();
    let left = if at_work { Vec::new() } else { left };
    let findings = [
        told(cluster, Kind::Left, &left),
        told(cluster, Kind::Destroyed, &destroyed),
        told(cluster, Kind::Stopped, &stopped),
        orphans.map(|check| in_crush_alone(cluster, check, &orphaned)),
        without_osd(cluster, &unknown.collect()),
    ];
    Ok(Answered::judged(findings.into_iter().flatten().collect()).blind(blind))
}

/// Rook's own procedure for a new disk.
fn is_being_replaced(deployment: &Deployment) -> bool {
    deployment.metadata.annotations.keys().any(|key| key.starts_with("osd.rook.io/replace"))
}

/// What became of OSDs that do not run.
#[derive(Clone, Copy)]
enum Kind {
    Left,
    Destroyed,
    Stopped,
}

fn told(cluster: &Cluster, kind: Kind, osds: &[&TreeNode]) -> Option<Finding> {
    let first = osds.first()?;
    let who = names(osds.iter().map(|osd| osd.id));
    let (severity, summary, remedy) = match kind {
        Kind::Left => (
            Severity::Warning,
            say!("left over from a removal: {} is down and out in Ceph's map and has no Deployment", who),
            say!(
                "if its disk is not needed any more and safe-to-destroy agrees, purge it (ceph osd purge {} --yes-i-really-mean-it); else restart the operator, which makes the Deployment again from the disk",
                first.id
            ),
        ),
        Kind::Destroyed => (
            Severity::Info,
            say!("destroyed and not made again yet: {}", who),
            say!("nothing, while its disk is being replaced; else purge it, once its data is elsewhere"),
        ),
        Kind::Stopped => (
            Severity::Info,
            say!("taken out of service: {} is down and out, and its Deployment has no pod", who),
            say!("nothing, if it was taken out on purpose and will be purged; else scale its Deployment up again"),
        ),
    };
    let remedy = Remedy::guided(remedy)
        .command(ceph_command(cluster, "osd tree down"))
        .command(ceph_command(cluster, &format!("osd safe-to-destroy {}", first.id)));
    let lines = osds.iter().map(|osd| {
        let weight = if osd.reweight == 0.0 { "out" } else { "in" };
        Evidence::ceph("osd tree", format!("{} {}, {weight}", osd.name, osd.status))
    });
    Some(
        Finding::new(severity, deployment(&cluster.ns, first.id), summary, remedy)
            .also(osds.iter().skip(1).map(|osd| deployment(&cluster.ns, osd.id)))
            .at(osds.iter().map(|osd| Place::daemon("osd", osd.id)))
            .evidence(lines),
    )
}

/// OSD_ORPHAN: `osd.7 exists in crush map but not in osdmap`.
fn in_crush_alone(cluster: &Cluster, check: &HealthCheck, osds: &BTreeSet<i64>) -> Finding {
    // Without details nobody knows which, and the code stands all the same.
    let object = osds.first().map_or_else(|| ObjectRef::cluster(cluster), |osd| deployment(&cluster.ns, *osd));
    let (summary, remedy) = match osds.first() {
        Some(first) => (
            say!("{} is in the CRUSH map and does not exist", names(osds.iter().copied())),
            say!(
                "if no Deployment of that number is to come back, take it out of the CRUSH map: ceph osd crush rm osd.{}",
                first
            ),
        ),
        None => (
            say!("an OSD is in the CRUSH map and does not exist"),
            say!(
                "if no Deployment of its number is to come back, take that OSD out of the CRUSH map (ceph osd crush rm)"
            ),
        ),
    };
    let remedy = Remedy::guided(remedy).command(ceph_command(cluster, "osd tree"));
    Finding::new(toned(check, Severity::Warning), object, summary, remedy)
        .also(osds.iter().skip(1).map(|osd| deployment(&cluster.ns, *osd)))
        .detail("OSD_ORPHAN")
        .at(osds.iter().map(|osd| Place::daemon("osd", osd)))
        .evidence([Evidence::ceph("health detail", &check.summary.message)])
        .evidence(check.details().take(4).map(|detail| Evidence::ceph("health detail", detail)))
}

fn without_osd(cluster: &Cluster, osds: &BTreeSet<i64>) -> Option<Finding> {
    let first = osds.first()?;
    let ns = &cluster.ns;
    let summary = say!("{} has a Deployment and is not in Ceph's map", names(osds.iter().copied()));
    let remedy = Remedy::guided(say!(
        "the OSD was purged and its Deployment forgotten: make sure by the tree, then delete the Deployment; its disk can be wiped and used again after that"
    ))
    .command(ceph_command(cluster, "osd tree"))
    .command(format!("kubectl -n {ns} get deployment rook-ceph-osd-{first}"));
    let object = deployment(ns, *first);
    let line = Evidence::ceph("osd tree", format!("no {}", names(osds.iter().copied())));
    Some(
        Finding::warning(object, summary, remedy)
            .also(osds.iter().skip(1).map(|osd| deployment(ns, *osd)))
            .at(osds.iter().map(|osd| Place::daemon("osd", osd)))
            .evidence([line]),
    )
}
