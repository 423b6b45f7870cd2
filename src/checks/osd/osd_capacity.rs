use std::collections::BTreeSet;

use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity, Text};
use crate::checks::ceph::pool_full::is_of_quota;
use crate::checks::ceph::{ceph_command, osds_of, toned};
use crate::facts::{Cluster, Facts, Gap};
use crate::lang::clauses;
use crate::objects::ceph::{Health, HealthCheck, OsdDf};
use crate::say;

check! {
    /// # What it looks at
    /// The health codes OSD_FULL, OSD_BACKFILLFULL and OSD_NEARFULL, the OSDs that they name and, only when one is
    /// raised, how full `ceph osd df` says that these are.
    ///
    /// # Why it matters
    /// One full OSD (95 %) stops all writes to every pool that has data on it: clients hang, without any error. A
    /// backfillfull OSD (90 %) takes no data from others, so what was lost is not copied again. A nearfull one (85 %)
    /// is the last call. Ceph fills up with its fullest OSD, not with the average.
    ///
    /// # Confirm by hand
    /// `ceph health detail`, `ceph osd df tree`, `ceph df`.
    ///
    /// # Fix
    /// Add OSDs, or delete data (deleting needs writes too). If one OSD is far above the average let the balancer
    /// spread the data. The full ratio may be raised by a few per cent for as long as deleting takes, never to carry
    /// on: an OSD that runs out wholly stops and does not start again.
    ///
    /// # References
    /// Ceph: health codes OSD_FULL, OSD_BACKFILLFULL and OSD_NEARFULL, "Storage Capacity". Rook: `spec.storage`,
    /// `fullRatio`.
    "OSD008" "osd-capacity" Osd,
    needs: [CephHealth, OsdDf],
    explained_by: [],
}

/// The worst first.
const LEVELS: &[(&str, Severity, &str)] = &[
    ("OSD_FULL", Severity::Critical, "full"),
    ("OSD_BACKFILLFULL", Severity::Warning, "backfillfull"),
    ("OSD_NEARFULL", Severity::Warning, "nearfull"),
];

/// So many per cent above the average the fullest OSD is a matter of balance.
const UNEVEN: f64 = 10.0;

struct Level<'h> {
    code: &'static str,
    severity: Severity,
    word: &'static str,
    check: &'h HealthCheck,
    osds: BTreeSet<i64>,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let health = facts.ceph_health()?;
    let raised = LEVELS.iter().filter_map(|(code, severity, word)| {
        let check = health.checks.get(*code)?;
        Some(Level { code, severity: toned(check, *severity), word, check, osds: osds_of(check) })
    });
    let raised: Vec<Level<'_>> = raised.collect();
    if raised.is_empty() {
        return Ok(Answered::passed());
    }
    // How full each is makes the finding clearer, and it stands without.
    let usage = facts.each([()], |facts, ()| facts.osd_df())?;
    let usage = usage.seen.first().map(|(_, usage)| *usage);
    Ok(Answered::judged(finding(facts.cluster()?, health, &raised, usage).into_iter().collect()))
}

