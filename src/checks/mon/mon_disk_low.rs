use super::ends::failed_with;
use super::{EXTERNAL, Mon, daemon, deployment, mons};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::checks::ceph::{ceph_command, toned};
use crate::facts::{Cluster, Facts, Gap, Settled, both};
use crate::objects::ceph::HealthCheck;
use crate::say;

check! {
    /// # What it looks at
    /// The disk under a monitor's store: Ceph's `MON_DISK_LOW` (at most 30 % free), `MON_DISK_CRIT` (at most 5 %) and
    /// `MON_DISK_BIG` (a store of more than 15 GiB), by monitor; and monitors that ended since there was no space left.
    ///
    /// # Why it matters
    /// A monitor shuts itself down at 5 %, and does not start again below it. Monitors on one kind of disk fill at the
    /// same time: with the second of three the quorum is gone. The store grows while placement groups are not clean,
    /// as every map since then is kept.
    ///
    /// # Confirm by hand
    /// `ceph health detail`, and `kubectl -n <ns> exec deploy/rook-ceph-mon-<id> -c mon -- df -h /var/lib/ceph/mon`.
    ///
    /// # Fix
    /// Free space on the filesystem of `dataDirHostPath` (images that nobody uses, old logs and crash dumps), or enlarge the
    /// monitor's volume; never delete anything in its `store.db`. Against a large store: get the placement groups
    /// clean, then compact one monitor after the other.
    ///
    /// # References
    /// Ceph: "Health checks", MON_DISK_LOW, MON_DISK_CRIT, MON_DISK_BIG; options mon_data_avail_crit, mon_data_size_warn.
    "MON009" "mon-disk-low" Mon,
    needs: [CephHealth, MonPods, Objects, Logs],
    explained_by: [(node::node_pressure, Node)],
}

const CODES: &[(&str, Severity)] =
    &[("MON_DISK_CRIT", Severity::Critical), ("MON_DISK_LOW", Severity::Warning), (BIG, Severity::Warning)];
const BIG: &str = "MON_DISK_BIG";

/// The last words of a monitor whose disk is full.
const FULL: &[&str] = &["levels of available", "No space left on device"];

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    if cluster.external {
        return Ok(Answered::NotApplicable(EXTERNAL));
    }
    let (ended, health) = both(failed_with(facts, FULL), facts.ceph_health().settled())?;
    let mons = mons(facts)?;
    let ends = ended.seen.into_iter().map(|(failed, words)| {
        let summary = say!("mon.{} does not run: its disk is full on node {}", failed.mon.id, failed.mon.pod.node);
        about(cluster, failed.mon.id, Some(&failed.mon), Severity::Critical, summary)
            .evidence([words, Evidence::pod_row(failed.mon.pod, &cluster.ns)])
    });
    let mut findings: Vec<Finding> = ends.collect();
    let mut blind = ended.blind;
    match health {
        Ok(health) => {
            let raised =
                CODES.iter().filter_map(|(code, severity)| Some((*code, *severity, health.checks.get(*code)?)));
            findings.extend(raised.flat_map(|(code, severity, check)| reported(cluster, &mons, code, severity, check)));
        }
        Err(unknown) => blind.push(unknown),
    }
    Ok(Answered::judged(findings).blind(blind))
}

/// One finding for each monitor that the code names.
fn reported(cluster: &Cluster, mons: &[Mon<'_>], code: &str, severity: Severity, check: &HealthCheck) -> Vec<Finding> {
    let severity = toned(check, severity);
    let named: Vec<(&str, &str)> = check.details().filter_map(|detail| Some((id(detail)?, detail))).collect();
    if named.is_empty() {
        let summary = say!("{}: {}", code, check.summary.message);
        let remedy = Remedy::guided(say!("free space on the filesystems of the monitors"))
            .command(ceph_command(cluster, "health detail"));
        return vec![Finding::new(severity, ObjectRef::cluster(cluster), summary, remedy).detail(code)];
    }
    let finding = |(id, detail): (&str, &str)| {
        let mon = mons.iter().find(|mon| mon.id == id);
        let quoted = Evidence::ceph("health detail", format!("{code}: {detail}"));
        if code == BIG {
            let summary = say!("the store of a monitor is large: {}", detail);
            let remedy = Remedy::guided(say!("get the placement groups clean (until then every map is kept), then compact the stores one after the other"))
                .command(ceph_command(cluster, "pg stat"))
                .command(ceph_command(cluster, &format!("tell mon.{id} compact")));
            let finding = Finding::new(severity, deployment(&cluster.ns, id), summary, remedy);
            return finding.detail(code).at(places(id, mon)).evidence([quoted]);
        }
        let summary = say!("the disk under the store of a monitor runs full: {}", detail);
        about(cluster, id, mon, severity, summary).detail(code).evidence([quoted])
    };
    named.into_iter().map(finding).collect()
}

/// The monitor in `mon.b has 21% avail`.
fn id(detail: &str) -> Option<&str> {
    detail.strip_prefix("mon.")?.split_whitespace().next()
}

fn about(
    cluster: &Cluster,
    id: &str,
    mon: Option<&Mon<'_>>,
    severity: Severity,
    summary: crate::check::Text,
) -> Finding {
    let ns = &cluster.ns;
    let place = match mon.and_then(|mon| mon.node) {
        Some(node) => say!("dataDirHostPath on node {}", node),
        None => say!("dataDirHostPath"),
    };
    let remedy = Remedy::guided(say!("free space on the filesystem of {} (images that nobody uses, old logs, crash dumps) or enlarge the volume of mon.{}; a monitor stops at 5 % free; delete nothing in its store.db", place, id))
        .command(format!("kubectl -n {ns} exec deploy/rook-ceph-mon-{id} -c mon -- df -h /var/lib/ceph/mon/ceph-{id}"))
        .command(format!("kubectl -n {ns} get pods -l app=rook-ceph-mon -o wide"));
    Finding::new(severity, deployment(ns, id), summary, remedy).at(places(id, mon))
}

fn places(id: &str, mon: Option<&Mon<'_>>) -> impl Iterator<Item = Place> {
    let node = mon.and_then(|mon| mon.node).map(Place::node);
    [daemon(id)].into_iter().chain(node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_name_a_monitor() {
        for (detail, named) in [
            ("mon.b has 21% avail", Some("b")),
            ("mon.a is 15 MiB >= mon_data_size_warn (1 MiB)", Some("a")),
            ("mons are low", None),
        ] {
            assert_eq!(id(detail), named);
        }
    }
}
