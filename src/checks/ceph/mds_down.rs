use std::collections::{BTreeMap, BTreeSet};

use super::{ceph_command, toned};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::facts::tables::PodRow;
use crate::facts::{Cluster, Facts, Gap, Settled, both, kinds};
use crate::objects::ceph::{FsDump, Health, HealthCheck};
use crate::objects::rook::Filesystem;
use crate::say;

check! {
    /// # What it looks at
    /// The health codes of filesystems (MDS_ALL_DOWN, FS_DEGRADED, FS_WITH_FAILED_MDS, MDS_DAMAGE,
    /// MDS_UP_LESS_THAN_MAX, MDS_INSUFFICIENT_STANDBY) with the ranks of `ceph fs dump`, and the MDS pods of
    /// every CephFilesystem. Where Ceph cannot be asked the pods alone are reported.
    ///
    /// # Why it matters
    /// Without an active MDS every access to the filesystem hangs. A rank that failed stops its part of the
    /// tree. A missing standby stops nothing now, and makes the next failure an outage. A killed MDS shows in
    /// Ceph only after half a minute.
    ///
    /// # Confirm by hand
    /// `ceph fs status`, `ceph health detail`, `kubectl -n <ns> get pods -l app=rook-ceph-mds`.
    ///
    /// # Fix
    /// Bring the MDS pods back. If the filesystem was failed on purpose (`ceph fs fail`), set it joinable again:
    /// `ceph fs set <fs> joinable true`. A damaged rank needs its journal examined first; never `ceph mds
    /// repaired` before that.
    ///
    /// # References
    /// Ceph: "CephFS health messages". Rook: CRDs/CephFilesystem, `activeCount` and `activeStandby`.
    "CEPH011" "mds-down" Ceph,
    needs: [Discovery, CephHealth, MdsPods, Filesystems, FsDump],
    explained_by: [
        (node::node_not_ready, Node),
        (node::node_rebooted, Node),
        (node::cni_not_ready, Node),
        (node::daemon_unschedulable, Daemon),
        (node::pods_not_created, Daemon),
        (node::image_pull_failing, Node),
        (net::multus_init_crash, Node),
        (net::multus_daemon_down, Node),
        (net::sandbox_failing, Node),
        (ovn::ovs_ovn_unhealthy, Node),
        (ovn::kube_ovn_cni_unhealthy, Node),
        (ovn::stale_after_reboot, Node),
        (mon::quorum_lost, Cluster),
        (mon::all_mons_down, Cluster),
        (ceph::pgs_unavailable, Cluster),
    ],
}

/// The codes that this check reports.
pub(super) const CODES: &[&str] = &[
    "MDS_ALL_DOWN",
    "MDS_DAMAGE",
    "FS_WITH_FAILED_MDS",
    "FS_DEGRADED",
    "MDS_UP_LESS_THAN_MAX",
    "MDS_INSUFFICIENT_STANDBY",
];

/// What is wrong with one filesystem.
#[derive(Default)]
struct Trouble<'s> {
    codes: Vec<(&'static str, &'s HealthCheck, String)>,
    pods: Vec<&'s PodRow>,
    /// Whether one of its MDS pods runs.
    serves: bool,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    let ((pods, filesystems), health) =
        both(both(facts.mds_pods(), facts.filesystems()), facts.ceph_health().settled())?;
    let mut troubles: BTreeMap<String, Trouble<'_>> = BTreeMap::new();
    for (fs, rows) in by_filesystem(pods, filesystems) {
        let serves = |daemon: &str| rows.iter().any(|(id, row)| *id == daemon && row.is_well());
        let lost: Vec<_> = rows.iter().filter(|(id, _)| !serves(id)).map(|(_, row)| *row).collect();
        if !lost.is_empty() {
            let serves = rows.iter().any(|(_, row)| row.is_well());
            troubles.insert(fs.to_owned(), Trouble { codes: Vec::new(), pods: lost, serves });
        }
    }
    let mut blind = Vec::new();
    let mut by_ceph = false;
    match health {
        Ok(health) => {
            by_ceph = true;
            for (fs, code) in raised(health) {
                troubles.entry(fs).or_default().codes.push(code);
            }
        }
        Err(unknown) => blind.push(unknown),
    }
    if troubles.is_empty() {
        return Ok(Answered::passed().blind(blind));
    }
    let ranks = facts.fs_dump().settled()?;
    let dump = ranks.map_err(|unknown| blind.push(unknown)).ok();
    let findings = troubles.iter().map(|(fs, trouble)| finding(cluster, fs, trouble, dump, by_ceph, filesystems));
    Ok(Answered::judged(findings.collect()).blind(blind))
}