fn finding(cluster: &Cluster, health: &Health, raised: &[Level<'_>], usage: Option<&OsdDf>) -> Option<Finding> {
    let worst = raised.first()?;
    let severity = raised.iter().map(|level| level.severity).max()?;
    let told = clauses(raised.iter().map(|level| say!("{} {}", named(&level.osds, usage), level.word)));
    let summary = match worst.code {
        "OSD_FULL" => say!("OSDs are full, and all writes to pools on them hang: {}", told),
        "OSD_BACKFILLFULL" => say!("OSDs are too full to take data from others: {}", told),
        _ => say!("OSDs are nearly full: {}", told),
    };
    let fullest = worst.osds.iter().filter_map(|osd| used(*osd, usage?)).fold(0.0, f64::max);
    let uneven = usage.is_some_and(|usage| fullest > usage.summary.average_utilization + UNEVEN);
    let remedy = match (worst.code, uneven) {
        ("OSD_FULL", _) => say!(
            "add OSDs, or delete data; to delete, the full ratio may be raised by a few per cent (ceph osd set-full-ratio), and must go back afterwards"
        ),
        (_, true) => {
            say!("let the balancer spread the data, as the fullest OSD is far above the average; else add OSDs")
        }
        _ => say!("add OSDs or delete data before the first of them is full"),
    };
    let remedy = Remedy::guided(remedy)
        .command(ceph_command(cluster, "osd df tree"))
        .command(ceph_command(cluster, "df"))
        .command(ceph_command(cluster, "balancer status"));
    let object = ObjectRef::cluster(cluster);
    let osds: BTreeSet<i64> = raised.iter().flat_map(|level| &level.osds).copied().collect();
    let codes = raised.iter().map(|level| {
        let message = &level.check.summary.message;
        Evidence::ceph("health detail", format!("[{}] {}: {message}", level.check.severity, level.code))
    });
    let usage = usage.map(|usage| {
        let average = usage.summary.average_utilization;
        Evidence::ceph("osd df", format!("{}, average {average:.0} %", named(&osds, Some(usage)).english()))
    });
    Some(
        Finding::new(severity, object, summary, remedy)
            .at(osds.iter().map(|osd| Place::daemon("osd", osd)))
            .at(stopped_pools(health))
            .evidence(codes)
            .evidence(usage),
    )
}

fn used(osd: i64, usage: &OsdDf) -> Option<f64> {
    usage.nodes.iter().find(|node| node.id == osd).map(|node| node.utilization)
}

/// `osd.2 (95 %), osd.4`, the fullest first.
fn named(osds: &BTreeSet<i64>, usage: Option<&OsdDf>) -> Text {
    const SHOWN: usize = 8;
    let mut osds: Vec<(i64, Option<f64>)> =
        osds.iter().map(|osd| (*osd, usage.and_then(|usage| used(*osd, usage)))).collect();
    osds.sort_by(|(_, a), (_, b)| b.partial_cmp(a).unwrap_or(std::cmp::Ordering::Equal));
    let names = osds.iter().take(SHOWN).map(|(osd, used)| match used {
        Some(used) => format!("osd.{osd} ({used:.0} %)"),
        None => format!("osd.{osd}"),
    });
    let names = names.collect::<Vec<_>>().join(", ");
    match osds.len() {
        0 => say!("some"),
        more if more > SHOWN => say!("{} and {} more", names, more - SHOWN),
        _ => say!("{}", names),
    }
}

/// The pools whose writes or recovery the OSDs stop: `pool 'replicapool' is full (no space)`.
fn stopped_pools(health: &Health) -> impl Iterator<Item = Place> {
    let codes = ["POOL_FULL", "POOL_BACKFILLFULL"].into_iter().filter_map(|code| health.checks.get(code));
    let by_osds = |detail: &&str| !is_of_quota(detail);
    let details = codes.flat_map(HealthCheck::details).filter(by_osds);
    details
        .filter_map(|detail| detail.strip_prefix("pool '")?.split('\'').next())
        .map(|pool| Place::Pool(pool.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::ceph::{OsdUsage, UsageSummary};

    #[test]
    fn the_fullest_comes_first() {
        let nodes = [(1, 91.2), (2, 95.6)].map(|(id, utilization)| OsdUsage { id, utilization }).to_vec();
        let usage = OsdDf { nodes, summary: UsageSummary::default() };
        let osds = BTreeSet::from([1, 2, 3]);
        assert_eq!(named(&osds, Some(&usage)).english(), "osd.2 (96 %), osd.1 (91 %), osd.3");
        assert_eq!(named(&osds, None).english(), "osd.1, osd.2, osd.3");
        assert_eq!(named(&BTreeSet::new(), None).english(), "some");
    }
}
