use std::collections::BTreeSet;

use serde_json::Value;

use super::mds_trouble::{Trouble, by_pods, join_unnamed, laggy, raised};
use super::{ceph_command, quoted, toned};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::facts::{Cluster, Facts, Gap, Settled, Unknown, both, kinds, known};
use crate::objects::ceph::{FsDump, HealthCheck};
use crate::objects::rook::Filesystem;
use crate::say;

check! {
    /// # What it looks at
    /// The health codes of filesystems (MDS_ALL_DOWN, FS_DEGRADED, FS_WITH_FAILED_MDS, MDS_DAMAGE,
    /// MDS_UP_LESS_THAN_MAX, MDS_INSUFFICIENT_STANDBY) with the ranks of `ceph fs dump`, and the MDS pods of
    /// every CephFilesystem. Where Ceph cannot be asked the pods alone are reported. An active MDS that is "laggy
    /// or crashed" in `ceph status` is reported before any health code comes.
    ///
    /// # Why it matters
    /// Without an active MDS every access to the filesystem hangs. A rank that failed stops its part of the
    /// tree. A missing standby stops nothing now, and makes the next failure an outage. A killed MDS shows in
    /// Ceph only after half a minute, and without a standby only as "laggy or crashed" in the status, with no
    /// health code at all.
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
    needs: [Discovery, CephHealth, CephStatus, MdsPods, Filesystems, FsDump],
    explained_by: [(mon::quorum_lost, Cluster), (mon::all_mons_down, Cluster), (ceph::pgs_unavailable, Cluster)],
    in_pod,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    let kubernetes = both(facts.mds_pods().settled(), facts.filesystems().settled());
    let ceph = both(facts.ceph_health().settled(), facts.ceph_status().settled());
    let ((pods, filesystems), (health, status)) = both(kubernetes, ceph)?;
    // A code that Ceph raises is told, whatever cannot be read beside it.
    let mut blind: Vec<Unknown> = Vec::new();
    let pods = known(pods, &mut blind).unwrap_or_default();
    let filesystems = known(filesystems, &mut blind).unwrap_or_default();
    let health = known(health, &mut blind);
    let status = known(status, &mut blind);
    let mut troubles = by_pods(pods, filesystems);
    health.into_iter().flat_map(raised).for_each(|(fs, code)| troubles.entry(fs).or_default().codes.push(code));
    let lags = status.into_iter().flat_map(laggy).next().is_some();
    if troubles.is_empty() && !lags {
        return Ok(Answered::passed().blind(blind));
    }
    let dump = known(facts.fs_dump().settled()?, &mut blind);
    for (id, mds) in status.into_iter().flat_map(laggy) {
        let fs = dump.and_then(|dump| dump.filesystems.iter().find(|fs| fs.id == id));
        let fs = fs.map(|fs| fs.mdsmap.fs_name.clone()).unwrap_or_default();
        troubles.entry(fs).or_default().laggy.push(mds);
    }
    join_unnamed(&mut troubles);
    let by_ceph = health.is_some();
    let findings = troubles.iter().map(|(fs, trouble)| finding(cluster, fs, trouble, dump, by_ceph, filesystems));
    Ok(Answered::judged(findings.collect()).blind(blind))
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
    let laggy = if trouble.laggy.is_empty() { Severity::Info } else { Severity::Critical };
    trouble.codes.iter().map(of).max().unwrap_or(Severity::Info).max(pods).max(laggy)
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
    let whose = if fs.is_empty() { say!("CephFS") } else { say!("filesystem {}", fs) };
    let worst = trouble.codes.first().filter(|(code, ..)| trouble.laggy.is_empty() || *code == "MDS_ALL_DOWN");
    let failed = dump.into_iter().flat_map(|dump| &dump.filesystems).any(|entry| {
        entry.mdsmap.fs_name == fs && entry.mdsmap.flags_state.get("joinable") == Some(&Value::Bool(false))
    });
    let summary = match worst {
        Some((_, _, message)) if failed => say!("{}: {}; it was failed by a command (not joinable)", whose, message),
        Some((_, _, message)) => say!("{}: {}", whose, message),
        None if !trouble.laggy.is_empty() => {
            say!("{}: {} is laggy or crashed, and no standby took over", whose, trouble.laggy.join(", "))
        }
        None if by_ceph => say!("{}: not Ready: {}, though Ceph reports no fault", whose, list),
        None => say!("{}: not Ready: {}", whose, list),
    };
    let remedy = match trouble.pods.first() {
        Some(row) => Remedy::guided(say!("bring the MDS pods back: their events and logs say what is missing"))
            .command(format!("kubectl -n {ns} describe pod {}", row.name)),
        None if failed => Remedy::guided(say!("when what it was failed for is over, let the MDS join again"))
            .command(ceph_command(cluster, &format!("fs set {} joinable true", quoted(fs)))),
        None => Remedy::guided(say!("see which rank has no MDS, and the log of the MDS that held it"))
            .command(ceph_command(cluster, "fs dump"))
            .command(format!("kubectl -n {ns} get pods -l app=rook-ceph-mds -o wide")),
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
        .at(trouble.laggy.iter().filter_map(|mds| Some(Place::Daemon(mds.split(' ').next()?.to_owned()))))
        .at(trouble.pods.iter().filter(|row| !row.node.is_empty()).map(|row| Place::node(&row.node)))
        .evidence(
            trouble.codes.iter().map(|(code, _, text)| Evidence::ceph("health detail", format!("{code}: {text}"))),
        )
        .evidence(trouble.laggy.iter().map(|mds| Evidence::ceph("status", format!("{mds} laggy or crashed"))))
        .evidence(ranks)
        .evidence(trouble.pods.iter().map(|row| Evidence::pod_row(row, ns)));
    if known { finding } else { finding.detail(if fs.is_empty() { "cephfs" } else { fs }) }
}