/// MDS pods by the CephFilesystem they serve, with the daemon's id (`myfs-a`).
fn by_filesystem<'s>(
    pods: &'s [PodRow],
    filesystems: &'s [Filesystem],
) -> BTreeMap<&'s str, Vec<(&'s str, &'s PodRow)>> {
    let mut found: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for row in pods {
        let Some(id) = row.daemon_id("rook-ceph-mds-") else { continue };
        let Some((name, _)) = id.rsplit_once('-') else { continue };
        if let Some(fs) = filesystems.iter().find(|fs| fs.metadata.name == name) {
            found.entry(&fs.metadata.name).or_default().push((id, row));
        }
    }
    found
}

/// The raised codes, each by the filesystem that its detail names; none named is an empty name.
fn raised(health: &Health) -> Vec<(String, (&'static str, &HealthCheck, String))> {
    let mut found = Vec::new();
    for code in CODES {
        let Some(check) = health.checks.get(*code) else { continue };
        let named = check.details().filter_map(|detail| {
            let fs = detail.strip_prefix("fs ")?.split_whitespace().next()?;
            Some((fs.to_owned(), (*code, check, detail.trim_end_matches('.').to_owned())))
        });
        let named: Vec<_> = named.collect();
        let message = check.details().next().unwrap_or(&check.summary.message).to_owned();
        let unnamed = named.is_empty().then(|| (String::new(), (*code, check, message)));
        found.extend(named.into_iter().chain(unnamed));
    }
    found
}

fn severity(trouble: &Trouble<'_>, by_ceph: bool) -> Severity {
    let of = |(code, check, _): &(&str, &HealthCheck, String)| {
        let outage = ["MDS_ALL_DOWN", "MDS_DAMAGE", "FS_WITH_FAILED_MDS"].contains(code);
        toned(check, if outage { Severity::Critical } else { Severity::Warning })
    };
    let pods = match (trouble.pods.is_empty(), trouble.serves || by_ceph) {
        (true, _) => Severity::Info,
        (false, true) => Severity::Warning,
        (false, false) => Severity::Critical,
    };
    trouble.codes.iter().map(of).max().unwrap_or(Severity::Info).max(pods)
}

fn finding(
    cluster: &Cluster,
    fs: &str,
    trouble: &Trouble<'_>,
    dump: Option<&FsDump>,
    by_ceph: bool,
    filesystems: &[Filesystem],
) -> Finding {
    let ns = &cluster.ns;
    let known = filesystems.iter().any(|known| known.metadata.name == fs);
    let object = if known { ObjectRef::new(kinds::FILESYSTEM, ns, fs) } else { ObjectRef::cluster(cluster) };
    let daemons: BTreeSet<&str> = trouble.pods.iter().filter_map(|row| row.daemon_id("rook-ceph-mds-")).collect();
    let list = daemons.iter().map(|id| format!("mds.{id}")).collect::<Vec<_>>().join(", ");
    let whose = if fs.is_empty() { "CephFS".to_owned() } else { format!("filesystem {fs}") };
    let summary = match trouble.codes.first() {
        Some((_, _, message)) => say!("{}: {}", whose, message),
        None if by_ceph => say!("{}: not Ready: {}, though Ceph reports no fault", whose, list),
        None => say!("{}: not Ready: {}", whose, list),
    };
    let remedy = match trouble.pods.first() {
        Some(row) => Remedy::guided(say!("bring the MDS pods back: their events and logs say what is missing"))
            .command(format!("kubectl -n {ns} describe pod {}", row.name)),
        None => Remedy::guided(say!(
            "see which rank has no MDS; if the filesystem was failed on purpose, set it joinable again"
        ))
        .command(ceph_command(cluster, "fs status")),
    };
    let ranks = dump.into_iter().flat_map(|dump| dump.filesystems.iter()).filter(|entry| entry.mdsmap.fs_name == fs);
    let ranks = ranks.map(|entry| {
        let map = &entry.mdsmap;
        let info = map.info.values().map(|mds| format!(", {} rank {} {}", mds.name, mds.rank, mds.state));
        let text = format!(
            "{fs}: {} of {} ranks up, failed {:?}, damaged {:?}",
            map.up.len(),
            map.max_mds,
            map.failed,
            map.damaged
        );
        Evidence::ceph("fs dump", format!("{text}{}", info.collect::<String>()))
    });
    let finding = Finding::new(severity(trouble, by_ceph), object, summary, remedy)
        .at(daemons.iter().map(|id| Place::daemon("mds", id)))
        .at(trouble.pods.iter().filter(|row| !row.node.is_empty()).map(|row| Place::node(&row.node)))
        .evidence(
            trouble.codes.iter().map(|(code, _, text)| Evidence::ceph("health detail", format!("{code}: {text}"))),
        )
        .evidence(ranks)
        .evidence(trouble.pods.iter().map(|row| Evidence::pod_row(row, ns)));
    if known { finding } else { finding.detail(if fs.is_empty() { "cephfs" } else { fs }) }
}
